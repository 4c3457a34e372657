"""``electra fill-mask``, and the part of the demonstration that answers sentences in both frameworks."""

import json

import pytest
from rich.console import Console

from cli.test_commands import assert_one_clear_line
from electra_common.applications.mask_filling import FilledText
from electra_common.cli.console import make_console
from electra_common.cli.demo import MASKED_SENTENCE, real_text
from electra_common.cli.fill_mask import print_filled
from support.google_texts import make_models

pytestmark = pytest.mark.usefixtures("one_process_each")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models") / "both")


def test_each_mask_has_candidates_and_a_table(electra, models):
    texts = ("w1 [MASK] w3 [MASK]!", "[MASK]")
    code, out, err = electra("fill-mask", *texts, "--model", models, "--top", 3, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content["model"] == str(models / "generator")
    assert content["framework"] in ("pt", "tf")
    assert [item["text"] for item in content["texts"]] == list(texts)
    for item in content["texts"]:
        for mask in item["masks"]:
            assert item["text"][mask["start"] : mask["end"]] == "[MASK]"
            chances = [candidate["probability"] for candidate in mask["candidates"]]
            assert len(chances) == 3
            assert chances == sorted(chances, reverse=True)
    assert "mask 2 of 2, character 13" in assert_shown(content["texts"][0])
    assert "mask, character 0" in assert_shown(content["texts"][1])


def assert_shown(item):
    """What is printed of an answer holds all of its candidates, and the text filled with the first of each mask."""
    console = Console(highlight=False, width=140)
    with console.capture() as capture:
        print_filled(console, FilledText.from_data(item))
    out = capture.get()
    expected = item["text"]
    for mask in item["masks"]:
        expected = expected.replace("[MASK]", mask["candidates"][0]["token"], 1)
        for candidate in mask["candidates"]:
            assert f"│ {candidate['token']} " in out
            assert f" {candidate['probability']:.4f} │ {candidate['id']:>2} │" in out
    assert out.splitlines()[-2] == expected
    return out


def test_what_a_tokenizer_holds_is_not_obeyed_by_a_terminal(capsys):
    mask = {"start": 0, "end": 6, "candidates": [{"token": "\x1b[31mred :fire:", "id": 7, "probability": 0.5}]}
    answer = {"text": "[MASK]", "masks": [mask], "filled": "\x1b[31mred :fire:"}
    print_filled(make_console(), FilledText.from_data(answer))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("\N{REPLACEMENT CHARACTER}[31mred :fire:") == 2


def test_a_model_without_the_head_is_one_clear_line(electra, models):
    result = electra("fill-mask", "[MASK]", "--model", models / "discriminator")
    assert_one_clear_line(result, "holds no generator, only a discriminator")


@pytest.mark.both
def test_the_demonstration_answers_sentences_in_both_frameworks_alike(models):
    console = Console(highlight=False, width=140)
    folders = {name: models / name for name in ("discriminator", "generator")}
    with console.capture() as capture:
        found = real_text(console, ("pt", "tf"), **folders)
    out = capture.get()
    assert found["agrees"]
    assert 0 < found["largest"] <= 1e-5  # two frameworks never round alike, so 0 would be one of them twice
    for shown in ("PyTorch", "TensorFlow", "chef", MASKED_SENTENCE):
        assert shown in out
    rows = [line.split("│") for line in out.splitlines() if line.startswith("│ chef")]
    assert [float(cell) for cell in rows[0][2:4]] == pytest.approx(
        [answer["words"][1]["probability"] for answer in found["detect"].values()], abs=5e-5
    )
