"""Samples of real data in the forms of five kinds of task, and a network so small that learning them takes a second."""

import csv
import json
from pathlib import Path

import numpy as np

from electra_common import ElectraConfig
from electra_common.tasks.job import DataChoice, make_job
from electra_common.tokenization.training import train_tokenizer
from electra_common.weights.formats.safetensors import read_safetensors
from support.fixtures import DEMO_DATA, TESTS

FOLDER = TESTS / "fixtures" / "fine_tuning"
KINDS = ("classification", "regression", "tagging", "answers", "choice")
VOCABULARY = 307
# Dropout would be drawn by each framework in its own way.
STILL = ("dropout=0.0",)


def rows_of_banking():
    """Return texts with their intents, ten of them."""
    with open(FOLDER / "banking77.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_data(folder: Path) -> Path:
    """Write a folder for each kind of task, with ``train``, ``dev`` and ``test`` in it; the last has no labels."""
    rows, questions = rows_of_banking(), json.loads((FOLDER / "squad.json").read_text(encoding="utf-8"))
    sentences = (FOLDER / "wnut17.conll").read_text(encoding="utf-8").strip().split("\n\n")
    words = [[line.split("\t") for line in sentence.splitlines()] for sentence in sentences]
    tables = {
        "classification": [{"text": row["text"], "label": row["category"]} for row in rows],
        "regression": [{"text": row["text"], "label": min(len(row["text"]), 120) / 24} for row in rows],
        "tagging": [{"text": [w for w, _ in sentence], "label": [t for _, t in sentence]} for sentence in words],
        "answers": [
            {"question": item["question"], "context": item["context"],
             "answers": {"text": [item["answer"]["text"]], "answer_start": [item["answer"]["answer_start"]]}}
            for item in questions
        ],
        "choice": [
            {"text": row["text"], "choices": [row["category"].replace("_", " "), other["category"]], "label": 0}
            if number % 2 else
            {"text": row["text"], "choices": [other["category"], row["category"].replace("_", " ")], "label": 1}
            for number, (row, other) in enumerate(zip(rows, rows[7:] + rows[:7], strict=True))
        ],
    }  # fmt: skip
    for kind, records in tables.items():
        (folder / kind).mkdir(parents=True)
        label = "answers" if kind == "answers" else "label"
        unlabelled = [{name: value for name, value in record.items() if name != label} for record in records[:5]]
        for split, chosen in (("train", records), ("dev", records[1::3]), ("test", unlabelled)):
            lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in chosen)
            (folder / kind / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def write_start(folder: Path, electra, prefix: str = "", **changes) -> Path:
    """Write a discriminator with random weights, the same every time, and a tokenizer; ``electra`` is a family."""
    texts = [*(DEMO_DATA / "english.txt").read_text(encoding="utf-8").splitlines()]
    texts += [row["text"] for row in rows_of_banking()]
    tokenizer = train_tokenizer(lambda: iter(texts), size=VOCABULARY)
    sizes = {"num_hidden_layers": 2, **changes}
    config = ElectraConfig(
        vocab_size=VOCABULARY, embedding_size=20, hidden_size=36, num_attention_heads=3, intermediate_size=56,
        max_position_embeddings=150, initializer_range=0.1, **sizes,
    )  # fmt: skip
    _seed(prefix)
    getattr(electra, f"{prefix}ElectraForPreTraining")(config).save_pretrained(folder)
    tokenizer.model_max_length = 150
    tokenizer.save_pretrained(folder)
    return folder


def _seed(prefix: str) -> None:
    if prefix:
        import keras

        keras.utils.set_random_seed(1)
    else:
        import torch

        torch.manual_seed(1)


def job_of(kind, data, start, out, *changes, **options):
    """Return a run over a sample: three passes, with lengths that cut some texts into windows."""
    usual = ["epochs=3", "batch_size=8", "learning_rate=3e-3", "max_length=48"]
    usual += ["doc_stride=16", "max_query_length=20"] if kind == "answers" else []
    choice = DataChoice(folder=data / kind, files=options.pop("files", {}))
    return make_job(kind, choice, out, model=str(start), changes=[*usual, *changes], log_every=4, **options)


def weights_of(folder):
    """Return ``{name: array}`` of a saved model."""
    tensors, _ = read_safetensors(Path(folder) / "model.safetensors")
    return {name: tensor.read() for name, tensor in tensors.items()}


def assert_same_weights(one, other, *, atol):
    """Compare two saved models, naming the first weight that differs."""
    expected, found = weights_of(one), weights_of(other)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=atol, err_msg=name)
