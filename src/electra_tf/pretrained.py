"""Loading a model from a checkpoint and saving it, for every model class.

What goes where is decided in :mod:`electra_common.weights.loading`, before Keras builds anything. Here the tensors are
assigned to the variables, transposed where TensorFlow keeps kernels as [input, output].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, Self, overload

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from electra_common import ElectraConfig, LoadReport
from electra_common.head_options import named_labels
from electra_common.outputs import ModelOutput
from electra_common.weights.loading import LoadPlan, plan_loading
from electra_common.weights.names import find_row, keras_path
from electra_common.weights.saving import save_folder
from electra_common.weights.shapes import expected_shapes
from electra_common.weights.tensors import Array, StoredTensor
from electra_tf.adjusting import TFAdjustableModel
from electra_tf.initialization import undrawn_weights
from electra_tf.programs import build_optimizer, operations_one_by_one

_BODY_NAME = "electra"


class TFElectraPreTrainedModel(TFAdjustableModel):
    """What all ELECTRA models share: a config, and weights that come from and go to checkpoints."""

    # Where this class's own variable paths start with the encoder's name.
    is_body = False
    # How many axes its inputs have: [batch, length].
    input_rank = 2

    def __init_subclass__(cls, **options: Any) -> None:
        """Make every model class known to Keras, so that ``keras.saving.load_model`` finds it by name."""
        super().__init_subclass__(**options)
        keras.saving.register_keras_serializable(package=cls.__module__.partition(".")[0])(cls)

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        if config.attn_implementation == "sdpa":
            raise ValueError("Keras has no fused attention on TensorFlow: leave attn_implementation out or use 'eager'")
        self.config = config

    def initialize(self) -> None:
        """Create all variables (see :mod:`electra_tf.initialization`); constructors call this."""
        self.build((None,) * self.input_rank)  # all open; Keras keeps it for the signature of a SavedModel
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Return what :meth:`from_config` needs, as plain JSON values: the config, the name and the dtype policy."""
        return {**super().get_config(), "config": json.loads(self.config.to_json())}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Build a model with new weights again from :meth:`get_config`; raises ValueError on an unusable config.

        Args:
            config: as :meth:`get_config` returns it.
            custom_objects: Keras's argument; an ELECTRA is made of nothing that would need it.
        """
        options = dict(config)
        return cls(ElectraConfig.from_dict(options.pop("config")), **options)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the model; a dictionary of inputs, which is what ``fit`` and ``predict`` pass, is spread out first.

        Outside of graphs and without dropout all layers of the encoder run as one graph, which the first call traces,
        unless hidden states or attentions are asked for or Keras's ``run_eagerly`` is set.
        """
        with operations_one_by_one(self.run_eagerly):
            if arguments and isinstance(arguments[0], Mapping):
                return super().__call__(*arguments[1:], **arguments[0], **named)
            return super().__call__(*arguments, **named)

    def make_train_function(self, force: bool = False) -> Any:
        """Make what ``fit`` calls; Keras calls this.

        Args:
            force: make it anew, also where there is one.
        """
        build_optimizer(self)
        return super().make_train_function(force)

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
        # Each replica of a distribution strategy gives its share of the mean; the optimizer adds them up.
        share = loss / tf.distribute.get_strategy().num_replicas_in_sync
        return ops.sum([share, *map(ops.sum, self.losses)])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Hand the output to Keras's metrics as a plain dictionary."""
        return super().compute_metrics(x, y, _as_plain_dictionary(y_pred), sample_weight)

    @overload
    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, output_loading_info: Literal[False] = False, **options: Any
    ) -> Self: ...
    @overload
    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, output_loading_info: Literal[True], **options: Any
    ) -> tuple[Self, LoadReport]: ...
    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        config: ElectraConfig | None = None,
        component: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        output_loading_info: bool = False,
        **config_overrides: Any,
    ) -> Self | tuple[Self, LoadReport]:
        """Load a checkpoint.

        Args:
            name_or_path: a folder, a file, the prefix of a TensorFlow checkpoint, or ``owner/name`` on the Hub.
            config: used in place of the checkpoint's own.
            component: ``"discriminator"`` or ``"generator"`` where a checkpoint holds both; by default what the class
                is for.
            dtype: of the weights: None for float32, ``"auto"`` for the checkpoint's, or a name.
            revision: branch, tag or commit on the Hub.
            cache_dir: where downloads are kept.
            local_files_only: never ask the network.
            output_loading_info: also return the :class:`LoadReport`.
            **config_overrides: fields of the config to change, such as ``num_attention_heads=4``.

        Raises:
            CheckpointError: no such checkpoint, or it is damaged or does not fit; one message names every tensor.
            ValueError: an argument is wrong.
        """
        plan = plan_loading(
            name_or_path,
            cls.__name__.removeprefix("TF"),
            config=config,
            component=component,
            dtype=dtype,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            config_overrides=config_overrides,
        )
        model = build_planned(cls, plan)
        return (model, plan.report) if output_loading_info else model

    def save_pretrained(self, folder: str | Path, *, format: str = "safetensors") -> None:
        """Write ``config.json`` and the weights into a folder that both our families and the original programs open.

        Args:
            folder: made if it does not exist.
            format: ``"safetensors"``, ``"bin"`` (torch), ``"h5"`` (transformers' TensorFlow), ``"tf1"`` (Google),
                ``"npz"`` or ``"joint"`` (ours, with a place for a second network).

        Raises:
            CheckpointError: the folder cannot be written, or the format has no place for a tensor or its dtype.
            ValueError: the format is not known.
        """
        save_folder(folder, *stored_network(self), format=format)


def stored_network(model: TFElectraPreTrainedModel) -> tuple[ElectraConfig, dict[str, StoredTensor]]:
    """Return the config of a model as it is saved, and its tensors by canonical name."""
    tensors = {name: _stored(name, variable) for name, variable in canonical_state(model).items()}
    dtypes = sorted({tensor.dtype for tensor in tensors.values()})
    return model.config.replace(architectures=(_architecture(model),), dtype=dtypes[0]), tensors


def canonical_state(model: TFElectraPreTrainedModel) -> dict[str, keras.Variable]:
    """Return ``{canonical name: variable}`` of a model, the tied projection left out."""
    variables = {_path(model, variable): variable for variable in model.weights if _is_weight(variable)}
    names = expected_shapes(model.config, _architecture(model))
    return {name: variables[keras_path(name)] for name in names}


def _as_plain_dictionary(output: Any) -> Any:
    return dict(output) if isinstance(output, ModelOutput) else output


def _architecture(model: TFElectraPreTrainedModel) -> str:
    return type(model).__name__.removeprefix("TF")


def _is_weight(variable: keras.Variable) -> bool:
    return "seed_generator" not in variable.path  # dropout keeps its random state in a variable


def _path(model: TFElectraPreTrainedModel, variable: keras.Variable) -> str:
    """Return a variable's path without the outermost model's name, which is the user's to choose.

    Embeddings that two networks share bear the name of the one that made them.
    """
    path: str = variable.path.partition("/")[2]
    return f"{_BODY_NAME}/{path}" if model.is_body else path


def _policy(dtype: str) -> Any:
    """Return Keras's own policy where its variables have the dtype of the weights, so that mixed precision holds."""
    policy = keras.config.dtype_policy()
    return policy if policy.variable_dtype == dtype else dtype


def build_planned(cls: type[Any], plan: LoadPlan) -> Any:
    """Make the model, then give it the checkpoint's tensors; a new head keeps what it was initialised with."""
    with nullcontext() if plan.report.new else undrawn_weights():
        model = cls(plan.config, dtype=_policy(plan.dtype))
    variables = canonical_state(model)
    for name, tensor in plan.tensors.items():
        variables.pop(name).assign(_oriented(name, tensor.read()))
    assert set(variables) == set(plan.report.new), f"the plan left variables unset: {sorted(variables)}"
    return model


def read_canonical(name: str, weight: keras.Variable) -> Array:
    """Return what a variable holds as a float32 array of its own, its axes in the order of the canonical form.

    Args:
        name: a canonical name, or one of the joint form.
        weight: the weight of that name, or one that belongs to it, such as a moment of Adam's.
    """
    return np.array(_oriented(name, weight.numpy()), np.float32)


def assign_canonical(name: str, weight: keras.Variable, array: Array) -> None:
    """Give a variable what :func:`read_canonical` returned of another one."""
    weight.assign(_oriented(name, array))


def _oriented(name: str, array: Array) -> Array:
    """Turn an array between the canonical [output, input] and TensorFlow's [input, output], where they differ."""
    row = find_row(name) or find_row(name.partition(".")[2])
    assert row is not None
    return array.T if row.transpose else array


def _stored(name: str, variable: keras.Variable) -> StoredTensor:
    shape = tuple(variable.shape)
    row = find_row(name)
    return StoredTensor(
        name,
        shape[::-1] if row is not None and row.transpose else shape,
        variable.dtype,
        lambda: _oriented(name, np.asarray(variable.numpy())),
    )
