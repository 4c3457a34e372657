"""A tag for each word, whatever windows a sentence is read through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_common.head_options import IGNORED_LABEL
from electra_common.tasks.decoding.decode import decode
from electra_common.tasks.decoding.tags import decode_tags
from electra_common.tasks.examples import TaggedSentence
from electra_common.tasks.features.make import make_rows
from electra_common.tasks.features.windows import Window
from support.fine_tuning_examples import TAGS, sentences, tag_names, tokenizer

NOTHING = "\u200d\ufe0f"  # no piece comes of these
LABELS = ("O", "B-x", "I-x")


def sure(classes, count=3, certainty=9.0):
    """Return logits [length, count] that are sure of these classes, and of another one where there is none."""
    logits = np.zeros((len(classes), count), np.float32)
    for place, number in enumerate(classes):
        logits[place, number if number != IGNORED_LABEL else count - 1] = certainty
    return logits


def test_what_the_labels_of_rows_say_is_what_is_decoded():
    features = make_rows(TAGS, sentences(), tokenizer(), tag_names(), max_length=13, is_training=True)
    assert len(features.rows) > len(sentences())
    outputs = [{"logits": sure(row.labels["labels"], len(tag_names()))} for row in features.rows]
    predictions = decode(TAGS, features, outputs, tag_names())
    assert [prediction.answer for prediction in predictions] == [sentence.tags for sentence in sentences()]
    assert [prediction.id for prediction in predictions] == [sentence.id for sentence in sentences()]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["one", "electroencephalogram", NOTHING, "don't"]), max_size=40),
    st.integers(3, 19),
    st.integers(0, 2**32),
)
def test_every_word_gets_one_tag_from_one_of_its_windows(words, max_length, seed):
    sentence = TaggedSentence("1", tuple(words))
    features = make_rows(TAGS, [sentence], tokenizer(), LABELS, max_length=max_length, is_training=False)
    random = np.random.default_rng(seed)
    logits = [random.normal(size=(row.length, 3)) for row in features.rows]
    (prediction,) = decode(TAGS, features, [{"logits": each} for each in logits], LABELS)
    assert len(prediction.answer) == len(words)
    for word, tag in enumerate(prediction.answer):
        readings = {
            LABELS[scores[window.position + place].argmax()]
            for window, scores in zip(features.windows, logits, strict=True)
            for place in np.flatnonzero(window.targets == word)
        }
        assert tag in (readings or {"O"})
        assert (words[word] == NOTHING) == (not readings)


def test_a_word_in_two_windows_is_read_where_it_has_more_context():
    sentence = TaggedSentence("1", tuple("abcdefgh"))
    windows = [Window(1, 0, 8, np.arange(0, 5)), Window(1, 3, 8, np.arange(3, 8))]
    logits = [sure([2, *[0] * 5, 2]), sure([2, *[1] * 5, 2])]
    # d and e stand in both: d has one word behind it in the first and none before it in the second, e the reverse.
    for order in (1, -1):
        found = decode_tags(sentence, windows[::order], logits[::order], LABELS, has_spans=False)
        assert found.answer == ("O",) * 4 + ("B-x",) * 4


def test_words_without_a_piece_are_outside():
    sentence = TaggedSentence("1", (NOTHING, "a"))
    window = Window(1, 0, 1, np.array([1]))
    logits = [sure([0, 2, 0])]
    assert decode_tags(sentence, [window], logits, ("B-x", "I-x", "O"), has_spans=True).answer == ("O", "O")
    assert decode_tags(sentence, [window], logits, ("NOUN", "VERB", "X"), has_spans=False).answer == ("NOUN", "X")


def test_spans_and_probabilities_are_told():
    sentence = TaggedSentence("7", ("in", "New", "York"))
    window = Window(1, 0, 3, np.arange(3))
    found = decode_tags(sentence, [window], [np.log([[1, 1, 1], [8, 1, 1], [1, 6, 1], [1, 1, 2], [1, 1, 1]])], LABELS,
                        has_spans=True)  # fmt: skip
    assert found.answer == ("O", "B-x", "I-x")
    assert found.details["spans"] == [{"label": "x", "start": 1, "end": 3, "text": "New York"}]
    assert found.details["tag_probabilities"] == pytest.approx([0.8, 0.75, 0.5])
    assert found.score == pytest.approx(0.5)
    assert "spans" not in decode_tags(sentence, [window], [np.zeros((5, 3))], LABELS, has_spans=False).details


def test_another_number_of_logits_is_refused():
    window = Window(1, 0, 1, np.array([0]))
    with pytest.raises(ValueError, match="expected 3 logits, one for each label, found 5"):
        decode_tags(TaggedSentence("1", ("a",)), [window], [np.zeros((3, 5))], LABELS, has_spans=True)
