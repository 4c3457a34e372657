"""The table of contents of an ``.npz`` file, which is a zip archive: which members it has and where their bytes lie.

A small part of the zip format, and strict about it: what numpy never writes (encryption, several disks, comments,
bytes after the end, overlapping members, two members of one name, names that leave the folder) is refused. Nothing is
allocated before the table is known to be short, and nothing is decompressed here.

Source: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3 (Zip64).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile

# A Google checkpoint of ELECTRA-Large's two networks with Adam slots has 2,000 variables. A member costs a hostile
# file 80 bytes and us a kilobyte.
MAX_MEMBERS: Final = 4096
MAX_NAME_BYTES: Final = 256
STORED, DEFLATED = 0, 8

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END_64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64: Final = struct.Struct("<4sIQI")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_64_MAGIC, _LOCATOR_64_MAGIC = b"PK\x06\x06", b"PK\x06\x07"
_ZIP64_FIELD: Final = 1
_ALL_ONES: Final = 0xFFFFFFFF  # the true value is in the Zip64 field
_UTF8: Final = 0x800
_ALLOWED_FLAGS: Final = _UTF8 | 0x8 | 0x6  # sizes after the data; how hard the compressor tried


@dataclass(frozen=True, slots=True)
class Member:
    """A member: ``stored`` bytes from ``start`` on, which are ``size`` bytes once decompressed."""

    name: str
    method: int
    checksum: int
    start: int
    stored: int
    size: int


@dataclass(frozen=True, slots=True)
class _Record:
    """What the table says of a member."""

    name: bytes
    flags: int
    method: int
    checksum: int
    header: int
    stored: int
    size: int


def first_member_name(file: MappedFile) -> bytes | None:
    """Return the name in the header that a zip archive begins with, or None if the file is none."""
    if file.size < _LOCAL.size or file.bytes(0, 4) != _LOCAL_MAGIC:
        return None
    length = _LOCAL.unpack(file.bytes(0, _LOCAL.size))[9]
    return file.bytes(_LOCAL.size, min(length, file.size - _LOCAL.size))


def read_members(file: MappedFile) -> list[Member]:
    """Return the members of an archive in the order of its table.

    Raises:
        CheckpointError: the archive is truncated, damaged, unsafe, or not one that numpy writes.
    """
    count, size, start = _find_table(file)
    if count > MAX_MEMBERS:
        raise CheckpointError(f"{file.path}: {count} members, at most {MAX_MEMBERS} expected")
    spans: list[tuple[int, int]] = []
    members: dict[str, Member] = {}
    for record in _read_table(file, count, start, start + size):
        member = _locate(file, record, start)
        if member.name in members:
            raise CheckpointError(f"{file.path}: damaged: two members are called {member.name}")
        members[member.name] = member
        spans.append((record.header, member.start + member.stored))
    for (_, end), (following, _) in pairwise(sorted(spans)):
        if following < end:
            raise CheckpointError(f"{file.path}: damaged: two members overlap at byte {following}")
    return list(members.values())


# The table ----------------------------------------------------------------------------------------------------------


def _find_table(file: MappedFile) -> tuple[int, int, int]:
    """Return how many members the table has, its size and where it begins."""
    position = file.size - _END.size
    if position < 0:
        raise CheckpointError(f"{file.path}: {file.size} bytes are too few for an .npz file")
    magic, disk, table_disk, on_disk, count, size, start, comment = _END.unpack(file.bytes(position, _END.size))
    if magic != _END_MAGIC or comment:
        raise CheckpointError(f"{file.path}: truncated or damaged: it does not end as a zip archive of numpy's does")
    told, end = (count, size, start), position
    # Python writes the wide numbers from 2 GB on, where the narrow ones would still do.
    locator = position - _LOCATOR_64.size
    if locator >= 0 and file.bytes(locator, 4) == _LOCATOR_64_MAGIC:
        count, size, start, end = _read_wide_end(file, locator)
    narrow = (min(count, 0xFFFF), min(size, _ALL_ONES), min(start, _ALL_ONES))
    if disk or table_disk or on_disk != narrow[0] or told != narrow or start + size != end:
        raise CheckpointError(f"{file.path}: damaged: the end of the zip archive contradicts itself")
    return count, size, start


def _read_wide_end(file: MappedFile, locator: int) -> tuple[int, int, int, int]:
    """Return the number of members, the table's size and beginning, and where it must end: before this record."""
    _, disk, end, disks = _LOCATOR_64.unpack(file.bytes(locator, _LOCATOR_64.size))
    if disk or disks != 1 or end + _END_64.size != locator:
        raise CheckpointError(f"{file.path}: damaged: the Zip64 locator contradicts the file")
    magic, length, _, _, disk, table_disk, on_disk, count, size, start = _END_64.unpack(file.bytes(end, _END_64.size))
    if magic != _END_64_MAGIC or length != _END_64.size - 12 or disk or table_disk or on_disk != count:
        raise CheckpointError(f"{file.path}: damaged: the Zip64 end of the archive contradicts itself")
    return count, size, start, end


def _read_table(file: MappedFile, count: int, position: int, end: int) -> Iterator[_Record]:
    for _ in range(count):
        if position + _CENTRAL.size > end:
            raise CheckpointError(f"{file.path}: damaged: the zip table is shorter than its {count} members")
        fields = _CENTRAL.unpack(file.bytes(position, _CENTRAL.size))
        magic, flags, method, checksum, stored, size = fields[0], *fields[3:5], *fields[7:10]
        name_length, extra_length, comment, disk, header = *fields[10:14], fields[16]
        position += _CENTRAL.size
        if magic != _CENTRAL_MAGIC or comment or disk or position + name_length + extra_length > end:
            raise CheckpointError(f"{file.path}: damaged: an entry of the zip table is not one that numpy writes")
        if not 0 < name_length <= MAX_NAME_BYTES:
            raise CheckpointError(
                f"{file.path}: a member's name has {name_length} bytes, 1 to {MAX_NAME_BYTES} expected"
            )
        name = file.bytes(position, name_length)
        extra = file.bytes(position + name_length, extra_length)
        position += name_length + extra_length
        size, stored, header = _wide(file, extra, (size, stored, header))
        yield _Record(name, flags, method, checksum, header, stored, size)
    if position != end:
        raise CheckpointError(f"{file.path}: damaged: the zip table is longer than its {count} members")


def _wide(file: MappedFile, extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace values that do not fit 32 bits by those of the Zip64 field, which holds only them, in this order."""
    if _ALL_ONES not in values:
        return values
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == _ZIP64_FIELD:
            field = extra[position + 4 : position + 4 + length]
            if len(field) < 8 * values.count(_ALL_ONES):
                break
            wide = (number for (number,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8]))
            size, stored, header = (next(wide) if value == _ALL_ONES else value for value in values)
            return size, stored, header
        position += 4 + length
    raise CheckpointError(f"{file.path}: damaged: a member has no Zip64 field for its size")


# A member -----------------------------------------------------------------------------------------------------------


def _locate(file: MappedFile, record: _Record, table: int) -> Member:
    """Find a member's data behind its own header, which must agree with the table."""
    name = _decode_name(file, record)
    if record.flags & ~_ALLOWED_FLAGS:
        what = "encrypted" if record.flags & 1 else f"stored in a way numpy does not know (flags {record.flags:#x})"
        raise CheckpointError(f"{file.path}: {name}: {what}")
    if record.method not in (STORED, DEFLATED):
        raise CheckpointError(f"{file.path}: {name}: compression method {record.method}, which numpy does not use")
    if record.header + _LOCAL.size > table:
        raise CheckpointError(f"{file.path}: {name}: damaged: it begins at byte {record.header}, beyond the data")
    fields = _LOCAL.unpack(file.bytes(record.header, _LOCAL.size))
    magic, flags, method, name_length, extra_length = fields[0], *fields[2:4], *fields[9:]
    own_name = file.bytes(record.header + _LOCAL.size, len(record.name))
    if magic != _LOCAL_MAGIC or (flags, method, name_length, own_name) != (
        record.flags, record.method, len(record.name), record.name,
    ):  # fmt: skip
        raise CheckpointError(f"{file.path}: {name}: damaged: its header and the zip table differ")
    start = record.header + _LOCAL.size + name_length + extra_length
    if start + record.stored > table:
        raise CheckpointError(f"{file.path}: {name}: damaged: it ends at byte {start + record.stored}, beyond the data")
    if record.method == STORED and record.stored != record.size:
        raise CheckpointError(
            f"{file.path}: {name}: damaged: {record.stored} bytes stored as they are, {record.size} told"
        )
    return Member(name, record.method, record.checksum, start, record.stored, record.size)


def _decode_name(file: MappedFile, record: _Record) -> str:
    try:
        name = record.name.decode("utf-8" if record.flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise CheckpointError(f"{file.path}: damaged: the name {record.name[:80]!r} cannot be read") from None
    if not is_safe_name(name):
        raise CheckpointError(f"{file.path}: the name {name[:80]!r} could point out of a folder; refused")
    return name


def is_safe_name(name: str) -> bool:
    """Whether a member's name is one for an array: slashes within are fine, as variables have them; paths are not."""
    if not name.isprintable() or "\\" in name or re.match(r"^[A-Za-z]:(/|$)", name):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))
