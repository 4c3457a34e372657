"""Tiny networks under the names that Google's code and transformers give them, written out by hand.

Every size is odd or differs from all others, so that a swapped axis cannot pass unnoticed.
"""

import numpy as np

from electra_common.weights.tensors import StoredTensor

VOCABULARY, POSITIONS, TYPES, EMBEDDING = 13, 11, 2, 6
HIDDEN, INTERMEDIATE, LAYERS = 10, 14, 2
GENERATOR_HIDDEN, GENERATOR_INTERMEDIATE = 7, 9


def google_embeddings(scope="electra", width=EMBEDDING):
    """Return ``{name: shape}`` of Google's embedding tables."""
    return {
        f"{scope}/embeddings/word_embeddings": (VOCABULARY, width),
        f"{scope}/embeddings/position_embeddings": (POSITIONS, width),
        f"{scope}/embeddings/token_type_embeddings": (TYPES, width),
        f"{scope}/embeddings/LayerNorm/gamma": (width,),
        f"{scope}/embeddings/LayerNorm/beta": (width,),
    }


def google_encoder(scope="electra", hidden=HIDDEN, intermediate=INTERMEDIATE, layers=LAYERS, embedding=EMBEDDING):
    """Return ``{name: shape}`` of an encoder; kernels are [input, output]."""
    result = {}
    if embedding != hidden:
        result[f"{scope}/embeddings_project/kernel"] = (embedding, hidden)
        result[f"{scope}/embeddings_project/bias"] = (hidden,)
    for layer in range(layers):
        path = f"{scope}/encoder/layer_{layer}"
        for dense, (inputs, outputs) in {
            "attention/self/query": (hidden, hidden),
            "attention/self/key": (hidden, hidden),
            "attention/self/value": (hidden, hidden),
            "attention/output/dense": (hidden, hidden),
            "intermediate/dense": (hidden, intermediate),
            "output/dense": (intermediate, hidden),
        }.items():
            result[f"{path}/{dense}/kernel"] = (inputs, outputs)
            result[f"{path}/{dense}/bias"] = (outputs,)
        for norm in ("attention/output/LayerNorm", "output/LayerNorm"):
            result[f"{path}/{norm}/gamma"] = (hidden,)
            result[f"{path}/{norm}/beta"] = (hidden,)
    return result


def google_discriminator_head(hidden=HIDDEN):
    """Return ``{name: shape}`` of the head for replaced token detection."""
    return {
        "discriminator_predictions/dense/kernel": (hidden, hidden),
        "discriminator_predictions/dense/bias": (hidden,),
        "discriminator_predictions/dense_1/kernel": (hidden, 1),
        "discriminator_predictions/dense_1/bias": (1,),
    }


def google_generator_head(hidden=GENERATOR_HIDDEN, embedding=EMBEDDING):
    """Return ``{name: shape}`` of the head for masked tokens."""
    return {
        "generator_predictions/dense/kernel": (hidden, embedding),
        "generator_predictions/dense/bias": (embedding,),
        "generator_predictions/LayerNorm/gamma": (embedding,),
        "generator_predictions/LayerNorm/beta": (embedding,),
        "generator_predictions/output_bias": (VOCABULARY,),
    }


def google_pretraining():
    """Return ``{name: shape}`` of a usual checkpoint: both networks, one set of embeddings."""
    return {
        **google_embeddings(),
        **google_encoder(),
        **google_encoder("generator", GENERATOR_HIDDEN, GENERATOR_INTERMEDIATE),
        **google_discriminator_head(),
        **google_generator_head(),
    }


def random_arrays(shapes, seed=0, dtype="float32"):
    """Return ``{name: array}`` of normal numbers; every array differs from every other."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def stored(arrays):
    """Return arrays as a format reader would give them."""
    return {
        name: StoredTensor(name, array.shape, array.dtype.name, lambda array=array: array)
        for name, array in arrays.items()
    }


def read_all(tensors):
    """Return ``{name: array}`` of stored tensors."""
    return {name: tensor.read() for name, tensor in tensors.items()}


def assert_same_bytes(expected, found):
    """Assert that two dicts hold the same arrays: names, shapes, dtypes, bytes."""
    assert sorted(expected) == sorted(found)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        assert found[name].tobytes() == array.tobytes(), name
