"""Loading a model from a checkpoint and saving it, for every model class.

What goes where is decided in :mod:`electra_common.weights.loading`, before torch builds anything. Here the tensors
become parameters: without a copy where the file can be mapped and the dtype fits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import torch
from torch import Tensor, nn

from electra_common import ElectraConfig, LoadReport
from electra_common.weights.loading import LoadPlan, plan_loading
from electra_common.weights.names import ARCHITECTURE_PARTS, BODY_PREFIX, TIED_VOCABULARY_WEIGHT
from electra_common.weights.saving import config_as_saved, save_folder
from electra_common.weights.tensors import Array, StoredTensor
from electra_pt.adjusting import AdjustableModel
from electra_pt.initialization import initialize_module, initialize_weights
from electra_pt.sharding import divided_modules, is_divided, whole_tensor


class ElectraPreTrainedModel(AdjustableModel):
    """What all ELECTRA models share: a config, and weights that come from and go to checkpoints."""

    # What checkpoints call this class; a user's own subclass is called as the class that it is made of.
    architecture = "ElectraPreTrainedModel"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__name__ in ARCHITECTURE_PARTS:
            cls.architecture = cls.__name__

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where the weights are, as the first one says: ``batch.to(model.device)``; ``model.to(…)`` moves them."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, as the first one has it; ``model.to(…)`` changes it."""
        return next(self.parameters()).dtype

    def initialize(self) -> None:
        """Draw all weights anew (see :mod:`electra_pt.initialization`); constructors call this."""
        # On the meta device there is nothing to draw: `from_pretrained` builds there and brings the weights.
        if not any(parameter.is_meta for parameter in self.parameters()):
            initialize_weights(self, self.config)

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
        dtype: str | torch.dtype | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        output_loading_info: bool = False,
        **config_overrides: Any,
    ) -> Self | tuple[Self, LoadReport]:
        """Load a checkpoint, in evaluation mode.

        Args:
            name_or_path: a folder, a file, the prefix of a TensorFlow checkpoint, or ``owner/name`` on the Hub.
            config: used in place of the checkpoint's own.
            component: ``"discriminator"`` or ``"generator"`` where a checkpoint holds both; by default what the class
                is for.
            dtype: of the weights: None for float32, ``"auto"`` for the checkpoint's, or a name or torch dtype.
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
            dtype=str(dtype).removeprefix("torch.") if dtype is not None else None,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            config_overrides=config_overrides,
        )
        model = build_planned(cls, plan).eval()
        return (model, plan.report) if output_loading_info else model

    def save_pretrained(self, folder: str | Path, *, format: str = "safetensors") -> None:
        """Write ``config.json`` and the weights into a folder that both our families and the original programs open.

        Args:
            folder: made if it does not exist.
            format: ``"safetensors"``, ``"bin"`` (torch), ``"h5"`` (transformers' TensorFlow), ``"tf1"`` (Google),
                ``"npz"`` or ``"joint"`` (ours, with a place for a second network).

        Raises:
            CheckpointError: the folder cannot be written, the format has no place for a tensor or its dtype, or the
                weights are not those that its class and config have, as with adapters that were not merged.
            ValueError: the format is not known.
        """
        save_folder(folder, *stored_network(self), format=format)


def stored_network(model: ElectraPreTrainedModel) -> tuple[ElectraConfig, dict[str, StoredTensor]]:
    """Return the config of a model as it is saved, and its tensors by canonical name.

    Raises:
        CheckpointError: the weights are not those that the model's class and config have.
    """
    tensors = {name: _stored(name, tensor) for name, tensor in canonical_state(model).items()}
    return config_as_saved(model.config, model.architecture, tensors), tensors


def canonical_state(model: ElectraPreTrainedModel) -> dict[str, Tensor]:
    """Return ``{canonical name: parameter}`` of a model, the tied projection left out."""
    prefix = BODY_PREFIX if model.is_body else ""
    # Not those of `state_dict`, which are parts where processes divide a model, even while it is put together. It is so
    # for a moment only: then they are copied.
    is_whole_for_now = bool(divided_modules(model))
    state: dict[str, Tensor] = {
        prefix + name: parameter.detach().clone() if is_whole_for_now else parameter.detach()
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }
    if model.config.tie_word_embeddings:
        state.pop(TIED_VOCABULARY_WEIGHT, None)
    return state


def build_planned(cls: type[Any], plan: LoadPlan) -> Any:
    """Make the model without memory of its own, then give it the checkpoint's tensors."""
    with torch.device("meta"):
        model = cls(plan.config)
    prefix = BODY_PREFIX if model.is_body else ""
    dtype = getattr(torch, plan.dtype)
    for name, tensor in plan.tensors.items():
        module, parameter = _owner(model, name.removeprefix(prefix))
        module._parameters[parameter] = nn.Parameter(_to_torch(tensor, dtype))
    _initialize_new(model, plan, prefix, dtype)
    unset = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    assert not unset, f"the plan left parameters unset: {unset}"
    return model


def read_canonical(name: str, weight: Tensor) -> Array:
    """Return what a tensor holds as a float32 array of its own, its axes in the order of the canonical form: torch's.

    Args:
        name: a canonical name, or one of the joint form.
        weight: the weight of that name, or one that belongs to it, such as a moment of Adam's. Where processes divide
            it among them, all must come here.
    """
    return np.array(whole_tensor(weight.detach()).float().cpu().numpy())


@torch.no_grad()
def assign_canonical(name: str, weight: Tensor, array: Array) -> None:
    """Give a tensor what :func:`read_canonical` returned of another one."""
    values = torch.from_numpy(np.ascontiguousarray(array))
    if is_divided(weight):
        from torch.distributed.tensor import distribute_tensor

        values = distribute_tensor(values, weight.device_mesh, weight.placements)
    weight.copy_(values)


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, parameter = name.rpartition(".")
    return model.get_submodule(path), parameter


def _initialize_new(model: nn.Module, plan: LoadPlan, prefix: str, dtype: torch.dtype) -> None:
    modules = sorted({name.removeprefix(prefix).rpartition(".")[0] for name in plan.report.new})
    for name in modules:
        module = model.get_submodule(name)
        if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
            module.to_empty(device="cpu", recurse=False).to(dtype)
            initialize_module(name.rpartition(".")[2], module, plan.config)


def _to_torch(tensor: StoredTensor, dtype: torch.dtype) -> Tensor:
    """Return the tensor without copying if it is contiguous in the file and has the dtype already."""
    array = np.require(tensor.read(), requirements=["C", "W"])
    if tensor.dtype == "bfloat16":  # numpy has no such dtype of its own; the bits are the same
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(dtype)
    return torch.from_numpy(array).to(dtype)


def _stored(name: str, tensor: Tensor) -> StoredTensor:
    detached = tensor.detach()
    dtype = str(tensor.dtype).removeprefix("torch.")

    def read() -> Any:
        array = detached.cpu().contiguous()
        if dtype == "bfloat16":
            import ml_dtypes

            return array.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return array.numpy()

    return StoredTensor(name, tuple(tensor.shape), dtype, read)
