"""The curves of pre-training runs as one picture: a panel for each quantity, a colour for each run.

Needs matplotlib (extra ``train``), and uses no window system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.pictures import COLOURS, PICTURE_FORMATS, new_figure, picture_bytes, plain_label, tidy
from electra_common.runs.metrics_log import MetricsEntry
from electra_common.weights.atomic import write_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

X_AXES: Final = {"step": "step", "tokens": "tokens seen", "time": "hours"}
_SECONDS_PER_HOUR: Final = 3600
_MANY_POINTS: Final = 60  # beyond which a mark for each point is a smear


@dataclass(frozen=True)
class Panel:
    """One panel of the picture.

    Attributes:
        title: above it.
        metrics: what it shows, by name, with the style of its line.
        is_share: whether these are shares of 1, to be read as percent.
    """

    title: str
    metrics: Mapping[str, str]
    is_share: bool = False


PANELS: Final = (
    Panel("generator loss", {"generator_loss": "-"}),
    Panel("discriminator loss", {"discriminator_loss": "-"}),
    Panel("masked accuracy", {"masked_accuracy": "-"}, is_share=True),
    Panel("AUC of replaced tokens", {"auc": "-"}, is_share=True),
    Panel("precision (line), recall (dashed)", {"precision": "-", "recall": "--"}, is_share=True),
    Panel("positive rate", {"positive_rate": "-"}, is_share=True),
    Panel("learning rate", {"learning_rate": "-"}),
    Panel("tokens per second", {"tokens_per_second": "-"}),
)
_COLUMNS: Final = 4


def draw_curves(
    runs: Mapping[str, Sequence[MetricsEntry]], out: str | Path, *, x: str = "step", title: str | None = None
) -> None:
    """Draw both splits of several runs against steps, tokens or time, and write the picture.

    Training is a thin line, the held-out split a strong one with a mark at each evaluation. Panels that no run has
    values for are left out.

    Args:
        runs: the log of each run (:func:`.metrics_log.read_metrics`) by the name to show.
        out: ``.png`` or ``.svg``.
        x: ``"step"``, ``"tokens"`` (which the training lines must have logged) or ``"time"``.
        title: above the picture.

    Raises:
        ValueError: nothing to draw, no such axis or form of picture, or matplotlib is not installed.
        CheckpointError: the picture cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() not in PICTURE_FORMATS:
        raise ValueError(f"{out}: expected a name that ends in {' or '.join(PICTURE_FORMATS)}")
    figure = curves_figure(runs, x=x, title=title)
    write_files(out.parent, {out.name: picture_bytes(figure, out.suffix.lower().removeprefix("."))})


def curves_figure(
    runs: Mapping[str, Sequence[MetricsEntry]],
    *,
    x: str = "step",
    title: str | None = None,
    panels: Sequence[Panel] = PANELS,
) -> Figure:
    """Return the picture of :func:`draw_curves`, which nothing is written of, or one of other panels.

    Raises:
        ValueError: nothing to draw, no such axis, or matplotlib is not installed.
    """
    if x not in X_AXES:
        raise ValueError(f"x must be one of {', '.join(X_AXES)}, found {x!r}")
    found = {name for entries in runs.values() for entry in entries for name in entry.metrics}
    panels = [panel for panel in panels if found & set(panel.metrics)]
    if not panels:
        raise ValueError(f"nothing to draw in {', '.join(runs) or 'no run'}: no line of metrics yet")
    curves = {name: {split: _Curves(entries, split, x) for split in ("train", "held-out")}
              for name, entries in runs.items()}  # fmt: skip
    figure = _figure_for(panels, x, title)
    colours = _colours(len(runs))
    for panel, axes in zip(panels, figure.axes, strict=True):
        for colour, splits in zip(colours, curves.values(), strict=True):
            _draw(axes, panel, splits, colour)
        _finish(axes, panel)
    _add_legend(figure, list(runs), colours)
    return figure


class _Curves:
    """The points of one split of a run: ``curves[metric]`` gives x [points] and values [points]."""

    def __init__(self, entries: Sequence[MetricsEntry], split: str, x: str) -> None:
        self._entries = [entry for entry in entries if entry.split == split]
        self._place = _places(entries, x)

    def __getitem__(self, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        chosen = [entry for entry in self._entries if metric in entry.metrics]
        places = np.array([self._place[id(entry)] for entry in chosen], np.float64)
        return places, np.array([entry.metrics[metric] for entry in chosen], np.float64)


def _places(entries: Sequence[MetricsEntry], x: str) -> dict[int, float]:
    """Return where each entry stands on the axis. Only training counts tokens; evaluations stand between its lines."""
    if x == "step":
        return {id(entry): float(entry.step) for entry in entries}
    if x == "time":
        return {id(entry): entry.time / _SECONDS_PER_HOUR for entry in entries}
    counted = {entry.step: entry.metrics["tokens"] for entry in entries if "tokens" in entry.metrics}
    if not counted:
        raise ValueError('no line of metrics has "tokens", which the axis needs; choose step or time')
    steps, tokens = [0, *counted], [0.0, *counted.values()]
    return {id(entry): float(np.interp(entry.step, steps, tokens)) for entry in entries}


# The picture ----------------------------------------------------------------------------------------------------------


def _figure_for(panels: Sequence[Panel], x: str, title: str | None) -> Figure:
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(3.6 * columns, 2.7 * rows + 0.7)  # says so if matplotlib is missing
    from matplotlib.ticker import EngFormatter

    for number in range(len(panels)):
        first = figure.axes[0] if figure.axes else None
        axes = figure.add_subplot(rows, columns, number + 1, sharex=first)
        if number >= len(panels) - columns:  # the lowest panel of each column
            axes.set_xlabel(X_AXES[x])
        if x != "time":
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if title:
        figure.suptitle(plain_label(title), fontsize=12)
    return figure


def _colours(number: int) -> list[Any]:
    """Return a colour for each run: those made to be told apart, or for many runs as many steps of a scale."""
    from matplotlib import colormaps

    if number <= len(COLOURS):
        return list(COLOURS[:number])
    return list(colormaps["viridis"](np.linspace(0, 0.95, number)))


def _draw(axes: Axes, panel: Panel, splits: Mapping[str, _Curves], colour: Any) -> None:
    for metric, style in panel.metrics.items():
        places, values = splits["train"][metric]
        has_held_out = splits["held-out"][metric][1].size > 0
        axes.plot(places, values, style, color=colour, linewidth=0.9, alpha=0.45 if has_held_out else 0.9)
        places, values = splits["held-out"][metric]
        mark = "o" if values.size <= _MANY_POINTS else ""
        axes.plot(places, values, style, color=colour, linewidth=1.7, marker=mark, markersize=3)


def _finish(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter

    tidy(axes, panel.title)
    if panel.is_share and "auc" not in panel.metrics:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g}%"))
    elif "tokens_per_second" in panel.metrics:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_ylim(bottom=0)
    elif "learning_rate" in panel.metrics:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def _add_legend(figure: Figure, names: Sequence[str], colours: Sequence[Any]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, linewidth=3) for colour in colours]
    handles += [
        Line2D([], [], color="#333333", linewidth=0.9, alpha=0.6),
        Line2D([], [], color="#333333", linewidth=1.7, marker="o", markersize=3),
    ]
    labels = [*map(plain_label, names), "training", "held out"]
    columns = min(len(labels), _COLUMNS + 2)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
