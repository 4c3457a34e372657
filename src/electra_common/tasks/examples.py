"""What a reader of data sets gives: one example of each kind of task, without a tokenizer and without ids.

Every example knows its ``place``, such as ``train.tsv, line 12``, so that whatever is found wrong with it later can be
told in words that help. Where the answer is not known, as in a test set without labels, it is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TextExample:
    """A text or a pair of texts, with a class or a number.

    Attributes:
        id: names the example among those of its file.
        text: the text.
        text_pair: the second one, of a pair.
        label: the name of a class, or a number; None where it is not known.
        place: file and line.
    """

    id: str
    text: str
    text_pair: str | None = None
    label: str | float | None = None
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class TaggedSentence:
    """Words, each with a tag.

    Attributes:
        id: names the sentence among those of its file.
        words: its words.
        tags: one for each word; None where they are not known.
        place: file and line of the first word.
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Answer:
    """A part of a context that answers a question.

    Attributes:
        text: the part, in its own words.
        start: its first character in the context; -1 where it counts as an answer but need not stand there in these
            words. Such ones come after those that do.
    """

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question about a text.

    Attributes:
        id: the data set's name of the question.
        question: the question.
        context: the text that may answer it.
        answers: what counts as an answer; empty where the text has none, None where it is not known.
        place: file, and which question of it.
    """

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None = None
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Choice:
    """A text and several continuations, one of which is right.

    Attributes:
        id: names the example among those of its file.
        text: what each choice is read together with.
        choices: the continuations.
        label: the number of the right one, from 0; None where it is not known.
        place: file and line.
    """

    id: str
    text: str
    choices: tuple[str, ...]
    label: int | None = None
    place: str = field(default="", compare=False)


Example = TextExample | TaggedSentence | Question | Choice
