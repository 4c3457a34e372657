"""Examples of each kind of task, and tasks for them."""

import json
from functools import cache

from electra_common import ElectraTokenizerFast
from electra_common.tasks.examples import Answer, Question, TaggedSentence
from electra_common.tasks.task import Task
from support.fixtures import DEMO_DATA, TESTS

FOLDER = TESTS / "fixtures" / "fine_tuning"
CLASSES = Task(name="classes", kind="classification", metrics=("accuracy",))
NUMBERS = Task(name="numbers", kind="regression", metrics=("pearson",), label_range=(1, 5))
TAGS = Task(name="tags", kind="tagging", metrics=("entity_f1",))
ANSWERS = Task(name="answers", kind="answers", metrics=("answer_f1",), format="squad")
CHOICES = Task(name="choices", kind="choice", metrics=("accuracy",), choices=("a", "b"))


@cache
def tokenizer():
    """Return the tokenizer with the vocabulary of the released models, which no test may change."""
    return ElectraTokenizerFast(DEMO_DATA / "vocab.txt")


def questions():
    """Return real questions, each with one answer."""
    items = json.loads((FOLDER / "squad.json").read_text(encoding="utf-8"))
    return [
        Question(
            item["id"],
            item["question"],
            item["context"],
            (Answer(item["answer"]["text"], item["answer"]["answer_start"]),),
            f"squad.json, question {number}",
        )
        for number, item in enumerate(items, 1)
    ]


def sentences():
    """Return real sentences with tags."""
    blocks = (FOLDER / "wnut17.conll").read_text(encoding="utf-8").strip().split("\n\n")
    return [
        TaggedSentence(
            str(number), *zip(*(line.split("\t") for line in block.splitlines()), strict=True), f"sentence {number}"
        )
        for number, block in enumerate(blocks, 1)
    ]


def tag_names():
    """Return the tags of those sentences."""
    return tuple(sorted({tag for sentence in sentences() for tag in sentence.tags}))
