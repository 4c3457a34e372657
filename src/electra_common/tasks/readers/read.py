"""Files of a task: where they are, and their examples, whatever the task's kind and the files' format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from electra_common.tasks.examples import Example
from electra_common.tasks.readers.choices import choice_example, read_choices
from electra_common.tasks.readers.questions import question_example, read_questions
from electra_common.tasks.readers.tables import TableRow, read_rows, without_label
from electra_common.tasks.readers.texts import read_texts, text_example
from electra_common.tasks.readers.words import read_word_lists, read_words, word_list_example
from electra_common.tasks.task import SPLITS, Task
from electra_common.text_files import COMPRESSED


def read_examples(task: Task, path: str | Path, *, split: str = "train") -> Iterator[Example]:
    """Return the examples of a file, read as they are asked for.

    Args:
        task: says what the file holds and in which columns.
        path: the file.
        split: ``train``, ``dev`` or ``test``, which may have columns of its own (:attr:`Task.test_columns`). A test set
            none of whose rows has a column of the label's name has no labels.

    Raises:
        ValueError: there is no such split; and, while reading, whatever is wrong with the file, with its place.
    """
    task = task.for_split(split)
    if split == "test" and task.format == "table" and not _has_label(task, path):
        task = without_label(task)
    if task.kind == "answers":
        return read_questions(task, path)
    if task.kind == "choice":
        return read_choices(task, path)
    if task.kind == "tagging":
        return read_words(task, path) if task.format == "words" else read_word_lists(task, path)
    return read_texts(task, path)


def example_of_row(task: Task, row: TableRow) -> Example:
    """Return the example that one row of a table is; raises ValueError where a column is not there or not usable."""
    if task.kind == "tagging":
        return word_list_example(task, row)
    if task.kind == "answers":
        return question_example(task, row)
    return choice_example(task, row) if task.kind == "choice" else text_example(task, row)


def find_file(task: Task, folder: str | Path, split: str) -> Path | None:
    """Return the file of a split: the first of :attr:`Task.files` that is there, plain or compressed.

    Args:
        task: names the files.
        folder: where they are looked for.
        split: ``train``, ``dev`` or ``test``.

    Returns:
        The path; None where there is none for ``dev`` or ``test``, which not every data set has.

    Raises:
        ValueError: there is no such split, no such folder, or no file to train on.
    """
    _check_split(split)
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder with the files of task {task.name}, found none")
    names = task.files.get(split, ())
    for name in names:
        for ending in ("", *COMPRESSED):
            if (path := folder / f"{name}{ending}").is_file():
                return path
    if split == "train":
        looked = f"looked for {', '.join(names)}, also with {', '.join(COMPRESSED)}" if names else "it names no file"
        raise ValueError(f"{folder}: no file of task {task.name} to train on; {looked}")
    return None


def _has_label(task: Task, path: str | Path) -> bool:
    """Whether a row of a table has the column of the label, as far as that has a name."""
    label = task.label
    if not isinstance(label, str):
        return label is not None
    top = label.partition(".")[0]  # of a path into an object
    rows = read_rows(without_label(task), path)
    return any(label in row.names or top in row.names or not row.names for row in rows)


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; found {split!r}")
