"""A corpus and a recipe for going on with the checkpoint that Google's code wrote: six steps done of twenty."""

import numpy as np

from electra_common import ElectraTokenizerFast
from electra_common.pretraining.documents import Source
from electra_common.pretraining.preparation import prepare_corpus
from electra_common.pretraining.recipes import load_recipe
from electra_common.pretraining.segments import SegmentOptions
from electra_common.pretraining.settings import RunSettings
from support.fixtures import GOOGLE

# tests' copy of its spec.json, as fields of a recipe.
SPEC = (
    "embedding_size=32", "hidden_size=64", "num_hidden_layers=3", "num_attention_heads=4", "intermediate_size=128",
    "generator_hidden_size=32", "generator_num_hidden_layers=3", "generator_num_attention_heads=1",
    "generator_intermediate_size=128", "max_position_embeddings=64", "max_length=24", "batch_size=4", "steps=20",
    "warmup_steps=3", "learning_rate=1e-3", "positions=drawn",
)  # fmt: skip


def settings_to_go_on(folder, *changes, source="trained/model.ckpt-6", **options):
    """Return the settings of one more step from one of Google's checkpoints, over random words of its vocabulary."""
    data = folder / "data"
    if not data.exists():
        words = np.random.default_rng(0).integers(0, 115, (60, 20))
        text = folder / "words.txt"
        text.write_text("\n\n".join(" ".join(f"w{number}" for number in row) for row in words))
        tokenizer = ElectraTokenizerFast(GOOGLE / "vocab.txt")
        prepare_corpus([Source(str(text))], data, tokenizer, segments=SegmentOptions(max_length=24))
    recipe = load_recipe("nano").with_changes([*SPEC, *changes])
    return RunSettings(
        data=data, out=folder / "run", recipe=recipe, start_from=str(GOOGLE / source), evaluate_every=0, **options
    )


def check_one_more_step(run, before):
    """Assert that Adam's moments are those of before, decayed once, and one gradient added to both: one more step."""
    from electra_common.runs.run_folder import list_checkpoints, read_checkpoint

    state, moments = read_checkpoint(list_checkpoints(run)[-1])
    assert state.step == 7
    assert moments.keys() == before.keys()
    norm = 0.0
    for name, (mean, square) in moments.items():
        old_mean, old_square = (array.astype(np.float64) for array in before[name])
        gradient = (mean - 0.9 * old_mean) / 0.1
        # What was added to the second is small beside what was there: float32 has lost some of it.
        lost = 1e-6 * (old_square + square)
        np.testing.assert_array_less(np.abs(square - 0.999 * old_square - 0.001 * gradient**2), lost + 1e-12, name)
        norm += float((gradient**2).sum())
    np.testing.assert_allclose(norm**0.5, 1, rtol=1e-4)  # it was clipped
