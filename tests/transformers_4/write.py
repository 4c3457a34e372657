"""Writes the checkpoints that check.py opens: all heads of both configurations in each form that transformers 4 reads.

Usage: python write.py FOLDER, in the library's own environment. Each checkpoint is converted twice, by way of Google's
or of numpy's form, so that nothing but our own writers made it.
"""

import shutil
import sys
from pathlib import Path

from electra_common import convert_checkpoint

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "hf-a"
FORMS = ("safetensors", "bin", "h5")


def main(target):
    for source in sorted(FIXTURES.glob("*/*/")):
        between = target / "between" / source.parent.name / source.name
        convert_checkpoint(source, between, format="npz")
        for form in FORMS:
            folder = target / form / source.parent.name / source.name
            (done,) = convert_checkpoint(between, folder, format=form)
            assert done.unchanged
            shutil.copy(source / "expected.npz", folder)
    shutil.rmtree(target / "between")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
