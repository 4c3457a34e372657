"""Questions in the forms of SQuAD, MRQA and tables; answers that do not stand where they should are told."""

import json
import lzma

import pytest

from electra_common.tasks.examples import Answer, Question
from electra_common.tasks.readers.read import read_examples
from electra_common.tasks.task import find_task
from support.fixtures import TESTS

SQUAD, SQUAD_2, MRQA, OWN = (find_task(name) for name in ("squad", "squad-v2", "mrqa", "answers"))
CONTEXT = "Anna met Bob. 😀 Bob met Anna."


def squad(*questions, context=CONTEXT):
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def asked(name="q1", question="Who?", **fields):
    return {"id": name, "question": question, **fields}


def answer(text, start):
    return {"text": text, "answer_start": start}


def read(folder, task, value, name="dev.json"):
    file = folder / name
    lines = [value] if name == "dev.json" else value
    file.write_text("\n".join(map(json.dumps, lines)))
    return list(read_examples(task, file))


def test_published_questions_of_squad_are_read(tmp_path):
    published = json.loads((TESTS / "fixtures" / "fine_tuning" / "squad.json").read_text())
    articles = {}
    for item in published:
        question = asked(item["id"], item["question"], answers=[item["answer"]])
        articles.setdefault(item["title"], []).append({"context": item["context"], "qas": [question]})
    data = {"data": [{"title": title, "paragraphs": parts} for title, parts in articles.items()], "version": "1.1"}
    file = tmp_path / "dev-v1.1.json.xz"
    file.write_bytes(lzma.compress(json.dumps(data, indent=1).encode()))
    found = list(read_examples(SQUAD, file))
    assert len(found) == 28
    assert {question.id: (question.question, question.context, question.answers[0].text) for question in found} == {
        item["id"]: (item["question"], item["context"], item["answer"]["text"]) for item in published
    }
    assert found[0].place == f"{file}, question {found[0].id}"


def test_answers_are_counted_in_characters_and_all_of_them_kept(tmp_path):
    questions = read(tmp_path, SQUAD, squad(asked(answers=[answer("Bob", 16), answer("Bob", 9), answer("Bob", 9)])))
    answers = (Answer("Bob", 16), Answer("Bob", 9), Answer("Bob", 9))
    assert questions == [Question("q1", "Who?", CONTEXT, answers)]


def test_no_answer_and_no_known_answer_are_not_the_same(tmp_path):
    value = squad(
        asked("none", answers=[], is_impossible=True, plausible_answers=[answer("wrong", 99)]),
        asked("some", answers=[answer("Anna", 0)], is_impossible=False),
        asked("said", is_impossible=True),
        asked("unknown"),
        asked("open", is_impossible=False),
    )
    expected = {"none": (), "some": (Answer("Anna", 0),), "said": (), "unknown": None, "open": None}
    assert {question.id: question.answers for question in read(tmp_path, SQUAD_2, value)} == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (asked(answers=[answer("Bob", 10)]),
         r"dev.json, question q1: expected the answer 'Bob' at character 10 of the context, found 'ob.'; "
         "it stands at character 9"),
        (asked(answers=[answer("Bob", 15)]), "found ' Bo'; it stands at character 16"),
        (asked(answers=[answer("bob", 9)]), "found 'Bob'; the context does not have it"),
        (asked(answers=[answer("Anna", 700)]), "at character 700 .*, found nothing; it stands at character 24"),
        (asked(answers=[answer("Anna", -1)]), "q1: expected the number of a character, from 0, found a number"),
        (asked(answers=[answer("", 0)]), "question q1: an answer is empty"),
        (asked(answers=[{"text": "Bob"}]), "question q1: expected a field 'answer_start', found text"),
        (asked(answers=answer("Bob", 9)), "question q1: expected a list of answers, found an object with text"),
        (asked(answers=[]), "question q1: the question has no answer; only a task with has_impossible"),
        (asked(is_impossible=True), "question q1: the question has no answer; only a task with has_impossible"),
        (asked(answers=[], is_impossible=False), "q1: is_impossible is false, found 0 answers"),
        (asked(answers=[answer("Bob", 9)], is_impossible=True), "q1: is_impossible is true, found 1 answers"),
        (asked(question=" "), "question q1, question: the text is empty"),
        ({"question": "Who?"}, "article 1, paragraph 1: expected a field 'id', found question"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_question_is_told(tmp_path, question, expected):
    with pytest.raises(ValueError, match=expected):
        read(tmp_path, SQUAD, squad(question))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (squad(), "dev.json: expected questions, found none"),
        (squad(asked(), asked("q2"), asked()), "dev.json, question q1: there is another question with the id 'q1'"),
        (squad(asked(), context=""), "article 1, paragraph 1, context: the text is empty"),
        ([asked()], "dev.json: expected an object, with the field data, found a list of 1"),
        ({"data": [{"title": "t"}]}, "dev.json, article 1: expected a field 'paragraphs', found title"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, value, expected):
    with pytest.raises(ValueError, match=expected):
        read(tmp_path, SQUAD, value)


def test_broken_json_is_told_with_its_line(tmp_path):
    (tmp_path / "dev.json").write_text('{"data": [\n{"title": }]}')
    with pytest.raises(ValueError, match=r"dev.json, line 2, character 11: no JSON: Expecting value"):
        list(read_examples(SQUAD, tmp_path / "dev.json"))
    (tmp_path / "dev.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"dev.json: no JSON of SQuAD"):
        list(read_examples(SQUAD, tmp_path / "dev.json"))


def mrqa(*questions, context=CONTEXT):
    return [{"header": {"dataset": "NewsQA", "split": "dev"}}, {"id": "", "context": context, "qas": list(questions)}]


def found_in_text(text, *spans):
    return {"text": text, "char_spans": [list(span) for span in spans], "token_spans": []}


def test_mrqa_gives_the_first_place_of_the_first_detected_answer(tmp_path):
    value = mrqa(
        {
            "qid": "7",
            "question": "Who?",
            "answers": ["bobby", "Bob", "Anna"],
            "detected_answers": [found_in_text("Bob", (9, 11), (16, 18)), found_in_text("Anna", (0, 3))],
        },
        {"qid": "8", "question": "Whom?"},
    )
    first, second = read(tmp_path, MRQA, value, "dev.jsonl")
    assert first == Question("7", "Who?", CONTEXT, (Answer("Bob", 9), Answer("bobby", -1), Answer("Anna", -1)))
    assert first.place == f"{tmp_path / 'dev.jsonl'}, line 2, question 7"
    assert second == Question("8", "Whom?", CONTEXT, None)


def test_mrqa_found_answers_without_regard_to_case_and_marks(tmp_path):
    # As in its TriviaQA, where the answer "doc" is found in "[DOC]".
    question = {
        "qid": "7",
        "question": "Which dwarf?",
        "answers": ["doc"],
        "detected_answers": [found_in_text("doc", (0, 4))],
    }
    (found,) = read(tmp_path, MRQA, mrqa(question, context="[DOC] [TLE] Snow White"), "dev.jsonl")
    assert found.answers == (Answer("[DOC]", 0), Answer("doc", -1))


@pytest.mark.parametrize(
    ("detected", "expected"),
    [
        ([found_in_text("Bob", (10, 12))],
         "dev.jsonl, line 2, question 7: expected the answer 'Bob' at character 10 .*, found 'ob.'; it stands at .* 9"),
        ([found_in_text("Bob", (9, 10))], "line 2, question 7: expected the answer 'Bob' at character 9"),
        ([found_in_text("Bob")], r"question 7, char_spans: expected the first and the last character .*, found \[\]"),
        ([found_in_text("Bob", (9,))], "question 7, char_spans: expected the first and the last character"),
        ([found_in_text("Bob", ("9", "11"))], "question 7: expected the number of a character, from 0, found a text"),
        ([], "question 7: expected a detected answer, found none"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_answer_of_mrqa_is_told(tmp_path, detected, expected):
    question = {"qid": "7", "question": "Who?", "answers": ["Bob"], "detected_answers": detected}
    with pytest.raises(ValueError, match=expected):
        read(tmp_path, MRQA, mrqa(question), "dev.jsonl")


def row(texts, starts, **fields):
    return {"question": "Who?", "context": CONTEXT, "answers": {"text": texts, "answer_start": starts}, **fields}


def test_each_row_of_a_table_is_a_question(tmp_path):
    rows = [row(["Bob", "Anna"], [16, 0]), row(["Anna"], [24])]
    assert read(tmp_path, OWN, rows, "dev.jsonl") == [
        Question("0", "Who?", CONTEXT, (Answer("Bob", 16), Answer("Anna", 0))),
        Question("1", "Who?", CONTEXT, (Answer("Anna", 24),)),
    ]
    impossible = read(tmp_path, OWN.with_changes(has_impossible=True), [row([], [])], "dev.jsonl")
    assert [question.answers for question in impossible] == [()]
    assert [question.answers for question in read(tmp_path, OWN.with_changes(label=None), rows, "dev.jsonl")] == [
        None
    ] * 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (row(["Bob"], [8]), "dev.jsonl, line 1, column 'answers': expected the answer 'Bob' at character 8"),
        (row(["Bob"], [9, 16]), "line 1, column 'answers': expected as many texts as starts, found 1 and 2"),
        (row([], []), "dev.jsonl, line 1: the question has no answer"),
        (row("Bob", [9]), "line 1, column 'answers', text: expected a list of texts, found a text"),
        (row(["Bob"], [9], answers="Bob"), "column 'answers': expected an object, the lists text and answer_start"),
        (row(["Bob"], [9], context=""), "line 1, column 'context': the text is empty"),
        (row(["Bob"], [9], question=""), "line 1, column 'question': the text is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row_is_told(tmp_path, value, expected):
    with pytest.raises(ValueError, match=expected):
        read(tmp_path, OWN, [value], "dev.jsonl")


def test_a_table_of_questions_needs_contexts(tmp_path):
    with pytest.raises(ValueError, match="task answers: answers in a table need pair: the column of the context"):
        read(tmp_path, OWN.with_changes(pair=None), [row(["Bob"], [9])], "dev.jsonl")
