"""Recorded training steps: what is recorded and replayed when; on a GPU, the losses of steps that are not recorded."""

from contextlib import contextmanager

import pytest

from electra_common.runs.metrics_log import read_metrics
from support.assertions import assert_close
from support.pretraining_runs import prepare_tiny_corpus, tiny_settings

torch = pytest.importorskip("torch")

from electra_pt.cuda_graphs import RecordedStep  # noqa: E402
from electra_pt.pretraining import pretrain  # noqa: E402
from electra_pt.processes import RunProcesses  # noqa: E402

# Shares of a loss or norm after twelve steps: a GPU adds up in another order each time.
TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}


class GraphOfOneStep:
    """What stands for a CUDA graph here: it counts its replays and knows whose memory it uses."""

    def __init__(self):
        self.replays = 0
        self.memory = self

    def pool(self):
        return self.memory

    def replay(self):
        self.replays += 1


@pytest.fixture
def graphs(monkeypatch):
    @contextmanager
    def graph(recorded, pool):
        recorded.memory = pool or recorded
        yield

    recorded = []

    def make():
        recorded.append(GraphOfOneStep())
        return recorded[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", make)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    return recorded


def test_three_plain_calls_come_before_a_recording_that_all_others_replay(graphs):
    given = []

    def step(inputs):
        given.append(inputs[0]["ids"])
        return inputs[0]["ids"].sum()

    take_step = RecordedStep(step)
    batches = [torch.full((2, 3), number) for number in range(6)]
    results = [take_step([{"ids": batch}]) for batch in batches]
    assert [tensor is batch for tensor, batch in zip(given, batches, strict=False)] == [True, True, True, False]
    (graph,) = graphs
    assert graph.replays == 3
    assert given[3].tolist() == batches[5].tolist(), "a replay reads what was copied into the recording's memory"
    assert results[4] is not results[5], "the next replay would write over it"


def test_inputs_of_another_kind_have_a_recording_of_their_own(graphs):
    take_step = RecordedStep(lambda inputs: inputs[0]["ids"].sum())
    ids, mask = torch.ones(2, 3, dtype=torch.int32), torch.ones(2, 3)
    for _ in range(4):
        for inputs in ({"ids": ids}, {"ids": ids, "mask": mask}, {"ids": ids.long()}, {"ids": ids[:1]}):
            take_step([inputs])
    assert [graph.replays for graph in graphs] == [1, 1, 1, 1]
    assert all(graph.memory is graphs[0] for graph in graphs), "one recording's memory does for all"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs of kernels are a GPU's")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
# torch's compiler: its own deprecated calls when it is imported; that float32 could be TensorFloat-32.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_on_a_gpu_recorded_steps_have_the_losses_of_plain_ones(tmp_path, monkeypatch, precision):
    data = prepare_tiny_corpus(tmp_path)
    settings = {"compile": True, "precision": precision, "log_every": 1, "accumulation": 2, "tensorboard": False}
    recorded = []
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", _counted(torch.cuda.CUDAGraph.replay, recorded))
    pretrain(tiny_settings(data, tmp_path / "recorded", "dropout=0.1", **settings), quiet=True)
    assert len(recorded) >= 6
    monkeypatch.setattr(RunProcesses, "can_record", False)
    pretrain(tiny_settings(data, tmp_path / "plain", "dropout=0.1", **settings), quiet=True)
    for name in ("generator_loss", "discriminator_loss", "gradient_norm"):
        found, expected = (_logged(tmp_path / run, name) for run in ("recorded", "plain"))
        assert len(expected) == 12
        assert_close(name, torch.ones(12), found / expected, TOLERANCES[precision])


def test_what_is_compared_are_the_losses_of_every_step(tmp_path):
    """The test above runs on a GPU alone; how it reads a run's log is tried everywhere."""
    settings = tiny_settings(prepare_tiny_corpus(tmp_path), tmp_path / "run", log_every=1, tensorboard=False)
    pretrain(settings, quiet=True)
    losses = _logged(tmp_path / "run", "generator_loss")
    assert len(losses) == 12
    assert ((losses > 1) & (losses < 9)).all()


def _logged(run, name):
    """Return a figure of every step of a run that logs each."""
    return torch.tensor([entry.metrics[name] for entry in read_metrics(run) if entry.split == "train"])


def _counted(replay, calls):
    def count(graph):
        calls.append(graph)
        replay(graph)

    return count
