"""The micro-batches of a step take turns, in both loops: what one holds for its gradients is gone before the next."""

from time import sleep
from types import SimpleNamespace

import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from electra_common.runs.processes import Processes  # noqa: E402
from electra_tf import fine_tuning, pretraining  # noqa: E402
from electra_tf.processes import RunProcesses  # noqa: E402

TURNS = [("forward", 0), ("backward", 0), ("forward", 1), ("backward", 1), ("forward", 2), ("backward", 2)]


class NotingNetwork:
    """One weight, of which a graph notes when it computes the loss and when the gradient.

    Nothing but the values puts the notes in order: functions with a state would take turns in any graph.
    """

    def __init__(self):
        self.trainable_variables = [keras.Variable(3.0)]
        self.noted = []

    def __call__(self, number, training):
        def square(weight):
            value = self.note("forward", number, weight)
            return value * value, lambda slope: self.note("backward", number, slope * 2 * value)

        loss = tf.custom_gradient(square)(self.trainable_variables[0].value)
        return {"loss": loss, "generator_loss": loss}

    def note(self, word, number, value):
        """Return a value that is noted when it is computed."""

        def noted(number, value):
            self.noted.append((word, int(number)))
            sleep(0.01)  # whatever else may begin now does so
            return value

        return tf.ensure_shape(tf.numpy_function(noted, [number, value], tf.float32, stateful=False), ())


def of_pretraining(numbers, shares):
    recipe = SimpleNamespace(generator_weight=1.0, discriminator_weight=50.0)
    micro_batches = [({"number": number}, share, share) for number, share in zip(numbers, shares, strict=True)]
    return pretraining, micro_batches, SimpleNamespace(settings=SimpleNamespace(recipe=recipe))


def of_fine_tuning(numbers, shares):
    pairs = zip(numbers, shares, strict=True)
    micro_batches = [{"inputs": {"number": number}, "labels": {}, "share": share} for number, share in pairs]
    return fine_tuning, micro_batches, SimpleNamespace(config=None)


@pytest.mark.parametrize("loop", [of_pretraining, of_fine_tuning])
def test_each_ends_before_the_next_begins(monkeypatch, loop):
    network, alone = NotingNetwork(), RunProcesses(Processes(), tf.distribute.get_strategy())
    monkeypatch.setattr(fine_tuning, "task_loss", lambda model, _, inputs, *__: model(**inputs, training=True)["loss"])

    @tf.function(autograph=False)
    def compute(numbers, shares):
        module, micro_batches, run = loop(tf.unstack(numbers), tf.unstack(shares))
        return module.compute_gradients(network, micro_batches, run, alone)[0]

    (gradient,) = compute(tf.constant([0, 1, 2]), tf.constant([0.25, 0.5, 0.75]))
    assert float(gradient) == (0.25 + 0.5 + 0.75) * 2 * 3
    assert network.noted == TURNS
