"""A web page of texts with their replaced words marked: one file that needs nothing else, to look at or to send."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from electra_common.applications.replaced_words import Detection, Word

# No script, nothing fetched: a page of somebody else's text must not be able to do anything.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """
body { font: 17px/1.7 system-ui, sans-serif; max-width: 46rem; margin: 2.5rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #ffffff; }
h1 { font-size: 1.2rem; margin-bottom: .2rem; }
.about, .summary { color: #666666; font-size: .85rem; }
.summary { margin-top: -.6rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin-top: 1.6rem; }
.word { border-radius: .2rem; padding: .05rem 0; cursor: help; }
.replaced { font-weight: 600; text-decoration: underline; text-decoration-thickness: 2px; text-underline-offset: 3px; }
.scale span { display: inline-block; padding: 0 .5rem; }
"""


def detection_page(detections: Sequence[Detection], *, threshold: float, model: str) -> str:
    """Return the page: a word's colour is its probability, and its title shows it with those of its pieces.

    Args:
        detections: the texts and their words.
        threshold: words of this probability or more are also underlined.
        model: the name to show.
    """
    scale = "".join(f'<span style="{_style(share / 4)}">{share / 4:.2f}</span>' for share in range(5))
    texts = "\n".join(_text(detection, threshold) for detection in detections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Replaced words</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Replaced words</h1>
<p class="about">Model: {escape(model)}. Underlined: a probability of {threshold:g} or more of being replaced.</p>
<p class="about scale">{scale}</p>
{texts}
</body>
</html>
"""


def _text(detection: Detection, threshold: float) -> str:
    parts, place = [], 0
    for word in detection.words:
        parts.append(escape(detection.text[place : word.start]))
        parts.append(_word(word, threshold))
        place = word.end
    parts.append(escape(detection.text[place:]))
    count = len(detection.replaced(threshold))
    summary = f'<p class="summary">{count} of {len(detection.words)} words reach the threshold</p>'
    return f'<p class="text">{"".join(parts)}</p>\n{summary}'


def _word(word: Word, threshold: float) -> str:
    title = f"{word.probability:.3f}"
    if len(word.pieces) > 1:
        title += ": " + ", ".join(f"{piece} {value:.3f}" for piece, value in word.pieces)
    kind = "word replaced" if word.probability >= threshold else "word"
    return f'<span class="{kind}" style="{_style(word.probability)}" title="{escape(title)}">{escape(word.text)}</span>'


def _style(probability: float) -> str:
    return f"background: rgba(255, 110, 40, {0.75 * probability:.3f})"
