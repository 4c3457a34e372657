"""The architecture of one ELECTRA network, as one frozen dataclass.

What it is for: every number that decides shapes and arithmetic, checked when it is made, with the defaults of
transformers' ``ElectraConfig`` (which are the values of ELECTRA-Small; paper, table 6).
What it is not: the settings of a training run (those belong to a recipe), nor a place for weights.
Reading and writing ``config.json`` is in :mod:`electra_common.config_json`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

# Names that both frameworks compute alike; `electra_pt.activations` and `electra_tf.activations` hold one entry each.
ACTIVATIONS: Final = frozenset(
    {
        "gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh",
        "gelu_pytorch_tanh", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid",
        "silu", "swish", "tanh",
    }
)  # fmt: skip
SUMMARY_TYPES: Final = ("first", "last", "mean", "cls_index")
# Label names are made up for a bare `num_labels`; without a limit, a config.json of one line could fill the memory.
MAX_LABELS: Final = 1 << 20
ATTENTION_IMPLEMENTATIONS: Final = ("sdpa", "eager")
HEADS: Final = ("transformers", "google")
# What a config's shapes follow from, in the order in which people give it.
SIZES: Final = (
    "vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings",
)  # fmt: skip
PROBLEM_TYPES: Final = ("regression", "single_label_classification", "multi_label_classification")

# Fields that exist in other people's configs and would change the numbers, with the only value that does not.
ONLY_SUPPORTED_VALUE: Final[Mapping[str, Any]] = {
    "position_embedding_type": "absolute",
    "chunk_size_feed_forward": 0,
    "torchscript": False,
    "tf_legacy_loss": False,
}


@dataclass(frozen=True, kw_only=True)
class ElectraConfig:
    """Sizes and options of one ELECTRA network (a discriminator or a generator).

    Sizes are counts, ``*_dropout*`` are probabilities in ``[0, 1]``, ``initializer_range`` is a standard deviation.
    Field names, defaults and meaning follow transformers 4.57's ``ElectraConfig``; ``generator_hidden_act`` and
    ``head`` are ours.

    ``num_labels``, ``id2label`` and ``label2id`` are linked: give any of them and the others follow.
    ``extra`` holds keys of a ``config.json`` that this library does not know; they are written back unchanged.

    Raises:
        ValueError: a value is out of range, contradicts another, or asks for something that is not supported.
    """

    vocab_size: int = 30522
    embedding_size: int = 128
    hidden_size: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12  # also in Google's code, whose contrib layer_norm has this value built in
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str | None = "gelu"
    summary_last_dropout: float = 0.1  # transformers' docstring says 0.0, its code 0.1
    summary_first_dropout: float | None = None
    summary_proj_to_labels: bool | None = None
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    # transformers computes the generator head with exact GELU whatever `hidden_act` says; Google's code uses
    # `hidden_act`. Name another activation here to get the latter (docs/fidelity).
    generator_hidden_act: str = "gelu"
    # Left-to-right: of `ElectraForCausalLM` alone, as is attention to the states of an encoder.
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    chunk_size_feed_forward: int = 0
    torchscript: bool = False
    tf_legacy_loss: bool = False
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    problem_type: str | None = None
    # Whose head sequence classification has: transformers' with a hidden layer, or Google's without (docs/fidelity).
    head: str = "transformers"
    num_labels: int | None = None
    id2label: Mapping[int, str] | None = None
    label2id: Mapping[str, int] | None = None
    architectures: tuple[str, ...] | None = None
    dtype: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    # How PyTorch computes attention: "sdpa", fused, the default; or "eager", step by step. A choice of the running
    # program and not of the checkpoint, so config.json does not hold it. Keras has the latter only.
    attn_implementation: str | None = None
    # The keys of the config.json this came from, so that it is written back with the same ones. None: a new config.
    file_keys: frozenset[str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_sizes(self)
        _check_probabilities(self)
        _check_choices(self)
        _link_labels(self)

    # Derived values ------------------------------------------------------------------------------------------------

    @property
    def head_size(self) -> int:
        """Width of one attention head: ``hidden_size // num_attention_heads``."""
        return self.hidden_size // self.num_attention_heads

    @property
    def has_embeddings_projection(self) -> bool:
        """Whether a linear layer leads from embedding width to hidden width; only where the two differ."""
        return self.embedding_size != self.hidden_size

    @property
    def head_dropout_prob(self) -> float:
        """Dropout of the classification heads: ``classifier_dropout``, or ``hidden_dropout_prob`` where it is None."""
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    @property
    def label_count(self) -> int:
        """``num_labels`` as a plain integer: once a config is made, it is never None."""
        return len(self.id2label or {})

    # Making and storing --------------------------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; a new ``num_labels`` drops label names of another count.

        Raises:
            ValueError: unknown field, or a value that is not allowed.
        """
        known = {item.name for item in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - known):
            raise ValueError(f"ElectraConfig has no field {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        given = changes.keys() & {"num_labels", "id2label", "label2id"}
        if given and not (given == {"num_labels"} and changes["num_labels"] == self.num_labels):
            changes = {"num_labels": None, "id2label": None, "label2id": None} | changes
        return dataclasses.replace(self, **changes)

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return the configuration of a released model, such as ``"small-discriminator"``.

        Raises:
            ValueError: no released model has that name.
        """
        from electra_common.presets import preset_fields

        return cls(**preset_fields(name))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a config from the content of a ``config.json``; raises ValueError on anything unusable."""
        from electra_common.config_json import fields_from_json

        return cls(**fields_from_json(values))

    def to_dict(self) -> dict[str, Any]:
        """Return what ``config.json`` would hold, with keys as transformers writes them."""
        from electra_common.config_json import json_from_config

        return json_from_config(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build a config from JSON text; raises ValueError on anything unusable."""
        from electra_common.json_files import parse_json_object

        return cls.from_dict(parse_json_object(text))

    def to_json(self) -> str:
        """Return the text of ``config.json``, byte for byte as transformers would write the same values."""
        from electra_common.config_json import format_json

        return format_json(self.to_dict())

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read ``config.json`` of a folder (or the file itself); raises CheckpointError if it is absent or unusable."""
        from electra_common.config_json import read_config_file

        return cls(**read_config_file(Path(folder)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` into a folder, made if it does not exist."""
        from electra_common.weights.atomic import write_files

        write_files(Path(folder), {"config.json": self.to_json().encode()})


def _check_sizes(config: ElectraConfig) -> None:
    at_least_one = (
        "vocab_size", "embedding_size", "hidden_size", "num_attention_heads", "intermediate_size",
        "max_position_embeddings", "type_vocab_size",
    )  # fmt: skip
    for name in at_least_one:
        _check_integer(config, name, minimum=1)
    _check_integer(config, "num_hidden_layers", minimum=0)
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"hidden_size {config.hidden_size} is not a multiple of num_attention_heads {config.num_attention_heads}"
        )
    if config.pad_token_id is not None:
        _check_integer(config, "pad_token_id", minimum=0)
        if config.pad_token_id >= config.vocab_size:
            raise ValueError(f"pad_token_id {config.pad_token_id} is outside the vocabulary of {config.vocab_size}")


def _check_integer(config: ElectraConfig, name: str, *, minimum: int) -> None:
    value = getattr(config, name)
    if type(value) is not int or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, found {value!r}")


def _check_probabilities(config: ElectraConfig) -> None:
    optional = ("classifier_dropout", "summary_first_dropout")
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "summary_last_dropout", *optional):
        value = getattr(config, name)
        if value is None and name in optional:
            continue
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"{name} must be a probability from 0 to 1, found {value!r}")
    for name in ("initializer_range", "layer_norm_eps"):
        value = getattr(config, name)
        if not _is_number(value) or not 0 <= value <= sys.float_info.max:  # also integers that no float can hold
            raise ValueError(f"{name} must be a number of at least 0, found {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_choices(config: ElectraConfig) -> None:
    for name in ("hidden_act", "generator_hidden_act", "summary_activation"):
        value = getattr(config, name)
        if name == "summary_activation" and value is None:
            continue
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise ValueError(f"{name} {value!r} is not known; known: {', '.join(sorted(ACTIVATIONS))}")
    if config.summary_type not in SUMMARY_TYPES:
        raise ValueError(f"summary_type must be one of {', '.join(SUMMARY_TYPES)}, found {config.summary_type!r}")
    if config.problem_type is not None and config.problem_type not in PROBLEM_TYPES:
        raise ValueError(f"problem_type must be one of {', '.join(PROBLEM_TYPES)}, found {config.problem_type!r}")
    if config.head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, found {config.head!r}")
    if config.attn_implementation not in (None, *ATTENTION_IMPLEMENTATIONS):
        known = ", ".join(ATTENTION_IMPLEMENTATIONS)
        raise ValueError(f"attn_implementation must be None or one of {known}, found {config.attn_implementation!r}")
    for name, supported in ONLY_SUPPORTED_VALUE.items():
        if (value := getattr(config, name)) != supported:
            raise ValueError(
                f"{name} {value!r} is not supported and would change the numbers; supported: {supported!r}"
            )
    for name in ("summary_use_proj", "use_cache", "tie_word_embeddings", "output_attentions", "output_hidden_states",
                 "return_dict", "is_decoder", "add_cross_attention"):  # fmt: skip
        if not isinstance(getattr(config, name), bool):
            raise ValueError(f"{name} must be true or false, found {getattr(config, name)!r}")
    if config.add_cross_attention and not config.is_decoder:
        raise ValueError("add_cross_attention True is of decoders: expected is_decoder True, found False")


def _check_labels(config: ElectraConfig) -> None:
    """Check what linking relies on. Label names of other types than strings occur in published configs."""
    if config.num_labels is not None:
        _check_integer(config, "num_labels", minimum=0)
        if config.num_labels > MAX_LABELS:
            raise ValueError(f"num_labels must be at most {MAX_LABELS}, found {config.num_labels}")
    for index, label in (config.id2label or {}).items():
        if type(index) is not int or not isinstance(label, Hashable):
            raise ValueError(f"id2label must lead from integers to names, found {index!r}: {label!r}")
    for label, index in (config.label2id or {}).items():
        if config.id2label is None and type(index) is not int:
            raise ValueError(f"label2id must lead from names to integers, found {label!r}: {index!r}")


def _link_labels(config: ElectraConfig) -> None:
    """Fill in `num_labels`, `id2label` and `label2id` from one another; two labels where none is given."""
    _check_labels(config)
    id2label = config.id2label
    if id2label is None and config.label2id is not None:
        id2label = {index: label for label, index in config.label2id.items()}
    if id2label is None:
        id2label = {index: f"LABEL_{index}" for index in range(2 if config.num_labels is None else config.num_labels)}
    if config.num_labels is not None and config.num_labels != len(id2label):
        raise ValueError(f"num_labels is {config.num_labels}, but there are {len(id2label)} label names: {id2label}")
    label2id = config.label2id
    if label2id is None:
        label2id = {label: index for index, label in id2label.items()}
    object.__setattr__(config, "id2label", dict(id2label))
    object.__setattr__(config, "label2id", dict(label2id))
    object.__setattr__(config, "num_labels", len(id2label))
