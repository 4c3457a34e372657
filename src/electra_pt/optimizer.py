"""The optimizer that ELECTRA was trained with: Adam without bias correction, weight decay apart from the gradients.

A plain ``torch.optim.Optimizer``, for any loop. Source: Google's ``model/optimization.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from electra_common.runs.decay import check_adam_options, check_adam_state, is_decayed
from electra_common.runs.optimizer_file import Moments
from electra_common.weights.names import BODY_PREFIX
from electra_pt.joint_networks import ElectraJointNetworks, joint_state
from electra_pt.pretrained import ElectraPreTrainedModel, assign_canonical, read_canonical
from electra_pt.sharding import whole_tensor

_LATE = 1e9

Model = ElectraPreTrainedModel | ElectraJointNetworks


class ElectraAdam(torch.optim.Optimizer):
    """``p -= lr * (m / (sqrt(v) + eps) + weight_decay * p)``, where m and v start at 0 and are not corrected for it.

    Args:
        parameters: ``model.named_parameters()``: LayerNorm and biases are then not decayed. Or parameters or groups as
            every torch optimizer takes them, all decayed unless a group has a ``weight_decay`` of its own.
        lr: learning rate; a group's is multiplied by its ``lr_factor``, so that schedules need not know of it.
        betas: of the means of gradients and of their squares.
        eps: added to the root of the latter.
        weight_decay: how much of itself a parameter loses, times the learning rate.
        bias_correction: divide the means by ``1 - beta**step``, as Adam does and Google's code does not.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        bias_correction: bool = False,
    ) -> None:
        check_adam_options(lr, betas, eps, weight_decay)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "lr_factor": 1.0}
        super().__init__(_groups(list(parameters), weight_decay), {**options, "bias_correction": bias_correction})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every parameter that has a gradient.

        Args:
            closure: computes the loss once more, with gradients; its value is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameters in _alike(parameter for parameter in group["params"] if parameter.grad is not None):
                self._update(parameters, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        states = [self._state_of(parameter) for parameter in parameters]
        means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        torch._foreach_add_(steps, 1)
        if not group["bias_correction"]:
            # At this step nothing is left to correct: a beta to its power is 0 in float32.
            steps = [torch.full_like(steps[0], _LATE)] * len(steps)
        beta_1, beta_2 = group["betas"]
        # What torch.optim.AdamW(fused=True) calls: one pass over memory.
        torch._fused_adamw_(
            parameters, gradients, means, squares, [], steps, lr=group["lr"] * group["lr_factor"], beta1=beta_1,
            beta2=beta_2, weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        # The kernel reads a float where the parameter lies. `load_state_dict` moves all else there, but not the step.
        state["step"] = state["step"].to(parameter.device, torch.float32)
        return state


def electra_adam(
    model: Model,
    *,
    learning_rate: float = 5e-4,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.01,
    bias_correction: bool = False,
    learning_rate_factors: Mapping[str, float] | None = None,
) -> ElectraAdam:
    """Return the optimizer of a model of this package: LayerNorm and biases are not decayed.

    Args:
        model: one network, or generator and discriminator.
        learning_rate: of parameters without a factor.
        beta_1: of the mean of gradients.
        beta_2: of the mean of their squares.
        epsilon: added to the root of the latter.
        weight_decay: of all else.
        bias_correction: as Adam does and Google's code does not.
        learning_rate_factors: ``{canonical name: what the learning rate is multiplied by}``, 1 where a name is absent.

    Raises:
        ValueError: a factor for a parameter that the model does not have, or a number is out of range.
    """
    factors = dict(learning_rate_factors or {})
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    for name, parameter in named_weights(model).items():
        if parameter.requires_grad:
            groups.setdefault((is_decayed(name), factors.get(name, 1.0)), []).append(parameter)
    if unknown := sorted(factors.keys() - named_weights(model).keys()):
        raise ValueError(f"learning_rate_factors names what the model does not have: {', '.join(unknown[:3])}")
    listed = [
        {"params": parameters, "weight_decay": weight_decay if decays else 0.0, "lr_factor": factor}
        for (decays, factor), parameters in groups.items()
    ]
    betas = (beta_1, beta_2)
    return ElectraAdam(listed, learning_rate, betas, epsilon, weight_decay, bias_correction=bias_correction)


def clip_by_global_norm(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale gradients, in place, so that their norm over all parameters is at most ``max_norm``.

    Args:
        parameters: whose gradients; those without one are left out.
        max_norm: the most that the norm may be.

    Returns:
        The norm before, a scalar.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    norm = whole_tensor(norm)
    torch._foreach_mul_(gradients, max_norm / norm.clamp(min=max_norm))
    return norm


def named_weights(model: Model) -> dict[str, nn.Parameter]:
    """Return ``{canonical or joint name: parameter}`` of one network or of both."""
    if isinstance(model, ElectraJointNetworks):
        return joint_state(model)
    prefix = BODY_PREFIX if model.is_body else ""
    return {prefix + name: parameter for name, parameter in model.named_parameters()}


def adam_state(model: Model, optimizer: ElectraAdam) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return ``{name: (mean of gradients, mean of their squares)}`` in float32, as the parameters lie canonically.

    Args:
        model: whose parameters the optimizer moves.
        optimizer: before its first step, all is 0.
    """
    result = {}
    for name, parameter in named_weights(model).items():
        if parameter.requires_grad:
            state = optimizer._state_of(parameter)
            result[name] = (read_canonical(name, state["exp_avg"]), read_canonical(name, state["exp_avg_sq"]))
    return result


def load_adam_state(model: Model, optimizer: ElectraAdam, moments: Moments, *, step: int = 0) -> None:
    """Give an optimizer the state that :func:`adam_state` returned, of either framework.

    Args:
        model: whose parameters the optimizer moves.
        optimizer: of that model.
        moments: for every parameter.
        step: how many updates were made before; only bias correction asks.

    Raises:
        ValueError: parameters without moments, moments without a parameter, or others' shapes.
    """
    weights = {name: tensor for name, tensor in named_weights(model).items() if tensor.requires_grad}
    check_adam_state({name: tuple(tensor.shape) for name, tensor in weights.items()}, moments)
    for name, parameter in weights.items():
        state = optimizer._state_of(parameter)
        state["step"].fill_(step)
        for key, array in zip(("exp_avg", "exp_avg_sq"), moments[name], strict=True):
            assign_canonical(name, state[key], array)


def _alike(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Divide parameters by device and dtype: one call of a GPU's kernel takes one of each."""
    parts: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:
        parts.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    return list(parts.values())


def _groups(parameters: list[Any], weight_decay: float) -> list[Any]:
    """Divide (name, parameter) pairs into those that are decayed and others; leave all else to torch."""
    if not parameters or not isinstance(parameters[0], tuple):
        return parameters
    decayed = [parameter for name, parameter in parameters if is_decayed(name)]
    others = [parameter for name, parameter in parameters if not is_decayed(name)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
