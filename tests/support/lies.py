"""Checkpoint files that contradict themselves, made from good ones: one random lie each, checksums made again."""

import json
import struct

from support.bundle_writer import BundleWriter, encode_header, masked_crc, number_field, ordered_slice_key

HUGE = (2**31, 2**32 + 3, 2**62, 2**63 - 1, 2**63, 2**64)

# safetensors --------------------------------------------------------------------------------------------------------


def lie_about_safetensors(content, chooser):
    """Return what was done, and the changed file.

    A file with a checksum of ours gets the lie with the old checksum or, as often, with none at all, which is what a
    liar who knows the format would do.
    """
    (length,) = struct.unpack("<Q", content[:8])
    table, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    if chooser.random() < 0.5:
        table.get("__metadata__", {}).pop("electra_crc32c", None)
    what, text = chooser.choice(_TABLE_LIES)(table, chooser)
    text = json.dumps(table).encode() if text is None else text
    length = len(text)
    if chooser.random() < 0.05:
        what, length = "length", chooser.choice((0, 1, length - 1, length + 1, 2 * length, *HUGE[:-1]))
    return what, struct.pack("<Q", length) + text + data


def _names(table):
    return [name for name in table if name != "__metadata__"]


def _lie_about_entry(table, chooser):
    name = chooser.choice(_names(table))
    entry = table[name]
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    size, other = end - begin, table[chooser.choice(_names(table))]
    lies = {
        "axes exchanged": ("shape", shape[::-1]),
        "flattened": ("shape", [size // 4]),
        "an axis added": ("shape", [*shape, 1]),
        "huge axis": ("shape", [*shape[:-1], chooser.choice(HUGE)]),
        "huge and empty": ("shape", [0, *[chooser.choice(HUGE)] * chooser.randrange(1, 4)]),
        "negative axis": ("shape", [-axis for axis in shape]),
        "wrapped around": ("shape", [2**62 + size // 4]),
        "fraction": ("shape", [axis + 0.5 for axis in shape]),
        "shape of text": ("shape", str(shape)),
        "shape of lists": ("shape", [shape]),
        "no shape": ("shape", None),
        "many axes": ("shape", [*shape, *[1] * chooser.randrange(2, 100)]),
        "other dtype": ("dtype", chooser.choice(["F64", "F16", "BF16", "I8", "U8", "BOOL", "I64"])),
        "dtype of the same width": ("dtype", chooser.choice(["I32", "U32"])),
        "unknown dtype": ("dtype", chooser.choice(["F31", "", "f32", None, 7, ["F32"], {}])),
        "bytes of another": ("data_offsets", other["data_offsets"]),
        "moved": ("data_offsets", [begin + 1, end + 1]),
        "moved before the start": ("data_offsets", [begin - 8 - end, -8]),
        "shortened": ("data_offsets", [begin, end - 4]),
        "reversed": ("data_offsets", [end, begin]),
        "far away": ("data_offsets", [far := chooser.choice(HUGE), far + size]),
        "offsets of text": ("data_offsets", [str(begin), str(end)]),
        "one offset": ("data_offsets", [begin]),
        "both moved": ("data_offsets", [begin - 4, end - 4]),
    }
    what = chooser.choice(sorted(lies))
    key, value = lies[what]
    entry[key] = value
    return f"{what}: {name} {key} = {str(value)[:60]}", None


def _lie_about_names(table, chooser):
    name = chooser.choice(_names(table))
    new = chooser.choice(
        [
            "electra.encoder.layer.999999.output.dense.bias", "electra.encoder.layer.{layer}.output.dense.bias",
            "electra.encoder.layer.7.output.dense.bias", "electra.encoder.layer.0.output.dense.weights", "", "\ud800",
            "electra.embeddings.position_ids", "generator_lm_head.bias", f"{name}\n", f" {name}", f"electra.{name}",
            name.replace("LayerNorm.weight", "LayerNorm.gamma"), name.replace("electra.", ""), "x" * 70_000,
        ]
    )  # fmt: skip
    entry = table.pop(name)
    if new in table:
        return f"removed: {name}", None
    table[new] = entry
    return f"renamed: {name} to {new[:60]!r}", None


def _lie_by_removing(table, chooser):
    name = chooser.choice(_names(table))
    del table[name]
    return f"removed: {name}", None


def _lie_by_adding(table, chooser):
    name = chooser.choice(["electra.encoder.layer.999999.output.dense.bias", "extra", "generator_lm_head.weight"])
    shape, offsets = chooser.choice([([0], [0, 0]), ([0, 2**62], [0, 0]), ([4], [0, 16]), ([2**60], [0, 2**62])])
    table[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    return f"added: {name} {shape} at {offsets}", None


def _lie_in_json(table, chooser):
    text = json.dumps(table)
    first = json.dumps(_names(table)[0])
    lies = {
        "a key twice": text.replace(first, json.dumps(_names(table)[1]), 1),
        "text behind": text + "}",
        "not a number": text.replace('"shape": [', '"shape": [NaN,', 1),
        "deep": text[:-1] + ', "deep": ' + "[" * 3000 + "]" * 3000 + "}",
        "a list": "[]",
        "metadata of numbers": '{"__metadata__": {"x": 1},' + text[1:],
        "metadata of text": '{"__metadata__": "pt",' + text[1:],
        "another framework": text.replace('"pt"', '"flax"', 1),
        "many digits": text.replace('"shape": [', '"shape": [' + "1" * 5000 + ",", 1),
    }  # fmt: skip
    what = chooser.choice(sorted(lies))
    return what, lies[what].encode()


_TABLE_LIES = (_lie_about_entry, _lie_about_entry, _lie_about_entry, _lie_about_names, _lie_by_removing, _lie_by_adding,
               _lie_in_json)  # fmt: skip


# Bundles ------------------------------------------------------------------------------------------------------------


def lie_about_bundle(arrays, chooser):
    """Return what was done, and a writer that holds the lying bundle; all its checksums will be right."""
    writer = BundleWriter()
    names = sorted(arrays)
    split = chooser.choice([name for name in names if len(arrays[name]) > 5])
    for name in names:
        if name == split:
            writer.add_partitioned(name, arrays[name], (0, 2, 5))
        else:
            writer.add(name, arrays[name])
    lie = chooser.choice((_lie_about_record, _lie_about_record, _lie_about_key, _lie_about_slices, _lie_about_header))
    return lie(writer, split.encode(), chooser), writer


def _lie_about_record(writer, split, chooser):
    key = chooser.choice([key for key in sorted(writer.records) if key != split])
    record, other = writer.records[key], writer.records[chooser.choice(sorted(writer.records))]
    lies = {
        "axes exchanged": {"shape": record.shape[::-1]},
        "flattened": {"shape": (record.size // 4,)},
        "huge axis": {"shape": (*record.shape[:-1], chooser.choice(HUGE[:4]))},
        "huge and empty": {"shape": (0, chooser.choice(HUGE[:4])), "size": 0},
        "negative axis": {"shape": tuple(-axis for axis in record.shape)},
        "wrapped around": {"shape": (2**62 + record.size // 4,)},
        "many axes": {"shape": (*record.shape, *[1] * chooser.randrange(1, 50))},
        "dtype": {"dtype": chooser.choice([0, 2, 4, 8, 9, 14, 19, 21, 101, 2**40, -1])},
        "dtype of the same width": {"dtype": chooser.choice([3, 22])},
        "text": {"dtype": 7},
        "shard": {"shard": chooser.choice([1, -1, 2**31, 2**62])},
        "negative offset": {"offset": -chooser.randrange(1, 1000)},
        "far away": {"offset": chooser.choice(HUGE[:4])},
        "moved": _moved(writer, record, chooser.choice([-4, -1, 1, 4])),
        "bytes of another": {"offset": other.offset, "crc": other.crc},
        "size": {"size": chooser.choice([0, record.size - 4, record.size + 4, -record.size, *HUGE[:4]])},
        "another crc": {"crc": record.crc ^ (1 << chooser.randrange(32))},
        "sliced": {"slices": (tuple((0, axis) for axis in record.shape),)},
        "garbage behind": {"extra": chooser.randbytes(chooser.randrange(1, 20))},
        "second size": {"extra": number_field(5, 2**40)},
    }
    what = chooser.choice(sorted(lies))
    for field, value in lies[what].items():
        setattr(record, field, value)
    return f"{what}: {key[:60]!r} {str(lies[what])[:80]}"


def _moved(writer, record, distance):
    """Other bytes than the tensor's own, with the checksum that those bytes have."""
    start = max(0, record.offset + distance)
    return {"offset": start, "crc": masked_crc(writer.data[0][start : start + record.size])}


def _lie_about_key(writer, split, chooser):
    key = chooser.choice([key for key in sorted(writer.records) if key != split])
    new = chooser.choice(
        [
            b"electra/encoder/layer_999999/output/dense/bias", b"electra/encoder/layer_{layer}/output/dense/bias",
            b"generator/encoder/layer_2/output/dense/bias", b"electra/pooler/dense/bias", b"\x00", b"\x00\x01\x02",
            b"\xff\xfe", key + b"\n", b"/" + key, key + b"/adam_m", b"x" * 3000, b"generator/embeddings/LayerNorm/beta",
        ]
    )  # fmt: skip
    writer.records[new] = writer.records.pop(key)
    return f"renamed: {key[:60]!r} to {new[:60]!r}"


def _lie_about_slices(writer, split, chooser):
    whole = writer.records[split]
    first = whole.slices[0]
    part = writer.records[ordered_slice_key(split, first)]
    lies = {
        "slice twice": lambda: setattr(whole, "slices", (first, *whole.slices)),
        "one slice many times": lambda: setattr(whole, "slices", (first,) * 3000),
        "slice lost": lambda: setattr(whole, "slices", whole.slices[1:]),
        "slices out of order": lambda: setattr(whole, "slices", whole.slices[::-1]),
        "slice moved": lambda: setattr(whole, "slices", (((1, 2), *first[1:]), *whole.slices[1:])),
        "slice of nothing": lambda: setattr(whole, "slices", (*whole.slices, ())),
        "huge whole": lambda: setattr(whole, "shape", (2**62, *whole.shape[1:])),
        "huge empty whole": lambda: setattr(whole, "shape", (0, *[2**62] * len(whole.shape[1:]))),
        "negative start": lambda: setattr(whole, "slices", (((-2, 2), *first[1:]), *whole.slices[1:])),
        "no slices": lambda: setattr(whole, "slices", ()),
        "slice of another shape": lambda: setattr(part, "shape", part.shape[::-1]),
        "slice of another dtype": lambda: setattr(part, "dtype", 3),
        "slice elsewhere": lambda: setattr(part, "offset", 0),
    }
    what = chooser.choice(sorted(lies))
    lies[what]()
    return f"{what}: {split!r}"


def _lie_about_header(writer, split, chooser):
    headers = {
        "shards": encode_header(shards=chooser.choice([0, 2, -1, 4097, 2**31, 2**62])),
        "big-endian": encode_header(endianness=1),
        "no header": b"",
        "garbage header": chooser.randbytes(12),
    }
    what = chooser.choice(sorted(headers))
    writer.header = headers[what]
    return f"{what}: {headers[what].hex()}"
