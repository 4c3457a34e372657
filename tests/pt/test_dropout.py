"""Dropout with a quickly drawn mask: its share, its scale, its gradient, and torch's own where it must be."""

import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")

from electra_pt.dropout import Dropout, dropout  # noqa: E402

SHAPE = (301, 7, 53)


@pytest.fixture(params=["step by step", "compiled"])
def however_it_runs(request, monkeypatch):
    if request.param == "compiled":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


@pytest.mark.usefixtures("however_it_runs")
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_share_and_scale(probability):
    """Five deviations of the share of zeros; what is left has one value, which keeps the mean."""
    torch.manual_seed(0)
    values = torch.ones(SHAPE, requires_grad=True)
    dropped = dropout(values, probability)
    share = float((dropped == 0).double().mean())
    assert abs(share - probability) < 5 * (probability * (1 - probability) / values.numel()) ** 0.5
    (scale,) = dropped[dropped != 0].unique().tolist()
    assert scale == pytest.approx(1 / (1 - probability), rel=1e-3)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


@pytest.mark.usefixtures("however_it_runs")
def test_neighbours_and_calls_are_independent():
    torch.manual_seed(1)
    first, second = (dropout(torch.ones(SHAPE), 0.5) != 0 for _ in range(2))
    flat = first.reshape(-1)
    for one, other in ((first, second), *((flat[step:], flat[:-step]) for step in (1, 2, 3, 4, 53))):
        assert abs(float((one == other).double().mean()) - 0.5) < 5 * 0.5 / one.numel() ** 0.5


@pytest.mark.usefixtures("however_it_runs")
def test_torchs_seed_decides():
    masks = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        masks.append(dropout(torch.ones(SHAPE), 0.3))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.usefixtures("however_it_runs")
def test_what_is_not_dropped_at_all_and_what_is_dropped_altogether():
    values = torch.randn(5, 3)
    assert dropout(values, 0.3, training=False) is values
    assert dropout(values, 0.0) is values
    assert not dropout(values, 1.0).any()
    assert Dropout(0.5).eval()(values) is values
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)


def test_traced_graphs_use_torchs_own(monkeypatch):
    torch.manual_seed(5)
    expected = torch.nn.functional.dropout(torch.ones(SHAPE), 0.3)
    monkeypatch.setattr(torch.jit, "is_tracing", lambda: True)
    torch.manual_seed(5)
    assert torch.equal(dropout(torch.ones(SHAPE), 0.3), expected)


def test_a_compiled_program_hashes_forward_and_backward_alike():
    compiled = torch.compile(lambda values: dropout(values, 0.3) * values, fullgraph=True, backend="aot_eager")
    values = torch.rand(SHAPE).add_(1).requires_grad_()
    dropped = compiled(values)
    dropped.sum().backward()
    kept = dropped != 0
    assert abs(float(kept.double().mean()) - 0.7) < 5 * (0.21 / values.numel()) ** 0.5
    assert_close("gradient", 2 * values.detach() / 0.7 * kept, values.grad, 20 * FORWARD)


@pytest.mark.usefixtures("however_it_runs")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_dtype_stays(dtype):
    dropped = dropout(torch.ones(SHAPE, dtype=dtype), 0.2)
    assert dropped.dtype == dtype
    assert_close("scale", 1.25, dropped.max().double(), 1e-2 if dtype == torch.bfloat16 else 20 * FORWARD)
