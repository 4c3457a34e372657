"""The benchmarks run through, over a few texts: only that, for time is no test. Both sides have the same labels."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.fine_tuning import DEFAULT_TEXTS, OURS, How, prepare, read_texts
from benchmarks.prediction import measure_prediction
from benchmarks.pretraining import masked_batch
from benchmarks.workers import open_worker
from torch.cuda import is_available


@pytest.mark.parametrize("length", [37, 512])
def test_where_our_side_has_a_masked_token_the_other_side_has_its_label_and_nowhere_else(length):
    """15 % of 512 positions leave slots unused; all those of 37 are used."""
    batch = masked_batch(0, 3, length)
    is_used = batch["masked_weights"] > 0
    assert is_used.all() == (length == 37)
    for row, labels in enumerate(batch["labels"].tolist()):
        found = {place: label for place, label in enumerate(labels) if label != -100}
        ours = zip(batch["masked_positions"][row].tolist(), batch["masked_labels"][row].tolist(), strict=True)
        assert found == {pair[0]: pair[1] for pair, counts in zip(ours, is_used[row], strict=True) if counts}


@pytest.mark.thorough
def test_our_side_of_fine_tuning_trains_and_measures(tmp_path):
    """The other side needs what this project does not: the Trainer's own environment."""
    texts = read_texts("banking77", DEFAULT_TEXTS, None, 24)
    how = How(sys.executable, by_length=False, seeds=1, epochs=1, learning_rate=None, threads=1, is_shared=False)
    folder = tmp_path / "fine-tuning"
    settings = prepare("embedded", folder, None, texts, how)
    assert (settings["epochs"], settings["layer_decay"]) == (1, 1.0)
    with open_worker(sys.executable, "fine_tuning_worker", OURS, folder, 1, "wall") as worker:
        worker.ask("warm-up", "warm-up.jsonl")
        found = worker.ask("train", "train.jsonl", 0)
    assert found["seconds"] > 0
    assert 0 <= found["accuracy"] <= 1


@pytest.mark.thorough
def test_prediction_is_compared_with_the_pipeline(tmp_path):
    pytest.importorskip("transformers")
    texts = [text for text, _ in read_texts("banking77", DEFAULT_TEXTS, None, None).train]
    found = measure_prediction("embedded", tmp_path / "prediction", None, texts, count=40, parts=2, threads=1,
                               is_shared=False, by_length=True)  # fmt: skip
    assert [len(program.seconds) for program in found.programs] == [2, 2, 2]
    assert found.labels > 1


@pytest.mark.thorough
def test_on_a_gpu_or_without_one():
    command = [sys.executable, "-m", "benchmarks", "gpu", "--sizes", "small", "--batches", "2", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    if is_available():
        assert "pre-training, rows of 128" in done.stdout
    else:
        assert done.stderr.strip() == "gpu is left out: torch finds none"
