"""What both ELECTRA families share, in numpy alone: configuration, tokenizers, weight names, formats, command line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from electra_common.config import ElectraConfig
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.conversion import convert_checkpoint
from electra_common.weights.errors import CheckpointError
from electra_common.weights.report import LoadReport

if TYPE_CHECKING:
    from electra_common.tokenization.batch_encoding import BatchEncoding
    from electra_common.tokenization.fast_tokenizer import ElectraTokenizerFast
    from electra_common.tokenization.python_tokenizer import ElectraTokenizer

__version__ = "0.1.0"

__all__ = [
    "BatchEncoding",
    "CheckpointError",
    "ElectraConfig",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "LoadReport",
    "convert_checkpoint",
    "open_checkpoint",
]

# Imported when first asked for: whoever converts a checkpoint needs no tokenizer.
_LATER: Final = {
    "BatchEncoding": "electra_common.tokenization.batch_encoding",
    "ElectraTokenizer": "electra_common.tokenization.python_tokenizer",
    "ElectraTokenizerFast": "electra_common.tokenization.fast_tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
