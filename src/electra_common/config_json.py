"""``config.json`` in transformers' form, both ways.

The rule for writing: a key is written if it was in the file the config came from, or if its value is not the default.
A config that came from no file writes the keys that transformers 4.57 always writes. So a file read and written back
is the same file, byte for byte, whichever release of transformers wrote it (sorted keys, indent 2, final newline).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from electra_common.config import ElectraConfig
from electra_common.weights.errors import CheckpointError

MODEL_TYPE: Final = "electra"
MAX_DEPTH: Final = 64
MAX_CONFIG_BYTES: Final = 1 << 20  # the released configs have under 700 bytes; nothing honest comes near a megabyte
LONGEST_REASON: Final = 300  # a key that an error names may be as long as the file

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


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse JSON text that must be an object with no key twice and finite numbers; raises ValueError."""
    try:
        values = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_float=_finite_number,
            parse_constant=_finite_number,  # NaN and Infinity, which Python reads and JSON does not know
        )
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, found {type(values).__name__}")
    _check_depth(values)
    return values


def _object_without_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice in one JSON object")
        result[key] = value
    return result


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is not finite")
    return value


def _check_depth(values: dict[str, Any]) -> None:
    """Refuse what Python can read but, called from deeper in a program, not write again."""
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"the JSON is nested too deeply (more than {MAX_DEPTH} levels)")


def format_json(values: Mapping[str, Any]) -> str:
    """Return JSON text as transformers writes it: sorted keys, indent 2, a final newline."""
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def read_json_file(file: Path, most_bytes: int, of: str) -> dict[str, Any]:
    """Read a small JSON file that may come from anyone; raises CheckpointError.

    Args:
        file: to read.
        most_bytes: a larger one is refused, and no more of it is read.
        of: what such a file says something of, for the error: ``"ELECTRA config"``.
    """
    if file.exists() and not file.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(f"{file}: not a regular file")
    try:
        with open(file, "rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from None
    if len(content) > most_bytes:
        raise CheckpointError(f"{file}: more than {most_bytes} bytes, which no {of} has")
    try:
        return parse_json_object(content.decode("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file}: {str(error)[:LONGEST_REASON]}") from None


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
