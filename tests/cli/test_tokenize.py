"""``electra tokenize`` and ``electra vocab train``, run as a user runs them."""

import gzip
import json
import lzma
import subprocess
import sys

import pytest

import electra_common.cli.tokenize as module
from support.tokenizers import ENGLISH, VOCABULARY, shared
from support.warm_processes import run_electra


def electra(*arguments, code=0, **options):
    finished = run_electra(*arguments, **options)
    assert finished.returncode == code, finished.stderr
    return finished.stderr if code else finished.stdout


@pytest.mark.parametrize("kind", [[], ["--python"]])
def test_texts_as_a_table(kind):
    printed = electra("tokenize", "Naïve [bold]", *kind)
    for cell in ("[CLS]", "naive", "15743", "Naïve", "bold", "[SEP]"):
        assert cell in printed


def test_lines_of_a_file_and_of_standard_input(tmp_path):
    expected = "".join(" ".join(shared("rust").tokenize(line, add_special_tokens=True)) + "\n" for line in ENGLISH)
    text = "\n".join(ENGLISH)
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(text.encode()))
    for file in sorted(tmp_path.iterdir()):
        assert electra("tokenize", "--file", file) == expected
    assert electra("tokenize", input=text) == electra("tokenize", "--file", "-", input=text) == expected
    both = electra("tokenize", "--file", tmp_path / "a.txt", "--file", tmp_path / "a.txt.gz")
    assert both == expected * 2


def test_ids_offsets_and_json():
    assert electra("tokenize", "--show", "ids", "a b", "c") == "101 1037 1038 102\n101 1039 102\n"
    assert electra("tokenize", "--show", "offsets", "--no-special-tokens", "Ä bc") == "a:0-1 bc:2-4\n"
    assert electra("tokenize", "--show", "ids", "--max-length", "3", "a b c") == "101 1037 102\n"
    lines = electra("tokenize", "--json", "Ä", "b").splitlines()
    assert json.loads(lines[0]) == {
        "text": "Ä", "ids": [101, 1037, 102], "tokens": ["[CLS]", "a", "[SEP]"], "offsets": [[0, 0], [0, 1], [0, 0]],
    }  # fmt: skip
    assert len(lines) == 2


@pytest.mark.parametrize("form", ["table", "pieces", "offsets", "json"])
def test_what_a_vocabulary_holds_is_not_obeyed_by_a_terminal(monkeypatch, capsys, form):
    """As JSON it is exact: control characters by their numbers, and nothing that no encoding knows."""
    piece = "\x1b[31m\x9b1mred\ud800é"

    class Hostile:
        def __call__(self, texts, **options):
            return {"input_ids": [[7]] * len(texts), "offset_mapping": [[(0, 1)]] * len(texts)}

        def convert_ids_to_tokens(self, ids):
            return [piece] * len(ids)

    monkeypatch.setattr(module, "load", lambda *_, **__: Hostile())
    show = "ids" if form == "json" else form
    options = {"special_tokens": True, "max_length": None, "as_json": form == "json"}
    assert module.tokenize(["a"], files=[], tokenizer=None, in_python=False, show=show, **options) == 0
    out = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\ud800"} & set(out)
    if form == "json":
        assert "é" in out
        assert json.loads(out)["tokens"] == [piece]
    else:
        assert "�[31m�1mred�é" in out


def test_what_is_wrong_is_told_in_one_line(tmp_path):
    (tmp_path / "latin.txt").write_bytes("fine\nhäßlich\n".encode("latin-1"))
    assert "latin.txt, line 2: not UTF-8 at byte 1 of the line" in electra(
        "tokenize", "--file", tmp_path / "latin.txt", code=2
    )
    assert "no such file" in electra("tokenize", "--file", tmp_path / "missing.txt", code=2)
    assert "--show must be one of" in electra("tokenize", "--show", "words", "a", code=2)
    assert "either texts or --file" in electra("tokenize", "a", "--file", "b", code=2)
    (tmp_path / "broken.xz").write_bytes(b"not xz")
    assert "broken.xz: cannot be read" in electra("tokenize", "--file", tmp_path / "broken.xz", code=2)


def test_a_reader_that_stops_is_no_error(tmp_path):
    (tmp_path / "long.txt").write_text("many words of a line\n" * 20_000)
    command = [sys.executable, "-m", "electra_common", "tokenize", "--file", str(tmp_path / "long.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_file(tmp_path):
    """The peak over 24 MB is that over 2 MB: lines are read, encoded and printed a few at a time."""
    code = (
        "import sys; sys.argv = ['electra', 'tokenize', '--show', 'ids', '--file', sys.argv[1]]\n"
        "from electra_common.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "peak = next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM'))\n"
        "print(peak, file=sys.stderr)"
    )
    peaks = []
    for copies in (1, 12):
        (tmp_path / "text.txt").write_text(
            ("\n".join(ENGLISH) + "\n") * (copies * 2_000_000 // len("\n".join(ENGLISH)))
        )
        finished = subprocess.run([sys.executable, "-c", code, str(tmp_path / "text.txt")], check=True,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
        peaks.append(int(finished.stderr) / 1024)
    assert peaks[1] < peaks[0] + 8, peaks


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_a_vocabulary_from_text(tmp_path, kind):
    (tmp_path / "corpus.txt").write_text("\n".join(ENGLISH * 2), encoding="utf-8")
    out = tmp_path / "new"
    command = ("vocab", "train", tmp_path / "corpus.txt", "--size", 300, "--out", out, "--kind", kind)
    assert electra(*command) == f"300 tokens in {out}\n"
    pieces = electra("tokenize", "--tokenizer", out, "--show", "pieces", "--no-special-tokens", "whole")
    assert "".join(piece.strip("#Ġ") for piece in pieces.split()) == "whole"
    assert "holds a tokenizer already" in electra(*command, code=2)
    data = json.loads(electra(*command, "--overwrite", "--json"))
    assert (data["tokens"], data["kind"]) == (300, kind)
    assert all(str(out) in file for file in data["files"])
    assert "standard input cannot be" in electra("vocab", "train", "-", "--size", 300, "--out", out, code=2)


def test_the_default_is_the_vocabulary_of_the_released_models():
    assert electra("tokenize", "--show", "ids", "unaffable") == electra(
        "tokenize", "--show", "ids", "unaffable", "--tokenizer", VOCABULARY
    )
