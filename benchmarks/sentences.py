"""What is measured on: real sentences, one short one, rows without padding, and text that is installed everywhere."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from electra_common import ElectraTokenizerFast
from electra_common.text_files import read_lines

SHORT_SENTENCE: Final = "How are you today?"
BATCH_SIZE: Final = 32
_LONGEST: Final = 512
_CONLLU_TEXT: Final = "# text = "
_DOCSTRING: Final = re.compile(r'''"""(.*?)"""''', re.DOTALL)
_LEAST_BYTES: Final = 200  # of a docstring that is more than a title


def read_sentences(path: Path) -> list[str]:
    """Return a file's sentences: one a line, or in CoNLL-U those of its ``# text`` comments."""
    lines = [line for line in read_lines(path) if line]
    if ".conllu" in path.suffixes:
        return [line.removeprefix(_CONLLU_TEXT) for line in lines if line.startswith(_CONLLU_TEXT)]
    return lines


def installed_text(target: Path, megabytes: int) -> Path:
    """Write the docstrings of the packages that are installed here, a document each: English, and none of it twice.

    Args:
        target: the file to write.
        megabytes: how much is written at most.
    """
    seen: set[bytes] = set()
    size = 0
    with open(target, "wb") as stream:
        for file in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
            for docstring in _DOCSTRING.findall(file.read_text(encoding="utf-8", errors="replace")):
                lines = [line.strip() for line in docstring.splitlines()]
                document = "\n".join(filter(None, lines)).encode() + b"\n\n"
                if len(document) < _LEAST_BYTES or document in seen:
                    continue
                if size + len(document) > megabytes << 20:
                    return target
                seen.add(document)
                size += stream.write(document)
    return target


def tokenize(sentences: Sequence[str], vocabulary: Path, count: int, tensors: str) -> list[dict[str, Any]]:
    """Return at most ``count`` padded batches of 32 neighbours, spread evenly over the sentences.

    Args:
        tensors: "pt" for PyTorch's, "np" for arrays.
    """
    tokenizer = ElectraTokenizerFast(str(vocabulary))
    starts = range(0, len(sentences), BATCH_SIZE)
    starts = starts[:: max(1, len(starts) // count)][:count]
    options = {"padding": True, "truncation": True, "max_length": _LONGEST, "return_tensors": tensors}
    return [dict(tokenizer(list(sentences[start : start + BATCH_SIZE]), **options)) for start in starts]


def full_rows(rows: int, length: int, vocabulary_size: int) -> dict[str, Any]:
    """Return a batch of random ids without padding, the mask given all the same, as tokenizers do."""
    import torch

    ids = torch.randint(1000, vocabulary_size, (rows, length), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
