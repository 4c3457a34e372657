"""Canonical tensors under Google's names, and back: the same networks, shared where they are the same."""

import numpy as np
import pytest

from electra_common import CheckpointError, open_checkpoint
from electra_common.weights.atomic import write_files
from electra_common.weights.components import google_components
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.formats.bundle_paths import find_prefix
from electra_common.weights.formats.tf1_bundle import read_bundle
from electra_common.weights.formats.tf1_bundle_writer import bundle_files
from electra_common.weights.google_names import google_tensors
from electra_common.weights.tensors import StoredTensor
from support import tiny_networks as tiny
from support.fixtures import GOOGLE

WORD_TABLE = "electra.embeddings.word_embeddings.weight"


def components_of(shapes, seed=0):
    """Return the networks of a checkpoint with these Google names and shapes: ``{component: {canonical: tensor}}``."""
    arrays = tiny.random_arrays(shapes, seed)
    return arrays, networks(tiny.stored(arrays))


def networks(tensors):
    found = google_components(tensors)
    assert not any(component.unexpected for component in found.values())
    return {name: dict(component.tensors) for name, component in found.items()}


def write(discriminator=None, generator=None):
    return google_tensors(discriminator, generator)


def fingerprints(found):
    return {name: fingerprint(tensors) for name, tensors in found.items()}


def changed(tensors, name, change):
    """Return tensors of which one array is another."""
    array = tensors[name].read().copy()
    change(array)
    return {**tensors, name: StoredTensor(name, array.shape, array.dtype.name, lambda: array)}


def raise_last(array):
    array.flat[-1] += 1


LAYOUTS = {
    "both networks": tiny.google_pretraining(),
    "untied embeddings": {
        **tiny.google_embeddings(),
        **tiny.google_encoder(),
        **tiny.google_embeddings("generator", 5),
        **tiny.google_encoder("generator", 7, 9, embedding=5),
        **tiny.google_discriminator_head(),
        **tiny.google_generator_head(7, 5),
    },
    "untied embeddings of one width": {
        **tiny.google_pretraining(),
        **tiny.google_embeddings("generator"),
    },
    "one network with two heads": {
        **tiny.google_embeddings(),
        **tiny.google_encoder(),
        **tiny.google_discriminator_head(),
        **tiny.google_generator_head(tiny.HIDDEN),
    },
    "a discriminator": {
        **tiny.google_embeddings(),
        **tiny.google_encoder(),
        **tiny.google_discriminator_head(),
    },
    "a discriminator without head": {**tiny.google_embeddings(), **tiny.google_encoder()},
    "a masked language model": {
        **tiny.google_embeddings(),
        **tiny.google_encoder(),
        **tiny.google_generator_head(tiny.HIDDEN),
    },
    "no projections": {
        **tiny.google_embeddings(),
        **tiny.google_encoder(hidden=tiny.EMBEDDING),
        **tiny.google_encoder("generator", tiny.EMBEDDING, 9),
        **tiny.google_discriminator_head(tiny.EMBEDDING),
        **tiny.google_generator_head(tiny.EMBEDDING),
    },
    "twelve layers": {
        **tiny.google_embeddings(),
        **tiny.google_encoder(layers=12),
        **tiny.google_encoder("generator", 7, 9, layers=11),
        **tiny.google_discriminator_head(),
        **tiny.google_generator_head(),
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_names_and_arrays_of_google_come_out_again(layout):
    arrays, found = components_of(LAYOUTS[layout])
    tiny.assert_same_bytes(arrays, tiny.read_all(write(**found)))


@pytest.mark.parametrize("name", ["init", "trained"])
def test_googles_own_checkpoint_keeps_its_fingerprints(name, tmp_path):
    checkpoint = open_checkpoint(GOOGLE / name)
    before = {key: dict(component.tensors) for key, component in checkpoint.components.items()}
    write_files(tmp_path, bundle_files("model.ckpt-0", write(**before)))
    after = open_checkpoint(tmp_path)
    assert set(after.components) == {"discriminator", "generator"}
    assert fingerprints({key: item.tensors for key, item in after.components.items()}) == fingerprints(before)
    original, _ = read_bundle(find_prefix(GOOGLE / name))
    written, _ = read_bundle(tmp_path / "model.ckpt-0")
    leftovers = {key for key in original if key.endswith(("/adam_m", "/adam_v")) or key == "global_step"}
    assert set(written) == set(original) - leftovers


def test_equal_embeddings_of_separate_files_are_written_once():
    _, found = components_of(LAYOUTS["both networks"])
    copy = {name: changed(found["generator"], name, lambda _: None)[name] for name in found["generator"]}
    result = write(found["discriminator"], copy)
    assert set(result) == set(LAYOUTS["both networks"])


@pytest.mark.parametrize("table", [WORD_TABLE, "electra.embeddings.LayerNorm.bias"])
def test_embeddings_that_differ_in_one_element_are_written_apart(table):
    _, found = components_of(LAYOUTS["both networks"])
    found["generator"] = changed(found["generator"], table, raise_last)
    result = write(**found)
    assert set(result) == set(LAYOUTS["untied embeddings of one width"])
    assert fingerprints(networks(result)) == fingerprints(found)


def test_embeddings_that_differ_only_in_the_sign_of_zero_are_written_apart():
    _, found = components_of(LAYOUTS["both networks"])
    found["discriminator"] = changed(found["discriminator"], WORD_TABLE, lambda array: array.fill(0.0))
    found["generator"] = changed(found["generator"], WORD_TABLE, lambda array: array.fill(-0.0))
    assert fingerprints(networks(write(**found))) == fingerprints(found)


def test_embeddings_that_are_not_numbers_can_be_shared():
    _, found = components_of(LAYOUTS["both networks"])
    found = {name: changed(item, WORD_TABLE, lambda array: array.fill(np.nan)) for name, item in found.items()}
    assert set(write(**found)) == set(LAYOUTS["both networks"])


def test_embeddings_of_another_dtype_are_written_apart():
    _, found = components_of(LAYOUTS["both networks"])
    found["generator"] = {name: tensor.astype("float16") for name, tensor in found["generator"].items()}
    result = write(**found)
    assert result["generator/embeddings/word_embeddings"].dtype == "float16"
    assert fingerprints(networks(result)) == fingerprints(found)


def test_networks_of_the_same_sizes_and_other_weights_stay_two():
    _, found = components_of(LAYOUTS["one network with two heads"])
    name = "electra.encoder.layer.1.output.dense.weight"
    found["generator"] = changed(found["generator"], name, raise_last)
    result = write(**found)
    assert "generator/encoder/layer_1/output/dense/kernel" in result
    assert "generator/embeddings/word_embeddings" not in result
    assert fingerprints(networks(result)) == fingerprints(found)


def test_a_generator_of_embeddings_alone_is_not_taken_for_the_discriminator():
    """Without layers and projection nothing but its embeddings could show that it is a network of its own."""
    shapes = {
        **tiny.google_embeddings(),
        **tiny.google_encoder(),
        **tiny.google_embeddings("generator"),
        **tiny.google_discriminator_head(),
        **tiny.google_generator_head(tiny.EMBEDDING),
    }
    _, found = components_of(shapes)
    found["generator"].update({name: item for name, item in found["discriminator"].items() if ".embeddings." in name})
    result = write(**found)
    assert set(result) == set(shapes)
    assert fingerprints(networks(result)) == fingerprints(found)


def test_nothing_is_read_where_nothing_can_be_shared():
    unread = {
        name: StoredTensor(name, tensor.shape, tensor.dtype, lambda: pytest.fail("read"))
        for name, tensor in components_of(LAYOUTS["a discriminator"])[1]["discriminator"].items()
    }
    assert len(write(unread)) == len(unread)


@pytest.mark.parametrize(
    "name",
    ["classifier.weight", "qa_outputs.bias", "generator_lm_head.weight", "generator_predictions.dense.weight",
     "electra.encoder.layer.{layer}.output.dense.weight", "something.else"],
)  # fmt: skip
def test_what_google_has_no_place_for_is_refused_by_name(name):
    _, found = components_of(LAYOUTS["a discriminator"])
    tensor = found["discriminator"][WORD_TABLE]
    with pytest.raises(CheckpointError) as error:
        write({**found["discriminator"], name: tensor, "nobody.knows": tensor})
    assert str(error.value).endswith(f"no place in its discriminator for {', '.join(sorted([name, 'nobody.knows']))}")


def test_an_untied_vocabulary_projection_is_refused():
    _, found = components_of(LAYOUTS["a masked language model"])
    weight = found["generator"][WORD_TABLE].renamed("generator_lm_head.weight")
    with pytest.raises(CheckpointError, match=r"its generator for generator_lm_head\.weight"):
        write(generator={**found["generator"], weight.name: weight})


def test_a_generator_that_would_be_read_as_a_discriminator_is_refused():
    _, found = components_of(LAYOUTS["a discriminator without head"])
    with pytest.raises(CheckpointError, match="a generator of 39 tensors would be read back as a discriminator of 39"):
        write(generator=found["discriminator"])


def test_a_network_without_word_embeddings_is_refused():
    _, found = components_of(LAYOUTS["a discriminator"])
    del found["discriminator"][WORD_TABLE]
    with pytest.raises(CheckpointError, match="parts are missing"):
        write(**found)


def test_one_network_at_least_must_be_given():
    with pytest.raises(ValueError, match="needs a discriminator, a generator or both"):
        write()
