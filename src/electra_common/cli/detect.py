"""``electra detect``: which words of a text were replaced."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.style import Style
from rich.text import Text

from electra_common.applications.detection_page import detection_page
from electra_common.applications.replaced_words import Detection
from electra_common.cli.answers import answer_texts, find_model, make_job
from electra_common.cli.console import make_console, make_table, print_json
from electra_common.cli.frameworks import FRAMEWORKS
from electra_common.cli.options import Heads, check_sources
from electra_common.terminal import printable
from electra_common.text_files import read_files
from electra_common.weights.atomic import write_files

_FAINTEST: Final = 0.1  # a word of less probability is not coloured
_SUSPICIOUS: Final = "rgb(205,110,20)"  # can be read on black and on white
_PALEST: Final = (255, 225, 120)
_STRONGEST: Final = (255, 100, 50)


def detect(
    texts: list[str],
    *,
    files: list[str],
    model: str | None,
    tokenizer: str | None,
    heads: Heads,
    framework: str | None,
    threshold: float,
    stride: int | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Print each text with its words marked whose probability of being replaced reaches the threshold."""
    check_sources(texts, files)
    if files:
        texts = [line for line in read_files(files) if line.strip()]
    if not texts:
        raise ValueError("nothing to read: give a text, or --file FILE (- for standard input) with a text a line")
    source = find_model("detect", model, tokenizer=tokenizer, heads=heads)
    used, result = answer_texts(make_job("detect", source, texts, {"stride": stride}), framework=framework)
    detections = [Detection.from_data(answer) for answer in result.answers]
    if html is not None:
        page = detection_page(detections, threshold=threshold, model=model or "embedded model")
        write_files(html.parent, {html.name: page.encode()})
    if as_json:
        print_json(
            {
                "model": source.path,
                "framework": used,
                "threshold": threshold,
                "html": None if html is None else str(html),
                "texts": [as_data(detection, threshold) for detection in detections],
            }
        )
        return 0
    console = make_console()
    for detection in detections:
        print_detection(console, detection, threshold)
    written = "" if html is None else f", written to {html}"
    console.print(f"[dim]{escape(source.path)} in {FRAMEWORKS[used]}{escape(written)}[/]", soft_wrap=True)
    return 0


def as_data(detection: Detection, threshold: float) -> dict[str, Any]:
    """Return a detection as plain data, for ``--json``."""
    words = [
        {
            **asdict(word),
            "replaced": word.probability >= threshold,
            "pieces": [{"piece": piece, "probability": value} for piece, value in word.pieces],
        }
        for word in detection.words
    ]
    return {"text": detection.text, "words": words}


def print_detection(console: Console, detection: Detection, threshold: float) -> None:
    """Print a text with its replaced words marked, and a table of them."""
    console.print(marked_text(console, detection, threshold), soft_wrap=True)
    replaced = detection.replaced(threshold)
    if not replaced:
        highest = max(detection.words, key=lambda word: word.probability)
        told = f"no word reaches {threshold:g}; the highest is {highest.text} with {highest.probability:.3f}"
        console.print(f"{told}\n", markup=False, soft_wrap=True)
        return
    table = make_table("", "word", "#from", "#to", "#probability of being replaced")
    for word in replaced:
        table.add_row(escape(word.text), str(word.start), str(word.end), f"{word.probability:.3f}")
    console.print(table)
    console.print()


def marked_text(console: Console, detection: Detection, threshold: float) -> Text:
    """Return the text, its words coloured by probability; where there is no colour, replaced ones in brackets."""
    in_colour = console.color_system is not None and not console.no_color
    result, place = Text(), 0
    for word in detection.words:
        result.append(printable(detection.text[place : word.start]))
        place = word.end
        text, is_replaced = printable(word.text), word.probability >= threshold
        if in_colour:
            result.append(text, _style(word.probability, is_replaced))
        else:
            result.append(f"[{text} {word.probability:.0%}]" if is_replaced else text)
    result.append(printable(detection.text[place:]))
    return result


def _style(probability: float, is_replaced: bool) -> Style:
    """Return black on yellow to red for a replaced word, orange letters for one that is merely suspicious.

    A background for those too would make the palest ones the brightest spots on a dark terminal.
    """
    if not is_replaced:
        return Style(color=_SUSPICIOUS) if probability >= _FAINTEST else Style()
    red, green, blue = (round(a + (b - a) * probability) for a, b in zip(_PALEST, _STRONGEST, strict=True))
    return Style(color="black", bgcolor=f"rgb({red},{green},{blue})", bold=True)
