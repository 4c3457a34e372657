"""compare and demo: the same checkpoint in both frameworks, each in a process of its own."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import electra_common.cli.compared_rows as module
from electra_common import CheckpointError, ElectraConfig, open_checkpoint
from electra_common.cli import compare, demo
from electra_common.cli.compare import make_batch
from electra_common.cli.compared_rows import read_ids, read_texts
from electra_common.cli.console import make_console
from electra_common.cli.frameworks import FRAMEWORKS, FrameworkMissingError, Result, missing_error
from electra_common.weights.checkpoint import Checkpoint
from electra_common.weights.components import Component
from electra_common.weights.shapes import expected_shapes
from support.fixtures import CAUSAL, GOOGLE, TRANSFORMERS
from support.tiny_networks import random_arrays, stored

pytestmark = pytest.mark.usefixtures("one_process_each")

HEADS = ("--num-attention-heads", "discriminator=4,generator=1")
SMALL = TRANSFORMERS / "small-like" / "ForPreTraining"
HIDDEN = Path(__file__).parent.parent / "without"


def is_hidden(name):
    spec = importlib.util.find_spec(name)
    return spec is None or HIDDEN in Path(spec.origin).parents


def write_vocabulary(file):
    """Write one of as many pieces as the small checkpoint has."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s", "!"]
    file.write_text("\n".join([*pieces, *(f"w{i}" for i in range(99 - len(pieces)))]) + "\n")


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
    write_vocabulary(folder / "vocab.txt")
    (tmp_path / "text.txt").write_text("Hello worlds!\n\nhello hello\n")
    code, out, _ = electra("compare", folder, "--text", tmp_path / "text.txt", "--json")
    (comparison,) = json.loads(out)["comparisons"]
    assert code == 0
    assert comparison["shape"] == [2, 6]  # [CLS] hello world ##s ! [SEP]
    assert comparison["input"] == "2 lines of text.txt"


def test_text_for_a_runs_checkpoint_is_read_with_the_runs_vocabulary(tmp_path):
    step = tmp_path / "run" / "checkpoints" / "step-00000003"
    shutil.copytree(SMALL, step)
    (step / "state.json").touch()
    (tmp_path / "run" / "run.json").touch()
    (tmp_path / "run" / "tokenizer").mkdir()
    write_vocabulary(tmp_path / "run" / "tokenizer" / "vocab.txt")
    (tmp_path / "text.txt").write_text("Hello worlds!\n")
    checkpoint = open_checkpoint(step)
    config = checkpoint.config_of(checkpoint.component())
    batch, _ = make_batch(checkpoint, config, text=tmp_path / "text.txt", ids=None, vocab=None, max_length=128)
    assert batch["input_ids"].tolist() == [[2, 5, 6, 7, 8, 3]]


# What is run, and what comes of it ------------------------------------------------------------------------------------

CONFIG = ElectraConfig(
    vocab_size=11, embedding_size=5, hidden_size=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7,
    max_position_embeddings=13,
)  # fmt: skip


@pytest.fixture
def compared(monkeypatch):
    """Compare two outputs as if the frameworks had given them; returns the comparison and the class that was run."""

    def compared(first, second, config=CONFIG, stored_class="ElectraForPreTraining", tolerance=1e-5):
        answers = zip(FRAMEWORKS, (first, second), strict=True)
        results = {name: Result({key: np.array(value) for key, value in item.items()}, 0, 0) for name, item in answers}
        jobs = []
        monkeypatch.setattr(compare, "run_in_frameworks", lambda names, job, batch: jobs.append(job) or results)
        component = Component("discriminator", stored(random_arrays(expected_shapes(config, stored_class))))
        checkpoint = Checkpoint(Path("x"), "safetensors", {"discriminator": component}, config)
        batch = {"input_ids": np.zeros((3, 7), int)}
        comparison = compare.run_comparison(checkpoint, component, config, batch, "ids", tolerance)
        return comparison, jobs[0].architecture

    return compared


@pytest.mark.parametrize("tolerance", [1e-5, np.inf, np.nan])
@pytest.mark.parametrize(
    ("first", "second", "scale"),
    [([0.5, np.nan], [0.5, np.nan], None), ([0.5, 2], [0.5, np.inf], 2), ([0.5, -np.inf], [0.5, -np.inf], None)],
)
def test_numbers_that_are_not_finite_never_agree_and_are_null_in_json(
    compared, capsys, first, second, scale, tolerance
):
    comparison, _ = compared({"logits": first}, {"logits": second}, tolerance=tolerance)
    data = json.loads(json.dumps(compare.as_data(comparison), allow_nan=False))
    assert not data["agrees"]
    assert data["differences"] == [{"name": "logits", "largest": None, "mean": None, "scale": scale}]
    compare.print_comparison(make_console(), comparison)
    out = capsys.readouterr().out
    assert "DIFFERS" in out
    assert "DISAGREE" in out


@pytest.mark.parametrize(
    ("head", "stored_class", "named", "run"),
    [
        ("google", "ElectraForQuestionAnswering", None, "ElectraForQuestionAnswering"),
        ("google", "ElectraForSequenceClassification", None, "ElectraForSequenceClassification"),
        ("transformers", "ElectraForPreTraining", "ElectraModel", "ElectraForPreTraining"),
        ("transformers", "ElectraModel", "ElectraForPreTraining", "ElectraModel"),  # no head is made up
        ("transformers", "ElectraForSequenceClassification", "OurElectra", "ElectraForSequenceClassification"),
        ("transformers", "ElectraForMultipleChoice", None, "ElectraModel"),
    ],
)
def test_the_class_that_the_config_names_is_run_if_its_head_is_there(compared, head, stored_class, named, run):
    config = CONFIG.replace(head=head, architectures=(named or stored_class,))
    assert compared({"logits": [0.5]}, {"logits": [0.5]}, config, stored_class)[1] == run


def test_of_beams_and_of_scores_where_no_answer_may_be_rounding_is_not_compared(compared):
    first = {"start_logits": [0.5, -1000.25], "end_logits": [-999.5, 0.25]}
    beams = {"start_top_index": [3, 5], "end_top_log_probs": [-1.5, -1.5]}
    near, other = {**first, "start_logits": [0.5, -1000.25006]}, {**first, "end_logits": [0.125, 0.25]}
    assert compared({**first, **beams}, {**near, **beams, "start_top_index": [5, 3]})[0].agrees
    assert not compared({**first, **beams}, {**other, **beams})[0].agrees  # allowed in one alone
    assert not compared({**first, **beams}, {**first, **beams, "start_logits": [0.5, -np.inf]})[0].agrees
    assert not compared(first, near)[0].agrees  # no head with beams


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 2 three\n", ["cannot be read as token ids"]),
        ("[[1, 2], 3]", ["lists of whole numbers"]),
        ("1 2 99\n", ["token id 99 is outside the vocabulary of 99 pieces"]),
        ("", ["lists of whole numbers"]),
        ("[]", ["lists of whole numbers"]),
        ("[[1], []]", ["lists of whole numbers"]),
        ("[" * 100_001, ["cannot be read as token ids: maximum recursion depth"]),
        ("[[1, 2], [3", ["cannot be read as token ids: Expecting ',' delimiter"]),
        ("[[1, 2.5]]", ["lists of whole numbers"]),
        ("[[1, true]]", ["lists of whole numbers"]),
        (f"5 {2**63}\n", [f"token id {2**63} is outside the vocabulary of 99 pieces"]),
        (f"[[5, {-(2**63) - 1}]]", [f"token id {-(2**63) - 1} is outside"]),
        ("9" * 5_000, ["cannot be read as token ids"]),
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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeff 5 9\r\n\n7\n1 2 3\n", [[5, 9], [7], [1, 2, 3]]),
        ("[[5,9],\n [ 7 ] , [1, 2,\n3]]\n", [[5, 9], [7], [1, 2, 3]]),
        ("\n[[1]]", [[1]]),
    ],
)
def test_ids_are_lines_or_lists(tmp_path, content, expected):
    file = tmp_path / "ids"
    file.write_bytes(content.encode())
    assert read_ids(file, 3) == expected


def test_texts_are_lines_with_something_on_them(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes(b"\xef\xbb\xbf one \r\n\n \ntwo" + b"\nthree" * 50_000 + b"\xff")
    assert read_texts(file, 3) == ["one", "two", "three"]
    file.write_text(" \n")
    with pytest.raises(CheckpointError, match="holds no text"):
        read_texts(file, 3)


def test_a_row_or_list_without_an_end_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_CHARACTERS", 1_000)
    file = tmp_path / "ids"
    for content in ("5 " * 4_000, "[[" + "5," * 4_000, "[[5],\n" + "[5],\n" * 400):
        file.write_text(content)
        with pytest.raises(CheckpointError, match=r"ids: a row or list of more than 1,000 characters; is it text\?"):
            read_ids(file, 3)


def test_no_more_is_read_than_the_rows_take(tmp_path):
    """What stands far behind them is no text at all."""
    file = tmp_path / "ids"
    file.write_bytes(b"1 2\n" * 50_000 + b"\xff")
    assert read_ids(file, 3) == [[1, 2]] * 3
    with pytest.raises(CheckpointError, match="cannot be read as token ids: 'utf-8' codec"):
        read_ids(file, 60_000)


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


@pytest.mark.once
def test_the_demonstration_without_any_framework_names_both(monkeypatch):
    def nothing_there(framework, *_):
        raise missing_error((framework,))

    monkeypatch.setattr(demo, "_framework_against_google", nothing_there)
    with pytest.raises(FrameworkMissingError, match="neither PyTorch nor TensorFlow is installed: pip install"):
        demo.against_google(make_console())


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
