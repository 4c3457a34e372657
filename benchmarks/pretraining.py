"""A training step of pre-training beside a straightforward composition of transformers' two classes, in PyTorch.

Both are ELECTRA-Small with its generator of a quarter's width and shared embeddings, start from the same weights, and
take turns at the same masked batches: forward, backward and the optimizer, dropout included. The composition computes
the generator's logits at every position, which is what its class does, samples there too or, in a second measurement,
where tokens are masked only, and moves the weights with torch's AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.inference import OURS, PEER, Settings, Step, Work, in_turn, make_works
from benchmarks.sentences import full_rows

ROWS: Final = 8
LENGTH: Final = 128
LARGEST_DIFFERENCE: Final = 1e-4
_IGNORED: Final = -100
_PIECES: Final = 30_522
_SPECIAL: Final = {"pad": 0, "cls": 101, "sep": 102, "mask": 103}
_OPTIONS: Final[dict[str, float]] = {"lr": 5e-4, "eps": 1e-6, "weight_decay": 0.01}

Batch = Mapping[str, Any]


def measure_pretraining(folder: Path, settings: Settings) -> tuple[Work, Work]:
    """Measure steps of eight rows of 128 tokens, beside a peer that samples everywhere and one that does where masked.

    Raises:
        RuntimeError: without dropout, and given the same corrupted tokens, the two have not the same losses.
    """
    import torch

    torch.set_num_threads(settings.threads)
    model = our_networks("small")
    composition = compose_networks(model, folder)
    batches = [masked_batch(step, ROWS, LENGTH) for step in range(settings.batches)]
    _check_losses(model, composition, batches[0])
    ours = our_step(model)
    works = []
    for name, everywhere in (("samples everywhere", True), ("samples where masked", False)):
        theirs = peers_step(composition, everywhere)
        steps: dict[str, Step] = {
            OURS: lambda i: ours(batches[i]),
            PEER: lambda i, theirs=theirs: theirs(batches[i]),  # type: ignore[misc]
        }
        works += make_works("small", name, ROWS * len(batches), in_turn(steps, len(batches), settings))
    return works[0], works[1]


def our_networks(recipe: str) -> Any:
    """Return a recipe's two networks with new weights and the 30,522 pieces."""
    from electra_common.pretraining.recipes import load_recipe
    from electra_pt import ElectraForJointPreTraining

    return ElectraForJointPreTraining(*load_recipe(recipe).configs(_PIECES))


def masked_batch(step: int, count: int, length: int) -> dict[str, Any]:
    """Return full rows, masked; for the composition also labels at every position, -100 where nothing is masked."""
    import torch

    from electra_common.pretraining.masking import MaskingRules, mask_rows, slots_for

    rows = {name: tensor.numpy() for name, tensor in full_rows(count, length, _PIECES).items()}
    rows["input_ids"][:, 0], rows["input_ids"][:, -1] = _SPECIAL["cls"], _SPECIAL["sep"]
    rules = MaskingRules(
        slots=slots_for(0.15, length),
        mask_id=_SPECIAL["mask"],
        never_masked=frozenset(_SPECIAL.values()),
        vocab_size=_PIECES,
    )
    masked = mask_rows(rows, rules, seed=0, step=step, first_row=0)
    labels = np.full_like(rows["input_ids"], _IGNORED)
    is_used = masked["masked_weights"] > 0  # a slot that is not points at the first position
    numbers = np.nonzero(is_used)[0]
    labels[numbers, masked["masked_positions"][is_used]] = masked["masked_labels"][is_used]
    return {name: torch.from_numpy(array) for name, array in {**masked, "labels": labels}.items()}


def compose_networks(model: Any, folder: Path) -> Any:
    """Return transformers' generator and discriminator of our weights, embeddings shared."""
    import torch
    import transformers

    model.save_halves(folder)
    transformers.utils.logging.disable_progress_bar()
    networks = torch.nn.ModuleDict(
        {
            "discriminator": transformers.ElectraForPreTraining.from_pretrained(folder / "discriminator"),
            "generator": transformers.ElectraForMaskedLM.from_pretrained(folder / "generator"),
        }
    )
    embeddings = networks["discriminator"].electra.embeddings
    networks["generator"].electra.embeddings = embeddings
    networks["generator"].generator_lm_head.weight = embeddings.word_embeddings.weight
    return networks


def compose(
    networks: Any, batch: Batch, *, everywhere: bool = False, corrupted_input_ids: Any = None
) -> tuple[Any, Any]:
    """Return both losses of the composition; tokens are sampled unless corrupted ones are given."""
    import torch

    body = {name: batch[name] for name in ("attention_mask", "token_type_ids") if name in batch}
    labels = batch["labels"]
    is_masked = labels != _IGNORED
    generated = networks["generator"](batch["input_ids"], labels=labels, **body)
    originals = torch.where(is_masked, labels, batch["input_ids"])
    if corrupted_input_ids is None:
        logits = generated.logits.detach()  # [rows, length, vocabulary]
        if everywhere:
            corrupted_input_ids = torch.where(is_masked, _gumbel_argmax(logits), originals)
        else:
            corrupted_input_ids = originals.masked_scatter(is_masked, _gumbel_argmax(logits[is_masked]))
    is_replaced = (corrupted_input_ids != originals).long()
    judged = networks["discriminator"](corrupted_input_ids, labels=is_replaced, **body)
    return generated.loss, judged.loss


def _gumbel_argmax(logits: Any) -> Any:
    import torch

    return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)


def _check_losses(model: Any, composition: Any, batch: Batch) -> None:
    model.eval()
    composition.eval()
    given = our_arguments(batch)
    output = model(**given)
    theirs = compose(composition, batch, corrupted_input_ids=output.corrupted_input_ids)
    for name, ours, other in zip(
        ("generator", "discriminator"), (output.generator_loss, output.discriminator_loss), theirs, strict=True
    ):
        difference = abs(float(ours.detach()) - float(other.detach()))
        if not difference <= LARGEST_DIFFERENCE:
            raise RuntimeError(f"the {name}'s losses differ by {difference:.1e}")
    model.train()
    composition.train()


def our_arguments(batch: Batch) -> dict[str, Any]:
    """Return what our call takes of a batch."""
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


def our_step(model: Any) -> Callable[[Batch], Any]:
    """Return a step of ours, which gives its loss; on a GPU in bfloat16 by autocast."""
    from electra_pt.optimizer import clip_by_global_norm, electra_adam

    optimizer = electra_adam(model, learning_rate=_OPTIONS["lr"])

    def step(batch: Batch) -> Any:
        optimizer.zero_grad()
        with _on_a_gpu_in_half(batch):
            loss = model(**our_arguments(batch)).loss
        loss.backward()
        clip_by_global_norm(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return step


def peers_step(networks: Any, everywhere: bool) -> Callable[[Batch], None]:
    """Return a step of the composition, likewise."""
    import torch

    is_on_gpu = next(networks.parameters()).is_cuda
    optimizer = torch.optim.AdamW(networks.parameters(), fused=is_on_gpu, **_OPTIONS)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        with _on_a_gpu_in_half(batch):
            generator_loss, discriminator_loss = compose(networks, batch, everywhere=everywhere)
        (generator_loss + 50 * discriminator_loss).backward()
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        optimizer.step()

    return step


def _on_a_gpu_in_half(batch: Batch) -> Any:
    import torch

    return torch.autocast(batch["input_ids"].device.type, torch.bfloat16, enabled=batch["input_ids"].is_cuda)
