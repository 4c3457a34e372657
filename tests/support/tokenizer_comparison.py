"""Holds the pure-Python tokenizer against the ``tokenizers`` library: the same input, every observable the same.

`python -m support.tokenizer_comparison FOLDER` (in ``tests/``) does so for all the text below a folder: ``.txt``,
``.json``, ``.tar`` and these under ``.xz``. It prints how much was compared and ends with 1 at a difference.
"""

import io
import json
import lzma
import sys
import tarfile
import time
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from electra_common.tokenization.python.backend import PythonBackend
from support.fixtures import REPOSITORY

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FIELDS = (
    "ids", "tokens", "offsets", "word_ids", "type_ids", "attention_mask", "special_tokens_mask", "sequence_ids",
    "n_sequences",
)  # fmt: skip


def bert_vocabulary():
    """Return the vocabulary of the released models."""
    text = (REPOSITORY / "src/electra_common/demo_data/vocab.txt").read_text(encoding="utf-8")
    return {piece: number for number, piece in enumerate(text.split("\n")[:-1])}


def rust_tokenizer(
    vocabulary, *, lowercase=True, strip_accents=None, tokenize_chinese_chars=True, clean_text=True, cleanup=True
):
    """Build BERT's tokenizer of the library's parts."""
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=clean_text,
        handle_chinese_chars=tokenize_chinese_chars,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=cleanup)
    return tokenizer


def both(vocabulary, **options):
    """Return (the library's tokenizer, ours) for the same vocabulary and options."""
    return rust_tokenizer(vocabulary, **options), PythonBackend(vocabulary, **options)


def observed(encoding):
    """Return everything that can be seen of an encoding, its windows included."""
    return {name: getattr(encoding, name) for name in FIELDS} | {
        "overflowing": [observed(window) for window in encoding.overflowing]
    }


def first_difference(rust, python):
    """Return the first field in which two encodings differ as (name, position, theirs, ours), None if there is none."""
    for name in FIELDS:
        theirs, ours = getattr(rust, name), getattr(python, name)
        if theirs != ours:
            if not isinstance(theirs, list) or len(theirs) != len(ours):
                return name, None, theirs, ours
            position = next(i for i, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b)
            return name, position, theirs[position], ours[position]
    if len(rust.overflowing) != len(python.overflowing):
        return "overflowing", None, len(rust.overflowing), len(python.overflowing)
    pairs = zip(rust.overflowing, python.overflowing, strict=True)
    return next((found for pair in pairs if (found := first_difference(*pair))), None)


def texts_below(folder):
    """Yield (name, text) of every text file below a folder."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        name = path.name.removesuffix(".xz")
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for member in archive:
                    if member.isfile():
                        yield (
                            f"{path.name}:{member.name}",
                            archive.extractfile(member).read().decode("utf-8", "replace"),
                        )
        elif name.endswith(".json"):
            yield path.name, "\n".join(strings_in(json.loads(content)))
        elif name.endswith(".txt"):
            yield path.name, content.decode("utf-8", "replace")


def strings_in(value):
    """Yield every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings_in(item)


def main(folder):
    rust, python = both(bert_vocabulary())
    characters = tokens = differences = 0
    seconds = {"rust": 0.0, "python": 0.0}
    for name, text in texts_below(folder):
        lines = [line for line in text.split("\n") if line]
        for start in range(0, len(lines), 2000):
            batch = lines[start : start + 2000]
            begin = time.process_time()
            theirs = rust.encode_batch(batch)
            seconds["rust"] += time.process_time() - begin
            begin = time.process_time()
            ours = python.encode_batch(batch)
            seconds["python"] += time.process_time() - begin
            for line, rust_encoding, python_encoding in zip(batch, theirs, ours, strict=True):
                tokens += len(python_encoding)
                if difference := first_difference(rust_encoding, python_encoding):
                    differences += 1
                    print(f"{name}: {line[:80]!r}: {difference}")
        characters += len(text)
    print(f"{characters:,} characters, {tokens:,} tokens, {differences} lines differ; seconds: {seconds}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
