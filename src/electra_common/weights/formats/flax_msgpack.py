"""``flax_model.msgpack``: what Flax writes, and with it transformers' Flax classes, without Flax and without msgpack.

A tree of maps with arrays at its leaves. An array is an extension item whose payload is msgpack again: the shape, the
dtype's name, the bytes. Arrays of over a gigabyte are cut into pieces, a map that says so with a key of its own. Only
positions are noted when a file is opened; an array is read from the mapped file when asked for. The format has no
checksum, so damage within the data cannot be seen. It is read, not written.

Source: ``flax/serialization.py`` in Flax.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import numpy as np

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.mapped_file import MappedFile
from electra_common.weights.formats.msgpack import Item, Kind, read_item
from electra_common.weights.tensors import DTYPES, Array, StoredTensor, data_bytes, is_possible_shape

# ELECTRA-Large has 700 maps and arrays, six levels, and names of under 80 bytes. The limits bound what a hostile file
# can make the parser keep: a few bytes of file would otherwise be worth a kilobyte of objects.
MAX_ENTRIES: Final = 4096
MAX_DEPTH: Final = 64
MAX_NAME_BYTES: Final = 200
MAX_RANK: Final = 8

_NDARRAY, _NATIVE_COMPLEX, _NUMPY_SCALAR = 1, 2, 3  # flax.serialization._MsgpackExtType
_CHUNKED: Final = "__msgpack_chunked_array__"
_TOP_LEVEL: Final = "params"  # Flax's own name for the collection of weights; transformers writes what is in it


def looks_like_flax_msgpack(start: bytes) -> bool:
    """Whether the first bytes of a file could open a tree of Flax's: a map that is not empty, then a short name."""
    if not start or not (0x81 <= start[0] <= 0x8F or start[0] in (0xDE, 0xDF)):
        return False
    position = 1 + {0xDE: 2, 0xDF: 4}.get(start[0], 0)
    key = start[position : position + 2]
    if len(key) < 2 or not (0xA1 <= key[0] <= 0xBF or key[0] == 0xD9):
        return False
    is_short = key[0] != 0xD9
    size = key[0] & 0x1F if is_short else key[1]
    name = start[position + (1 if is_short else 2) :][:size]
    return all(0x20 <= byte < 0x7F for byte in name)


def read_flax_msgpack(path: Path, *, verify: bool = True) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the arrays of a file under their paths (``electra/embeddings/LayerNorm/scale``), and no metadata.

    Args:
        path: the file.
        verify: as of the other readers; this format has nothing to check.

    Raises:
        CheckpointError: the file is truncated, damaged, contradicts itself, or holds more than arrays.
    """
    file = MappedFile(path)
    root, end = _Parser(file).read(0, 0)
    if not isinstance(root, dict):
        raise CheckpointError(f"{path}: not a Flax checkpoint: expected a map of names, found {_describe(root)}")
    if end != file.size:
        raise CheckpointError(f"{path}: damaged: the tree ends at byte {end}, the file has {file.size}")
    inner = root.get(_TOP_LEVEL)
    tree = inner if len(root) == 1 and isinstance(inner, dict) else root
    tensors: dict[str, StoredTensor] = {}
    for name, entry in _arrays(file, tree, ""):
        if name in tensors:
            raise CheckpointError(f"{path}: damaged: two arrays are called {name}")
        tensors[name] = _tensor(file, name, entry)
    return tensors, {}


# The tree -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    """An array in the file: shape, dtype, and where its bytes begin."""

    shape: tuple[int, ...]
    dtype: str
    start: int


_Node = dict[str, "_Node"] | _Stored | Item  # an Item is anything else, which only a chunked array's map may hold


def _describe(node: _Node) -> str:
    if isinstance(node, Item):
        return node.kind.value
    return "a map" if isinstance(node, dict) else "an array"


class _Parser:
    """Reads the tree; knows at which name it is, for errors, and how many entries it has seen."""

    def __init__(self, file: MappedFile) -> None:
        self._file = file
        self._entries = 0
        self._names: list[str] = []

    def read(self, position: int, depth: int) -> tuple[_Node, int]:
        """Return the node at a position, and where it ends."""
        item = read_item(self._file, position, self._file.size)
        if item.kind is Kind.MAP:
            return self._read_map(item, depth)
        if item.kind is Kind.EXTENSION:
            return self._read_extension(item), item.end
        if item.kind is Kind.ARRAY:
            self._refuse("expected an array or a map of names, found a list")
        return item, item.end

    def _refuse(self, problem: str) -> NoReturn:
        name = "/".join(self._names)[:MAX_NAME_BYTES]
        raise CheckpointError(f"{self._file.path}: {f'{name}: ' if name else ''}{problem}")

    def _read_map(self, item: Item, depth: int) -> tuple[_Node, int]:
        if depth >= MAX_DEPTH:
            self._refuse(f"damaged: more than {MAX_DEPTH} maps within each other")
        self._entries += item.value
        if self._entries > MAX_ENTRIES:
            self._refuse(f"damaged: more than {MAX_ENTRIES} entries, which no ELECTRA has")
        children: dict[str, _Node] = {}
        position = item.end
        for _ in range(item.value):
            key, position = self._read_key(position)
            if key in children:
                self._refuse(f"damaged: the name {key!r} stands twice in one map")
            self._names.append(key)
            children[key], position = self.read(position, depth + 1)
            self._names.pop()
        return children, position

    def _read_key(self, position: int) -> tuple[str, int]:
        item = read_item(self._file, position, self._file.size)
        if item.kind is not Kind.STRING:
            self._refuse(f"damaged: a name must be text, found {item.kind.value}")
        if not 0 < item.value <= MAX_NAME_BYTES:
            self._refuse(f"damaged: a name of {item.value} bytes (1 to {MAX_NAME_BYTES} expected)")
        return self._text(item), item.end

    def _text(self, item: Item) -> str:
        raw = self._file.bytes(item.start, item.value)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse(f"damaged: the name {raw[:80]!r} is not UTF-8")

    # An array: the extension's payload is a list of shape, dtype name and bytes.

    def _read_extension(self, item: Item) -> _Stored:
        if item.extension_type == _NATIVE_COMPLEX:
            self._refuse("a complex number, which no weight of ELECTRA is")
        if item.extension_type not in (_NDARRAY, _NUMPY_SCALAR):
            self._refuse(f"damaged: extension type {item.extension_type} is not one of Flax's")
        outer = self._expect(Kind.ARRAY, item.start, item.end, "shape, dtype and bytes")
        if outer.value != 3:
            self._refuse(f"damaged: an array of {outer.value} parts, expected shape, dtype and bytes")
        shape, position = self._read_shape(outer.end, item.end)
        name = self._expect(Kind.STRING, position, item.end, "a dtype")
        data = self._expect(Kind.BINARY, name.end, item.end, "an array's bytes")
        if data.end != item.end:
            self._refuse(f"damaged: the array ends at byte {data.end}, its extension at {item.end}")
        return self._checked(shape, self._dtype(name), data)

    def _expect(self, kind: Kind, position: int, limit: int, what: str) -> Item:
        if position >= limit:
            self._refuse(f"damaged: {what} missing")
        item = read_item(self._file, position, limit)
        if item.kind is not kind:
            self._refuse(f"damaged: expected {what}, found {item.kind.value}")
        return item

    def _read_shape(self, position: int, limit: int) -> tuple[tuple[int, ...], int]:
        sizes = self._expect(Kind.ARRAY, position, limit, "a shape")
        if sizes.value > MAX_RANK:
            self._refuse(f"damaged: an array of {sizes.value} axes, at most {MAX_RANK} expected")
        shape, position = [], sizes.end
        for _ in range(sizes.value):
            size = self._expect(Kind.INTEGER, position, limit, "the size of an axis")
            shape.append(size.value)
            position = size.end
        return tuple(shape), position

    def _dtype(self, item: Item) -> str:
        dtype = self._text(item) if item.value <= 20 else "…"
        if dtype not in DTYPES:
            self._refuse(f"dtype {dtype!r} is not known")
        return dtype

    def _checked(self, shape: tuple[int, ...], dtype: str, data: Item) -> _Stored:
        if min(shape, default=0) < 0 or not is_possible_shape(shape) or data.value != data_bytes(shape, dtype):
            self._refuse(f"damaged: {data.value} bytes cannot hold {list(shape)} of {dtype}")
        return _Stored(shape, dtype, data.start)


# From the tree to tensors -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chunked:
    """An array in pieces: its own shape, and the pieces of the flattened array."""

    shape: tuple[int, ...]
    pieces: tuple[_Stored, ...]


def _arrays(file: MappedFile, node: _Node, name: str) -> Iterator[tuple[str, _Stored | _Chunked]]:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise CheckpointError(f"{file.path}: damaged: {name[:80]}…: a name of more than {MAX_NAME_BYTES} bytes")
    if isinstance(node, Item):
        raise CheckpointError(f"{file.path}: {name}: expected an array, found {node.kind.value}")
    if isinstance(node, _Stored):
        yield name, node
    elif _CHUNKED in node:
        yield name, _chunked(file, node, name)
    else:
        for key, child in node.items():
            yield from _arrays(file, child, f"{name}/{key}" if name else key)


def _chunked(file: MappedFile, node: dict[str, _Node], name: str) -> _Chunked:
    sizes = [
        size.value for size in _numbered(node.get("shape")) if isinstance(size, Item) and size.kind is Kind.INTEGER
    ]
    pieces = [piece for piece in _numbered(node.get("chunks")) if isinstance(piece, _Stored)]
    shape, lengths = tuple(sizes), [len(piece.shape) == 1 and piece.shape[0] for piece in pieces]
    if node.keys() != {_CHUNKED, "shape", "chunks"} or len(shape) > MAX_RANK or not pieces or False in lengths:
        raise CheckpointError(f"{file.path}: {name}: damaged: not a chunked array as Flax writes it")
    if min(shape, default=0) < 0 or not is_possible_shape(shape) or sum(lengths) != math.prod(shape):
        raise CheckpointError(f"{file.path}: {name}: damaged: pieces of {lengths[:9]} cannot make {list(shape)}")
    if len({piece.dtype for piece in pieces}) != 1:
        raise CheckpointError(f"{file.path}: {name}: damaged: its pieces have different dtypes")
    return _Chunked(shape, tuple(pieces))


def _numbered(node: _Node | None) -> list[_Node]:
    """Return the values of a map with the keys 0, 1, …, which is how Flax stores a tuple; nothing if it is not one."""
    if not isinstance(node, dict) or set(node) != {str(index) for index in range(len(node))}:
        return []
    return [node[str(index)] for index in range(len(node))]


def _tensor(file: MappedFile, name: str, entry: _Stored | _Chunked) -> StoredTensor:
    if isinstance(entry, _Stored):
        return StoredTensor(name, entry.shape, entry.dtype, lambda: file.array(entry.start, entry.shape, entry.dtype))
    return StoredTensor(name, entry.shape, entry.pieces[0].dtype, lambda: _join(file, entry))


def _join(file: MappedFile, entry: _Chunked) -> Array:
    result: Array = np.empty(math.prod(entry.shape), DTYPES[entry.pieces[0].dtype])
    position = 0
    for piece in entry.pieces:
        result[position : position + piece.shape[0]] = file.array(piece.start, piece.shape, piece.dtype)
        position += piece.shape[0]
    return result.reshape(entry.shape)
