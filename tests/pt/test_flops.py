"""Operations of a step of pre-training; what PyTorch counts while it computes one is the judge."""

import pytest

from electra_common.objective import PretrainingObjective
from electra_common.pretraining.flops import step_flops
from support.joint_training import CONFIG, LENGTH, OBJECTIVES, ROWS, SLOTS, make_batch

torch = pytest.importorskip("torch")
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from electra_pt import ElectraForJointPreTraining  # noqa: E402


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_of_every_objective_takes_what_pytorch_counts(name):
    """A fused attention is one operation that PyTorch does not look into; this one is made of two products."""
    fields, generator = OBJECTIVES[name]
    objective = PretrainingObjective(**fields)
    model = ElectraForJointPreTraining(CONFIG, generator, objective)
    batch = {key: torch.from_numpy(array) for key, array in make_batch().items()}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        model(**batch, return_dict=True).loss.backward()
    found = step_flops(CONFIG, generator, objective, rows=ROWS, length=LENGTH, slots=SLOTS)
    assert found == counted.get_total_flops()
