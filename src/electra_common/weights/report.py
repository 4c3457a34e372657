"""What loading a checkpoint found: every tensor accounted for, nothing guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from electra_common.weights.names import BODY, find_row


@dataclass(frozen=True)
class WrongShape:
    """A tensor whose stored shape is not the model's."""

    name: str
    expected: tuple[int, ...]
    found: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: expected {list(self.expected)}, found {list(self.found)}"


@dataclass(frozen=True)
class LoadReport:
    """The outcome of loading, by canonical tensor name.

    Attributes:
        source: the checkpoint's path.
        format: its file format.
        component: ``"discriminator"`` or ``"generator"``.
        loaded: tensors taken from the checkpoint.
        new: tensors of a head that the checkpoint does not have; they were initialised.
        missing: tensors that the model needs and the checkpoint lacks. Always an error.
        unexpected: tensors that nobody knows. Always an error.
        wrong_shape: tensors whose shape differs. Always an error.
        tied: tensors that share another one's memory (the vocabulary projection: the word table).
        leftovers: tensors that are known and not wanted here, with the reason.
    """

    source: str
    format: str
    component: str
    loaded: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    wrong_shape: tuple[WrongShape, ...] = ()
    tied: tuple[str, ...] = ()
    leftovers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the model can be used: nothing missing, unexpected or of another shape."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def problems(self) -> str:
        """Return one line that names every tensor that stands in the way of loading."""
        groups = (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("wrong shape", tuple(str(item) for item in self.wrong_shape)),
        )
        found = [f"{len(names)} {label} ({', '.join(names)})" for label, names in groups if names]
        return f"{self.source}: the {self.component} does not fit the model: {'; '.join(found)}; {self._remedy()}"

    def _remedy(self) -> str:
        """Return what to do about what does not fit, by where it lies: in the encoder, in a head, or in neither."""
        if any(" of " in name for name in self.unexpected):
            return "weights are floating-point numbers: get the file again"
        rows = [find_row(name) for name in (*self.missing, *self.unexpected, *(item.name for item in self.wrong_shape))]
        if any(row is None for row in rows):
            return "is this an ELECTRA, and of a kind that docs/checkpoints lists?"
        if any(row is not None and row.part == BODY for row in rows):
            return (
                "the config describes another network: give the right one (config=…, or single fields such as "
                "num_hidden_layers=…)"
            )
        if self.missing:
            return "the head is incomplete: get the file again, or load the encoder alone with ElectraModel"
        return "the head is another: give its num_labels=… or class, or load the encoder alone with ElectraModel"

    def new_head_warning(self) -> str:
        """Return the one warning for a head that was initialised, not loaded."""
        return (
            f"{self.source}: the {self.component} has no weights for {', '.join(self.new)}; "
            "they were initialised and must be trained before use"
        )

    def leftover_reasons(self) -> dict[str, int]:
        """Return how many tensors were left aside for each reason."""
        counts: dict[str, int] = {}
        for reason in self.leftovers.values():
            counts[reason] = counts.get(reason, 0) + 1
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for ``--json``."""
        return {
            "source": self.source,
            "format": self.format,
            "component": self.component,
            "loaded": list(self.loaded),
            "new": list(self.new),
            "missing": list(self.missing),
            "unexpected": list(self.unexpected),
            "wrong_shape": [str(item) for item in self.wrong_shape],
            "tied": list(self.tied),
            "leftovers": dict(self.leftovers),
        }
