"""The pictures of fine-tuning: what is mistaken for what, predicted against expected numbers, curves, and all seeds.

Each function returns a figure of matplotlib (extra ``train``), of which nothing is written yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from electra_common.pictures import COLOURS, new_figure, plain_label, tidy
from electra_common.pretraining.curves import Panel, curves_figure
from electra_common.runs.metrics_log import MetricsEntry
from electra_common.tasks.seeds import SeedResult, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES: Final = 20  # of a matrix whose counts can still be read
_LONGEST_LABEL: Final = 24
_COLUMNS: Final = 4
_BLUE, _ORANGE = COLOURS[:2]
_DARK: Final = 0.6  # share beyond which a cell's number is written in white
# Of the training log: drawn in front of the metrics, and behind them.
_LOSS: Final = "loss"
_LAST: Final = ("learning_rate", "tokens_per_second")


def confusion_figure(
    expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str] = (), *, outside: str | None = None
) -> Figure:
    """Return the matrix of what is mistaken for what: a row for each expected class, a column for each predicted one.

    Colours are shares of a row, numbers are counts. Of more than 20 classes the 20 that are in most mistakes are drawn.

    Args:
        expected: classes.
        predicted: classes, in the same order.
        labels: the order of the classes; those that are not among them come last.
        outside: a class whose right answers are left out, so that they do not outshine everything else: ``"O"``.

    Raises:
        ValueError: nothing is expected, the lengths differ, or matplotlib is not installed.
    """
    if not expected:
        raise ValueError("no answer is known: expected at least one, to draw what is mistaken for what")
    names = list(dict.fromkeys((*labels, *sorted({*expected, *predicted}))))
    counts = count_pairs(expected, predicted, names)
    if outside in names:
        counts[names.index(outside), names.index(outside)] = 0
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    chosen = most_confused(counts)
    figure = new_figure(2.6 + 0.42 * len(chosen), 2.0 + 0.42 * len(chosen))
    axes = figure.add_subplot()
    _draw_matrix(axes, counts[np.ix_(chosen, chosen)], shares[np.ix_(chosen, chosen)])
    shown = [plain_label(names[number], _LONGEST_LABEL) for number in chosen]
    axes.set_xticks(range(len(chosen)), shown, rotation=90)
    axes.set_yticks(range(len(chosen)), shown)
    axes.set_xlabel("predicted")
    axes.set_ylabel("expected")
    title = "share of each row, and counts"
    title += f"\n{len(chosen)} of {len(names)} classes, those in most mistakes" if len(chosen) < len(names) else ""
    title += f"\nwithout what is {plain_label(outside)} and predicted so" if outside in names and outside else ""
    axes.set_title(title, fontsize=9, loc="left")
    return figure


def count_pairs(expected: Sequence[str], predicted: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Return how often each class was predicted where each was expected: [expected classes, predicted classes]."""
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    for wanted, found in zip(expected, predicted, strict=True):
        counts[place[wanted], place[found]] += 1
    return counts


def most_confused(counts: NDArray[np.int64], most: int = MOST_CLASSES) -> list[int]:
    """Return the numbers of the classes that are in most mistakes, on either side, in their own order."""
    mistakes = counts * ~np.eye(len(counts), dtype=bool)
    of_class = mistakes.sum(axis=0) + mistakes.sum(axis=1)
    chosen = np.argsort(-of_class, kind="stable")[:most]
    return sorted(int(number) for number in chosen)


def _draw_matrix(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts > 0):
        colour = "white" if shares[row, column] > _DARK else "black"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=7, color=colour)
    axes.tick_params(labelsize=8)


def scatter_figure(expected: Sequence[float], predicted: Sequence[float]) -> Figure:
    """Return predicted against expected numbers, a dot for each example, and the line on which both are the same.

    Raises:
        ValueError: nothing is expected, the lengths differ, or matplotlib is not installed.
    """
    if not expected or len(expected) != len(predicted):
        raise ValueError(f"expected as many numbers as predictions, at least one; found {len(expected)}, "
                         f"{len(predicted)}")  # fmt: skip
    figure = new_figure(4.4, 4.4)
    axes = figure.add_subplot()
    # Many dots are drawn fainter, so that where they lie thickest can be seen.
    alpha = float(np.clip(30 / math.sqrt(len(expected)), 0.1, 0.8))
    axes.plot(expected, predicted, "o", color=_BLUE, markersize=4, alpha=alpha, markeredgewidth=0)
    lowest, highest = min(expected), max(expected)
    axes.plot([lowest, highest], [lowest, highest], "--", color="#333333", linewidth=1)
    tidy(axes, f"{len(expected):,} examples; dashed: predicted as expected")
    axes.set_xlabel("expected")
    axes.set_ylabel("predicted")
    return figure


def seed_curves_figure(entries: Sequence[MetricsEntry]) -> Figure:
    """Return the curves of one training: its loss, every metric of the development set, and the learning rate.

    Raises:
        ValueError: nothing was logged, or matplotlib is not installed.
    """
    found = dict.fromkeys(name for entry in entries for name in entry.metrics)
    held_out = {name for entry in entries if entry.split == "held-out" for name in entry.metrics}
    metrics = [name for name in found if name in held_out and name not in (_LOSS, *_LAST)]
    names = [_LOSS, *metrics, *_LAST]
    return curves_figure(
        {"this seed": entries}, panels=[Panel(plain_label(name.replace("_", " ")), {name: "-"}) for name in names]
    )


def seeds_figure(results: Sequence[SeedResult], summary: Summary) -> Figure:
    """Return all seeds: a panel for each metric, in it a dot for each seed, and their median as a line.

    The main metric comes first and shows the best constant answer as a dashed line. Seeds that collapsed are crosses.

    Raises:
        ValueError: matplotlib is not installed.
    """
    names = [summary.main_metric, *(name for name in summary.metrics if name != summary.main_metric)]
    names = [name for name in names if name in summary.metrics]
    if not names:
        raise ValueError("no metric of any seed is a finite number, so there is nothing to draw")
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(3.6 * columns, 2.7 * rows + 0.5)
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, columns, number)
        _draw_seeds(axes, results, name)
        axes.axhline(summary.metrics[name].median, color=_BLUE, linewidth=1, label="median")
        if name == summary.main_metric:
            _draw_constant(axes, results)
        tidy(axes, plain_label(name))
        axes.set_xlabel("seed")
    handles, shown = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, shown, loc="outside lower center", ncols=len(shown), frameon=False, fontsize=9)
    return figure


def _draw_seeds(axes: Axes, results: Sequence[SeedResult], metric: str) -> None:
    """Draw the dots, the collapsed ones as another kind; the legend of a kind that has no seed is left out."""
    for is_collapsed, mark, colour, label in ((False, "o", _BLUE, "seed"), (True, "X", _ORANGE, "collapsed seed")):
        dots = [
            (place, result.metrics[metric])
            for place, result in enumerate(results)
            if result.is_collapsed == is_collapsed and math.isfinite(result.metrics.get(metric, math.nan))
        ]
        if dots or any(result.is_collapsed == is_collapsed for result in results):
            axes.plot(*np.array(dots).reshape(-1, 2).T, mark, color=colour, markersize=6, label=label)
    axes.set_xticks(range(len(results)), [str(result.seed) for result in results])
    axes.set_xlim(-0.5, len(results) - 0.5)


def _draw_constant(axes: Axes, results: Sequence[SeedResult]) -> None:
    scores = {result.constant_score for result in results if math.isfinite(result.constant_score)}
    for number, score in enumerate(sorted(scores)):  # one, unless seeds were scored on different data
        axes.axhline(score, color="#333333", linewidth=1, linestyle="--", label="" if number else "constant answer")
