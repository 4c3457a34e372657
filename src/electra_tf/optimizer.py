"""The optimizer that ELECTRA was trained with: Adam without bias correction, weight decay apart from the gradients.

A plain Keras optimizer, for ``compile`` and any loop. Source: Google's ``model/optimization.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import keras
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from electra_common.runs.decay import check_adam_options, check_adam_state, is_decayed
from electra_common.runs.optimizer_file import Moments
from electra_tf.joint_networks import TFElectraJointNetworks, joint_state
from electra_tf.pretrained import TFElectraPreTrainedModel, assign_canonical, canonical_state, read_canonical

Tensor = Any
Model = TFElectraPreTrainedModel | TFElectraJointNetworks


@keras.saving.register_keras_serializable(package="electra_tf")
class TFElectraAdam(keras.optimizers.Optimizer):
    """``p -= lr * (m / (sqrt(v) + eps) + weight_decay * p)``, where m and v start at 0 and are not corrected for it.

    Biases and the variables of LayerNorm are not decayed, known by their own name and that of their layer; nor are
    those that Keras's ``exclude_from_weight_decay`` names before the first step.

    Args:
        lr: learning rate, or a Keras schedule of it.
        betas: of the means of gradients and of their squares.
        eps: added to the root of the latter.
        weight_decay: how much of itself a parameter loses, times the learning rate.
        bias_correction: divide the means by ``1 - beta**step``, as Adam does and Google's code does not.
        **options: ``name`` and what every Keras optimizer takes besides, such as ``global_clipnorm``.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        lr: Any = 5e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        bias_correction: bool = False,
        **options: Any,
    ) -> None:
        check_adam_options(lr, betas, eps, weight_decay)
        factors = options.pop("factors_by_path", None)
        super().__init__(learning_rate=lr, **{"name": "electra_adam", **options})
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps, self.bias_correction = eps, bias_correction
        # Keras's own `weight_decay` stays None: it would act before the update, and on all variables.
        self.decay_rate = weight_decay
        self.factors_by_path: dict[str, float] = dict(factors or {})

    def build(self, variables: list[keras.Variable]) -> None:
        """Make both moments of each variable.

        Args:
            variables: what is trained.
        """
        if self.built:
            return
        super().build(variables)
        self.means = [self.add_variable_from_reference(variable, name="mean") for variable in variables]
        self.squares = [self.add_variable_from_reference(variable, name="square") for variable in variables]
        # Looked up here: the variables that updates are given have no paths.
        self.factors = [self.factors_by_path.get(variable.path, 1.0) for variable in variables]
        self.decays = [self.decay_rate if self._is_decayed(variable) else 0.0 for variable in variables]

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        """Move one variable; Keras calls this for each.

        Args:
            gradient: of the loss, in the variable's shape.
            variable: what moves.
            learning_rate: of this step, a scalar.
        """
        index = self._get_variable_index(variable)
        mean, square = self.means[index], self.squares[index]
        gradient = ops.cast(tf.convert_to_tensor(gradient), variable.dtype)  # of a lookup: sums up each row
        rate = tf.cast(learning_rate, "float32") * self.factors[index]
        if self.decays[index]:
            self.assign_sub(variable, tf.cast(rate * self.decays[index], variable.dtype) * variable)
        zero = tf.zeros((), variable.dtype)
        beta_1, beta_2 = self.betas
        epsilon: Tensor = self.eps
        if self.bias_correction:
            rate, epsilon = (tf.cast(value, variable.dtype) for value in self._corrected(rate))
        # By itself and not below, where 1 - 0.999 is computed in float32 and is wrong by a hundred-thousandth.
        self.assign_add(square, (tf.square(gradient) - square) * (1 - beta_2))
        # The rest in one operation: it passes over memory once, and is traced once.
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(mean),
            v=_handle(square),
            beta1_power=zero,  # what it would correct is corrected already
            beta2_power=zero,
            lr=tf.cast(rate, variable.dtype),
            beta1=beta_1,
            beta2=1.0,
            epsilon=epsilon,
            grad=gradient,
        )

    def _is_decayed(self, variable: keras.Variable) -> bool:
        """Whether weight decay acts on a variable, by its name and its layer's and by what the user excluded."""
        # The end of the path alone: what it starts with is the model's name, which may say anything.
        name = "/".join(variable.path.split("/")[-2:])
        return is_decayed(name) and bool(self._use_weight_decay(variable))

    def _corrected(self, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rate and epsilon by which means that are not corrected move a variable as corrected ones would.

        In float32: in bfloat16, 0.999 is 1.
        """
        step = tf.cast(self.iterations + 1, "float32")
        power_1, power_2 = (tf.pow(beta, step) for beta in self.betas)
        root = tf.sqrt(1 - power_2)
        return rate * root / (1 - power_1), self.eps * root

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as plain values."""
        config = super().get_config()
        own = {
            "lr": config.pop("learning_rate"),
            "betas": list(self.betas),
            "eps": self.eps,
            "weight_decay": self.decay_rate,
            "bias_correction": self.bias_correction,
            "factors_by_path": self.factors_by_path,
        }
        return {**config, **own}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Build it again from :meth:`get_config`.

        Args:
            config: as :meth:`get_config` returns it.
            custom_objects: what a schedule of the user's own needs.
        """
        options = dict(config)
        if isinstance(options["lr"], Mapping):
            options["lr"] = keras.optimizers.schedules.deserialize(options["lr"], custom_objects)
        return cls(**options)


def electra_adam(
    model: Model,
    *,
    learning_rate: Any = 5e-4,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.01,
    bias_correction: bool = False,
    learning_rate_factors: Mapping[str, float] | None = None,
) -> TFElectraAdam:
    """Return the optimizer of a model of this package: LayerNorm and biases are not decayed.

    Args:
        model: one network, or generator and discriminator.
        learning_rate: of parameters without a factor, or a Keras schedule.
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
    weights = named_weights(model)
    if unknown := sorted(factors.keys() - weights.keys()):
        raise ValueError(f"learning_rate_factors names what the model does not have: {', '.join(unknown[:3])}")
    return TFElectraAdam(
        learning_rate,
        (beta_1, beta_2),
        epsilon,
        weight_decay,
        bias_correction=bias_correction,
        factors_by_path={weights[name].path: float(factor) for name, factor in factors.items()},
    )


def clip_by_global_norm(gradients: Iterable[Tensor], max_norm: float) -> tuple[list[Tensor], Tensor]:
    """Scale gradients so that their norm over all parameters is at most ``max_norm``.

    Args:
        gradients: of all parameters; None for one without.
        max_norm: the most that the norm may be.

    Returns:
        The scaled gradients, and the norm before, a scalar.
    """
    # The gradient of a lookup lists rows as often as they were looked up; its norm is that of their sums.
    dense = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]
    clipped, norm = tf.clip_by_global_norm(dense, max_norm)
    return clipped, norm


def named_weights(model: Model) -> dict[str, keras.Variable]:
    """Return ``{canonical or joint name: variable}`` of one network or of both."""
    return joint_state(model) if isinstance(model, TFElectraJointNetworks) else canonical_state(model)


def adam_state(model: Model, optimizer: TFElectraAdam) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return ``{name: (mean of gradients, mean of their squares)}`` in float32, as the parameters lie canonically.

    Args:
        model: whose parameters the optimizer moves.
        optimizer: before its first step, all is 0.
    """
    result = {}
    for name, moments in _moments(model, optimizer).items():
        result[name] = (read_canonical(name, moments[0]), read_canonical(name, moments[1]))
    return result


def load_adam_state(model: Model, optimizer: TFElectraAdam, moments: Moments, *, step: int = 0) -> None:
    """Give an optimizer the state that :func:`adam_state` returned, of either framework.

    Args:
        model: whose parameters the optimizer moves.
        optimizer: of that model.
        moments: for every parameter.
        step: how many updates were made before; only bias correction and schedules ask.

    Raises:
        ValueError: parameters without moments, moments without a parameter, or others' shapes.
    """
    own = _moments(model, optimizer)
    check_adam_state({name: read_canonical(name, pair[0]).shape for name, pair in own.items()}, moments)
    for name, pair in own.items():
        for variable, array in zip(pair, moments[name], strict=True):
            assign_canonical(name, variable, array)
    optimizer.iterations.assign(step)


def _handle(variable: Any) -> Tensor:
    """Return what operations that write to a variable take, of Keras's variable or TensorFlow's."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def _moments(model: Model, optimizer: TFElectraAdam) -> dict[str, tuple[keras.Variable, keras.Variable]]:
    """Return both moments of each trained parameter by name; an optimizer that never stepped is built for them."""
    optimizer.build(model.trainable_variables)
    found = {}
    for name, variable in named_weights(model).items():
        if variable.trainable:
            index = optimizer._get_variable_index(variable)
            found[name] = (optimizer.means[index], optimizer.squares[index])
    return found
