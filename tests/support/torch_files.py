"""An independent writer of torch's containers, pickles included, that writes lies as readily as the truth.

Pickles are put together from their instructions (see CPython's pickletools), archives by Python's zipfile.
"""

import struct
import zipfile

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value):
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def group(*parts):
    return b"(" + b"".join(parts) + b"t"


def name_of(module, name):
    return f"c{module}\n{name}\n".encode()


def sizes(values):
    return group(*map(integer, values))


def storage(key="0", kind=("torch", "FloatStorage"), numel=15, extra=b""):
    return group(text("storage"), name_of(*kind), text(key), text("cpu"), integer(numel), extra) + b"Q"


def tensor(shape=(3, 5), strides=(5, 1), offset=0, of=None, function="_rebuild_tensor_v2", more=None):
    """The call that makes a tensor; ``of`` is its storage."""
    more = b"\x89" + ORDERED_DICT if more is None else more
    arguments = group(of or storage(), integer(offset), sizes(shape), sizes(strides), more)
    return name_of("torch._utils", function) + arguments + b"R"


def items(**values):
    return b"}(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def pickled(value, protocol=2):
    return b"\x80" + bytes([protocol]) + value + b"."


def state(**values):
    return pickled(items(**values))


def write_archive(path, pickle, data=None, *, folder="any name", compression=zipfile.ZIP_STORED, **members):
    """Write an archive; ``data`` are the storages by key, ``members`` further ones."""
    data = {"0": bytes(60)} if data is None else data
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", pickle)
        for key, content in data.items():
            archive.writestr(f"{folder}/data/{key}", content)
        for name, content in {"version": b"3\n", **members}.items():
            archive.writestr(f"{folder}/{name}", content)
    return path


MAGIC = pickled(b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little"))
PROTOCOL = pickled(b"M" + struct.pack("<H", 1001))
LITTLE_ENDIAN = pickled(items(protocol_version=integer(1001), little_endian=b"\x88", type_sizes=b"}"))


def write_stream(path, pickle, data=None, *, start=MAGIC + PROTOCOL + LITTLE_ENDIAN, keys=None, counts=None, end=b""):
    """Write the container of torch before 1.6; ``counts`` are lengths of storages in elements (of 4 bytes)."""
    data = {"0": bytes(60)} if data is None else data
    counts = counts or {}
    listed = pickled(b"](" + b"".join(map(text, data if keys is None else keys)) + b"e")
    content = start + pickle + listed
    for key, raw in data.items():
        content += struct.pack("<q", counts.get(key, len(raw) // 4)) + raw
    path.write_bytes(content + end)
    return path
