"""The seam for padding: attention asks the layout, and no layer knows how tokens are arranged."""

from dataclasses import dataclass
from functools import partial

import pytest

from support.assertions import assert_close
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

from electra_common import ElectraConfig  # noqa: E402
from electra_pt import ElectraForCausalLM, ElectraModel  # noqa: E402
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


def gradients_of_attention(attend, trained):
    """Return the gradients of queries, keys and values, as far as they are trained, for one row that sees nothing."""
    torch.manual_seed(0)
    states, weights = torch.randn(3, 13, 3, 8), torch.randn(3, 13, 3, 8)
    inputs = {name: states * factor for name, factor in (("query", 1.0), ("key", 0.7), ("value", 1.3))}
    for name in trained:
        inputs[name].requires_grad_()
    mask = (torch.arange(13)[None] < torch.tensor((13, 0, 7))[:, None]).long()
    (attend(mask, *inputs.values()) * weights).sum().backward()
    return {name: inputs[name].grad for name in trained}


def in_the_layout(mask, query, key, value, *, explicit=False):
    layout = PaddedLayout.from_mask(mask, torch.float32)
    return layout.attend(query, key, value, dropout=0.0, return_weights=explicit)[0]


@pytest.mark.parametrize("trained", [("query", "key", "value"), ("value",), ("key",)], ids=" ".join)
def test_a_row_of_nothing_but_padding_gets_the_gradients_of_plain_arithmetic(trained):
    """Torch's fused attention gives others, as wrong as they are large, where a query sees nothing."""
    expected = gradients_of_attention(partial(in_the_layout, explicit=True), trained)
    found = gradients_of_attention(in_the_layout, trained)
    for name in trained:
        assert_close(name, expected[name], found[name], GRADIENT)


def with_blind_rows_apart(mask, query, key, value):
    """Attend to real tokens; where there are none, to everything equally, whatever query and keys are."""
    scores = torch.einsum("bqhs,bkhs->bhqk", query, key) / query.shape[-1] ** 0.5
    scores = scores.masked_fill((mask == 0)[:, None, None], float("-inf"))
    sees_nothing = (mask == 0).all(dim=1)[:, None, None, None]
    return torch.einsum("bhqk,bkhs->bqhs", scores.masked_fill(sees_nothing, 0.0).softmax(-1), value)


@pytest.mark.parametrize("trained", [("query", "key", "value"), ("value",)], ids=" ".join)
def test_a_compiled_program_stays_fused_and_gives_rows_of_padding_right_gradients(trained):
    recorded = []
    compiled = torch.compile(
        in_the_layout, backend=lambda graph, _: recorded.append(graph.code) or graph.forward, fullgraph=True
    )
    expected, found = (gradients_of_attention(each, trained) for each in (with_blind_rows_apart, compiled))
    for name in trained:
        assert_close(name, expected[name], found[name], GRADIENT)
    assert all("scaled_dot_product_attention" in code for code in recorded)


def test_attention_to_an_encoder_without_a_real_state_gets_the_same_gradients_fused_and_step_by_step():
    """One text has no source at all, and two of a text's tokens stand in for padding on the left."""
    gradients = {}
    for way in ("eager", "sdpa"):
        torch.manual_seed(0)
        config = CONFIG.replace(is_decoder=True, add_cross_attention=True, attn_implementation=way)
        model = ElectraForCausalLM(config.replace(num_hidden_layers=1, initializer_range=0.3)).eval()
        ids, states = torch.randint(1, CONFIG.vocab_size, (3, 7)), torch.randn(3, 5, 24)
        masks = torch.ones(3, 7, dtype=torch.long), torch.ones(3, 5, dtype=torch.long)
        masks[0][2, :2] = masks[1][1] = 0
        model(ids, masks[0], encoder_hidden_states=states, encoder_attention_mask=masks[1], labels=ids).loss.backward()
        gradients[way] = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, expected in gradients["eager"].items():
        assert_close(name, expected, gradients["sdpa"][name], GRADIENT)


@pytest.mark.parametrize("lengths", [(13, 3, 7), (13, 0, 7)])
def test_attention_is_on_its_guard_only_where_some_see_nothing_and_gradients_are_wanted(lengths):
    mask = (torch.arange(13)[None] < torch.tensor(lengths)[:, None]).long()
    assert (PaddedLayout.from_mask(mask, torch.float32).blind_queries is not None) == (min(lengths) == 0)
    with torch.no_grad():
        assert PaddedLayout.from_mask(mask, torch.float32).blind_queries is None
