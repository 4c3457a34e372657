"""Folders go both ways between this library and transformers, with equal outputs."""

import json

import pytest

from support.assertions import assert_close
from support.fixtures import GOOGLE, GOOGLE_HEADS, TRANSFORMERS
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import electra_pt  # noqa: E402
from electra_common import ElectraConfig, convert_checkpoint  # noqa: E402

HEADS = ("Model", "ForPreTraining", "ForMaskedLM")
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19,
)  # fmt: skip
IDS = torch.tensor([[5, 9, 66, 0, 4], [7, 1, 2, 3, 8]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def first_output(model):
    with torch.no_grad():
        return model.eval()(IDS, attention_mask=MASK)[0]


def open_in_transformers(folder, head):
    model, info = getattr(transformers, f"Electra{head}").from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    return model


@pytest.mark.parametrize("format", ["safetensors", "bin"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("embedding_size", [10, 24])
def test_what_we_save_opens_in_transformers(tmp_path, head, embedding_size, format):
    torch.manual_seed(1)
    model = getattr(electra_pt, f"Electra{head}")(CONFIG.replace(embedding_size=embedding_size, initializer_range=0.2))
    model.save_pretrained(tmp_path, format=format)
    assert_close(head, first_output(open_in_transformers(tmp_path, head)), first_output(model), FORWARD)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("embedding_size", [10, 24])
def test_what_transformers_saves_opens_here(tmp_path, head, embedding_size):
    torch.manual_seed(2)
    fields = {key: value for key, value in CONFIG.to_dict().items() if key not in ("model_type", "dtype")}
    config = transformers.ElectraConfig(**{**fields, "embedding_size": embedding_size, "initializer_range": 0.2})
    theirs = getattr(transformers, f"Electra{head}")(config)
    theirs.save_pretrained(tmp_path)
    ours = getattr(electra_pt, f"Electra{head}").from_pretrained(tmp_path)
    assert_close(head, first_output(theirs), first_output(ours), FORWARD)


def test_a_config_written_by_transformers_5_comes_back_byte_for_byte(tmp_path):
    transformers.ElectraConfig(num_labels=3, embedding_size=24).save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert ElectraConfig.from_json(text).to_json() == text


def test_a_config_written_here_means_the_same_to_transformers(tmp_path):
    CONFIG.replace(num_labels=3, hidden_dropout_prob=0.2).save_pretrained(tmp_path)
    theirs = transformers.ElectraConfig.from_pretrained(tmp_path)
    for key, value in json.loads((tmp_path / "config.json").read_text()).items():
        if key not in ("label2id", "id2label", "position_embedding_type"):
            assert getattr(theirs, key) == value, key
    assert theirs.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}


@pytest.mark.parametrize(("component", "head"), [("discriminator", "ForPreTraining"), ("generator", "ForMaskedLM")])
def test_a_converted_google_checkpoint_opens_in_transformers(tmp_path, component, head):
    convert_checkpoint(GOOGLE / "trained", tmp_path / "new", component=component, num_attention_heads=GOOGLE_HEADS)
    theirs = open_in_transformers(tmp_path / "new", head)
    ours = getattr(electra_pt, f"Electra{head}").from_pretrained(tmp_path / "new")
    assert_close(head, first_output(theirs), first_output(ours), FORWARD)


def test_untied_word_embeddings_go_both_ways(tmp_path):
    torch.manual_seed(4)
    model = electra_pt.ElectraForMaskedLM(CONFIG.replace(tie_word_embeddings=False, initializer_range=0.2))
    model.save_pretrained(tmp_path / "ours")
    theirs = open_in_transformers(tmp_path / "ours", "ForMaskedLM")
    assert_close("ours there", first_output(theirs), first_output(model), FORWARD)
    theirs.save_pretrained(tmp_path / "theirs")
    again = electra_pt.ElectraForMaskedLM.from_pretrained(tmp_path / "theirs")
    assert_close("theirs here", first_output(model), first_output(again), FORWARD)


def test_the_fixtures_open_in_todays_transformers_with_the_same_numbers():
    """A guard for the fixtures: today's transformers is still the program that wrote them, as far as numbers go."""
    folder = TRANSFORMERS / "base-like" / "ForPreTraining"
    ours = electra_pt.ElectraForPreTraining.from_pretrained(folder)
    assert_close("logits", first_output(open_in_transformers(folder, "ForPreTraining")), first_output(ours), FORWARD)
