"""What Keras asks of a model that it fits, evaluates and exports: its losses, and the inputs of what it exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from electra_common.head_options import named_labels
from electra_common.outputs import ModelOutput
from electra_tf.adjusting import TFAdjustableModel
from electra_tf.programs import replica_share

_EXPORTED = ("input_ids", "attention_mask", "token_type_ids")


class TFFittedModel(TFAdjustableModel):
    """A model with a loss of its own."""

    # How many axes its inputs have: [batch, length].
    input_rank = 2

    def own_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any], attention_mask: Any) -> Any:
        """Return the loss of this model's head, or None: the encoder has no head.

        Args:
            output: what the head computed, by name.
            labels: by the names of the call's arguments.
            attention_mask: [batch, length], or None.
        """
        return None

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss of Keras's own losses, or of the head where ``compile`` was given none.

        Labels for the head stand among the inputs, or are the targets: by the names of the call's arguments, by the
        names of the outputs, or as they are where there is one kind.

        Raises:
            ValueError: the head's own loss was asked to weigh samples, or has no labels.
        """
        output = _as_plain_dictionary(y_pred)
        if self._compile_loss is not None or not isinstance(output, Mapping):
            # Losses by name are looked up in nothing but a plain dictionary.
            return super().compute_loss(x, y, output, sample_weight, training)
        if sample_weight is not None:
            raise ValueError("the head's own loss takes no sample_weight: give compile a loss, or labels of -100")
        loss = output.get("loss")
        if loss is None and y is not None:
            mask = x.get("attention_mask") if isinstance(x, Mapping) else None
            labels = named_labels(y)
            try:
                loss = self.own_loss(output, labels, mask)
            except KeyError as error:
                raise ValueError(f"the head's own loss needs {error}, found targets {sorted(labels)}") from None
        if loss is None:
            raise ValueError("no loss: give compile a loss, or labels to fit for the loss of the model's own head")
        return replica_share(loss, self.losses)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Hand the output to Keras's metrics as a plain dictionary."""
        return super().compute_metrics(x, y, _as_plain_dictionary(y_pred), sample_weight)

    def export(
        self,
        filepath: str | Path,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ) -> None:
        """Export as Keras does.

        Args:
            filepath: where to.
            format: Keras's name of it.
            verbose: whether to print a message.
            input_signature: by default a dictionary of ids, mask and segments, integers of any batch and length.
            **options: of the format.
        """
        if input_signature is None:
            shape = (None,) * self.input_rank
            input_signature = [{name: tf.TensorSpec(shape, "int32", name=name) for name in _EXPORTED}]
        super().export(filepath, format, verbose, input_signature, **options)


def _as_plain_dictionary(output: Any) -> Any:
    return dict(output) if isinstance(output, ModelOutput) else output
