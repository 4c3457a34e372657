"""Holds our tokenizers against transformers' over texts: every column, and the alignment of every token.

`python -m support.transformers_comparison FOLDER` (in ``tests/``) does so for all the text below a folder, with the
tokenizer on the Rust library; the one in Python is held against that by ``support.tokenizer_comparison``.
"""

import sys
from pathlib import Path

from support.tokenizer_comparison import texts_below
from support.tokenizers import VOCABULARY, shared

COLUMNS = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_length": True}
WINDOWS = {"max_length": 20, "truncation": True, "stride": 3, "return_overflowing_tokens": True, "padding": True}


def difference(ours, theirs, texts):
    """Return the first column or alignment in which two tokenizers differ over some texts, None if there is none."""
    for call in (COLUMNS, {**COLUMNS, **WINDOWS}):
        found, expected = ours(texts, verbose=False, **call), theirs(texts, verbose=False, **call)
        if list(found) != list(expected):
            return list(found), list(expected)
        for name, column in expected.items():
            if found[name] != column:
                row = next(index for index, value in enumerate(column) if found[name][index] != value)
                return name, row, found[name][row], column[row]
        for row in range(len(expected["input_ids"])):
            for method in ("tokens", "word_ids", "sequence_ids"):
                if getattr(found, method)(row) != getattr(expected, method)(row):
                    return method, row, getattr(found, method)(row), getattr(expected, method)(row)
    return None


def main(folder):
    import transformers

    ours, theirs = shared("rust"), transformers.BertTokenizer(str(VOCABULARY))
    lines = differences = 0
    for name, text in texts_below(folder):
        rows = [line for line in text.split("\n") if line]
        for start in range(0, len(rows), 1000):
            found = difference(ours, theirs, rows[start : start + 1000])
            lines += len(rows[start : start + 1000])
            if found:
                differences += 1
                print(f"{name}, lines {start} to {start + 1000}: {found!r:.300}")
    print(f"{lines:,} lines, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
