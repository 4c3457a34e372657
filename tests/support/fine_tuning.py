"""Real text as batches for three heads, and the small network that learns them. Knows numpy alone."""

import csv
import json

import numpy as np

from electra_common import ElectraConfig, ElectraTokenizerFast
from support.fixtures import DEMO_DATA, TESTS

FOLDER = TESTS / "fixtures" / "fine_tuning"
TASKS = ("wnut17", "banking77", "squad")
HEADS = {
    "wnut17": "ElectraForTokenClassification",
    "banking77": "ElectraForSequenceClassification",
    "squad": "ElectraForQuestionAnswering",
}
# Mean loss of the first and the last epoch: a network that has learnt nothing stays above these.
LAST_LOSS = {"wnut17": 0.35, "banking77": 0.6, "squad": 2.0}
EPOCHS = {"wnut17": 15, "banking77": 15, "squad": 40}
BATCH_SIZE, LEARNING_RATE = 16, 2e-3


def chance(task, arguments):
    """Return the loss of a guess that knows nothing but the number of possible answers."""
    length = arguments["input_ids"].shape[1]
    return float(np.log({"wnut17": config_of(task).num_labels, "banking77": 10, "squad": length}[task]))


def config_of(task):
    """Return a small network with random weights to come."""
    labels = {"wnut17": sorted({tag for sentence in _sentences() for _, tag in sentence}), "squad": ("start", "end")}
    names = labels.get(task) or sorted({row["category"] for row in _rows()})
    return ElectraConfig(
        embedding_size=32, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=160, id2label=dict(enumerate(names)),
    )  # fmt: skip


def arguments_of(task):
    """Return {argument of the model: array}, labels among them."""
    tokenizer = ElectraTokenizerFast(str(DEMO_DATA / "vocab.txt"))
    return {"wnut17": _tagged, "banking77": _classified, "squad": _answered}[task](tokenizer, config_of(task))


def _encoded(tokenizer, *texts, **options):
    encoding = tokenizer(*texts, padding=True, truncation=True, max_length=160, return_tensors="np", **options)
    return encoding, {name: encoding[name].astype("int32") for name in tokenizer.model_input_names}


def _tagged(tokenizer, config):
    sentences = list(_sentences())
    encoding, arguments = _encoded(tokenizer, [[word for word, _ in s] for s in sentences], is_split_into_words=True)
    labels = np.full(arguments["input_ids"].shape, -100, "int32")
    for row, sentence in enumerate(sentences):
        before = None
        for place, word in enumerate(encoding.word_ids(row)):
            if word is not None and word != before:  # the first piece of a word bears its tag
                labels[row, place] = config.label2id[sentence[word][1]]
            before = word
    return {**arguments, "labels": labels}


def _classified(tokenizer, config):
    rows = _rows()
    _, arguments = _encoded(tokenizer, [row["text"] for row in rows])
    return {**arguments, "labels": np.array([config.label2id[row["category"]] for row in rows], "int32")}


def _answered(tokenizer, config):
    questions = json.loads((FOLDER / "squad.json").read_text(encoding="utf-8"))
    encoding, arguments = _encoded(
        tokenizer, [item["question"] for item in questions], [item["context"] for item in questions]
    )
    starts, ends = [], []
    for row, item in enumerate(questions):
        first = item["answer"]["answer_start"]
        starts.append(encoding.char_to_token(row, first, sequence_index=1))
        ends.append(encoding.char_to_token(row, first + len(item["answer"]["text"]) - 1, sequence_index=1))
    return {**arguments, "start_positions": np.array(starts, "int32"), "end_positions": np.array(ends, "int32")}


def _sentences():
    for block in (FOLDER / "wnut17.conll").read_text(encoding="utf-8").strip().split("\n\n"):
        yield [tuple(line.split("\t")) for line in block.splitlines()]


def _rows():
    with open(FOLDER / "banking77.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
