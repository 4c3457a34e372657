"""From text to a folder: the same bytes for any number of processes and however often it was stopped."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from electra_common import ElectraTokenizerFast
from electra_common.pretraining import block_work
from electra_common.pretraining.documents import ReadingOptions, Source, read_blocks
from electra_common.pretraining.encoding import CorpusEncoder
from electra_common.pretraining.manifest import Manifest
from electra_common.pretraining.preparation import prepare_corpus
from electra_common.pretraining.segments import Draws, SegmentOptions
from electra_common.pretraining.shards import ExampleShards
from electra_common.runs.folder_lock import lock_folder
from electra_common.tokenization.training import train_tokenizer
from electra_common.weights.errors import CheckpointError
from support.google_segments import by_the_rules
from support.tokenizers import ENGLISH, VOCABULARY, shared

DOCUMENTS = [ENGLISH[start:end] for start, end in pairwise((0, 1, 3, 4, 9, 11, 12, 20, 21, 28, 31, 32))]
CLS, SEP = 2, 3
SEGMENTS = SegmentOptions(max_length=37)
READING = ReadingOptions(held_out=0.3, seed=5, block_characters=700)
SHARD_BYTES = 900


@cache
def small():
    """A tokenizer that is read in no time."""
    return train_tokenizer(lambda: ENGLISH, size=400)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "corpus.txt"
    file.write_text("\n\n".join("\n".join(lines) for lines in DOCUMENTS), encoding="utf-8")
    return str(file)


def prepare(corpus, folder, **options):
    """Prepare a file; what reports are given to hears of what is prepared, and not of what is checked before."""
    options = {"segments": SEGMENTS, "reading": READING, "shard_bytes": SHARD_BYTES, **options}
    if report := options.get("report"):
        options["report"] = lambda done: None if done.is_checking else report(done)
    return prepare_corpus([Source(str(corpus))], folder, options.pop("tokenizer", small()), **options)


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    """What one process makes of the corpus without being stopped."""
    folder = tmp_path_factory.mktemp("prepared") / "one"
    prepare(corpus, folder)
    return folder


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def rows(folder, split="train"):
    """Return the segments of all examples, without special tokens, as Python lists."""
    shards = ExampleShards.open(folder, split, verify=True)
    columns = shards.rows(np.arange(len(shards)))
    found = []
    for ids, mask, types in zip(*columns.values(), strict=True):
        first, second = ids[(mask == 1) & (types == 0)].tolist(), ids[types == 1].tolist()
        assert (first[0], first[-1], second[-1:]) == (CLS, SEP, [SEP] if second else [])
        found.append((first[1:-1], second[:-1]))
    return found


def tokens_of(lines):
    return [small()(line, add_special_tokens=False)["input_ids"] for line in lines]


def test_no_token_is_lost_and_no_example_has_two_documents(prepared):
    splits = {"train": iter(rows(prepared)), "held-out": iter(rows(prepared, "held-out"))}
    documents = dict.fromkeys(splits, 0)
    for lines in DOCUMENTS:
        expected = [token for line in tokens_of(lines) for token in line]
        waiting = [split for split in splits if expected[: len(peek(splits, split))] == peek(splits, split)]
        (split,) = waiting  # each document is in one of the two
        documents[split] += 1
        while expected:
            found = [token for part in next(splits[split]) for token in part]
            assert expected[: len(found)] == found
            expected = expected[len(found) :]
    assert not any(list(left) for left in splits.values())
    counts = ExampleShards.open(prepared).manifest.counts()
    assert {split: counts[split]["documents"] for split in splits} == documents
    assert min(documents.values()) > 0


def peek(splits, split):
    """Return the tokens of the next example of a split, and put it back; of none where there is no more."""
    try:
        found = next(splits[split])
    except StopIteration:
        return [object()]
    rest = splits[split]
    splits[split] = iter([found, *rest])
    return [token for part in found for token in part]


def test_google_gives_what_its_rules_give(corpus, tmp_path):
    options = SegmentOptions(max_length=64, method="google")
    prepare(corpus, tmp_path / "google", segments=options, reading=ReadingOptions(seed=9))
    expected = []
    for number, lines in enumerate(DOCUMENTS):
        draws = Draws(9, number)
        expected += by_the_rules(tokens_of(lines), 64, (draws[example] for example in range(100)))
    assert rows(tmp_path / "google") == expected


def test_the_same_bytes_for_any_number_of_processes(corpus, prepared, tmp_path):
    expected = contents(prepared)
    assert len(expected) > 8
    for workers in (2, 3):
        prepare(corpus, tmp_path / str(workers), workers=workers)
        assert contents(tmp_path / str(workers)) == expected


def test_the_same_examples_for_any_size_of_blocks_and_shards(corpus, prepared, tmp_path):
    reading = ReadingOptions(held_out=0.3, seed=5, block_characters=1 << 20)
    prepare(corpus, tmp_path / "one", reading=reading, shard_bytes=1 << 20)
    assert len(list((tmp_path / "one").glob("train-*"))) == 1
    for split in ("train", "held-out"):
        assert rows(tmp_path / "one", split) == rows(prepared, split)


def test_another_seed_gives_other_examples_of_the_same_text(corpus, tmp_path):
    found = []
    for seed in (0, 1):
        prepare(corpus, tmp_path / str(seed), reading=ReadingOptions(seed=seed))
        found.append(rows(tmp_path / str(seed)))
    assert found[0] != found[1]
    flat = [[token for example in examples for part in example for token in part] for examples in found]
    assert flat[0] == flat[1]


def test_the_tokenizer_is_in_the_folder(corpus, tmp_path):
    prepare(corpus, tmp_path / "corpus", tokenizer=shared("rust"), reading=ReadingOptions())
    shards = ExampleShards.open(tmp_path / "corpus")
    assert (shards.tokenizer_folder / "vocab.txt").read_bytes() == VOCABULARY.read_bytes()
    # SHA-256 of the vocabulary of all released models, as published with it.
    assert shards.vocabulary_hash == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    again = ElectraTokenizerFast.from_pretrained(shards.tokenizer_folder)
    assert again(ENGLISH[:3])["input_ids"] == shared("rust")(ENGLISH[:3])["input_ids"]
    assert shards.manifest.dtype == "uint16"


def test_large_vocabularies_get_32_bits(corpus, tmp_path):
    pieces = VOCABULARY.read_text(encoding="utf-8").split()
    # The same pieces, those of English words far behind the others.
    between = [f"[none{number}]" for number in range(60_000)]
    far = {piece: number for number, piece in enumerate([*pieces[:999], *between, *pieces[999:]])}
    manifest = prepare(corpus, tmp_path / "large", tokenizer=ElectraTokenizerFast(far), reading=ReadingOptions())
    assert (manifest.dtype, manifest.vocabulary["size"]) == ("uint32", 90_522)
    prepare(corpus, tmp_path / "small", tokenizer=shared("rust"), reading=ReadingOptions())
    both = [ExampleShards.open(tmp_path / name).rows(np.arange(50))["input_ids"] for name in ("large", "small")]
    np.testing.assert_array_equal(both[0], np.where(both[1] < 999, both[1], both[1] + 60_000))


def test_other_kinds_of_tokenizers(corpus, tmp_path):
    tokenizer = train_tokenizer(lambda: ENGLISH, size=300, kind="bpe")
    manifest = prepare(corpus, tmp_path / "bpe", tokenizer=tokenizer, reading=ReadingOptions())
    assert manifest.vocabulary["file"] == "tokenizer.json"
    shards = ExampleShards.open(tmp_path / "bpe")
    text = tokenizer.decode(shards.rows(np.array([0]))["input_ids"][0], skip_special_tokens=True)
    assert len(text) > 20
    assert " ".join(ENGLISH[0].split()).startswith(text.strip())


class Stopped(Exception):  # noqa: N818 it is no error
    pass


def test_stopped_behind_any_block_and_gone_on_with(corpus, prepared, tmp_path):
    expected = contents(prepared)
    seen = []
    prepare(corpus, tmp_path / "counted", report=seen.append)
    assert len(seen) > 6
    assert seen[-1].bytes_done == seen[-1].bytes_in_all == Path(corpus).stat().st_size
    for stop in range(1, len(seen) + 1):
        folder = tmp_path / str(stop)
        left = iter(range(stop - 1, -1, -1))

        def report(done, left=left):
            if next(left) == 0:
                raise Stopped

        with pytest.raises(Stopped):
            prepare(corpus, folder, report=report)
        with pytest.raises(ValueError, match="not fully prepared"):
            ExampleShards.open(folder)
        kept = {file: file.stat().st_mtime_ns for file in folder.glob("*.bin")}
        prepare(corpus, folder)
        assert contents(folder) == expected
        assert {file: file.stat().st_mtime_ns for file in kept} == kept  # finished shards are not done again


PREPARE = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from electra_common import ElectraTokenizerFast
from electra_common.pretraining.documents import ReadingOptions, Source
from electra_common.pretraining.preparation import prepare_corpus
from electra_common.pretraining.segments import SegmentOptions
if __name__ == "__main__":
    prepare_corpus(
        [Source(sys.argv[1])], Path(sys.argv[2]), ElectraTokenizerFast.from_pretrained(sys.argv[3]),
        segments=SegmentOptions(max_length=37), reading=ReadingOptions(held_out=0.3, seed=5, block_characters=700),
        shard_bytes={SHARD_BYTES}, workers=2, report=lambda done: time.sleep(0.05),
    )
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_killed_with_its_processes_and_gone_on_with(corpus, prepared, tmp_path):
    script, folder = tmp_path / "prepare.py", tmp_path / "killed"
    script.write_text(PREPARE)
    process = subprocess.Popen([sys.executable, script, corpus, folder, prepared / "tokenizer"])
    deadline = time.monotonic() + 60
    while not list(folder.glob("train-*.bin")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob("train-*.bin"))
    prepare(corpus, folder)
    assert contents(folder) == contents(prepared)
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < deadline, "processes outlive the one that began them"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_process_that_is_ended_from_outside_is_told(corpus, prepared, tmp_path):
    """As the kernel does where memory is short."""

    def report(done):
        for worker in Path("/proc/self/task/" + str(os.getpid()) + "/children").read_text().split():
            if "spawn_main" in Path(f"/proc/{worker}/cmdline").read_text():
                os.kill(int(worker), signal.SIGKILL)

    with pytest.raises(ValueError, match=r"was ended from outside; is there enough memory"):
        prepare(corpus, tmp_path / "killed", workers=2, report=report)
    prepare(corpus, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(prepared)


@pytest.fixture
def hears_interrupts():
    """What a shell starts in the background is started deaf to them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no such mask")
def test_an_interrupt_waits_until_processes_are_begun_and_they_do_not_hear_it(monkeypatch, hears_interrupts):
    begun = []

    def submit(function, block):
        signal.raise_signal(signal.SIGINT)  # to this thread: another one would take it when it comes to that
        begun.append((block.place, signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())))

    pool = SimpleNamespace(submit=submit, shutdown=lambda **_: begun.append("shut down"))
    monkeypatch.setattr(block_work, "ProcessPoolExecutor", lambda *_: nullcontext(pool))
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(KeyboardInterrupt):
        next(block_work.work_in_order(iter([SimpleNamespace(place=7)] * 2), None, 2))
    assert begun == [(7, True), "shut down"]
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("held_out", [0.0, 0.1])
def test_what_stands_in_finished_shards_is_not_tokenised_again(corpus, tmp_path, monkeypatch, held_out):
    reading = ReadingOptions(seed=5, block_characters=700, held_out=held_out)
    with pytest.raises(Stopped):
        prepare(corpus, tmp_path / "stopped", reading=reading, report=stop_at_block(6))
    manifest = Manifest.read(tmp_path / "stopped")
    done = {split: max((shard.blocks for shard in manifest.of(split)), default=0) for split in ("train", "held-out")}
    assert (done["train"] > 2, done["held-out"]) == (True, 0)
    left = [
        document.lines
        for number, block in enumerate(read_blocks([Source(corpus)], reading), 1)
        for document in block.documents
        if number > done[document.split]
    ]
    tokenised, encode = [], CorpusEncoder.encode
    monkeypatch.setattr(CorpusEncoder, "encode", lambda self, lines: tokenised.extend(lines) or encode(self, lines))
    seen = []
    prepare(corpus, tmp_path / "stopped", reading=reading, report=seen.append)
    assert tokenised == [line for lines in left for line in lines]
    assert len(seen) == sum(1 for _ in read_blocks([Source(corpus)], reading)) - done["train"]
    prepare(corpus, tmp_path / "new", reading=reading)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "new")


def test_finished_corpora_are_verified_and_repaired(corpus, prepared, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(prepared, folder)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    prepare(corpus, folder)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    file = folder / "train-00001.bin"
    file.write_bytes(file.read_bytes()[:-1])
    prepare(corpus, folder)
    assert contents(folder) == contents(prepared)
    assert (folder / "train-00000.bin").stat().st_mtime_ns == before[folder / "train-00000.bin"]


def test_a_full_disk_leaves_what_is_finished(corpus, prepared, tmp_path):
    folder = tmp_path / "full"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    prepare(corpus, tmp_path / "size", reading=ReadingOptions())  # imports write files too
    with pytest.raises(Stopped):
        prepare(corpus, folder, report=stop_at_block(2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises((CheckpointError, ValueError), match=r"full: cannot be written: File too large"):
            prepare(corpus, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    prepare(corpus, folder)
    assert contents(folder) == contents(prepared)


def stop_at_block(number):
    seen = []

    def report(done):
        seen.append(done)
        if len(seen) == number:
            raise Stopped

    return report


def test_no_space_while_writing_a_shard(corpus, prepared, tmp_path, monkeypatch):
    """/dev/full refuses every byte, as a full disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    real = open
    opened = []

    def on_full_disk(path, *arguments, **options):
        if Path(path).name.startswith(".train-00001"):
            opened.append(path)
            return real("/dev/full", "wb")
        return real(path, *arguments, **options)

    folder = tmp_path / "full"
    with monkeypatch.context() as patch:
        patch.setattr("electra_common.pretraining.shard_writer.open", on_full_disk, raising=False)
        with pytest.raises(ValueError, match=r"full: cannot be written: No space left on device"):
            prepare(corpus, folder)
    assert opened
    assert (folder / "train-00000.bin").exists()
    prepare(corpus, folder)
    assert contents(folder) == contents(prepared)


def test_folders_that_hold_something_else_are_left_alone(corpus, prepared, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "summer.jpg").write_bytes(b"")
    for folder in (other, other / "summer.jpg"):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match="exists already and is no prepared corpus; choose another folder"):
                prepare(corpus, folder, overwrite=overwrite)
    assert [file.name for file in other.iterdir()] == ["summer.jpg"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"segments": SegmentOptions(max_length=38)}, "other max_length: 37 there, 38 now"),
        ({"segments": SegmentOptions(max_length=37, method="google")}, "method 'whole' there, 'google' now"),
        ({"reading": ReadingOptions(seed=6, block_characters=700)}, "held_out 0.3 there, 0.0 now, seed 5 there, 6 now"),
        (
            {"tokenizer": ElectraTokenizerFast(tokenizer_file=small()._rust_tokenizer(), do_lower_case=False)},
            "other vocabulary",
        ),
    ],
)
def test_other_corpora_are_replaced_only_on_request(corpus, prepared, tmp_path, options, expected):
    folder = tmp_path / "corpus"
    shutil.copytree(prepared, folder)
    with pytest.raises(
        ValueError, match=rf"holds a corpus of .*{expected}.*; choose another folder or add --overwrite"
    ):
        prepare(corpus, folder, **options)
    assert contents(folder) == contents(prepared)
    prepare(corpus, folder, overwrite=True, **options)
    prepare(corpus, tmp_path / "new", **options)
    assert contents(folder) == contents(tmp_path / "new")


def test_a_file_that_changed_is_another_corpus(corpus, prepared, tmp_path):
    folder = tmp_path / "corpus"
    shutil.copytree(prepared, folder)
    (tmp_path / "corpus.txt").write_text("other text")
    with pytest.raises(ValueError, match="holds a corpus of other sources"):
        prepare(str(tmp_path / "corpus.txt"), folder)


@pytest.mark.parametrize("is_finished", [True, False])
def test_other_text_of_the_same_name_and_size_is_another_corpus(corpus, tmp_path, is_finished):
    text = Path(corpus).read_text(encoding="utf-8")
    files = [tmp_path / language / "xaa" for language in ("en", "de")]
    for file, content in zip(files, (text, text.replace("e", "a")), strict=True):
        file.parent.mkdir()
        file.write_text(content, encoding="utf-8")
    folder = tmp_path / "corpus"
    with nullcontext() if is_finished else pytest.raises(Stopped):
        prepare(files[0], folder, report=None if is_finished else stop_at_block(6))
    before = contents(folder)
    with pytest.raises(ValueError, match=r"of other sources: xaa: sha256 '\w+' there, '\w+' now; .*add --overwrite"):
        prepare(files[1], folder)
    assert contents(folder) == before
    prepare(files[1], folder, overwrite=True)
    prepare(files[1], tmp_path / "new")
    assert contents(folder) == contents(tmp_path / "new")


def test_checksums_are_told_as_they_are_made_and_options_are_compared_before(corpus, prepared, tmp_path):
    large = tmp_path / "large.txt"
    large.write_bytes(Path(corpus).read_bytes() * (1 + (1 << 20) // Path(corpus).stat().st_size))
    sources, sizes = [Source(corpus), Source(str(large))], [Path(file).stat().st_size for file in (corpus, large)]
    heard = []

    def stop_when_checked(done):
        heard.append(done)
        if not done.is_checking:
            raise Stopped

    with pytest.raises(Stopped):
        prepare_corpus(sources, tmp_path / "new", small(), reading=READING, report=stop_when_checked)
    places = [done.bytes_done for done in heard[:-1]]
    assert places == sorted(places)
    assert len(set(places)) > 4
    assert {*sizes[:1], sum(sizes)} <= set(places)
    assert {(done.bytes_in_all, done.tokens, done.is_checking) for done in heard[:-1]} == {(sum(sizes), 0, True)}

    heard.clear()
    with pytest.raises(ValueError, match="holds a corpus of other options: seed 5 there, 6 now"):
        prepare_corpus(sources[:1], prepared, small(), segments=SEGMENTS, reading=replace(READING, seed=6),
                       shard_bytes=SHARD_BYTES, report=heard.append)  # fmt: skip
    assert heard == []


def test_overwriting_begins_anew_with_the_same_text_too(corpus, prepared, tmp_path):
    folder = tmp_path / "corpus"
    shutil.copytree(prepared, folder)
    seen = []
    prepare(corpus, folder, overwrite=True, report=seen.append)
    assert len(seen) > 6
    assert contents(folder) == contents(prepared)


def test_sources_that_differ_in_number_and_by_name_are_told(corpus, prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "corpus")
    other = str(shutil.copy(corpus, tmp_path / "other.txt"))
    with pytest.raises(ValueError, match=r"of other sources: other.txt: name 'corpus.txt' there, 'other.txt' now; "):
        prepare(other, tmp_path / "corpus")
    with pytest.raises(ValueError, match="of other sources: 1 files there, 2 now; "):
        prepare_corpus([Source(corpus), Source(other)], tmp_path / "corpus", small(), reading=READING)


def test_one_preparation_at_a_time_writes_to_a_folder(corpus, prepared, tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for is_new in (True, False):
        with lock_folder(folder, "preparation"):
            before = contents(folder)
            with pytest.raises(ValueError, match="corpus: another preparation is writing here; wait for it"):
                prepare(corpus, folder, overwrite=not is_new)
            assert contents(folder) == before
        prepare(corpus, folder)
        assert contents(folder) == contents(prepared)


def test_what_is_finished_is_found_so_without_holding_the_folder(corpus, prepared):
    """It may be another's, or on a disk that takes no files."""
    with lock_folder(prepared, "preparation"):
        assert prepare(corpus, prepared).complete


def test_a_corpus_from_before_checksums_of_files_were_kept_is_the_same_corpus(corpus, prepared, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "corpus")
    values = json.loads((folder / "manifest.json").read_text())
    for source in values["sources"]:
        del source["sha256"]
    (folder / "manifest.json").write_text(json.dumps(values))
    assert len(prepare(corpus, folder).shards) == len(values["shards"])
    with pytest.raises(ValueError, match="holds a corpus of other max_length: "):
        prepare(corpus, folder, segments=SegmentOptions(max_length=38))


@pytest.mark.parametrize("name", ["tokenizer", "train-00001.bin", "manifest.json"])
def test_links_in_the_folder_are_refused(corpus, prepared, tmp_path, name):
    folder, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    shutil.copytree(prepared, folder)
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    (folder / "train-00000.bin").unlink()  # so that there is something to write
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=f"corpus/{name}: a link"):
            prepare(corpus, folder, overwrite=overwrite)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", ["", "\n \n\n"])
def test_a_corpus_without_text(tmp_path, content):
    (tmp_path / "empty.txt").write_text(content)
    with pytest.raises(ValueError, match="the corpus holds no text"):
        prepare(str(tmp_path / "empty.txt"), tmp_path / "out")
    (tmp_path / "empty.txt").write_text("now there is some")
    prepare(str(tmp_path / "empty.txt"), tmp_path / "out", reading=ReadingOptions())
    assert len(ExampleShards.open(tmp_path / "out")) == 1


def test_nothing_that_was_held_out_is_told(tmp_path):
    (tmp_path / "short.txt").write_text("one document")
    with pytest.warns(UserWarning, match="no text was held out of 1 documents; give a larger fraction"):
        prepare(str(tmp_path / "short.txt"), tmp_path / "out", reading=ReadingOptions(held_out=0.01))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"none.txt: no such file"):
        prepare(str(tmp_path / "none.txt"), tmp_path / "out")
    with pytest.raises(ValueError, match="workers and shard_bytes must be above 0, found 0 and 900"):
        prepare(str(tmp_path / "none.txt"), tmp_path / "out", workers=0)
    with pytest.raises(ValueError, match="expected at least one file"):
        prepare_corpus([], tmp_path / "out", small())
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_is_told_as_what_it_is(corpus, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"pipe: a pipe or a device, but the text is read more than once; write it to"):
        prepare(tmp_path / "pipe", tmp_path / "out")
    with pytest.raises(ValueError, match=r"a folder; expected files, so name those in it"):
        prepare(Path(corpus).parent, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_named_once_under_whatever_names(corpus, tmp_path):
    link = tmp_path / "link.txt"
    link.symlink_to(corpus)
    for is_held_out in (False, True):
        sources = [Source(name, is_held_out=is_held_out) for name in (corpus, str(link))]
        with pytest.raises(ValueError, match=r"link.txt: named twice; name each file once \(--repeat FILE=TIMES"):
            prepare_corpus(sources, tmp_path / "out", small())
    with pytest.raises(ValueError, match=r"link.txt: named as text to train on and as text to hold out; name it once"):
        prepare_corpus([Source(corpus), Source(str(link), is_held_out=True)], tmp_path / "out", small())
    assert not (tmp_path / "out").exists()


def test_a_file_that_disappears_is_not_told_as_an_error_of_the_folder(corpus, tmp_path):
    first, second = (shutil.copy(corpus, tmp_path / name) for name in ("first.txt", "second.txt"))
    with pytest.raises(ValueError, match=r"second.txt: cannot be read: No such file or directory"):
        prepare_corpus(
            [Source(str(first)), Source(str(second))], tmp_path / "out", small(),
            reading=READING, report=lambda done: Path(second).unlink(missing_ok=True),
        )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf_8_is_kept_as_text(corpus, tmp_path):
    file = shutil.copy(corpus, tmp_path / os.fsdecode(b"caf\xe9.txt"))
    for _ in range(2):
        assert prepare(file, tmp_path / "out").sources[0]["name"] == r"caf\xe9.txt"


def test_bad_text_is_named_whichever_process_finds_it(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"fine\n\n" * 50 + b"\xff")
    for workers in (1, 2):
        with pytest.raises(ValueError, match=r"bad.txt, line 101: not UTF-8"):
            prepare(str(tmp_path / "bad.txt"), tmp_path / "out", workers=workers)


def test_the_environment_is_left_as_it_was(corpus, tmp_path, monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    prepare(corpus, tmp_path / "a")
    assert "TOKENIZERS_PARALLELISM" not in os.environ
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    prepare(corpus, tmp_path / "b")
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


MEASURE = """
import resource, sys
from pathlib import Path
from electra_common import ElectraTokenizerFast
from electra_common.pretraining.documents import Source
from electra_common.pretraining.preparation import prepare_corpus
tokenizer = ElectraTokenizerFast(sys.argv[1])
for file in sys.argv[2:]:
    manifest = prepare_corpus([Source(file)], Path(file + ".prepared"), tokenizer, shard_bytes=1 << 20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak // 1024, manifest.counts()["train"]["documents"], len(manifest.shards))
"""


def test_memory_does_not_grow_with_the_corpus_and_a_line_may_have_50_megabytes(tmp_path):
    text = "\n".join(ENGLISH)
    files = [tmp_path / name for name in ("small.txt", "large.txt", "line.txt")]
    files[0].write_text(f"{text}\n\n" * 200)
    files[1].write_text(f"{text}\n\n" * 1500)
    files[2].write_text("before\n" + text.replace("\n", " ") * (50_000_000 // len(text)) + "\nbehind\n")
    printed = subprocess.run(
        [sys.executable, "-c", MEASURE, VOCABULARY, *files], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    small, large, line = ([int(number) for number in row.split()] for row in printed.splitlines())
    assert small[1:] == [200, 1]
    assert large[1] == 1500
    assert large[2] > 4  # a shard ends with a block, so at 1 MB or a little more
    assert large[0] < small[0] + 16, printed
    assert line[1] == 1
    assert line[0] < small[0] + 450, printed
