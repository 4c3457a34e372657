"""tf_model.h5 files that are damaged, lie, or reach for other files: an error of ours, never more.

Files are made with h5py, an independent writer; some are then changed byte by byte.
"""

import random
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.formats import hdf5, hdf5_heap
from electra_common.weights.formats.keras_file import read_keras_file
from electra_common.weights.formats.tf_h5 import read_tf_h5
from support.fixtures import TRANSFORMERS
from support.keras_h5 import expected_of, layers_of, write_keras
from support.thoroughness import sample

CASES = sample(62, thorough=250)
SLACK_BYTES = 1 << 20
NAME = "tf_electra_model_3/electra/x:0"


def refuse(path, message):
    """Check that a file is refused with one line that names it, that it takes little memory and changes no file."""
    before = {item.name: item.read_bytes() for item in path.parent.iterdir()}
    with pytest.raises(CheckpointError, match=message) as caught:
        read_measured(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert before == {item.name: item.read_bytes() for item in path.parent.iterdir()}


def read_measured(path):
    """Read every tensor, with an eye on the memory that it takes."""
    tracemalloc.start()
    try:
        return {name: (tensor, tensor.read()) for name, tensor in read_tf_h5(path)[0].items()}
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * path.stat().st_size + SLACK_BYTES


@pytest.fixture
def changed(tmp_path):
    """Make a good file and let a function change it through h5py; it is given the file and the layer's group."""

    def make(change, listed=(NAME,)):
        path = write_keras(tmp_path / "tf_model.h5", {"electra": {}})
        with h5py.File(path, "a") as file:
            change(file, file["electra"])
            del file["electra"].attrs["weight_names"]
            file["electra"].attrs["weight_names"] = [name.encode() for name in listed]
        return path

    return make


# Reaching out of the file -------------------------------------------------------------------------------------------


def secret(path):
    """Write a file that must not be read."""
    with h5py.File(path.parent / "secret.h5", "w") as file:
        file["x"] = np.full((3, 5), 7, "f4")
    return path.parent / "secret.h5"


def external_link(file, group):
    group[NAME] = h5py.ExternalLink(str(secret(_path(file))), "/x")


def _path(file):
    return Path(file.filename)


def soft_link(file, group):
    file["hidden"] = np.ones(3, "f4")
    group[NAME] = h5py.SoftLink("/hidden")


def dangling_link(file, group):
    group[NAME] = h5py.SoftLink("/../../etc/passwd")


def second_hard_link(file, group):
    group[NAME] = np.ones(3, "f4")
    group["again"] = group[NAME]


def cycle(file, group):
    group["tf_electra_model_3/electra"] = group


def cycle_to_the_root(file, group):
    group["root"] = file["/"]


def external_storage(file, group):
    (_path(file).parent / "raw").write_bytes(bytes(60))
    group.create_dataset(NAME, (3, 5), "f4", external=[(str(_path(file).parent / "raw"), 0, 60)])


def virtual(file, group):
    layout = h5py.VirtualLayout((3, 5), "f4")
    layout[:] = h5py.VirtualSource(str(secret(_path(file))), "x", (3, 5))
    group.create_virtual_dataset(NAME, layout)


OUT_OF_THE_FILE = {
    "a link to another file": (external_link, "is a link to another file, which is refused"),
    "a link to another name": (soft_link, "is a link to another name, which is refused"),
    "a link to nothing": (dangling_link, "is a link to another name, which is refused"),
    "two names for one dataset": (second_hard_link, "a second name of one object"),
    "a group in itself": (cycle, "a second name of one object"),
    "the root in a group": (cycle_to_the_root, "a second name of one object"),
    "data in another file": (external_storage, "its data lies in another file, which is refused"),
    "a virtual dataset": (virtual, "virtual dataset"),
}


@pytest.mark.parametrize("case", OUT_OF_THE_FILE)
def test_nothing_outside_the_file_is_read(case, changed):
    change, message = OUT_OF_THE_FILE[case]
    refuse(changed(change), message)


@pytest.mark.parametrize("libver", ["v108", "latest"])
@pytest.mark.parametrize("link", [h5py.ExternalLink("secret.h5", "/x"), h5py.SoftLink("/hidden")], ids=["file", "name"])
@pytest.mark.parametrize("others", [0, 12])
def test_links_of_newer_files_are_refused(libver, link, others, tmp_path):
    path = write_keras(tmp_path / "tf_model.h5", layers_of(others), libver=libver)
    with h5py.File(path, "a", libver=libver) as file:
        file["electra"]["tf_electra_model_3"].require_group("electra/encoder")["link"] = link
    refuse(path, "is a link to another (file|name), which is refused")


# Types and sizes ----------------------------------------------------------------------------------------------------


def dataset(data=None, **options):
    return lambda file, group: group.create_dataset(NAME, data=data, **options)


def committed(file, group):
    file["type"] = np.dtype("f4")
    group.create_dataset(NAME, (3,), file["type"])


def no_attribute(file, group):
    group[NAME] = np.ones(3, "f4")
    del file.attrs["layer_names"]


def numbers_for_names(file, group):
    file.attrs["layer_names"] = np.arange(3)


def layer_repeated(file, group):
    group[NAME] = np.ones(3, "f4")
    file.attrs.create("layer_names", np.array([b"electra"] * 200, "S300"))


def deep(file, group):
    group["/".join(["a"] * 99)] = np.ones(3, "f4")


TYPES = {
    "text": (dataset("secret"), r"unsupported type \(variable-length"),
    "a list of texts": (dataset(np.array([b"ab", b"c"])), r"unsupported type \(string"),
    "objects": (dataset(dtype=h5py.vlen_dtype(np.float32), shape=(3,)), r"unsupported type \(variable-length"),
    "a compound": (dataset(np.zeros(3, [("a", "f4"), ("b", "i4")])), r"unsupported type \(compound"),
    "complex numbers": (dataset(np.ones(3, "c8")), r"unsupported type \(compound"),
    "booleans": (dataset(np.ones(3, bool)), r"unsupported type \(enumeration"),
    "arrays": (dataset(dtype=np.dtype(("f4", (3,))), shape=(5,)), r"unsupported type \(array"),
    "opaque bytes": (dataset(np.zeros(3, "V7")), r"unsupported type \(opaque"),
    "references": (dataset(dtype=h5py.ref_dtype, shape=(3,)), r"unsupported type \(reference"),
    "regions": (dataset(dtype=h5py.regionref_dtype, shape=(3,)), r"unsupported type \(reference"),
    "big-endian numbers": (dataset(np.ones(3, ">f4")), r"unsupported type \(float; plain little-endian"),
    "a committed type": (committed, "committed"),
    "no shape at all": (dataset(h5py.Empty("f4")), "an empty one, which is not supported"),
    "too many axes": (dataset(np.ones((1,) * 20, "f4")), "a tensor of 20 axes"),
    "nothing stored": (dataset(shape=(10**6, 10**6), dtype="f4"), "are declared, nothing is stored"),
    "no chunks stored": (dataset(shape=(10**6, 10**6), dtype="f4", chunks=(10**3, 10**3)), "nothing is stored"),
    "a shape beyond numpy": (dataset(shape=(2**61, 0), dtype="f4", maxshape=(None, 1)), "a shape of"),
    "a bomb": (dataset(np.zeros((2000, 1000), "f4"), compression=9, chunks=(500, 1000)), "refused as a bomb"),
    "an unknown filter": (dataset(np.ones((3, 5), "f4"), compression="lzf"), "are not supported"),
    "a checksum filter": (dataset(np.ones((3, 5), "f4"), fletcher32=True), "are not supported"),
    "no list of layers": (no_attribute, "not a tf_model.h5: the attribute layer_names is missing"),
    "numbers for names": (numbers_for_names, "text expected in an attribute"),
    "one layer very often": (layer_repeated, "is listed twice"),
    "depth": (deep, "far too many objects"),
}  # fmt: skip


@pytest.mark.parametrize("case", TYPES)
def test_what_is_no_plain_tensor_is_refused(case, changed):
    change, message = TYPES[case]
    refuse(changed(change), message)


LISTS = {
    "a missing variable": (("m/y:0",), "is listed and not there"),
    "a step up": (("../secret/x:0",), "is listed and not there"),
    "an absolute name": (("/electra/" + NAME,), "is listed and not there"),
    "an empty name": (("",), "is listed and not there"),
    "a line break": (("m/x\n:0",), "is listed and not there"),
    "a name twice": ((NAME, NAME), "is listed twice"),
    "a variable left out": ((), "is there and not listed"),
    "a very long name": (("x" * 5000,), "a text of 5000 bytes"),
}


@pytest.mark.parametrize("case", LISTS)
def test_lists_must_name_what_is_there(case, changed):
    listed, message = LISTS[case]
    refuse(changed(dataset(np.ones(3, "f4")), listed), message)


def test_a_file_of_keras_3_is_refused(tmp_path):
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 5), "f4")
    refuse(tmp_path / "model.weights.h5", "not a tf_model.h5: the attribute layer_names is missing")


def test_a_file_behind_other_bytes_is_refused(tmp_path):
    with h5py.File(tmp_path / "file", "w", userblock_size=512) as file:
        file["x"] = np.ones(3)
    refuse(tmp_path / "file", "the superblock")
    content = bytearray((tmp_path / "file").read_bytes())
    content[:512] = content[512:1024]
    (tmp_path / "file").write_bytes(content)
    refuse(tmp_path / "file", "512 bytes before it, which is not supported|the superblock")


# Bytes changed by hand ----------------------------------------------------------------------------------------------


def replaced(path, old, new, count=1):
    content = path.read_bytes()
    assert content.count(old) >= count
    path.write_bytes(content.replace(old, new, count))
    return path


@pytest.mark.parametrize("name", [b"..\0", b".\0\0", b"/\0\0", b"\0\0\0", b"a/b", b"\xff\xfe\xfd", b"a\nb", b"a\\b"])
def test_a_member_with_a_dangerous_name_is_refused(name, changed):
    path = changed(lambda file, group: group.create_dataset("qqq", data=np.ones(3, "f4")), ("qqq",))
    refuse(replaced(path, b"qqq\0", name + b"\0"), "is no name of a member|is not UTF-8")


def test_two_tensors_that_share_bytes_are_refused(changed):
    places = []

    def two(file, group):
        for name in ("x", "y"):
            places.append(group.create_dataset(name, data=np.ones(500, "f4")).id.get_offset())

    path = changed(two, ("x", "y"))
    first, second = (struct.pack("<QQ", place, 2000) for place in places)
    refuse(replaced(path, second, first), "two tensors overlap")


def test_data_outside_the_file_is_refused(changed):
    places = []

    def one(file, group):
        places.append(group.create_dataset("x", data=np.ones(500, "f4")).id.get_offset())

    path = changed(one, ("x",))
    place = struct.pack("<QQ", places[0], 2000)
    for address in (path.stat().st_size - 1999, 2**63, 2**64 - 2000):
        original = path.read_bytes()
        refuse(replaced(path, place, struct.pack("<QQ", address, 2000)), "truncated: ends at byte")
        path.write_bytes(original)
    refuse(replaced(path, place, struct.pack("<QQ", 2**64 - 1, 2000)), "nothing is stored")


def test_a_chunk_that_expands_further_than_it_says_is_refused(changed):
    path = changed(dataset(np.zeros((40, 50), "f4"), chunks=(40, 50), compression=9))
    with h5py.File(path) as file:
        chunk = file["electra"][NAME].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    bomb = zlib.compress(bytes(20_000), 9)
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bomb[: chunk.size]
    path.write_bytes(content)
    refuse(path, "a chunk of 8001 bytes, 8000 expected")


def test_a_chunk_that_is_damaged_is_refused(changed):
    path = changed(dataset(np.arange(2000, dtype="f4").reshape(40, 50), chunks=(40, 50), compression=9))
    with h5py.File(path) as file:
        place = file["electra"][NAME].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 2] = b"\xff\xff"
    path.write_bytes(content)
    refuse(path, "incorrect header check")


def test_an_object_header_that_goes_in_circles_is_refused(changed):
    """A continuation is made to point at itself."""
    path = changed(dataset(np.ones(3, "f4")))
    content = bytearray(path.read_bytes())
    (root,) = struct.unpack_from("<Q", content, 64)
    kinds = root + 16
    while struct.unpack_from("<H", content, kinds)[0] != 0x10:
        kinds += 8 + struct.unpack_from("<H", content, kinds + 2)[0]
    block, size = struct.unpack_from("<QQ", content, kinds + 8)
    # In the continued block, the first message becomes a continuation to where it stands.
    struct.pack_into("<HHIQQ", content, block, 0x10, 16, 0, block, size)
    path.write_bytes(content)
    refuse(path, "goes in circles")


def test_a_tree_that_goes_in_circles_is_refused(changed):
    path = changed(dataset(np.ones(3, "f4")))
    content = bytearray(path.read_bytes())
    place = content.index(b"TREE")
    content[place + 5] = 1
    struct.pack_into("<Q", content, place + 32, place)
    path.write_bytes(content)
    refuse(path, "damaged: a tree node of level 1")


# Bombs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("letters", "members"), [("x" * 990, 70), ("x" * 30 + "\U0001f600", 150)])
def test_names_that_are_repeated_beyond_reason_are_refused(letters, members, changed):
    """The path of a member repeats the names of all groups around it; one wide character widens every letter of it."""

    def fill(file, group):
        inner = group.create_group("/".join(f"{letters}{number}" for number in range(29)))
        for number in range(members):
            inner.create_group(str(number))

    path = changed(fill)
    refuse(path, "a path reaches out of the file, or descriptions overlap or repeat")


def test_names_that_share_their_letters_are_refused(tmp_path):
    """The entries of a group point to their names; here each points one letter further into one long name."""
    count, end = 47, 168 + 40 * 47 + 1000
    start = hdf5.SIGNATURE + bytes([2, 8, 8, 0]) + struct.pack("<4Q", 0, 2**64 - 1, end, 48)
    header = struct.pack("<BxHII4xHHIQQ", 1, 1, 1, 24, 0x11, 16, 0, 120, 88)
    heap = b"HEAP\0\0\0\0" + struct.pack("<3Q", 1000, 0, end - 1000)
    tree = b"TREE\0\0" + struct.pack("<H16xQQ", 1, 0, 160)
    node = b"SNOD\1\0" + struct.pack("<H", count)
    node += b"".join(struct.pack("<QQI20x", place, 48, 0) for place in range(count))
    content = start.ljust(48, b"\0") + header + heap + tree + node + b"x" * 999 + b"\0"
    assert len(content) == end
    (tmp_path / "tf_model.h5").write_bytes(content)
    refuse(tmp_path / "tf_model.h5", "a name reaches out of the file, or descriptions overlap or repeat")


def test_a_text_that_is_read_again_and_again_is_refused(tmp_path):
    """Every variable of a layer has the layer's name in its own."""
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        for number in range(40):
            file[f"model/vars/{number}"] = np.float32(1)
        file["model/vars"].attrs["name"] = np.bytes_(b"x" * 60_000)
    with pytest.raises(CheckpointError, match="a text reaches out of the file, or descriptions overlap or repeat"):
        read_keras_file(tmp_path / "x.weights.h5")


def write_heap(path, links, *, width=4096, start=None):
    """Write a group whose links lie in the last of ``width`` blocks of a heap, or from ``start`` of the heap on."""
    data = b"".join(b"\1\0\4%04x" % number + struct.pack("<Q", 48) for number in range(links))
    size, table, heap, index = len(data), 300, 130, 80 + 300 + 17 + 8 * width
    leaf = index + 48
    at = leaf + 6 + 11 * links
    start = (width - 1) * size if start is None else start
    pieces = {
        0: hdf5.SIGNATURE + bytes([2, 8, 8, 0]) + struct.pack("<4Q", 0, 2**64 - 1, at + size, 48),
        48: b"OHDR\2\0\x16\2" + struct.pack("<HBHQQ", 18, 0, 0, heap, index),
        heap: b"FRHP\0" + struct.pack("<HHBI96xHQQHHQH", 0, 0, 0, 65535, width, size, size, 32, 0, table, 1),
        table: b"FHIB\0" + bytes(12) + struct.pack("<Q", at) * width,
        index: b"BTHD\0\5" + struct.pack("<4xHHHQH", 11, 0, 0, leaf, links),
        leaf: b"BTLF\0\5" + b"".join(struct.pack("<5xIH", start + 15 * number, 15) for number in range(links)),
        at: data,
    }
    content = bytearray(at + size)
    for place, piece in pieces.items():
        content[place : place + len(piece)] = piece
    path.write_bytes(content)
    return path


def steps_in(module, work):
    """Return how many lines of a module a piece of work goes through."""
    steps = 0

    def count(frame, event, argument):
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: count if frame.f_code.co_filename == module.__file__ else None)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


def test_the_many_blocks_of_a_heap_are_not_gone_through_for_every_link(tmp_path):
    path = write_heap(tmp_path / "tf_model.h5", 47)
    assert steps_in(hdf5_heap, lambda: refuse(path, "a second name of one object")) < 10 * 4096


@pytest.mark.parametrize("start", [1, 15 + 1, 3 * 15 - 14, 3 * 15, 2**31])
def test_a_link_that_no_block_of_the_heap_holds_is_refused(start, tmp_path):
    """It reaches from one block into the next, or beyond all."""
    refuse(write_heap(tmp_path / "tf_model.h5", 1, width=3, start=start), "a link outside its heap")


def test_a_group_of_far_too_many_members_is_refused_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_OBJECTS", 46)
    refuse(write_heap(tmp_path / "tf_model.h5", 47), "'002e' stands twice in a group, or far too many members")


def test_an_object_header_of_far_too_many_pieces_is_refused(tmp_path):
    more = b"".join(b"\x10" + struct.pack("<HBQQ", 16, 0, 48, size) for size in range(8, 8 + 256))
    start = hdf5.SIGNATURE + bytes([2, 8, 8, 0]) + struct.pack("<4Q", 0, 2**64 - 1, 0, 48)
    (tmp_path / "tf_model.h5").write_bytes(start.ljust(48, b"\0") + b"OHDR\2\1" + struct.pack("<H", len(more)) + more)
    refuse(tmp_path / "tf_model.h5", "an object header that goes in circles, or of far too many pieces")


# Many seeds ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Good files: as transformers wrote it, as a newer h5py would, and one with compressed chunks."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "transformers": TRANSFORMERS / "base-like" / "ForMaskedLM" / "tf_model.h5",
        "newer": write_keras(folder / "newer", layers_of(12), libver="latest"),
        "chunks": write_keras(folder / "chunks", layers_of(2), chunks=(5, 4), shuffle=True, compression="gzip"),
    }


def described_bytes(path):
    """Return the places of all bytes that are no tensor's data."""
    data = set()

    def visit(_, item):
        if isinstance(item, h5py.Dataset) and item.id.get_offset() is not None:
            data.update(range(item.id.get_offset(), item.id.get_offset() + item.nbytes))

    with h5py.File(path) as file:
        file.visititems(visit)
    return [place for place in range(path.stat().st_size) if place not in data]


def attempt(path, content, what):
    """Read changed bytes: arrays, or an error of ours (then None); never anything else, and never much memory."""
    path.write_bytes(content)
    try:
        found = read_measured(path)
    except BaseException as error:
        message = str(error)
        if isinstance(error, CheckpointError) and message.startswith(str(path)) and "\n" not in message:
            return None
        raise AssertionError(f"{what}: {type(error).__name__} instead of one line of ours: {message}") from error
    for tensor, array in found.values():
        assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype.name), what
    return {name: array for name, (_, array) in found.items()}


@pytest.mark.parametrize("name", ["transformers", "newer", "chunks"])
def test_a_truncated_file_is_always_refused(name, sources, tmp_path):
    content = sources[name].read_bytes()
    for seed in range(CASES):
        chooser = random.Random(f"truncate {name} {seed}")
        length = chooser.randrange(len(content) if seed % 2 else min(len(content), 5000))
        assert attempt(tmp_path / "file", content[:length], f"seed {seed}: {length} bytes") is None, seed


@pytest.mark.parametrize("name", ["transformers", "newer", "chunks"])
def test_flipped_bits_give_an_error_or_arrays(name, sources, tmp_path):
    content, places, refused = sources[name].read_bytes(), described_bytes(sources[name]), 0
    for seed in range(CASES):
        chooser, changed = random.Random(f"flip {name} {seed}"), bytearray(content)
        for _ in range(chooser.choice((1, 1, 2, 8))):
            place = chooser.choice(places)
            changed[place] = chooser.choice((changed[place] ^ 1 << chooser.randrange(8), 0, 255, 127, 128, 1))
        refused += attempt(tmp_path / "file", bytes(changed), f"seed {seed}") is None
    assert refused > CASES // 3


def test_a_bit_flipped_in_the_data_changes_that_number_only(sources, tmp_path):
    """There is no checksum; but where a second copy exists, the flip is found."""
    path = sources["transformers"]
    content, described = path.read_bytes(), set(described_bytes(path))
    data = [place for place in range(len(content)) if place not in described]
    good, refused = attempt(tmp_path / "good", content, "unchanged"), 0
    for seed in range(CASES):
        chooser, changed = random.Random(f"data {seed}"), bytearray(content)
        changed[chooser.choice(data)] ^= 1 << chooser.randrange(8)
        found = attempt(tmp_path / "file", bytes(changed), f"seed {seed}")
        refused += found is None
        if found is not None:
            pairs = zip(b"".join(map(bytes, good.values())), b"".join(map(bytes, found.values())), strict=True)
            assert sum((before ^ after).bit_count() for before, after in pairs) == 1
    assert 0 < refused < CASES


def test_random_bytes_behind_the_signature_are_refused(tmp_path):
    for seed in range(60):
        chooser = random.Random(f"noise {seed}")
        noise = b"\x89HDF\r\n\x1a\n" * (seed % 3 > 0) + chooser.randbytes(chooser.choice((0, 1, 8, 40, 88, 333)))
        assert attempt(tmp_path / "file", noise, f"seed {seed}") is None


def test_the_good_files_are_read(sources, tmp_path):
    """Otherwise everything above could pass because nothing is."""
    for path in sources.values():
        assert attempt(tmp_path / "file", path.read_bytes(), path.name)
    found = attempt(tmp_path / "file", sources["newer"].read_bytes(), "newer")
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in expected_of(layers_of(12)).items()
    }
