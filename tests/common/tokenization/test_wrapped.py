"""A ``tokenizer.json`` of any kind behind the same calls: byte-level BPE and Unigram, as community ELECTRAs have."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from conftest import is_installed
from electra_common import CheckpointError, ElectraTokenizer, ElectraTokenizerFast
from support.tokenizers import AWKWARD, ENGLISH, everything

NAMES = {"unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<mask>"}
TEXTS = [*(text[:40] for text in ENGLISH[:5]), *(text[:30] for text in AWKWARD), " Hello  world <mask>!", "naïve 東京"]


def byte_level(*, add_prefix_space, trim_offsets):
    """Return the tokenizer.json of RoBERTa's kind, made by the library itself."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    special = list(NAMES.values())
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(ENGLISH, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 1), ("<s>", 3), trim_offsets=trim_offsets, add_prefix_space=add_prefix_space
    )
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=list(NAMES.values()), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(ENGLISH, trainer)
    ids = {name: tokenizer.token_to_id(token) for name, token in NAMES.items()}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", ids["cls_token"]), ("</s>", ids["sep_token"])],
    )
    return tokenizer


MADE = {
    "byte-level": lambda: byte_level(add_prefix_space=False, trim_offsets=True),
    "byte-level, blanks in offsets": lambda: byte_level(add_prefix_space=False, trim_offsets=False),
    "byte-level, blank in front": lambda: byte_level(add_prefix_space=True, trim_offsets=True),
    "unigram": unigram,
}


@pytest.fixture(params=MADE, scope="module")
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "tokenizer.json"
    MADE[request.param]().save(str(path))
    return path


CALLS = {
    "plain": {},
    "filled": {"padding": True, "return_offsets_mapping": True},
    "windows": {
        "truncation": True,
        "max_length": 12,
        "stride": 2,
        "padding": True,
        "return_overflowing_tokens": True,
        "return_offsets_mapping": True,
        "return_special_tokens_mask": True,
    },
    "no special tokens": {"add_special_tokens": False},
    "arrays": {"return_tensors": "np", "padding": "max_length", "max_length": 12, "truncation": True},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_are_those_of_transformers(file, call):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(file), **NAMES)
    ours = ElectraTokenizerFast(tokenizer_file=file)
    assert everything(ours(TEXTS, **call)) == everything(theirs(TEXTS, **call, return_token_type_ids=True))
    pairs = list(reversed(TEXTS))
    assert everything(ours(TEXTS, pairs, **call)) == everything(
        theirs(TEXTS, pairs, **call, return_token_type_ids=True)
    )
    rows = ours(TEXTS)["input_ids"]
    assert ours.batch_decode(rows) == theirs.batch_decode(rows)


def test_special_tokens_are_found_by_their_usual_names(file):
    tokenizer = ElectraTokenizerFast(tokenizer_file=file)
    assert tokenizer.special_tokens_map == NAMES
    assert tokenizer.cls_token_id == tokenizer.convert_tokens_to_ids("<s>")
    assert ElectraTokenizerFast(tokenizer_file=file, mask_token="[M]").mask_token_id == len(tokenizer)


def test_rows_of_ids_follow_the_files_own_template(file):
    tokenizer = ElectraTokenizerFast(tokenizer_file=file)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Hello", "world is")]
    row = tokenizer("Hello", "world is")
    assert tokenizer.build_inputs_with_special_tokens(*ids) == row["input_ids"]
    assert tokenizer.create_token_type_ids_from_sequences(*ids) == row["token_type_ids"]


KOREAN = {
    "BPE": lambda: models.BPE({"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "가": 5, "나": 6}, []),
    "Unigram": lambda: models.Unigram(
        [(token, -1.0) for token in ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *"가나")]
    ),
}


@pytest.mark.parametrize("model", KOREAN.values(), ids=KOREAN)
def test_rows_of_ids_do_not_depend_on_the_letters_that_are_known(model):
    tokenizer = Tokenizer(model())
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = ElectraTokenizerFast(tokenizer_file=tokenizer)
    assert tokenizer("가나", "나")["input_ids"] == [2, 5, 6, 3, 6, 3]
    assert tokenizer.build_inputs_with_special_tokens([5, 6], [6]) == [2, 5, 6, 3, 6, 3]
    assert tokenizer.create_token_type_ids_from_sequences([5, 6], [6]) == [0, 0, 0, 0, 1, 1]
    assert tokenizer.get_special_tokens_mask([5, 6], [6]) == [1, 0, 0, 1, 0, 1]
    assert tokenizer.prepare_for_model([5, 6])["input_ids"] == tokenizer("가나")["input_ids"] == [2, 5, 6, 3]


def test_saving_and_loading(file, tmp_path):
    tokenizer = ElectraTokenizerFast(tokenizer_file=file, model_max_length=9)
    tokenizer("a", truncation=True)
    tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"] is None
    loaded = ElectraTokenizerFast.from_pretrained(tmp_path)
    assert everything(loaded(TEXTS, truncation=True)) == everything(tokenizer(TEXTS, truncation=True))
    with pytest.raises(CheckpointError, match=r"only WordPiece that leaves no ids out has a vocab\.txt"):
        loaded.save_vocabulary(tmp_path)


def test_offsets_are_those_of_the_files_own_rules():
    text = "Hello  world"
    spans = {}
    for trim in (True, False):
        tokenizer = ElectraTokenizerFast(tokenizer_file=byte_level(add_prefix_space=False, trim_offsets=trim))
        encoded = tokenizer(text, return_offsets_mapping=True)
        spans[trim] = ["".join(text[start:end]) for start, end in encoded["offset_mapping"][1:-1]]
        changed = ElectraTokenizerFast(
            tokenizer_file=byte_level(add_prefix_space=False, trim_offsets=not trim), trim_offsets=trim
        )
        assert everything(changed(text, return_offsets_mapping=True)) == everything(encoded)
    assert "".join(spans[False]) == text
    assert "".join(spans[True]) == text.replace(" ", "")


def test_a_blank_in_front_is_an_option():
    plain = ElectraTokenizerFast(tokenizer_file=byte_level(add_prefix_space=False, trim_offsets=True))
    changed = ElectraTokenizerFast(
        tokenizer_file=byte_level(add_prefix_space=False, trim_offsets=True), add_prefix_space=True
    )
    assert plain.tokenize(" the") == changed.tokenize("the") != plain.tokenize("the")


def test_settings_of_another_tokenizer_beside_it_are_read_over(tmp_path):
    unigram().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": false}')
    loaded = ElectraTokenizerFast.from_pretrained(tmp_path)
    alone = ElectraTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json")
    assert everything(loaded(TEXTS)) == everything(alone(TEXTS))
    with pytest.raises(CheckpointError, match="do_lower_case has no meaning"):
        ElectraTokenizerFast.from_pretrained(tmp_path, do_lower_case=True)


def test_cleaning_up_is_off_and_on_as_asked():
    text = "a , b !"
    for made, cleaned in ((unigram(), "a, b!"), (byte_level(add_prefix_space=False, trim_offsets=True), text)):
        plain = ElectraTokenizerFast(tokenizer_file=made)
        ids = plain(text, add_special_tokens=False)["input_ids"]
        assert plain.decode(ids) == text
        assert plain.decode(ids, clean_up_tokenization_spaces=True) == cleaned
        assert ElectraTokenizerFast(tokenizer_file=made, clean_up_tokenization_spaces=True).decode(ids) == cleaned


def test_options_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match=r"compat has no meaning for a tokenizer\.json"):
        ElectraTokenizerFast(tokenizer_file=unigram(), compat="google")
    for options in ({"do_lower_case": True}, {"strip_accents": True}, {"tokenize_chinese_chars": False}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} has no meaning for a tokenizer.json with NFKC"):
            ElectraTokenizerFast(tokenizer_file=unigram(), **options)
    with pytest.raises(ValueError, match=r"add_prefix_space has no meaning for this tokenizer\.json"):
        ElectraTokenizerFast(tokenizer_file=unigram(), add_prefix_space=True)
    with pytest.raises(ValueError, match="trim_offsets has no meaning for a WordPiece vocabulary"):
        ElectraTokenizerFast({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}, trim_offsets=True)
    with pytest.raises(ValueError, match="expected either vocab_file or tokenizer_file"):
        ElectraTokenizerFast()


SMALL = {piece: index for index, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "<unk>"])}
ONE_END = processors.TemplateProcessing("[CLS] $A", "[CLS] $A $B:1", [("[CLS]", 2)])
ONE_TYPE = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", [("[CLS]", 2), ("[SEP]", 3)])
LIKE_BERT = {
    "another template": ("post_processor", ONE_END),
    "one type": ("post_processor", ONE_TYPE),
    "no template": ("post_processor", None),
    "no decoder": ("decoder", None),
}


def like_bert(**parts):
    tokenizer = ElectraTokenizerFast(SMALL).backend_tokenizer
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


@pytest.mark.parametrize("case", LIKE_BERT)
def test_a_wordpiece_keeps_what_is_not_berts(case, tmp_path):
    name, part = LIKE_BERT[case]
    alone = like_bert(**{name: part})
    alone.save(str(tmp_path / "tokenizer.json"))
    expected = alone.encode("a Q", "b")
    loaded = ElectraTokenizerFast.from_pretrained(tmp_path)
    for tokenizer in (ElectraTokenizerFast(tokenizer_file=alone), loaded):
        encoded = tokenizer("a Q", "b")
        assert (encoded["input_ids"], encoded["token_type_ids"]) == (expected.ids, expected.type_ids)
    loaded.save_pretrained(tmp_path)
    assert ElectraTokenizerFast.from_pretrained(tmp_path)("a Q", "b") == encoded
    with pytest.raises(CheckpointError, match=f"json: by its {name} not BERT's WordPiece, the only one in Python"):
        ElectraTokenizer.from_pretrained(tmp_path)


def test_a_berts_own_names_are_those_of_its_file(tmp_path):
    tokenizer = like_bert(post_processor=processors.BertProcessing(("b", 6), ("[MASK]", 4)))
    tokenizer.model.unk_token = "<unk>"
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for kind in (ElectraTokenizer, ElectraTokenizerFast):
        loaded = kind.from_pretrained(tmp_path)
        assert loaded("a Q")["input_ids"] == tokenizer.encode("a Q").ids == [4, 5, 7, 6]
        assert (loaded.cls_token, loaded.sep_token, loaded.unk_token) == ("[MASK]", "b", "<unk>")
        loaded.sep_token = "[SEP]"
        assert loaded("a")["input_ids"] == [4, 5, 3]


def test_transformers_opens_what_is_saved_here(file, tmp_path):
    """As the ElectraTokenizer that its config would name, it were a WordPiece of unknown words."""
    transformers = pytest.importorskip("transformers")
    tokenizer = ElectraTokenizerFast(tokenizer_file=file)
    tokenizer.save_pretrained(tmp_path)
    automatic = is_installed("torch")  # transformers' own choice of a class cannot be imported without it
    kind = transformers.AutoTokenizer if automatic else transformers.PreTrainedTokenizerFast
    theirs = kind.from_pretrained(tmp_path)
    assert theirs(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert theirs.special_tokens_map == tokenizer.special_tokens_map
