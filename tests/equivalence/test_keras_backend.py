"""Keras can run on PyTorch; electra_tf says so instead of half working."""

import os
import subprocess
import sys

import pytest


@pytest.mark.both
def test_keras_on_pytorch_is_a_clear_error_at_import():
    finished = subprocess.run(
        [sys.executable, "-c", "import electra_tf"],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    line = finished.stderr.splitlines()[-1]
    assert "needs Keras on TensorFlow, but Keras runs on 'torch': set KERAS_BACKEND=tensorflow" in line
