"""Which tensor of a file belongs to which network, in every variant that Google's code and transformers wrote."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from electra_common.weights.components import google_components, is_google, transformers_component
from support import tiny_networks as tiny
from support.fixtures import TRANSFORMERS

WORDS = "electra.embeddings.word_embeddings.weight"


def google(shapes):
    """The networks of a Google checkpoint with these variables."""
    return google_components(tiny.stored(tiny.random_arrays(shapes)))


def transformers(arrays, architecture=None, tied=True):
    """The network of a transformers checkpoint with these arrays."""
    return transformers_component(tiny.stored(arrays), architecture=architecture, tied=tied)


def file_of(configuration, head):
    """What transformers wrote, read by the safetensors library."""
    return load_file(TRANSFORMERS / configuration / head / "model.safetensors")


# Google -------------------------------------------------------------------------------------------------------------


def test_a_usual_checkpoint_holds_two_networks():
    assert list(google(tiny.google_pretraining())) == ["discriminator", "generator"]


def test_both_networks_have_the_one_word_table():
    arrays = tiny.random_arrays(tiny.google_pretraining())
    for component in google_components(tiny.stored(arrays)).values():
        assert component.tensors[WORDS].read() is arrays["electra/embeddings/word_embeddings"]


def test_kernels_are_transposed_and_tables_are_not():
    arrays = tiny.random_arrays(tiny.google_pretraining())
    tensors = google_components(tiny.stored(arrays))["discriminator"].tensors
    kernel = tensors["electra.encoder.layer.1.output.dense.weight"]
    assert kernel.shape == (tiny.HIDDEN, tiny.INTERMEDIATE)
    np.testing.assert_array_equal(kernel.read(), arrays["electra/encoder/layer_1/output/dense/kernel"].T)
    table = tensors["electra.embeddings.position_embeddings.weight"]
    np.testing.assert_array_equal(table.read(), arrays["electra/embeddings/position_embeddings"])


def test_every_variable_ends_in_exactly_one_place():
    shapes = tiny.google_pretraining()
    for component in google(shapes).values():
        assert component.unexpected == ()
        assert len(component.tensors) + len(component.leftovers) == len(shapes)


def test_what_belongs_to_the_other_network_is_left_aside_with_that_reason():
    components = google(tiny.google_pretraining())
    left = components["discriminator"].leftovers
    assert left["generator/encoder/layer_0/output/dense/bias"] == "belongs to the generator"
    assert left["generator_predictions/output_bias"] == "belongs to the generator"
    left = components["generator"].leftovers
    assert left["electra/encoder/layer_0/output/dense/bias"] == "belongs to the discriminator"
    assert left["discriminator_predictions/dense_1/bias"] == "belongs to the discriminator"


def test_a_generator_with_its_own_embeddings_gets_those():
    own = tiny.google_embeddings("generator", tiny.GENERATOR_HIDDEN)
    shapes = {
        **tiny.google_embeddings(), **tiny.google_encoder(), **tiny.google_discriminator_head(), **own,
        **tiny.google_encoder("generator", tiny.GENERATOR_HIDDEN, 9, embedding=tiny.GENERATOR_HIDDEN),
        **tiny.google_generator_head(embedding=tiny.GENERATOR_HIDDEN),
    }  # fmt: skip
    components = google(shapes)
    assert components["generator"].tensors[WORDS].shape == (tiny.VOCABULARY, tiny.GENERATOR_HIDDEN)
    assert components["discriminator"].tensors[WORDS].shape == (tiny.VOCABULARY, tiny.EMBEDDING)
    assert components["generator"].leftovers["electra/embeddings/word_embeddings"] == "belongs to the discriminator"
    assert components["discriminator"].leftovers["generator/embeddings/LayerNorm/beta"] == "belongs to the generator"
    assert [component.unexpected for component in components.values()] == [(), ()]


def test_with_a_uniform_generator_there_is_only_the_discriminator():
    shapes = {**tiny.google_embeddings(), **tiny.google_encoder(), **tiny.google_discriminator_head()}
    components = google(shapes)
    assert list(components) == ["discriminator"]
    assert len(components["discriminator"].tensors) == len(shapes)


def test_a_generator_that_is_the_discriminators_network_shares_its_encoder():
    body = {**tiny.google_embeddings(), **tiny.google_encoder()}
    head = tiny.google_generator_head(hidden=tiny.HIDDEN)
    components = google({**body, **tiny.google_discriminator_head(), **head})
    assert len(components["generator"].tensors) == len(body) + len(head)
    assert len(components["discriminator"].tensors) == len(body) + 4


def test_a_plain_masked_language_model_is_a_generator_alone():
    head = tiny.google_generator_head(hidden=tiny.HIDDEN)
    components = google({**tiny.google_embeddings(), **tiny.google_encoder(), **head})
    assert list(components) == ["generator"]
    assert components["generator"].leftovers == {}


def test_an_encoder_without_a_head_is_a_discriminator():
    assert list(google({**tiny.google_embeddings(), **tiny.google_encoder()})) == ["discriminator"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("generator_ltr/encoder/layer_0/output/dense/kernel", "Electric's left-to-right generator"),
        ("generator_rtl/encoder/layer_0/output/dense/kernel", "Electric's right-to-left generator"),
        ("cloze_predictions/dense/kernel", "Electric's cloze head"),
        ("task_specific/mnli/dense/kernel", "head of Google's fine-tuning code"),
        ("global_step", "training step"),
        ("electra/embeddings/word_embeddings/adam_m", "Adam slot"),
        ("discriminator_predictions/dense/kernel/adam_v", "Adam slot"),
    ],
)
def test_a_known_leftover_is_left_aside_with_its_reason(name, reason):
    shapes = {**tiny.google_embeddings(), **tiny.google_encoder(), **tiny.google_discriminator_head()}
    component = google({**shapes, name: (3,)})["discriminator"]
    assert component.leftovers == {name: reason}
    assert component.unexpected == ()


@pytest.mark.parametrize(
    "name",
    [
        "electra/pooler/kernel",
        "electra/encoder/layer_00/output/dense/kernel",
        "electra/encoder/layer_{layer}/output/dense/kernel",
        "electra/encoder/layer_0/output/dense/weights",
        "somewhere/else/adam_m",
        "global_step_2",
        "",
    ],
)
def test_a_name_that_nobody_knows_is_unexpected(name):
    shapes = {**tiny.google_embeddings(), **tiny.google_encoder(), **tiny.google_discriminator_head()}
    component = google({**shapes, name: (10, 10)})["discriminator"]
    assert component.unexpected == (name,)
    assert len(component.tensors) == len(shapes)


def test_names_of_transformers_are_not_taken_for_googles():
    assert is_google(tiny.stored(tiny.random_arrays(tiny.google_embeddings())))
    assert not is_google(tiny.stored(file_of("base-like", "ForPreTraining")))


# transformers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "kind"), [("Model", "discriminator"), ("ForPreTraining", "discriminator"), ("ForMaskedLM", "generator")]
)
def test_the_kind_of_a_network_follows_from_its_head(head, kind):
    assert transformers(file_of("small-like", head)).name == kind


def test_a_bare_encoder_is_a_generator_if_its_config_says_so():
    assert transformers(file_of("small-like", "Model"), architecture="ElectraForMaskedLM").name == "generator"


def test_a_bare_encoder_gets_the_prefix():
    arrays = file_of("small-like", "Model")
    component = transformers(arrays)
    assert set(component.tensors) == {f"electra.{name}" for name in arrays}
    assert component.unexpected == ()


def test_the_oldest_norm_names_are_understood():
    arrays = file_of("small-like", "ForPreTraining")
    names = {name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
             for name in arrays}  # fmt: skip
    assert sum(old != new for new, old in names.items()) == 2 + 3 * 4
    component = transformers({names[name]: array for name, array in arrays.items()})
    tiny.assert_same_bytes(arrays, tiny.read_all(component.tensors))


def test_two_names_for_one_tensor_are_unexpected():
    arrays = file_of("small-like", "Model")
    arrays["embeddings.LayerNorm.gamma"] = arrays["embeddings.LayerNorm.weight"] + 1
    component = transformers(arrays)
    assert component.unexpected == ("embeddings.LayerNorm.gamma",)
    np.testing.assert_array_equal(
        component.tensors["electra.embeddings.LayerNorm.weight"].read(), arrays["embeddings.LayerNorm.weight"]
    )


@pytest.mark.parametrize(("head", "prefix"), [("Model", ""), ("ForMaskedLM", "electra.")])
@pytest.mark.parametrize("buffer", ["position_ids", "token_type_ids"])
def test_buffers_of_older_releases_are_left_aside(head, prefix, buffer):
    arrays = file_of("small-like", head)
    arrays[f"{prefix}embeddings.{buffer}"] = np.arange(32)[None]
    component = transformers(arrays)
    assert set(component.leftovers) == {f"{prefix}embeddings.{buffer}"}
    assert component.unexpected == ()


def test_a_buffer_in_another_place_is_unexpected():
    arrays = {**file_of("small-like", "ForMaskedLM"), "pooler.embeddings.position_ids": np.arange(3)}
    assert transformers(arrays).unexpected == ("pooler.embeddings.position_ids",)


def test_a_projection_between_equal_widths_is_left_aside():
    arrays = file_of("base-like", "ForPreTraining")
    stray = {"electra.embeddings_project.weight": np.ones((24, 24), np.float32),
             "electra.embeddings_project.bias": np.ones(24, np.float32)}  # fmt: skip
    component = transformers({**arrays, **stray})
    assert set(component.leftovers) == set(stray)
    assert set(component.tensors) == set(arrays)


def test_a_projection_between_different_widths_is_a_weight():
    component = transformers(file_of("small-like", "ForPreTraining"))
    assert component.tensors["electra.embeddings_project.weight"].shape == (32, 16)
    assert component.leftovers == {}


def test_a_tied_copy_of_the_word_table_is_left_aside():
    arrays = file_of("small-like", "ForMaskedLM")
    arrays["generator_lm_head.weight"] = arrays[WORDS].copy()
    component = transformers(arrays)
    assert component.leftovers == {"generator_lm_head.weight": "copy of the word embeddings"}


def test_a_tied_copy_is_known_by_its_bytes_even_where_it_is_not_a_number():
    arrays = file_of("small-like", "ForMaskedLM")
    arrays[WORDS][3, 5] = np.nan
    arrays["generator_lm_head.weight"] = arrays[WORDS].copy()
    assert "generator_lm_head.weight" in transformers(arrays).leftovers


def test_a_vocabulary_projection_that_differs_is_a_weight():
    arrays = file_of("small-like", "ForMaskedLM")
    arrays["generator_lm_head.weight"] = arrays[WORDS] + 1
    component = transformers(arrays)
    assert component.leftovers == {}
    np.testing.assert_array_equal(component.tensors["generator_lm_head.weight"].read(), arrays[WORDS] + 1)


def test_an_equal_vocabulary_projection_is_a_weight_if_the_config_does_not_tie():
    arrays = file_of("small-like", "ForMaskedLM")
    arrays["generator_lm_head.weight"] = arrays[WORDS].copy()
    assert "generator_lm_head.weight" in transformers(arrays, tied=False).tensors


def test_an_unknown_name_is_unexpected():
    arrays = {**file_of("base-like", "ForPreTraining"), "electra.pooler.dense.weight": np.ones((3, 5), np.float32)}
    assert transformers(arrays).unexpected == ("electra.pooler.dense.weight",)
