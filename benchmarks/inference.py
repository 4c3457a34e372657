"""Models beside transformers in PyTorch: real sentences, one short sentence, full rows, a step of fine-tuning.

All have the same weights, read from the same folder, and run in one process, taking turns batch by batch, so that a
machine that slows down slows all. Peak memory is measured in a process for each. Ours answers twice: as it is, and with
prepacked weights.
"""

from __future__ import annotations

import dataclasses
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ratios
from benchmarks.reading import READING, memory_reader
from benchmarks.sentences import SHORT_SENTENCE, full_rows, read_sentences, tokenize

OURS: Final = "electra_pt"
PEER: Final = "transformers"
PREPACKED: Final = "electra_pt, prepacked"
COMPILED: Final = "transformers, compiled"
PROGRAMS: Final = (OURS, PEER)
ANSWERING: Final = (OURS, PREPACKED, PEER)
SIZES: Final = ("small", "base")
LARGEST_DIFFERENCE: Final = 1e-4
TOKENS_OF_FULL_ROWS: Final = 1024
_CALLS: Final = 10
_BURSTS: Final = 3
_PRODUCT: Final = "matrix product"
# Works are steps, numbered: one batch, or ten calls for the short sentence.
Step = Callable[[int], object]
_MEMORY: Final = """
import sys
from benchmarks.inference import run_alone
run_alone(*sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@dataclass(frozen=True)
class Settings:
    """What is measured and how: on a shared machine by the processor's own time, which needs a single thread.

    ``compiles`` says whether the short sentence is also measured beside transformers compiled by ``torch.compile``.
    """

    sentences: Path
    vocabulary: Path
    batches: int
    rounds: int
    threads: int
    is_shared: bool
    compiles: bool

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds of the wall, or of the processor."""
        return time.thread_time if self.is_shared else time.perf_counter


@dataclass(frozen=True)
class Work:
    """One kind of work: seconds of a turn for both, how many times as fast ours is (least, median, greatest).

    Attributes:
        programs: ours and the peer, by name.
        items: what a turn holds: sentences, calls or rows.
        shares: of the machine's own speed of multiplying matrices, ours and the peer's, where rows are full.
        megabytes: peak memory of a process that does this work only, ours and the peer's, where it was measured.
    """

    size: str
    name: str
    programs: tuple[str, str]
    items: int
    seconds: tuple[float, float]
    speedup: tuple[float, float, float]
    shares: tuple[float, float] | None = None
    megabytes: tuple[float, float] | None = None


@dataclass(frozen=True)
class Compared:
    """All works of one size, the share of real tokens in its batches, and the largest difference of logits if known."""

    size: str
    real_tokens: float
    difference: float | None
    works: tuple[Work, ...]


def measure_inference(size: str, folder: Path, settings: Settings) -> Compared:
    """Measure one of the released sizes with new weights.

    Raises:
        RuntimeError: the outputs of the two are not the same.
    """
    import torch

    torch.set_num_threads(settings.threads)
    make_checkpoints(size, folder)
    batches = tokenize(read_sentences(settings.sentences), settings.vocabulary, settings.batches, "pt")
    models = {name: load(name, "ElectraForPreTraining", folder) for name in ANSWERING}
    with torch.inference_mode():
        difference = _largest_difference(models, batches)
        works = [*_real_sentences(size, models, batches, settings), *_short_sentence(size, models, settings)]
        for length in (128, 512):
            works += _full_rows(size, models, length, settings)
    del models
    works += _fine_tuning(size, folder, batches, settings)
    real = sum(int(batch["attention_mask"].sum()) for batch in batches)
    places = sum(batch["attention_mask"].numel() for batch in batches)
    return Compared(size, real / places, difference, tuple(_with_memory(work, folder, settings) for work in works))


def load(program: str, architecture: str, folder: Path) -> Any:
    """Return a model of a program, from a folder that all read."""
    if program in (OURS, PREPACKED):
        import electra_pt
        from electra_pt.prepacking import prepack_weights

        model = getattr(electra_pt, architecture).from_pretrained(folder / architecture).eval()
        if program == PREPACKED:
            prepack_weights(model)
        return model
    import transformers

    transformers.utils.logging.disable_progress_bar()
    family = getattr(transformers, architecture)
    return family.from_pretrained(folder / architecture, attn_implementation="sdpa").eval()


def call(program: str, model: Any, batch: Mapping[str, Any], **options: Any) -> Any:
    """Run a model over a padded batch: ours without computing the padding."""
    if program == PEER:
        return model(**batch, **options)
    from electra_pt.layout import PackedLayout

    layout = PackedLayout.from_mask(batch["attention_mask"])
    return model(batch["input_ids"], token_type_ids=batch["token_type_ids"], layout=layout, **options)


def fine_tuning_step(program: str, model: Any) -> Callable[[Mapping[str, Any]], None]:
    """Return a step of training a classifier of sentences, AdamW and dropout included; labels take turns."""
    import torch

    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-5)

    def step(batch: Mapping[str, Any]) -> None:
        labels = torch.arange(len(batch["input_ids"])) % 2
        optimizer.zero_grad()
        call(program, model, batch, labels=labels).loss.backward()
        optimizer.step()

    return step


def run_alone(program: str, work: str, folder: str, sentences: str, vocabulary: str, count: str) -> None:
    """Do one work over all batches: what a process of its own measures the memory of."""
    import torch

    torch.set_num_threads(2)
    batches = tokenize(read_sentences(Path(sentences)), Path(vocabulary), int(count), "pt")
    if work == "fine-tuning":
        step = fine_tuning_step(program, load(program, "ElectraForSequenceClassification", Path(folder)))
        for batch in for_training(batches):
            step(batch)
        return
    model = load(program, "ElectraForPreTraining", Path(folder))
    with torch.inference_mode():
        for batch in batches:
            call(program, model, batch)


def make_checkpoints(size: str, folder: Path) -> None:
    """Write both models that are measured, with new weights, each into a folder of its name."""
    import electra_pt

    config = electra_pt.ElectraConfig.preset(f"{size}-discriminator")
    for architecture in ("ElectraForPreTraining", "ElectraForSequenceClassification"):
        getattr(electra_pt, architecture)(config).save_pretrained(folder / architecture)


def _largest_difference(models: Mapping[str, Any], batches: Sequence[Mapping[str, Any]]) -> float:
    """Compare the logits of real tokens."""
    largest = 0.0
    for batch in batches:
        theirs = call(PEER, models[PEER], batch).logits
        is_real = batch["attention_mask"] == 1
        for name in (OURS, PREPACKED):
            ours = call(name, models[name], batch).logits
            largest = max(largest, float((ours - theirs)[is_real].abs().max()))
    if not largest <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"logits differ by {largest:.1e}, expected at most {LARGEST_DIFFERENCE:.0e}")
    return largest


def _real_sentences(
    size: str, models: Mapping[str, Any], batches: Sequence[Mapping[str, Any]], settings: Settings
) -> list[Work]:
    steps = {name: lambda i, name=name: call(name, models[name], batches[i]) for name in ANSWERING}
    seconds = in_turn(steps, len(batches), settings)
    return make_works(size, "real sentences", sum(len(batch["input_ids"]) for batch in batches), seconds)


def _short_sentence(size: str, models: Mapping[str, Any], settings: Settings) -> list[Work]:
    """One sentence again and again: a program calls ten times before the next one does, as where one model serves.

    Call by call in turn, each would find the other's weights in the processor's cache and not its own. Beside them the
    weights are only read.
    """
    import torch

    (batch,) = tokenize([SHORT_SENTENCE], settings.vocabulary, 1, "pt")
    called = {**models, COMPILED: torch.compile(models[PEER])} if settings.compiles else models
    calls = {name: lambda model=model: model(**batch) for name, model in called.items()}
    layers = models[OURS].electra.encoder.parameters()
    calls[READING] = memory_reader(sum(weight.numel() for weight in layers), settings.threads)
    steps = {name: lambda _, call=call: [call() for _ in range(_CALLS)] for name, call in calls.items()}
    seconds = in_turn(steps, _BURSTS, settings)
    return make_works(size, "one short sentence", _BURSTS * _CALLS, seconds, ours=(OURS, PREPACKED, READING))


def _full_rows(size: str, models: Mapping[str, Any], length: int, settings: Settings) -> list[Work]:
    """Rows without padding; a product of matrices as large as the feed-forward half's takes its turn beside them."""
    import torch

    config = models[OURS].config
    batch = full_rows(TOKENS_OF_FULL_ROWS // length, length, config.vocab_size)
    left = torch.randn(TOKENS_OF_FULL_ROWS, config.hidden_size)
    right = torch.randn(config.hidden_size, config.intermediate_size)
    steps: dict[str, Step] = {name: lambda _, model=model: model(**batch) for name, model in models.items()}  # type: ignore[misc]
    seconds = in_turn({**steps, _PRODUCT: lambda _: left @ right}, 1, settings)
    speed = 2 * left.numel() * right.shape[1] / statistics.median(seconds.pop(_PRODUCT))
    operations = TOKENS_OF_FULL_ROWS * operations_of_a_token(config, length)
    shares = {name: operations / statistics.median(turns) / speed for name, turns in seconds.items()}
    return make_works(size, f"full rows of {length}", len(batch["input_ids"]), seconds, shares)


def operations_of_a_token(config: Any, length: int) -> int:
    """Multiplications and additions in the linear layers and in attention."""
    hidden = config.hidden_size
    linear = 4 * hidden * hidden + 2 * hidden * config.intermediate_size
    attention = 2 * length * hidden  # scores, and gathering
    projection = config.embedding_size * hidden if config.has_embeddings_projection else 0
    head = hidden * hidden + hidden
    return 2 * (config.num_hidden_layers * (linear + attention) + projection + head)


def _fine_tuning(size: str, folder: Path, batches: Sequence[Mapping[str, Any]], settings: Settings) -> list[Work]:
    steps: dict[str, Step] = {}
    for name in PROGRAMS:
        step = fine_tuning_step(name, load(name, "ElectraForSequenceClassification", folder))
        steps[name] = lambda i, step=step: step(batches[i])  # type: ignore[misc]
    used = for_training(batches)
    items = sum(len(batch["input_ids"]) for batch in used)
    return make_works(size, "fine-tuning", items, in_turn(steps, len(used), settings))


def for_training(batches: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Every fourth batch: a step takes three times as long as an answer, or more."""
    return batches[::4]


def in_turn(steps: Mapping[str, Step], count: int, settings: Settings) -> dict[str, list[float]]:
    """Time turns of ``count`` steps; the programs change places at every step, and the first step warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(0)
    for _ in range(settings.rounds):
        gc.collect()
        spent = dict.fromkeys(steps, 0.0)
        for index in range(count):
            for name, step in steps.items():
                started = settings.clock()
                step(index)
                spent[name] += settings.clock() - started
        for name, turn in spent.items():
            seconds[name].append(turn)
    return seconds


def make_works(
    size: str,
    name: str,
    items: int,
    seconds: Mapping[str, Sequence[float]],
    shares: Mapping[str, float] | None = None,
    ours: Sequence[str] = (OURS, PREPACKED),
) -> list[Work]:
    """Return a work for each of our programs beside each of the peer's that took part."""
    medians = {program: statistics.median(turns) for program, turns in seconds.items()}
    return [
        Work(
            size,
            name,
            (our, their),
            items,
            (medians[our], medians[their]),
            ratios(seconds[their], seconds[our]),
            None if shares is None else (shares[our], shares[their]),
        )
        for their in (PEER, COMPILED)
        for our in ours
        if our in seconds and their in seconds
    ]


def _with_memory(work: Work, folder: Path, settings: Settings) -> Work:
    if work.name not in ("real sentences", "fine-tuning"):
        return work
    arguments = (work.name, str(folder), str(settings.sentences), str(settings.vocabulary), str(settings.batches))
    ours, theirs = (_memory(program, *arguments) for program in work.programs)
    return dataclasses.replace(work, megabytes=(ours, theirs))


def _memory(*arguments: str) -> float:
    command = [sys.executable, "-c", _MEMORY, *arguments]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]) / 1024
