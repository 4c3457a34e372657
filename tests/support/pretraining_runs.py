"""A corpus and a recipe so small that a pre-training run takes a second."""

from pathlib import Path

import numpy as np

from electra_common.pretraining.documents import ReadingOptions, Source
from electra_common.pretraining.preparation import prepare_corpus
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.segments import SegmentOptions
from electra_common.pretraining.settings import RunSettings
from electra_common.runs.metrics_log import read_metrics
from electra_common.runs.run_folder import list_checkpoints
from electra_common.text_files import read_lines
from electra_common.tokenization.training import train_tokenizer
from electra_common.weights.formats.safetensors import read_safetensors
from support.fixtures import DEMO_DATA
from support.tolerances import GRADIENT

VOCABULARY, LENGTH = 211, 24
TINY = (
    "embedding_size=10", "hidden_size=18", "num_hidden_layers=2", "num_attention_heads=3", "intermediate_size=28",
    "generator_hidden_size=14", "generator_num_hidden_layers=1", "generator_num_attention_heads=2",
    "generator_intermediate_size=22", "max_position_embeddings=31", f"max_length={LENGTH}", "batch_size=8",
    "steps=12", "warmup_steps=3", "learning_rate=5e-3",
)  # fmt: skip


def prepare_tiny_corpus(folder: Path) -> Path:
    """Return a prepared corpus of a few hundred examples, a tenth of its documents held out."""
    text = list(read_lines(DEMO_DATA / "english.txt"))
    file = folder / "corpus.txt"
    file.write_text("".join(f"{line}\n\n" for line in text))  # a document a line
    tokenizer = train_tokenizer(lambda: iter(text), size=VOCABULARY)
    prepare_corpus(
        [Source(str(file))],
        folder / "data",
        tokenizer,
        segments=SegmentOptions(max_length=LENGTH),
        reading=ReadingOptions(held_out=0.2),
    )
    return folder / "data"


def tiny_settings(data: Path, out: Path, *changes: str, **options: object) -> RunSettings:
    """Return the settings of a run over that corpus."""
    recipe = load_recipe("nano").with_changes([*TINY, *changes])
    return RunSettings(
        data=data,
        out=out,
        recipe=recipe,
        **{"log_every": 4, "evaluate_every": 6, "evaluation_examples": 13, "save_every": 5, **options},
    )


def last_state(run):
    """Return every number of the last checkpoint: weights and both moments."""
    checkpoint = list_checkpoints(run)[-1]
    tensors, _ = read_safetensors(checkpoint / "joint.safetensors")
    moments, _ = read_safetensors(checkpoint / "optimizer.safetensors")
    return {name: tensor.read() for name, tensor in {**tensors, **moments}.items()}


# Every number that Adam's first step is made of, none as it usually is.
FIRST_STEP = (
    "learning_rate=0.02", "warmup_steps=4", "decay_power=2.0", "clip_norm=0.25", "adam_beta_1=0.8", "adam_beta_2=0.95",
    "adam_epsilon=1e-3", "weight_decay=0.3",
)  # fmt: skip


def check_first_step(start, run):
    """Assert that a run moved once, as those settings say, from the weights of another that stood still."""
    before, found = last_state(start), last_state(run)
    weights = [name for name in before if not name.startswith(("m/", "v/"))]
    means = {name: found[f"m/{name}"].astype(np.float64) for name in weights}
    norm = np.sqrt(sum((mean**2).sum() for mean in means.values()))
    np.testing.assert_allclose(norm, (1 - 0.8) * 0.25, rtol=1e-5)
    rate = 0.02 * (1 - 1 / 12) ** 2 / 4
    for name, mean in means.items():
        square = (1 - 0.95) * (mean / (1 - 0.8)) ** 2
        np.testing.assert_allclose(found[f"v/{name}"], square, rtol=1e-4, atol=1e-12, err_msg=name)
        decay = 0.0 if "LayerNorm" in name or "layer_norm" in name or name.endswith("bias") else 0.3
        expected = before[name] - rate * (mean / (np.sqrt(square) + 1e-3) + decay * before[name])
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-7, err_msg=name)


def assert_same_bits(one, other):
    expected, found = last_state(one), last_state(other)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.tobytes() == found[name].tobytes(), name


def assert_same_run(one, other, *, logs=True):
    """Compare the weights and moments in which two runs ended, and the metrics that they logged."""
    expected, found = last_state(one), last_state(other)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=GRADIENT, err_msg=name)
    pairs = list(zip(read_metrics(one), read_metrics(other), strict=True)) if logs else []
    for entry, same in pairs:
        assert (entry.step, entry.split) == (same.step, same.split)
        for name in entry.metrics.keys() - {"tokens_per_second", "share_of_peak"}:
            np.testing.assert_allclose(same.metrics[name], entry.metrics[name], rtol=GRADIENT, atol=0, err_msg=name)
