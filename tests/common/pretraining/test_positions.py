"""Position embeddings to start from: sines and cosines, as large as drawn ones."""

import math

import numpy as np
import pytest

from electra_common.pretraining.positions import sinusoidal_positions


@pytest.mark.parametrize("width", [6, 9])
def test_each_pair_of_columns_is_a_wave(width):
    table = sinusoidal_positions(7, width, 0.05)
    assert table.shape == (7, width)
    assert np.sqrt(np.square(table).mean()) == pytest.approx(0.05, rel=1e-6)
    scale = table[0, 1]  # cos(0)
    for position in range(7):
        for column in range(width):
            angle = position / 10_000 ** (2 * (column // 2) / width)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert table[position, column] / scale == pytest.approx(expected, abs=1e-5)


def test_neighbours_are_alike_wherever_they_stand():
    table = sinusoidal_positions(64, 32, 1.0)
    products = table @ table.T
    assert np.ptp(np.diagonal(products, 1)) < 1e-3 * products[0, 0]
    assert np.diagonal(products, 1).mean() > 1.2 * np.diagonal(products, 9).mean()
