"""Predictions beside the examples that they belong to, and what those expect."""

from __future__ import annotations

from collections.abc import Sequence

from electra_common.tasks.decoding.prediction import GivenAnswer, Prediction
from electra_common.tasks.examples import Example, Question, TaggedSentence


def expected_answer(example: Example) -> GivenAnswer | None:
    """Return what an example expects, of a question all texts that count; None where it is not known."""
    if isinstance(example, TaggedSentence):
        return example.tags
    if isinstance(example, Question):
        return None if example.answers is None else tuple(answer.text for answer in example.answers)
    return example.label


def check_order(examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    """Raise ValueError unless there is one prediction for each example, in the same order."""
    if len(examples) != len(predictions):
        raise ValueError(f"expected a prediction for each of {len(examples)} examples, found {len(predictions)}")
    for number, (example, prediction) in enumerate(zip(examples, predictions, strict=True), 1):
        if example.id != prediction.id:
            place = f" ({example.place})" if example.place else ""
            raise ValueError(
                f"prediction {number}: expected the answer to {example.id!r}{place}, found one to {prediction.id!r}; "
                "give predictions in the order of the examples"
            )


def known_pairs(
    examples: Sequence[Example], predictions: Sequence[Prediction]
) -> list[tuple[GivenAnswer, GivenAnswer]]:
    """Return what is expected and what was answered, wherever that is known; of sentences, for each word.

    Raises:
        ValueError: predictions do not belong to the examples, or a sentence has not one tag for each word.
    """
    check_order(examples, predictions)
    pairs: list[tuple[GivenAnswer, GivenAnswer]] = []
    for example, prediction in zip(examples, predictions, strict=True):
        expected, answer = expected_answer(example), prediction.answer
        if expected is None:
            continue
        if isinstance(example, TaggedSentence):
            pairs += _words(example, answer)
        else:
            pairs.append((expected, answer))
    return pairs


def _words(sentence: TaggedSentence, answer: GivenAnswer) -> list[tuple[GivenAnswer, GivenAnswer]]:
    tags = sentence.tags or ()
    if not isinstance(answer, tuple) or len(answer) != len(tags):
        found = f"{len(answer)} tags" if isinstance(answer, tuple) else repr(answer)
        raise ValueError(
            f"{sentence.place or sentence.id}: expected a tag for each of {len(tags)} words, found {found}"
        )
    return list(zip(tags, answer, strict=True))
