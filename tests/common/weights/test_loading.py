"""Matching a checkpoint with a model class: strict, with all problems in one error, and with named exceptions."""

import json
import math
import time
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from electra_common import CheckpointError, ElectraConfig
from electra_common.weights.loading import plan_loading
from electra_common.weights.shapes import expected_shapes
from support import tiny_networks as tiny
from support.bundle_writer import write_bundle
from support.fixtures import GOOGLE, TRANSFORMERS

QUERY = "electra.encoder.layer.1.attention.self.query.weight"


@pytest.fixture
def folder_of(tmp_path):
    """Make a folder from a fixture, its arrays and its config changed."""

    def make(configuration, head, change=lambda arrays: None, **config_changes):
        source = TRANSFORMERS / configuration / head
        arrays = load_file(source / "model.safetensors")
        change(arrays)
        save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((source / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, **config_changes}))
        return tmp_path

    return make


def test_a_checkpoint_that_fits_is_loaded_whole(folder_of):
    folder = folder_of("small-like", "ForTokenClassification")
    plan = plan_loading(folder, "ElectraForTokenClassification")
    arrays = load_file(folder / "model.safetensors")
    tiny.assert_same_bytes(arrays, tiny.read_all(plan.tensors))
    assert plan.report.loaded == tuple(sorted(arrays))
    assert plan.report.is_complete
    assert (plan.report.new, plan.report.leftovers, plan.report.tied) == ((), {}, ())


def test_missing_unexpected_and_wrong_shaped_tensors_stand_in_one_error(folder_of):
    def change(arrays):
        del arrays["electra.embeddings.LayerNorm.bias"]
        del arrays["discriminator_predictions.dense.bias"]
        arrays["electra.pooler.dense.weight"] = np.ones((3, 5), np.float32)
        arrays["extra.bias"] = np.ones(7, np.float32)
        arrays[QUERY] = np.ones((32, 31), np.float32)
        arrays["electra.embeddings.position_embeddings.weight"] = np.ones((16, 32), np.float32)

    with pytest.raises(CheckpointError) as error:
        plan_loading(folder_of("small-like", "ForPreTraining", change), "ElectraForPreTraining")
    before, _, _ = str(error.value).rpartition("; ")  # what to do about it, see test_load_errors
    assert before.endswith(
        "the discriminator does not fit the model: "
        "2 missing (discriminator_predictions.dense.bias, electra.embeddings.LayerNorm.bias); "
        "2 unexpected (electra.pooler.dense.weight, extra.bias); "
        "2 wrong shape (electra.embeddings.position_embeddings.weight: expected [32, 16], found [16, 32], "
        f"{QUERY}: expected [32, 32], found [32, 31])"
    )


def test_weights_of_integers_are_refused(folder_of):
    folder = folder_of("small-like", "Model", lambda arrays: arrays.update({
        "encoder.layer.0.output.dense.bias": np.ones(32, np.int32)}))  # fmt: skip
    name = "electra.encoder.layer.0.output.dense.bias"
    with pytest.raises(CheckpointError, match=rf"1 missing \({name}\); 1 unexpected \({name} of int32\)"):
        plan_loading(folder, "ElectraModel")


def test_layers_beyond_those_of_the_config_are_unexpected(folder_of):
    folder = folder_of("small-like", "ForPreTraining", num_hidden_layers=2)
    with pytest.raises(CheckpointError, match=r"16 unexpected \(electra\.encoder\.layer\.2\.attention"):
        plan_loading(folder, "ElectraForPreTraining")


# New heads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "architecture"),
    [
        ("ForPreTraining", "ElectraForMaskedLM"),
        ("ForMaskedLM", "ElectraForPreTraining"),
        ("Model", "ElectraForQuestionAnswering"),
        ("ForTokenClassification", "ElectraForSequenceClassification"),
        ("ForQuestionAnswering", "ElectraForMultipleChoice"),
    ],
)
def test_a_head_that_the_checkpoint_does_not_have_is_new_with_one_warning(head, architecture):
    folder = TRANSFORMERS / "small-like" / head
    with pytest.warns(UserWarning, match="they were initialised and must be trained before use") as warnings:
        report = plan_loading(folder, architecture, config_overrides={"num_labels": 2}).report
    config = ElectraConfig.from_pretrained(folder).replace(num_labels=2)
    encoder = set(expected_shapes(config, "ElectraModel"))
    assert len(warnings) == 1
    assert set(report.new) == set(expected_shapes(config, architecture)) - encoder
    assert set(report.loaded) == encoder
    assert all(name in str(warnings[0].message) for name in report.new)


def test_a_head_that_the_config_cannot_make_is_an_error_before_anything_is_built():
    with pytest.raises(CheckpointError, match=r"Model.*needs num_labels 2.*found 3: pass num_labels=2"):
        plan_loading(TRANSFORMERS / "small-like" / "Model", "ElectraForQuestionAnswering")


@pytest.mark.parametrize(
    ("component", "architecture"),
    [("discriminator", "ElectraForMaskedLM"), ("generator", "ElectraForPreTraining")],
)
def test_the_other_network_of_googles_checkpoint_gets_a_new_head(component, architecture):
    with pytest.warns(UserWarning, match=f"the {component} has no weights for"):
        plan = plan_loading(GOOGLE / "init", architecture, component=component)
    assert plan.report.component == component
    assert plan.config.hidden_size == {"discriminator": 64, "generator": 32}[component]


def test_a_new_head_larger_than_all_that_was_loaded_is_refused():
    folder = TRANSFORMERS / "base-like" / "Model"
    with pytest.raises(CheckpointError, match="the new head would have 5000000 weights, the file gives only"):
        plan_loading(folder, "ElectraForTokenClassification", config_overrides={"num_labels": 200_000})


def test_a_small_head_may_be_larger_than_a_small_encoder():
    folder, changes = TRANSFORMERS / "base-like" / "Model", {"num_labels": 2, "head": "google"}
    with pytest.warns(UserWarning, match="has no weights for answer_head"):
        plan = plan_loading(folder, "ElectraForQuestionAnswering", config_overrides=changes)
    shapes = expected_shapes(plan.config, "ElectraForQuestionAnswering")
    new, loaded = (sum(math.prod(shapes[name]) for name in names) for names in (plan.report.new, plan.report.loaded))
    assert new > loaded


@pytest.mark.parametrize(
    ("head", "lost"),
    [
        ("ForPreTraining", "discriminator_predictions.dense.weight"),
        ("ForMaskedLM", "generator_lm_head.bias"),
        ("ForSequenceClassification", "classifier.out_proj.bias"),
        ("ForMultipleChoice", "classifier.bias"),
    ],
)
def test_half_a_head_is_an_error(folder_of, head, lost):
    folder = folder_of("small-like", head, lambda arrays: arrays.pop(lost))
    with pytest.raises(CheckpointError, match=rf"1 missing \({lost}\)"):
        plan_loading(folder, f"Electra{head}")


def test_a_multiple_choice_head_without_its_summary_is_half_a_head(folder_of):
    def change(arrays):
        del arrays["sequence_summary.summary.weight"], arrays["sequence_summary.summary.bias"]

    with pytest.raises(CheckpointError, match=r"2 missing \(sequence_summary\.summary\.bias"):
        plan_loading(folder_of("small-like", "ForMultipleChoice", change), "ElectraForMultipleChoice")


def test_a_head_of_another_number_of_labels_is_an_error(folder_of):
    with pytest.raises(CheckpointError, match=r"classifier\.weight: expected \[5, 32\], found \[3, 32\]"):
        plan_loading(
            folder_of("small-like", "ForTokenClassification"),
            "ElectraForTokenClassification",
            config_overrides={"num_labels": 5},
        )


def test_a_head_that_the_class_does_not_have_is_left_aside():
    report = plan_loading(TRANSFORMERS / "base-like" / "ForQuestionAnswering", "ElectraModel").report
    assert set(report.leftovers) == {"qa_outputs.weight", "qa_outputs.bias"}
    assert report.leftover_reasons() == {"head that ElectraModel does not have": 2}


# The vocabulary projection ------------------------------------------------------------------------------------------


def test_the_tied_projection_is_reported(folder_of):
    plan = plan_loading(folder_of("small-like", "ForMaskedLM"), "ElectraForMaskedLM")
    assert plan.report.tied == ("generator_lm_head.weight",)
    assert "generator_lm_head.weight" not in plan.tensors


def untie(arrays):
    arrays["generator_lm_head.weight"] = arrays["electra.embeddings.word_embeddings.weight"] * 2


def test_an_untied_projection_is_loaded_if_the_config_says_so(folder_of):
    folder = folder_of("small-like", "ForMaskedLM", untie, tie_word_embeddings=False)
    plan = plan_loading(folder, "ElectraForMaskedLM")
    assert plan.report.tied == ()
    np.testing.assert_array_equal(
        plan.tensors["generator_lm_head.weight"].read(),
        2 * plan.tensors["electra.embeddings.word_embeddings.weight"].read(),
    )


def test_an_untied_projection_under_a_tying_config_is_an_error(folder_of):
    with pytest.raises(CheckpointError, match=r"1 unexpected \(generator_lm_head\.weight\)"):
        plan_loading(folder_of("small-like", "ForMaskedLM", untie), "ElectraForMaskedLM")


def test_an_untied_projection_that_is_not_there_is_an_error(folder_of):
    folder = folder_of("small-like", "ForMaskedLM", tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"1 missing \(generator_lm_head\.weight\)"):
        plan_loading(folder, "ElectraForMaskedLM")


def test_an_untied_projection_is_left_aside_by_a_class_without_it(folder_of):
    folder = folder_of("small-like", "ForMaskedLM", untie, tie_word_embeddings=False)
    assert "generator_lm_head.weight" in plan_loading(folder, "ElectraModel").report.leftovers


# Which network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "component"),
    [
        ("ElectraForMaskedLM", "generator"),
        ("ElectraForPreTraining", "discriminator"),
        ("ElectraModel", "discriminator"),
    ],
)
def test_the_network_is_the_one_that_the_class_is_for(architecture, component):
    assert plan_loading(GOOGLE / "init", architecture).report.component == component


def test_the_generators_encoder_can_be_asked_for():
    plan = plan_loading(GOOGLE / "init", "ElectraModel", component="generator")
    assert (plan.report.component, plan.config.hidden_size) == ("generator", 32)


def test_a_network_that_is_not_there_is_an_error():
    with pytest.raises(CheckpointError, match="holds no generator, only a discriminator"):
        plan_loading(TRANSFORMERS / "base-like" / "ForPreTraining", "ElectraModel", component="generator")


def test_a_network_of_an_unknown_name_is_a_wrong_argument():
    with pytest.raises(ValueError, match="component must be 'discriminator' or 'generator', found 'critic'"):
        plan_loading(GOOGLE / "init", "ElectraModel", component="critic")


# The config ---------------------------------------------------------------------------------------------------------


def test_a_config_is_read_off_the_shapes_where_there_is_none(tmp_path):
    write_bundle(tmp_path / "model.ckpt-3", tiny.random_arrays(tiny.google_pretraining()))
    config = plan_loading(tmp_path, "ElectraForMaskedLM").config
    sizes = {"vocab_size": 13, "max_position_embeddings": 11, "type_vocab_size": 2, "embedding_size": 6,
             "hidden_size": 7, "intermediate_size": 9, "num_hidden_layers": 2}  # fmt: skip
    assert {name: getattr(config, name) for name in sizes} == sizes


def test_the_number_of_heads_is_googles_rule_unless_it_is_given():
    assert plan_loading(GOOGLE / "init", "ElectraForPreTraining").config.num_attention_heads == 1
    plan = plan_loading(GOOGLE / "init", "ElectraForPreTraining", config_overrides={"num_attention_heads": 4})
    assert plan.config.num_attention_heads == 4


def test_the_classes_config_is_the_one_that_was_asked_for():
    folder = TRANSFORMERS / "base-like" / "ForPreTraining"
    assert plan_loading(folder, "ElectraModel").config.architectures == ("ElectraModel",)


def test_a_given_config_takes_the_place_of_the_stored_one():
    folder = TRANSFORMERS / "base-like" / "ForPreTraining"
    given = ElectraConfig.from_pretrained(folder).replace(hidden_act="relu")
    assert plan_loading(folder, "ElectraForPreTraining", config=given).config.hidden_act == "relu"


@pytest.mark.parametrize("config", [{"hidden_size": 24}, "config.json"])
def test_what_is_no_config_is_a_wrong_argument(config):
    with pytest.raises(ValueError, match=f"config must be an ElectraConfig, found a {type(config).__name__}; make one"):
        plan_loading(TRANSFORMERS / "base-like" / "Model", "ElectraModel", config=config)


def test_an_override_of_an_unknown_field_is_a_wrong_argument():
    with pytest.raises(ValueError, match="no field hiden_act") as error:
        plan_loading(GOOGLE / "init", "ElectraModel", config_overrides={"hiden_act": "relu"})
    assert not isinstance(error.value, CheckpointError)


def test_a_class_that_nobody_knows_is_refused():
    with pytest.raises(CheckpointError, match="no class 'BertModel'"):
        plan_loading(TRANSFORMERS / "base-like" / "ForPreTraining", "BertModel")


@pytest.mark.parametrize("layers", [1000, 10**9, 10**18])
def test_a_config_that_asks_for_absurdly_many_layers_costs_nothing(folder_of, layers):
    folder = folder_of("base-like", "ForPreTraining", num_hidden_layers=layers)
    tracemalloc.start()
    begin = time.monotonic()
    with pytest.raises(CheckpointError, match=f"asks for {layers} layers, the file has 2"):
        plan_loading(folder, "ElectraForPreTraining")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - begin < 5
    assert peak < 4 << 20


def test_a_file_that_names_a_layer_beyond_its_number_of_tensors_is_refused(folder_of):
    def change(arrays):
        arrays["electra.encoder.layer.999999.output.dense.bias"] = np.ones(24, np.float32)

    with pytest.raises(CheckpointError, match="names layer 999999, but holds only"):
        plan_loading(folder_of("base-like", "ForPreTraining", change), "ElectraForPreTraining")


# dtype --------------------------------------------------------------------------------------------------------------


def to_half(arrays):
    arrays.update({name: array.astype(np.float16) for name, array in arrays.items()})


@pytest.mark.parametrize(
    ("asked", "found"),
    [(None, "float32"), ("auto", "float16"), ("float16", "float16"), ("bfloat16", "bfloat16"), ("float64", "float64")],
)
def test_the_dtype_is_the_one_asked_for(folder_of, asked, found):
    plan = plan_loading(folder_of("base-like", "Model", to_half), "ElectraModel", dtype=asked)
    assert (plan.dtype, plan.config.dtype) == (found, found)


def test_automatic_dtype_is_the_widest_in_the_file(folder_of):
    def change(arrays):
        to_half(arrays)
        arrays["embeddings.LayerNorm.bias"] = arrays["embeddings.LayerNorm.bias"].astype(np.float32)

    assert plan_loading(folder_of("base-like", "Model", change), "ElectraModel", dtype="auto").dtype == "float32"


@pytest.mark.parametrize("dtype", ["int8", "half", "torch.float16", ""])
def test_a_dtype_that_weights_cannot_have_is_a_wrong_argument(dtype):
    with pytest.raises(ValueError, match="dtype must be None, 'auto' or one of"):
        plan_loading(GOOGLE / "init", "ElectraModel", dtype=dtype)
