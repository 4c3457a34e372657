"""Zip archives of tensors (``.npz``, ``torch.save``, ``.keras``): which members they have and where their bytes lie.

A small part of the zip format, and strict about it: what none of the three programs writes (encryption, several disks,
comments, bytes after the end, overlapping members, two members of one name, names that leave the folder) is refused.
Nothing is allocated before the directory is known to be short, and nothing is decompressed here.

Source: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3 (Zip64).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile

START_OF_ZIP: Final = b"PK\x03\x04"
# A Google checkpoint of ELECTRA-Large's two networks with Adam slots has 2,000 variables. A member costs a hostile
# file 80 bytes and us a kilobyte.
MAX_MEMBERS: Final = 4096
MAX_NAME_BYTES: Final = 320  # a file's own name, which torch puts in front, has at most 255
STORED, DEFLATED = 0, 8

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_ENTRY: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_END64_LOCATOR: Final = struct.Struct("<4sIQI")
_ZIP64_FIELD: Final = 1
_IN_ZIP64: Final = 0xFFFFFFFF  # a 32-bit number that stands in the Zip64 field or record instead
_COUNT_IN_ZIP64: Final = 0xFFFF
_UTF8, _SIZES_BEHIND = 0x800, 0x8
_FLAGS: Final = _UTF8 | _SIZES_BEHIND | 0x6  # how hard the compressor tried
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A member: ``stored`` bytes from ``offset`` on, which are ``size`` bytes once decompressed."""

    name: str
    method: int
    checksum: int
    header: int
    offset: int
    stored: int
    size: int

    @property
    def is_compressed(self) -> bool:
        """Whether its bytes are others than those that lie in the file."""
        return self.method != STORED

    def view(self, file: MappedFile) -> memoryview:
        """Return the bytes, without copying; raises CheckpointError if they are compressed."""
        if self.is_compressed:
            raise CheckpointError(f"{file.path}: {self.name[:80]!r} is compressed; it must be stored as it is")
        return file.view(self.offset, self.stored)

    def check(self, file: MappedFile) -> None:
        """Raise CheckpointError unless the CRC-32 of a member that is not compressed is right."""
        checksum, data = 0, self.view(file)
        for start in range(0, self.stored, _CHUNK):
            checksum = zlib.crc32(data[start : start + _CHUNK], checksum)
        self.compare_checksum(file, checksum)

    def compare_checksum(self, file: MappedFile, checksum: int) -> None:
        """Raise CheckpointError unless this is the CRC-32 that the archive states."""
        if checksum != self.checksum:
            raise CheckpointError(
                f"{file.path}: {self.name}: damaged: its checksum is {checksum:08x}, the file says {self.checksum:08x}"
            )


def first_member_name(file: MappedFile) -> str | None:
    """Return the name in the header that a zip archive begins with, or None if the file is none."""
    if file.size < _LOCAL.size or file.bytes(0, 4) != START_OF_ZIP:
        return None
    length = _LOCAL.unpack(file.bytes(0, _LOCAL.size))[9]
    return file.bytes(_LOCAL.size, min(length, file.size - _LOCAL.size)).decode("utf-8", "replace")


def read_members(file: MappedFile) -> dict[str, Member]:
    """Return the members of an archive by name, in the order of its directory.

    Raises:
        CheckpointError: the archive is truncated, damaged, unsafe, or not one that those programs write.
    """
    start, end, count = _find_directory(file)
    if count > MAX_MEMBERS:
        raise CheckpointError(f"{file.path}: {count} members, at most {MAX_MEMBERS} expected")
    members: dict[str, Member] = {}
    for member in _read_directory(file, start, end, count):
        if member.name in members:
            raise CheckpointError(f"{file.path}: damaged: two members are called {member.name}")
        members[member.name] = member
    _check_overlap(file, members, start)
    return members


def is_safe_name(name: str) -> bool:
    """Whether a member's name is one for an array: slashes within are fine, as variables have them; paths are not."""
    if not name.isprintable() or "\\" in name or re.match(r"^[A-Za-z]:(/|$)", name):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


# The directory ------------------------------------------------------------------------------------------------------


def _find_directory(file: MappedFile) -> tuple[int, int, int]:
    """Return where the directory starts and ends, and how many members it has."""
    position = file.size - _END.size
    if position < 0:
        raise CheckpointError(f"{file.path}: truncated: {file.size} bytes are too few for an archive")
    signature, disk, first_disk, on_disk, count, size, start, comment = _END.unpack(file.bytes(position, _END.size))
    if signature != b"PK\x05\x06" or comment:
        raise CheckpointError(f"{file.path}: truncated or damaged: it does not end as a zip archive does")
    if disk or first_disk or on_disk != count:
        raise CheckpointError(f"{file.path}: damaged: an archive in several parts")
    told, end = (size, start, count), position
    # Writers may use the wide numbers where the narrow ones would still do: torch always, Python from 2 GB on.
    locator = position - _END64_LOCATOR.size
    if locator >= 0 and file.bytes(locator, 4) == b"PK\x06\x07":
        size, start, count, end = _read_wide_end(file, locator)
    limits = (_IN_ZIP64, _IN_ZIP64, _COUNT_IN_ZIP64)
    contradicts = any(
        narrow not in (wide, limit) for narrow, wide, limit in zip(told, (size, start, count), limits, strict=True)
    )
    if contradicts or start + size != end:
        raise CheckpointError(f"{file.path}: damaged: the end of the zip archive contradicts itself")
    return start, end, count


def _read_wide_end(file: MappedFile, locator: int) -> tuple[int, int, int, int]:
    """Return the directory's size, start and number of members, and where it must end: before this record."""
    _, disk, position, disks = _END64_LOCATOR.unpack(file.bytes(locator, _END64_LOCATOR.size))
    if position + _END64.size > locator:
        raise CheckpointError(f"{file.path}: damaged: the Zip64 end of the archive is not where it should be")
    signature, length, _, _, this_disk, first_disk, on_disk, count, size, start = _END64.unpack(
        file.bytes(position, _END64.size)
    )
    # The record says how long it is without its signature and that length.
    if signature != b"PK\x06\x06" or position + 12 + length != locator:
        raise CheckpointError(f"{file.path}: damaged: the Zip64 end of the archive is not where it should be")
    if disk or disks > 1 or this_disk or first_disk or on_disk != count:
        raise CheckpointError(f"{file.path}: damaged: an archive in several parts")
    return size, start, count, position


def _read_directory(file: MappedFile, start: int, end: int, count: int) -> Iterator[Member]:
    position = start
    for _ in range(count):
        if position + _ENTRY.size > end:
            raise CheckpointError(f"{file.path}: damaged: the zip table is shorter than its {count} members")
        fields = _ENTRY.unpack(file.bytes(position, _ENTRY.size))
        name_length, extra_length, comment, disk = fields[10:14]
        if fields[0] != b"PK\x01\x02" or comment or disk or position + sum(fields[10:12]) + _ENTRY.size > end:
            raise CheckpointError(f"{file.path}: damaged: no usual entry of a zip table at byte {position}")
        if not 0 < name_length <= MAX_NAME_BYTES:
            raise CheckpointError(
                f"{file.path}: a member's name has {name_length} bytes, 1 to {MAX_NAME_BYTES} expected"
            )
        position += _ENTRY.size
        raw_name = file.bytes(position, name_length)
        extra = file.bytes(position + name_length, extra_length)
        position += name_length + extra_length
        yield _member(file, fields, raw_name, extra, start)
    if position != end:
        raise CheckpointError(f"{file.path}: damaged: the zip table is longer than its {count} members")


def _member(file: MappedFile, fields: tuple[int, ...], raw_name: bytes, extra: bytes, directory: int) -> Member:
    """Return what an entry of the directory describes, after comparing it with the member's own header."""
    flags, method, checksum, stored, size, header = *fields[3:5], *fields[7:10], fields[16]
    name = _decode_name(file, raw_name, flags)
    size, stored, header = _wide(file, name, extra, (size, stored, header))
    if flags & ~_FLAGS:
        raise CheckpointError(f"{file.path}: {name}: encrypted or otherwise special (flags {flags:#x})")
    if method not in (STORED, DEFLATED):
        raise CheckpointError(f"{file.path}: {name}: compression method {method}, expected none or deflate")
    if method == STORED and stored != size:
        raise CheckpointError(f"{file.path}: {name}: damaged: {stored} bytes stored as they are, {size} told")
    if header + _LOCAL.size > directory:
        raise CheckpointError(f"{file.path}: {name}: damaged: it begins at byte {header}, beyond the data")
    own = _LOCAL.unpack(file.bytes(header, _LOCAL.size))
    own_name = file.bytes(header + _LOCAL.size, min(own[9], len(raw_name)))
    differs = own[0] != START_OF_ZIP or (own[2], own[3], own[9], own_name) != (flags, method, len(raw_name), raw_name)
    if not differs and not flags & _SIZES_BEHIND:
        differs = own[6] != checksum or own[7] not in (stored, _IN_ZIP64) or own[8] not in (size, _IN_ZIP64)
    if differs:
        raise CheckpointError(f"{file.path}: {name}: damaged: its header and the zip table differ")
    return Member(name, method, checksum, header, header + _LOCAL.size + own[9] + own[10], stored, size)


def _decode_name(file: MappedFile, raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise CheckpointError(f"{file.path}: damaged: the name {raw[:80]!r} cannot be read") from None
    if not is_safe_name(name):
        raise CheckpointError(f"{file.path}: the name {name[:80]!r} could point out of a folder; refused")
    return name


def _wide(file: MappedFile, name: str, extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace numbers that do not fit 32 bits by those of the Zip64 field, which holds only them, in this order."""
    if _IN_ZIP64 not in values:
        return values
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        field = extra[position + 4 : position + 4 + length]
        if kind == _ZIP64_FIELD and len(field) >= 8 * values.count(_IN_ZIP64):
            wide = iter(struct.unpack_from(f"<{values.count(_IN_ZIP64)}Q", field))
            size, stored, header = (next(wide) if value == _IN_ZIP64 else value for value in values)
            return size, stored, header
        position += 4 + length
    raise CheckpointError(f"{file.path}: {name}: damaged: it has no Zip64 field for its size")


def _check_overlap(file: MappedFile, members: dict[str, Member], directory: int) -> None:
    """Refuse members that share bytes: a small file could otherwise hold a huge archive."""
    spans = sorted((member.header, member.offset + member.stored) for member in members.values())
    for (_, end), (following, _) in pairwise([*spans, (directory, directory)]):
        if end > following:
            raise CheckpointError(f"{file.path}: damaged: two members overlap at byte {following}, or one ends beyond")
