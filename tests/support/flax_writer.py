"""Encodes msgpack as its specification says, and arrays in it as Flax does; honest or lying, with no code of ours.

Source: github.com/msgpack/msgpack, spec.md.
"""

import struct

import numpy as np

NDARRAY, NATIVE_COMPLEX, NUMPY_SCALAR = 1, 2, 3
CHUNKED = "__msgpack_chunked_array__"


class Raw(bytes):
    """Bytes that are msgpack already."""


def sized(size, fixed, first_bytes):
    """Encode a size: in the first byte if it is under ``fixed[1]``, else in the smallest field that holds it."""
    if fixed is not None and size < fixed[1]:
        return bytes([fixed[0] | size])
    width, first = next((width, first) for width, first in first_bytes if size < 1 << 8 * width)
    return bytes([first]) + size.to_bytes(width, "big")


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return sized(len(raw), (0xA0, 32), [(1, 0xD9), (2, 0xDA), (4, 0xDB)]) + raw


def binary(raw):
    return sized(len(raw), None, [(1, 0xC4), (2, 0xC5), (4, 0xC6)]) + raw


def integer(value):
    if 0 <= value < 128:
        return bytes([value])
    if -32 <= value < 0:
        return bytes([0x100 + value])
    if value < 0:
        return b"\xd3" + struct.pack(">q", value)
    return sized(value, None, [(1, 0xCC), (2, 0xCD), (4, 0xCE), (8, 0xCF)])


def extension(kind, payload):
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(len(payload))
    head = bytes([fixed]) if fixed else sized(len(payload), None, [(1, 0xC7), (2, 0xC8), (4, 0xC9)])
    return head + struct.pack("b", kind) + payload


def array_of(items):
    return sized(len(items), (0x90, 16), [(2, 0xDC), (4, 0xDD)]) + b"".join(map(encode, items))


def map_of(pairs):
    pairs = list(pairs)
    head = sized(len(pairs), (0x80, 16), [(2, 0xDE), (4, 0xDF)])
    return head + b"".join(encode(key) + encode(value) for key, value in pairs)


def ndarray(array, *, kind=NDARRAY, shape=None, dtype=None, data=None):
    """Encode an array; any part of it can be replaced."""
    array = np.asarray(array)
    shape = list(array.shape) if shape is None else shape
    dtype = array.dtype.name if dtype is None else dtype
    data = np.ascontiguousarray(array).tobytes() if data is None else data
    return Raw(extension(kind, array_of([shape, dtype, data])))


def chunked(array, size):
    """Encode an array in pieces of so many elements."""
    flat = np.asarray(array).reshape(-1)
    pieces = [flat[start : start + size] for start in range(0, flat.size, size)]
    return {
        CHUNKED: True,
        "shape": {str(axis): length for axis, length in enumerate(np.shape(array))},
        "chunks": {str(index): piece for index, piece in enumerate(pieces)},
    }


SIMPLE = {None: b"\xc0", False: b"\xc2", True: b"\xc3"}


def encode(value):
    """Encode a tree of dicts, lists, arrays, texts, bytes and numbers."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None or isinstance(value, bool):
        return SIMPLE[value]
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    encoders = {
        dict: lambda tree: map_of(tree.items()), list: array_of, str: text, bytes: binary, int: integer,
        np.ndarray: ndarray,
    }  # fmt: skip
    return encoders[type(value)](value)


def nested(arrays):
    """Return ``{"a/b": array}`` as ``{"a": {"b": array}}``."""
    tree = {}
    for name, array in arrays.items():
        *folders, last = name.split("/")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[last] = array
    return tree
