"""From logits of pieces to a tag for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_common.tasks.decoding.classes import check_class_count
from electra_common.tasks.decoding.prediction import Prediction, softmax
from electra_common.tasks.decoding.spans import bio_spans
from electra_common.tasks.examples import TaggedSentence
from electra_common.tasks.features.windows import Window
from electra_common.tasks.readers.labels import OUTSIDE
from electra_common.windows import context_in_window


def decode_tags(
    sentence: TaggedSentence,
    windows: Sequence[Window],
    logits: Sequence[NDArray[Any]],
    labels: Sequence[str],
    *,
    has_spans: bool,
) -> Prediction:
    """Return the tags of a sentence, exactly one for each word.

    A word that stands in two windows is read in the one where it has more context, that is, where the nearer edge that
    is not an end of the sentence is farther. A word without a piece gets ``O``, or the first tag where there is none
    of that name.

    Args:
        sentence: its words.
        windows: over it.
        logits: of each window's row, [length, labels].
        labels: names of the tags.
        has_spans: whether tags mark spans, which then stand among the details.

    Raises:
        ValueError: there are not as many logits as labels.
    """
    outside = labels.index(OUTSIDE) if OUTSIDE in labels else 0
    tags = np.full(len(sentence.words), outside, np.int64)
    probabilities = np.ones(len(sentence.words))
    context = np.full(len(sentence.words), -1.0)
    for window, scores in zip(windows, logits, strict=True):
        check_class_count(scores, labels)
        pieces = np.flatnonzero(window.targets >= 0)
        words = window.targets[pieces]
        found = context_in_window(window.total, (window.start, window.end))[pieces]
        better = found > context[words]
        pieces, words = pieces[better], words[better]
        values = softmax(scores[window.tokens][pieces])  # [words, labels]
        tags[words] = values.argmax(-1)
        probabilities[words] = values.max(-1)
        context[words] = found[better]
    names = tuple(labels[tag] for tag in tags.tolist())
    details: dict[str, Any] = {"words": list(sentence.words), "tag_probabilities": probabilities.tolist()}
    if has_spans:
        details["spans"] = [
            {**span._asdict(), "text": " ".join(sentence.words[span.start : span.end])} for span in bio_spans(names)
        ]
    return Prediction(sentence.id, names, float(probabilities.min(initial=1.0)), details=details)
