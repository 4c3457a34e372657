"""A number for a set of weights that does not depend on the file format.

Definition, version 1: SHA-256 over the canonical tensors in sorted order of their names; for each one the line
``name|dtype|d0,d1,...`` in UTF-8 with a line feed, then its elements in row-major order, little-endian. A vocabulary
projection that is tied to the word table is not listed. Leftovers (optimizer slots, ``position_ids``) do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np

from electra_common.weights.tensors import DTYPES, StoredTensor


def fingerprint(tensors: Mapping[str, StoredTensor], *, progress: Callable[[int], None] | None = None) -> str:
    """Return the fingerprint of canonical tensors, 64 hexadecimal digits.

    Args:
        tensors: ``{canonical name: tensor}``.
        progress: called with the number of bytes done after each tensor.

    Raises:
        CheckpointError: a tensor's bytes are damaged.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        shape = ",".join(str(size) for size in tensor.shape)
        digest.update(f"{name}|{tensor.dtype}|{shape}\n".encode())
        array = np.ascontiguousarray(tensor.read(), dtype=DTYPES[tensor.dtype])
        digest.update(array.reshape(-1).view(np.uint8).data)  # hashlib knows no bfloat16, but bytes
        if progress is not None:
            progress(tensor.nbytes)
    return digest.hexdigest()
