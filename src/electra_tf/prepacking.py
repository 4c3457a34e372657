"""Weights in oneDNN's own order, for answering on the CPU: faster products for the price of a copy.

TensorFlow multiplies with oneDNN, which keeps weights in its own order where it knows that they are constants. So the
program of the encoder's layers (:mod:`electra_tf.programs`) is traced with their values in it, and used inside of
graphs too. A model that was never prepacked knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Never

import keras
import tensorflow as tf
from numpy.typing import NDArray

from electra_tf.encoder import TFElectraEncoder, TFElectraSelfAttention
from electra_tf.joint_networks import TFElectraJointNetworks
from electra_tf.programs import LayerProgram, forget_programs, leading_sizes, uses_the_variables

Tensor = Any

_LARGE: Final = 1 << 19  # numbers of a matrix: more than ELECTRA-Small has (262,144), fewer than Base (589,824)
_UNDO = "call undo_prepacking(model) first, and prepack_weights(model) again afterwards"
_NO_GRADIENTS = f"a model with prepacked weights computes no gradients: {_UNDO}"


def prepack_weights(model: Any) -> None:
    """Give the layers of the encoder a second copy of their weights, in the order that oneDNN multiplies fastest.

    For inference in float32 on the CPU, most of all of few or short texts; outputs stay the same to rounding. Variables
    and saving stay as they are, and a copy of the model is not prepacked. The copy is made by the first call, one for
    inputs with padding and one for inputs without. Under ``run_eagerly``, a distribution strategy and
    ``stateless_call``, with a ``PackedLayout``, and where hidden states or attentions are asked for, the variables
    are used as ever; so they are in the embeddings and the head. Every graph that it is traced into costs memory:
    TensorFlow keeps constants several times, for ELECTRA-Small 200 to 600 MB a graph, for ELECTRA-Base
    gigabytes.

    Prepacked, a model refuses to train (RuntimeError), computes no gradients (TensorFlow's LookupError), and the
    weights of its layers must not change: from the first call on assigning to them (RuntimeError) and loading others
    (Keras's ValueError) are refused, until :func:`undo_prepacking` ends that. A ``tf.train.Checkpoint`` that is
    restored, and ``variable.value.assign``, bypass Keras: these changes cannot be detected. A ``tf.function`` of the
    user's keeps what it was traced with, and an exported model holds the copy too.

    Args:
        model: any of this package but the joint one, or one that contains it; prepacked already, it is prepacked anew.

    Raises:
        ValueError: the model has no encoder of this package or is a joint one, or a weight is not float32 on the CPU.
    """
    layers = model._flatten_layers()
    encoders = [layer for layer in layers if isinstance(layer, TFElectraEncoder)]
    if not encoders:
        raise ValueError("prepack_weights expects a model of electra_tf, found one without any of its encoders")
    if any(isinstance(layer, TFElectraJointNetworks) for layer in layers):
        raise ValueError("prepack_weights expects a model that answers, found a joint one, which is for training")
    for weight in (weight for encoder in encoders for weight in encoder.weights):
        if weight.dtype != "float32" or "CPU" not in weight.value.device:
            found = f"{weight.dtype} on {weight.value.device}"
            raise ValueError(f"prepack_weights expects weights in float32 on the CPU, found {found}")
    for encoder in encoders:
        encoder._program = encoder._program.become(_PrepackedProgram)
    forget_programs(layers)


def undo_prepacking(model: Any) -> None:
    """Drop the copies of :func:`prepack_weights`; a model without any is left as it is."""
    layers = model._flatten_layers()
    for layer in layers:
        if isinstance(layer, TFElectraEncoder) and isinstance(layer._program, _PrepackedProgram):
            layer._program = layer._program.become(LayerProgram)
            for weight in layer.weights:
                weight.__class__ = keras.Variable
            forget_programs(layers)


class _PrepackedProgram(LayerProgram):
    """A program that holds the values of the layer's variables as constants."""

    def may_run(self, training: bool | None) -> bool:
        if training:
            raise RuntimeError(f"a model with prepacked weights does not train: {_UNDO}")
        return not uses_the_variables()

    def _trace(self, signature: list[tf.TensorSpec]) -> Any:
        for weight in self._layer.weights:
            weight.__class__ = _PrepackedVariable

        def run(*tensors: Tensor) -> Tensor:
            # A tensor of numbers from outside would become an input of the graph; one made inside is its constant.
            values = [(weight, tf.constant(_numbers(weight))) for weight in self._layer.weights]
            with keras.StatelessScope(values), _few_operations(self._layer):
                result = self._function(*tensors)
            return tf.raw_ops.PreventGradient(input=result, message=_NO_GRADIENTS)

        return tf.function(run, signature, autograph=False)


@contextmanager
def _few_operations(layer: keras.layers.Layer) -> Iterator[None]:
    """Within this block the sublayers of a layer compute the same in fewer and faster operations.

    Those that compute in half precision stay what they are.
    """
    exact = [inner for inner in layer._flatten_layers() if inner.compute_dtype == "float32"]
    stand_ins = [(inner, _STAND_INS[type(inner)]) for inner in exact if type(inner) in _STAND_INS]
    for inner, stand_in in stand_ins:
        inner.__class__ = stand_in
    try:
        yield
    finally:
        for inner, stand_in in stand_ins:
            inner.__class__ = stand_in.__base__


class _PrepackedDense(keras.layers.Dense):
    """A linear layer whose matrix, where it is large, is kept in oneDNN's own order."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        product = _multiply(inputs, self.kernel, self.bias)
        return product if self.activation is None else self.activation(product)


class _JoinedSelfAttention(TFElectraSelfAttention):
    """Self-attention whose queries, keys and values are one product: in a program every token is a query."""

    def _projected(self, hidden_states: Tensor, query_inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projections = (self.query, self.key, self.value)
        if not all(map(_is_plain, projections)):
            return super()._projected(hidden_states, query_inputs)
        # TensorFlow joins constants once, before it runs the program.
        kernel = tf.concat([tf.convert_to_tensor(projection.kernel) for projection in projections], axis=1)
        bias = tf.concat([tf.convert_to_tensor(projection.bias) for projection in projections], axis=0)
        joined = _multiply(hidden_states, kernel, bias)  # [..., 3 * hidden]
        heads = (*leading_sizes(hidden_states), self.num_attention_heads, self.head_size)
        query, key, value = (tf.reshape(part, heads) for part in tf.split(joined, 3, axis=-1))
        return query, key, value


class _BriefNormalization(keras.layers.LayerNormalization):
    """LayerNorm in ten operations, half of them on one number a row, in an order that TensorFlow knows."""

    def call(self, inputs: Tensor) -> Tensor:
        if self.gamma is None or self.beta is None:
            return super().call(inputs)
        mean = tf.reduce_mean(inputs, -1, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(inputs, mean), -1, keepdims=True)
        scale = tf.math.rsqrt(variance + self.epsilon) * tf.convert_to_tensor(self.gamma)
        return inputs * scale + (tf.convert_to_tensor(self.beta) - mean * scale)


_STAND_INS: Final[dict[type, type]] = {
    keras.layers.Dense: _PrepackedDense,
    TFElectraSelfAttention: _JoinedSelfAttention,
    keras.layers.LayerNormalization: _BriefNormalization,
}


def _is_plain(projection: keras.layers.Layer) -> bool:
    """Whether a layer within :func:`_few_operations` is a matrix and a bias and nothing more."""
    is_linear = type(projection) is _PrepackedDense and projection.activation is keras.activations.linear
    return is_linear and projection.bias is not None


def _multiply(inputs: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """[..., size] -> [..., units], with a large matrix as a convolution over single places.

    Constant filters are kept in oneDNN's own order. The constant matrix of a product is not: for few rows oneDNN takes
    it as it lies, and is slower by a quarter where reading it is what takes the time. Starting a convolution takes
    longer, so small ones stay products.
    """
    size, units = kernel.shape
    kernel = tf.convert_to_tensor(kernel)
    if size * units < _LARGE:
        product = tf.matmul(inputs, kernel)
        return product if bias is None else tf.nn.bias_add(product, tf.convert_to_tensor(bias))
    image = tf.reshape(inputs, (1, 1, -1, size))  # [..., size] -> [1, 1, rows, size]
    product = tf.nn.conv2d(image, tf.reshape(kernel, (1, 1, size, units)), strides=1, padding="VALID")
    if bias is not None:
        product = tf.nn.bias_add(product, tf.convert_to_tensor(bias))
    return tf.reshape(product, (*leading_sizes(inputs), units))  # [1, 1, rows, units] -> [..., units]


def _numbers(weight: keras.Variable) -> NDArray[Any]:
    with tf.init_scope():
        numbers: NDArray[Any] = weight.numpy()
    return numbers


class _PrepackedVariable(keras.Variable):
    """A variable whose value stands in a program as well, and must stay what it is."""

    def assign(self, value: Any) -> Never:
        raise RuntimeError(f"prepacked weights must not change, found an assignment to {self.path}: {_UNDO}")
