"""Google's Adam written out in numpy, in float64: what the optimizers of both frameworks are held against."""

import numpy as np

OPTIONS = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}
# Names as a network has them; Google's patterns leave out LayerNorm and biases, and embeddings are decayed.
SHAPES = {
    "electra.embeddings.word_embeddings.weight": (7, 3),
    "electra.encoder.layer.0.output.dense.weight": (3, 5),
    "electra.encoder.layer.0.output.dense.bias": (3,),
    "electra.encoder.layer.0.output.LayerNorm.weight": (4,),
    "electra.encoder.layer.0.output.LayerNorm.bias": (4,),
}
DECAYED = {name for name in SHAPES if name.endswith(("word_embeddings.weight", "dense.weight"))}
STEPS = 5


def start():
    """Return the parameters before the first step."""
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def gradients(step):
    """Return the gradients of a step."""
    generator = np.random.default_rng(1 + step)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def expected(bias_correction=False, factors=None, decayed=DECAYED, steps=STEPS):
    """Return parameters, means and squares after some steps, by name."""
    beta_1, beta_2 = OPTIONS["betas"]
    parameters = {name: array.astype(np.float64) for name, array in start().items()}
    means, squares = ({name: np.zeros(shape) for name, shape in SHAPES.items()} for _ in range(2))
    for step in range(steps):
        for name, gradient in gradients(step).items():
            means[name] = beta_1 * means[name] + (1 - beta_1) * gradient
            squares[name] = beta_2 * squares[name] + (1 - beta_2) * np.square(gradient, dtype=np.float64)
            mean, square = means[name], squares[name]
            if bias_correction:
                mean, square = mean / (1 - beta_1 ** (step + 1)), square / (1 - beta_2 ** (step + 1))
            update = mean / (np.sqrt(square) + OPTIONS["eps"])
            update += (OPTIONS["weight_decay"] if name in decayed else 0) * parameters[name]
            parameters[name] -= OPTIONS["lr"] * (factors or {}).get(name, 1.0) * update
    return parameters, means, squares
