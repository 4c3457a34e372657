"""Loading and saving: any subset of the files that transformers has written over the years."""

import json
import shutil
import time

import pytest
from tokenizers import AddedToken

from conftest import is_installed
from electra_common import CheckpointError, ElectraTokenizer, ElectraTokenizerFast
from support.tokenizers import AWKWARD, ENGLISH, KINDS, VOCABULARY, everything

SMALL = {piece: index for index, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])}
TEXTS = [*ENGLISH[:6], *AWKWARD, "a newtoken <x>Y"]


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "it").mkdir()
    return tmp_path / "it"


def write(folder, name, values):
    (folder / name).write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize("other", KINDS.values())
def test_what_one_saves_the_other_loads(kind, other, folder):
    tokenizer = kind(
        VOCABULARY, do_lower_case=False, strip_accents=True, model_max_length=77, padding_side="left",
        clean_up_tokenization_spaces=True, never_split=["##s"],
    )  # fmt: skip
    tokenizer.add_tokens(["newtoken"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<x>"]})
    written = tokenizer.save_pretrained(folder)
    assert sorted(file.name for file in folder.iterdir()) == [
        "added_tokens.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
    ]  # fmt: skip
    assert sorted(written) == sorted(str(file) for file in folder.iterdir())
    loaded = other.from_pretrained(folder)
    assert everything(loaded(TEXTS, padding=True)) == everything(tokenizer(TEXTS, padding=True))
    assert loaded.settings() == tokenizer.settings()
    assert loaded.decode(loaded("a, b'm")["input_ids"]) == "[CLS] a, b'm [SEP]"
    assert loaded.get_added_vocab() == tokenizer.get_added_vocab()


@pytest.mark.parametrize("kept", ["vocab.txt", "tokenizer.json"])
def test_one_file_is_enough(kind, folder, kept):
    """What a lone file does not say has its default: vocab.txt says nothing of case, tokenizer.json everything."""
    cased = kept == "tokenizer.json"
    tokenizer = kind(VOCABULARY, do_lower_case=not cased)
    tokenizer.save_pretrained(folder)
    for file in list(folder.iterdir()):
        if file.name != kept:
            file.unlink()
    for loaded in (kind.from_pretrained(folder), kind.from_pretrained(folder / kept)):
        assert everything(loaded(TEXTS)) == everything(tokenizer(TEXTS))
        assert loaded.model_max_length > 1e20


def test_transformers_opens_what_is_saved_here(kind, folder):
    transformers = pytest.importorskip("transformers")
    tokenizer = kind(VOCABULARY, do_lower_case=False, model_max_length=77)
    tokenizer.add_tokens(["newtoken"])
    tokenizer.save_pretrained(folder)
    automatic = is_installed("torch")  # transformers' own choice of a class cannot be imported without it
    theirs = (transformers.AutoTokenizer if automatic else transformers.BertTokenizer).from_pretrained(folder)
    assert everything(theirs(TEXTS)) == everything(tokenizer(TEXTS))
    assert theirs.model_max_length == 77


def test_what_transformers_saves_opens_here(kind, folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizer(str(VOCABULARY), do_lower_case=False, model_max_length=77)
    theirs.add_tokens(["newtoken"])
    theirs.add_special_tokens({"additional_special_tokens": ["<x>"]})
    theirs.save_pretrained(folder)
    ours = kind.from_pretrained(folder)
    assert everything(ours(TEXTS, max_length=20)) == everything(theirs(TEXTS, max_length=20))
    assert ours.model_max_length == 77
    assert ours.additional_special_tokens == ["<x>"]
    ids = theirs("a, b!")["input_ids"]
    assert ours.decode(ids) == theirs.decode(ids)


@pytest.mark.parametrize("other", KINDS.values())
def test_special_tokens_are_matched_after_loading_as_before(kind, other, folder):
    tokenizer = kind(SMALL)
    tokenizer.bos_token = AddedToken("[B]", rstrip=True, normalized=False)
    tokenizer.additional_special_tokens = [AddedToken("[E2]", lstrip=True, normalized=False)]
    tokenizer.save_pretrained(folder)
    loaded = other.from_pretrained(folder)
    text = "a  [E2] [B]  b"
    spans = [(0, 0), (0, 1), (1, 7), (8, 13), (13, 14), (0, 0)]
    assert loaded(text, return_offsets_mapping=True)["offset_mapping"] == spans
    loaded.additional_special_tokens = [*loaded.additional_special_tokens, "[E3]"]
    assert loaded(text, return_offsets_mapping=True)["offset_mapping"] == spans


LAYOUTS = {
    "of today": (),
    "without tokenizer.json": ("tokenizer.json",),
    "of 2020": ("tokenizer.json", "tokenizer_config.json"),
    "of transformers 5": ("vocab.txt", "special_tokens_map.json", "added_tokens.json"),
}


@pytest.mark.parametrize("other", KINDS.values())
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["pad_token", "sep_token", "unk_token"])
def test_a_special_token_may_be_an_added_one(kind, other, folder, layout, name):
    tokenizer = kind(SMALL)
    setattr(tokenizer, name, "<new>")
    tokenizer.save_pretrained(folder)
    for file in LAYOUTS[layout]:
        (folder / file).unlink()
    loaded = other.from_pretrained(folder)
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    assert loaded.get_vocab() == tokenizer.get_vocab()
    call = {"text": "a q <new>", "text_pair": "b", "padding": "max_length", "max_length": 9}
    assert loaded(**call) == tokenizer(**call)


def test_a_special_token_that_no_file_lists_is_named(kind, folder):
    write(folder, "tokenizer_config.json", {"pad_token": "<new>"})
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in SMALL))
    with pytest.raises(CheckpointError, match="it: lacks <new>"):
        kind.from_pretrained(folder)


def test_a_special_token_that_there_is_not_stays_away(kind, folder):
    tokenizer = kind(SMALL)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    for other in KINDS.values():
        assert other.from_pretrained(folder).pad_token is None
        assert other.from_pretrained(folder, pad_token="[PAD]").pad_token_id == 0


def test_many_added_tokens_are_saved_in_little_time(folder):
    tokens = [AddedToken(f"tok{number}", special=number % 3 == 0) for number in range(900)]
    spent = {}
    for kind in KINDS.values():
        tokenizer = kind(SMALL)
        tokenizer.add_tokens(tokens)
        begun = time.thread_time()
        tokenizer.save_pretrained(folder / kind.__name__)
        spent[kind] = time.thread_time() - begun
    assert spent[ElectraTokenizer] < 4 * spent[ElectraTokenizerFast]
    files = [(folder / kind.__name__ / "tokenizer.json").read_bytes() for kind in KINDS.values()]
    assert files[0] == files[1]


@pytest.mark.parametrize("says", ["tokenizer_config.json", "tokenizer.json"])
def test_an_additional_special_token_is_plain_where_a_file_says_so(kind, folder, says):
    """As in transformers, whose decode keeps it; a token with a name is special whatever is said."""
    tokenizer = kind(SMALL, additional_special_tokens=["<e>", "<f>"])
    tokenizer.bos_token = "<b>"
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    parts = json.loads((folder / "tokenizer.json").read_text())
    for token in (*config["added_tokens_decoder"].values(), *parts["added_tokens"]):
        token["special"] = token["content"] not in ("<b>", "<e>")
    if says == "tokenizer.json":
        del config["added_tokens_decoder"]
        (folder / "added_tokens.json").unlink()
        write(folder, "tokenizer.json", parts)
    else:
        (folder / "tokenizer.json").unlink()
    write(folder, "tokenizer_config.json", config)
    loaded = kind.from_pretrained(folder)
    ids = loaded("a <e> <f> <b> b")["input_ids"]
    assert ids == tokenizer("a <e> <f> <b> b")["input_ids"]
    assert loaded.decode(ids, skip_special_tokens=True) == "a <e> b"
    assert loaded.additional_special_tokens == ["<e>", "<f>"]
    assert loaded.tokenize("a<e>b", split_special_tokens=True) == ["a", "<e>", "b"]
    loaded.additional_special_tokens = ["<e>"]
    assert loaded.decode(ids, skip_special_tokens=True) == "a b"


def test_added_tokens_of_an_earlier_save_are_not_read(kind, folder):
    tokenizer = kind(SMALL)
    tokenizer.add_tokens(["old"])
    tokenizer.save_pretrained(folder)
    kind(SMALL).save_pretrained(folder)
    assert (folder / "added_tokens.json").exists()
    assert kind.from_pretrained(folder).get_vocab() == SMALL


@pytest.mark.parametrize("kept", [(), ("vocab.txt", "tokenizer_config.json")])
def test_cleaning_up_is_saved_as_it_is_set(kind, folder, kept):
    tokenizer = kind(SMALL)
    tokenizer.clean_up_tokenization_spaces = True
    tokenizer.save_pretrained(folder)
    for file in list(folder.iterdir()):
        if kept and file.name not in kept:
            file.unlink()
    for other in KINDS.values():
        assert other.from_pretrained(folder).clean_up_tokenization_spaces is True
        assert not other.from_pretrained(folder, clean_up_tokenization_spaces=False).clean_up_tokenization_spaces
    (folder / "tokenizer_config.json").unlink()
    for other in KINDS.values():
        assert other.from_pretrained(folder).clean_up_tokenization_spaces is False


@pytest.mark.parametrize("kept", ["vocab.txt", "tokenizer.json"])
def test_options_of_byte_level_bpe_are_read_over_in_files_of_wordpiece(kind, folder, kept):
    """As in transformers; given by the caller they are errors."""
    kind(SMALL).save_pretrained(folder)
    for file in list(folder.iterdir()):
        if file.name != kept:
            file.unlink()
    write(folder, "tokenizer_config.json", {"add_prefix_space": False, "trim_offsets": True})
    assert kind.from_pretrained(folder)("a b")["input_ids"] == [2, 5, 6, 3]
    with pytest.raises((CheckpointError, TypeError), match="trim_offsets"):
        kind.from_pretrained(folder, trim_offsets=True)


def test_a_folder_of_2020(kind, folder):
    """vocab.txt, a config of one line, special tokens and added tokens in files of their own."""
    shutil.copy(VOCABULARY, folder / "vocab.txt")
    write(folder, "tokenizer_config.json", {"do_lower_case": False, "max_len": 128, "model_name": "kept"})
    write(folder, "special_tokens_map.json", {"mask_token": {"content": "[MASK]", "lstrip": True},
                                              "additional_special_tokens": ["<x>"]})  # fmt: skip
    write(folder, "added_tokens.json", {"newtoken": 30523, "<x>": 30522})
    tokenizer = kind.from_pretrained(folder)
    assert tokenizer("A newtoken <x>  [MASK]")["input_ids"] == [101, 100, 30523, 30522, 103, 102]
    assert tokenizer.model_max_length == 128
    assert tokenizer("a b  [MASK]", return_offsets_mapping=True)["offset_mapping"][3] == (3, 11)
    tokenizer.save_pretrained(folder / "again")
    assert json.loads((folder / "again" / "tokenizer_config.json").read_text())["model_name"] == "kept"
    again = kind.from_pretrained(folder / "again")
    assert everything(again(TEXTS)) == everything(tokenizer(TEXTS))


def test_how_a_token_matches_may_stand_beside_its_name(kind, folder):
    """transformers 3 and 4.0 wrote the name into the config, and the rest into special_tokens_map.json."""
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in SMALL))
    write(folder, "tokenizer_config.json", {"mask_token": "[MASK]"})
    write(folder, "special_tokens_map.json", {"mask_token": {"content": "[MASK]", "lstrip": True}})
    assert kind.from_pretrained(folder)("a  [MASK]", return_offsets_mapping=True)["offset_mapping"][2] == (1, 9)


def test_added_tokens_of_a_newer_config(kind, folder):
    shutil.copy(VOCABULARY, folder / "vocab.txt")
    token = {"content": "new token", "lstrip": False, "rstrip": False, "normalized": True, "single_word": False}
    write(folder, "tokenizer_config.json", {
        "added_tokens_decoder": {"30522": {**token, "special": False}}, "model_max_length": int(1e30),
        "cls_token": {"__type": "AddedToken", "content": "[CLS]"}, "extra_special_tokens": {},
    })  # fmt: skip
    tokenizer = kind.from_pretrained(folder)
    assert tokenizer("a new token b")["input_ids"] == [101, 1037, 30522, 1038, 102]
    assert tokenizer.model_max_length == int(1e30)


@pytest.mark.parametrize("limit", ["512", 0, -3, True, [9]])
def test_a_length_that_is_none_is_refused(kind, folder, limit):
    shutil.copy(VOCABULARY, folder / "vocab.txt")
    write(folder, "tokenizer_config.json", {"model_max_length": limit})
    with pytest.raises(CheckpointError, match="expected a number above 0 as model_max_length"):
        kind.from_pretrained(folder)


def test_the_length_a_model_takes_comes_from_its_config_at_last(kind, folder):
    shutil.copy(VOCABULARY, folder / "vocab.txt")
    write(folder, "config.json", {"model_type": "electra", "max_position_embeddings": 9})
    assert kind.from_pretrained(folder).model_max_length == 9
    assert kind.from_pretrained(folder, model_max_length=5).model_max_length == 5
    write(folder, "tokenizer_config.json", {"model_max_length": 7})
    assert kind.from_pretrained(folder).model_max_length == 7


def test_arguments_go_before_files(kind, folder):
    kind(VOCABULARY, do_lower_case=False).save_pretrained(folder)
    assert kind.from_pretrained(folder, do_lower_case=True).tokenize("Hello") == ["hello"]
    with pytest.raises(TypeError, match="lowercase"):
        kind.from_pretrained(folder, lowercase=True)
    kind(SMALL, do_lower_case=False, strip_accents=True).save_pretrained(folder)
    assert kind.from_pretrained(folder).rules.strip_accents
    assert kind.from_pretrained(folder, strip_accents=None).rules.strip_accents is None


def test_a_lone_tokenizer_json_keeps_its_own_rules(folder):
    """transformers 5 rebuilds them from its classes' defaults, which folds case in cased models."""
    ElectraTokenizerFast(VOCABULARY, do_lower_case=False, strip_accents=False).save_pretrained(folder)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "ElectraTokenizer", "strip_accents": None})
    for kind in KINDS.values():
        assert kind.from_pretrained(folder).tokenize("hello Ä") == ["hello", "[UNK]"]
    write(folder, "tokenizer_config.json", {"do_lower_case": True})
    for kind in KINDS.values():
        assert kind.from_pretrained(folder).tokenize("HELLO") == ["hello"]


BAD_FILES = {
    "tokenizer_config.json": ["{", "[]", '"text"', "\xff", '{"do_basic_tokenize": false}', '{"cls_token": 5}',
                              '{"added_tokens_decoder": {"x": {"content": "a"}}}', '{"padding_side": "top"}',
                              '{"added_tokens_decoder": {"7": {"content": "newtoken"}}}', "[" * 100000,
                              '{"do_lower_case": "false"}', '{"strip_accents": 1}', '{"never_split": 5}',
                              '{"clean_up_tokenization_spaces": "no"}', '{"model_input_names": 5}',
                              '{"additional_special_tokens": 5}', '{"additional_special_tokens": "abc"}'],
    "special_tokens_map.json": ["{", '{"sep_token": ["a"]}', '{"sep_token": {"content": "[SEP]", "lstrip": "no"}}'],
    "added_tokens.json": ['{"newtoken": 5}', '{"newtoken": "5"}', "5"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [(name, bad) for name in BAD_FILES for bad in BAD_FILES[name]],
                         ids=lambda value: value[:40])  # fmt: skip
def test_damaged_settings_are_refused(kind, folder, name, content):
    shutil.copy(VOCABULARY, folder / "vocab.txt")
    (folder / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"it"):
        kind.from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": {"type": "WordPiece"}}', "null", "\x00", "[" * 100000])
def test_a_damaged_tokenizer_json_is_refused(kind, folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"not a tokenizer that the tokenizers library reads|cannot be read"):
        kind.from_pretrained(folder)


def test_an_id_that_no_file_of_its_size_can_hold_is_refused(kind, folder):
    """The library would make room for all the ids below."""
    kind(SMALL).save_pretrained(folder)
    parts = json.loads((folder / "tokenizer.json").read_text())
    parts["model"]["vocab"]["b"] = 1 << 31
    write(folder, "tokenizer.json", parts)
    with pytest.raises(CheckpointError, match=r"json: an id of its vocabulary is 2147483648, more than \d+ characters"):
        kind.from_pretrained(folder)


def test_truncated_and_damaged_copies_of_a_real_one_are_refused_or_read(folder):
    import numpy as np

    ElectraTokenizerFast({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5}).save_pretrained(folder)
    good = (folder / "tokenizer.json").read_bytes()
    (folder / "vocab.txt").unlink()
    refused = 0
    for case in range(300):
        random = np.random.Generator(np.random.Philox(case))
        content = bytearray(good)
        for _ in range(1 + random.integers(3)):
            content[int(random.integers(len(content)))] = int(random.integers(256))
        (folder / "tokenizer.json").write_bytes(
            content[: int(random.integers(len(content))) if case % 3 == 0 else None]
        )
        for kind in KINDS.values():
            try:
                kind.from_pretrained(folder)("a b")
            except CheckpointError:
                refused += 1
    assert refused > 300


def test_no_tokenizer_at_all(kind, folder):
    with pytest.raises(CheckpointError, match=r"holds no tokenizer; expected vocab.txt or tokenizer.json"):
        kind.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="no such file or folder"):
        kind.from_pretrained(folder / "missing" / "deeper")


def test_the_vocabulary_alone(kind, folder):
    tokenizer = kind(VOCABULARY)
    tokenizer.add_tokens(["newtoken"])
    assert tokenizer.save_vocabulary(folder) == (str(folder / "vocab.txt"),)
    assert (folder / "vocab.txt").read_bytes() == VOCABULARY.read_bytes()


def test_saving_into_a_file_is_refused(kind, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="cannot be written"):
        kind(VOCABULARY).save_pretrained(tmp_path / "file")


def test_the_python_tokenizer_says_what_it_cannot_read(folder):
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(folder / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="not BERT's WordPiece, the only one in Python; load it by"):
        ElectraTokenizer.from_pretrained(folder)
