"""Where the checkpoints with known outputs are. None of their numbers comes from this project."""

import json
from pathlib import Path

import numpy as np

import electra_common

TESTS = Path(__file__).resolve().parent.parent
REPOSITORY = TESTS.parent
DEMO_DATA = Path(electra_common.__file__).parent / "demo_data"
# Written by Google's code: `init` and `trained`, generator and discriminator in one checkpoint.
GOOGLE = DEMO_DATA / "google-a"
GOOGLE_HEADS = {"discriminator": 4, "generator": 1}
# Written by transformers 4.57.6: two configurations, seven heads.
TRANSFORMERS = TESTS / "fixtures" / "hf-a"
CONFIGURATIONS = ("small-like", "base-like")
PRETRAINING_HEADS = ("Model", "ForPreTraining", "ForMaskedLM")
ALL_HEADS = (*PRETRAINING_HEADS, "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering",
             "ForMultipleChoice")  # fmt: skip
# TensorFlow 2 checkpoints of other programs, with what they computed.
OTHER_TF2 = TESTS / "fixtures" / "tf2-others"
# Facts about the six released models.
REFERENCE = TESTS / "fixtures" / "electra_reference"


def recorded(folder):
    """Return what an original program recorded: {"in": ..., "out": ..., "grad": ...}, each {name: array}."""
    groups = {"in": {}, "out": {}, "grad": {}}
    with np.load(folder / "expected.npz") as file:
        for key in file.files:
            group, name = key.split("/", 1)
            groups[group][name] = file[key]
    return groups


def parameter_counts():
    """Return the published parameter counts by model size."""
    return json.loads((REFERENCE / "param_counts.json").read_text())


# Decoders of transformers 5.23; tests/reference/causal_recording.py wrote them.
CAUSAL = TESTS / "fixtures" / "causal"
CAUSAL_CASES = ("alone", "with-encoder")


def causal_recording(case):
    """Return what was recorded of a decoder: {"in", "out", "step", "grad", "generate": {name: array}}."""
    groups = {group: {} for group in ("in", "out", "step", "grad", "generate")}
    with np.load(CAUSAL / case / "expected.npz") as file:
        for key in file.files:
            group, name = key.split("/", 1)
            groups[group][name] = file[key]
    return groups
