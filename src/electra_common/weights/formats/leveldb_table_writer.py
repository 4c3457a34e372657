"""Writing the sorted table that a TensorFlow checkpoint's index is; :mod:`leveldb_table` reads it.

The table is made in memory, for an index is small. Nothing is compressed, as in the files that TensorFlow writes, and
block sizes and keys of the list of blocks are chosen as TensorFlow chooses them, so the same records give the same
bytes.

Source: core/lib/io/{table_builder,block_builder,table_options,format} in TensorFlow.
"""

from __future__ import annotations

import struct
from typing import Final

import google_crc32c

from electra_common.weights.formats.leveldb_table import FOOTER_BYTES, MAGIC
from electra_common.weights.formats.protobuf import write_varint

BLOCK_BYTES: Final = 262144  # a block is closed by the record that makes it this long
_RESTART_INTERVAL: Final = 16  # every 16th key of a data block is stored in full; in the list of blocks every key
_UNCOMPRESSED: Final = b"\x00"


def mask_checksum(checksum: int) -> int:
    """Mask a CRC as TensorFlow stores it: rotated right by 15 bits, plus a constant."""
    rotated = ((checksum >> 15) | (checksum << 17)) & 0xFFFFFFFF
    return (rotated + 0xA282EAD8) & 0xFFFFFFFF


class TableWriter:
    """A table that grows by records in ascending order of their keys; ``finish`` returns the file's bytes."""

    def __init__(self, *, block_bytes: int = BLOCK_BYTES) -> None:
        self._block_bytes = block_bytes
        self._file = bytearray()
        self._block = _Block(_RESTART_INTERVAL)
        self._blocks = _Block(1)
        # The last key and the position of a finished block that is not listed yet: its entry depends on the next key.
        self._unlisted: tuple[bytes, bytes] | None = None
        self._last_key: bytes | None = None

    def add(self, key: bytes, value: bytes) -> None:
        """Append a record.

        Raises:
            ValueError: the key does not come after the one before.
        """
        if self._last_key is not None and key <= self._last_key:
            raise ValueError(f"the key {key!r} does not come after {self._last_key!r}")
        self._list_block(key)
        self._block.add(key, value)
        self._last_key = key
        if self._block.size >= self._block_bytes:
            self._close_block()

    def finish(self) -> bytes:
        """Return the whole table."""
        if self._block.size > _Block(1).size:
            self._close_block()
        metaindex = self._append(_Block(1))  # TensorFlow keeps nothing in it
        self._list_block(None)
        blocks = self._append(self._blocks)
        footer = (metaindex + blocks).ljust(FOOTER_BYTES - 8, b"\x00") + struct.pack("<Q", MAGIC)
        return bytes(self._file + footer)

    def _close_block(self) -> None:
        self._unlisted = (self._block.last_key, self._append(self._block))
        self._block = _Block(_RESTART_INTERVAL)

    def _list_block(self, next_key: bytes | None) -> None:
        """Enter the block that was closed last into the list, under a short key between it and the next one."""
        if self._unlisted is not None:
            last_key, handle = self._unlisted
            self._blocks.add(_key_behind(last_key, next_key), handle)
            self._unlisted = None

    def _append(self, block: _Block) -> bytes:
        """Write a block with type and checksum; returns its handle (offset, size)."""
        content = block.finish() + _UNCOMPRESSED
        handle = write_varint(len(self._file)) + write_varint(len(content) - 1)
        self._file += content + struct.pack("<I", mask_checksum(google_crc32c.value(content)))
        return handle


class _Block:
    """Records, each without the bytes that its key shares with the one before; then the offsets of full keys."""

    def __init__(self, restart_interval: int) -> None:
        self.last_key = b""
        self._restart_interval = restart_interval
        self._records = bytearray()
        self._restarts = [0]
        self._since_restart = 0

    @property
    def size(self) -> int:
        """Bytes of the finished block."""
        return len(self._records) + 4 * len(self._restarts) + 4

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._since_restart < self._restart_interval:
            shared = _common_prefix(self.last_key, key)
        else:
            self._restarts.append(len(self._records))
            self._since_restart = 0
        self._records += write_varint(shared) + write_varint(len(key) - shared) + write_varint(len(value))
        self._records += key[shared:] + value
        self.last_key = key
        self._since_restart += 1

    def finish(self) -> bytes:
        numbers = (*self._restarts, len(self._restarts))
        return bytes(self._records) + struct.pack(f"<{len(numbers)}I", *numbers)


def _common_prefix(first: bytes, second: bytes) -> int:
    """Return how many bytes two keys begin with alike."""
    limit = min(len(first), len(second))
    return next((index for index in range(limit) if first[index] != second[index]), limit)


def _key_behind(last: bytes, following: bytes | None) -> bytes:
    """Return a short key that is not before ``last`` and is before ``following``, if there is such a block."""
    if following is None:
        # The first byte that can be raised ends the key.
        place = next((index for index, byte in enumerate(last) if byte < 0xFF), None)
        return last if place is None else last[:place] + bytes([last[place] + 1])
    place = _common_prefix(last, following)
    # No room between two bytes that follow each other, nor where one key begins with all of the other.
    if place == min(len(last), len(following)) or last[place] + 1 >= following[place]:
        return last
    return last[:place] + bytes([last[place] + 1])
