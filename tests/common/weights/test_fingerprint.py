"""The fingerprint: its definition, recomputed here, and what it does and does not depend on."""

import hashlib

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from electra_common import open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from support import tiny_networks as tiny
from support.bundle_writer import write_bundle
from support.fixtures import ALL_HEADS, TRANSFORMERS


def by_definition(arrays):
    """SHA-256 over `name|dtype|d0,d1,...` and a line feed, then the little-endian bytes, names in sorted order."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}|{array.dtype.name}|{','.join(map(str, array.shape))}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("head", ALL_HEADS)
def test_the_fingerprint_of_a_file_is_that_of_its_definition(head):
    folder = TRANSFORMERS / "small-like" / head
    prefix = "electra." if head == "Model" else ""
    arrays = {prefix + name: array for name, array in load_file(folder / "model.safetensors").items()}
    assert fingerprint(open_checkpoint(folder).component().tensors) == by_definition(arrays)


def test_a_small_example_is_computed_by_hand():
    arrays = {"b": np.array([1.0], np.float32), "a": np.array([[1, 2]], np.uint8)}
    text = b"a|uint8|1,2\n\x01\x02" + b"b|float32|1\n\x00\x00\x80\x3f"
    assert fingerprint(tiny.stored(arrays)) == hashlib.sha256(text).hexdigest()


def test_a_scalar_has_an_empty_shape():
    text = b"x|int64|\n" + (7).to_bytes(8, "little")
    assert fingerprint(tiny.stored({"x": np.array(7)})) == hashlib.sha256(text).hexdigest()


def test_bfloat16_counts_with_its_two_bytes():
    arrays = {"x": np.array([1.0, -2.0], ml_dtypes.bfloat16)}
    text = b"x|bfloat16|2\n\x80\x3f\x00\xc0"
    assert fingerprint(tiny.stored(arrays)) == hashlib.sha256(text).hexdigest()


def test_equal_weights_in_both_formats_have_one_fingerprint(tmp_path):
    """The same network as Google stores it and as transformers does, both written without our writer."""
    google = tiny.random_arrays(
        {**tiny.google_embeddings(), **tiny.google_encoder(), **tiny.google_discriminator_head()}
    )
    write_bundle(tmp_path / "model.ckpt-1", google)
    transformers = {}
    for name, array in google.items():
        canonical = name.replace("layer_", "layer.").replace("dense_1", "dense_prediction").replace("/", ".")
        last = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}.get(name.rsplit("/", 1)[1])
        canonical = f"{canonical}.weight" if last is None else f"{canonical.rsplit('.', 1)[0]}.{last}"
        transformers[canonical] = np.ascontiguousarray(array.T) if name.endswith("kernel") else array
    save_file(transformers, tmp_path / "model.safetensors")
    first = open_checkpoint(tmp_path / "model.ckpt-1").component().tensors
    second = open_checkpoint(tmp_path / "model.safetensors").component().tensors
    assert fingerprint(first) == fingerprint(second) == by_definition(transformers)


def test_optimizer_slots_do_not_count(tmp_path):
    google = tiny.random_arrays({**tiny.google_embeddings(), **tiny.google_encoder()})
    slots = {f"{name}/adam_{slot}": array * 0 for name, array in google.items() for slot in "mv"}
    write_bundle(tmp_path / "plain", google)
    write_bundle(tmp_path / "trained", {**google, **slots, "global_step": np.array(7)})
    plain, trained = (open_checkpoint(tmp_path / name).component().tensors for name in ("plain", "trained"))
    assert fingerprint(plain) == fingerprint(trained)


def test_a_tied_copy_does_not_count(tmp_path):
    source = TRANSFORMERS / "small-like" / "ForMaskedLM"
    arrays = load_file(source / "model.safetensors")
    arrays["generator_lm_head.weight"] = arrays["electra.embeddings.word_embeddings.weight"].copy()
    save_file(arrays, tmp_path / "model.safetensors")
    both = (open_checkpoint(folder).component().tensors for folder in (source, tmp_path))
    assert fingerprint(next(both)) == fingerprint(next(both))


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays["a"].__setitem__((1, 2), np.nextafter(arrays["a"][1, 2], np.float32(9))),
        lambda arrays: arrays.update(a=arrays["a"].reshape(5, 3)),
        lambda arrays: arrays.update(a=arrays["a"].view(np.int32)),
        lambda arrays: arrays.update(a2=arrays.pop("a")),
        lambda arrays: arrays.update(a=arrays["b"], b=arrays["a"]),
        lambda arrays: arrays.update(c=np.zeros(0, np.float32)),
        lambda arrays: arrays.pop("b"),
    ],
)
def test_any_change_changes_the_fingerprint(change):
    arrays = tiny.random_arrays({"a": (3, 5), "b": (3, 5)})
    before = fingerprint(tiny.stored(arrays))
    change(arrays)
    assert fingerprint(tiny.stored(arrays)) != before


def test_neither_order_nor_memory_layout_matters():
    arrays = tiny.random_arrays({"a": (3, 5), "b": (7,)})
    turned = {"b": arrays["b"].astype(">f4"), "a": np.asfortranarray(arrays["a"])}
    assert fingerprint(tiny.stored(turned)) == fingerprint(tiny.stored(arrays))


def test_progress_is_told_the_bytes_of_each_tensor():
    told = []
    fingerprint(tiny.stored(tiny.random_arrays({"a": (3, 5), "b": (7,)})), progress=told.append)
    assert told == [60, 28]
