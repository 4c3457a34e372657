"""The picture of a run's curves: what is drawn stands where the numbers say. The lines are read back from the SVG."""

import re

import numpy as np
import pytest

from electra_common.pretraining.curves import draw_curves
from electra_common.runs.metrics_log import MetricsEntry

FIRST, SECOND = "#0072b2", "#d55e00"
TRAINING, HELD_OUT = "0.9", "1.7"


def a_run(seed, steps):
    """Return a run whose training logs tokens at a rate that changes, and whose evaluations stand between the lines."""
    random = np.random.default_rng(seed)
    entries = []
    for number, step in enumerate(steps):
        loss, rate = float(random.random() + 3), float(random.random())
        metrics = {"generator_loss": loss, "learning_rate": rate, "tokens": 10.0 * step * (number + 1)}
        entries.append(MetricsEntry(step, "train", 7.0 * step, metrics))
        auc, recall = random.random(2)
        entries.append(MetricsEntry(step + 1, "held-out", 7.0 * step + 3, {"auc": auc, "recall": recall}))
    return entries


def lines_of(picture, colour, width):
    """Return the lines of one colour and width, [points, 2] each, in the order of drawing; the legend's come last."""
    text = re.sub(r"<defs>.*?</defs>", "", picture.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r'<path d="([^"]*)"[^>]*?style="([^"]*)"', text)
    chosen = [
        path for path, style in found
        if f"stroke: {colour}" in style and re.search(rf"stroke-width: {re.escape(width)}(;|$)", style)
    ]  # fmt: skip
    return [np.array(re.findall(r"[ML] (\S+) (\S+)", path), np.float64) for path in chosen]


def assert_shows(line, places, values):
    """A picture may move and stretch each axis, and SVG counts y downwards, and nothing else."""
    assert line.shape == (len(values), 2)
    for drawn, numbers, rising in ((line[:, 0], places, True), (line[:, 1], values, False)):
        slope, offset = np.polyfit(numbers, drawn, 1)
        assert (slope > 0) == rising
        assert drawn == pytest.approx(slope * np.asarray(numbers) + offset, abs=1e-3)


def test_every_point_stands_where_its_numbers_say(tmp_path):
    runs = {"first": a_run(1, (10, 20, 35, 50)), "second": a_run(2, (10, 40, 45))}
    draw_curves(runs, tmp_path / "curves.svg")
    for (name, entries), colour in zip(runs.items(), (FIRST, SECOND), strict=True):
        training = [entry for entry in entries if entry.split == "train"]
        steps = [entry.step for entry in training]
        loss, rate = [line for line in lines_of(tmp_path / "curves.svg", colour, TRAINING) if len(line)]
        assert_shows(loss, steps, [entry.metrics["generator_loss"] for entry in training])
        assert_shows(rate, steps, [entry.metrics["learning_rate"] for entry in training])
        held_out = [entry for entry in entries if entry.split == "held-out"]
        auc, recall = [line for line in lines_of(tmp_path / "curves.svg", colour, HELD_OUT) if len(line)]
        assert_shows(auc, [entry.step for entry in held_out], [entry.metrics["auc"] for entry in held_out])
        assert_shows(recall, [entry.step for entry in held_out], [entry.metrics["recall"] for entry in held_out])
        assert f">{name}<" in (tmp_path / "curves.svg").read_text()


def test_time_and_tokens_as_the_axis(tmp_path):
    entries = a_run(3, (10, 20, 35, 50))
    held_out = [entry for entry in entries if entry.split == "held-out"]
    auc = [entry.metrics["auc"] for entry in held_out]
    draw_curves({"a": entries}, tmp_path / "time.svg", x="time")
    assert_shows(lines_of(tmp_path / "time.svg", FIRST, HELD_OUT)[0], [entry.time for entry in held_out], auc)
    draw_curves({"a": entries}, tmp_path / "tokens.svg", x="tokens")
    # Training counted 100, 400, 1050 and 2000 tokens at steps 10, 20, 35 and 50; evaluations came a step later.
    places = [100 + 300 / 10, 400 + 650 / 15, 1050 + 950 / 15, 2000]
    assert_shows(lines_of(tmp_path / "tokens.svg", FIRST, HELD_OUT)[0], places, auc)


def test_only_panels_with_values_are_drawn(tmp_path):
    entries = [MetricsEntry(1, "train", 1.0, {"generator_loss": 3.0}), MetricsEntry(2, "held-out", 2.0, {"auc": 0.5})]
    draw_curves({"<a & $b_c$>": entries}, tmp_path / "a.svg", title=r"a $\foo$ title")
    text = (tmp_path / "a.svg").read_text()
    for shown in ("generator loss", "AUC of replaced tokens", r"a $\foo$ title", "&lt;a &amp; $b_c$&gt;"):
        assert shown in text
    assert "learning rate" not in text


def test_a_png_of_many_runs_and_the_same_bytes_each_time(tmp_path):
    runs = {f"run {number}": a_run(number, (1, 2)) for number in range(9)}
    for name in ("a.png", "b.PNG"):
        draw_curves(runs, tmp_path / name)
    content = (tmp_path / "a.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content == (tmp_path / "b.PNG").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.PNG"]


def test_what_cannot_be_drawn_is_told(tmp_path):
    entries = a_run(1, (1, 2))
    with pytest.raises(ValueError, match=r"ends in \.png or \.svg"):
        draw_curves({"a": entries}, tmp_path / "a.pdf")
    with pytest.raises(ValueError, match="x must be one of step, tokens, time, found 'epoch'"):
        draw_curves({"a": entries}, tmp_path / "a.png", x="epoch")
    with pytest.raises(ValueError, match="nothing to draw in a"):
        draw_curves({"a": []}, tmp_path / "a.png")
    with pytest.raises(ValueError, match='has "tokens"'):
        draw_curves({"a": [entry for entry in entries if entry.split == "held-out"]}, tmp_path / "a.png", x="tokens")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"pip install 'electra-dual\[train\]'"):
        draw_curves({"a": a_run(1, (1, 2))}, tmp_path / "a.png")
