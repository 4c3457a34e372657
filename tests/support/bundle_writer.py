"""Writes TensorFlow bundles, honest ones and lying ones, with neither TensorFlow nor any code of our reader.

Follows tensor_bundle.proto, LevelDB's table format and TensorFlow's OrderedCode. Every field of every record can be
changed before writing, and all checksums are made afterwards, so that a file can lie and still be well-formed.
"""

import dataclasses
import struct
from collections.abc import Mapping
from pathlib import Path

import google_crc32c
import numpy as np

# tensorflow/core/framework/types.proto
DTYPE_NUMBERS = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "int64": 9, "bool": 10, "bfloat16": 14,
    "uint16": 17, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
STRING_DTYPE = 7
MAGIC_BYTES = bytes.fromhex("57fb808b247547db")
PLAIN, SNAPPY = 0, 1


def varint(value):
    """Encode an integer as protocol buffers do; negative ones take ten bytes."""
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 0x7F:
        result.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes([*result, value])


def number_field(number, value):
    """Encode an integer field; proto3 leaves out zeros."""
    return varint(number << 3) + varint(value) if value else b""


def bytes_field(number, value):
    """Encode a field that is a message, a string or bytes."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed32_field(number, value):
    """Encode an unsigned 32-bit field."""
    return varint(number << 3 | 5) + struct.pack("<I", value)


def masked_crc(data):
    """Return TensorFlow's masked CRC-32C: rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(bytes(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def ordered_signed(value):
    """Encode a signed number in TensorFlow's OrderedCode."""
    heads = ["80", "c0", "e0", "f0", "f8", "fc", "fe", "ff", "ff80", "ffc0"]
    size = next(n for n in range(1, 11) if -(1 << (7 * n - 1)) <= value < 1 << (7 * n - 1))
    encoded = value.to_bytes(size, "big", signed=True)
    head = bytes.fromhex(heads[size - 1]).ljust(size, b"\0")
    return bytes(a ^ b for a, b in zip(encoded, head, strict=True))


def ordered_slice_key(name, extents):
    """Return the key of a slice: 0, the name, the number of axes, then start and length of each."""
    escapes = {0x00: b"\x00\xff", 0xFF: b"\xff\x00"}
    escaped = b"".join(escapes.get(byte, bytes([byte])) for byte in name)
    axes = len(extents)
    count = bytes([0]) if axes == 0 else bytes([1, axes])
    return b"\x00" + escaped + b"\x00\x01" + count + b"".join(ordered_signed(n) for extent in extents for n in extent)


@dataclasses.dataclass
class Record:
    """A BundleEntryProto, field by field; ``extra`` is appended as it is."""

    dtype: int = 1
    shape: tuple = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    slices: tuple = ()
    extra: bytes = b""

    def encode(self):
        """Return the record as a protocol buffer."""
        axes = b"".join(bytes_field(2, number_field(1, size)) for size in self.shape)
        result = number_field(1, self.dtype) + bytes_field(2, axes)
        result += number_field(3, self.shard) + number_field(4, self.offset) + number_field(5, self.size)
        result += fixed32_field(6, self.crc)
        for extents in self.slices:
            parts = (number_field(1, start) + number_field(2, length) for start, length in extents)
            result += bytes_field(7, b"".join(bytes_field(1, part) for part in parts))
        return result + self.extra


def encode_header(shards=1, endianness=0):
    """Return a BundleHeaderProto."""
    return number_field(1, shards) + number_field(2, endianness) + bytes_field(3, number_field(1, 1))


def common_prefix(first, second):
    """Return how many bytes two keys begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))


def encode_block(pairs, restart_interval=16, restart_count=None):
    """Return the content of a table block: records that share prefixes, restart offsets, their count."""
    body, restarts, previous = bytearray(), [], b""
    for index, (key, value) in enumerate(pairs):
        shared = 0
        if index % restart_interval == 0:
            restarts.append(len(body))
        else:
            shared = common_prefix(key, previous)
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    restarts = restarts or [0]
    count = len(restarts) if restart_count is None else restart_count
    return bytes(body) + b"".join(struct.pack("<I", offset) for offset in restarts) + struct.pack("<I", count)


def block_with_trailer(content, kind=PLAIN):
    """Return a block as it stands in the file: content, type byte, checksum."""
    return content + bytes([kind]) + struct.pack("<I", masked_crc(content + bytes([kind])))


def encode_footer(metaindex, index):
    """Return the last 48 bytes: two (offset, size) handles and the magic number."""
    handles = b"".join(varint(number) for number in (*metaindex, *index))
    return handles.ljust(40, b"\0") + MAGIC_BYTES


def table_of_blocks(blocks, handles=None):
    """Return a table of finished blocks, ``(last key, block with trailer)``; ``handles`` replaces the true ones."""
    result, true_handles = bytearray(), []
    for key, block in blocks:
        true_handles.append((key, varint(len(result)) + varint(len(block) - 5)))
        result += block
    metaindex = (len(result), 8)
    result += block_with_trailer(encode_block([]))
    index = encode_block(true_handles if handles is None else handles, restart_interval=1)
    position = len(result)
    result += block_with_trailer(index)
    return bytes(result) + encode_footer(metaindex, (position, len(index)))


def encode_table(pairs, block_bytes=262144, kind=PLAIN):
    """Return a whole table of ``(key, value)`` pairs in the order given."""
    groups, size = [[]], 0
    for key, value in pairs:
        if groups[-1] and size >= block_bytes:
            groups.append([])
            size = 0
        groups[-1].append((key, value))
        size += len(key) + len(value)
    return table_of_blocks([(group[-1][0], block_with_trailer(encode_block(group), kind)) for group in groups])


class BundleWriter:
    """A bundle being made: ``records`` by key, ``data`` by shard, ``header``; change any of them, then ``write``."""

    def __init__(self, shards=1):
        self.records: dict[bytes, Record] = {}
        self.data = [bytearray() for _ in range(shards)]
        self.header = encode_header(shards)

    def add(self, name, array, shard=0):
        """Append an array to a shard and record where it lies."""
        self.records[name.encode()] = self._store(np.asarray(array), shard)

    def add_partitioned(self, name, array, starts, shards=(0,)):
        """Append an array in parts along its first axis, as TensorFlow's partitioned variables are saved."""
        stops = [*starts[1:], len(array)]
        slices = []
        for part, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            extents = ((start, stop - start), *((0, size) for size in array.shape[1:]))
            key = ordered_slice_key(name.encode(), extents)
            self.records[key] = self._store(array[start:stop], shards[part % len(shards)])
            slices.append(extents)
        whole = Record(DTYPE_NUMBERS[array.dtype.name], array.shape, slices=tuple(slices))
        self.records[name.encode()] = whole

    def _store(self, array, shard):
        raw = np.ascontiguousarray(array).tobytes()
        offset = len(self.data[shard])
        self.data[shard] += raw
        return Record(DTYPE_NUMBERS[array.dtype.name], array.shape, shard, offset, len(raw), masked_crc(raw))

    def pairs(self):
        """Return the table's content: the header, then every record in the order of its key."""
        return [(b"", self.header), *((key, self.records[key].encode()) for key in sorted(self.records))]

    def write(self, prefix, index=None, **table_options):
        """Write the data files and the index; returns the number of bytes written."""
        prefix = Path(prefix)
        content = encode_table(self.pairs(), **table_options) if index is None else index
        prefix.with_name(f"{prefix.name}.index").write_bytes(content)
        for shard, data in enumerate(self.data):
            prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{len(self.data):05d}").write_bytes(data)
        return len(content) + sum(map(len, self.data))


def write_bundle(prefix, arrays: Mapping[str, np.ndarray], **table_options):
    """Write named arrays as an honest bundle of one shard; returns the number of bytes written."""
    writer = BundleWriter()
    for name in sorted(arrays):
        writer.add(name, arrays[name])
    return writer.write(prefix, **table_options)
