"""A small pre-training batch and two small networks for it, in numpy alone. All sizes differ."""

import numpy as np

from electra_common import ElectraConfig
from electra_common.pretraining.masking import MaskingRules, mask_rows
from electra_common.pretraining.sampling import gumbel_from_words, noise_words

PAD, CLS, SEP, MASK = 0, 2, 3, 4
ROWS, LENGTH, SLOTS, VOCABULARY = 5, 13, 3, 61
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CONFIG = ElectraConfig(
    vocab_size=VOCABULARY, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.2, **NO_DROPOUT,
)  # fmt: skip
GENERATOR = CONFIG.replace(hidden_size=16, num_attention_heads=2, intermediate_size=28)
# {name: (objective's fields, generator's config)}
OBJECTIVES = {
    "shared embeddings": ({}, GENERATOR),
    "own embeddings": ({"ties_embeddings": False, "discriminator_weight": 20.0}, GENERATOR.replace(embedding_size=16)),
    "one network": ({"generator": "tied", "generator_weight": 2.0}, None),
    "uniform": ({"generator": "uniform"}, None),
    "masked language model": ({"objective": "mlm", "generator_weight": 3.0}, None),
}
RULES = MaskingRules(
    slots=SLOTS, mask_id=MASK, never_masked=frozenset({PAD, CLS, SEP, MASK}), vocab_size=VOCABULARY, probability=0.2
)


def make_rows(rows=ROWS, length=LENGTH, seed=0):
    """Return padded rows of two segments."""
    generator = np.random.default_rng(seed)
    lengths = np.resize([length, 5, 9, 7, length - 1], rows)
    columns = np.arange(length)
    mask = (columns < lengths[:, None]).astype(np.int64)
    ids = generator.integers(5, VOCABULARY, (rows, length))
    ids[:, 0] = CLS
    ids[columns == lengths[:, None] - 1] = SEP
    types = (columns >= lengths[:, None] // 2) * mask
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types}


def make_batch(seed=0, step=0, **sizes):
    """Return a masked batch, with sampling seeds."""
    return mask_rows(make_rows(seed=seed, **sizes), RULES, seed=seed, step=step, first_row=0)


def recorded_batch(seed=0):
    """Return a masked batch with what the discriminator sees: nothing is left to sampling."""
    batch = make_batch(seed)
    generator = np.random.default_rng(seed + 100)
    originals = original_ids(batch)
    corrupted = originals.copy()
    for row, position, weight in places(batch):
        if weight and generator.random() < 0.8:
            corrupted[row, position] = generator.integers(5, VOCABULARY)
    del batch["sampling_seeds"]
    return {**batch, "corrupted_input_ids": corrupted, "is_replaced": (corrupted != originals).astype(np.int64)}


def places(batch):
    """Yield (row, position, weight) of every slot."""
    for row, (positions, weights) in enumerate(zip(batch["masked_positions"], batch["masked_weights"], strict=True)):
        for position, weight in zip(positions.tolist(), weights.tolist(), strict=True):
            yield row, position, weight


def original_ids(batch):
    """Return the ids before masking, put back one by one."""
    originals = batch["input_ids"].copy()
    labels = batch["masked_labels"].reshape(-1).tolist()
    for (row, position, weight), label in zip(places(batch), labels, strict=True):
        if weight:
            originals[row, position] = label
    return originals


def sampled_by_numpy(logits, batch, temperature=1.0, disallow_correct=False):
    """Return (corrupted ids, labels) by the definition: the largest of logits / temperature + Gumbel noise."""
    words = noise_words(batch["sampling_seeds"], batch["masked_positions"], VOCABULARY)
    scores = logits / temperature + gumbel_from_words(words)
    if disallow_correct:
        np.put_along_axis(scores, batch["masked_labels"][:, :, None].astype(np.int64), -1e9, axis=-1)
    tokens = scores.argmax(axis=-1)
    originals = original_ids(batch)
    corrupted = originals.copy()
    for (row, position, weight), token in zip(places(batch), tokens.reshape(-1).tolist(), strict=True):
        if weight:
            corrupted[row, position] = token
    return corrupted, (corrupted != originals).astype(np.int64)
