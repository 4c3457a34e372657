"""compare and demo: the same checkpoint in both frameworks, each in a process of its own."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from support.fixtures import CAUSAL, GOOGLE, TRANSFORMERS

pytestmark = pytest.mark.usefixtures("one_process_each")

HEADS = ("--num-attention-heads", "discriminator=4,generator=1")
SMALL = TRANSFORMERS / "small-like" / "ForPreTraining"
HIDDEN = Path(__file__).parent.parent / "without"


def is_hidden(name):
    spec = importlib.util.find_spec(name)
    return spec is None or HIDDEN in Path(spec.origin).parents


@pytest.mark.both
def test_compare_runs_both_networks_and_agrees(electra):
    code, out, _ = electra("compare", GOOGLE / "trained", *HEADS, "--json")
    comparisons = json.loads(out)["comparisons"]
    assert code == 0
    assert [item["component"] for item in comparisons] == ["discriminator", "generator"]
    for item in comparisons:
        assert item["agrees"]
        names = [difference["name"] for difference in item["differences"]]
        assert names[0] == "hidden_states/0"
        assert names[-1] == "logits"
        assert len(names) == 8  # embeddings, then attention and output of three layers, then logits
        assert all(difference["largest"] <= 1e-5 < difference["scale"] for difference in item["differences"])


@pytest.mark.both
@pytest.mark.parametrize(
    ("head", "outputs"),
    [
        ("ForQuestionAnswering", ["start_logits", "end_logits"]),
        pytest.param("ForSequenceClassification", ["logits"], marks=pytest.mark.thorough),
        pytest.param("ForTokenClassification", ["logits"], marks=pytest.mark.thorough),
        pytest.param("ForMultipleChoice", ["last_hidden_state"], marks=pytest.mark.thorough),
    ],
)
def test_compare_runs_the_heads_for_fine_tuning(electra, head, outputs):
    code, out, _ = electra("compare", TRANSFORMERS / "small-like" / head, "--json")
    (comparison,) = json.loads(out)["comparisons"]
    assert code == 0
    assert [difference["name"] for difference in comparison["differences"]][7:] == outputs


@pytest.mark.both
@pytest.mark.thorough
def test_compare_runs_a_decoder_and_its_cache(electra):
    code, out, _ = electra("compare", CAUSAL / "alone", "--json")
    (comparison,) = json.loads(out)["comparisons"]
    assert code == 0
    cache = [f"past_key_values/{layer}/{part}" for layer in range(2) for part in range(2)]
    assert [difference["name"] for difference in comparison["differences"]][-5:] == ["logits", *cache]


@pytest.mark.both
def test_compare_exits_1_and_names_the_tensor_when_the_tolerance_is_not_met(electra, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("5 9 98 2\n1 2 3 4 5 6 7\n")
    code, out, _ = electra("compare", SMALL, "--ids", ids, "--tolerance", 0)
    assert code == 1
    assert "DIFFERS" in out
    assert "2 rows of up to 7 tokens" in out
    assert "DISAGREE" in out


@pytest.mark.both
def test_compare_reads_text_with_the_vocabulary_beside_the_checkpoint(electra, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(SMALL, folder)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s", "!"]
    (folder / "vocab.txt").write_text("\n".join([*pieces, *(f"w{i}" for i in range(99 - len(pieces)))]) + "\n")
    (tmp_path / "text.txt").write_text("Hello worlds!\n\nhello hello\n")
    code, out, _ = electra("compare", folder, "--text", tmp_path / "text.txt", "--json")
    (comparison,) = json.loads(out)["comparisons"]
    assert code == 0
    assert comparison["shape"] == [2, 6]  # [CLS] hello world ##s ! [SEP]
    assert comparison["input"] == "2 lines of text.txt"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 2 three\n", ["cannot be read as token ids"]),
        ("[[1, 2], 3]", ["lists of whole numbers"]),
        ("1 2 99\n", ["token id 99 is outside the vocabulary of 99 pieces"]),
        ("", ["lists of whole numbers"]),
    ],
)
def test_bad_ids_are_one_clear_line(electra, tmp_path, content, words):
    ids = tmp_path / "ids.txt"
    ids.write_text(content)
    code, out, err = electra("compare", SMALL, "--ids", ids)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    for word in words:
        assert word in err


def test_text_without_a_vocabulary_says_which_option_to_add(electra, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("hello\n")
    code, _, err = electra("compare", SMALL, "--text", text)
    assert code == 2
    assert "--vocab" in err


def test_a_framework_that_is_not_installed_is_one_line_that_says_how_to_get_it(electra):
    missing = [extra for extra, name in (("pt", "torch"), ("tf", "tensorflow")) if is_hidden(name)]
    if not missing:
        pytest.skip("both frameworks are installed")
    code, out, err = electra("compare", SMALL)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert f"pip install 'electra-dual[{missing[0]}]'" in err


# With both frameworks the demonstration is an example of docs/cli.md, which tests/docs runs.
@pytest.mark.once
def test_the_demonstration_runs_with_the_one_framework_there_is(electra):
    if is_hidden("torch") == is_hidden("tensorflow"):
        pytest.skip("not exactly one framework is installed")
    code, out, _ = electra("demo", "--json")
    content = json.loads(out)
    assert code == 0
    assert content["agrees"]
    there = "tf" if is_hidden("torch") else "pt"
    assert {item["framework"] for item in content["against_google"]} == {there}
    assert set(content["real_text"]["detect"]) == set(content["real_text"]["fill_mask"]) == {there}
    assert "not installed" in content["missing"]
