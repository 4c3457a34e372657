"""TF2 object graphs made by hand: names, what is put aside, and graphs that lie.

Files that TensorFlow wrote are read in tests/reference/test_tensorflow_reads_ours_tf.py.
"""

import random
import struct
import tracemalloc

import google_crc32c
import numpy as np
import pytest

from electra_common import CheckpointError
from electra_common.weights.formats.tf1_bundle import read_bundle, read_string
from electra_common.weights.formats.tf2_object_graph import is_object_graph, read_object_graph
from support.bundle_writer import (
    STRING_DTYPE,
    BundleWriter,
    Record,
    bytes_field,
    masked_crc,
    number_field,
    varint,
    write_bundle,
)
from support.damage import damaged_cases
from support.tiny_networks import assert_same_bytes, random_arrays, read_all

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
SLACK_BYTES = 8 << 20


def child(node, name):
    return bytes_field(1, number_field(1, node) + bytes_field(2, name.encode()))


def variable(key, full_name="", attribute="VARIABLE_VALUE"):
    texts = ((1, attribute), (2, full_name), (3, key))
    return bytes_field(2, b"".join(bytes_field(number, text.encode()) for number, text in texts if text))


def slot(weight, name, node):
    return bytes_field(3, number_field(1, weight) + bytes_field(2, name.encode()) + number_field(3, node))


def graph_of(*nodes):
    """Return a graph; a node is the bytes of its fields, one after another."""
    return b"".join(bytes_field(1, node) for node in nodes)


def string_tensor(text):
    """Return a string tensor without axes, and its masked checksum: over the length, its checksum and the text."""
    length = struct.pack("<I", len(text))
    rest = struct.pack("<I", masked_crc(length)) + text
    crc = google_crc32c.extend(google_crc32c.value(length), rest)
    return varint(len(text)) + rest, ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def add_string(writer, text, name=KEY):
    raw, crc = string_tensor(text)
    writer.records[name.encode()] = Record(STRING_DTYPE, (), 0, len(writer.data[0]), len(raw), crc)
    writer.data[0] += raw


# The shape of a real one: a model, weights shared by two objects, an optimizer with slots, a cycle, the save counter.
ARRAYS = random_arrays({
    f"model/dense/kernel{SUFFIX}": (3, 5),
    f"model/dense/bias{SUFFIX}": (5,),
    f"optimizer/iter{SUFFIX}": (),
    f"model/dense/kernel/.OPTIMIZER_SLOT/optimizer/m{SUFFIX}": (3, 5),
    f"save_counter{SUFFIX}": (),
})  # fmt: skip
NODES = (
    child(1, "model") + child(2, "optimizer") + child(8, "save_counter"),
    child(3, "dense") + child(3, "same_dense") + child(0, "owner"),
    child(6, "iter") + child(9, "learning_rate") + slot(4, "m", 7),
    child(4, "kernel") + child(5, "bias") + child(3, "self"),
    variable(f"model/dense/kernel{SUFFIX}", "net/dense/kernel:0"),
    variable(f"model/dense/bias{SUFFIX}"),
    variable(f"optimizer/iter{SUFFIX}", "Adam/iter"),
    variable(f"model/dense/kernel/.OPTIMIZER_SLOT/optimizer/m{SUFFIX}", "Adam/net/dense/kernel/m"),
    variable(f"save_counter{SUFFIX}", "save_counter"),
    b"",
)


@pytest.fixture
def prefix_of(tmp_path):
    """Write a bundle of arrays with a graph; ``change`` gets the writer before it writes."""

    def make(nodes, arrays=ARRAYS, change=None):
        writer = BundleWriter()
        for name in sorted(arrays):
            writer.add(name, arrays[name])
        add_string(writer, nodes if isinstance(nodes, bytes) else graph_of(*nodes))
        if change:
            change(writer)
        make.size = writer.write(tmp_path / "ckpt-1")
        return tmp_path / "ckpt-1"

    return make


def tensors_of(keys):
    return random_arrays({f"{key}{SUFFIX}": (index + 2,) for index, key in enumerate(keys)})


# Names and reasons --------------------------------------------------------------------------------------------------


def test_variables_go_by_their_names_else_by_their_paths(prefix_of):
    tensors, reasons = read_object_graph(prefix_of(NODES))
    expected = {
        "net/dense/kernel": f"model/dense/kernel{SUFFIX}",
        "model/dense/bias": f"model/dense/bias{SUFFIX}",
        "Adam/iter": f"optimizer/iter{SUFFIX}",
        "Adam/net/dense/kernel/m": f"model/dense/kernel/.OPTIMIZER_SLOT/optimizer/m{SUFFIX}",
        "save_counter": f"save_counter{SUFFIX}",
    }
    assert_same_bytes({name: ARRAYS[key] for name, key in expected.items()}, read_all(tensors))
    assert all(tensor.name == name for name, tensor in tensors.items())
    assert reasons == {
        "Adam/iter": "optimizer state",
        "Adam/net/dense/kernel/m": "optimizer slot m",
        "save_counter": "save counter",
    }


def test_a_name_that_several_variables_have_names_none_of_them(prefix_of):
    arrays = tensors_of(["a/w", "b/w", "c"])
    nodes = [child(1, "a"), *(variable(key, "Variable" if "w" in key else "c") for key in arrays)]
    tensors, _ = read_object_graph(prefix_of(nodes, arrays))
    assert list(tensors) == ["a/w", "b/w", "c"]


def test_slashes_and_dots_of_local_names_come_back(prefix_of):
    """TensorFlow writes them as .S and .. to tell them from the separators of a path."""
    arrays = tensors_of(["model/a.Sb", "model/c..d", "model/e...Sf", "model/g..Sh"])
    tensors, _ = read_object_graph(prefix_of([b"", *map(variable, arrays)], arrays))
    assert list(tensors) == ["model/a/b", "model/c.d", "model/e./f", "model/g.Sh"]


def test_weights_that_were_saved_under_the_optimizer_are_weights(prefix_of):
    """Keras 3 does so: the path through its optimizer's lists can be the shortest, or the only one."""
    arrays = tensors_of(["opt/_trainable_variables/0", "opt/_variables/0", "opt/_variables/1", "opt/_momentums/0"])
    weight, steps, other, momentum = (variable(key) for key in arrays)
    nodes = [child(1, "opt"), child(2, "_trainable_variables") + child(3, "_variables") + child(5, "_iterations")
             + child(8, "_momentums"), child(4, "0"), child(5, "0") + child(6, "1"), weight, steps, other, momentum,
             child(7, "0")]  # fmt: skip
    tensors, reasons = read_object_graph(prefix_of(nodes, arrays))
    assert set(tensors) - set(reasons) == {"opt/_trainable_variables/0"}
    assert set(reasons.values()) == {"optimizer state"}


@pytest.mark.parametrize("name", ["iter", "_iterations"])
def test_a_program_that_counts_steps_is_no_optimizer(name, prefix_of):
    """Beside its model, in the root of the checkpoint: what the documentation of TensorFlow shows."""
    arrays = tensors_of(["model/w", name])
    nodes = [child(1, name) + child(2, "model"), variable(f"{name}{SUFFIX}"), child(3, "w"),
             variable(f"model/w{SUFFIX}")]  # fmt: skip
    assert read_object_graph(prefix_of(nodes, arrays))[1] == {}


def test_what_an_optimizer_and_the_model_both_hold_is_the_models(prefix_of):
    arrays = tensors_of(["opt/w", "opt/it"])
    nodes = [child(1, "opt") + child(2, "model"), child(3, "w") + child(4, "_iterations"), child(3, "w"),
             *map(variable, arrays)]  # fmt: skip
    assert read_object_graph(prefix_of(nodes, arrays))[1] == {"opt/it": "optimizer state"}


def test_numbers_that_are_no_variables_are_put_aside(prefix_of):
    arrays = {"table/.ATTRIBUTES/table-keys": np.arange(3), "stray": np.ones((2, 3)), **tensors_of(["w"])}
    nodes = [child(1, "w"), variable(f"w{SUFFIX}"),
             variable("table/.ATTRIBUTES/table-keys", attribute="table")]  # fmt: skip
    tensors, reasons = read_object_graph(prefix_of(nodes, arrays))
    assert set(tensors) == {"table/.ATTRIBUTES/table-keys", "stray", "w"}
    assert reasons == dict.fromkeys(
        ["table/.ATTRIBUTES/table-keys", "stray"], "not a variable of the object graph"
    )  # fmt: skip


def test_other_strings_are_left_alone(prefix_of):
    prefix = prefix_of(NODES, change=lambda writer: add_string(writer, b"hello", "note"))
    assert set(read_bundle(prefix)[1]) == {KEY, "note"}
    assert len(read_object_graph(prefix)[0]) == len(ARRAYS)
    assert read_string(prefix, "note", max_bytes=5) == b"hello"


def test_an_object_graph_is_known_by_its_name(prefix_of, tmp_path):
    assert is_object_graph(read_bundle(prefix_of(NODES))[1])
    assert not is_object_graph(("note", "electra/embeddings/word_embeddings"))


def test_a_bundle_without_a_graph_is_refused(tmp_path):
    write_bundle(tmp_path / "m", {"x": np.ones(3)})
    with pytest.raises(CheckpointError, match="not a TF2 object-graph checkpoint"):
        read_object_graph(tmp_path / "m")


def test_a_number_under_the_name_of_the_graph_is_no_graph(tmp_path):
    write_bundle(tmp_path / "m", {KEY: np.ones(3)})
    with pytest.raises(CheckpointError, match="not a TF2 object-graph checkpoint"):
        read_object_graph(tmp_path / "m")


def test_tensors_are_read_late_and_their_checksums_can_be_left_unread(prefix_of):
    prefix = prefix_of(NODES)
    data = prefix.with_name("ckpt-1.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[0] ^= 1  # the bias, which comes first
    data.write_bytes(content)
    tensors, _ = read_object_graph(prefix)
    with pytest.raises(CheckpointError, match="checksum of model/dense/bias"):
        tensors["model/dense/bias"].read()
    tensors["net/dense/kernel"].read()
    read_object_graph(prefix, verify=False)[0]["model/dense/bias"].read()


# Strings that lie ---------------------------------------------------------------------------------------------------


def change_record(**values):
    def change(writer):
        for name, value in values.items():
            setattr(writer.records[KEY.encode()], name, value)

    return change


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shape": (1,)}, "must be a single string"),
        ({"shape": (0,)}, "must be a single string"),
        ({"slices": (((0, 1),),)}, "must be a single string"),
        ({"size": 1 << 40}, "at most 4194304 are read"),
        ({"size": (4 << 20) + 15}, "at most 4194304 are read"),
        ({"size": (4 << 20) + 14}, "truncated or damaged"),
        ({"size": -1}, "at most 4194304 are read"),
        ({"size": 0}, "truncated: a number ends"),
        ({"size": 3}, "damaged: a string of"),
        ({"offset": -1}, "truncated or damaged"),
        ({"offset": 1 << 62}, "truncated or damaged"),
        ({"shard": 1}, "is in shard 1 of 1"),
        ({"crc": 0}, "the checksum of a string does not match"),
    ],
)
def test_a_string_that_lies_about_itself_is_refused(values, message, prefix_of):
    prefix = prefix_of(NODES, change=change_record(**values))
    with pytest.raises(CheckpointError, match=message) as error:
        read_object_graph(prefix)
    assert str(error.value).startswith(str(prefix))


@pytest.mark.parametrize("length", [0, 1, 1 << 20, (1 << 32) - 1, 1 << 32, (1 << 64) - 1])
def test_a_length_that_lies_is_refused_with_all_checksums_right(length, tmp_path):
    """The checksums are made for the length that is claimed, in as many bytes as TensorFlow takes for it."""
    packed = struct.pack("<I" if length < 1 << 32 else "<Q", length)
    rest = struct.pack("<I", masked_crc(packed)) + graph_of(*NODES)
    crc = google_crc32c.extend(google_crc32c.value(packed), rest)
    raw = varint(length) + rest
    writer = BundleWriter()
    writer.data[0] += raw
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    writer.records[KEY.encode()] = Record(STRING_DTYPE, (), 0, 0, len(raw), masked)
    writer.write(tmp_path / "m")
    with pytest.raises(CheckpointError, match=f"a string of {length} bytes in {len(raw)}"):
        read_object_graph(tmp_path / "m")


def test_every_bit_of_the_string_is_guarded_even_without_verification(prefix_of):
    prefix = prefix_of(NODES[:2], arrays={})
    data = prefix.with_name("ckpt-1.data-00000-of-00001")
    good = data.read_bytes()
    for position in range(len(good)):
        for bit in range(8):
            changed = bytearray(good)
            changed[position] ^= 1 << bit
            data.write_bytes(changed)
            with pytest.raises(CheckpointError):
                read_object_graph(prefix, verify=False)


# Graphs that lie ----------------------------------------------------------------------------------------------------

BIG = (1 << 63) - 1
LIES = {
    "a child that is not there": ([child(1, "a")], "damaged: node 1 of 1"),
    "a child with a huge number": ([child(BIG, "a")], f"damaged: node {BIG} of 1"),
    "a child with a negative number": ([child(-1, "a")], "damaged: node -1 of 1"),
    "a slot that is not there": ([b"", slot(0, "m", 2)], "damaged: node 2 of 2"),
    "a slot of what is not there": ([b"", slot(9, "m", 1)], "damaged: node 9 of 2"),
    "a child that is a number": ([number_field(1, 7)], "a child must be a message"),
    "an attribute that is a number": ([number_field(2, 7)], "an attribute must be a message"),
    "a slot that is a number": ([b"", number_field(3, 7)], "a slot must be a message"),
    "a node that is a number": (number_field(1, 7), "a node must be a message"),
    "a node number that is text": ([bytes_field(1, bytes_field(1, b"7"))], "a node number must be a number"),
    "a name that is a number": ([bytes_field(1, number_field(2, 7))], "a name must be a message"),
    "a name that is no text": ([bytes_field(1, bytes_field(2, b"\xff"))], "is not UTF-8"),
    "a node longer than the graph": (varint(1 << 3 | 2) + varint(1 << 40), "truncated: a field of"),
    "a group": (varint(1 << 3 | 3), "wire type 3"),
    "bytes that never end": (b"\xff" * 20, "a number of more than 10 bytes"),
    "a variable of two nodes": ([variable(f"save_counter{SUFFIX}")] * 2, "belongs to two variables"),
    "too many nodes": ([b""] * 40_000, "more than 32768 nodes"),
    "too many children": ([child(0, "")] * 2 + [child(0, "") * 70_000], "more than 65536 references"),
    "a child of many fields": ([bytes_field(1, number_field(1, 1) * 17), b""], "a reference of more than 16 fields"),
    "two variables of one name": ([variable(f"save_counter{SUFFIX}", "model/dense/bias"),
                                   variable(f"model/dense/bias{SUFFIX}")], "several tensors are called 'model/dense/b"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_graph_that_lies_is_refused(lie, prefix_of):
    nodes, message = LIES[lie]
    prefix = prefix_of(nodes)
    with pytest.raises(CheckpointError, match=message) as error:
        read_object_graph(prefix)
    assert str(error.value).startswith(f"{prefix}.index: the object graph: ")


@pytest.mark.parametrize(
    "nodes",
    [
        b"",
        [b""],
        [child(0, "self")],
        [child(1, "a"), child(0, "b")],
        [*(child(index + 1, "next") for index in range(30_000)), child(0, "first")],
        [child(0, "self") * 30_000, *[child(1, "_iterations") + child(0, "_trainable_variables")] * 5_000],
        [b"", slot(1, "m", 1) + slot(0, "m", 0) + child(0, "_iterations")],
    ],
    ids=["nothing", "one node", "itself", "a cycle", "a long way round", "many ways to one list", "slots of itself"],
)
def test_an_odd_graph_is_no_error_and_takes_no_time(nodes, prefix_of):
    tensors, reasons = read_object_graph(prefix_of(nodes))
    assert len(tensors) == len(reasons) == len(ARRAYS)
    assert set(reasons.values()) == {"not a variable of the object graph"}


def mutate(graph, chooser):
    """Change a graph at a few places: bits, bytes, pieces taken out, doubled or put elsewhere."""
    changed = bytearray(graph)
    for _ in range(chooser.randint(1, 4)):
        place = chooser.randrange(len(changed))
        piece = changed[place : place + chooser.randint(1, 30)]
        match chooser.randrange(6):
            case 0:
                changed[place] ^= 1 << chooser.randrange(8)
            case 1:
                changed[place] = chooser.choice((0, 1, 0x0A, 0x12, 0x1A, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[place : place + len(piece)]
            case 3:
                changed[place:place] = piece * chooser.choice((1, 1, 2, 500))
            case 4:
                other = chooser.randrange(len(changed))
                changed[other:other] = piece
            case 5:
                changed[place : place + 1] = varint(chooser.getrandbits(chooser.choice((7, 14, 32, 63, 64))))
        changed = changed or bytearray(b"\n")
    return bytes(changed)


def test_a_changed_graph_is_refused_or_only_renames(prefix_of):
    """All checksums are right: nothing but the graph's own sense can be checked, and the arrays are what they were."""
    good, refused, cases = graph_of(*NODES), 0, damaged_cases(600)
    arrays = sorted(array.tobytes() for array in ARRAYS.values())
    for seed in range(cases):
        changed = mutate(good, random.Random(f"graph {seed}"))
        prefix = prefix_of(changed)
        tracemalloc.start()
        try:
            tensors, reasons = read_object_graph(prefix)
            assert sorted(tensor.read().tobytes() for tensor in tensors.values()) == arrays, seed
            assert set(reasons) <= set(tensors), seed
        except CheckpointError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 2 * prefix_of.size + SLACK_BYTES, f"seed {seed}: {peak} bytes"
    assert cases // 4 < refused < cases


@pytest.mark.parametrize("kind", ["children", "slots", "attributes", "nodes", "names"])
def test_large_graphs_take_little_more_memory_than_their_file(kind, prefix_of):
    nodes = {
        "children": [b"", *[bytes_field(1, b"") * 2] * 15_000],
        "slots": [b"", b"".join(slot(index, "", index) for index in range(10_000)), *[b""] * 10_000],
        "attributes": [b"", *[bytes_field(2, b"")] * 15_000],
        "nodes": [b""] * 32_768,
        "names": [b"".join(child(0, f"{index:050d}") for index in range(20_000))],
    }[kind]
    prefix = prefix_of(nodes)
    tracemalloc.start()
    read_object_graph(prefix)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * prefix_of.size + SLACK_BYTES
