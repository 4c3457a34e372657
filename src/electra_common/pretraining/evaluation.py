"""What both networks get right on text held out from training: sums over batches that merge across processes.

Everything is counted over real tokens or over slots that hold a masked token; padding is in no number. Training's own
loss is computed by the models, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

# Of a float32 logit these leading bits choose its bin: sign, 8 bits of exponent and 9 of mantissa.
_BIN_BITS: Final = 18
_SUMS: Final = (
    "masked",
    "masked_right",
    "generator_loss",
    "sampled",
    "sampled_right",
    "real",
    "discriminator_loss",
    "right",
    "called_replaced",
    "replaced",
    "found",
)

# What :meth:`PretrainingEvaluation.result` returns, and what it means.
METRICS: Final = {
    "generator_loss": "mean negative log likelihood of the original tokens at masked positions",
    "masked_accuracy": "share of masked tokens that the generator finds most likely",
    "sampled_accuracy": "share of masked tokens that were drawn again, so that nothing was replaced",
    "discriminator_loss": "mean binary cross-entropy over real tokens",
    "accuracy": "share of real tokens told right; a logit above 0 means replaced",
    "precision": "share of tokens called replaced that are; 0 if none was called so",
    "recall": "share of replaced tokens that were called so; 0 if none was replaced",
    "auc": "chance that a replaced token has a higher logit than an original one; left out where there are not both",
    "positive_rate": "share of real tokens that are replaced",
}


class PretrainingEvaluation:
    """Sums for the metrics of one evaluation: :meth:`update` with each batch, :meth:`merge` processes, :meth:`result`.

    The area under the curve comes from two histograms of the logits, one of replaced and one of original tokens, with
    2^18 bins that are finer than 0.2 % of a logit. So memory is constant, and the sums of several processes are the
    sums of one. Tokens of one bin count as ties; :attr:`auc_error` bounds what that can change, about 1e-4 in practice.
    """

    def __init__(self) -> None:
        self._sums = np.zeros(len(_SUMS), np.float64)
        self._histogram = np.zeros((2, 1 << _BIN_BITS), np.int64)  # original tokens, replaced tokens

    def update(
        self,
        *,
        logits: NDArray[Any],
        is_replaced: NDArray[Any],
        attention_mask: NDArray[Any],
        masked_labels: NDArray[Any],
        masked_weights: NDArray[Any],
        masked_predictions: NDArray[Any],
        sampled_ids: NDArray[Any],
        masked_losses: NDArray[Any],
    ) -> None:
        """Count a batch.

        Args:
            logits: [batch, length], the discriminator's; above 0 means replaced.
            is_replaced: [batch, length], 1 where the token is not the original one.
            attention_mask: [batch, length], 1 for real tokens.
            masked_labels: [batch, slots], the original ids at the masked positions.
            masked_weights: [batch, slots], 0 for unused slots.
            masked_predictions: [batch, slots], the generator's most likely ids.
            sampled_ids: [batch, slots], the ids drawn from the generator.
            masked_losses: [batch, slots], the negative log likelihood of each label.

        Raises:
            ValueError: arrays differ in shape.
        """
        self._count_predictions(masked_labels, masked_weights, masked_predictions, masked_losses)
        self._count_samples(masked_labels, masked_weights, sampled_ids)
        self._count_tokens(logits, is_replaced, attention_mask)

    def count(self, batch: Arrays, found: Arrays) -> None:
        """Count a batch of a model that may lack one of the two networks; what is not there is not counted.

        Args:
            batch: what the model was given: ``attention_mask``, ``masked_positions``, ``masked_labels``,
                ``masked_weights``.
            found: what it computed: ``logits``, ``is_replaced`` and ``corrupted_input_ids`` [batch, length] where there
                is a discriminator, ``masked_predictions`` and ``masked_losses`` [batch, slots] where there is a
                generator.

        Raises:
            ValueError: arrays differ in shape.
        """
        labels, weights = batch["masked_labels"], batch["masked_weights"]
        if "masked_losses" in found:
            self._count_predictions(labels, weights, found["masked_predictions"], found["masked_losses"])
        if "corrupted_input_ids" in found:
            sampled = np.take_along_axis(found["corrupted_input_ids"], batch["masked_positions"], axis=1)
            self._count_samples(labels, weights, sampled)
        if "logits" in found:
            self._count_tokens(found["logits"], found["is_replaced"], batch["attention_mask"])

    def _count_predictions(
        self,
        masked_labels: NDArray[Any],
        masked_weights: NDArray[Any],
        masked_predictions: NDArray[Any],
        masked_losses: NDArray[Any],
    ) -> None:
        """Count what the generator finds at the slots: [batch, slots] each."""
        _check_shapes(
            masked_labels=masked_labels,
            masked_weights=masked_weights,
            masked_predictions=masked_predictions,
            masked_losses=masked_losses,
        )
        weights = masked_weights.astype(np.float64)
        self._add("masked", weights.sum())
        self._add("masked_right", weights[masked_predictions == masked_labels].sum())
        self._add("generator_loss", (weights * np.where(weights > 0, masked_losses, 0)).sum())

    def _count_samples(
        self, masked_labels: NDArray[Any], masked_weights: NDArray[Any], sampled_ids: NDArray[Any]
    ) -> None:
        """Count what was drawn for the slots: [batch, slots] each."""
        _check_shapes(masked_labels=masked_labels, masked_weights=masked_weights, sampled_ids=sampled_ids)
        weights = masked_weights.astype(np.float64)
        self._add("sampled", weights.sum())
        self._add("sampled_right", weights[sampled_ids == masked_labels].sum())

    def _count_tokens(self, logits: NDArray[Any], is_replaced: NDArray[Any], attention_mask: NDArray[Any]) -> None:
        """Count what the discriminator says of real tokens: [batch, length] each."""
        _check_shapes(logits=logits, is_replaced=is_replaced, attention_mask=attention_mask)
        real = attention_mask != 0
        logits, replaced = logits[real].astype(np.float32), is_replaced[real] != 0  # [tokens]
        called = logits > 0  # a logit that is no number counts as no; the loss then is none either
        self._add("real", logits.size)
        self._add("discriminator_loss", _cross_entropy(logits.astype(np.float64), replaced).sum())
        self._add("right", (called == replaced).sum())
        self._add("called_replaced", called.sum())
        self._add("replaced", replaced.sum())
        self._add("found", (called & replaced).sum())
        bins = _bins_of(logits)
        for row, chosen in enumerate((~replaced, replaced)):
            self._histogram[row] += np.bincount(bins[chosen], minlength=1 << _BIN_BITS)

    def _add(self, name: str, value: Any) -> None:
        self._sums[_SUMS.index(name)] += value

    # Processes --------------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was counted; the arrays of several processes, added up, are those of all their batches."""
        return {"sums": self._sums.copy(), "histogram": self._histogram.copy()}

    @classmethod
    def from_arrays(cls, sums: NDArray[Any], histogram: NDArray[Any]) -> Self:
        """Return an evaluation that goes on from what :meth:`arrays` returned.

        Raises:
            ValueError: an array has another shape.
        """
        evaluation = cls()
        if sums.shape != evaluation._sums.shape or histogram.shape != evaluation._histogram.shape:
            raise ValueError(f"expected the arrays of an evaluation, found shapes {sums.shape} and {histogram.shape}")
        evaluation._sums += sums
        evaluation._histogram += histogram
        return evaluation

    def merge(self, other: PretrainingEvaluation) -> None:
        """Count what another one has counted."""
        self._sums += other._sums
        self._histogram += other._histogram

    # Results ----------------------------------------------------------------------------------------------------------

    def result(self) -> dict[str, float]:
        """Return the metrics of :data:`METRICS` by name; one that nothing was counted for is left out."""
        sums = dict(zip(_SUMS, map(float, self._sums), strict=True))
        result: dict[str, float] = {}
        if masked := sums["masked"]:
            result["generator_loss"] = sums["generator_loss"] / masked
            result["masked_accuracy"] = sums["masked_right"] / masked
        if sampled := sums["sampled"]:
            result["sampled_accuracy"] = sums["sampled_right"] / sampled
        if real := sums["real"]:
            result["discriminator_loss"] = sums["discriminator_loss"] / real
            result["accuracy"] = sums["right"] / real
            result["precision"] = sums["found"] / max(sums["called_replaced"], 1.0)
            result["recall"] = sums["found"] / max(sums["replaced"], 1.0)
            if 0 < sums["replaced"] < real:
                result["auc"] = self._auc()
            result["positive_rate"] = sums["replaced"] / real
        return result

    def _auc(self) -> float:
        """Return the share of (replaced, original) pairs in order, ties counting half."""
        original, replaced = self._histogram.astype(np.float64)
        below = np.cumsum(original) - original
        return float((replaced * (below + original / 2)).sum() / (replaced.sum() * original.sum()))

    @property
    def auc_error(self) -> float:
        """The most that ``auc`` can differ from the one by exact ranks, 0 where there is none."""
        original, replaced = self._histogram.astype(np.float64)
        pairs = float(replaced.sum() * original.sum())
        return float((replaced * original).sum() / 2 / pairs) if pairs else 0.0


def _check_shapes(**arrays: NDArray[Any]) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ValueError(f"expected arrays of one shape with two axes, found {shapes}")


def _cross_entropy(logits: NDArray[np.float64], replaced: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return -log(sigmoid(±logit)), without overflow however large the logit is."""
    away = np.where(replaced, -logits, logits)
    with np.errstate(invalid="ignore"):
        return np.logaddexp(0, away)


def _bins_of(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return each logit's bin; a higher logit is never in a lower bin.

    The bits of a float, read as a whole number, are in the order of the floats once the sign is seen to: negative
    numbers have all bits turned, others the first.
    """
    bits = (logits + np.float32(0)).view(np.uint32)  # -0 + 0 is 0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> np.uint32(32 - _BIN_BITS)).astype(np.int64)
