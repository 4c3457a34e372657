"""Google's ``pretrain_data.tfrecord*``: records of ready examples, read without TensorFlow.

A file is a row of records: length (8 bytes), its checksum, content, its checksum. The content is a ``tf.train.Example``
with three lists of integers, ``input_ids``, ``input_mask`` and ``segment_ids``, all of the same length.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.leveldb_table import unmask_checksum
from electra_common.weights.formats.protobuf import VARINT, expect_bytes, expect_integer, fields

_HEADER: Final = struct.Struct("<QI")
_CHECKSUM: Final = struct.Struct("<I")
_NAMES: Final = ("input_ids", "input_mask", "segment_ids")
_MOST_VARINT_BYTES: Final = 10


@dataclass(frozen=True)
class Record:
    """One record as it stands in a file: its content, the checksum stored behind, and ``file, record number``."""

    content: bytes
    checksum: int
    place: str


def is_tfrecord(path: str) -> bool:
    """Whether a file's name is one of TensorFlow records, such as ``pretrain_data.tfrecord-3-of-1000``."""
    return ".tfrecord" in Path(path).name


def read_records(path: str, progress: Callable[[int], None]) -> Iterator[Record]:
    """Yield the records of a file; contents are checked by :func:`parse_example`, which may run elsewhere.

    Raises:
        ValueError: the file cannot be read, is truncated, or a length is damaged.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            number = 0
            while header := stream.read(_HEADER.size):
                number += 1
                place = f"{path}, record {number}"
                if len(header) < _HEADER.size:
                    raise ValueError(f"{place}: truncated: the file ends within its length")
                length, checksum = _HEADER.unpack(header)
                if google_crc32c.value(header[:8]) != unmask_checksum(checksum):
                    raise ValueError(f"{place}: damaged: the checksum of its length does not match")
                if length + _CHECKSUM.size > size - stream.tell():
                    raise ValueError(f"{place}: truncated: {length} bytes end behind the file")
                content = stream.read(length)
                (checksum,) = _CHECKSUM.unpack(stream.read(_CHECKSUM.size))
                yield Record(content, checksum, place)
                progress(stream.tell())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_example(record: Record, max_length: int) -> tuple[NDArray[np.int64], int]:
    """Return the ids of a record without its padding, and how many of them are of the first segment.

    Raises:
        ValueError: the record is damaged, or holds something else than an example of pre-training.
    """
    if google_crc32c.value(record.content) != unmask_checksum(record.checksum):
        raise ValueError(f"{record.place}: damaged: its checksum does not match")
    try:
        features = _features(record.content)
    except CheckpointError as error:
        raise ValueError(f"{record.place}: {error}") from None
    if missing := [name for name in _NAMES if name not in features]:
        raise ValueError(f"{record.place}: no feature {', '.join(missing)}; is it Google's pre-training data?")
    ids, mask, segments = (features[name] for name in _NAMES)
    if not len(ids) == len(mask) == len(segments):
        raise ValueError(f"{record.place}: features of {len(ids)}, {len(mask)} and {len(segments)} numbers")
    if len(ids) > max_length:
        raise ValueError(f"{record.place}: of length {len(ids)}, and max_length is {max_length}")
    length = int(np.count_nonzero(mask))
    first = length - int(np.count_nonzero(segments[:length]))
    is_token, is_second = np.arange(len(ids)) < length, np.arange(length) >= first
    if not (np.array_equal(mask, is_token) and np.array_equal(segments[:length], is_second)):
        raise ValueError(f"{record.place}: expected a mask of ones then zeros, and segments of zeros then ones")
    return ids[:length], first


def _features(content: bytes) -> dict[str, NDArray[np.int64]]:
    """Return the integer lists of a ``tf.train.Example``: Example > Features > (name, Feature) > Int64List."""
    result = {}
    for number, _, features in fields(content):
        if number != 1:
            continue
        for entry_number, _, entry in fields(expect_bytes(features, "the features")):
            if entry_number == 1:
                parts = {key: value for key, _, value in fields(expect_bytes(entry, "a feature"))}
                name = expect_bytes(parts.get(1, b""), "a feature's name").decode("utf-8", "replace")
                result[name] = _integers(expect_bytes(parts.get(2, b""), "a feature's value"))
    return result


def _integers(feature: bytes) -> NDArray[np.int64]:
    numbers = [np.zeros(0, np.int64)]
    for kind, _, values in fields(feature):
        if kind != 3:
            raise CheckpointError("a feature is no list of integers")
        for _, wire_type, value in fields(expect_bytes(values, "a list of integers")):
            if wire_type == VARINT:
                numbers.append(np.array([expect_integer(value, "an integer")], np.int64))
            else:
                numbers.append(unpack_varints(expect_bytes(value, "packed integers")))
    return np.concatenate(numbers)


def unpack_varints(packed: bytes) -> NDArray[np.int64]:
    """Return the integers of a packed list: seven bits a byte, lowest first, the last byte of each below 128.

    Raises:
        CheckpointError: a number is not finished, or longer than ten bytes.
    """
    content = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(content < 0x80) + 1
    if len(content) and (not len(ends) or ends[-1] != len(content)):
        raise CheckpointError("truncated: a packed number ends behind its list")
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
    longest = int((ends - starts).max(initial=0))
    if longest > _MOST_VARINT_BYTES:
        raise CheckpointError(f"damaged: a packed number of {longest} bytes")
    values = np.zeros(len(ends), np.uint64)
    for index in range(longest):
        has_byte = starts + index < ends
        bits = content[starts[has_byte] + index].astype(np.uint64) & np.uint64(0x7F)
        values[has_byte] |= bits << np.uint64(7 * index)
    return values.view(np.int64)
