"""PyTorch against Keras with identical weights: outputs, losses, gradients, and each other's saved folders."""

from pathlib import Path

import numpy as np
import pytest

from electra_common import open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from equivalence.cases import CASES, write_case
from support.assertions import assert_all_close
from support.tolerances import BFLOAT16_LOSS, BFLOAT16_LOSS_RATIO, FORWARD, GRADIENT
from support.workers import run_script

pytestmark = pytest.mark.both
HERE = Path(__file__).parent
NAMES = [case.name for case in CASES]
BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Run every case in both frameworks, then each framework on what the other one saved: four processes in all."""
    root = tmp_path_factory.mktemp("cases")
    result = {}
    for index, case in enumerate(CASES):
        result[case.name] = root / f"{index:02d}"
        result[case.name].mkdir()
        write_case(result[case.name], case, seed=index)
    for turn in ("first", "second"):
        for framework in ("pt", "tf"):
            run_script(framework, HERE / f"worker_{framework}.py", root, turn)
    return result


def load(folder, name):
    """Return (outputs, gradients) that a worker left."""
    with np.load(folder / f"{name}.npz") as file:
        values = {key: file[key] for key in file.files}
    gradients = {key: value for key, value in values.items() if key.startswith("gradient ")}
    return {key: value for key, value in values.items() if key not in gradients}, gradients


FLOAT32 = [case.name for case in CASES if case.dtype == "float32"]
BFLOAT16 = [case.name for case in CASES if case.dtype == "bfloat16"]


@pytest.mark.parametrize("name", FLOAT32)
def test_outputs_agree(folders, name):
    (outputs, _), (others, _) = load(folders[name], "pt"), load(folders[name], "tf")
    assert len(outputs) >= 2 + 2 * BY_NAME[name].config.num_hidden_layers
    assert_all_close(outputs, others, FORWARD)


def relative_loss(exact, rounded):
    """Return the root mean square of what rounding changed, over that of the values."""
    return float(np.sqrt(np.square(exact - rounded).mean() / np.square(exact).mean()))


@pytest.mark.parametrize("name", BFLOAT16)
def test_both_lose_the_same_little_in_bfloat16(folders, name):
    (exact, _), (pt, _), (tf, _) = (load(folders[name], run) for run in ("float32", "pt", "tf"))
    assert pt.keys() == tf.keys() == exact.keys()
    for key in exact:
        losses = [relative_loss(exact[key], run[key]) for run in (pt, tf)]
        assert max(losses) < BFLOAT16_LOSS, f"{key}: {losses}"
        if exact[key].size > 1:  # one number alone, the loss, may round well by luck
            assert max(losses) / min(losses) < BFLOAT16_LOSS_RATIO, f"{key}: {losses}"


def without_gradient(name):
    """What shifts all inputs of a softmax alike, which a softmax does not see: keys, positions or choices."""
    return ("key.bias", *BY_NAME[name].without_gradient)


@pytest.mark.parametrize("name", FLOAT32)
def test_gradients_agree(folders, name):
    (_, gradients), (_, others) = load(folders[name], "pt"), load(folders[name], "tf")
    if BY_NAME[name].architecture != "ElectraModel":
        assert len(gradients) == len(open_checkpoint(folders[name] / "checkpoint").component().tensors)
        # A mask or a head that cuts the network off would make both sides agree on zeros.
        largest = {key: np.abs(value).max() for key, value in gradients.items()}
        assert not [key for key, size in largest.items() if size < 1e-6 and not key.endswith(without_gradient(name))]
    assert_all_close(gradients, others, GRADIENT)


@pytest.mark.parametrize("name", [case.name for case in CASES if case.is_trained])
def test_five_steps_of_training_end_in_the_same_weights(folders, name):
    (trained, _), (others, _) = load(folders[name], "pt_trained"), load(folders[name], "tf_trained")
    assert len(trained) == 1 + len(open_checkpoint(folders[name] / "checkpoint").component().tensors)
    assert np.abs(np.diff(trained["losses"])).min() > 1e-4
    assert_all_close(trained, others, FORWARD)


@pytest.mark.parametrize("name", NAMES)
def test_both_save_the_same_files(folders, name):
    for file in ("model.safetensors", "config.json"):
        ours, theirs = ((folders[name] / f"saved_by_{framework}" / file).read_bytes() for framework in ("pt", "tf"))
        assert ours == theirs, f"{file} differs"


@pytest.mark.parametrize("name", FLOAT32)
def test_saving_keeps_the_fingerprint(folders, name):
    before, after = (
        fingerprint(open_checkpoint(folders[name] / folder).component().tensors)
        for folder in ("checkpoint", "saved_by_tf")
    )
    assert before == after


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_one_framework_gives_the_same_numbers_in_the_other(folders, name):
    for own, foreign in (("pt", "pt_from_tf"), ("tf", "tf_from_pt")):
        (outputs, gradients), (others, other_gradients) = load(folders[name], own), load(folders[name], foreign)
        assert_all_close(outputs, others, FORWARD)
        assert_all_close(gradients, other_gradients, GRADIENT)
