"""What Google's code recorded, as texts: for what starts at a text and ends at answers about its words."""

import shutil
from functools import cache

import numpy as np

from electra_common import ElectraTokenizerFast, convert_checkpoint
from support.fixtures import GOOGLE, GOOGLE_HEADS

VOCABULARY = GOOGLE / "vocab.txt"
PIECES = VOCABULARY.read_text().split()
SEPARATOR = PIECES.index("[SEP]")


class PairTokenizer(ElectraTokenizerFast):
    """Gives token type 1 behind an inner [SEP], for the recorded rows are pairs and their texts one text each."""

    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        row = np.array(self.build_inputs_with_special_tokens(token_ids_0))
        return np.minimum(np.cumsum(row == SEPARATOR) - (row == SEPARATOR), 1).tolist()


@cache
def recorded_evaluation():
    """Return ``{name: array}`` of the batch that was evaluated, and the results."""
    with np.load(GOOGLE / "expected.npz") as file:
        return {name.removeprefix("eval/"): file[name] for name in file.files if name.startswith("eval/")}


def recorded_texts(name):
    """Return the rows of ids as texts, without the special tokens at their ends; words are w0, w1, … and [SEP]."""
    evaluation = recorded_evaluation()
    rows = zip(evaluation[name], evaluation["input_mask"].sum(axis=1), strict=True)
    return [" ".join(PIECES[index] for index in row[1 : length - 1]) for row, length in rows]


def make_models(folder):
    """Write both networks with their vocabulary to ``folder/discriminator`` and ``folder/generator``; return folder."""
    convert_checkpoint(GOOGLE / "trained", folder, num_attention_heads=GOOGLE_HEADS)
    for component in GOOGLE_HEADS:
        shutil.copy(VOCABULARY, folder / component / "vocab.txt")
    return folder


def assert_recorded_probabilities(detections):
    """Every word has the probability that Google's discriminator gave it."""
    from support.tolerances import FORWARD

    probabilities = recorded_evaluation()["discriminator_probs"]
    texts = recorded_texts("corrupted_input_ids")
    assert [detection.text for detection in detections] == texts
    for detection, text, expected in zip(detections, texts, probabilities, strict=True):
        words = text.split()
        assert [word.text for word in detection.words] == words
        found = [word.probability for word in detection.words]
        np.testing.assert_allclose(found, expected[1 : len(words) + 1], rtol=0, atol=FORWARD)


def assert_recorded_candidates(answers, top):
    """Every mask has the candidates that Google's generator put first, with their probabilities."""
    from support.tolerances import FORWARD

    evaluation = recorded_evaluation()
    logits = evaluation["generator_logits_at_masked"].astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)  # [rows, slots, vocabulary]
    checked = 0
    for row, answer in enumerate(answers):
        slots = {int(at): slot for slot, at in enumerate(evaluation["masked_lm_positions"][row])}
        words = answer.text.split()
        for mask in answer.masks:
            place = answer.text[: mask.start].count(" ") + 1  # behind [CLS]
            assert words[place - 1] == answer.text[mask.start : mask.end] == "[MASK]"
            expected = probabilities[row, slots[place]]
            best = np.argsort(-expected)[:top]
            assert [candidate.id for candidate in mask.candidates] == best.tolist()
            assert [candidate.token for candidate in mask.candidates] == [PIECES[index] for index in best]
            found = [candidate.probability for candidate in mask.candidates]
            np.testing.assert_allclose(found, expected[best], rtol=0, atol=FORWARD)
            checked += 1
    assert checked == (evaluation["masked_input_ids"] == PIECES.index("[MASK]")).sum() > len(answers)
