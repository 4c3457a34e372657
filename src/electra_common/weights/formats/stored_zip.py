"""Zip archives whose members are stored as they are, as ``torch.save`` writes them: where each member lies.

Nothing is decompressed, so nothing can unfold: compressed members are listed but not read, encrypted ones are refused,
and members must not share bytes. Archives of more than 4 GB (zip64) are read; archives in several parts and with a
comment are not.

Source: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile

START_OF_ZIP: Final = b"PK\x03\x04"
MAX_MEMBERS: Final = 10_000  # ELECTRA-Large has 400 tensors

_END: Final = struct.Struct("<4s4H2IH")
_END64_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_ENTRY: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_IN_ZIP64: Final = 0xFFFFFFFF  # a 32-bit number that stands in the zip64 record instead
_COUNT_IN_ZIP64: Final = 0xFFFF
_ZIP64_FIELD: Final = 1
_FLAGS: Final = 0x0808  # sizes behind the data, names in UTF-8: the only ones that change nothing here
_SIZES_BEHIND: Final = 0x0008


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive: ``offset`` and ``size`` say where its bytes lie in the file, ``start`` its header."""

    name: str
    start: int
    offset: int
    size: int
    checksum: int
    is_compressed: bool

    def view(self, file: MappedFile) -> memoryview:
        """Return the bytes, without copying; raises CheckpointError if they are compressed."""
        if self.is_compressed:
            raise CheckpointError(f"{file.path}: {self.name[:80]!r} is compressed; torch stores members as they are")
        return file.view(self.offset, self.size)

    def check(self, file: MappedFile) -> None:
        """Raise CheckpointError unless the CRC-32 is right."""
        checksum = zlib.crc32(self.view(file))
        if checksum != self.checksum:
            raise CheckpointError(
                f"{file.path}: damaged: the checksum of {self.name} is {checksum:08x}, expected {self.checksum:08x}"
            )


def read_members(file: MappedFile) -> dict[str, Member]:
    """Return the members of an archive by name.

    Raises:
        CheckpointError: the archive is truncated, contradicts itself, or has encrypted members.
    """
    start, end, count = _find_directory(file)
    if count > MAX_MEMBERS:
        raise CheckpointError(f"{file.path}: {count} members (at most {MAX_MEMBERS} expected)")
    members: dict[str, Member] = {}
    position = start
    for _ in range(count):
        member, position = _read_entry(file, position)
        if member.name in members:
            raise CheckpointError(f"{file.path}: damaged: {member.name[:80]!r} stands twice in the archive")
        members[member.name] = member
    if position != end:
        raise CheckpointError(f"{file.path}: damaged: the archive's directory ends at byte {position}, not {end}")
    _check_overlap(file, members, start)
    return members


def _find_directory(file: MappedFile) -> tuple[int, int, int]:
    """Return where the directory starts and ends, and how many members it has."""
    position = file.size - _END.size
    if position < 0:
        raise CheckpointError(f"{file.path}: truncated: {file.size} bytes are too few for an archive")
    signature, disk, first_disk, on_disk, count, size, offset, comment = _END.unpack(file.bytes(position, _END.size))
    if signature != b"PK\x05\x06" or comment:
        raise CheckpointError(f"{file.path}: truncated or damaged: the archive's directory is not at the end")
    if disk or first_disk or on_disk != count:
        raise CheckpointError(f"{file.path}: an archive in several parts")
    end = position
    locator = file.bytes(max(0, position - _END64_LOCATOR.size), _END64_LOCATOR.size)
    if locator[:4] == b"PK\x06\x07":
        end, size64, offset64, count64 = _read_end64(file, locator, position)
        if size not in (size64, _IN_ZIP64) or offset not in (offset64, _IN_ZIP64) or count not in (
            count64, _COUNT_IN_ZIP64
        ):  # fmt: skip
            raise CheckpointError(f"{file.path}: damaged: the archive's two ends contradict each other")
        size, offset, count = size64, offset64, count64
    if offset + size != end:
        raise CheckpointError(f"{file.path}: damaged: the archive's directory should end at byte {end}")
    return offset, end, count


def _read_end64(file: MappedFile, locator: bytes, end: int) -> tuple[int, int, int, int]:
    """Return where the zip64 record starts, and from it the directory's size, offset and count of members."""
    _, disk, position, disks = _END64_LOCATOR.unpack(locator)
    signature, length, _, _, this_disk, first_disk, on_disk, count, size, offset = _END64.unpack(
        file.bytes(position, _END64.size)
    )
    # The record says how long it is without its signature and that length.
    if signature != b"PK\x06\x06" or position + 12 + length != end - _END64_LOCATOR.size:
        raise CheckpointError(f"{file.path}: damaged: the archive's zip64 record is not where it should be")
    if disk or disks > 1 or this_disk or first_disk or on_disk != count:
        raise CheckpointError(f"{file.path}: an archive in several parts")
    return position, size, offset, count


def _read_entry(file: MappedFile, position: int) -> tuple[Member, int]:
    """Return a member and where the next entry of the directory starts."""
    (
        signature, _, _, flags, method, _, _, checksum, stored, size, name_length, extra_length, comment_length, disk,
        _, _, start,
    ) = _ENTRY.unpack(file.bytes(position, _ENTRY.size))  # fmt: skip
    if signature != b"PK\x01\x02":
        raise CheckpointError(f"{file.path}: damaged: no entry of the archive's directory at byte {position}")
    raw_name = file.bytes(position + _ENTRY.size, name_length)
    extra = file.bytes(position + _ENTRY.size + name_length, extra_length)
    name = _decode(file, raw_name)
    size, stored, start = _with_zip64(file, name, (size, stored, start), extra)
    if flags & ~_FLAGS or disk:
        raise CheckpointError(f"{file.path}: {name[:80]!r} is encrypted or otherwise special (flags {flags:#06x})")
    offset = _data_offset(file, start, raw_name, (flags, method), (checksum, stored, size))
    member = Member(name, start, offset, stored, checksum, is_compressed=method != 0 or stored != size)
    return member, position + _ENTRY.size + name_length + extra_length + comment_length


def _decode(file: MappedFile, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"{file.path}: damaged: the member name {raw[:80]!r} is not UTF-8") from None


def _with_zip64(file: MappedFile, name: str, numbers: tuple[int, ...], extra: bytes) -> tuple[int, ...]:
    """Return size, stored size and offset, those that did not fit taken from the extra field for them."""
    if _IN_ZIP64 not in numbers:
        return numbers
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        field = extra[position + 4 : position + 4 + length]
        if kind == _ZIP64_FIELD and len(field) >= 8 * numbers.count(_IN_ZIP64):
            values = iter(struct.unpack_from(f"<{numbers.count(_IN_ZIP64)}Q", field))
            return tuple(next(values) if number == _IN_ZIP64 else number for number in numbers)
        position += 4 + length
    raise CheckpointError(f"{file.path}: damaged: the size of {name[:80]!r} is missing")


def _data_offset(
    file: MappedFile, start: int, name: bytes, kind: tuple[int, int], numbers: tuple[int, int, int]
) -> int:
    """Return where a member's bytes start, after checking that its own header says what the directory says."""
    (
        signature, _, flags, method, _, _, checksum, stored, size, name_length, extra_length,
    ) = _LOCAL.unpack(file.bytes(start, _LOCAL.size))  # fmt: skip
    differs = signature != START_OF_ZIP or file.bytes(start + _LOCAL.size, name_length) != name
    differs = differs or (flags, method) != kind
    if not flags & _SIZES_BEHIND:
        differs = differs or checksum != numbers[0]
        differs = differs or stored not in (numbers[1], _IN_ZIP64) or size not in (numbers[2], _IN_ZIP64)
    if differs:
        raise CheckpointError(f"{file.path}: damaged: the header of {name[:80]!r} differs from the directory")
    return start + _LOCAL.size + int(name_length) + int(extra_length)


def _check_overlap(file: MappedFile, members: dict[str, Member], directory: int) -> None:
    """Refuse members that share bytes: a small file could otherwise hold a huge archive."""
    ordered = sorted(members.values(), key=lambda member: member.start)
    ends = [*(following.start for following in ordered[1:]), directory]
    for member, end in zip(ordered, ends, strict=True):
        if member.offset + member.size > end:
            raise CheckpointError(f"{file.path}: damaged: {member.name[:80]!r} overlaps what follows it at byte {end}")
