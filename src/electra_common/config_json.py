"""``config.json`` in transformers' form, both ways.

The rule for writing: a key is written if it was in the file the config came from, or if its value is not the default.
A config that came from no file writes the keys that transformers 4.57 always writes. So a file read and written back
is the same file, byte for byte, whichever release of transformers wrote it (sorted keys, indent 2, final newline).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.json_files import read_json_file
from electra_common.weights.errors import CheckpointError

MODEL_TYPE: Final = "electra"
MAX_CONFIG_BYTES: Final = 1 << 20  # the released configs have under 700 bytes; nothing honest comes near a megabyte

# What transformers 4.57 writes into every ELECTRA config.
_ALWAYS_WRITTEN: Final = frozenset(
    {
        "attention_probs_dropout_prob", "classifier_dropout", "embedding_size", "hidden_act", "hidden_dropout_prob",
        "hidden_size", "initializer_range", "intermediate_size", "layer_norm_eps", "max_position_embeddings",
        "model_type", "num_attention_heads", "num_hidden_layers", "pad_token_id", "position_embedding_type",
        "summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj", "type_vocab_size",
        "use_cache", "vocab_size",
    }
)  # fmt: skip
_NOT_IN_JSON: Final = frozenset({"attn_implementation", "extra", "file_keys", "num_labels"})
# Keys that would change the model and have no field: an empty value says "not used", which is fine.
_REFUSED_UNLESS_EMPTY: Final = ("pruned_heads", "quantization_config")


def format_json(values: Mapping[str, Any]) -> str:
    """Return JSON text as transformers writes it: sorted keys, indent 2, a final newline."""
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def read_config_file(path: Path) -> dict[str, Any]:
    """Read ``config.json`` (a file, or a folder that holds one) into config fields; raises CheckpointError."""
    file = path / "config.json" if path.is_dir() else path
    values = read_json_file(file, MAX_CONFIG_BYTES, "ELECTRA config")
    try:
        fields = fields_from_json(values)
        ElectraConfig(**fields)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{file}: {error}") from None
    return fields


def fields_from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the content of a ``config.json`` into constructor arguments of :class:`ElectraConfig`.

    Old configs may lack ``summary_*`` and ``model_type``: defaults fill in. Unknown keys go to ``extra``.
    """
    if values.get("model_type", MODEL_TYPE) != MODEL_TYPE:
        raise ValueError(f"model_type is {values['model_type']!r}, expected {MODEL_TYPE!r}: not an ELECTRA config")
    for key in _REFUSED_UNLESS_EMPTY:
        if values.get(key):
            raise ValueError(f"{key} is not supported and would change the model; found {values[key]!r}")
    known = {item.name for item in dataclasses.fields(ElectraConfig)} - _NOT_IN_JSON
    fields: dict[str, Any] = {key: value for key, value in values.items() if key in known}
    rest = {key: value for key, value in values.items() if key not in known and key != "model_type"}
    if "torch_dtype" in rest and "dtype" not in fields:  # the name before transformers 4.56
        fields["dtype"] = rest.pop("torch_dtype")
    _convert_labels(fields)
    _convert_lists(fields)
    return {**fields, **_label_count(rest), "extra": rest, "file_keys": frozenset(values)}


def _convert_labels(fields: dict[str, Any]) -> None:
    for key in ("id2label", "label2id"):
        value = fields.get(key)
        if value is None:
            fields.pop(key, None)
        elif not isinstance(value, dict):
            raise ValueError(f"{key} must be an object, found {type(value).__name__}")
    if "id2label" in fields:
        fields["id2label"] = {int(index): label for index, label in fields["id2label"].items()}


def _convert_lists(fields: dict[str, Any]) -> None:
    architectures = fields.get("architectures")
    if architectures is None:
        return
    if not isinstance(architectures, list) or not all(isinstance(name, str) for name in architectures):
        raise ValueError(f"architectures must be a list of names, found {architectures!r}")
    fields["architectures"] = tuple(architectures)


def _label_count(rest: dict[str, Any]) -> dict[str, Any]:
    return {"num_labels": rest.pop("num_labels")} if "num_labels" in rest else {}


def json_from_config(config: ElectraConfig) -> dict[str, Any]:
    """Return the content of ``config.json`` for a config; see the rule in the module's docstring."""
    default = ElectraConfig()
    written = _ALWAYS_WRITTEN if config.file_keys is None else config.file_keys
    result: dict[str, Any] = dict(config.extra)
    if "model_type" in written:
        result["model_type"] = MODEL_TYPE
    if "num_labels" in written:
        result["num_labels"] = config.num_labels
    for item in dataclasses.fields(config):
        if item.name in _NOT_IN_JSON:
            continue
        value = getattr(config, item.name)
        if item.name in written or value != getattr(default, item.name):
            result[item.name] = list(value) if isinstance(value, tuple) else value
    if "torch_dtype" in written and "dtype" not in written:
        result["torch_dtype"] = result.pop("dtype", None)
    return result
