"""The corpus that a run reads: whether it is what the run needs, and what of it stays with the run."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from electra_common.checksums import hash_file
from electra_common.pretraining.documents import HELD_OUT, TRAIN
from electra_common.pretraining.manifest import FILE_NAME as MANIFEST_FILE
from electra_common.pretraining.settings import RunSettings
from electra_common.pretraining.shards import ExampleShards
from electra_common.runs.folder_names import TOKENIZER_FOLDER
from electra_common.runs.run_folder import DATA_FILE
from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
from electra_common.tokenization.files import read_stored_files
from electra_common.weights.atomic import write_files


def open_data(settings: RunSettings) -> tuple[ExampleShards, ExampleShards | None]:
    """Return the examples to train on, and those held out where there are any and the run evaluates.

    Raises:
        ValueError: there is no such corpus, it is damaged, or not of the recipe's length.
    """
    training = ExampleShards.open(settings.data, TRAIN)
    has_held_out = settings.evaluate_every and training.manifest.of(HELD_OUT)
    held_out = ExampleShards.open(settings.data, HELD_OUT) if has_held_out else None
    _check_data(settings, training)
    return training, held_out


def _check_data(settings: RunSettings, training: ExampleShards) -> None:
    recipe = settings.recipe
    if training.max_length != recipe.max_length:
        raise ValueError(
            f"{settings.data}: examples have {training.max_length} tokens, the recipe wants {recipe.max_length}; "
            f"prepare the corpus with --max-length {recipe.max_length}, or add --set max_length={training.max_length}"
        )


def special_ids(shards: ExampleShards) -> dict[str, int]:
    """Return the ids that masking needs, of the tokenizer that made the examples.

    Raises:
        ValueError: the tokenizer in the corpus is another one, or has no such tokens.
    """
    file = shards.tokenizer_folder / str(shards.manifest.vocabulary["file"])
    if not file.is_file() or hash_file(file) != shards.vocabulary_hash:
        raise ValueError(
            f"{file}: not the vocabulary that the examples were made with; put that one back, or prepare anew"
        )
    tokenizer = ElectraTokenizerFast.from_pretrained(shards.tokenizer_folder)
    if (size := max(tokenizer.get_vocab().values()) + 1) != shards.vocab_size:
        raise ValueError(
            f"{shards.folder}: damaged: expected a vocabulary of {shards.vocab_size} ids, found {size}; prepare anew"
        )
    ids = {
        "[PAD]": tokenizer.pad_token_id,
        "[CLS]": tokenizer.cls_token_id,
        "[SEP]": tokenizer.sep_token_id,
        "[MASK]": tokenizer.mask_token_id,
    }
    if missing := [name for name, number in ids.items() if number is None]:
        raise ValueError(f"{shards.tokenizer_folder}: pre-training needs {', '.join(missing)} in the vocabulary")
    return {name: number for name, number in ids.items() if number is not None}


def copy_tokenizer(shards: ExampleShards, folder: Path) -> None:
    """Keep with the run what its networks are of no use without; raises CheckpointError where that cannot be done."""
    write_files(folder / TOKENIZER_FOLDER, dict(read_stored_files(shards.tokenizer_folder)))
    write_files(folder, {DATA_FILE: (shards.folder / MANIFEST_FILE).read_bytes()})


def data_identity(shards: ExampleShards) -> str:
    """Return what tells these examples from all others: a hash of every shard's."""
    text = "/".join([shards.vocabulary_hash, *(shard.sha256 for shard in shards.manifest.shards)])
    return sha256(text.encode()).hexdigest()
