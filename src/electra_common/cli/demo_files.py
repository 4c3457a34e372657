"""Where the demonstration's data lies; see ``demo_data/README.md`` for what it is and its licences."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DEMO_DATA: Final = Path(__file__).resolve().parent.parent / "demo_data"
GOOGLE_CHECKPOINT: Final = DEMO_DATA / "google-a" / "trained" / "model.ckpt-6"
GOOGLE_EXPECTED: Final = DEMO_DATA / "google-a" / "expected.npz"
VOCABULARY: Final = DEMO_DATA / "vocab.txt"
ENGLISH: Final = DEMO_DATA / "english.txt"
# From google-a/spec.json: this run set the discriminator's heads by hand, so they are not hidden size // 64.
GOOGLE_HEADS: Final = {"discriminator": 4, "generator": 1}
