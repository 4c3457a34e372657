"""Words with tags: CoNLL with every kind of blank, CoNLL-U by its definition, lists in tables."""

import json
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_common.tasks.examples import TaggedSentence
from electra_common.tasks.readers.read import read_examples
from electra_common.tasks.task import find_task
from support.fixtures import TESTS

NER, POS, OWN = find_task("ner"), find_task("pos"), find_task("tagging")

CONLL = """-DOCSTART- -X- O O

U.N.   NNP  I-NP B-ORG
# O B-X
, , O O
\t
 \t
-DOCSTART- -X- O O
a\u00a0b NN O O\u3000x

"""

# A range, its words, and a word that is understood but not there, as CoNLL-U defines them.
CONLL_U = """# newdoc id = d
# sent_id = 1
1-2	vámonos	_	_	_	_	_	_	_	_
1	vamos	ir	VERB	V	_	0	root	_	_
2	nos	nosotros	PRON	P	_	1	obj	_	_
2.1	#not	go	VERB	V	_	_	_	1:dep	_

# sent_id = 2
# text = a b #
1	a b	a b	DET	D	_	2	det	_	_
2	#	#	SYM	S	_	0	root	_	_
"""


def test_conll_columns_stand_between_tabs_or_runs_of_spaces(tmp_path):
    file = tmp_path / "train.txt"
    file.write_text(CONLL)
    found = list(read_examples(NER, file))
    assert found == [
        TaggedSentence("0", ("U.N.", "#", ","), ("B-ORG", "B-X", "O")),
        TaggedSentence("1", ("a\u00a0b",), ("O\u3000x",)),  # a blank that is not one of CoNLL's two belongs to a word
    ]
    assert [sentence.place for sentence in found] == [f"{file}, line 3", f"{file}, line 9"]
    file.write_text("New York\tB-LOC\n!\tO")
    assert list(read_examples(NER, file)) == [TaggedSentence("0", ("New York", "!"), ("B-LOC", "O"))]


@given(
    sentences=st.lists(
        st.lists(st.tuples(st.text("ab'#-ü\u00a0", min_size=1), st.sampled_from(["O", "B-x", "I-x"])), min_size=1),
        min_size=1,
        max_size=4,
    ),
    delimiter=st.sampled_from(["\t", " ", "   "]),
)
def test_what_was_written_is_read(tmp_path_factory, sentences, delimiter):
    text = "\n\n".join("\n".join(delimiter.join(pair) for pair in sentence) for sentence in sentences)
    file = tmp_path_factory.mktemp("words") / "train.txt"
    file.write_text(text, encoding="utf-8")
    found = [list(zip(sentence.words, sentence.tags, strict=True)) for sentence in read_examples(NER, file)]
    assert found == sentences


def test_wnut17_is_read():
    found = list(read_examples(find_task("wnut17"), TESTS / "fixtures" / "fine_tuning" / "wnut17.conll"))
    assert len(found) == 96
    assert all(6 <= len(sentence.words) == len(sentence.tags) <= 20 for sentence in found)
    assert found[1].words[:3] == ("Pxleyes", "Top", "50")
    assert found[1].tags[:3] == ("B-corporation", "O", "O")


@pytest.mark.parametrize(("name", "pack"), [("train.conllu", bytes), ("train.conllu.xz", lzma.compress)])
def test_conll_u_leaves_out_what_is_no_word(tmp_path, name, pack):
    file = tmp_path / name
    file.write_bytes(pack(CONLL_U.encode()))
    assert list(read_examples(POS, file)) == [
        TaggedSentence("0", ("vamos", "nos"), ("VERB", "PRON")),
        TaggedSentence("1", ("a b", "#"), ("DET", "SYM")),
    ]
    xpos = POS.with_changes(text=1, label="XPOS")
    assert [sentence.tags for sentence in read_examples(xpos, file)] == [("V", "P"), ("D", "S")]


def test_a_test_set_of_words_alone(tmp_path):
    file = tmp_path / "test.txt"
    file.write_text("one\ntwo\n\n\u3000\nthree\n")
    task = NER.with_changes(test_columns={"label": None})
    assert list(read_examples(task, file, split="test")) == [
        TaggedSentence("0", ("one", "two")),
        TaggedSentence("1", ("\u3000", "three")),  # a word, though it cannot be seen
    ]
    # Without that, the last column would be the words.
    with pytest.raises(ValueError, match="line 1: expected a word and a tag in columns 0 and -1, found 1 column"):
        list(read_examples(task, file))


@pytest.mark.parametrize(
    ("name", "content", "changes", "expected"),
    [
        ("train.txt", "\n-DOCSTART-\n\n", {}, "train.txt: expected sentences, one word a line, found none"),
        ("train.txt", "a O\nb O\n", {"label": 3}, r"line 1: expected a column 3 \(counted from 0\), found 2"),
        ("train.txt", "a O\nb\n", {"label": 1}, r"line 2: expected a column 1 \(counted from 0\), found 1 c"),
        ("train.txt", "a\tO\n\tO\n", {}, "train.txt, line 2, column 0: expected a word or tag, found nothing"),
        ("train.txt", b"a O\n\n\xff O\n", {}, "train.txt, line 3: not UTF-8"),
        ("train.txt", "a O\n", {"text": "FORM"}, "columns have names in .conllu files alone; .* found 'FORM'"),
        ("train.conllu", "1\ta\n", {}, "train.conllu, line 1: expected 10 columns with tabs between, found 2"),
        ("train.conllu", "x" + "\ta" * 9, {}, "train.conllu, line 1, column ID: expected a number .*, found 'x'"),
        ("train.conllu", CONLL_U, {"label": "UPOSS"}, "CoNLL-U has no column 'UPOSS'; it has ID, FORM"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, content, changes, expected):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=expected):
        list(read_examples(NER.with_changes(**changes), file))


def test_lists_of_words_in_a_table(tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"text": ["a", "b"], "label": ["O", "B-x"], "n": "s1"}, {"text": ["c"], "label": [3], "n": 2}]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert list(read_examples(OWN.with_changes(id="n"), file)) == [
        TaggedSentence("s1", ("a", "b"), ("O", "B-x")),
        TaggedSentence("2", ("c",), ("3",)),
    ]
    assert [sentence.tags for sentence in read_examples(OWN.with_changes(label=None), file)] == [None, None]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("own.jsonl", '{"text": ["a", "b"], "label": ["O"]}', "expected a tag for each of 2 words, found 1"),
        ("own.jsonl", '{"text": [], "label": []}', "line 1, column 'text': the sentence has no word"),
        ("own.jsonl", '{"text": ["a", ""], "label": ["O", "O"]}', "line 1, column 'text': the text is empty"),
        ("own.jsonl", '{"text": ["a", 2], "label": ["O", "O"]}', "column 'text': expected a text, found a number"),
        ("own.csv", "text,label\na b,O O\n", "column 'text': expected a list of words, .*CSV and TSV have no"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_lists_is_told(tmp_path, name, content, expected):
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(ValueError, match=expected):
        list(read_examples(OWN, file))
