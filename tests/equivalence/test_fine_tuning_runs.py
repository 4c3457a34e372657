"""Both frameworks, from the same weights over the same data without dropout, end with the same weights and answers."""

import json
from pathlib import Path

import pytest

from support.fine_tuning_runs import assert_same_weights, write_data
from support.thoroughness import mostly_thorough
from support.tolerances import GRADIENT
from support.workers import run_script

pytestmark = pytest.mark.both
WORKER = Path(__file__).with_name("fine_tuning_worker.py")
ONE_PASS = "epochs=1,learning_rate=1e-3"
ADAM = "weight_decay=0.1,adam_beta_1=0.8,adam_beta_2=0.95,adam_epsilon=1e-4,clip_norm=0.3"
# Every kind of task, then what changes the loss or the order of updates.
CASES = {
    "classification": ("classification", f"{ONE_PASS},head=google,layer_decay_style=google,{ADAM}"),
    "regression": ("regression", ONE_PASS),
    # Going on half way, correction has to know how many updates there were.
    "tagging": ("tagging", f"{ONE_PASS},class_weights=balanced,adam_bias_correction=true,schedule=transformers"),
    "answers": ("answers", ONE_PASS),
    "google": ("answers", f"{ONE_PASS},head=google"),
    "choice": ("choice", ONE_PASS),
}


NAMES = mostly_thorough(CASES, usual=("classification", "tagging", "answers", "choice"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """Heads are new in each framework, so one trains nothing at first, and both go on from the head that it made.

    Trained is what the chosen tests ask for, and tagging, which changes frameworks.
    """
    asked = {item.callspec.params["name"] for item in request.session.items if item.module is request.module}
    cases = {name: case for name, case in CASES.items() if name in {*asked, "tagging"}}
    folder = tmp_path_factory.mktemp("fine-tuning")
    write_data(folder / "data")
    nothing = "epochs=0.01,learning_rate=1e-30"
    heads = [
        f"{kind}=head-{name}:start,{nothing},{','.join(c for c in changes.split(',') if c.startswith('head='))}"
        for name, (kind, changes) in cases.items()
    ]
    run_script("pt", WORKER, "pt", folder, "start=start", *heads)
    for family in ("pt", "tf"):
        jobs = [f"{kind}={family}-{name}:head-{name}/seed-0/last,{changes}" for name, (kind, changes) in cases.items()]
        changes = [("pt-tf", "stop=7")] if family == "pt" else [("pt-tf", "resume"), ("tf-pt", "stop=7")]
        jobs += [f"tagging={out}:head-tagging/seed-0/last,{CASES['tagging'][1]},{how}" for out, how in changes]
        run_script(family, WORKER, family, folder, *jobs)
    run_script("pt", WORKER, "pt", folder, f"tagging=tf-pt:head-tagging/seed-0/last,{CASES['tagging'][1]},resume")
    return folder


@pytest.mark.parametrize("name", ["pt-tf", "tf-pt"])
def test_a_run_changes_frameworks_half_way(folder, name):
    assert_same_weights(folder / "pt-tagging" / "seed-0" / "last", folder / name / "seed-0" / "last", atol=GRADIENT)
    starts = json.loads((folder / name / "run.json").read_text())["starts"]
    assert [start["framework"] for start in starts] == name.split("-")


@pytest.mark.parametrize("name", NAMES)
def test_both_frameworks_learn_the_same(folder, name):
    results, predictions = {}, {}
    for family in ("pt", "tf"):
        seed = folder / f"{family}-{name}" / "seed-0"
        results[family] = json.loads((seed / "result.json").read_text())
        lines = (seed / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        predictions[family] = [json.loads(line)["predicted"] for line in lines]
    assert_same_weights(*(folder / f"{family}-{name}" / "seed-0" / "last" for family in results), atol=GRADIENT)
    assert results["tf"]["metrics"] == pytest.approx(results["pt"]["metrics"], abs=GRADIENT)
    assert results["tf"]["steps"] == results["pt"]["steps"]
    if isinstance(predictions["pt"][0], float):
        assert predictions["tf"] == pytest.approx(predictions["pt"], abs=GRADIENT)
    else:
        assert predictions["tf"] == predictions["pt"]


@pytest.mark.parametrize("name", NAMES)
def test_they_did_learn(folder, name):
    with pytest.raises(AssertionError):
        assert_same_weights(
            folder / f"head-{name}" / "seed-0" / "last", folder / f"pt-{name}" / "seed-0" / "last", atol=50 * GRADIENT
        )
