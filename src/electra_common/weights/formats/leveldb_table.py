"""The sorted table of key-value records that TensorFlow keeps a checkpoint's index in (LevelDB's format).

A file is: data blocks, a block that lists them, a footer of 48 bytes. Every block ends in a type byte and a masked
CRC-32C over contents and type. Checksums are always verified here: the index is small and decides everything else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import google_crc32c

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.protobuf import read_varint

MAGIC: Final = 0xDB4775248B80FB57
FOOTER_BYTES: Final = 48
_TRAILER_BYTES: Final = 5
# Keys are variable names; one of more than 64 kB is not honest, and prefix sharing could blow a small file up.
_MAX_KEY_BYTES: Final = 1 << 16
# Every 16th key is stored in full, so the keys of an honest file have at most 16 times its size when put together.
_RESTART_INTERVAL: Final = 16


def unmask_checksum(masked: int) -> int:
    """Undo TensorFlow's masking of a CRC: rotate right by 15, then add a constant."""
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def looks_like_table(end: bytes) -> bool:
    """Whether the last bytes of a file are those of such a table."""
    return len(end) >= FOOTER_BYTES and end[-8:] == struct.pack("<Q", MAGIC)


def read_table(path: Path, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a table in order; raises CheckpointError on anything damaged.

    Args:
        path: the file's name, for messages.
        data: the whole file.
    """
    if len(data) < FOOTER_BYTES:
        raise CheckpointError(f"{path}: truncated: {len(data)} bytes, an index has at least {FOOTER_BYTES}")
    footer = data[-FOOTER_BYTES:]
    if not looks_like_table(footer):
        raise CheckpointError(f"{path}: not a TensorFlow checkpoint index (its last 8 bytes are not the magic number)")
    _, _, position = _read_handle(footer, 0)  # the metaindex, always empty
    offset, size, _ = _read_handle(footer, position)
    previous: bytes | None = None
    end = key_bytes = 0
    for _, handle in _read_block(path, data, offset, size):
        offset, size, _ = _read_handle(handle, 0)
        if offset < end:  # reading one block again and again would keep a small file busy for hours
            raise CheckpointError(f"{path}: damaged: the block at {offset} begins before the end of the one before")
        end = offset + size
        for key, value in _read_block(path, data, offset, size):
            key_bytes += len(key)
            if previous is not None and key <= previous:
                raise CheckpointError(f"{path}: damaged: keys out of order at {key[:80]!r}")
            if key_bytes > _RESTART_INTERVAL * len(data):
                raise CheckpointError(f"{path}: damaged: keys of more than {_RESTART_INTERVAL} times the file's size")
            previous = key
            yield key, value


def _read_handle(data: bytes, position: int) -> tuple[int, int, int]:
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return offset, size, position


def _read_block(path: Path, data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    end = offset + size
    if end + _TRAILER_BYTES > len(data):
        raise CheckpointError(f"{path}: truncated: a block of {size} bytes at {offset} ends behind the file")
    (stored,) = struct.unpack("<I", data[end + 1 : end + _TRAILER_BYTES])
    if google_crc32c.value(data[offset : end + 1]) != unmask_checksum(stored):
        raise CheckpointError(f"{path}: damaged: the checksum of the block at {offset} does not match")
    if data[end] != 0:
        raise CheckpointError(f"{path}: compressed blocks (type {data[end]}) are not supported; TensorFlow writes none")
    yield from _read_records(path, data[offset:end])


def _read_records(path: Path, block: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(block) < 4:
        raise CheckpointError(f"{path}: damaged: a block of {len(block)} bytes")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise CheckpointError(f"{path}: damaged: {restarts} restart points in a block of {len(block)} bytes")
    records, position, key = block[:end], 0, b""
    while position < end:
        shared, position = read_varint(records, position, limit=5)
        unshared, position = read_varint(records, position, limit=5)
        length, position = read_varint(records, position, limit=5)
        if shared > len(key) or position + unshared + length > end or shared + unshared > _MAX_KEY_BYTES:
            raise CheckpointError(f"{path}: damaged: a record ends behind its block")
        key = key[:shared] + records[position : position + unshared]
        position += unshared
        yield key, records[position : position + length]
        position += length
