"""The card of a model, read back by a Markdown parser: it says what it was given, whatever that is."""

from dataclasses import replace

import pytest

from electra_common.pretraining.model_card import ModelCardFacts, model_card
from support.cards import HOSTILE, Parsed
from support.google_texts import make_models

FACTS = ModelCardFacts(
    name=HOSTILE,
    component="discriminator",
    parameters=1_234_567,
    config={"hidden_size": 128, "hidden_act": "gelu"},
    step=20_000,
    tokens=163_840_000,
    recipe={"learning_rate": 5e-4, "summary": "", "disallow_correct": False, "steps": 20_000},
    starts=[
        {"command": "electra pretrain run --out '```x'", "framework": "pt", "time": "2026-01-02T03:04:05Z"},
        {"command": "electra pretrain run --resume", "framework": "tf", "processes": 2},
    ],
    data={
        "sources": [{"name": HOSTILE, "bytes": 9_876, "repeat": 2}, {"name": "b.txt", "bytes": 5, "held_out": True}],
        "splits": {"train": {"documents": 1_000, "tokens": 70_000}, "held-out": {"documents": 3, "tokens": 200}},
        "vocabulary": {"sha256": "0f" * 32, "size": 8_000},
        "options": {"segments": {"method": "whole"}, "seed": 0},
    },
    license_notes=["Project X, CC-BY 4.0", HOSTILE],
    held_out={"auc": 0.912345, "masked_accuracy": 0.4, "my_own": 3.0},
    versions={"electra-dual": "0.1.0", "torch": "2.13.0"},
    curves="curves-1.png",
    fingerprint="ab" * 32,
    license="apache-2.0",
    languages=("en", "de"),
)


def test_everything_it_was_given_is_on_it():
    found = Parsed(model_card(FACTS))
    assert found.text_of("h1") == [HOSTILE]
    assert found.cells["parameters"] == ["1,234,567"]
    assert found.cells["hidden_size"] == ["128"]
    assert found.cells["fingerprint"] == ["ab" * 32]
    assert found.cells["auc"][0] == "0.9123"
    assert "higher logit" in found.cells["auc"][1]
    assert found.cells["my_own"] == ["3", ""]
    assert [
        ["name", "bytes", "repeat", "held_out"],
        [HOSTILE, "9,876", "2", ""],
        ["b.txt", "5", "", "true"],
    ] in found.tables
    assert [["split", "documents", "tokens"], ["train", "1,000", "70,000"], ["held-out", "3", "200"]] in found.tables
    assert found.cells["segments.method"] == ["whole"]
    assert found.cells["vocabulary.sha256"] == ["0f" * 32]
    assert found.cells["learning_rate"] == ["0.0005"]
    assert found.cells["disallow_correct"] == ["false"]
    assert "summary" not in found.cells
    assert found.cells["torch"] == ["2.13.0"]
    assert [["framework", "time", "processes"], ["pt", "2026-01-02T03:04:05Z", ""], ["tf", "", "2"]] in found.tables
    assert "20,000 steps, 163,840,000 tokens." in found.text_of("p")
    assert "\n".join(start["command"] for start in FACTS.starts) in found.text_of("code")
    assert {"Project X, CC-BY 4.0", HOSTILE} <= set(found.text_of("p"))
    assert found.pictures == ["curves-1.png"]


def test_nothing_it_was_given_becomes_markup():
    assert not {"script", "em", "strong", "a", "s", "del"} & Parsed(model_card(FACTS)).tags


def test_a_command_that_is_no_text_can_be_written_all_the_same():
    starts = [{"command": "electra pretrain run --out caf\udce9"}]
    found = Parsed(model_card(replace(FACTS, starts=starts)).encode().decode())
    assert "electra pretrain run --out caf?" in found.text_of("code")


def test_what_the_hub_reads():
    head = Parsed(model_card(FACTS)).head
    assert (head["license"], head["language"], head["library_name"]) == ("apache-2.0", ["en", "de"], "electra-dual")
    assert "pipeline_tag" not in head
    generator = Parsed(model_card(replace(FACTS, component="generator", license=None, languages=()))).head
    assert generator["pipeline_tag"] == "fill-mask"
    assert not {"license", "language"} & set(generator)


def test_what_is_not_known_is_said_or_left_out():
    bare = replace(FACTS, held_out={}, curves=None, fingerprint=None, license_notes=[], starts=[], data={}, versions={})
    found = Parsed(model_card(bare))
    assert found.pictures == []
    assert any("No text was held out" in text for text in found.text_of("p"))
    assert any("Not stated" in text for text in found.text_of("p"))
    assert all(len(table) > 1 for table in found.tables)
    assert "fingerprint" not in found.cells


@pytest.mark.parametrize("change", [{"component": "both"}, {"curves": "../curves.png"}, {"curves": "a b.png"}])
def test_what_makes_no_card_is_refused(change):
    with pytest.raises(ValueError, match=r"component must be one of|expected the plain name of a file"):
        model_card(replace(FACTS, **change))


@pytest.mark.parametrize("component", ["discriminator", "generator"])
@pytest.mark.parametrize(("number", "framework"), [(0, "torch"), (1, "keras")])
def test_its_examples_run(component, number, framework, tmp_path, capsys):
    pytest.importorskip(framework)
    folder = make_models(tmp_path / "models") / component
    examples = [
        code for code in Parsed(model_card(replace(FACTS, component=component))).text_of("code") if "import" in code
    ]
    exec(compile(examples[number], component, "exec"), {"folder": folder})
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == (6 if component == "discriminator" else 5)  # words and a full stop; candidates
    assert all(0 < float(line.split()[-1]) < 1 for line in shown)
