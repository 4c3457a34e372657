"""A run is a run, whichever framework carries it on: 30 steps in one and 30 in the other are 60 in either."""

from pathlib import Path

import numpy as np
import pytest

from electra_common.pretraining.run_folder import read_run
from support.pretraining_runs import last_state, prepare_tiny_corpus
from support.tolerances import GRADIENT
from support.workers import run_script

pytestmark = pytest.mark.both
WORKER = Path(__file__).with_name("pretraining_worker.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    data = prepare_tiny_corpus(folder)
    run_script("pt", WORKER, "pt", data, f"{folder / 'pt'}=60", f"{folder / 'pt-tf'}=30")
    run_script("tf", WORKER, "tf", data, f"{folder / 'tf'}=60", f"{folder / 'tf-pt'}=30", f"{folder / 'pt-tf'}=60")
    run_script("pt", WORKER, "pt", data, f"{folder / 'tf-pt'}=60")
    return folder


@pytest.mark.parametrize("name", ["pt-tf", "tf-pt"])
def test_a_run_changes_frameworks_half_way(runs, name):
    """Without dropout. New weights are each framework's own, so a run is compared with the one that began as it did."""
    first = name[:2]
    expected, found = last_state(runs / first), last_state(runs / name)
    assert expected.keys() == found.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=0, atol=GRADIENT, err_msg=f"{name}: {key}")
    assert [start["framework"] for start in read_run(runs / name)["starts"]] == name.split("-")


def test_frameworks_draw_other_weights_but_the_same_examples_and_masks(runs):
    from electra_common.pretraining.metrics_log import read_metrics

    tokens = [[entry.metrics["tokens"] for entry in read_metrics(runs / name)] for name in ("pt", "tf")]
    assert tokens[0] == tokens[1]
