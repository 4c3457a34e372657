"""The card of a fine-tuned model, read back by a Markdown parser: it says what it was given, whatever that is."""

import shutil
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from electra_common import ElectraConfig
from electra_common.markdown import front_matter, one_line, table
from electra_common.tasks.card import TaskCardFacts, task_card
from electra_common.tasks.seeds import summarize
from electra_common.tasks.task import Task
from support.cards import HOSTILE, Parsed
from support.google_texts import VOCABULARY
from support.predictions import seed_result

RESULTS = [
    seed_result(11, 0.91234, f1=0.8, constant=0.625),
    seed_result(7, 0.625, f1=0.0, constant=0.625, collapse="it always answers 'a|b', and …"),
    seed_result(3, 0.94, f1=0.7, constant=0.625),
]
LABELS = ('a|b "c"', "two\nlines", "# heading", "- item", "1. first", "---", "'q' \\", "", HOSTILE)
FACTS = TaskCardFacts(
    name=HOSTILE,
    task=Task(name='odd "name": x', kind="classification", metrics=("accuracy", "f1"), summary=HOSTILE, pair="b"),
    labels=LABELS,
    base_model="google/electra-small-discriminator",
    framework="pt",
    settings={"learning_rate": 3e-4, "epochs": 3, "layer_decay": None, "schedule": {"warmup": 0.1}, "text": HOSTILE},
    command="electra finetune odd --out '```x'\nand more",
    versions={"electra-dual": "0.1.0", "torch": "2.13.0"},
    results=RESULTS,
    summary=summarize(RESULTS, "accuracy"),
    seed=3,
    datasets=("nyu-mll/glue", 'od"d: \U0001f600\x85\u2028'),
    license="cc-by-4.0",
    languages=("en", "de"),
    notes=("1. Data of X, CC BY 4.0", HOSTILE, "---"),
    pictures={"curves.png": HOSTILE, "confusion.png": "mistakes"},
)
TASKS = {
    "classification": Task(name="t", kind="classification", metrics=("accuracy",)),
    "pairs": Task(name="t", kind="classification", metrics=("accuracy",), pair=1),
    "regression": Task(name="t", kind="regression", metrics=("pearson",)),
    "tagging": Task(name="t", kind="tagging", metrics=("span_f1",)),
    "answers": Task(name="t", kind="answers", metrics=("f1",)),
    "choice": Task(name="t", kind="choice", metrics=("accuracy",), choices=("a", "b")),
}


def one_line_of(text):
    """Return a text as a browser shows it."""
    return " ".join(text.split())


def test_everything_it_was_given_is_on_it():
    found = Parsed(task_card(FACTS))
    assert found.text_of("h1") == [HOSTILE]
    header = ["metric", "median", "mean", "standard deviation", "minimum", "maximum", "seeds"]
    # 0.91234, 0.625 and 0.94; then without the 0.625.
    assert [
        header,
        ["accuracy", "0.9123", "0.8258", "0.1744", "0.625", "0.94", "3"],
        ["f1", "0.7", "0.5", "0.4359", "0", "0.8", "3"],
    ] in found.tables
    assert [
        header,
        ["accuracy", "0.9262", "0.9262", "0.01956", "0.9123", "0.94", "2"],
        ["f1", "0.75", "0.75", "0.07071", "0.7", "0.8", "2"],
    ] in found.tables
    assert [
        ["seed", "accuracy", "f1", "steps", "seconds", "collapsed"],
        ["11", "0.9123", "0.8", "1,234", "61", "no"],
        ["7", "0.625", "0", "1,234", "61", "it always answers 'a|b', and …"],
        ["3", "0.94", "0.7", "1,234", "61", "no"],
    ] in found.tables
    assert [["number", "label"], *([str(n), one_line_of(label)] for n, label in enumerate(LABELS))] in found.tables
    assert found.cells["task"] == ['odd "name": x']
    assert found.cells["metrics"] == ["accuracy, f1"]
    assert found.cells["learning_rate"] == ["0.0003"]
    assert found.cells["schedule.warmup"] == ["0.1"]
    assert found.cells["text"] == [HOSTILE]
    assert "layer_decay" not in found.cells
    assert found.cells["framework"] == ["PyTorch"]
    assert found.cells["torch"] == ["2.13.0"]
    assert FACTS.command in found.text_of("code")
    paragraphs = found.text_of("p")
    assert {HOSTILE, "1. Data of X, CC BY 4.0", "---"} <= set(paragraphs)
    assert any("seed 3" in text and "the best constant answer reaches 0.625" in text for text in paragraphs)
    assert any(text.startswith("Collapsed: 7 (1 of 3).") for text in paragraphs)
    assert any("class a text or a pair of texts belongs to" in text for text in paragraphs)
    assert found.pictures == ["curves.png", "confusion.png"]


def test_nothing_it_was_given_becomes_markup():
    tags = Parsed(task_card(FACTS)).tags
    assert not {"script", "em", "strong", "a", "s", "del", "ol", "ul", "li", "hr", "blockquote"} & tags


def test_what_the_hub_reads():
    card = task_card(FACTS)
    assert yaml.safe_load(card.split("\n---\n")[0]) == {
        "library_name": "electra-dual",
        "license": "cc-by-4.0",
        "language": ["en", "de"],
        "tags": ["electra", "classification", 'odd "name": x'],
        "pipeline_tag": "text-classification",
        "base_model": "google/electra-small-discriminator",
        "datasets": list(FACTS.datasets),
    }
    data = ModelCard(card).data
    assert (data.base_model, data.license) == ("google/electra-small-discriminator", "cc-by-4.0")


@pytest.mark.parametrize("path", ["/home/me/model", "./model", "../model", "a/b/c", "C:\\model"])
def test_a_path_is_no_base_model_to_the_hub(path):
    found = Parsed(task_card(replace(FACTS, base_model=path, license=None, datasets=(), languages=())))
    assert set(found.head) == {"library_name", "tags", "pipeline_tag"}
    assert found.cells["began with"] == [path]


@pytest.mark.parametrize("kind", TASKS)
def test_each_kind_names_its_classes(kind):
    card = task_card(replace(FACTS, task=TASKS[kind], labels=()))
    architecture = TASKS[kind].architecture
    codes = [code for code in Parsed(card).text_of("code") if "import" in code]
    assert f"from electra_pt import ElectraTokenizerFast, {architecture}\n" in codes[0]
    assert f"from electra_tf import ElectraTokenizerFast, TF{architecture}\n" in codes[1]
    assert f"`{architecture.replace('Electra', 'AutoModel')}`" in card
    assert "electra predict" in card


def test_of_googles_head_it_says_that_transformers_has_none():
    card = task_card(replace(FACTS, opens_in_transformers=False))
    assert "AutoModel" not in card
    assert "transformers does not open it" in card


def test_what_is_not_known_is_said_or_left_out():
    bare = replace(FACTS, results=(), summary=None, labels=(), command="", versions={}, notes=(), pictures={})
    found = Parsed(task_card(bare))
    assert any(text.startswith("None: the answers") for text in found.text_of("p"))
    assert all(len(table) > 1 for table in found.tables)
    assert found.pictures == []


def test_when_no_seed_collapsed_or_all_did_it_says_so():
    fine = [seed_result(5, 0.75)]
    card = task_card(replace(FACTS, results=fine, summary=summarize(fine, "accuracy")))
    assert "No seed collapsed." in card
    assert "of one seed" in card
    gone = [seed_result(5, 0.5, collapse="x")]
    card = task_card(replace(FACTS, results=gone, summary=summarize(gone, "accuracy")))
    assert "Collapsed: 5 (1 of 1)." in card
    assert "No seed is left." in card


def test_of_very_many_labels_the_first_are_listed():
    card = task_card(replace(FACTS, labels=tuple(f"label{number}" for number in range(1203))))
    assert "label199 |" in card
    assert "label200 |" not in card
    assert "And 1,003 more" in card


@pytest.mark.parametrize("name", ["../curves.png", "a b.png", "x)"])
def test_a_picture_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match="expected the plain name of a file beside the card"):
        task_card(replace(FACTS, pictures={name: "x"}))


@given(st.text())
def test_any_text_is_one_paragraph_one_cell_and_one_yaml_value(text):
    tidy = one_line_of(text)
    found = Parsed(f"---\na: 1\n---\n\n{one_line(text)}\n\n{table(('name', 'value'), [(text, 'x')])}\n")
    assert [len(row) for row in found.tables[0]] == [2, 2]
    if tidy.isprintable():
        assert found.text_of("p") == [tidy] * bool(tidy)
        assert found.tables[0][1] == [tidy, "x"]
    assert found.tags <= {"p", "table", "thead", "tbody", "tr", "th", "td"}
    values = yaml.safe_load(front_matter({"list": [text, "end"], "empty": ""}).split("\n---")[0])
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if not {"\ufffe", "\uffff"} & set(text):
        assert values == {"list": [expected, "end"]}


def test_control_characters_do_not_reach_a_terminal_that_shows_the_card():
    card = task_card(replace(FACTS, labels=("a\x1b[2J\x00b", "\x9b31m", "\ud800")))
    assert card.replace("\n", "").isprintable()
    assert card.encode("utf-8")
    assert "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b" in Parsed(card).cells["0"]


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize(("number", "framework"), [(0, "torch"), (1, "keras")])
def test_its_examples_run(kind, number, framework, tmp_path, capsys):
    pytest.importorskip(framework)
    task = TASKS[kind]
    labels = 1 if task.kind in ("regression", "choice") else 2
    config = ElectraConfig(
        vocab_size=len(VOCABULARY.read_text().split()), embedding_size=6, hidden_size=10, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=14, max_position_embeddings=40, num_labels=labels,
    )  # fmt: skip
    if framework == "torch":
        import electra_pt

        getattr(electra_pt, task.architecture)(config).save_pretrained(tmp_path)
    else:
        import electra_tf

        getattr(electra_tf, f"TF{task.architecture}")(config).save_pretrained(tmp_path)
    shutil.copy(VOCABULARY, tmp_path / "vocab.txt")
    card = task_card(replace(FACTS, task=task, labels=("a", "b") * (labels == 2)))
    code = [code for code in Parsed(card).text_of("code") if "import" in code][number]
    names = {"folder": tmp_path}
    exec(compile(code, kind, "exec"), names)
    assert capsys.readouterr().out
    output = names["model"](**names["batch"])
    scores = output.start_logits if task.kind == "answers" else output.logits
    tokens = tuple(names["batch"]["input_ids"].shape)[-1]
    expected = {"answers": (1, tokens), "choice": (1, 2), "tagging": (1, tokens, 2), "regression": (1, 1)}
    assert tuple(scores.shape) == expected.get(task.kind, (1, 2))
    if "pair" in kind:
        assert int(names["batch"]["token_type_ids"][0][-1]) == 1
