"""``model.safetensors`` as transformers' TensorFlow classes wrote it: its metadata says "tf", names end in ":0"."""

import pytest

from electra_common import open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.formats.safetensors import write_safetensors
from electra_common.weights.formats.tf_h5 import read_tf_h5
from support.fixtures import ALL_HEADS, TRANSFORMERS


@pytest.mark.parametrize("head", ALL_HEADS)
def test_the_tensors_are_turned_to_the_canonical_form(tmp_path, head):
    """The file is made from what transformers itself put into tf_model.h5, untransposed, under its variables' names."""
    folder = TRANSFORMERS / "small-like" / head
    variables, _ = read_tf_h5(folder / "tf_model.h5")
    named = {f"{name}:0": tensor for name, tensor in variables.items()}
    with open(tmp_path / "model.safetensors", "xb") as stream:
        write_safetensors(stream, named, {"format": "tf"})
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    found, expected = (open_checkpoint(path).component() for path in (tmp_path, folder))
    assert not found.unexpected
    assert fingerprint(found.tensors) == fingerprint(expected.tensors)
