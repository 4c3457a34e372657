"""The one kind of text that a TensorFlow checkpoint is asked for: a single string, such as a TF2 object graph.

Layout of a string tensor: the length of each string as a varint, a masked CRC-32C over the lengths (taken as four bytes
each), the strings. The checksum in the index runs over the lengths, over that checksum and over the strings.

Source: WriteStringTensor in TensorFlow's core/util/tensor_bundle/tensor_bundle.cc.
"""

from __future__ import annotations

import struct
from typing import Final

import google_crc32c

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.leveldb_table import unmask_checksum
from electra_common.weights.formats.protobuf import read_varint

# The length, at most ten bytes, and its checksum.
STRING_OVERHEAD: Final = 14
_CHECKSUM_BYTES: Final = 4


def decode_string(data: bytes, checksum: int) -> bytes:
    """Return the string of a string tensor without axes.

    Args:
        data: what the data file holds of the tensor.
        checksum: the masked checksum from the index.

    Raises:
        CheckpointError: the length or a checksum is wrong.
    """
    length, position = read_varint(data, 0)
    start = position + _CHECKSUM_BYTES
    if start + length != len(data):
        raise CheckpointError(f"damaged: a string of {length} bytes in {len(data)} bytes with its length and checksum")
    length_checksum = google_crc32c.value(struct.pack("<I" if length < 1 << 32 else "<Q", length))
    (stored,) = struct.unpack("<I", data[position:start])
    if unmask_checksum(stored) != length_checksum:
        raise CheckpointError("damaged: the checksum of a string's length does not match")
    # From the length's checksum on, the bytes are taken as they stand in the file.
    if google_crc32c.extend(length_checksum, data[position:]) != unmask_checksum(checksum):
        raise CheckpointError("damaged: the checksum of a string does not match")
    return data[start:]
