"""The pickles inside ``pytorch_model.bin``, read without anything that could run code.

A pickle is a program for a small stack machine. This is such a machine with only the instructions that ``torch.save``
emits for a dict of tensors. It knows no callables: a global is looked up in a fixed table of inert marks, and what is
not in the table is refused by name. Python's own ``pickle`` is not used, because it cannot be held to a bound: it sizes
its memo by an index in the file, sets attributes of whatever lies on the stack, and hashes keys nested without limit.
Nor are numbers of the file hashed: whoever chooses them can make all of them meet in one place of a dict.

Every instruction is paid from a :class:`Budget`, so a file cannot ask for more than its size justifies. Not supported,
because no state dict needs them: protocols 0 and 1, bytes, sets, instances of classes.

Source: the descriptions of the instructions in CPython's ``pickletools``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pickletools import opcodes
from typing import Any, Final

from electra_common.weights.errors import CheckpointError
from electra_common.weights.formats.pickled_tensors import (
    GLOBALS,
    Function,
    PickledStorage,
    call,
    describe,
    storage_of,
)

_PROTOCOLS: Final = range(2, 6)
_MAX_NAME_BYTES: Final = 200  # of a module, or of a global in it
_MAX_INTEGER_BYTES: Final = 16  # the magic number of legacy files has 10
_STOP: Final = b"."
_ALL_NAMES: Final = {opcode.code: opcode.name for opcode in opcodes}

# What things take in CPython's memory, rounded up.
_COST_OF_INSTRUCTION: Final = 96
_COST_OF_ITEM: Final = 24
_COST_OF_KEY: Final = 120
_COST_OF_CALL: Final = 300


class Budget:
    """How much may be allocated while the pickles of one file are read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def spend(self, size: int) -> None:
        """Take ``size`` bytes; raises CheckpointError when there are not that many left."""
        self._left -= size
        if self._left < 0:
            raise CheckpointError("the pickle describes far more objects than the tensors in a file of this size need")


@dataclass(frozen=True)
class Unpickled:
    """What a pickle holds, where it ends, and the storages it refers to, by key."""

    value: Any
    end: int
    storages: Mapping[str, PickledStorage]


def load_pickle(data: memoryview, start: int, budget: Budget) -> Unpickled:
    """Read the pickle that starts at a byte of ``data``.

    The value is made of dict, list, tuple, str, int, float, bool, None, tensors, storages and the marks of
    ``pickled_tensors.py``; the keys of a dict are str or :class:`NumberKey`. It may be nested deeply and contain
    itself: do not print, compare or hash it as a whole.

    Raises:
        CheckpointError: the pickle is damaged, or uses anything that a dict of tensors does not need.
    """
    machine = _Machine(data, start, budget)
    value = machine.run()
    return Unpickled(value, machine.position, machine.storages)


@dataclass(frozen=True, slots=True)
class NumberKey:
    """A whole number as a key. Its digits are hashed, as Python hashes text: in a way that no file can foresee."""

    digits: str

    def __str__(self) -> str:
        return self.digits


class _Machine:
    def __init__(self, data: memoryview, position: int, budget: Budget) -> None:
        self.data = data
        self.position = position
        self.budget = budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[str, Any] = {}  # by digits; a dict, so that a high index costs no more than a low one
        self.storages: dict[str, PickledStorage] = {}

    def run(self) -> Any:
        while (opcode := self.take(1)) != _STOP:
            self.budget.spend(_COST_OF_INSTRUCTION)
            instruction = _INSTRUCTIONS.get(opcode)
            if instruction is None:
                name = _ALL_NAMES.get(opcode.decode("latin-1"), f"0x{opcode.hex()}")
                raise CheckpointError(f"the pickle uses the instruction {name}, which no dict of tensors needs")
            instruction(self)
        if len(self.stack) != 1 or self.marks:
            raise CheckpointError("the pickle is damaged: it does not end with one object")
        return self.stack[0]

    def take(self, size: int) -> bytes:
        """Return the next bytes of the pickle."""
        self.check_left(size)
        piece = self.data[self.position : self.position + size].tobytes()
        self.position += size
        return piece

    def check_left(self, size: int) -> None:
        if size > len(self.data) - self.position:
            raise CheckpointError("truncated or damaged: the pickle stops in the middle")

    def number(self, layout: str) -> int:
        return int(struct.unpack(layout, self.take(struct.calcsize(layout)))[0])

    def text(self, size: int) -> str:
        self.check_left(size)
        self.budget.spend(4 * size)  # one wide character makes all of them four bytes wide
        return _decode(self.take(size))

    def line(self) -> str:
        rest = self.data[self.position : self.position + _MAX_NAME_BYTES].tobytes()
        length = rest.find(b"\n")
        if length < 0:
            raise CheckpointError("the pickle is damaged: the name of a global does not end")
        self.position += length + 1
        return _decode(rest[:length])

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise CheckpointError("the pickle is damaged: an instruction lacks its operand")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise CheckpointError("the pickle is damaged: an instruction lacks its mark")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        self.budget.spend(_COST_OF_ITEM * len(items))
        return items


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"the pickle is damaged: {raw[:40]!r} is not UTF-8") from None


# Instructions -------------------------------------------------------------------------------------------------------


def _protocol(machine: _Machine) -> None:
    protocol = machine.number("<B")
    if protocol not in _PROTOCOLS:
        raise CheckpointError(f"the pickle has protocol {protocol} (2 to {_PROTOCOLS[-1]} expected)")


def _integer(machine: _Machine) -> None:
    size = machine.number("<B")
    if size > _MAX_INTEGER_BYTES:
        raise CheckpointError(f"the pickle holds an integer of {size} bytes (at most {_MAX_INTEGER_BYTES} expected)")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _float(machine: _Machine) -> None:
    machine.push(struct.unpack(">d", machine.take(8))[0])


def _short_tuple(size: int) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(tuple([machine.pop() for _ in range(size)][::-1]))


def _append(machine: _Machine, items: list[Any]) -> None:
    target = machine.pop()
    if type(target) is not list:
        raise CheckpointError(f"the pickle appends to {describe(target)}")
    target += items
    machine.push(target)


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.pop()
    if type(target) is not dict or len(items) % 2:
        raise CheckpointError(f"the pickle sets items of {describe(target)}")
    machine.budget.spend(_COST_OF_KEY * len(items))
    for key, value in zip(items[::2], items[1::2], strict=True):
        # No other kind of key: hashing a tuple that is nested deeply enough overflows the C stack.
        if type(key) not in (str, int):
            raise CheckpointError(f"the pickle uses {describe(key)} as a key")
        target[key if type(key) is str else NumberKey(str(key))] = value
    machine.push(target)


def _build(machine: _Machine) -> None:
    """Drop the attributes of an OrderedDict (torch keeps versions of modules there); nothing else may have any."""
    machine.pop()
    target = machine.pop()
    if type(target) is not dict:
        raise CheckpointError(f"the pickle sets attributes of {describe(target)}, which is not allowed")
    machine.push(target)


def _put(machine: _Machine, index: int) -> None:
    value = machine.pop()
    machine.memo[str(index)] = value
    machine.push(value)


def _get(machine: _Machine, index: int) -> None:
    if str(index) not in machine.memo:
        raise CheckpointError(f"the pickle is damaged: it refers to object {index}, which does not exist")
    machine.push(machine.memo[str(index)])


def _global(machine: _Machine, module: Any, name: Any) -> None:
    if type(module) is not str or type(name) is not str:
        raise CheckpointError("the pickle is damaged: the name of a global is not text")
    found = GLOBALS.get((module, name))
    if found is None:
        raise CheckpointError(
            f"unsafe: the pickle asks for {module[:80]!r} {name[:80]!r}, which no dict of tensors needs; it was not "
            "executed. If you trust the file, save its state dict anew with torch"
        )
    machine.push(found)


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    _global(machine, module, name)


def _call(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    if type(function) is not Function or type(arguments) is not tuple:
        raise CheckpointError(f"the pickle calls {describe(function)}, which is not allowed")
    machine.budget.spend(_COST_OF_CALL)
    machine.push(call(function, arguments))


def _persistent(machine: _Machine) -> None:
    machine.budget.spend(_COST_OF_CALL)
    storage = storage_of(machine.pop())
    machine.storages.setdefault(storage.key, storage)
    machine.push(storage)


_INSTRUCTIONS: Final[dict[bytes, Callable[[_Machine], Any]]] = {
    b"\x80": _protocol,
    b"\x95": lambda machine: machine.take(8),  # the length of a frame: a hint for reading, without meaning
    b"(": lambda machine: machine.marks.append(len(machine.stack)),
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"K": lambda machine: machine.push(machine.number("<B")),
    b"M": lambda machine: machine.push(machine.number("<H")),
    b"J": lambda machine: machine.push(machine.number("<i")),
    b"\x8a": _integer,
    b"G": _float,
    b"\x8c": lambda machine: machine.push(machine.text(machine.number("<B"))),
    b"X": lambda machine: machine.push(machine.text(machine.number("<I"))),
    b"}": lambda machine: machine.push({}),
    b"]": lambda machine: machine.push([]),
    b")": lambda machine: machine.push(()),
    b"\x85": _short_tuple(1),
    b"\x86": _short_tuple(2),
    b"\x87": _short_tuple(3),
    b"t": lambda machine: machine.push(tuple(machine.pop_to_mark())),
    b"a": lambda machine: _append(machine, [machine.pop()]),
    b"e": lambda machine: _append(machine, machine.pop_to_mark()),
    b"s": lambda machine: _set_items(machine, [machine.pop(), machine.pop()][::-1]),
    b"u": lambda machine: _set_items(machine, machine.pop_to_mark()),
    b"b": _build,
    b"q": lambda machine: _put(machine, machine.number("<B")),
    b"r": lambda machine: _put(machine, machine.number("<I")),
    b"\x94": lambda machine: _put(machine, len(machine.memo)),
    b"h": lambda machine: _get(machine, machine.number("<B")),
    b"j": lambda machine: _get(machine, machine.number("<I")),
    b"c": lambda machine: _global(machine, machine.line(), machine.line()),
    b"\x93": _stack_global,
    b"R": _call,
    b"Q": _persistent,
}
