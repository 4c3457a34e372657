"""The card of a pre-trained model: facts of its run, as the README.md of its folder. No file is read here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from electra_common.markdown import check_picture, fenced, flat, front_matter, one_line, table
from electra_common.pretraining.evaluation import METRICS
from electra_common.weights.names import DISCRIMINATOR, GENERATOR

# The network's class and function of `applications`, with a text to try it on and what to print.
_USES: Final = {
    DISCRIMINATOR: (
        "ElectraForPreTraining",
        "detect_replaced_words",
        "The chef ate the meal.",
        "for word in answer.words:\n    print(word.text, word.probability)",
    ),
    GENERATOR: (
        "ElectraForMaskedLM",
        "fill_masks",
        "The chef [MASK] the meal.",
        "for candidate in answer.masks[0].candidates:\n    print(candidate.token, candidate.probability)",
    ),
}
_PURPOSES: Final = {
    DISCRIMINATOR: "The discriminator of an ELECTRA: it tells for every token of a text whether it was replaced. "
    "Fine-tune this one.",
    GENERATOR: "The generator of an ELECTRA: it fills in masked tokens. For fine-tuning take the discriminator.",
}

_LIMITS: Final = (
    "A model knows its training text and no more: other languages, older or newer words and other kinds of text are "
    "foreign to it, and what is biased in that text is biased in the model. The probability that a word was replaced "
    "is about replacements by the generator it was trained with, not about grammar or truth."
)


@dataclass(frozen=True)
class ModelCardFacts:
    """What a card says.

    Attributes:
        name: of the model.
        component: ``"discriminator"`` or ``"generator"``.
        parameters: how many weights it has.
        config: the sizes to show, by the names of :class:`~electra_common.ElectraConfig`.
        step: updates done.
        tokens: real tokens seen.
        recipe: the run's, by name; values that are nothing (None, an empty text) are left out.
        starts: each start of the run: ``command``, and what else is known of it, such as ``framework`` and ``time``.
        data: the manifest of the prepared corpus: ``sources``, ``splits``, ``vocabulary``, ``options``.
        license_notes: where the data comes from and under which licences, one paragraph each, in the user's words.
        held_out: metrics by name.
        versions: of programs, by name.
        curves: file name of the picture beside the card, or None.
        fingerprint: of the weights, or None.
        license: of the model, as the Hub names it (``apache-2.0``), or None.
        languages: of the text, as the Hub names them (``en``).
        training_notes: what happened before the run, one paragraph each, in the user's words.
    """

    name: str
    component: str
    parameters: int
    config: Mapping[str, Any]
    step: int
    tokens: int
    recipe: Mapping[str, Any]
    starts: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]
    license_notes: Sequence[str]
    held_out: Mapping[str, float]
    versions: Mapping[str, str]
    curves: str | None = None
    fingerprint: str | None = None
    license: str | None = None
    languages: Sequence[str] = field(default=())
    training_notes: Sequence[str] = field(default=())


def model_card(facts: ModelCardFacts) -> str:
    """Return the card as Markdown, with what the Hub reads of a card at its top.

    Raises:
        ValueError: ``component`` is neither network, or the picture's name is a path.
    """
    if facts.component not in _USES:
        raise ValueError(f"component must be one of {', '.join(_USES)}, found {facts.component!r}")
    check_picture(facts.curves)
    sections = [
        _for_the_hub(facts),
        f"# {one_line(facts.name)}",
        f"{_PURPOSES[facts.component]} Trained with electra-dual; PyTorch, TensorFlow and transformers open it.",
        _sizes(facts),
        "## Use",
        *_use(facts.component),
        "## Results on held-out text",
        *_results(facts),
        "## Data",
        *_data(facts),
        "## Training",
        *_training(facts),
        "## Limits",
        _LIMITS,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _for_the_hub(facts: ModelCardFacts) -> str:
    return front_matter(
        {
            "library_name": "electra-dual",
            "license": facts.license,
            "language": list(facts.languages),
            "tags": ["electra", "replaced-token-detection", facts.component],
            "pipeline_tag": "fill-mask" if facts.component == GENERATOR else None,
        }
    )


def _sizes(facts: ModelCardFacts) -> str:
    rows = [("parameters", f"{facts.parameters:,}"), *facts.config.items()]
    rows += [("fingerprint", facts.fingerprint)] if facts.fingerprint else []
    return table(("", ""), rows)


def _use(component: str) -> Iterable[str]:
    architecture, function, text, shown = _USES[component]
    for family, prefix, framework in (("electra_pt", "", "PyTorch"), ("electra_tf", "TF", "TensorFlow")):
        yield f"{framework}, with `folder` the path or name of this model:"
        yield fenced(
            f"from {family} import ElectraTokenizerFast, {prefix}{architecture}\n"
            f"from {family}.applications import {function}\n\n"
            f"model = {prefix}{architecture}.from_pretrained(folder)\n"
            f"tokenizer = ElectraTokenizerFast.from_pretrained(folder)\n"
            f"(answer,) = {function}(model, tokenizer, [{text!r}])\n{shown}",
            "python",
        )


def _results(facts: ModelCardFacts) -> Iterable[str]:
    if facts.held_out:
        rows = [(name, f"{value:.4g}", METRICS.get(name, "")) for name, value in facts.held_out.items()]
        yield table(("metric", "value", "meaning"), rows)
    else:
        yield "No text was held out of training, so nothing is known of text the model has not seen."
    if facts.curves is not None:
        yield f"![Curves of the run: losses, accuracies, learning rate]({facts.curves})"


def _data(facts: ModelCardFacts) -> Iterable[str]:
    data = facts.data
    columns = list(dict.fromkeys(name for source in data.get("sources", ()) for name in source))
    yield table(columns, [[source.get(name, "") for name in columns] for source in data.get("sources", ())])
    splits = data.get("splits", {})
    counts = list(dict.fromkeys(name for split in splits.values() for name in split))
    yield table(
        ["split", *counts], [[name, *(split.get(item, "") for item in counts)] for name, split in splits.items()]
    )
    yield table(("option", "value"), flat({"vocabulary": data.get("vocabulary", {}), **data.get("options", {})}))
    yield "### Where the text comes from, and its licences"
    if facts.license_notes:
        yield from (one_line(note) for note in facts.license_notes)
    else:
        yield "Not stated: whoever trained this model gave no note."


def _training(facts: ModelCardFacts) -> Iterable[str]:
    yield from (one_line(note) for note in facts.training_notes)
    yield f"{facts.step:,} steps, {facts.tokens:,} tokens."
    commands = "\n".join(str(start["command"]) for start in facts.starts if start.get("command"))
    yield fenced(commands.encode("utf-8", "replace").decode(), "console")  # a file's name may be no UTF-8
    told = list(dict.fromkeys(name for start in facts.starts for name in start if name != "command"))
    yield table(told, [[start.get(name, "") for name in told] for start in facts.starts])
    yield table(("recipe", "value"), [row for row in flat(facts.recipe) if row[1] not in ("", None)])
    yield table(("program", "version"), list(facts.versions.items()))
