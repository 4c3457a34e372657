"""Keras against what other TensorFlow 2 programs recorded with their checkpoints."""

import pytest

pytest.importorskip("keras")
pytest.importorskip("tensorflow")

import electra_tf
from electra_tf.recording import record_outputs
from reference.other_tf2_recording import ARCHITECTURES, PROGRAMS, assert_recorded


def record(architecture, folder, options, batch):
    model = getattr(electra_tf, f"TF{architecture}").from_pretrained(folder, **options)
    return record_outputs(model, batch)


@pytest.mark.parametrize("component", ARCHITECTURES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_numbers_are_those_of_the_program(program, component):
    assert_recorded(program, component, record)
