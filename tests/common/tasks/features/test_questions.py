"""Rows of questions: real answers come back, windows stand as in BERT, whatever is long is cut."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from electra_common.tasks.examples import Answer, Question
from electra_common.tasks.features.make import make_rows
from electra_common.tasks.squad_metrics import normalize_answer
from support.fine_tuning_examples import ANSWERS, questions, tokenizer
from support.recover_answers import recovered_answers

CONTEXT = "zero one two three four five six seven eight nine"
CLS, SEP = 101, 102


def features(examples, *, max_length=64, **options):
    return make_rows(ANSWERS, examples, tokenizer(), (), max_length=max_length, is_training=True, **options)


def question(*answers, text="which one?", context=CONTEXT):
    return Question("q", text, context, tuple(Answer(*answer) for answer in answers))


def ids_of(text):
    return tokenizer()(text, add_special_tokens=False)["input_ids"]


def positions(row):
    return int(row.labels["start_positions"]), int(row.labels["end_positions"])


@settings(max_examples=25, deadline=None)
@given(st.integers(40, 150), st.integers(1, 64), st.data())
def test_every_real_answer_is_recovered_from_its_windows(max_length, max_query_length, data):
    examples = questions()
    longest = max(len(ids_of(example.answers[0].text)) for example in examples)
    room = max_length - 3 - min(max_query_length, max(len(ids_of(example.question)) for example in examples))
    assume(room >= longest)
    # Windows that share one token less than an answer has hold it whole, wherever it stands.
    doc_stride = data.draw(st.integers(1, room - longest + 1))
    found = recovered_answers(
        examples, tokenizer(), max_length=max_length, doc_stride=doc_stride, max_query_length=max_query_length
    )
    for example, texts in zip(examples, found, strict=True):
        (text,) = texts
        assert normalize_answer(text) == normalize_answer(example.answers[0].text)


def test_a_row_is_the_question_and_the_context_behind_it():
    (row,) = features([question(("two three", 9))]).rows
    expected = tokenizer()("which one?", CONTEXT)
    assert {name: column.tolist() for name, column in row.inputs.items()} == dict(expected.items())
    assert positions(row) == (expected.char_to_token(9, sequence_index=1), expected.char_to_token(17, sequence_index=1))
    assert (row.labels["start_positions"].dtype, row.labels["start_positions"].shape) == ("int64", ())


def test_an_answer_that_a_window_does_not_wholly_hold_is_no_answer_there():
    # 3 tokens of question and 3 special ones leave 4 for the context; a window stands 3 behind the one before.
    found = features([question(("two three", 9))], max_length=10, doc_stride=3)
    assert [(window.start, window.end, window.total) for window in found.windows] == [
        (0, 4, 10),
        (3, 7, 10),
        (6, 10, 10),
    ]
    assert [positions(row) for row in found.rows] == [(7, 8), (0, 0), (0, 0)]
    assert [row.example for row in found.rows] == [0, 0, 0]
    assert [row.length for row in found.rows] == [10, 10, 10]


def test_only_the_first_answer_is_learnt():
    (row,) = features([question(("six", 29), ("zero", 0))]).rows
    assert positions(row) == (11, 11)


def test_a_part_of_a_piece_stands_for_the_piece():
    (row,) = features([question(("hre", 14))]).rows
    assert positions(row) == (8, 8)


@pytest.mark.parametrize("answers", [(), (("nowhere", -1),), (("beyond", 99),), ((" ", 4),)])
def test_what_has_no_token_is_learnt_as_the_first_one(answers):
    (row,) = features([question(*answers)], head="google").rows
    assert positions(row) == (0, 0)
    assert int(row.labels["is_impossible"]) == (not answers)


def test_impossible_is_what_the_whole_context_does_not_answer_as_in_googles_code():
    found = features([question(("zero", 0)), question()], max_length=10, doc_stride=4, head="google").rows
    assert [(row.example, int(row.labels["is_impossible"])) for row in found] == [(0, 0)] * 3 + [(1, 1)] * 3
    assert found[0].labels["is_impossible"].dtype == "int64"
    assert "is_impossible" not in features([question()]).rows[0].labels


def test_a_long_question_is_cut_and_leaves_room_for_the_context():
    long = question(("zero", 0), text="why " * 5000)
    (row,) = features([long], max_length=80, max_query_length=17).rows
    why = ids_of("why")
    assert row.inputs["input_ids"].tolist() == [CLS, *why * 17, SEP, *ids_of(CONTEXT), SEP]
    rows = features([long], max_length=23, max_query_length=64).rows
    assert rows[0].inputs["input_ids"].tolist() == [CLS, *why * 15, SEP, *ids_of("zero one two three four"), SEP]


def test_every_token_of_a_context_of_a_hundred_thousand_words_stands_in_a_window():
    context = CONTEXT + " ten" * 100_000
    found = features([question(("zero", 0), context=context)], max_length=384)
    seen, room = 0, 384 - 6
    for row, window in zip(found.rows, found.windows, strict=True):
        assert window.start <= seen < window.end or window.start == 0
        assert row.length <= 384
        seen = window.end
    assert seen == found.windows[0].total == 100_010
    assert [window.start for window in found.windows[:4]] == [0, 128, 256, 384]
    assert {window.end - window.start for window in found.windows[:-1]} == {room}
    first, last = found.windows[-1].targets[0], found.windows[-1].targets[-1]
    assert context[first[0] : first[1]] == "ten"
    assert last[1] == len(context)


def test_offsets_of_a_shared_context_are_kept_once():
    found = features([question(("zero", 0)), question(("nine", 45), text="and then?")])
    assert found.windows[0].targets.base is found.windows[1].targets.base is not None


def test_a_context_without_a_token_is_a_row_all_the_same():
    (row,) = features([question(context=" ")]).rows
    assert row.inputs["input_ids"].tolist() == [CLS, *ids_of("which one?"), SEP, SEP]


@pytest.mark.parametrize("name", ["doc_stride", "max_query_length"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, found 0"):
        features([question()], **{name: 0})
    with pytest.raises(ValueError, match="max_length 4 leaves no room"):
        features([question()], max_length=4)


def test_many_questions_keep_their_order():
    examples = [question(("two", 9), text=f"number {n}?", context=f"{CONTEXT} {n}") for n in range(1100)]
    found = features(examples)
    for number in (0, 1023, 1024, 1099):
        row = found.rows[number]
        assert row.inputs["input_ids"].tolist() == tokenizer()(f"number {number}?", f"{CONTEXT} {number}")["input_ids"]
