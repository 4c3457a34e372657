"""``electra detect``: what it prints, writes and refuses. That its numbers are right is shown in tests/reference."""

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from cli.test_commands import assert_one_clear_line
from electra_common import ElectraConfig
from electra_common.applications.detection_page import detection_page
from electra_common.applications.replaced_words import Detection, Word
from electra_common.cli.answers import find_model, find_tokenizer
from electra_common.cli.detect import print_detection
from electra_common.embedded_model import embedded_folder
from support.fixtures import GOOGLE, GOOGLE_HEADS, TRANSFORMERS
from support.google_texts import VOCABULARY, make_models

pytestmark = pytest.mark.usefixtures("one_process_each")

HOSTILE = 'a <script>alert("1")</script>\x1b[31m [bold]b[/bold] & "c"'


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models") / "both")


@pytest.fixture
def detection():
    """Three words of a text that is hard on a terminal and a browser."""
    words = []
    for text, chance in (("script", 0.96), ('"', 0.3), ("bold", 0.02)):
        start = HOSTILE.index(text)
        words.append(Word(text, start, start + len(text), chance, (("<x>", chance), ("##y", chance / 2))))
    return Detection(HOSTILE, tuple(words))


def test_texts_of_a_file_as_json_and_as_a_page(electra, models, tmp_path):
    texts = ["w1 w2, w3 &", " ".join(f"w{number}" for number in range(90))]  # the second is longer than the positions
    (tmp_path / "texts.txt").write_text(f"{texts[0]}\n\n{texts[1]}\n")
    files = ("--file", tmp_path / "texts.txt", "--html", tmp_path / "new" / "page.html")
    code, out, err = electra("detect", *files, "--model", models, "--threshold", 0.07, "--stride", 9, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content["model"] == str(models / "discriminator")
    assert content["framework"] in ("pt", "tf")
    assert [item["text"] for item in content["texts"]] == texts
    for item, words in zip(content["texts"], (["w1", "w2", ",", "w3", "&"], texts[1].split()), strict=True):
        assert [word["text"] for word in item["words"]] == words
        for word in item["words"]:
            assert item["text"][word["start"] : word["end"]] == word["text"]
            assert word["replaced"] == (word["probability"] >= 0.07)
            assert word["probability"] == max(piece["probability"] for piece in word["pieces"])
    chances = [word["probability"] for item in content["texts"] for word in item["words"]]
    assert min(chances) < 0.07 < max(chances)
    page = (tmp_path / "new" / "page.html").read_text()
    assert page.count('class="word replaced"') == sum(chance >= 0.07 for chance in chances)


def test_a_checkpoint_of_googles_is_told_its_tokenizer_and_its_heads():
    """The page on the command line shows what comes out; that example is executed."""
    model = find_model("detect", str(GOOGLE / "trained"), tokenizer=str(VOCABULARY), heads=GOOGLE_HEADS)
    assert model.tokenizer == str(VOCABULARY)
    assert model.overrides == {"num_attention_heads": 4}
    with pytest.raises(ValueError, match="holds no tokenizer for its 120 tokens: add --tokenizer"):
        find_model("fill-mask", str(GOOGLE / "trained"))


def test_a_runs_checkpoint_is_read_with_the_runs_tokenizer(models, tmp_path, monkeypatch):
    """Also where its size is that of the released models', which is no sign then."""
    run = tmp_path / "run"
    step = run / "checkpoints" / "step-00000012"
    shutil.copytree(models / "discriminator", step)
    (run / "tokenizer").mkdir()
    (step / "vocab.txt").rename(run / "tokenizer" / "vocab.txt")
    assert find_tokenizer(step, ElectraConfig()) is None  # not yet a run's
    (step / "state.json").touch()
    (run / "run.json").touch()
    assert find_tokenizer(step, ElectraConfig()) == str(run / "tokenizer")
    (tmp_path / "link").symlink_to(step)
    assert find_model("detect", str(tmp_path / "link")).tokenizer == str(run / "tokenizer")
    monkeypatch.chdir(step.parent)
    assert find_model("detect", step.name).tokenizer == str(run / "tokenizer")
    (step / "vocab.txt").touch()
    assert find_tokenizer(step, ElectraConfig()) == str(step)


@pytest.mark.once
def test_what_is_wrong_is_one_clear_line(electra, models, tmp_path):
    (tmp_path / "blank.txt").write_text("\n \n")
    generator = TRANSFORMERS / "small-like" / "ForMaskedLM"
    for arguments, words in (
        (["", "--model", models], "text 1 is empty"),
        ([], "give a text, or --file"),
        (["--file", tmp_path / "blank.txt"], "give a text, or --file"),
        (["a", "--file", tmp_path / "blank.txt"], "either texts or --file"),
        (["a", "--model", models, "--framework", "jax"], "--framework must be one of pt, tf"),
        (["a", "--model", models / "generator"], "holds no discriminator, only a generator"),
        (["a", "--model", generator], "holds no discriminator, only a generator"),
        (["a", "--model", generator.parent / "Model"], "has no head that tells replaced tokens: it is an ElectraModel"),
        (["a", "--model", generator.parent / "ForTokenClassification"], "it is an ElectraForTokenClassification"),
        (["a", "--model", tmp_path / "nothing"], "no such file or folder"),
    ):
        assert_one_clear_line(electra("detect", *arguments), words)


def test_the_embedded_model_is_the_default_and_its_absence_is_told(monkeypatch, models, tmp_path):
    import electra_common.embedded_model as module

    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    with pytest.raises(
        ValueError, match="this installation has no discriminator of its own: name a model with --model"
    ):
        find_model("detect", None)
    (tmp_path / "embedded").symlink_to(models)
    assert embedded_folder("generator") == tmp_path / "embedded" / "generator"
    assert find_model("detect", None).path == str(tmp_path / "embedded" / "discriminator")
    with pytest.raises(ValueError, match="component must be one of discriminator, generator"):
        embedded_folder("both")


# Output ---------------------------------------------------------------------------------------------------------------


def printed(detection, threshold=0.5, **options):
    console = Console(highlight=False, width=140, **options)
    with console.capture() as capture:
        print_detection(console, detection, threshold)
    return capture.get()


def test_without_colour_replaced_words_stand_in_brackets_and_nothing_is_obeyed(detection):
    out = printed(detection)
    assert out.splitlines()[0] == 'a <[script 96%]>alert("1")</script>�[31m [bold]b[/bold] & "c"'
    assert "│ script │    3 │  9 │                         0.960 │" in out
    assert "no word reaches 0.99; the highest is script with 0.960" in printed(detection, threshold=0.99)


def test_on_a_terminal_colours_say_it_and_no_color_is_respected(detection, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = {"force_terminal": True, "color_system": "truecolor", "_environ": {}}
    first = printed(detection, **terminal).splitlines()[0]
    assert "\x1b[1;30;48;2;255;105;53mscript\x1b[0m" in first  # bold, black on a strong orange
    assert '\x1b[38;2;205;110;20m"\x1b[0m' in first  # below the threshold: orange letters
    assert "[bold]" in first  # and the one that is hardly suspicious: no colour
    assert "%]" not in first
    plain = printed(detection, **{**terminal, "_environ": {"NO_COLOR": "1"}}).splitlines()[0]
    assert "[script 96%]" in plain
    assert "48;2" not in plain


class _Page(HTMLParser):
    """Takes a page apart: its text in paragraphs of texts, its tags, and what words say on hover."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.titles, self.text, self.inside, self.title = [], {}, "", False, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.inside = self.inside or attributes.get("class") == "text"
        self.title = attributes.get("title")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "p"
        self.title = None

    def handle_data(self, data):
        if self.inside:
            self.text += data
        if self.title is not None:
            self.titles[data] = self.title


def test_the_page_shows_the_text_as_it_is_and_can_do_nothing(detection):
    page = detection_page([detection], threshold=0.5, model="<model>")
    found = _Page(page)
    assert found.text == HOSTILE
    assert "script" not in found.tags
    assert "<model>" not in page
    assert found.titles == {"script": "0.960: <x> 0.960, ##y 0.480", '"': "0.300: <x> 0.300, ##y 0.150",
                            "bold": "0.020: <x> 0.020, ##y 0.010"}  # fmt: skip
    assert "http://" not in page
    assert "https://" not in page
    shades = [float(part.partition(")")[0].rpartition(",")[2]) for part in page.split('class="word')[1:]]
    assert np.argsort(shades).tolist() == [2, 1, 0]
