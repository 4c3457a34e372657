"""Writing a TensorFlow checkpoint (``model.ckpt-N.index``, ``.data-…`` and ``checkpoint``) without TensorFlow.

One data file, tensors in the order of their names, checksums made while the data goes by. The same tensors give the
same bytes, which are those of TensorFlow's own Saver. Partitioned variables are written whole; strings are not written.

Source: tensorflow/core/protobuf/tensor_bundle.proto and core/util/tensor_bundle in TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import google_crc32c
import numpy as np

from electra_common.weights.atomic import Content
from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.leveldb_table_writer import TableWriter, mask_checksum
from electra_common.weights.formats.protobuf import bytes_field, fixed32_field, integer_field
from electra_common.weights.formats.tf1_bundle import BUNDLE_DTYPES, HEADER_KEY, MAX_RANK
from electra_common.weights.tensors import DTYPES, StoredTensor

STATE_FILE: Final = "checkpoint"
_DTYPE_NUMBERS: Final = {name: number for number, name in BUNDLE_DTYPES.items()}
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.+=@-]+")
# One shard, little-endian, and the version {producer 1} that TensorFlow has written since the format began.
_HEADER: Final = integer_field(1, 1) + bytes_field(3, integer_field(1, 1))


def bundle_files(
    prefix_name: str, tensors: Mapping[str, StoredTensor], *, progress: Callable[[int], None] | None = None
) -> dict[str, Content]:
    """Return the files of a checkpoint, in the order in which they must be written.

    Args:
        prefix_name: what the files are called before their endings, such as ``"model.ckpt-0"``.
        tensors: by variable name.
        progress: called with the number of bytes of each tensor when it is written.

    Raises:
        CheckpointError: the format has no place for a name, a dtype or so many axes.
        ValueError: ``prefix_name`` is not a plain file name.
    """
    if not _PLAIN_NAME.fullmatch(prefix_name) or prefix_name in (".", "..", STATE_FILE):
        raise ValueError(f"prefix_name must be a plain file name, found {prefix_name!r}")
    for name, tensor in tensors.items():
        _check(name, tensor)
    writing = _Writing(tensors, progress)
    path = f'"{prefix_name}"'  # relative: the folder can be moved
    state = f"model_checkpoint_path: {path}\nall_model_checkpoint_paths: {path}\n"
    return {
        f"{prefix_name}.data-00000-of-00001": writing.write_data,
        f"{prefix_name}.index": writing.write_index,
        STATE_FILE: state.encode(),
    }


def _check(name: str, tensor: StoredTensor) -> None:
    if not name or name.startswith("\x00"):  # the header's key, and the keys of slices
        raise CheckpointError(f"{name!r} cannot be the name of a variable in a TensorFlow checkpoint")
    if tensor.dtype not in _DTYPE_NUMBERS:
        raise CheckpointError(f"{name}: a TensorFlow checkpoint cannot hold {tensor.dtype}")
    if len(tensor.shape) > MAX_RANK:
        raise CheckpointError(f"{name}: {len(tensor.shape)} axes, at most {MAX_RANK} are supported")


@dataclass
class _Writing:
    """The data file first, then the index, which holds where each tensor came to lie and its checksum."""

    tensors: Mapping[str, StoredTensor]
    progress: Callable[[int], None] | None
    records: dict[bytes, bytes] = field(default_factory=dict)
    is_written: bool = False

    def write_data(self, stream: BinaryIO) -> None:
        """Write the bytes of all tensors, one after another without gaps."""
        offset = 0
        for name in sorted(self.tensors, key=str.encode):
            tensor = self.tensors[name]
            checksum = _write_array(stream, tensor)
            self.records[name.encode()] = _record(tensor, offset, checksum)
            offset += tensor.nbytes
            if self.progress is not None:
                self.progress(tensor.nbytes)
        self.is_written = True

    def write_index(self, stream: BinaryIO) -> None:
        """Write the table of tensors."""
        if not self.is_written:
            raise RuntimeError("the data file must be written before its index")
        table = TableWriter()
        table.add(HEADER_KEY, _HEADER)
        for key in sorted(self.records):
            table.add(key, self.records[key])
        stream.write(table.finish())


def _write_array(stream: BinaryIO, tensor: StoredTensor) -> int:
    """Write a tensor's bytes and return their checksum; the array is given up on return."""
    array = np.ascontiguousarray(tensor.read(), dtype=DTYPES[tensor.dtype])
    raw = array.reshape(-1).view(np.uint8)
    stream.write(raw.data)
    return int(google_crc32c.value(raw))


def _record(tensor: StoredTensor, offset: int, checksum: int) -> bytes:
    """Return the BundleEntryProto of a tensor in shard 0."""
    axes = b"".join(bytes_field(2, integer_field(1, size)) for size in tensor.shape)
    return (
        integer_field(1, _DTYPE_NUMBERS[tensor.dtype])
        + bytes_field(2, axes)
        + integer_field(4, offset)
        + integer_field(5, tensor.nbytes)
        + fixed32_field(6, mask_checksum(checksum))
    )
