"""The table of characters is what the installed library says, and the properties read from it are its own."""

import pytest

from electra_common.tokenization.python.unicode_tables import TABLE_FILE, character_table
from support.unicode_probe import probe, written


@pytest.mark.thorough
def test_the_committed_table_is_a_fresh_probe():
    assert TABLE_FILE.read_text(encoding="ascii") == written(probe())


def test_hangul_syllables_decompose_by_arithmetic():
    decompositions = character_table("rust").decompositions
    assert decompositions["가"] == "\u1100\u1161"
    assert decompositions["각"] == "\u1100\u1161\u11a8"
    assert decompositions["\ud7a3"] == "\u1112\u1175\u11c2"
