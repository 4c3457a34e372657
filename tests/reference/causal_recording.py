"""Records what transformers' ElectraForCausalLM computes, for tests/pt/test_causal.py and tests/tf/test_causal.py.

`python tests/reference/causal_recording.py` writes tests/fixtures/causal: two decoders, one of them with
cross-attention, and their outputs, gradients and greedy generation. The tests never run it.
"""

from pathlib import Path

import numpy as np
import torch
import transformers

TARGET = Path(__file__).resolve().parent.parent / "fixtures" / "causal"
SIZES = {
    "vocab_size": 37, "embedding_size": 10, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 28, "max_position_embeddings": 19, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2,
}  # fmt: skip
BATCH, LENGTH, SOURCE, KNOWN = 3, 11, 7, 8  # KNOWN tokens go into the cache, the rest is a step
PROMPT, NEW = 5, 9


def inputs(generator, has_encoder):
    mask = torch.ones(BATCH, LENGTH, dtype=torch.long)
    mask[1, :4] = 0  # a decoder's padding is on the left
    labels = torch.randint(1, 37, (BATCH, LENGTH), generator=generator)
    labels[mask == 0] = -100
    labels[0, 6:8] = -100
    result = {
        "input_ids": torch.randint(1, 37, (BATCH, LENGTH), generator=generator),
        "attention_mask": mask,
        "token_type_ids": torch.randint(0, 2, (BATCH, LENGTH), generator=generator),
        "labels": labels,
    }
    if has_encoder:
        result["encoder_hidden_states"] = torch.randn(BATCH, SOURCE, 24, generator=generator)
        result["encoder_attention_mask"] = torch.ones(BATCH, SOURCE, dtype=torch.long)
        result["encoder_attention_mask"][2, 4:] = 0
    return result


def flat(output):
    for name in ("loss", "logits"):
        if output.get(name) is not None:
            yield name, output[name]
    for name in ("hidden_states", "attentions", "cross_attentions"):
        yield from ((f"{name}/{index}", tensor) for index, tensor in enumerate(output.get(name) or ()))


def greedy(model, batch, end, **options):
    ids = batch["input_ids"][:, :PROMPT]
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    found = model.generate(
        ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, eos_token_id=end, pad_token_id=0, **options
    )
    return ids, mask, found


def first_end(ids):
    """Return a token that one row generates early and another one never does."""
    rows = [row[PROMPT:].tolist() for row in ids]
    for place in range(NEW - 1):
        for row in rows:
            others = [other for other in rows if other is not row]
            if row.index(row[place]) == place and not all(row[place] in other for other in others):
                return row[place]
    raise AssertionError("no token ends one row and not the others: take another seed")


def record(name, has_encoder):
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(3)
    config = transformers.ElectraConfig(**SIZES, is_decoder=True, add_cross_attention=has_encoder)
    config._attn_implementation = "eager"
    model = transformers.ElectraForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    batch = inputs(generator, has_encoder)
    arrays = {f"in/{key}": tensor for key, tensor in batch.items()}
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    output.loss.backward()
    arrays |= {f"out/{key}": tensor for key, tensor in flat(output)}
    arrays |= {f"grad/{key}": weight.grad for key, weight in model.named_parameters()}
    encoder = {key: tensor for key, tensor in batch.items() if key.startswith("encoder_")}
    with torch.no_grad():
        arrays |= {f"step/{key}": tensor for key, tensor in flat(step(model, batch, encoder))}
        # With a cache, generation of transformers 5.23 fails on cross-attention.
        options = {**encoder, "use_cache": False} if has_encoder else {}
        _, _, free = greedy(model, batch, None, **options)
        end = first_end(free)
        ids, mask, found = greedy(model, batch, end, **options)
    arrays |= {"generate/input_ids": ids, "generate/attention_mask": mask, "generate/free": free,
               "generate/ended": found, "generate/end": torch.tensor(end)}  # fmt: skip
    if not has_encoder:
        unmasked = batch["input_ids"][:, :PROMPT].clone()
        unmasked[1, :3] = 0  # without a mask, padding is told by its id
        arrays["generate/padded"] = unmasked
        arrays["generate/inferred"] = model.generate(
            unmasked, max_new_tokens=NEW, do_sample=False, eos_token_id=end, pad_token_id=0
        )
    folder = TARGET / name
    model.save_pretrained(folder)
    np.savez_compressed(folder / "expected.npz", **{key: tensor.detach().numpy() for key, tensor in arrays.items()})
    (folder / "generation_config.json").unlink(missing_ok=True)


def step(model, batch, encoder):
    """Return the output of the last tokens, the first KNOWN ones being in a cache."""
    first = {key: batch[key][:, :KNOWN] for key in ("input_ids", "attention_mask", "token_type_ids")}
    cache = model(**first, **encoder, use_cache=True).past_key_values
    rest = {key: batch[key][:, KNOWN:] for key in ("input_ids", "token_type_ids")}
    return model(
        **rest, **encoder, attention_mask=batch["attention_mask"], past_key_values=cache, use_cache=True,
        output_hidden_states=True, output_attentions=True,
    )  # fmt: skip


if __name__ == "__main__":
    record("alone", has_encoder=False)
    record("with-encoder", has_encoder=True)
