"""Words and windows, with a function in the place of the network whose answers can be foretold."""

from dataclasses import asdict

import numpy as np
import pytest

from electra_common import ElectraTokenizer, ElectraTokenizerFast
from electra_common.applications.replaced_words import Detection, detect_replaced_words
from support.tokenizers import VOCABULARY


@pytest.fixture(scope="module", params=[ElectraTokenizer, ElectraTokenizerFast])
def tokenizer(request):
    return request.param(VOCABULARY)


def logit(probability):
    return np.log(probability / (1 - probability))


class Oracle:
    """Answers for each token with a number that follows from its id, and remembers the batches."""

    def __init__(self, probability_of):
        self.probability_of = probability_of
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch)
        return logit(self.probability_of(batch["input_ids"])).astype(np.float32)


def test_a_word_has_the_highest_probability_of_its_pieces_and_its_place_in_the_text(tokenizer):
    text = "  Naïve, unaffable "
    chances = {"naive": 0.1, ",": 0.2, "una": 0.3, "##ffa": 0.9, "##ble": 0.4, "[CLS]": 0.99, "[SEP]": 0.99}
    table = np.full(len(tokenizer), 0.01)
    table[tokenizer.convert_tokens_to_ids(list(chances))] = list(chances.values())
    (found,) = detect_replaced_words([text], tokenizer, Oracle(table.__getitem__), max_length=11)
    assert [(word.text, text[word.start : word.end]) for word in found.words] == [
        ("Naïve", "Naïve"), (",", ","), ("unaffable", "unaffable"),
    ]  # fmt: skip
    assert [word.probability for word in found.words] == pytest.approx([0.1, 0.2, 0.9], abs=1e-6)
    assert [piece for piece, _ in found.words[2].pieces] == ["una", "##ffa", "##ble"]
    assert [value for _, value in found.words[2].pieces] == pytest.approx([0.3, 0.9, 0.4], abs=1e-6)
    assert [word.text for word in found.replaced()] == ["unaffable"]
    assert [word.text for word in found.replaced(threshold=0.15)] == [",", "unaffable"]
    assert Detection.from_data(asdict(found)) == found


def test_texts_of_different_lengths_keep_their_order_and_padding_is_marked(tokenizer):
    texts = ["one two three four five", "six", "seven eight nine"]
    oracle = Oracle(lambda ids: (ids % 97 + 1) / 99)
    found = detect_replaced_words(texts, tokenizer, oracle, max_length=9, batch_size=2)
    for text, detection in zip(texts, found, strict=True):
        ids = np.array(tokenizer.convert_tokens_to_ids(text.split()))
        assert [word.text for word in detection.words] == text.split()
        assert [word.probability for word in detection.words] == pytest.approx(((ids % 97 + 1) / 99).tolist(), abs=1e-6)
    assert [batch["input_ids"].shape for batch in oracle.batches] == [(2, 5), (1, 7)]  # short ones together
    first = oracle.batches[0]
    assert first["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert first["input_ids"][0].tolist() == [101, 2416, 102, 0, 0]
    assert not first["token_type_ids"].any()


@pytest.mark.parametrize(
    ("count", "room", "stride"), [(23, 7, 3), (23, 7, 0), (24, 10, 9), (8, 7, 6), (7, 7, 2), (1, 1, 0)]
)
def test_a_token_gets_the_answer_of_the_window_in_which_it_has_the_most_context(tokenizer, count, room, stride):
    """The oracle says at which place of its window a token stood, so the answers tell which window was chosen."""

    def place_in_window(batch):
        return np.broadcast_to(np.arange(batch["input_ids"].shape[1]) - 1, batch["input_ids"].shape).astype(np.float32)

    text = " ".join(["word"] * count)
    options = {"max_length": room + 2, "stride": stride, "batch_size": 3}
    (found,) = detect_replaced_words([text], tokenizer, place_in_window, **options)
    assert len(found.words) == count
    starts = sorted({*range(0, max(count - room, 0), room - stride), max(count - room, 0)})
    for token, word in enumerate(found.words):
        chosen = token - round(logit(word.probability))
        around = {
            start: min(token - start if start else np.inf, start + room - 1 - token if start + room < count else np.inf)
            for start in starts if start <= token < start + room
        }  # fmt: skip
        assert around[chosen] == max(around.values())


def test_a_quarter_of_a_window_is_shared_where_nothing_is_said(tokenizer):
    oracle = Oracle(lambda ids: (ids % 97 + 1) / 99)
    detect_replaced_words([" ".join(["word"] * 50)], tokenizer, oracle, max_length=22)
    (batch,) = oracle.batches
    assert batch["input_ids"].shape == (3, 22)  # 0 to 20, 15 to 35, 30 to 50


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (["fine", ""], {}, "text 2 is empty"),
        ([" \t\u200b\n"], {}, "text 1 is empty"),
        ("one text", {}, "expected a list of texts"),
        (["a"], {"stride": 7}, "stride must be 0 to 6, less than the 7 tokens of a window; found 7"),
        (["a"], {"stride": -1}, "stride must be"),
        (["a"], {"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_what_cannot_be_answered_is_told(tokenizer, texts, options, words):
    with pytest.raises(ValueError, match=words):
        detect_replaced_words(texts, tokenizer, Oracle(lambda ids: ids * 0 + 0.5), **{"max_length": 9, **options})


def test_no_texts_are_no_answers(tokenizer):
    assert detect_replaced_words([], tokenizer, Oracle(None), max_length=9) == []
