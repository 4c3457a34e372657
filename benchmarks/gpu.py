"""Models on a GPU in bfloat16 beside transformers, as they are and under ``torch.compile``; steps of pre-training too.

The works are those of :mod:`benchmarks.inference`, with rows enough to fill a GPU; ours leaves padding out of real
sentences. A product of large matrices takes its turn beside full rows and training: shares are of its speed.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.inference import (
    COMPILED,
    OURS,
    PEER,
    Compared,
    Settings,
    Step,
    Work,
    call,
    for_training,
    in_turn,
    load,
    make_checkpoints,
    make_works,
    operations_of_a_token,
)
from benchmarks.pretraining import (
    Batch,
    compose_networks,
    masked_batch,
    our_arguments,
    our_networks,
    our_step,
    peers_step,
)
from benchmarks.sentences import SHORT_SENTENCE, full_rows, read_sentences, tokenize

OURS_COMPILED: Final = "electra_pt, compiled"
LENGTHS: Final = {"small": (128,), "base": (128, 512)}  # those that the published runs had
WORKS: Final = ("answering", "fine-tuning", "pretraining")
TOKENS_OF_FULL_ROWS: Final = 65_536
TOKENS_OF_A_STEP: Final = 32_768
LARGEST_DIFFERENCE: Final = 0.02  # root of the mean square, of logits whose own is 1: bfloat16 keeps 8 bits
_CALLS: Final = 10
_STEPS: Final = 4
_PRODUCT: Final = "matrix products"
_PRODUCT_SIZE: Final = 8192
_PRODUCTS: Final = 20  # a turn: one alone finds the GPU slower than it is
_COMPILED: Final = {OURS: OURS_COMPILED, PEER: COMPILED}
_OF_OURS: Final = (OURS, OURS_COMPILED)


def measure_on_gpu(size: str, folder: Path, settings: Settings, works: Sequence[str] = WORKS) -> Compared:
    """Measure one of the released sizes with new weights.

    Raises:
        RuntimeError: the outputs of the two are not the same.
    """
    make_checkpoints(size, folder)
    batches = [_moved(batch) for batch in _sentences(settings)]
    found: list[Work] = []
    difference = None
    if "answering" in works:
        difference, answered = _answering(size, folder, batches, settings)
        found += answered
    if "fine-tuning" in works:
        found += _fine_tuning(size, folder, batches, settings)
    if "pretraining" in works:
        for length in LENGTHS[size]:
            found += _pretraining(size, folder / f"pretraining-{length}", length, settings)
    real = sum(int(batch["attention_mask"].sum()) for batch in batches)
    places = sum(batch["attention_mask"].numel() for batch in batches)
    return Compared(size, real / places, difference, tuple(found))


def _sentences(settings: Settings) -> list[dict[str, Any]]:
    return tokenize(read_sentences(settings.sentences), settings.vocabulary, settings.batches, "pt")


def _answering(
    size: str, folder: Path, batches: Sequence[Mapping[str, Any]], settings: Settings
) -> tuple[float, list[Work]]:
    import torch

    models = {name: load(name, "ElectraForPreTraining", folder).to("cuda", torch.bfloat16) for name in (OURS, PEER)}
    models |= {name: copy.deepcopy(models[own]) for own, name in _COMPILED.items()}
    (short,) = tokenize([SHORT_SENTENCE], settings.vocabulary, 1, "pt")
    config, works = models[OURS].config, []
    with torch.inference_mode():
        difference = _difference(models, batches)
        for kind, texts, run, dynamic in (
            ("real sentences", batches, call, True),
            ("one short sentence", [_moved(short)], _call_often, False),
        ):
            _compile_layers([models[name] for name in _COMPILED.values()], dynamic)
            works += _turns(size, kind, models, texts, run, settings)
        for length in (128, 512):
            rows = _moved(full_rows(TOKENS_OF_FULL_ROWS // length, length, config.vocab_size))
            operations = TOKENS_OF_FULL_ROWS * operations_of_a_token(config, length)
            works += _turns(size, f"full rows of {length}", models, [rows], _call_full, settings, operations)
    return difference, works


def _compile_layers(models: Iterable[Any], dynamic: bool) -> None:
    """Compile layers, the same for both programs: equal ones once."""
    for model in models:
        for layer in model.electra.encoder.layer:
            layer.compile(dynamic=dynamic)


def _call_full(program: str, model: Any, batch: Batch) -> Any:
    """Run a model over rows without padding, without a mask, which neither program would compute with."""
    return model(input_ids=batch["input_ids"], token_type_ids=batch["token_type_ids"])


def _call_often(program: str, model: Any, batch: Batch) -> None:
    for _ in range(_CALLS):
        _call_full(program, model, batch)


def _turns(
    size: str,
    name: str,
    models: Mapping[str, Any],
    batches: Sequence[Batch],
    run: Callable[[str, Any, Batch], Any],
    settings: Settings,
    operations: float | None = None,
) -> list[Work]:
    """Let models answer batches in turn."""
    steps: dict[str, Step] = {}
    for program, model in models.items():
        own = PEER if program in (PEER, COMPILED) else OURS
        steps[program] = lambda i, own=own, model=model: run(own, model, batches[i])  # type: ignore[misc]
    items = _CALLS if run is _call_often else sum(len(batch["input_ids"]) for batch in batches)
    return _timed(size, name, steps, len(batches), items, settings, operations)


def _timed(
    size: str,
    name: str,
    steps: Mapping[str, Step],
    count: int,
    items: int,
    settings: Settings,
    operations: float | None,
) -> list[Work]:
    """Time steps in turn, waiting for the GPU after each; with the operations of a turn, also shares of its speed."""
    import torch

    torch.compiler.reset()
    waiting: dict[str, Step] = {program: _then_wait(step) for program, step in steps.items()}
    if operations is not None:
        matrix = torch.randn(_PRODUCT_SIZE, _PRODUCT_SIZE, device="cuda", dtype=torch.bfloat16)
        waiting[_PRODUCT] = _then_wait(lambda _: [matrix @ matrix for _ in range(_PRODUCTS)])
    for step in waiting.values():
        step(0)
    megabytes = {program: _peak(step) for program, step in waiting.items()}  # before steps are recorded
    for step in waiting.values():  # what is compiled for other shapes than the first
        for index in range(count):
            step(index)
    seconds = in_turn(waiting, count, settings)
    shares = None
    if operations is not None:
        speed = 2 * _PRODUCT_SIZE**3 * _PRODUCTS * count / statistics.median(seconds.pop(_PRODUCT))
        shares = {program: operations / statistics.median(turns) / speed for program, turns in seconds.items()}
    works = make_works(size, name, items, seconds, shares, _OF_OURS)
    return [replace(work, megabytes=(megabytes[work.programs[0]], megabytes[work.programs[1]])) for work in works]


def _then_wait(step: Step) -> Step:
    import torch

    def run(index: int) -> None:
        step(index)
        torch.cuda.synchronize()

    return run


def _peak(step: Step) -> float:
    """Return the megabytes that a step needs beyond what lies there before and after."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(0)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def _difference(models: Mapping[str, Any], batches: Sequence[Batch]) -> float:
    """Compare logits of real tokens: the root of the differences' mean square, beside that of the logits."""
    found = 0.0
    for batch in batches:
        is_real = batch["attention_mask"] == 1
        ours, theirs = (call(name, models[name], batch).logits[is_real].float() for name in (OURS, PEER))
        found = max(found, float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt()))
    if not found <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"logits differ by {found:.1e} of their size, expected at most {LARGEST_DIFFERENCE:.0e}")
    return found


def _fine_tuning(size: str, folder: Path, batches: Sequence[Batch], settings: Settings) -> list[Work]:
    """A classifier's steps with dropout, in bfloat16 by autocast."""
    import torch

    steps: dict[str, Step] = {}
    used = for_training(batches)
    for name in (OURS, PEER):
        model = load(name, "ElectraForSequenceClassification", folder).train().to("cuda")
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

        def step(i: int, name: str = name, model: Any = model, optimizer: Any = optimizer) -> None:
            labels = torch.arange(len(used[i]["input_ids"]), device="cuda") % 2
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16):
                loss = call(name, model, used[i], labels=labels).loss
            loss.backward()
            optimizer.step()

        steps[name] = step
    items = sum(len(batch["input_ids"]) for batch in used)
    return _timed(size, "fine-tuning", steps, len(used), items, settings, None)


def _pretraining(size: str, folder: Path, length: int, settings: Settings) -> list[Work]:
    """Both networks and the optimizer, in bfloat16 by autocast: ours compiled and recorded as runs are.

    The composition is compiled too.
    """
    from electra_common.pretraining.flops import step_flops

    rows = TOKENS_OF_A_STEP // length
    # Rows are full; a mask that hides nothing is left out, as it is in our runs.
    batches = [_without_mask(_moved(masked_batch(step, rows, length))) for step in range(_STEPS)]
    model = our_networks(size)
    composition = compose_networks(model, folder).to("cuda").train()
    steps = _training_steps(model.to("cuda").train(), composition)
    slots = batches[0]["masked_positions"].shape[1]
    configs = model.discriminator.config, model.generator.config
    operations = _STEPS * step_flops(*configs, rows=rows, length=length, slots=slots)
    run = {name: lambda i, step=step: step(batches[i]) for name, step in steps.items()}  # type: ignore[misc]
    return _timed(size, f"pre-training, rows of {length}", run, _STEPS, _STEPS * rows, settings, operations)


def _training_steps(model: Any, composition: Any) -> dict[str, Callable[[Batch], Any]]:
    from electra_pt.compiling import compile_parts
    from electra_pt.cuda_graphs import RecordedStep

    compiled = copy.deepcopy(composition)
    _compile_layers(compiled.values(), dynamic=False)
    compile_parts(model)
    ours = our_step(model)
    recorded = RecordedStep(lambda inputs: ours(inputs[0]))
    return {
        OURS_COMPILED: lambda batch: recorded([our_arguments(batch)]),
        PEER: peers_step(composition, everywhere=False),
        COMPILED: peers_step(compiled, everywhere=False),
    }


def _moved(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tensor.to("cuda") for name, tensor in batch.items()}


def _without_mask(batch: Batch) -> dict[str, Any]:
    return {name: tensor for name, tensor in batch.items() if name != "attention_mask"}
