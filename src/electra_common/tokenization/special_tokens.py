"""The tokens with a meaning of their own, by the names that transformers gives them, as attributes of a tokenizer."""

from __future__ import annotations

from typing import Any, Final

NAMES: Final = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# What BERT's vocabularies call them, in the order that transformers adds them.
ELECTRA: Final = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
# What byte-level and Unigram vocabularies mostly call them.
ROBERTA: Final = {
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}


class Token:
    """``tokenizer.pad_token``: the text of a special token, or None; assigning makes a special token of the text."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: Any, kind: type | None = None) -> str | None:
        return self if owner is None else owner._special.get(self.name)  # type: ignore[return-value]

    def __set__(self, owner: Any, value: str | None) -> None:
        owner.add_special_tokens({self.name: value})


class TokenId:
    """``tokenizer.pad_token_id``: the id of a special token, or None."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: Any, kind: type | None = None) -> int | None:
        if owner is None:
            return self  # type: ignore[return-value]
        token = owner._special.get(self.name)
        return None if token is None else owner._backend.token_to_id(token)
