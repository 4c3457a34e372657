"""Rows of shards: what was written comes back, and whatever is wrong with a folder is told in one line."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_common.pretraining.manifest import Manifest
from electra_common.pretraining.shard_writer import ShardWriter, pack
from electra_common.pretraining.shards import ExampleShards

CLS, SEP = 2, 3
VOCABULARY = b"any bytes"


def write(folder, examples, *, dtype="uint16", max_length=19, rows_a_shard=4, size=60_000, split="train"):
    """Write examples, pairs of lists, as a finished corpus."""
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer" / "vocab.txt").write_bytes(VOCABULARY)
    vocabulary = {"file": "vocab.txt", "sha256": hashlib.sha256(VOCABULARY).hexdigest(), "size": size}
    manifest = Manifest(max_length, dtype, vocabulary, {}, [], complete=True)
    for number, start in enumerate(range(0, len(examples), rows_a_shard)):
        writer = ShardWriter(folder, f"{split}-{number:05}.bin", split)
        for first, second in examples[start : start + rows_a_shard]:
            pair = (np.array(first, np.int32), np.array(second, np.int32))
            writer.append(pack([pair], cls_id=CLS, sep_id=SEP, dtype=dtype, documents=1))
        manifest.shards.append(writer.finish(number + 1))
    manifest.write(folder)
    return folder


def expected_row(first, second, max_length):
    ids = [CLS, *first, SEP, *([*second, SEP] if second else [])]
    types = [0] * (len(first) + 2) + [1] * (len(second) + 1 if second else 0)
    padding = [0] * (max_length - len(ids))
    return ids + padding, [1] * len(ids) + padding, types + padding


ids = st.lists(st.integers(0, 59_999), max_size=8)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=13), st.sampled_from(["uint16", "uint32"]), st.data())
def test_rows_are_what_was_written_in_any_order(tmp_path_factory, examples, dtype, data):
    folder = write(tmp_path_factory.mktemp("corpus"), examples, dtype=dtype)
    shards = ExampleShards.open(folder, verify=True)
    assert len(shards) == len(examples)
    order = data.draw(st.lists(st.integers(0, len(examples) - 1), max_size=20))
    rows = shards.rows(np.array(order, np.int64))
    expected = [expected_row(*examples[index], 19) for index in order]
    for column, name in enumerate(("input_ids", "attention_mask", "token_type_ids")):
        assert rows[name].dtype == np.int32
        assert rows[name].shape == (len(order), 19)
        assert rows[name].tolist() == [row[column] for row in expected]


def test_ids_above_65535_are_kept(tmp_path):
    folder = write(tmp_path / "corpus", [([70_000, 65_536], [])], dtype="uint32", size=70_001)
    assert ExampleShards.open(folder).rows(np.array([0]))["input_ids"][0, :4].tolist() == [CLS, 70_000, 65_536, SEP]


def test_what_a_corpus_says_of_itself(tmp_path):
    folder = write(tmp_path / "corpus", EXAMPLES)
    shards = ExampleShards.open(folder)
    assert (shards.max_length, shards.vocab_size, shards.vocabulary_hash) == (
        19,
        60_000,
        hashlib.sha256(VOCABULARY).hexdigest(),
    )
    assert shards.tokenizer_folder == folder / "tokenizer"
    tokens = sum(sum(expected_row(*example, 19)[1]) for example in EXAMPLES)
    counts = {"documents": 7, "examples": 7, "tokens": tokens}
    assert shards.manifest.counts() == {"train": counts, "held-out": dict.fromkeys(counts, 0)}


EXAMPLES = [([10 + number], [20, 21][: number % 3]) for number in range(7)]


@pytest.mark.parametrize("wrong", [[7], [-1], [0, 99]])
def test_examples_that_are_not_there(tmp_path, wrong):
    shards = ExampleShards.open(write(tmp_path / "corpus", EXAMPLES))
    with pytest.raises(IndexError, match="examples are numbered from 0 to 6"):
        shards.rows(np.array(wrong))


def test_folders_that_hold_no_such_examples(tmp_path):
    with pytest.raises(ValueError, match=r"no prepared corpus: there is no manifest.json"):
        ExampleShards.open(tmp_path)
    folder = write(tmp_path / "corpus", EXAMPLES)
    with pytest.raises(ValueError, match="holds no examples of the split 'held-out'"):
        ExampleShards.open(folder, "held-out")
    with pytest.raises(ValueError, match="split must be one of 'train', 'held-out', found 'test'"):
        ExampleShards.open(folder, "test")


def test_shards_that_are_missing_truncated_or_changed(tmp_path):
    file = write(tmp_path / "corpus", EXAMPLES) / "train-00001.bin"
    content = file.read_bytes()
    for damaged, expected in ((content[:-1], "truncated: expected 52 bytes, found 51"), (content + b"x", "damaged: ")):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"train-00001.bin: {expected}"):
            ExampleShards.open(tmp_path / "corpus")
    file.write_bytes(content[:4] + b"\0" + content[5:])
    ExampleShards.open(tmp_path / "corpus")
    with pytest.raises(ValueError, match=r"train-00001.bin: damaged: its checksum"):
        ExampleShards.open(tmp_path / "corpus", verify=True)
    file.unlink()
    with pytest.raises(ValueError, match=r"train-00001.bin: cannot be read: No such file"):
        ExampleShards.open(tmp_path / "corpus")


def test_no_byte_of_a_shard_can_do_more_than_end_in_an_error(tmp_path):
    folder = write(tmp_path / "corpus", EXAMPLES[:4])
    file = folder / "train-00000.bin"
    content = file.read_bytes()
    good = ExampleShards.open(folder).rows(np.arange(4))
    refused = 0
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            rows = ExampleShards.open(folder).rows(np.arange(4))
            assert rows["input_ids"].shape == good["input_ids"].shape
            assert 0 <= rows["input_ids"].min() <= rows["input_ids"].max() < 60_000
        except ValueError as error:
            assert "prepare the corpus again" in str(error)  # noqa: PT017 not every byte is noticed without checksums
            refused += 1
    assert refused > len(content) // 3


def test_an_example_without_tokens_is_damage(tmp_path):
    file = write(tmp_path / "corpus", EXAMPLES[:4]) / "train-00000.bin"
    content = file.read_bytes()
    index = np.frombuffer(content[-32:], "<u4").copy()  # where the examples end, how many tokens are of type 0
    index[1] = index[0]
    file.write_bytes(content[:-32] + index.tobytes())
    shards = ExampleShards.open(tmp_path / "corpus")
    assert len(shards.rows(np.array([0]))["input_ids"]) == 1
    with pytest.raises(ValueError, match=r"train-00000\.bin: damaged: an example ends at the wrong place"):
        shards.rows(np.array([0, 1]))


def test_the_tokenizer_must_be_the_one_that_made_the_ids(tmp_path):
    folder = write(tmp_path / "corpus", EXAMPLES)
    (folder / "tokenizer" / "vocab.txt").write_bytes(b"other bytes")
    with pytest.raises(ValueError, match=r"tokenizer/vocab.txt: not the vocabulary that the examples were made with"):
        ExampleShards.open(folder)
    (folder / "tokenizer" / "vocab.txt").unlink()
    with pytest.raises(ValueError, match=r"tokenizer/vocab.txt: cannot be read"):
        ExampleShards.open(folder)


def changed(**changes):
    return lambda values: values | changes


def with_shard(**changes):
    return lambda values: values | {"shards": [values["shards"][0] | changes, *values["shards"][1:]]}


LIES = {
    "another format": (changed(format="x"), "not the manifest of a prepared corpus"),
    "a later version": (changed(version=2), "version 2, and this program reads version 1"),
    "unfinished": (changed(complete=False), "not fully prepared; run the same command again"),
    "huge rows": (changed(max_length=10**12), "damaged: max_length 1000000000000"),
    "no rows": (changed(max_length=0), "damaged: max_length 0"),
    "a dtype": (changed(dtype="object"), "damaged: dtype 'object'"),
    "no vocabulary": (changed(vocabulary=[]), "damaged: expected vocabulary as dict"),
    "no size": (changed(vocabulary={"file": "", "sha256": "", "size": "many"}), "expected size as int, found 'many'"),
    "a vocabulary elsewhere": (
        changed(vocabulary={"file": "/etc/passwd", "sha256": "", "size": 3}),
        "damaged: a vocabulary in '/etc/passwd'",
    ),
    "sources that are none": (changed(sources=["x"]), "damaged: expected sources as a list of objects"),
    "shards that are none": (changed(shards=["x"]), "damaged: expected file as str"),
    "a file elsewhere": (with_shard(file="../../etc/passwd"), "damaged: a shard '../../etc/passwd'"),
    "a negative count": (with_shard(examples=-1), "expected examples as int, found -1"),
    "true for a number": (with_shard(tokens=True), "expected tokens as int, found True"),
    "too many tokens": (with_shard(tokens=10**15), "truncated: expected 2000000000000032 bytes"),
    "too many examples": (with_shard(examples=10**9), "truncated: expected"),
    "other counts of the same size": (with_shard(tokens=22, examples=3), "damaged: its examples have 3 tokens"),
    "the tokens of another": (with_shard(tokens=18), "damaged: its examples have 17 tokens, expected 18"),
    "no examples": (with_shard(examples=0, tokens=0, bytes=0), "expected 0 bytes"),
}


@pytest.mark.parametrize("lie", LIES)
def test_manifests_that_lie(tmp_path, lie):
    change, expected = LIES[lie]
    folder = write(tmp_path / "corpus", EXAMPLES)
    values = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(change(values)))
    with pytest.raises(ValueError, match=expected):
        ExampleShards.open(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"3"])
def test_manifests_that_are_no_json(tmp_path, content):
    folder = write(tmp_path / "corpus", EXAMPLES)
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest.json: (cannot be read as JSON|not the manifest)"):
        ExampleShards.open(folder)
