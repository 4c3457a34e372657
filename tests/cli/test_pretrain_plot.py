"""``electra pretrain plot``: what it draws is checked with the curves; here what it prints and how it fails."""

import json

import pytest

from electra_common.runs.metrics_log import MetricsLog


@pytest.fixture
def runs(tmp_path):
    """Two runs with the same folder name, and the values last logged."""
    folders = [tmp_path / name / "run" for name in ("a", "b")]
    for number, folder in enumerate(folders):
        with MetricsLog(folder, tensorboard=False) as log:
            log.write(10, "train", {"generator_loss": 5.0, "tokens": 100})
            log.write(20 + number, "train", {"generator_loss": 4.0})
            log.write(20 + number, "held-out", {"auc": 0.7})
    return folders


def test_several_runs_in_one_picture(electra, runs, tmp_path):
    code, out, _ = electra("pretrain", "plot", *runs, "--out", tmp_path / "curves.png", "--title", "both")
    assert code == 0
    assert out.strip() == f"{tmp_path / 'curves.png'}: {runs[0]} to step 20, {runs[1]} to step 21"
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_json_holds_the_last_value_of_each_metric(electra, runs, tmp_path):
    code, out, _ = electra("pretrain", "plot", runs[1], "--out", tmp_path / "a.svg", "--x", "time", "--json")
    content = json.loads(out)
    assert code == 0
    assert content["out"] == str(tmp_path / "a.svg")
    run = content["runs"]["run"]
    assert {name: run["train"][name] for name in ("step", "generator_loss", "tokens")} == {
        "step": 21, "generator_loss": 4.0, "tokens": 100.0,
    }  # fmt: skip
    assert run["held-out"]["auc"] == 0.7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--x", "epoch"], "x must be one of step, tokens, time"),
        (["--out", "a.pdf"], ".png or .svg"),
        (["no-such-run"], "no-such-run/metrics.jsonl: cannot be read"),
    ],
)
def test_bad_input_is_one_clear_line(electra, runs, tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = electra("pretrain", "plot", runs[0], "--out", "a.png", *change)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert electra("pretrain", "plot", runs[0], runs[0], "--out", "a.png")[0] == 2
