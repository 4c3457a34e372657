"""A model divided among processes: that it is, which no result could tell."""

import sys
from types import SimpleNamespace

import pytest

from support.joint_training import CONFIG, GENERATOR

torch = pytest.importorskip("torch")
from torch import distributed  # noqa: E402

from electra_pt import ElectraForJointPreTraining  # noqa: E402
from electra_pt.sharding import divided_modules, is_divided, shard  # noqa: E402


def test_each_layer_is_divided_and_at_last_what_is_left_of_the_model(monkeypatch):
    """Torch's own module for it takes a second to import."""
    divided = []
    monkeypatch.setitem(sys.modules, "torch.distributed.fsdp", SimpleNamespace(fully_shard=divided.append))
    model = ElectraForJointPreTraining(CONFIG, GENERATOR)
    shard(model)
    layers = [layer for network in model.networks().values() for layer in network.electra.encoder.layer]
    assert len(layers) == 4
    assert {*divided[:-1]} == {*layers}
    assert divided[-1] is model
    assert len(divided) == 5


@pytest.mark.thorough
def test_of_a_divided_model_each_process_holds_a_part_of_every_parameter():
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = ElectraForJointPreTraining(CONFIG, GENERATOR)
        assert divided_modules(model) == []
        shard(model)
        assert len(divided_modules(model)) == 5
        assert all(is_divided(parameter) for parameter in model.parameters())
    finally:
        distributed.destroy_process_group()
