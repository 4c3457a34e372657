"""Our side of the benchmarks in TensorFlow runs through, over a few rows: only that, for time is no test."""

import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks.reading import memory_reader
from benchmarks.workers import open_worker

from electra_common import ElectraConfig
from electra_tf import TFElectraForPreTraining, TFElectraForSequenceClassification

pytestmark = pytest.mark.thorough

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19,
)  # fmt: skip


def write_batches(folder, **shapes):
    """Write what the processes read: ids, mask and segments under each name; the first two rows are short."""
    arrays = {}
    for name, shape in shapes.items():
        prefix = "" if name == "rows" else f"{name}/"
        mask = np.ones(shape, "int32")
        mask[:2, 3:] = 0
        arrays |= {f"{prefix}input_ids": mask * 8, f"{prefix}attention_mask": mask,
                   f"{prefix}token_type_ids": 0 * mask}  # fmt: skip
    np.savez(folder / "batches.npz", **arrays)
    return folder / "batches.npz"


def test_a_classifier_is_trained_on_rows_of_like_length(tmp_path):
    TFElectraForSequenceClassification(CONFIG).save_pretrained(tmp_path / "classifier")
    batches = write_batches(tmp_path, rows=(35, 11))
    with open_worker(
        sys.executable, "tensorflow_training_worker", "ours", tmp_path / "classifier", batches, 1, "wall"
    ) as worker:
        assert worker.ask("first-loss") == pytest.approx(np.log(2), abs=0.1)
        assert worker.ask("fine-tuning") > 0


@pytest.mark.parametrize("side", ["ours", "prepacked"])
def test_sentences_are_answered_in_every_way(tmp_path, side):
    TFElectraForPreTraining(CONFIG).save_pretrained(tmp_path / "network")
    batches = write_batches(tmp_path, rows=(35, 11), short=(1, 7), **{"full-128": (3, 19), "full-512": (2, 19)})
    with open_worker(
        sys.executable, "tensorflow_worker", side, tmp_path / "network", batches, 1, "processor"
    ) as worker:
        for work in ("eager", "graph", "real", "full-128", "full-512", *(["read"] if side == "ours" else [])):
            assert worker.ask(work) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_is_read_to_its_end(monkeypatch, threads):
    import benchmarks.reading as reading

    read = []
    monkeypatch.setattr(reading.np, "max", lambda part: read.append(part.size))
    memory_reader(1001, threads)()
    assert (len(read), sum(read)) == (threads, 1001)
