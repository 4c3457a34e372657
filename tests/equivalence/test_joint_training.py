"""Twenty steps of pre-training in PyTorch and in Keras: the same masks, the same samples, the same weights."""

from pathlib import Path

import numpy as np
import pytest

from electra_common.weights.saving import save_two_networks
from electra_common.weights.shapes import expected_shapes
from equivalence.joint_training import STEPS, batch_of, configs
from support.assertions import assert_all_close, assert_close
from support.tiny_networks import stored
from support.tolerances import GRADIENT
from support.workers import run_script

pytestmark = pytest.mark.both
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return {framework: {kind of run: {name: array}}}; both start from the same random weights."""
    root = tmp_path_factory.mktemp("joint")
    save_two_networks(root / "start", *start())
    result = {}
    for framework in ("pt", "tf"):
        run_script(framework, HERE / f"joint_worker_{framework}.py", root)
        result[framework] = {}
        for kind in ("recorded", "sampled"):
            with np.load(root / f"{framework}_{kind}.npz") as file:
                result[framework][kind] = {name: file[name] for name in file.files}
    return result


def start():
    """Return both networks with random weights, embeddings shared."""
    generator, networks, embeddings = np.random.default_rng(0), [], {}
    for config, architecture in zip(configs(), ("ElectraForPreTraining", "ElectraForMaskedLM"), strict=True):
        arrays = {}
        for name, shape in expected_shapes(config, architecture).items():
            drawn = (0.2 * generator.normal(size=shape)).astype(np.float32)
            drawn += np.float32(1) if name.endswith("LayerNorm.weight") else np.float32(0)
            arrays[name] = embeddings.setdefault(name, drawn) if ".embeddings." in name else drawn
        networks.append((config.replace(architectures=(architecture,)), stored(arrays)))
    return networks


@pytest.mark.parametrize("kind", ["recorded", "sampled"])
def test_weights_and_adams_state_are_the_same_after_twenty_steps(runs, kind):
    ours, theirs = (
        {name: array for name, array in runs[framework][kind].items() if "/" in name} for framework in ("pt", "tf")
    )
    assert len(ours) > 3 * 40
    assert_all_close(ours, theirs, GRADIENT)


@pytest.mark.parametrize("kind", ["recorded", "sampled"])
def test_losses_are_the_same_and_fall(runs, kind):
    ours, theirs = (runs[framework][kind]["losses"] for framework in ("pt", "tf"))
    assert ours.shape == (STEPS,)
    assert_close("losses, relative", np.ones(STEPS), ours / theirs, GRADIENT)
    assert ours[-5:].mean() < ours[:5].mean()


def test_what_is_sampled_is_the_same_at_every_step(runs):
    ours, theirs = (runs[framework]["sampled"]["corrupted"] for framework in ("pt", "tf"))
    assert np.array_equal(ours, theirs)
    masked = np.stack([batch_of(step, recorded=False)["input_ids"] for step in range(STEPS)])
    assert (ours != masked).any(axis=(1, 2)).all(), "nothing was sampled"
    assert (ours[0] != ours[1]).any()
