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
from keras import ops

from electra_common import CheckpointError, ElectraConfig, LoadReport
from electra_common.weights.loading import LoadPlan, plan_loading
from electra_common.weights.names import ARCHITECTURE_PARTS, find_row, keras_path
from electra_common.weights.saving import config_as_saved, save_folder
from electra_common.weights.shapes import expected_shapes
from electra_common.weights.tensors import Array, StoredTensor
from electra_tf.fitting import TFFittedModel
from electra_tf.initialization import undrawn_weights
from electra_tf.programs import operations_one_by_one

_BODY_NAME = "electra"


class TFElectraPreTrainedModel(TFFittedModel):
    """What all ELECTRA models share: a config, and weights that come from and go to checkpoints."""

    # What checkpoints call this class; a user's own subclass is called as the class that it is made of.
    architecture = "ElectraPreTrainedModel"

    def __init_subclass__(cls, **options: Any) -> None:
        """Make every model class known to Keras, so that ``keras.saving.load_model`` finds it by name."""
        super().__init_subclass__(**options)
        name = cls.__name__.removeprefix("TF")
        if name in ARCHITECTURE_PARTS:
            cls.architecture = name
        keras.saving.register_keras_serializable(package=cls.__module__.partition(".")[0])(cls)

    def __init__(self, config: ElectraConfig, **options: Any) -> None:
        super().__init__(**options)
        if config.attn_implementation == "sdpa":
            raise ValueError("Keras has no fused attention on TensorFlow: leave attn_implementation out or use 'eager'")
        self.config = config
        # Layers round their inputs to what they compute in by themselves; labels and ids must stay what they are.
        self.autocast = False

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
            cls.architecture,
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
            CheckpointError: the folder cannot be written, or the format has no place for a weight or its dtype, such
                as those of Keras's ``quantize``. What ``enable_lora`` added is written as part of the weights.
            ValueError: the format is not known.
        """
        save_folder(folder, *stored_network(self), format=format)


def stored_network(model: TFElectraPreTrainedModel) -> tuple[ElectraConfig, dict[str, StoredTensor]]:
    """Return the config of a model as it is saved, and its tensors by canonical name, ``enable_lora`` added in.

    Raises:
        CheckpointError: the weights are not those that the model's class and config have.
    """
    state = canonical_state(model)
    _check_all_named(model, state)
    sums = _low_rank_sums(model)
    tensors = {name: _stored(name, variable, sums.get(id(variable), variable)) for name, variable in state.items()}
    return config_as_saved(model.config, model.architecture, tensors), tensors


def canonical_state(model: TFElectraPreTrainedModel) -> dict[str, keras.Variable]:
    """Return ``{canonical name: variable}`` of a model, the tied projection left out."""
    variables = {_path(model, variable): variable for variable in model.weights if _is_weight(variable)}
    names = expected_shapes(model.config, model.architecture)
    return {name: variables[keras_path(name)] for name in names}


def _check_all_named(model: TFElectraPreTrainedModel, state: Mapping[str, keras.Variable]) -> None:
    """Refuse a model of which a checkpoint would hold a part: Keras's quantization and user's layers add weights."""
    named = {id(variable) for variable in state.values()}
    others = [item for item in model.weights if _is_weight(item) and id(item) not in named]
    if paths := sorted(_path(model, item) for item in others if not item.path.rpartition("/")[2].startswith("lora_")):
        raise CheckpointError(
            f"checkpoints have no place for {paths[0]} (and {len(paths) - 1} other weights of this model): "
            "save it before quantize, or with Keras's save"
        )


def _low_rank_sums(model: TFElectraPreTrainedModel) -> dict[int, Any]:
    """Return what layers with ``enable_lora`` compute with, by the id of the weight that it stands for."""
    sums = {}
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            kind = "kernel" if hasattr(layer, "lora_kernel_a") else "embeddings"
            names = (f"_{kind}", f"lora_{kind}_a", f"lora_{kind}_b")
            weight, first, second = (getattr(layer, name) for name in names)
            scale = getattr(layer, "lora_alpha", layer.lora_rank) / layer.lora_rank
            # Not the layer's own sum, which is as exact as the layer computes.
            sums[id(weight)] = ops.cast(weight + scale * ops.matmul(first, second), weight.dtype)
    return sums


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


def _stored(name: str, variable: keras.Variable, value: Any) -> StoredTensor:
    shape = tuple(variable.shape)
    row = find_row(name)
    return StoredTensor(
        name,
        shape[::-1] if row is not None and row.transpose else shape,
        variable.dtype,
        lambda: _oriented(name, np.asarray(value.numpy())),
    )
