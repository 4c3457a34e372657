"""Whether the answers of a data set of the SQuAD kind can be read off their features again.

``python -m support.recover_answers --vocabulary vocab.txt FILE…`` (JSON, also ``.xz``) counts them, and says of those
that come back in other words what they come back as.
"""

import argparse
import json
import lzma
from collections import Counter
from pathlib import Path

from electra_common import ElectraTokenizerFast
from electra_common.tasks.examples import Answer, Question
from electra_common.tasks.features.make import make_rows
from electra_common.tasks.squad_metrics import normalize_answer
from electra_common.tasks.task import Task

TASK = Task(name="answers", kind="answers", metrics=("exact_match",), format="squad")


def read_questions(path):
    """Yield a question for each different answer of each question that has any."""
    data = Path(path).read_bytes()
    articles = json.loads(lzma.decompress(data) if str(path).endswith(".xz") else data)["data"]
    for paragraph in (paragraph for article in articles for paragraph in article["paragraphs"]):
        for question in paragraph["qas"]:
            for answer in {(item["text"], item["answer_start"]): None for item in question["answers"]}:
                yield Question(question["id"], question["question"], paragraph["context"], (Answer(*answer),))


def recovered_answers(questions, tokenizer, **options):
    """Return for each question the texts that the labels of its windows mark; none where no window holds the answer."""
    features = make_rows(TASK, questions, tokenizer, (), is_training=True, **options)
    return [
        {text for row in rows if (text := _marked(question, features.rows[row], features.windows[row])) is not None}
        for question, rows in zip(questions, features.rows_of_examples(), strict=True)
    ]


def _marked(question, row, window):
    start, end = int(row.labels["start_positions"]), int(row.labels["end_positions"])
    if (start, end) == (0, 0):
        return None
    first, last = window.targets[start - window.position], window.targets[end - window.position]
    return question.context[first[0] : last[1]]


def judge(question, texts):
    """Return in which way an answer came back."""
    gold = question.answers[0].text
    if not texts:
        return "in no window"
    (text,) = texts
    if text == gold:
        return "the very same"
    if normalize_answer(text) == normalize_answer(gold):
        return "the same but for what is not compared"
    return "begins or ends within a piece" if gold in text else "other"


def main():
    """Count the answers of some files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--doc-stride", type=int, default=128)
    parser.add_argument("--shown", type=int, default=20, help="how many that did not come back are shown")
    arguments = parser.parse_args()
    tokenizer = ElectraTokenizerFast(arguments.vocabulary)
    for path in arguments.files:
        questions = list(read_questions(path))
        found = recovered_answers(
            questions, tokenizer, max_length=arguments.max_length, doc_stride=arguments.doc_stride
        )  # fmt: skip
        verdicts = [judge(question, texts) for question, texts in zip(questions, found, strict=True)]
        print(f"{path}: {len(questions)} answers")
        for verdict, count in Counter(verdicts).most_common():
            print(f"  {count:6} {verdict}")
        wrong = [item for item in zip(questions, found, verdicts, strict=True) if "same" not in item[2]]
        for question, texts, verdict in wrong[: arguments.shown]:
            print(f"    {question.id}: {question.answers[0].text!r} -> {sorted(texts)!r} ({verdict})")


if __name__ == "__main__":
    main()
