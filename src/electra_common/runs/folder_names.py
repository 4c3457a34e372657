"""Names that folders of corpora and of runs have in common."""

from __future__ import annotations

from typing import Final

TOKENIZER_FOLDER: Final = "tokenizer"
