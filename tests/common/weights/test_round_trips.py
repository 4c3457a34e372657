"""Every writable form into every other and back: the fingerprint stays what it was."""

import json
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest

from electra_common import CheckpointError, ElectraConfig, convert_checkpoint, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.saving import TWO_NETWORK_FORMATS, WRITABLE_FORMATS, save_folder
from support.fixtures import ALL_HEADS, CONFIGURATIONS, GOOGLE, GOOGLE_HEADS, TRANSFORMERS

# Of a folder that holds several forms, see docs/checkpoints.
READING_ORDER = (
    "safetensors",
    "joint",
    "npz",
    "bin",
    "h5",
    "tf1",
)
PAIRS = list(permutations(WRITABLE_FORMATS, 2))
SOURCES = {
    "google, discriminator": (GOOGLE / "trained", "discriminator"),
    "google, generator": (GOOGLE / "trained", "generator"),
    "small-like, discriminator": (TRANSFORMERS / "small-like" / "ForPreTraining", "discriminator"),
    "small-like, generator": (TRANSFORMERS / "small-like" / "ForMaskedLM", "generator"),
    "base-like, discriminator": (TRANSFORMERS / "base-like" / "ForPreTraining", "discriminator"),
    "base-like, generator": (TRANSFORMERS / "base-like" / "ForMaskedLM", "generator"),
}


def fingerprint_of(path, component):
    return fingerprint(open_checkpoint(path).component(component).tensors)


def tour():
    """Return the writable forms in an order in which each comes right behind every other one."""
    path = []
    for number, here in enumerate(WRITABLE_FORMATS):
        path.append(here)
        for there in WRITABLE_FORMATS[number + 1 :]:
            path += [there, here]
    assert set(pairwise(path)) == set(PAIRS)
    return path


@pytest.mark.parametrize("source", SOURCES)
def test_from_any_form_into_any_other_changes_no_bit(tmp_path, source):
    path, component = SOURCES[source]
    heads = GOOGLE_HEADS if path.parent == GOOGLE else None
    before = fingerprint_of(path, component)
    here, options = path, {"component": component, "num_attention_heads": heads}
    configs = set()
    for number, form in enumerate(tour()):
        there = tmp_path / str(number)
        convert_checkpoint(here, there, format=form, **options)
        assert open_checkpoint(there).format == form
        assert fingerprint_of(there, component) == before, f"step {number}, into {form}"
        configs.add((there / "config.json").read_text())
        here, options = there, {}
    assert len(configs) == 1


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("head", ALL_HEADS)
def test_all_three_forms_of_transformers_have_one_fingerprint(configuration, head):
    folder = TRANSFORMERS / configuration / head
    checkpoints = [open_checkpoint(folder / name) for name in ("model.safetensors", "pytorch_model.bin", "tf_model.h5")]
    assert [item.format for item in checkpoints] == ["safetensors", "bin", "h5"]
    assert not [item.component().unexpected for item in checkpoints if item.component().unexpected]
    assert len({fingerprint(item.component().tensors) for item in checkpoints}) == 1


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("format", ["bin", "h5", "npz", "joint"])
def test_every_head_goes_through_every_form_that_has_a_place_for_it(tmp_path, head, format):
    folder = TRANSFORMERS / "small-like" / head
    (done,) = convert_checkpoint(folder, tmp_path / "new", format=format)
    assert done.unchanged
    assert done.architecture == f"Electra{head}"


def test_googles_form_has_no_place_for_a_fine_tuned_head(tmp_path):
    with pytest.raises(CheckpointError, match="qa_outputs"):
        convert_checkpoint(TRANSFORMERS / "small-like" / "ForQuestionAnswering", tmp_path / "new", format="tf1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", TWO_NETWORK_FORMATS)
def test_both_networks_go_into_one_checkpoint_and_come_back(tmp_path, format):
    """The shared embeddings are stored once, and the heads that shapes do not tell are in two configs."""
    done = convert_checkpoint(GOOGLE / "trained", tmp_path / "one", format=format, num_attention_heads=GOOGLE_HEADS)
    assert {item.folder for item in done} == {tmp_path / "one"}
    again = open_checkpoint(tmp_path / "one")
    assert again.format == format
    for component, heads in GOOGLE_HEADS.items():
        assert fingerprint_of(tmp_path / "one", component) == fingerprint_of(GOOGLE / "trained", component)
        assert again.config_of(again.component(component)).num_attention_heads == heads
    size = sum(file.stat().st_size for file in (tmp_path / "one").iterdir())
    assert size < (GOOGLE / "trained" / "model.ckpt-6.data-00000-of-00001").stat().st_size / 2  # no Adam slots


@pytest.mark.parametrize("max_shard_size", [None, 50_000])
def test_both_networks_go_from_one_checkpoint_of_two_into_the_other_and_back(tmp_path, max_shard_size):
    convert_checkpoint(
        GOOGLE / "trained", tmp_path / "a", format="joint", max_shard_size=max_shard_size,
        num_attention_heads=GOOGLE_HEADS,
    )  # fmt: skip
    convert_checkpoint(tmp_path / "a", tmp_path / "b", format="tf1")
    convert_checkpoint(tmp_path / "b", tmp_path / "c", format="joint")
    for component in GOOGLE_HEADS:
        prints = {fingerprint_of(tmp_path / name, component) for name in "abc"}
        assert prints == {fingerprint_of(GOOGLE / "trained", component)}
    for name in ("config.json", "generator_config.json"):
        assert len({(tmp_path / folder / name).read_text() for folder in "abc"}) == 1
    assert len(list((tmp_path / "a").glob("joint-*-of-*.safetensors"))) == (0 if max_shard_size is None else 14)


@pytest.mark.parametrize("format", ["safetensors", "bin"])
def test_shards_hold_what_one_file_holds(tmp_path, format):
    source = TRANSFORMERS / "small-like" / "ForMaskedLM"
    (done,) = convert_checkpoint(source, tmp_path / "new", format=format, max_shard_size=20_000)
    assert done.unchanged
    suffix = {"safetensors": "safetensors", "bin": "bin"}[format]
    shards = sorted((tmp_path / "new").glob(f"*-of-*.{suffix}"))
    assert len(shards) > 3
    (index,) = (tmp_path / "new").glob("*.index.json")
    assert set(json.loads(index.read_text())["weight_map"].values()) == {file.name for file in shards}
    assert open_checkpoint(tmp_path / "new").format == format


@pytest.mark.parametrize("format", ["safetensors", "bin", "tf1", "npz"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_changing_the_dtype_reports_the_largest_error(tmp_path, format, dtype):
    source = TRANSFORMERS / "base-like" / "ForPreTraining"
    (done,) = convert_checkpoint(source, tmp_path / "new", format=format, dtype=dtype)
    assert not done.unchanged
    before, after = (open_checkpoint(path).component().tensors for path in (source, tmp_path / "new"))
    errors = [np.abs(before[name].read() - after[name].read().astype(np.float32)).max() for name in before]
    assert {tensor.dtype for tensor in after.values()} == {dtype}
    assert done.rounding_error == pytest.approx(max(errors), rel=1e-6)
    assert 0 < done.rounding_error < 0.01
    assert ElectraConfig.from_pretrained(tmp_path / "new").dtype == dtype


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_weights_are_never_saved_where_older_ones_would_be_read_instead(tmp_path, first, second):
    """A folder may end up with two forms, but then loading takes those that were saved last."""
    checkpoint = open_checkpoint(TRANSFORMERS / "base-like" / "ForPreTraining")
    tensors = dict(checkpoint.component().tensors)
    save_folder(tmp_path, checkpoint.config, tensors, format=first)
    name = "discriminator_predictions.dense.bias"
    newer = {**tensors, name: replace(tensors[name], read=lambda: np.full(tensors[name].shape, 7, np.float32))}
    if READING_ORDER.index(first) < READING_ORDER.index(second):
        with pytest.raises(CheckpointError, match="save into another folder"):
            save_folder(tmp_path, checkpoint.config, newer, format=second)
        assert open_checkpoint(tmp_path).format == first
        return
    save_folder(tmp_path, checkpoint.config, newer, format=second)
    assert open_checkpoint(tmp_path).format == second
    assert (open_checkpoint(tmp_path).component().tensors[name].read() == 7).all()


def test_widening_the_dtype_loses_nothing(tmp_path):
    source = TRANSFORMERS / "base-like" / "ForPreTraining"
    convert_checkpoint(source, tmp_path / "half", dtype="bfloat16")
    (done,) = convert_checkpoint(tmp_path / "half", tmp_path / "whole", dtype="float32")
    assert done.rounding_error == 0.0


def test_a_value_that_does_not_fit_the_dtype_is_an_error_and_leaves_nothing(tmp_path):
    source = TRANSFORMERS / "base-like" / "ForPreTraining"
    convert_checkpoint(source, tmp_path / "wide", dtype="float64")
    checkpoint = open_checkpoint(tmp_path / "wide")
    tensors = dict(checkpoint.component().tensors)
    name = next(iter(tensors))
    big = tensors[name].read().copy()
    big.flat[0] = 1e5
    tensors[name] = replace(tensors[name], read=lambda: big)
    save_folder(tmp_path / "big", checkpoint.config, tensors)
    with pytest.raises(CheckpointError, match=r"1e\+05 does not fit into float16"):
        convert_checkpoint(tmp_path / "big", tmp_path / "new", dtype="float16")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("arguments", [{"format": "h5", "max_shard_size": 1000}, {"dtype": "int8"}, {"format": "pt"}])
def test_options_that_cannot_be_honoured_are_refused(tmp_path, arguments):
    with pytest.raises(ValueError, match=r"not written in shards|dtype must be|format must be"):
        convert_checkpoint(GOOGLE / "trained", tmp_path / "new", **arguments)
    assert not list(tmp_path.iterdir())
