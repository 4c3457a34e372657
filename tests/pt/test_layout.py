"""The seam for padding: attention asks the layout, and no layer knows how tokens are arranged."""

from dataclasses import dataclass

import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

from electra_common import ElectraConfig  # noqa: E402
from electra_pt import ElectraModel  # noqa: E402
from electra_pt.layout import PaddedLayout  # noqa: E402

CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19,
)  # fmt: skip
LENGTHS = (13, 1, 7)


@dataclass(frozen=True)
class OneRow:
    """All real tokens in one row, [tokens, hidden]; each sequence attends to itself."""

    lengths: tuple[int, ...]

    def last_queries(self, hidden_states):
        return hidden_states

    def attend(self, query, key, value, *, dropout, return_weights):
        layout = PaddedLayout(None)
        parts = zip(*(tensor.split(self.lengths) for tensor in (query, key, value)), strict=True)
        gathered = [
            layout.attend(q[None], k[None], v[None], dropout=dropout, return_weights=return_weights)[0][0]
            for q, k, v in parts
        ]
        return torch.cat(gathered), None


def test_the_same_layers_serve_a_packed_row_without_a_change():
    torch.manual_seed(0)
    encoder = ElectraModel(CONFIG.replace(initializer_range=0.2)).eval().encoder
    mask = (torch.arange(13)[None] < torch.tensor(LENGTHS)[:, None]).long()
    hidden_states = torch.randn(3, 13, 24)
    padded, *_ = encoder(hidden_states, layout=PaddedLayout.from_mask(mask, torch.float32))
    packed, *_ = encoder(hidden_states[mask == 1], layout=OneRow(LENGTHS))
    assert packed.shape == (sum(LENGTHS), 24)
    assert_close("packed", padded[mask == 1].detach(), packed.detach(), FORWARD)


@pytest.mark.parametrize(("asked", "training"), [(False, False), (True, False), (False, True)])
def test_weights_are_computed_explicitly_only_when_asked_for_or_dropped(monkeypatch, asked, training):
    """Torch's kernel on a CPU has no dropout: with it, torch too goes step by step, and draws more slowly."""
    calls = []
    fused = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *arguments, **options: calls.append(1) or fused(*arguments, **options),
    )
    output = ElectraModel(CONFIG).train(training)(torch.ones(2, 5, dtype=torch.long), output_attentions=asked)
    assert len(calls) == (0 if asked or training else CONFIG.num_hidden_layers)
    assert (output.attentions is not None) == asked


@pytest.mark.parametrize("lengths", [(13, 13, 13), LENGTHS])
def test_a_mask_that_masks_nothing_costs_nothing(lengths):
    mask = (torch.arange(13)[None] < torch.tensor(lengths)[:, None]).long()
    for given in (mask, mask.bool(), mask[:, None, :].expand(3, 13, 13)):
        assert (PaddedLayout.from_mask(given, torch.float32).attention_bias is None) == (min(lengths) == 13)


def test_what_is_recorded_with_a_full_mask_serves_padded_batches():
    model = ElectraModel(CONFIG.replace(initializer_range=0.2, return_dict=False)).eval()
    ids = torch.randint(1, CONFIG.vocab_size, (3, 13), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(13)[None] < torch.tensor(LENGTHS)[:, None]).long()
    with torch.no_grad():
        exported = torch.export.export(model, (ids, torch.ones_like(ids))).module()
        for recorded in (exported, torch.compile(model, backend="eager", fullgraph=True)):
            recorded(ids, torch.ones_like(ids))
            assert_close("padded", model(ids, mask)[0], recorded(ids, mask)[0], FORWARD)


def test_a_row_of_nothing_but_padding_gets_the_gradients_of_plain_arithmetic():
    """Torch's fused attention gives others on the CPU, as wrong as they are large, where a query sees nothing."""
    torch.manual_seed(0)
    hidden_states = torch.randn(3, 13, 3, 8)
    mask = (torch.arange(13)[None] < torch.tensor((13, 0, 7))[:, None]).long()
    layout = PaddedLayout.from_mask(mask, torch.float32)
    weights = torch.randn(3, 13, 3, 8)
    gradients = []
    for explicit in (True, False):
        inputs = [(hidden_states * factor).requires_grad_() for factor in (1.0, 0.7, 1.3)]
        gathered, _ = layout.attend(*inputs, dropout=0.0, return_weights=explicit)
        (gathered * weights).sum().backward()
        gradients.append([tensor.grad for tensor in inputs])
    for name, expected, found in zip(("query", "key", "value"), *gradients, strict=True):
        assert_close(name, expected, found, GRADIENT)
    assert not PaddedLayout.from_mask(mask[::2], torch.float32).has_blind_queries  # the others stay fused
