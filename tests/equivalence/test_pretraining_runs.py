"""A run is a run, whichever framework carries it on: 30 steps in one and 30 in the other are 60 in either."""

from pathlib import Path

import pytest

from electra_common.runs.run_folder import read_run
from support.pretraining_runs import assert_same_run, prepare_tiny_corpus
from support.workers import run_script

pytestmark = pytest.mark.both
WORKER = Path(__file__).with_name("pretraining_worker.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """New weights are each framework's own, so all runs go on from one that PyTorch made, of a single step."""
    folder = tmp_path_factory.mktemp("runs")
    given = (prepare_tiny_corpus(folder), folder / "start")
    run_script("pt", WORKER, "pt", *given, f"{folder / 'start'}=1", f"{folder / 'pt'}=60", f"{folder / 'pt-tf'}=30")
    run_script("tf", WORKER, "tf", *given, f"{folder / 'tf'}=60", f"{folder / 'tf-pt'}=30", f"{folder / 'pt-tf'}=60")
    run_script("pt", WORKER, "pt", *given, f"{folder / 'tf-pt'}=60")
    return folder


@pytest.mark.parametrize("whole", ["pt", "tf"])
@pytest.mark.parametrize("name", ["pt-tf", "tf-pt"])
def test_a_run_changes_frameworks_half_way(runs, name, whole):
    """Without dropout, which each framework draws in its own way. What they logged is the same too."""
    assert_same_run(runs / whole, runs / name)
    assert [start["framework"] for start in read_run(runs / name)["starts"]] == name.split("-")
