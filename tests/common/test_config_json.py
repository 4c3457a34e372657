"""config.json, both ways: byte for byte back, and nothing but CheckpointError for what cannot be used."""

import json

import pytest

from electra_common import CheckpointError, ElectraConfig
from support.fixtures import ALL_HEADS, CONFIGURATIONS, REFERENCE, TRANSFORMERS


def as_file(values):
    """JSON as transformers writes it."""
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


TRANSFORMERS_5 = {
    "add_cross_attention": False, "architectures": ["ElectraForPreTraining"], "attention_probs_dropout_prob": 0.1,
    "bos_token_id": None, "classifier_dropout": None, "dtype": "float32", "embedding_size": 17, "eos_token_id": None,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 33, "initializer_range": 0.02,
    "intermediate_size": 41, "is_decoder": False, "layer_norm_eps": 1e-12, "max_position_embeddings": 29,
    "model_type": "electra", "num_attention_heads": 3, "num_hidden_layers": 5, "pad_token_id": 0,
    "summary_activation": "gelu", "summary_last_dropout": 0.1, "summary_type": "first", "summary_use_proj": True,
    "tie_word_embeddings": True, "transformers_version": "5.23.0", "type_vocab_size": 2, "use_cache": True,
    "vocab_size": 101,
}  # fmt: skip


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_config_of_transformers_4_comes_back_byte_for_byte(configuration, head, tmp_path):
    source = TRANSFORMERS / configuration / head / "config.json"
    ElectraConfig.from_pretrained(source.parent).save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == source.read_bytes()


def test_a_config_of_transformers_5_comes_back_byte_for_byte():
    text = as_file(TRANSFORMERS_5)
    assert ElectraConfig.from_json(text).to_json() == text


@pytest.mark.parametrize("name", ["small-discriminator", "base-generator", "large-discriminator"])
def test_a_config_of_2020_comes_back_with_the_same_content(name):
    text = (REFERENCE / f"electra-{name}.config.json").read_text()
    assert json.loads(ElectraConfig.from_json(text).to_json()) == json.loads(text)


def test_a_config_without_summary_keys_gets_the_defaults():
    config = ElectraConfig.from_json((REFERENCE / "electra-small-generator.config.json").read_text())
    assert (config.summary_type, config.summary_use_proj, config.summary_last_dropout) == ("first", True, 0.1)


def test_a_config_without_model_type_comes_back_without_it():
    text = as_file({"hidden_size": 36, "vocab_size": 77})
    config = ElectraConfig.from_json(text)
    assert (config.hidden_size, config.vocab_size, config.to_json()) == (36, 77, text)


def test_the_old_key_for_the_dtype_is_read_and_kept():
    text = as_file({"model_type": "electra", "torch_dtype": "float16"})
    config = ElectraConfig.from_json(text)
    assert (config.dtype, config.to_json()) == ("float16", text)


def test_a_changed_dtype_is_written_under_the_old_key_where_the_file_had_it():
    config = ElectraConfig.from_json('{"torch_dtype": "float16"}').replace(dtype="float32")
    assert json.loads(config.to_json()) == {"torch_dtype": "float32"}


def test_unknown_keys_are_kept():
    values = {"model_type": "electra", "task_specific_params": {"qa": {"stride": 3}}, "finetuning_task": "cola"}
    config = ElectraConfig.from_dict(values)
    assert config.to_dict() == values
    assert config.extra == {"task_specific_params": {"qa": {"stride": 3}}, "finetuning_task": "cola"}


def test_a_changed_value_is_written_even_where_the_file_left_it_out():
    config = ElectraConfig.from_json('{"model_type": "electra"}').replace(layer_norm_eps=1e-7)
    assert json.loads(config.to_json()) == {"model_type": "electra", "layer_norm_eps": 1e-7}


def test_a_new_config_writes_the_keys_that_transformers_4_writes():
    saved = json.loads((TRANSFORMERS / "small-like" / "ForQuestionAnswering" / "config.json").read_text())
    free = {"architectures", "dtype", "transformers_version"}
    assert set(json.loads(ElectraConfig().to_json())) == set(saved) - free


def test_label_names_become_strings_in_json_and_integers_in_memory():
    text = as_file({"id2label": {"0": "no", "1": "yes", "2": "maybe"}, "label2id": {"maybe": 2, "no": 0, "yes": 1}})
    config = ElectraConfig.from_json(text)
    assert config.id2label == {0: "no", 1: "yes", 2: "maybe"}
    assert config.to_json() == text


def test_the_generator_activation_is_written_only_if_it_was_changed():
    assert "generator_hidden_act" not in ElectraConfig().to_dict()
    assert ElectraConfig(generator_hidden_act="relu").to_dict()["generator_hidden_act"] == "relu"


def test_empty_values_of_keys_that_would_change_the_model_are_fine():
    assert ElectraConfig.from_json('{"pruned_heads": {}}').to_dict() == {"pruned_heads": {}}


UNUSABLE = {
    "not JSON": (b"{", "Expecting"),
    "empty": (b"", "Expecting value"),
    "not UTF-8": (b'{"a": "\xff"}', "utf-8"),
    "a list": (b'["electra"]', "expected a JSON object, found list"),
    "a number": (b"7", "expected a JSON object, found int"),
    "a key twice": (b'{"vocab_size": 7, "vocab_size": 8}', "'vocab_size' stands twice"),
    "a key twice, inside": (b'{"extra": {"x": 1, "x": 2}}', "'x' stands twice"),
    "nested a little too deeply": (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
    "nested far too deeply": (b'{"a": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested too deeply"),
    "not a number": (b'{"layer_norm_eps": NaN}', "NaN is not finite"),
    "not a number in an unknown key": (b'{"anything": NaN}', "NaN is not finite"),
    "infinity": (b'{"anything": -Infinity}', "-Infinity is not finite"),
    "a number beyond floats": (b'{"anything": 1e999}', "1e999 is not finite"),
    "a number of too many digits": (b'{"vocab_size": ' + b"1" * 5000 + b"}", "digits"),
    "too large": (b'{"a": "' + b"x" * (1 << 20) + b'"}', "more than 1048576 bytes"),
    "another model": (b'{"model_type": "bert"}', "model_type is 'bert'"),
    "a model type that is a list": (b'{"model_type": []}', "model_type is"),
    "pruned heads": (b'{"pruned_heads": {"0": [1]}}', "pruned_heads is not supported"),
    "quantised": (b'{"quantization_config": {"bits": 4}}', "quantization_config is not supported"),
    "cross-attention of an encoder": (b'{"add_cross_attention": true}', "add_cross_attention True is of decoders"),
    "relative positions": (b'{"position_embedding_type": "relative_key"}', "position_embedding_type 'relative_key'"),
    "a size that is text": (b'{"hidden_size": "256"}', "hidden_size"),
    "an activation that is a list": (b'{"hidden_act": ["gelu"]}', "hidden_act"),
    "labels that are a list": (b'{"id2label": ["a", "b"]}', "id2label must be an object"),
    "labels without numbers": (b'{"id2label": {"first": "a"}}', "first"),
    "a label that is a list": (b'{"id2label": {"0": ["a"]}}', "id2label"),
    "an id that is a list": (b'{"label2id": {"a": [0]}}', "label2id"),
    "a billion labels": (b'{"num_labels": 1000000000}', "num_labels must be at most"),
    "architectures that are text": (b'{"architectures": "ElectraModel"}', "architectures must be a list"),
    "architectures that are numbers": (b'{"architectures": [1]}', "architectures must be a list"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_file_is_one_checkpoint_error_that_names_it(case, tmp_path):
    content, message = UNUSABLE[case]
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        ElectraConfig.from_pretrained(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "config.json"))


def test_an_absent_file_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read: No such file"):
        ElectraConfig.from_pretrained(tmp_path)


def test_the_file_itself_can_be_named(tmp_path):
    ElectraConfig(vocab_size=71).save_pretrained(tmp_path)
    assert ElectraConfig.from_pretrained(tmp_path / "config.json").vocab_size == 71
