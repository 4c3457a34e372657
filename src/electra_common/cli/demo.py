"""``electra demo``: the main job on real input, with the numbers that Google's own code recorded as the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from electra_common.cli.answers import find_model, make_job
from electra_common.cli.compare import as_data, make_batch, print_comparison, run_comparison
from electra_common.cli.console import make_console, make_table, print_json
from electra_common.cli.demo_files import ENGLISH, GOOGLE_CHECKPOINT, GOOGLE_EXPECTED, GOOGLE_HEADS
from electra_common.cli.frameworks import (
    FRAMEWORKS,
    FrameworkMissingError,
    Job,
    Result,
    frameworks_stay,
    missing_error,
    run_in_frameworks,
)
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.conversion import Conversion, convert_checkpoint

TOLERANCE: Final = 1e-5
# Of the paper: the cook has become an eater.
REPLACED_SENTENCE: Final = "The chef ate the meal, and the guests thanked him for his cooking."
MASKED_SENTENCE: Final = "The chef [MASK] the meal, and the guests thanked him for his cooking."
_SIZE: Final = "small-discriminator"
_SEED: Final = 1


@dataclass(frozen=True)
class Agreement:
    """How far one framework's result is from what Google's code recorded."""

    framework: str
    quantity: str
    largest: float


def demo(*, as_json: bool) -> int:
    """Run the demonstration with the frameworks that are installed; exit code 1 if any number disagrees."""
    with frameworks_stay(FRAMEWORKS):
        return _demo(as_json=as_json)


def _demo(*, as_json: bool) -> int:
    console = Console(quiet=True) if as_json else make_console()
    with TemporaryDirectory(prefix="electra-demo-") as name:
        console.rule("[bold]1. A checkpoint written by Google's ELECTRA code", align="left")
        agreements, missing = against_google(console)
        console.rule("[bold]2. Converted, and unchanged", align="left")
        conversions = convert_google(console, Path(name) / "converted")
        comparison = None
        if missing:
            console.print(f"\n{missing}\nWith both frameworks installed the demonstration goes on to compare them.")
        else:
            console.rule("[bold]3. A full-size ELECTRA-Small over real English text", align="left")
            comparison = full_size(console, Path(name) / "small")
    console.rule("[bold]4. The model that comes with the package, on sentences", align="left")
    answers = real_text(console, tuple(dict.fromkeys(item.framework for item in agreements)))
    good = (
        all(item.largest <= TOLERANCE for item in agreements)
        and all(item.unchanged for item in conversions)
        and (comparison is None or bool(comparison["agrees"]))
        and bool(answers["agrees"])
    )
    if as_json:
        print_json(
            {
                "agrees": good,
                "against_google": [vars(item) for item in agreements],
                "fingerprints": {item.component: item.fingerprint_after for item in conversions},
                "full_size": comparison,
                "real_text": answers,
                "missing": str(missing) if missing else None,
            }
        )
    console.print("\n[bold green]Everything agrees.[/]" if good else "\n[bold red]Something disagrees, see above.[/]")
    return 0 if good else 1


def against_google(console: Console) -> tuple[list[Agreement], FrameworkMissingError | None]:
    """Run the checkpoint in each installed framework over the batch that Google's code recorded."""
    console.print(f"{GOOGLE_CHECKPOINT.name}, read without TensorFlow 1; the judge is what Google's code computed.\n")
    with np.load(GOOGLE_EXPECTED) as file:
        recorded = {key.removeprefix("eval/"): file[key] for key in file.files if key.startswith("eval/")}
    agreements: list[Agreement] = []
    missing: FrameworkMissingError | None = None
    for framework in FRAMEWORKS:
        try:
            agreements += _framework_against_google(framework, recorded)
        except FrameworkMissingError as error:
            missing = error
    if not agreements:
        raise missing_error(tuple(FRAMEWORKS))
    table = make_table("largest difference from Google's numbers", "what", *(f"#{FRAMEWORKS[f]}" for f in FRAMEWORKS))
    found = {(item.quantity, item.framework): f"{item.largest:.2e}" for item in agreements}
    for quantity in dict.fromkeys(item.quantity for item in agreements):
        table.add_row(quantity, *(found.get((quantity, framework), "not installed") for framework in FRAMEWORKS))
    console.print(table)
    return agreements, missing


def _framework_against_google(framework: str, recorded: Mapping[str, NDArray[Any]]) -> list[Agreement]:
    """Both networks of the checkpoint: the generator saw the masked text, the discriminator the corrupted one."""
    generator = _run_google(framework, "generator", "ElectraForMaskedLM", recorded, "masked_input_ids")
    discriminator = _run_google(framework, "discriminator", "ElectraForPreTraining", recorded, "corrupted_input_ids")
    positions = recorded["masked_lm_positions"][:, :, None]  # [batch, predictions, 1]
    at_masked = np.take_along_axis(generator.outputs["logits"], positions, axis=1)
    real = recorded["input_mask"] == 1  # what Google computes on padding differs by its mask constant, and is unused
    hidden = {name: _last_hidden(result) for name, result in (("g", generator), ("d", discriminator))}
    probabilities = 1 / (1 + np.exp(-discriminator.outputs["logits"].astype(np.float64)))
    pairs = {
        "generator hidden states": (hidden["g"][real], recorded["generator_hidden"][real]),
        "generator logits at masked positions": (at_masked, recorded["generator_logits_at_masked"]),
        "discriminator embeddings": (
            discriminator.outputs["hidden_states/0"][real],
            recorded["discriminator_embeddings"][real],
        ),
        "discriminator hidden states": (hidden["d"][real], recorded["discriminator_hidden"][real]),
        "probability of being replaced": (probabilities[real], recorded["discriminator_probs"][real]),
    }
    return [Agreement(framework, name, float(np.abs(ours - theirs).max())) for name, (ours, theirs) in pairs.items()]


def _run_google(
    framework: str, component: str, architecture: str, recorded: Mapping[str, NDArray[Any]], ids: str
) -> Result:
    overrides = {"num_attention_heads": GOOGLE_HEADS[component]}
    job = Job("run", str(GOOGLE_CHECKPOINT), architecture, component, overrides)
    batch = {
        "input_ids": recorded[ids],
        "attention_mask": recorded["input_mask"],
        "token_type_ids": recorded["segment_ids"],
    }
    return run_in_frameworks((framework,), job, batch)[framework]


def _last_hidden(result: Result) -> NDArray[Any]:
    names = [name for name in result.outputs if name.startswith("hidden_states/")]
    return result.outputs[max(names, key=lambda name: int(name.rpartition("/")[2]))]


def convert_google(console: Console, target: Path) -> tuple[Conversion, ...]:
    """Convert both networks and show the fingerprints of before and after."""
    conversions = convert_checkpoint(GOOGLE_CHECKPOINT, target, num_attention_heads=GOOGLE_HEADS)
    table = make_table("", "network", "fingerprint in Google's files", "fingerprint in model.safetensors", "")
    for item in conversions:
        same = "[green]same[/]" if item.unchanged else "[bold red]DIFFERS[/]"
        table.add_row(item.component, item.fingerprint_before[:32] + "…", item.fingerprint_after[:32] + "…", same)
    console.print(table)
    return conversions


def full_size(console: Console, folder: Path) -> dict[str, Any]:
    """Make an ELECTRA-Small with new weights in PyTorch and run it in both frameworks over English text."""
    from electra_common.config import ElectraConfig

    fields = {**ElectraConfig.preset(_SIZE).to_dict(), "initializer_range": 0.1}
    fields = {name: value for name, value in fields.items() if name not in ("model_type", "architectures")}
    run_in_frameworks(("pt",), Job("create", str(folder), "ElectraForPreTraining", None, fields, _SEED), {})
    checkpoint = open_checkpoint(folder)
    component = checkpoint.component()
    config = checkpoint.config_of(component)
    console.print(f"{_SIZE}, new weights (seed {_SEED}), all 30,522 pieces, text: {ENGLISH.name}")
    batch, described = make_batch(checkpoint, config, text=None, ids=None, vocab=None, max_length=128)
    comparison = run_comparison(checkpoint, component, config, batch, described, TOLERANCE)
    print_comparison(console, comparison)
    return as_data(comparison)


# Real sentences -------------------------------------------------------------------------------------------------------


def real_text(
    console: Console, frameworks: tuple[str, ...], *, discriminator: Path | None = None, generator: Path | None = None
) -> dict[str, Any]:
    """Let both networks answer sentences in each framework: which word was replaced, and what fits a mask.

    Args:
        console: to print to.
        frameworks: those that are installed.
        discriminator: a model's folder; by default the embedded one's.
        generator: a model's folder; by default the embedded one's.
    """
    results = run_in_frameworks(frameworks, _two_questions(discriminator, generator), {})
    detected, filled = ({name: result.answers[place] for name, result in results.items()} for place in range(2))
    words = {name: answer["words"] for name, answer in detected.items()}
    console.print(f"\ndiscriminator: {REPLACED_SENTENCE}\n", markup=False)
    table = make_table("", "word", *(f"#{FRAMEWORKS[name]}" for name in frameworks))
    for row in zip(*words.values(), strict=True):
        table.add_row(escape(row[0]["text"]), *(f"{word['probability']:.4f}" for word in row))
    console.print(table)
    candidates = {name: answer["masks"][0]["candidates"] for name, answer in filled.items()}
    console.print(f"\ngenerator: {MASKED_SENTENCE}\n", markup=False)
    table = make_table("", *(FRAMEWORKS[name] for name in frameworks))
    for row in zip(*candidates.values(), strict=True):
        table.add_row(*(f"{escape(item['token'])}  {item['probability']:.4f}" for item in row))
    console.print(table)
    largest = max(_spread(words), _spread(candidates))
    return {"agrees": largest <= TOLERANCE, "largest": largest, "detect": detected, "fill_mask": filled}


def _two_questions(discriminator: Path | None, generator: Path | None) -> Job:
    """Return the job of finding what was replaced in one sentence and filling in another, for one process."""
    detecting, filling = (
        make_job(action, find_model(action, None if folder is None else str(folder)), [text], options)
        for action, folder, text, options in (
            ("detect", discriminator, REPLACED_SENTENCE, {}),
            ("fill-mask", generator, MASKED_SENTENCE, {"top": 5}),
        )
    )
    return replace(detecting, more=(filling,))


def _spread(answers: Mapping[str, list[dict[str, Any]]]) -> float:
    """Return the largest difference between the frameworks' probabilities at any place of their lists."""
    probabilities = np.array([[item["probability"] for item in items] for items in answers.values()])
    return float(np.ptp(probabilities, axis=0).max())
