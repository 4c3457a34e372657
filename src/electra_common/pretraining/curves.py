"""The curves of pre-training runs as one picture: a panel for each quantity, a colour for each run.

Needs matplotlib (extra ``train``), and uses no window system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.pretraining.metrics_log import MetricsEntry
from electra_common.weights.atomic import write_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

X_AXES: Final = {"step": "step", "tokens": "tokens seen", "time": "hours"}
PICTURE_FORMATS: Final = (".png", ".svg")
_SECONDS_PER_HOUR: Final = 3600
_MANY_POINTS: Final = 60  # beyond which a mark for each point is a smear


@dataclass(frozen=True)
class _Panel:
    """One panel: its title, the metrics in it with their line styles, and whether they are shares of 1."""

    title: str
    metrics: Mapping[str, str]
    is_share: bool = False


_PANELS: Final = (
    _Panel("generator loss", {"generator_loss": "-"}),
    _Panel("discriminator loss", {"discriminator_loss": "-"}),
    _Panel("masked accuracy", {"masked_accuracy": "-"}, is_share=True),
    _Panel("AUC of replaced tokens", {"auc": "-"}, is_share=True),
    _Panel("precision (line), recall (dashed)", {"precision": "-", "recall": "--"}, is_share=True),
    _Panel("positive rate", {"positive_rate": "-"}, is_share=True),
    _Panel("learning rate", {"learning_rate": "-"}),
    _Panel("tokens per second", {"tokens_per_second": "-"}),
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
    if x not in X_AXES:
        raise ValueError(f"x must be one of {', '.join(X_AXES)}, found {x!r}")
    found = {name for entries in runs.values() for entry in entries for name in entry.metrics}
    panels = [panel for panel in _PANELS if found & set(panel.metrics)]
    if not panels:
        raise ValueError(f"nothing to draw in {', '.join(runs) or 'no run'}: no line of metrics yet")
    curves = {name: {split: _Curves(entries, split, x) for split in ("train", "held-out")}
              for name, entries in runs.items()}  # fmt: skip
    figure = _new_figure(panels, x, title)
    colours = _colours(len(runs))
    for panel, axes in zip(panels, figure.axes, strict=True):
        for colour, splits in zip(colours, curves.values(), strict=True):
            _draw(axes, panel, splits, colour)
        _finish(axes, panel)
    _add_legend(figure, list(runs), colours, panels)
    _write(figure, out)


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


def _new_figure(panels: Sequence[_Panel], x: str, title: str | None) -> Figure:
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
        from matplotlib.ticker import EngFormatter
    except ModuleNotFoundError as error:
        raise ValueError(
            f"drawing needs matplotlib ({error.msg}); install it with: pip install 'electra-dual[train]'"
        ) from None
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06)  # inches
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows + 0.7), layout=layout, dpi=120)
    for number in range(len(panels)):
        first = figure.axes[0] if figure.axes else None
        axes = figure.add_subplot(rows, columns, number + 1, sharex=first)
        if number >= len(panels) - columns:  # the lowest panel of each column
            axes.set_xlabel(X_AXES[x])
        if x != "time":
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if title:
        figure.suptitle(title, fontsize=12)
    return figure


def _colours(number: int) -> list[Any]:
    """Return a colour for each run: those made to be told apart, or for many runs as many steps of a scale."""
    from matplotlib import colormaps

    distinct = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
    if number <= len(distinct):
        return list(distinct[:number])
    return list(colormaps["viridis"](np.linspace(0, 0.95, number)))


def _draw(axes: Axes, panel: _Panel, splits: Mapping[str, _Curves], colour: Any) -> None:
    for metric, style in panel.metrics.items():
        places, values = splits["train"][metric]
        has_held_out = splits["held-out"][metric][1].size > 0
        axes.plot(places, values, style, color=colour, linewidth=0.9, alpha=0.45 if has_held_out else 0.9)
        places, values = splits["held-out"][metric]
        mark = "o" if values.size <= _MANY_POINTS else ""
        axes.plot(places, values, style, color=colour, linewidth=1.7, marker=mark, markersize=3)


def _finish(axes: Axes, panel: _Panel) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter

    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.grid(visible=True, color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color="#999999")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    if panel.is_share and "auc" not in panel.metrics:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g}%"))
    elif "tokens_per_second" in panel.metrics:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_ylim(bottom=0)
    elif "learning_rate" in panel.metrics:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def _add_legend(figure: Figure, names: Sequence[str], colours: Sequence[Any], panels: Sequence[_Panel]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, linewidth=3) for colour in colours]
    handles += [
        Line2D([], [], color="#333333", linewidth=0.9, alpha=0.6),
        Line2D([], [], color="#333333", linewidth=1.7, marker="o", markersize=3),
    ]
    labels = [*(name.replace("$", r"\$") for name in names), "training", "held out"]
    columns = min(len(labels), _COLUMNS + 2)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def _write(figure: Figure, out: Path) -> None:
    """Write the picture whole or not at all; the same curves give the same bytes."""
    import matplotlib as mpl

    stream = BytesIO()
    form = out.suffix.lower().removeprefix(".")
    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "electra", "svg.fonttype": "none"}):
        figure.savefig(stream, format=form, metadata=metadata)
    write_files(out.parent, {out.name: stream.getvalue()})
