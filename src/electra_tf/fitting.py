"""What Keras asks of a model that it fits, evaluates, predicts with and exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from electra_common.head_options import named_labels
from electra_common.outputs import ModelOutput
from electra_tf.adjusting import TFAdjustableModel
from electra_tf.programs import build_optimizer, forget_outdated_programs, replica_share

_EXPORTED = ("input_ids", "attention_mask", "token_type_ids")


class TFFittedModel(TFAdjustableModel):
    """A model with a loss of its own, whose inputs are a mapping by the names of its arguments."""

    # How many axes its inputs have: [batch, length].
    input_rank = 2

    def fit(self, *arguments: Any, **named: Any) -> Any:
        """Train as Keras does; ``x`` may be any mapping, as what a tokenizer returns is."""
        inputs, named = _with_plain_inputs(arguments, named)
        return super().fit(*inputs, **named)

    def evaluate(self, *arguments: Any, **named: Any) -> Any:
        """Evaluate as Keras does, on what :meth:`fit` takes."""
        inputs, named = _with_plain_inputs(arguments, named)
        return super().evaluate(*inputs, **named)

    def predict(self, *arguments: Any, **named: Any) -> Any:
        """Predict as Keras does, for what :meth:`fit` takes."""
        inputs, named = _with_plain_inputs(arguments, named)
        return super().predict(*inputs, **named)

    def make_train_function(self, force: bool = False) -> Any:
        """Make what ``fit`` calls; Keras calls this.

        Args:
            force: make it anew, also where there is one.
        """
        forget_outdated_programs(self)
        build_optimizer(self)
        return super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        """Make what ``evaluate`` calls, as :meth:`make_train_function` does."""
        forget_outdated_programs(self)
        return super().make_test_function(force)

    def make_predict_function(self, force: bool = False) -> Any:
        """Make what ``predict`` calls, as :meth:`make_train_function` does."""
        forget_outdated_programs(self)
        return super().make_predict_function(force)

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


def _with_plain_inputs(arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a method of Keras's with a mapping ``x`` as the dictionary that Keras understands."""
    if arguments and isinstance(arguments[0], Mapping):
        return (dict(arguments[0]), *arguments[1:]), named
    if isinstance(named.get("x"), Mapping):
        return arguments, {**named, "x": dict(named["x"])}
    return arguments, named


def _as_plain_dictionary(output: Any) -> Any:
    return dict(output) if isinstance(output, ModelOutput) else output
