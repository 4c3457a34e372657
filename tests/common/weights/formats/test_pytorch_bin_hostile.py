"""Files of torch.save that attack: nothing in them runs, nothing large is allocated, and every end is CheckpointError.

The pickles are written by hand, instruction by instruction, because Python's pickler would not write most of them.
"""

import contextlib
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.formats import safe_pickle
from electra_common.weights.formats.pytorch_bin import read_pytorch_bin
from electra_common.weights.formats.pytorch_bin_writer import write_pytorch_bin
from support import torch_files as torch
from support.damage import damaged_cases
from support.fixtures import TRANSFORMERS
from support.tiny_networks import assert_same_bytes, random_arrays, stored
from support.torch_files import group, integer, items, name_of, pickled, state, storage, tensor, text

SLACK_BYTES = 8 << 20
WRITERS = {"archive": torch.write_archive, "stream": torch.write_stream}
FORMS = pytest.mark.parametrize("write", list(WRITERS.values()), ids=list(WRITERS))


def load(path, what="", *, verify=True):
    """Read all of a file, holding memory against the file's size; only CheckpointError may come out."""
    tracemalloc.start()
    try:
        tensors, _ = read_pytorch_bin(path, verify=verify)
        arrays = {name: np.array(stored_tensor.read()) for name, stored_tensor in tensors.items()}
        for name, array in arrays.items():
            assert (array.shape, array.dtype.name) == (tensors[name].shape, tensors[name].dtype), what
        return arrays
    except (CheckpointError, AssertionError):
        raise
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__} instead of CheckpointError: {error}") from error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        size = path.stat().st_size
        assert peak < 2 * size + SLACK_BYTES, f"{what}: took {peak} bytes for a file of {size}"


@pytest.fixture
def refused(tmp_path):
    """Assert that a file of this pickle is refused, in one line that names it, and that the witness never appears."""

    def refused(write, pickle, message, *arguments, **options):
        path = write(tmp_path / "pytorch_model.bin", pickle, *arguments, **options)
        with pytest.raises(CheckpointError, match=message) as error:
            load(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400 + len(str(path))
        assert [item.name for item in tmp_path.iterdir()] == ["pytorch_model.bin"]

    return refused


# Code ---------------------------------------------------------------------------------------------------------------

# Relative: the tests run in the temporary folder. Any of these would make the witness if it were executed.
COMMAND = "touch witness"
CODE = "open('witness', 'w')"
UNSAFE = "unsafe: the pickle asks for"


def call(module, name, *arguments):
    return name_of(module, name) + group(*arguments) + b"R"


def string(value):
    return f"S'{value}'\n".encode()


ATTACKS = {
    "os.system": (call("os", "system", text(COMMAND)), UNSAFE),
    "posix.system": (call("posix", "system", text(COMMAND)), UNSAFE),
    "subprocess": (call("subprocess", "Popen", text(COMMAND), b"\x88"), UNSAFE),
    "eval": (call("builtins", "eval", text(CODE)), UNSAFE),
    "exec": (call("__builtin__", "exec", text(CODE)), UNSAFE),
    "open": (call("builtins", "open", text("witness"), text("w")), UNSAFE),
    "a chain of getattr": (call("builtins", "getattr", call("builtins", "__import__", text("os")), text("system")),
                           UNSAFE),
    "a getter of operator": (call("operator", "attrgetter", text("system")), UNSAFE),
    "a dotted name": (call("torch", "storage.os.system", text(COMMAND)), UNSAFE),
    "a name with the dot elsewhere": (call("torch", "_utils._rebuild_tensor_v2"), UNSAFE),
    "a dunder of an allowed module": (name_of("collections", "__builtins__"), UNSAFE),
    "torch.load in torch.load": (call("torch.storage", "_load_from_bytes", text("x")), UNSAFE),
    "a whole model": (name_of("transformers.models.electra.modeling_electra", "ElectraModel") + b")\x81", UNSAFE),
    "a parameter with attributes": (call("torch._utils", "_rebuild_parameter_with_state"), UNSAFE),
    "a subclass of tensors": (call("torch._tensor", "_rebuild_from_type_v2"), UNSAFE),
    "a numpy array": (call("numpy.core.multiarray", "_reconstruct"), UNSAFE),
    "STACK_GLOBAL": (text("os") + text("system") + b"\x93" + group(text(COMMAND)) + b"R", UNSAFE),
    "STACK_GLOBAL of short strings": (b"\x8c\x02os\x8c\x06system\x93" + group(text(COMMAND)) + b"R", UNSAFE),
    "STACK_GLOBAL of numbers": (integer(1) + integer(2) + b"\x93", "the name of a global is not text"),
    "STACK_GLOBAL of a dict": (text("os") + b"}\x93", "the name of a global is not text"),
    "INST": (b"(" + string(COMMAND) + b"ios\nsystem\n", "the instruction STRING"),
    "INST of unicode": (b"(" + text(COMMAND) + b"ios\nsystem\n", "the instruction INST"),
    "OBJ": (b"(" + name_of("collections", "OrderedDict") + b"o", "the instruction OBJ"),
    "NEWOBJ": (name_of("collections", "OrderedDict") + b")\x81", "the instruction NEWOBJ"),
    "NEWOBJ_EX": (name_of("collections", "OrderedDict") + b")}\x92", "the instruction NEWOBJ_EX"),
    "EXT1": (b"\x82\x01", "the instruction EXT1"),
    "EXT2": (b"\x83\x01\x00", "the instruction EXT2"),
    "EXT4": (b"\x84\x01\x00\x00\x00", "the instruction EXT4"),
    "PERSID": (b"Pstorage\n", "the instruction PERSID"),
    "NEXT_BUFFER": (b"\x97", "the instruction NEXT_BUFFER"),
    "DUP": (b"}2", "the instruction DUP"),
    "POP": (b"}}0", "the instruction POP"),
    "an instruction that does not exist": (b"\xff", "the instruction 0xff"),
    "a call of a class": (name_of("torch", "FloatStorage") + b")R", "calls an object of type Dtype"),
    "a call of text": (text("os.system") + group(text(COMMAND)) + b"R", "calls an object of type str"),
    "a call with a list": (name_of("collections", "OrderedDict") + b"]R", "calls a function"),
    "BUILD on a function": (name_of("torch._utils", "_rebuild_tensor_v2") + items(x=text("y")) + b"b",
                            "sets attributes of a function"),
    "BUILD on a class": (name_of("torch", "FloatStorage") + items(dtype=text("y")) + b"b",
                         "sets attributes of an object of type Dtype"),
    "BUILD on a tensor": (tensor() + items(shape=text("y")) + b"b", "sets attributes of a tensor"),
    "BUILD on a storage": (storage() + group(b"N", items(numel=integer(7))) + b"b", "sets attributes of a storage"),
    "BUILD on a tuple": (b")}b", "sets attributes of an object of type tuple"),
    "APPENDS to a function": (name_of("torch", "Size") + b"(" + text("x") + b"e", "appends to a function"),
    "APPEND to a dict": (b"}Na", "appends to an object of type dict"),
    "SETITEM of a list": (b"]" + integer(0) + b"Ns", "sets items of an object of type list"),
    "SETITEMS of one": (b"}(" + text("x") + b"u", "sets items of an object of type dict"),
}  # fmt: skip


@FORMS
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pickle_that_tries_to_run_code_is_refused(attack, write, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle, message = ATTACKS[attack]
    refused(write, state(x=tensor(), y=pickle), message)


@pytest.mark.parametrize("attack", ["os.system", "STACK_GLOBAL", "INST of unicode", "EXT1"])
@pytest.mark.parametrize("place", ["magic", "protocol", "system", "keys"])
def test_the_other_pickles_of_a_stream_are_no_more_powerful(place, attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attack, _ = ATTACKS[attack]
    parts = {"magic": torch.MAGIC, "protocol": torch.PROTOCOL, "system": torch.LITTLE_ENDIAN,
             "state": state(x=tensor()), "keys": pickled(b"]" + text("0") + b"a")}  # fmt: skip
    if place == "magic":  # the first bytes must be right, or the file is not looked into at all
        parts[place] = torch.MAGIC[:-1] + attack + b"."
    else:
        parts[place] = pickled(attack)
    path = tmp_path / "file"
    path.write_bytes(b"".join(parts.values()) + struct.pack("<q", 15) + bytes(60))
    with pytest.raises(CheckpointError):
        load(path)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


# Lies ---------------------------------------------------------------------------------------------------------------

HOOK = b"\x89" + items(hook=text("x"))
LIES = {
    "a storage of more than there is": (tensor(of=storage(numel=16)), r"64|16"),
    "a storage of less than there is": (tensor((3,), (1,), of=storage(numel=14)), r"56|14"),
    "a huge storage": (tensor(of=storage(numel=2**40)), r"storage"),
    "a storage beyond all": (tensor(of=storage(numel=2**70)), f"the size of a storage is {2**70}"),
    "a negative storage": (tensor(of=storage(numel=-15)), "the size of a storage is -15"),
    "a storage of true": (tensor(of=group(text("storage"), name_of("torch", "FloatStorage"), text("0"), text("cpu"),
                                          b"\x88") + b"Q"), "the size of a storage is an object of type bool"),
    "a storage of another dtype": (tensor(of=storage(kind=("torch", "DoubleStorage"))), "60|388"),
    "a storage of a dtype": (tensor(of=storage(kind=("torch", "float32"))), "a storage lacks its class"),
    "a storage of a function": (tensor(of=storage(kind=("torch", "Size"))), "a storage lacks its class"),
    "a quantised storage": (tensor(of=storage(kind=("torch", "QInt8Storage"))), UNSAFE),
    "a module": (group(text("module"), b"NNN)") + b"Q", "not a storage"),
    "a reference that is text": (text("0") + b"Q", "not a storage"),
    "a reference to a function": (group(name_of("torch", "Size"), b"NNNN") + b"Q", "not a storage"),
    "a view of a storage": (tensor(of=storage(extra=group(text("1"), integer(0), integer(15)))), "views of storages"),
    "a shape beyond the storage": (tensor((4, 5)), "60 bytes cannot hold"),
    "an offset beyond the storage": (tensor(offset=1), "reach beyond the 60 bytes"),
    "strides beyond the storage": (tensor((3, 5), (6, 1)), "reach beyond the 60 bytes"),
    "an offset beyond all": (tensor(offset=2**65), "the offset of a tensor is"),
    "a negative offset": (tensor(offset=-1), "the offset of a tensor is -1"),
    "a negative axis": (tensor((-3, -5)), "the shape of a tensor is -3"),
    "a negative stride": (tensor((3, 5), (-5, 1), 10), "the strides of a tensor is -5"),
    "a giant axis of stride 0": (tensor((2**40,), (0,)), "cannot hold"),
    "a giant axis of stride 0 beside an empty one": (tensor((0, 2**61), (0, 0)), "cannot hold"),
    "a shape that wraps around": (tensor((2**61, 2**61), (0, 0)), "cannot hold"),
    "a stride that wraps around": (tensor((3, 5), (2**61, 1)), "reach beyond"),
    "many axes": (tensor((1,) * 9, (1,) * 9), "a tuple of at most 8 numbers"),
    "more axes than strides": (tensor((3, 5), (1,)), "2 axes with 1 strides"),
    "a shape that is a list": (name_of("torch._utils", "_rebuild_tensor_v2")
                               + group(storage(), integer(0), b"]", torch.sizes((1,)), b"\x89}") + b"R", "a tuple of"),
    "a tensor of text": (tensor(of=text("0")), "a tensor whose storage is an object of type str"),
    "a tensor of a tensor": (tensor(of=tensor()), "a tensor whose storage is a tensor"),
    "a tensor with hooks": (tensor(more=HOOK), "hooks or metadata"),
    "a conjugated tensor": (tensor(more=b"\x89}" + items(conj=b"\x88")), "hooks or metadata"),
    "a tensor with few arguments": (call("torch._utils", "_rebuild_tensor_v2", storage()), "with 1 arguments"),
    "a tensor with many arguments": (tensor(more=b"\x89}}N"), "with 8 arguments"),
    "a dtype that is none": (tensor(function="_rebuild_tensor_v3", more=b"\x89}" + text("float32")), "whose dtype is"),
    "a wider dtype": (tensor(function="_rebuild_tensor_v3", more=b"\x89}" + name_of("torch", "float64")),
                      "cannot hold"),
    "a parameter of nothing": (call("torch._utils", "_rebuild_parameter", b"N", b"\x89", b"}"), "a parameter made of"),
    "an OrderedDict of something": (call("collections", "OrderedDict", b"]"), "with 1 arguments"),
    "a size of text": (call("torch", "Size", text("35")), "torch.Size must be a tuple"),
    "a key that is a tuple": (b"})Ns", "an object of type tuple as a key"),
    "a name that is not UTF-8": (b"X\x01\x00\x00\x00\xff", "is not UTF-8"),
    "a global whose name does not end": (b"c" + b"x" * 300, "does not end"),
    "a mark too few": (b"t", "damaged"),
    "an unknown object": (b"h\x07", "refers to object 7"),
    "an operand too few": (b"((R", "lacks its operand"),
}  # fmt: skip


@FORMS
@pytest.mark.parametrize("lie", LIES)
def test_a_pickle_that_lies_is_refused(lie, write, refused):
    pickle, message = LIES[lie]
    refused(write, state(x=pickle), message)


@FORMS
@pytest.mark.parametrize("end", [b"", b"}", b"})", b"(}"])
def test_a_pickle_that_does_not_hold_one_object_is_refused(end, write, refused):
    refused(write, b"\x80\x02" + end + (b"." if end != b"}" else b""), r"damaged|unsafe")


@FORMS
@pytest.mark.parametrize("protocol", [0, 1, 6, 255])
def test_an_unknown_protocol_is_refused(protocol, write, refused):
    refused(write, pickled(items(x=tensor()), protocol), f"has protocol {protocol}")


@FORMS
def test_many_tensors_of_one_storage_are_refused(write, refused):
    """Each is possible, but a file of 10 MB with hundreds of them would be a model of gigabytes."""
    refused(write, state(**{f"x{number}": tensor() for number in range(500)}), "x4: more than 4 copies of the 60 bytes")


# Bombs --------------------------------------------------------------------------------------------------------------

MANY = 2_000_000
FAR_MORE = "far more objects"
BOMBS = {
    "dicts": (b"}" * MANY, FAR_MORE),
    "lists": (b"]" * MANY, FAR_MORE),
    "marks": (b"(" * MANY, FAR_MORE),
    "lists in lists": (b"]" * MANY + b"a" * (MANY - 1), FAR_MORE),
    "tuples in tuples": (b")" + b"\x85" * MANY, FAR_MORE),
    "deep tuple as a key": (b"})" + b"\x85" * 40_000 + b"Ns", "an object of type tuple as a key"),
    "deep tuple as a shape": (tensor((3,), (1,)).replace(torch.sizes((3,)), b")" + b"\x85" * 40_000), "a tensor is an"),
    "deep tuple as a storage": (b")" + b"\x85" * 40_000 + b"Q", "not a storage"),
    "deep list as a value": (b"]" * 20_000 + b"a" * 19_999, "expected a tensor"),
    "a dict in itself": (b"}q\x00" + text("x") + b"h\x00s", "expected a tensor"),
    "a list that doubles itself": (b"]q\x00Na" + b"h\x00(h\x00h\x00e" * 300_000, FAR_MORE),
    "tuples that double": (b")" + b"q\x00h\x00\x86" * 400_000, FAR_MORE),
    "entries of the memo": (b"}" + b"".join(b"r" + struct.pack("<I", number) for number in range(400_000)), FAR_MORE),
    "memoised dicts": (b"}\x94" * 800_000, FAR_MORE),
    "keys of a dict": (b"}(" + b"".join(integer(n) + b"N" for n in range(200_000)) + b"u", FAR_MORE),
    "texts of wide characters": (text("\U0001f600" * 20_000) + b"0", "the instruction POP"),
    "tensors": (b"]q\x00(" + tensor() * 8000 + b"e", FAR_MORE),
    "ordered dicts": (name_of("collections", "OrderedDict") + b"q\x00" + b"h\x00)R" * 200_000, FAR_MORE),
    "text longer than the file": (b"X\xff\xff\xff\xff", "truncated or damaged"),
    "text a little longer than the file": (b"X\xff\xff\x07\x00", "truncated or damaged"),
    "long text": (b"\x8d" + struct.pack("<Q", 2**62), "the instruction BINUNICODE8"),
    "bytes longer than the file": (b"B\xff\xff\xff\x7f", "the instruction BINBYTES"),
    "a long byte array": (b"\x96" + struct.pack("<Q", 2**40), "the instruction BYTEARRAY8"),
    "a huge integer": (b"\x8b\x00\x00\x10\x00" + b"\x7f" * 2**20, "the instruction LONG4"),
    "an integer of 255 bytes": (b"\x8a\xff" + b"\x7f" * 255, "an integer of 255 bytes"),
    "an integer of digits": (b"L" + b"9" * 100_000 + b"L\n", "the instruction LONG"),
    "text times a number": (call("_operator", "mul", text("x"), integer(2**30)), UNSAFE),
    "bytes of a length": (call("builtins", "bytes", integer(2**30)), UNSAFE),
    "a range": (call("builtins", "range", integer(2**62)), UNSAFE),
    "a set": (b"\x8f", "the instruction EMPTY_SET"),
}  # fmt: skip


# Both containers give their pickle to the same reader, so the older one need not hold all of them.
STREAMED = ("lists in lists", "tuples that double", "text longer than the file")


@pytest.mark.parametrize(
    ("form", "bomb"), [*(("archive", bomb) for bomb in BOMBS), *(("stream", bomb) for bomb in STREAMED)]
)
def test_a_pickle_that_would_take_memory_is_refused(form, bomb, refused):
    """``refused`` measures the memory."""
    pickle, message = BOMBS[bomb]
    refused(WRITERS[form], state(y=tensor(), x=pickle), message)


@FORMS
def test_a_frame_and_a_high_memo_index_cost_nothing(write, tmp_path):
    pickle = pickled(b"\x95" + struct.pack("<Q", 2**63) + items(x=tensor() + b"r" + struct.pack("<I", 2**32 - 1)), 4)
    assert list(load(write(tmp_path / "file", pickle))) == ["x"]


def test_a_pickle_of_many_megabytes_is_refused(tmp_path, refused):
    refused(torch.write_archive, state(x=text("x" * (9 << 20))), "data.pkl has .* bytes")


def test_no_file_can_choose_where_its_numbers_meet_in_a_dict():
    """Python hashes a whole number by its rest after division by 2**61 - 1, and looks on as that number's bits say."""
    numbers = [7, *(count * (2**61 - 1) + 7 for count in range(1, 40))]
    pickle = b"}(" + b"".join(b"\x8a\x0c" + number.to_bytes(12, "little") + b"N" for number in numbers) + b"u"
    machine = safe_pickle._Machine(memoryview(pickle + b"r\x07\0\0\0."), 0, safe_pickle.Budget(1 << 20))
    value = machine.run()
    assert [str(key) for key in value] == [str(number) for number in numbers]
    assert len({hash(key) for key in value}) == len(numbers)
    assert hash(7) not in map(hash, [*value, *machine.memo])


def test_a_number_and_its_digits_are_two_keys():
    pickle = pickled(b"}(" + integer(3) + integer(5) + text("3") + integer(7) + integer(3) + integer(9) + b"u")
    value = safe_pickle.load_pickle(memoryview(pickle), 0, safe_pickle.Budget(1 << 20)).value
    assert value == {safe_pickle.NumberKey("3"): 9, "3": 7}


# Containers ---------------------------------------------------------------------------------------------------------

GOOD = state(x=tensor())
ARCHIVE_LIES = {
    "compressed members": ({"compression": zipfile.ZIP_DEFLATED, "data": {"0": bytes(1 << 20)}}, "is compressed"),
    "a big-endian file": ({"byteorder": b"big"}, "the byte order is b'big'"),
    "no byte order": ({"byteorder": b""}, "the byte order is b''"),
    "a program": ({"code/__torch__.py": b"x", "constants.pkl": b"."}, "a TorchScript archive"),
    "another folder": ({"extra/file": b"x"}, "holds 'extra/file'"),
    "a deeper folder": ({"data/deep/0": b"x"}, "holds 'data/deep/0'"),
    "a way out": ({"../../witness": b"x"}, "could point out of a folder"),
    "no storage": ({"data": {"1": bytes(60)}}, "storage '0' is missing"),
    "a storage that is too short": ({"data": {"0": bytes(59)}}, "has 59 bytes, 60 expected"),
    "many members": ({"data": {str(number): b"" for number in range(10_001)}}, "10003 members"),
}


@pytest.mark.parametrize("lie", ARCHIVE_LIES)
def test_an_archive_that_lies_is_refused(lie, refused):
    options, message = ARCHIVE_LIES[lie]
    refused(torch.write_archive, GOOD, message, **options)


MEMBERS = {
    "no pickle": ((("a/data/0", bytes(60)),), "without data.pkl"),
    "no member": ((), "not a file of torch.save"),
    "no folder": ((("data.pkl", GOOD), ("data/0", bytes(60))), "2 folders"),
    "two folders": ((("a/data.pkl", GOOD), ("b/data/0", bytes(60))), "2 folders"),
    "a pickle twice": ((("a/data.pkl", GOOD), ("a/data/0", bytes(60)), ("a/data.pkl", GOOD)), "two members are called"),
    "a storage twice": (
        (("a/data.pkl", GOOD), ("a/data/0", bytes(60)), ("a/data/0", bytes(60))),
        "two members are called",
    ),
    "bytes behind the pickle": ((("a/data.pkl", GOOD + b"x"), ("a/data/0", bytes(60))), "data.pkl ends at byte"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")  # of zipfile, which writes what is asked for all the same
@pytest.mark.parametrize("case", MEMBERS)
def test_an_archive_of_other_members_is_refused(case, tmp_path):
    members, message = MEMBERS[case]
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "file")


def change(content, position, layout, value):
    content[position : position + struct.calcsize(layout)] = struct.pack(layout, value)


# In the directory: (offset in the entry of data/0, layout, value, message); "local" counts from the member's header.
HEADERS = {
    "encrypted": (8, "<H", 1, "encrypted or otherwise special"),
    "strongly encrypted": (8, "<H", 0x41, "encrypted or otherwise special"),
    "patched": (8, "<H", 0x20, "encrypted or otherwise special"),
    "compressed": (10, "<H", 8, "its header and the zip table differ"),
    "stored size": (20, "<I", 59, "59 bytes stored as they are, 60 told"),
    "size": (24, "<I", 61, "60 bytes stored as they are, 61 told"),
    "size in zip64": (24, "<I", 2**32 - 1, "no Zip64 field for its size"),
    "length of the name": (28, "<H", 7, "damaged"),
    "huge name": (28, "<H", 65535, "no usual entry of a zip table"),
    "huge extra": (30, "<H", 65535, "damaged"),
    "huge comment": (32, "<H", 65535, "damaged"),
    "another disk": (34, "<H", 1, "no usual entry of a zip table"),
    "offset outside": (42, "<I", 2**31, "beyond the data"),
    "offset of another": (42, "<I", 0, "its header and the zip table differ"),
    "no entry": (0, "<I", 0, "no usual entry of a zip table"),
}
LOCAL_HEADERS = {
    "signature": (0, "<I", 0), "flags": (6, "<H", 8), "method": (8, "<H", 8), "checksum": (14, "<I", 7),
    "stored size": (18, "<I", 7), "size": (22, "<I", 7), "name": (30, "<B", 7),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_a_directory_that_lies_is_refused(case, tmp_path):
    offset, layout, value, message = HEADERS[case]
    path = torch.write_archive(tmp_path / "file", GOOD)
    content = bytearray(path.read_bytes())
    change(content, content.rindex(b"any name/data/0") - 46 + offset, layout, value)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load(path)


@pytest.mark.parametrize("case", LOCAL_HEADERS)
def test_a_header_that_differs_from_the_directory_is_refused(case, tmp_path):
    path = torch.write_archive(tmp_path / "file", GOOD)
    content = bytearray(path.read_bytes())
    offset, layout, value = LOCAL_HEADERS[case]
    change(content, content.index(b"any name/data/0") - 30 + offset, layout, value)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="its header and the zip table differ"):
        load(path)


@pytest.mark.parametrize("extra", [60, 65535])
def test_members_that_overlap_are_refused(extra, tmp_path):
    """A header that skips ahead would let one member's bytes be another's, too."""
    path = torch.write_archive(tmp_path / "file", GOOD)
    content = bytearray(path.read_bytes())
    change(content, content.index(b"any name/data/0") - 30 + 28, "<H", extra)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="two members overlap"):
        load(path)


@pytest.mark.parametrize(("offset", "layout", "value"), [(4, "<H", 1), (8, "<H", 2), (10, "<H", 9), (12, "<I", 5),
                                                         (16, "<I", 2**31), (20, "<H", 3)])  # fmt: skip
def test_an_end_of_the_archive_that_lies_is_refused(offset, layout, value, tmp_path):
    path = torch.write_archive(tmp_path / "file", GOOD)
    content = bytearray(path.read_bytes())
    change(content, len(content) - 22 + offset, layout, value)
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load(path)


def test_an_archive_saved_without_checksums_is_read(tmp_path):
    """torch.serialization.set_crc32_options(False) makes all of them 0."""
    path = torch.write_archive(tmp_path / "file", GOOD)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            change(content, info.header_offset + 14, "<I", 0)
            change(content, content.rindex(info.filename.encode()) - 46 + 16, "<I", 0)
    path.write_bytes(content)
    assert list(load(path)) == ["x"]


STREAM_LIES = {
    "a big-endian file": (
        {"start": torch.MAGIC + torch.PROTOCOL + pickled(items(little_endian=b"\x89"))},
        "big-endian",
    ),
    "no system": ({"start": torch.MAGIC + torch.PROTOCOL + pickled(b"]")}, "big-endian"),
    "another protocol": ({"start": torch.MAGIC + pickled(integer(1002)) + torch.LITTLE_ENDIAN}, "protocol 1001"),
    "a protocol of text": ({"start": torch.MAGIC + pickled(text("1001")) + torch.LITTLE_ENDIAN}, "protocol 1001"),
    "no keys": ({"keys": []}, "the listed storages are not the ones"),
    "a key twice": ({"keys": ["0", "0"]}, "the listed storages are not the ones"),
    "another key": ({"keys": ["1"]}, "the listed storages are not the ones"),
    "a longer storage": ({"counts": {"0": 16}}, "has 16 elements, its tensors expect 15"),
    "a negative storage": ({"counts": {"0": -1}}, "has -1 elements"),
    "a huge storage": ({"counts": {"0": 2**62}}, "elements, its tensors expect 15"),
    "bytes behind": ({"end": b"x"}, "the storages end at byte"),
    "too few bytes": ({"data": {"0": bytes(59)}, "counts": {"0": 15}}, "the storages end at byte"),
}


@pytest.mark.parametrize("lie", STREAM_LIES)
def test_a_stream_that_lies_is_refused(lie, refused):
    options, message = STREAM_LIES[lie]
    refused(torch.write_stream, GOOD, message, **options)


# Damage -------------------------------------------------------------------------------------------------------------

CASES = damaged_cases(250)
ARRAYS = random_arrays({"first": (3, 5), "second": (7,), "third": (2, 3, 11), "fourth": ()})


def write_small_stream(path):
    """Write a stream of a few tensors, each in a storage of its own."""
    data = {str(number): array.tobytes() for number, array in enumerate(ARRAYS.values())}
    strides = [tuple(step // array.itemsize for step in array.strides) for array in ARRAYS.values()]
    pickle = state(**{
        name: tensor(array.shape, strides[number], of=storage(str(number), numel=array.size))
        for number, (name, array) in enumerate(ARRAYS.items())
    })  # fmt: skip
    torch.write_stream(path, pickle, data)


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    with open(folder / "ours", "xb") as stream:
        write_pytorch_bin(stream, stored(ARRAYS), shared={"tied": "first"})
    write_small_stream(folder / "stream")
    return {
        "transformers": TRANSFORMERS / "base-like" / "ForMaskedLM" / "pytorch_model.bin",
        "ours": folder / "ours",
        "stream": folder / "stream",
    }


@pytest.mark.parametrize("name", ["transformers", "ours", "stream"])
def test_a_truncated_file_is_always_refused(name, good_files, tmp_path):
    content = good_files[name].read_bytes()
    for seed in range(CASES):
        chooser = random.Random(f"truncate {name} {seed}")
        length = chooser.randrange(len(content))
        (tmp_path / "file").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load(tmp_path / "file", f"seed {seed}: cut to {length} of {len(content)} bytes")


@pytest.mark.parametrize("name", ["transformers", "ours"])
def test_a_flipped_bit_in_an_archive_is_refused_or_harmless(name, good_files, tmp_path):
    content, expected = good_files[name].read_bytes(), load(good_files[name])
    assert expected
    refused = 0
    for seed in range(CASES):
        chooser = random.Random(f"flip {name} {seed}")
        position = chooser.randrange(len(content) // 2 if seed % 2 else 0, len(content))  # more where the directory is
        what = f"seed {seed}: byte {position} of {len(content)}"
        (tmp_path / "file").write_bytes(flipped(content, position, chooser.randrange(8)))
        try:
            assert_same_bytes(expected, load(tmp_path / "file", what))
        except CheckpointError:
            refused += 1
    assert refused > CASES // 2  # the others are padding, dates and the like


def flipped(content, position, bit):
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed)


def test_a_flipped_bit_in_the_data_of_a_stream_gives_at_most_that_bit(good_files, tmp_path):
    """A stream has no checksums; then the arrays are the file's bytes, no others."""
    content = good_files["stream"].read_bytes()
    assert_same_bytes(ARRAYS, load(good_files["stream"]))
    places = {name: content.index(array.tobytes()) for name, array in ARRAYS.items()}
    for seed in range(CASES):
        chooser = random.Random(f"flip data {seed}")
        name = chooser.choice(list(ARRAYS))
        position = places[name] + chooser.randrange(ARRAYS[name].nbytes)
        changed = flipped(content, position, chooser.randrange(8))
        (tmp_path / "file").write_bytes(changed)
        expected = {
            name: np.frombuffer(changed, "f4", array.size, places[name]).reshape(array.shape)
            for name, array in ARRAYS.items()
        }
        assert_same_bytes(expected, load(tmp_path / "file", f"seed {seed}"))


def test_a_flipped_bit_in_the_pickles_of_a_stream_is_refused_or_still_reads_its_storages(good_files, tmp_path):
    """A name or a shape can change unseen where nothing is checked, but what is read is bytes of the storages."""
    content = good_files["stream"].read_bytes()
    data = b"".join(array.tobytes() for array in ARRAYS.values())
    end, refused = content.index(ARRAYS["first"].tobytes()), 0
    for seed in range(4 * CASES):
        chooser = random.Random(f"flip pickle {seed}")
        (tmp_path / "file").write_bytes(flipped(content, chooser.randrange(end), chooser.randrange(8)))
        try:
            found = load(tmp_path / "file", f"seed {seed}")
        except CheckpointError:
            refused += 1
        else:
            words = {data[start : start + 4] for start in range(0, len(data), 4)}
            for array in found.values():
                raw = array.tobytes()
                assert array.dtype != "float32" or all(raw[at : at + 4] in words for at in range(0, len(raw), 4))
    assert refused > 2 * CASES


@pytest.mark.parametrize("name", ["transformers", "ours", "stream"])
def test_several_changed_bytes_end_in_an_error_or_in_arrays(name, good_files, tmp_path):
    """With checksums left unread, so that the parsers themselves have to stand it."""
    content = good_files[name].read_bytes()
    for seed in range(CASES):
        chooser = random.Random(f"noise {name} {seed}")
        changed = bytearray(content)
        for _ in range(chooser.randrange(1, 20)):
            near_ends = chooser.choice((0, len(content) - min(len(content), 3000)))
            changed[near_ends + chooser.randrange(min(len(content), 3000))] = chooser.choice((0, 1, 127, 255, 40, 116))
        (tmp_path / "file").write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            load(tmp_path / "file", f"seed {seed}", verify=False)
