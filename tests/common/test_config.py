"""ElectraConfig: defaults, checks, derived values, presets."""

import dataclasses
import json
import math

import pytest

from electra_common import ElectraConfig
from electra_common.config import ONLY_SUPPORTED_VALUE
from electra_common.weights.names import google_names
from electra_common.weights.shapes import expected_shapes
from support.fixtures import REFERENCE, parameter_counts

# transformers 4.57.6's ElectraConfig(), field by field.
TRANSFORMERS_DEFAULTS = {
    "vocab_size": 30522, "embedding_size": 128, "hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4,
    "intermediate_size": 1024, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "summary_type": "first", "summary_use_proj": True, "summary_activation": "gelu", "summary_last_dropout": 0.1,
    "pad_token_id": 0, "position_embedding_type": "absolute", "use_cache": True, "classifier_dropout": None,
    "is_decoder": False, "add_cross_attention": False, "tie_word_embeddings": True, "bos_token_id": None,
    "eos_token_id": None, "num_labels": 2, "problem_type": None, "chunk_size_feed_forward": 0, "torchscript": False,
    "tf_legacy_loss": False, "output_attentions": False, "output_hidden_states": False, "return_dict": True,
    "id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "architectures": None,
}  # fmt: skip
RELEASED = [f"{size}-{kind}" for size in ("small", "base", "large") for kind in ("discriminator", "generator")]


@pytest.mark.parametrize("name", TRANSFORMERS_DEFAULTS)
def test_a_default_is_that_of_transformers(name):
    assert getattr(ElectraConfig(), name) == TRANSFORMERS_DEFAULTS[name]


def test_the_generator_activation_is_exact_gelu_by_default():
    assert ElectraConfig(hidden_act="relu").generator_hidden_act == "gelu"


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ElectraConfig().hidden_size = 128


INVALID = [
    *[(name, value) for name in ("vocab_size", "embedding_size", "hidden_size", "num_attention_heads",
                                 "intermediate_size", "max_position_embeddings", "type_vocab_size")
      for value in (0, -3, 7.0, "7", True, None)],
    ("num_hidden_layers", -1), ("num_hidden_layers", 2.0), ("num_hidden_layers", None),
    ("pad_token_id", -1), ("pad_token_id", 30522), ("pad_token_id", 1.0),
    ("hidden_dropout_prob", 1.5), ("hidden_dropout_prob", -0.1), ("hidden_dropout_prob", None),
    ("attention_probs_dropout_prob", "0.1"), ("summary_last_dropout", math.nan), ("classifier_dropout", 2),
    ("summary_first_dropout", True),
    ("initializer_range", -1.0), ("initializer_range", math.inf), ("layer_norm_eps", math.nan),
    ("layer_norm_eps", 10**400), ("layer_norm_eps", None),
    ("hidden_act", "swooosh"), ("hidden_act", None), ("hidden_act", ["gelu"]), ("generator_hidden_act", "glu"),
    ("summary_activation", "sine"), ("summary_type", "attn"), ("problem_type", "ranking"),
    ("is_decoder", 1), ("add_cross_attention", "yes"), ("use_cache", 1), ("tie_word_embeddings", None),
    ("summary_use_proj", "yes"), ("return_dict", 0),
    ("output_attentions", "no"), ("output_hidden_states", None),
    ("num_labels", -1), ("num_labels", 2.0), ("num_labels", 10**9),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_an_invalid_value_is_refused_by_name_and_value(name, value):
    with pytest.raises(ValueError, match=name) as error:
        ElectraConfig(**{name: value})
    assert (str(value) if isinstance(value, int) else repr(value))[:40] in str(error.value)


UNSUPPORTED = [
    ("position_embedding_type", "relative_key"),
    ("chunk_size_feed_forward", 3),
    ("torchscript", True),
    ("tf_legacy_loss", True),
]


@pytest.mark.parametrize(("name", "value"), UNSUPPORTED)
def test_a_value_that_would_change_the_numbers_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} {value!r} is not supported"):
        ElectraConfig(**{name: value})


def test_every_unsupported_field_is_tried_above():
    assert {name for name, _ in UNSUPPORTED} == set(ONLY_SUPPORTED_VALUE)


def test_a_hidden_size_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="hidden_size 250 is not a multiple of num_attention_heads 4"):
        ElectraConfig(hidden_size=250)


def test_cross_attention_without_a_decoder_is_refused():
    with pytest.raises(ValueError, match="add_cross_attention True is of decoders: expected is_decoder True"):
        ElectraConfig(add_cross_attention=True)


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="hiden_size"):
        ElectraConfig(hiden_size=4)


@pytest.mark.parametrize(("hidden", "heads", "head_size"), [(256, 4, 64), (21, 3, 7), (5, 1, 5)])
def test_the_head_size_is_the_hidden_size_over_the_heads(hidden, heads, head_size):
    assert ElectraConfig(hidden_size=hidden, num_attention_heads=heads).head_size == head_size


def test_a_projection_is_there_only_where_the_widths_differ():
    assert ElectraConfig(embedding_size=128, hidden_size=256).has_embeddings_projection
    assert not ElectraConfig(embedding_size=256, hidden_size=256).has_embeddings_projection


def test_the_heads_use_the_hidden_dropout_unless_they_have_their_own():
    assert ElectraConfig(hidden_dropout_prob=0.3).head_dropout_prob == 0.3
    assert ElectraConfig(hidden_dropout_prob=0.3, classifier_dropout=0.0).head_dropout_prob == 0.0


def test_a_number_of_labels_makes_names():
    config = ElectraConfig(num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}


def test_label_names_give_number_and_ids():
    config = ElectraConfig(id2label={0: "no", 1: "yes", 2: "maybe"})
    assert (config.num_labels, config.label2id) == (3, {"no": 0, "yes": 1, "maybe": 2})


def test_label_ids_give_number_and_names():
    config = ElectraConfig(label2id={"no": 0, "yes": 1, "maybe": 2})
    assert (config.num_labels, config.id2label) == (3, {0: "no", 1: "yes", 2: "maybe"})


def test_a_number_of_labels_that_contradicts_the_names_is_refused():
    with pytest.raises(ValueError, match="num_labels is 4, but there are 2 label names"):
        ElectraConfig(num_labels=4, id2label={0: "no", 1: "yes"})


@pytest.mark.parametrize("labels", [{"id2label": {"0": "no"}}, {"id2label": {0: ["no"]}}, {"label2id": {"no": "0"}}])
def test_labels_of_a_wrong_type_are_refused(labels):
    with pytest.raises(ValueError, match=next(iter(labels))):
        ElectraConfig(**labels)


def test_replace_changes_only_what_is_named():
    config = ElectraConfig(vocab_size=99, hidden_act="relu", extra={"task": 1})
    changed = config.replace(hidden_act="silu")
    expected = {**dataclasses.asdict(config), "hidden_act": "silu"}
    assert dataclasses.asdict(changed) == expected


def test_replace_checks_the_new_values():
    with pytest.raises(ValueError, match="hidden_size 258"):
        ElectraConfig().replace(hidden_size=258)


def test_replace_refuses_an_unknown_field():
    with pytest.raises(ValueError, match="no field hiden_size"):
        ElectraConfig().replace(hiden_size=256)


def test_replace_with_another_number_of_labels_drops_the_names():
    config = ElectraConfig(id2label={0: "no", 1: "yes"}).replace(num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}


def test_replace_with_the_same_number_of_labels_keeps_the_names():
    config = ElectraConfig(id2label={0: "no", 1: "yes"}).replace(num_labels=2)
    assert (config.id2label, config.label2id) == ({0: "no", 1: "yes"}, {"no": 0, "yes": 1})


def test_replace_with_new_names_changes_the_number():
    config = ElectraConfig(num_labels=5).replace(id2label={0: "a", 1: "b", 2: "c"})
    assert (config.num_labels, config.label2id) == (3, {"a": 0, "b": 1, "c": 2})


# The released models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RELEASED)
def test_a_preset_is_the_released_config(name):
    released = json.loads((REFERENCE / f"electra-{name}.config.json").read_text())
    assert released.pop("model_type") == "electra"
    released["architectures"] = tuple(released["architectures"])
    preset = ElectraConfig.preset(name)
    assert {key: getattr(preset, key) for key in released} == released


@pytest.mark.parametrize("size", ["small", "base", "large"])
@pytest.mark.parametrize(
    ("kind", "architecture", "key"),
    [
        ("discriminator", "ElectraModel", "discriminator_backbone_params"),
        ("discriminator", "ElectraForPreTraining", "with_disc_head"),
        ("generator", "ElectraModel", "generator_backbone_params_incl_shared_embeddings"),
    ],
)
def test_a_preset_has_the_published_number_of_parameters(size, kind, architecture, key):
    shapes = expected_shapes(ElectraConfig.preset(f"{size}-{kind}"), architecture)
    assert sum(math.prod(shape) for shape in shapes.values()) == parameter_counts()[size][key]


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_the_table_makes_exactly_the_variables_of_a_released_checkpoint(size):
    """Names and shapes of all TF1 variables follow from the two presets, the embeddings being shared."""
    listed = {}
    for line in (REFERENCE / f"tf1_variables_electra_{size}.tsv").read_text().splitlines():
        name, shape = line.split("\t")
        listed[name] = tuple(json.loads(shape))
    made = {}
    for kind, scope, architecture in (
        ("discriminator", "electra", "ElectraForPreTraining"),
        ("generator", "generator", "ElectraForMaskedLM"),
    ):
        config = ElectraConfig.preset(f"{size}-{kind}")
        shapes = expected_shapes(config, architecture)
        for google, row in google_names(scope, "electra/embeddings").items():
            for layer in range(config.num_hidden_layers if "{layer}" in google else 1):
                shape = shapes.get(row.canonical.replace("{layer}", str(layer)))
                if shape is not None:
                    made[google.replace("{layer}", str(layer))] = shape[::-1] if row.transpose else shape
    assert made == {name: shape for name, shape in listed.items() if name != "global_step"}
    assert len(listed) == parameter_counts()[size]["tf1_variables"]


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="no preset 'huge-discriminator'; known: small-discriminator"):
        ElectraConfig.preset("huge-discriminator")
