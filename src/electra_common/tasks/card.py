"""The card of a fine-tuned model: what it was made for and how well it does, as the README.md of its folder.

No file is read here. What it is not: the card of a pre-trained model (:mod:`electra_common.pretraining.model_card`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from electra_common.markdown import check_picture, fenced, flat, front_matter, one_line, table
from electra_common.tasks.seeds import SeedResult, Statistics, Summary
from electra_common.tasks.task import Task

# Kind of task -> the Hub's name of it, and the class of transformers that opens such a folder.
_HUB_NAMES: Final = {
    "classification": ("text-classification", "AutoModelForSequenceClassification"),
    "regression": ("text-classification", "AutoModelForSequenceClassification"),
    "tagging": ("token-classification", "AutoModelForTokenClassification"),
    "answers": ("question-answering", "AutoModelForQuestionAnswering"),
    "choice": ("multiple-choice", "AutoModelForMultipleChoice"),
}
_PURPOSES: Final = {
    "classification": "It says which class a text{pair} belongs to.",
    "regression": "It gives a text{pair} a number.",
    "tagging": "It gives each word of a text a tag.",
    "answers": "It finds the part of a text that answers a question.",
    "choice": "It tells which of several continuations of a text is the right one.",
}
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_MOST_LABELS: Final = 200  # that a card lists
_LIMITS: Final = (
    "The model knows texts like those it was trained on, and answers every other text too, without a word of doubt: "
    "other languages, other kinds of text and questions that none of its labels fits get an answer as well. Its "
    "probabilities are not calibrated, and what is biased in its data is biased in its answers. The results above are "
    "of the data named there, which may have been used to choose settings and weights; measure on your own."
)


@dataclass(frozen=True, kw_only=True)
class TaskCardFacts:
    """What a card says.

    Attributes:
        name: of the model.
        task: what it was made for.
        labels: the classes or tags in the order of their numbers; none for other kinds.
        base_model: name or path of the model that the training began with.
        framework: ``"pt"`` or ``"tf"``.
        settings: how it was trained; values that are nothing (None, an empty text) are left out.
        command: that started the training, as a shell takes it; an empty text where there was none.
        versions: of programs, by name.
        results: one for each seed.
        summary: of all seeds, None where no answers were known.
        seed: the one whose weights these are.
        opens_in_transformers: whether the head is one that transformers has; Google's is not.
        datasets: of the training, as the Hub names them.
        license: of the model, as the Hub names it (``apache-2.0``), or None.
        languages: of the texts, as the Hub names them (``en``).
        notes: where the data comes from and whatever else there is to say, one paragraph each, in the user's words.
        pictures: what a picture shows, by the name of its file beside the card.
    """

    name: str
    task: Task
    labels: Sequence[str] = ()
    base_model: str
    framework: str
    settings: Mapping[str, Any]
    command: str
    versions: Mapping[str, str]
    results: Sequence[SeedResult]
    summary: Summary | None
    seed: int
    opens_in_transformers: bool = True
    datasets: Sequence[str] = ()
    license: str | None = None
    languages: Sequence[str] = ()
    notes: Sequence[str] = ()
    pictures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def task_card(facts: TaskCardFacts) -> str:
    """Return the card as Markdown, with what the Hub reads of a card at its top.

    Raises:
        ValueError: the name of a picture is a path.
    """
    for name in facts.pictures:
        check_picture(name)
    pair = " or a pair of texts" if facts.task.pair is not None else ""
    sections = [
        _for_the_hub(facts),
        f"# {one_line(facts.name)}",
        f"An ELECTRA fine-tuned from {one_line(facts.base_model)} with electra-dual. "
        f"{_PURPOSES[facts.task.kind].format(pair=pair)}",
        "## Use",
        *_use(facts),
        "## Results",
        *_results(facts),
        *(f"![{one_line(text)}]({name})" for name, text in facts.pictures.items()),
        "## Task",
        *_task(facts),
        "## Training",
        *_training(facts),
        "## Limits",
        _LIMITS,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _for_the_hub(facts: TaskCardFacts) -> str:
    # The Hub takes names of its own alone; a path of this machine is none.
    base_model = facts.base_model if _HUB_ID.fullmatch(facts.base_model) else None
    return front_matter(
        {
            "library_name": "electra-dual",
            "license": facts.license,
            "language": list(facts.languages),
            "tags": ["electra", facts.task.kind, facts.task.name],
            "pipeline_tag": _HUB_NAMES[facts.task.kind][0],
            "base_model": base_model,
            "datasets": list(facts.datasets),
        }
    )


# Use ------------------------------------------------------------------------------------------------------------------


def _use(facts: TaskCardFacts) -> Iterable[str]:
    yield "From the command line, with `folder` the path or name of this model, and `texts` a file of its task's form:"
    yield fenced("electra predict folder --file texts", "console")
    for family, prefix, framework in (("electra_pt", "", "PyTorch"), ("electra_tf", "TF", "TensorFlow")):
        architecture = f"{prefix}{facts.task.architecture}"
        yield f"{framework}, for the raw scores:"
        yield fenced(_example(facts, family, architecture, "pt" if family == "electra_pt" else "tf"), "python")
    if facts.opens_in_transformers:
        yield f"transformers opens it with `{_HUB_NAMES[facts.task.kind][1]}` and `AutoTokenizer`."
    else:
        yield "transformers does not open it: its head is Google's, which transformers does not have."


def _example(facts: TaskCardFacts, family: str, architecture: str, tensors: str) -> str:
    call, shown = _call(facts.task, tensors)
    return (
        f"from {family} import ElectraTokenizerFast, {architecture}\n\n"
        f"model = {architecture}.from_pretrained(folder)\n"
        f"tokenizer = ElectraTokenizerFast.from_pretrained(folder)\n"
        f"{call}\n{shown}"
    )


def _call(task: Task, tensors: str) -> tuple[str, str]:
    """Return how a batch is made for a kind of task, and how the answer is shown."""
    made = f'return_tensors="{tensors}"'
    if task.kind == "answers":
        texts = '"Who ate the meal?", "The chef ate the meal."'
        return f"batch = tokenizer({texts}, {made})", (
            "output = model(**batch)\nprint(output.start_logits, output.end_logits)"
        )
    if task.kind == "choice":
        rows = f'batch = tokenizer(["The chef"] * 2, ["ate the meal.", "ate the moon."], padding=True, {made})'
        batch = "batch = {name: values[None] for name, values in batch.items()}  # [1, choices, length]"
        return f"{rows}\n{batch}", "print(model(**batch).logits)"
    texts = '"The chef ate the meal."' + (', "The meal was eaten."' if task.pair is not None else "")
    return f"batch = tokenizer({texts}, {made})", "print(model(**batch).logits)"


# Results --------------------------------------------------------------------------------------------------------------


def _results(facts: TaskCardFacts) -> Iterable[str]:
    summary = facts.summary
    if summary is None:
        yield "None: the answers to the texts it was measured on are not known."
        return
    seeds = "one seed" if summary.count == 1 else f"{summary.count} seeds"
    yield (
        f"On the development set, of {seeds}; these are the weights of seed {facts.seed}. Models are compared by "
        f"{one_line(summary.main_metric)}{_constant(facts.results)}."
    )
    yield _statistics(summary.metrics)
    if summary.collapsed:
        names = ", ".join(map(str, summary.collapsed))
        yield (
            f"Collapsed: {names} ({len(summary.collapsed)} of {summary.count}). Training with such a seed came to "
            "nothing, as the table of seeds says. Without them:"
        )
        yield _statistics(summary.without_collapsed) or "No seed is left."
    else:
        yield "No seed collapsed."
    yield _seeds(facts.results)


def _constant(results: Sequence[SeedResult]) -> str:
    scores = sorted({f"{item.constant_score:.4g}" for item in results if math.isfinite(item.constant_score)})
    return f", of which the best constant answer reaches {' or '.join(scores)}" if scores else ""


def _statistics(metrics: Mapping[str, Statistics]) -> str:
    rows = [
        [
            name,
            *(f"{value:.4g}" for value in (of.median, of.mean, of.deviation, of.minimum, of.maximum)),
            of.count,
        ]
        for name, of in metrics.items()
    ]
    return table(("metric", "median", "mean", "standard deviation", "minimum", "maximum", "seeds"), rows)


def _seeds(results: Sequence[SeedResult]) -> str:
    names = list(dict.fromkeys(name for result in results for name in result.metrics))
    rows = [
        [
            str(result.seed),
            *(f"{result.metrics[name]:.4g}" if name in result.metrics else "" for name in names),
            result.steps,
            f"{result.seconds:.0f}",
            (result.collapse_reason or "yes") if result.is_collapsed else "no",
        ]
        for result in results
    ]
    return table(("seed", *names, "steps", "seconds", "collapsed"), rows)


# Task and training ----------------------------------------------------------------------------------------------------


def _task(facts: TaskCardFacts) -> Iterable[str]:
    task = facts.task
    yield one_line(task.summary)
    yield table(("", ""), [("task", task.name), ("kind", task.kind), ("metrics", ", ".join(task.metrics))])
    if facts.labels:
        rows = [[str(number), label] for number, label in enumerate(facts.labels[:_MOST_LABELS])]
        yield table(("number", "label"), rows)
    if (rest := len(facts.labels) - _MOST_LABELS) > 0:
        yield f"And {rest:,} more, which are in `config.json`."
    yield from (one_line(note) for note in facts.notes)


def _training(facts: TaskCardFacts) -> Iterable[str]:
    yield fenced(facts.command, "console")
    framework = {"pt": "PyTorch", "tf": "TensorFlow"}.get(facts.framework, facts.framework)
    settings = [row for row in flat(facts.settings) if row[1] not in ("", None)]
    yield table(("setting", "value"), [("framework", framework), ("began with", facts.base_model), *settings])
    yield table(("program", "version"), list(facts.versions.items()))
