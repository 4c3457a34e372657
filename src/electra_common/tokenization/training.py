"""Making a vocabulary from text: WordPiece or byte-level BPE, by the ``tokenizers`` library.

The same text gives the same vocabulary, which the library alone does not see to: it breaks ties by ids that it gives to
characters in the order of a hash table. So the characters are counted first, and handed over in an order of our own.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from electra_common.tokenization import special_tokens as special
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
from electra_common.tokenization.vocabulary import check_special_tokens
from electra_common.tokenization.wordpiece_settings import CONTINUATION, WordPieceSettings, rust_backend

KINDS: Final = ("wordpiece", "bpe")
# BERT's order: the padding token has id 0.
SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BYTES: Final = 256
# The library sets memory aside for as many tokens as it is asked for, whatever the text.
_MOST_TOKENS: Final = 10_000_000
_HIGHEST_COUNT: Final = (1 << 64) - 1

Lines = Callable[[], Iterable[str]]


def train_tokenizer(
    lines: Lines,
    *,
    size: int,
    kind: str = "wordpiece",
    do_lower_case: bool = True,
    strip_accents: bool | None = None,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
) -> ElectraTokenizerFast:
    """Make a tokenizer whose vocabulary fits a text.

    Args:
        lines: gives the lines of the text anew each time it is called; WordPiece reads them twice.
        size: number of tokens, special ones included. A small text may give fewer, with a warning.
        kind: ``"wordpiece"``, or ``"bpe"`` for byte-level BPE, which keeps case and knows every character.
        do_lower_case: of WordPiece: fold case.
        strip_accents: of WordPiece: take accents off; None means where case is folded.
        min_frequency: pieces that are seen less often are not made.
        limit_alphabet: of WordPiece: most characters to know; the rarest beyond are unknown.

    Raises:
        ValueError: an argument is wrong, or the size leaves no room beside characters and special tokens.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, found {kind!r}")
    if size > _MOST_TOKENS:
        raise ValueError(f"size {size} is above {_MOST_TOKENS}, the most that a vocabulary may have")
    if not 0 <= min_frequency <= _HIGHEST_COUNT:
        raise ValueError(f"min_frequency must be from 0 to {_HIGHEST_COUNT}, found {min_frequency}")
    if kind == "bpe":
        tokenizer = _train_bpe(lines, size, min_frequency)
    else:
        settings = WordPieceSettings(do_lower_case=do_lower_case, strip_accents=strip_accents)
        tokenizer = _train_wordpiece(lines, size, settings, min_frequency, limit_alphabet)
    check_special_tokens(tokenizer.get_vocab(), SPECIAL_TOKENS, "the new vocabulary")
    if len(tokenizer) < size:
        warnings.warn(
            f"the text gives only {len(tokenizer)} of {size} tokens that are seen {min_frequency} times or more; "
            "give more text, a smaller size or a lower min_frequency",
            stacklevel=2,
        )
    return tokenizer


def _train_wordpiece(
    lines: Lines, size: int, settings: WordPieceSettings, min_frequency: int, limit: int
) -> ElectraTokenizerFast:
    rules = rust_backend({token: index for index, token in enumerate(SPECIAL_TOKENS)}, settings)
    alphabet, continuing = _characters(lines(), rules, limit)
    fixed = [*SPECIAL_TOKENS, *(f"{CONTINUATION}{character}" for character in continuing)]
    _check_room(size, len(fixed) + len(alphabet))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=fixed,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    rules.train_from_iterator(lines(), trainer)
    return ElectraTokenizerFast(
        rules.get_vocab(with_added_tokens=False),
        do_lower_case=settings.do_lower_case,
        strip_accents=settings.strip_accents,
    )


def _characters(lines: Iterable[str], rules: Tokenizer, limit: int) -> tuple[list[str], list[str]]:
    """Return the characters to know, and those of them that continue words, both in Unicode's order."""
    counts: Counter[str] = Counter()
    continuing: set[str] = set()
    for word, count in _words(lines, rules):
        for character in word:
            counts[character] += count
        continuing.update(word[1:])
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    alphabet = sorted(ranked[:limit])
    return alphabet, sorted(continuing.intersection(alphabet))


def _words(lines: Iterable[str], rules: Tokenizer) -> Iterator[tuple[str, int]]:
    """Yield the words of a text with how often each was seen, a part of the text at a time."""
    seen: Counter[str] = Counter()
    for line in lines:
        normalized = rules.normalizer.normalize_str(line)
        seen.update(word for word, _ in rules.pre_tokenizer.pre_tokenize_str(normalized))
        if len(seen) > 1 << 18:
            yield from seen.items()
            seen.clear()
    yield from seen.items()


def _train_bpe(lines: Lines, size: int, min_frequency: int) -> ElectraTokenizerFast:
    _check_room(size, len(SPECIAL_TOKENS) + _BYTES)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines(), trainer)
    names = special.ELECTRA
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single="[CLS]:0 $A:0 [SEP]:0",
                pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
                special_tokens=[(names[key], tokenizer.token_to_id(names[key])) for key in ("cls_token", "sep_token")],
            ),
        ]
    )
    return ElectraTokenizerFast(tokenizer_file=tokenizer)


def _check_room(size: int, fixed: int) -> None:
    if size < fixed:
        raise ValueError(f"size {size} is below the {fixed} characters and special tokens that every vocabulary has")
