"""``electra pretrain prepare``, as a user runs it, but for the process."""

import json
import subprocess
import sys

import numpy as np
import pytest

from electra_common.cli import pretrain_prepare
from electra_common.cli.main import main
from electra_common.pretraining.preparation import Progress
from electra_common.pretraining.shards import ExampleShards
from electra_common.tokenization.training import train_tokenizer
from support.tokenizers import ENGLISH


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(lambda: ENGLISH, size=400).save_pretrained(folder)
    return folder


@pytest.fixture
def electra(monkeypatch, capsys, tokenizer):
    def run(*arguments, code=0):
        command = ["electra", "pretrain", "prepare", *map(str, arguments), "--workers", "1"]
        if "--tokenizer" not in command:
            command += ["--tokenizer", str(tokenizer)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        return " ".join(printed.err.split()) if code else printed.out

    return run


@pytest.fixture
def corpus(tmp_path):
    file = tmp_path / "corpus.txt"
    file.write_text("\n\n".join(ENGLISH), encoding="utf-8")
    return file


def test_a_summary_for_people_and_one_for_machines(electra, corpus, tmp_path):
    printed = electra(corpus, "--out", tmp_path / "a", "--held-out", "0.2")
    train, held_out = (ExampleShards.open(tmp_path / "a", split) for split in ("train", "held-out"))
    counts = train.manifest.counts()
    assert counts["train"]["documents"] + counts["held-out"]["documents"] == len(ENGLISH)
    assert printed == (
        f"train: {counts['train']['documents']} documents, {len(train)} examples, "
        f"{counts['train']['tokens']:,} tokens\n"
        f"held-out: {counts['held-out']['documents']} documents, {len(held_out)} examples, "
        f"{counts['held-out']['tokens']:,} tokens\n"
        f"2 shards in {tmp_path / 'a'}\n"
    )
    data = json.loads(electra(corpus, "--out", tmp_path / "a", "--held-out", "0.2", "--json"))
    assert data["splits"] == counts
    assert (data["shards"], data["folder"]) == (2, str(tmp_path / "a"))
    assert data["bytes"] == sum(file.stat().st_size for file in (tmp_path / "a").glob("*.bin"))
    assert data["vocabulary"]["sha256"] == train.vocabulary_hash


def test_every_option_changes_what_is_made(electra, corpus, tmp_path):
    (tmp_path / "more.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in ENGLISH[:5]))
    (tmp_path / "dev.txt").write_text("\n\n".join(ENGLISH[:7]), encoding="utf-8")
    arguments = (
        corpus, tmp_path / "more.jsonl", "--out", tmp_path / "out", "--max-length", 24, "--segments", "google",
        "--text-field", "body", "--held-out-file", tmp_path / "dev.txt", "--repeat", f"{tmp_path / 'more.jsonl'}=3",
        "--seed", 7, "--shard-size", "1KB",
    )  # fmt: skip
    data = json.loads(electra(*arguments, "--json"))
    assert data["splits"]["train"]["documents"] == len(ENGLISH) + 3 * 5
    assert data["splits"]["held-out"]["documents"] == 7
    assert data["shards"] == 2  # a shard ends with a block, and this is one
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["max_length"] == 24
    assert {name: manifest["options"][name] for name in ("method", "text_field", "seed", "shard_bytes")} == {
        "method": "google", "text_field": "body", "seed": 7, "shard_bytes": 1000,
    }  # fmt: skip
    assert "add --overwrite" in electra(*arguments, "--max-length", "32", code=2)
    assert json.loads(electra(*arguments, "--max-length", "32", "--overwrite", "--json"))["shards"] == 2
    assert ExampleShards.open(tmp_path / "out").rows(np.array([0]))["input_ids"].shape == (1, 32)


def test_a_file_of_the_corpus_that_is_held_out_is_not_trained_on(electra, corpus, tmp_path, monkeypatch):
    (tmp_path / "dev.txt").write_text("Held out.\n\nAll of it.\n\nThree documents.")
    monkeypatch.chdir(tmp_path)
    files = sorted(tmp_path.glob("*.txt"))  # as a shell gives them
    data = json.loads(electra(*files, "--held-out-file", "./dev.txt", "--out", "out", "--json"))
    counts = {split: data["splits"][split]["documents"] for split in ("train", "held-out")}
    assert counts == {"train": len(ENGLISH), "held-out": 3}


def test_no_more_processes_than_processors(monkeypatch):
    monkeypatch.setattr(pretrain_prepare.os, "sched_getaffinity", lambda process: {1, 4, 5}, raising=False)
    assert [pretrain_prepare._workers(asked) for asked in (None, 2, 3)] == [3, 2, 3]
    with pytest.warns(UserWarning, match="--workers 1000: 3 are used, one for each processor"):
        assert pretrain_prepare._workers(1000) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.txt"], "error: none.txt: no such file"),
        (["-"], "error: -: no such file"),
        (["CORPUS", "--segments", "half"], "segments must be one of 'whole', 'google', found 'half'"),
        (["CORPUS", "--shard-size", "many"], "'many' is not a size"),
        (["CORPUS", "--repeat", "other.txt=2"], "--repeat: expected FILE=TIMES, FILE being one to train on"),
        (["CORPUS", "--repeat", "CORPUS=0"], "--repeat: expected FILE=TIMES"),
        (["CORPUS", "--repeat", "CORPUS=2", "--repeat", "CORPUS=3"], "--repeat: given twice for CORPUS; say once how"),
        (
            ["MORE", "CORPUS", "--held-out-file", "CORPUS", "--repeat", "CORPUS=2"],
            "--repeat: expected FILE=TIMES, FILE",
        ),
        (["CORPUS", "--held-out-file", "CORPUS"], "--held-out-file: all files of the corpus are held out, and none is"),
        (["CORPUS", "CORPUS"], "CORPUS: named twice; name each file once"),
        (["CORPUS", "--held-out", "1"], "held_out must be a fraction below 1"),
        (["CORPUS", "--tokenizer", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(electra, corpus, tmp_path, arguments, expected):
    (tmp_path / "more.txt").write_text("More.")
    arguments = [
        argument.replace("CORPUS", str(corpus)).replace("MORE", f"{tmp_path}/more.txt") for argument in arguments
    ]
    assert expected.replace("CORPUS", str(corpus)) in electra(*arguments, "--out", tmp_path / "out", code=2)
    assert not (tmp_path / "out").exists()


def test_plain_lines_tell_speed_and_time_left(monkeypatch):
    clock = iter([85.0, 90.0, 96.0, 100.0, 101.0, 111.0, 112.0, 126.0])
    monkeypatch.setattr(pretrain_prepare.time, "perf_counter", lambda: next(clock))
    lines = pretrain_prepare._Lines()
    checked = [lines.line(Progress(done, 1000, is_checking=True)) for done in (100, 340, 1000)]
    assert checked == [None, "checksums: 34%", None]
    told = [
        lines.line(Progress(done, 1000, tokens)) for done, tokens in ((400, 50), (500, 5500), (510, 6000), (660, 9000))
    ]
    # The first 400 bytes were there already: 100 of 600 in 11 seconds leave 55, and 260 in 26 seconds leave 34.
    assert told == [
        None, "50%, 5,500 tokens, 500 tokens/s, 55 s left", None, "66%, 9,000 tokens, 346 tokens/s, 34 s left",
    ]  # fmt: skip


def test_a_warning_is_one_line_without_our_code(tokenizer, tmp_path):
    (tmp_path / "one.txt").write_text("One document alone.\n")
    command = [sys.executable, "-m", "electra_common", "pretrain", "prepare", str(tmp_path / "one.txt"), "--workers=1"]
    command += ["--held-out=0.1", f"--tokenizer={tokenizer}", f"--out={tmp_path / 'corpus'}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stderr.splitlines() if "documents" in line]
    assert line.startswith("warning: no text was held out of 1 documents; give")
    assert "prepare_corpus(" not in done.stderr
