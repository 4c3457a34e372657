"""Rows of a parquet file. The package that reads them, pyarrow, is imported when the first one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_ROWS_AT_ONCE: Final = 64  # a document may have a megabyte


def read_parquet(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a parquet file as values by the names of their columns.

    Raises:
        ValueError: pyarrow is not installed, or the file cannot be read.
    """
    try:
        # By name, because the package has no type information and may not be there when types are checked.
        parquet: Any = import_module("pyarrow.parquet")
        arrow_error: Any = import_module("pyarrow").ArrowException
    except ImportError:
        raise ValueError(f"{path}: reading parquet needs pyarrow: pip install 'electra-dual[train]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except (OSError, ValueError, arrow_error) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: cannot be read as parquet: {reason}") from None
