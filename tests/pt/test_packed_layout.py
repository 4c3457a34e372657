"""Padding-free: a packed layout gives what padding gives, and a sequence never sees another one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.assertions import assert_close
from support.tolerances import FORWARD, GRADIENT

torch = pytest.importorskip("torch")

from torch._dynamo.testing import CompileCounter  # noqa: E402

import electra_pt  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_pt import (  # noqa: E402
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraModel,
)
from electra_pt.layout import FirstTokensLayout, PackedLayout  # noqa: E402

# Weights five times as wide as in real models. LayerNorm over ten numbers amplifies rounding: at 0.3 it now and then
# reaches the tolerance, from the order of a sum alone.
CONFIG = ElectraConfig(
    vocab_size=97, embedding_size=10, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=40, max_position_embeddings=19, initializer_range=0.1, num_labels=2,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, summary_last_dropout=0.0,
)  # fmt: skip
LENGTH = 19
TOKEN_HEADS = ("ElectraModel", "ElectraForPreTraining", "ElectraForMaskedLM", "ElectraForTokenClassification")
HEADS = (*TOKEN_HEADS, "ElectraForSequenceClassification", "ElectraForMultipleChoice")
# 1 and the maximum are always there.
LENGTHS = st.lists(st.integers(1, LENGTH), max_size=5).flatmap(lambda some: st.permutations([*some, 1, LENGTH]))


def model_of(head):
    torch.manual_seed(4)
    return getattr(electra_pt, head)(CONFIG).train()


def batch_of(lengths, head="", seed=0):
    """Return (inputs, mask, labels) with rows of these lengths; of multiple choice, two choices a row."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(LENGTH)[None] < torch.tensor(lengths)[:, None]).long()
    if head == "ElectraForMultipleChoice":
        mask = torch.stack([mask, mask.flip(0)], 1)  # [batch, choices, length]
    inputs = {
        "input_ids": torch.randint(1, 97, mask.shape, generator=generator),
        "token_type_ids": torch.randint(0, 2, mask.shape, generator=generator),
    }
    if head == "ElectraModel":
        return inputs, mask, {}
    if head in TOKEN_HEADS:
        wide = torch.randint(0, 2, mask.shape, generator=generator)
        return inputs, mask, {"labels": wide if head == "ElectraForPreTraining" else wide.masked_fill(mask == 0, -100)}
    return inputs, mask, {"labels": torch.randint(0, 2, (len(lengths),), generator=generator)}


def at_real_tokens(tensor, mask):
    return tensor[mask == 1] if tensor.shape[:2] == mask.shape else tensor


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("head", HEADS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(lengths=LENGTHS)
def test_packed_equals_padded(head, lengths):
    model = model_of(head)
    inputs, mask, labels = batch_of(lengths, head)
    padded = model(**inputs, attention_mask=mask, **labels, output_hidden_states=True)
    packed = model(**inputs, **labels, layout=PackedLayout.from_mask(mask), output_hidden_states=True)
    real = mask.flatten(0, -2)
    for name, tensor in padded.flat().items():
        found = packed.flat()[name]
        assert found.shape == tensor.shape
        assert_close(name, at_real_tokens(tensor, real).detach(), at_real_tokens(found, real).detach(), FORWARD)
    if labels:
        expected = gradients(model, padded.loss)
        for name, gradient in gradients(model, packed.loss).items():
            assert_close(name, expected[name], gradient, GRADIENT)


@pytest.mark.parametrize("head", [*HEADS[:-1], "ElectraForQuestionAnswering"])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(lengths=LENGTHS)
def test_packed_inputs_give_packed_outputs(head, lengths):
    model = model_of(head)
    inputs, mask, labels = batch_of(lengths, head)
    if head == "ElectraForQuestionAnswering":
        labels = {"start_positions": torch.zeros(len(lengths)).long(), "end_positions": torch.tensor(lengths) - 1}
    layout = PackedLayout.from_mask(mask)
    expected = model(**inputs, **labels, layout=layout)
    packed_inputs = {name: layout.pack(tensor) for name, tensor in inputs.items()}
    packed_labels = {name: layout.pack(tensor) if tensor.dim() > 1 else tensor for name, tensor in labels.items()}
    found = model(**packed_inputs, **packed_labels, layout=layout)
    for name, tensor in expected.items():
        wanted = layout.pack(tensor) if tensor.shape[:2] == mask.shape else tensor
        assert_close(name, wanted.detach(), found[name].detach(), FORWARD)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(lengths=LENGTHS, seed=st.integers(0, 1000))
def test_a_row_never_depends_on_its_neighbours(lengths, seed):
    model = model_of("ElectraForPreTraining").eval()
    inputs, mask, _ = batch_of(lengths, seed=seed)
    others, _, _ = batch_of(lengths, seed=seed + 1)
    whole = model(**inputs, layout=PackedLayout.from_mask(mask)).logits
    for row, length in enumerate(lengths):
        kept = torch.arange(len(lengths))[:, None] == row
        mixed = {name: torch.where(kept, tensor, others[name]) for name, tensor in inputs.items()}
        among_others = model(**mixed, layout=PackedLayout.from_mask(mask)).logits
        alone = model(**{name: tensor[row : row + 1, :length] for name, tensor in inputs.items()}).logits
        assert_close("among others", whole[row, :length].detach(), among_others[row, :length].detach(), FORWARD)
        assert_close("alone", alone[0].detach(), whole[row, :length].detach(), FORWARD)


def test_real_tokens_may_stand_anywhere_in_a_row():
    model = model_of("ElectraModel").eval()
    inputs, _, _ = batch_of([19] * 4)
    mask = torch.zeros(4, LENGTH, dtype=torch.long)
    mask[0, 12:] = mask[1, ::3] = mask[2, 5] = mask[3] = 1
    padded = model(**inputs, attention_mask=mask).last_hidden_state
    packed = model(**inputs, layout=PackedLayout.from_mask(mask)).last_hidden_state
    assert_close("real tokens", padded[mask == 1].detach(), packed[mask == 1].detach(), FORWARD)
    assert torch.count_nonzero(packed[mask == 0]) == 0


def test_positions_of_ones_own_are_packed_too():
    model = model_of("ElectraModel").eval()
    inputs, mask, _ = batch_of([19, 4, 4])
    backwards = torch.arange(LENGTH - 1, -1, -1)[None]
    padded = model(**inputs, attention_mask=mask, position_ids=backwards).last_hidden_state
    packed = model(**inputs, layout=PackedLayout.from_mask(mask), position_ids=backwards).last_hidden_state
    assert_close("real tokens", padded[mask == 1].detach(), packed[mask == 1].detach(), FORWARD)


def test_answers_are_sought_among_real_tokens_alone():
    """The loss is the mean of what each row has by itself, without padding."""
    model = model_of("ElectraForQuestionAnswering")
    lengths = [19, 1, 7]
    inputs, mask, _ = batch_of(lengths)
    positions = {"start_positions": torch.tensor([3, 0, 2]), "end_positions": torch.tensor([18, 0, 40])}
    found = model(**inputs, **positions, layout=PackedLayout.from_mask(mask))
    padded = model(**inputs, attention_mask=mask)
    start_losses, end_losses = [], []
    for row, length in enumerate(lengths):
        for name, losses in (("start", start_losses), ("end", end_losses)):
            logits, place = padded[f"{name}_logits"][row, :length], positions[f"{name}_positions"][row]
            losses += [-logits.log_softmax(0)[place]] if place < LENGTH else []
    expected = (sum(start_losses) / 3 + sum(end_losses) / 2) / 2
    assert_close("loss", expected.detach(), found.loss.detach(), FORWARD)


def test_generator_and_discriminator_share_a_layout():
    inputs, mask, labels = batch_of([19, 3, 8], "ElectraForMaskedLM")
    layout = PackedLayout.from_mask(mask)
    generator, discriminator = model_of("ElectraForMaskedLM"), model_of("ElectraForPreTraining")
    ids = layout.pack(inputs["input_ids"])
    logits = generator(ids, labels=layout.pack(labels["labels"]), layout=layout).logits
    sampled = logits.argmax(-1)
    output = discriminator(sampled, labels=(sampled != ids).long(), layout=layout)
    assert output.logits.shape == (30,)
    padded = discriminator(layout.unpack(sampled), mask, labels=layout.unpack((sampled != ids).long()))
    assert_close("loss", padded.loss.detach(), output.loss.detach(), FORWARD)


def test_a_row_put_together_elsewhere_keeps_its_order():
    lengths = [4, 2, 2, 7, 1]
    layout = PackedLayout.from_lengths(lengths)
    row = torch.arange(1, 17)
    padded = layout.unpack(row)
    assert [line[line > 0].tolist() for line in padded] == [part.tolist() for part in row.split(lengths)]
    assert torch.equal(layout.pack(padded), row)
    assert layout.first(row).tolist() == [1, 5, 7, 9, 16]
    assert layout.positions.tolist() == [p for length in lengths for p in range(length)]
    model = model_of("ElectraModel").eval()
    found = model(row, layout=layout).last_hidden_state
    expected = torch.cat([model(part[None]).last_hidden_state[0] for part in row.split(lengths)])
    assert_close("row", expected.detach(), found.detach(), FORWARD)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_dropout_and_recomputation_go_with_it(implementation):
    config = CONFIG.replace(
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, attn_implementation=implementation
    )
    model = ElectraForPreTraining(config).train()
    inputs, mask, labels = batch_of([19, 1, 7], "ElectraForPreTraining")
    layout = PackedLayout.from_mask(mask)

    def run():
        torch.manual_seed(0)
        return gradients(model, model(**inputs, **labels, layout=layout).loss)

    expected = run()
    assert all(gradient.isfinite().all() for gradient in expected.values())
    model.gradient_checkpointing_enable()
    for name, gradient in run().items():
        assert torch.equal(expected[name], gradient)
    losses = {model(**inputs, **labels, layout=layout).loss.item() for _ in range(3)}
    assert len(losses) == 3


FIRST_TOKEN_HEADS = ("ElectraForSequenceClassification", "ElectraForMultipleChoice")


@pytest.mark.parametrize("recomputes", [False, True])
@pytest.mark.parametrize("head", FIRST_TOKEN_HEADS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(lengths=LENGTHS)
def test_first_tokens_alone_give_the_same(head, recomputes, lengths):
    model = model_of(head)
    inputs, mask, labels = batch_of(lengths, head)
    padded = model(**inputs, attention_mask=mask, **labels)
    expected = gradients(model, padded.loss)
    layout = FirstTokensLayout.from_mask(mask)
    if recomputes:
        model.gradient_checkpointing_enable()
    found = model(**inputs, **labels, layout=layout)
    assert_close("logits", padded.logits.detach(), found.logits.detach(), FORWARD)
    for name, gradient in gradients(model, found.loss).items():
        assert_close(name, expected[name], gradient, GRADIENT)
    if head == FIRST_TOKEN_HEADS[0]:
        row = model(**{name: layout.pack(tensor) for name, tensor in inputs.items()}, layout=layout)
        assert_close("packed", padded.logits.detach(), row.logits.detach(), FORWARD)


def test_first_tokens_alone_are_computed_by_the_last_layer():
    model = model_of("ElectraModel").eval()
    seen = []
    for layer in model.encoder.layer:
        layer.intermediate.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    inputs, mask, _ = batch_of([19, 1, 7])
    padded = model(**inputs, attention_mask=mask, output_hidden_states=True)
    seen.clear()
    layout = FirstTokensLayout.from_mask(mask)
    first = model(**inputs, layout=layout).last_hidden_state
    assert seen == [(27, 40), (3, 40)]
    assert_close("first", padded.last_hidden_state[:, :1].detach(), first.detach(), FORWARD)
    whole = model(**inputs, layout=layout, output_hidden_states=True)
    for number, states in enumerate(padded.hidden_states):
        assert_close(
            f"layer {number}", states[mask == 1].detach(), whole.hidden_states[number][mask == 1].detach(), FORWARD
        )


def test_fewer_tokens_are_computed():
    model = model_of("ElectraModel").eval()
    seen = []
    model.encoder.layer[0].intermediate.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    inputs, mask, _ = batch_of([19, 1, 7])
    model(**inputs, layout=PackedLayout.from_mask(mask))
    assert seen == [(27, 40)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, ids, mask: m(ids, mask, layout=PackedLayout.from_mask(mask)), "leave attention_mask out"),
        (lambda m, ids, mask: m(ids, layout=PackedLayout.from_mask(mask), output_attentions=True), "no attention maps"),
        (lambda m, ids, mask: m(ids[0]), r"must be \[batch, length\], found \[19\]: a packed row needs its layout"),
        (lambda m, ids, mask: m(ids, layout=PackedLayout.from_mask(mask * 0)), "row 0 has no real token"),
        (lambda m, ids, mask: PackedLayout.from_lengths([3, 0]), r"at least 1, found \[3, 0\]"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    inputs, mask, _ = batch_of([19, 3])
    with pytest.raises(ValueError, match=message):
        call(ElectraModel(CONFIG), inputs["input_ids"], mask)


def test_a_summary_that_counts_padding_is_refused():
    inputs, mask, _ = batch_of([19, 3], "ElectraForMultipleChoice")
    model = ElectraForMultipleChoice(CONFIG.replace(summary_type="mean"))
    with pytest.raises(ValueError, match="'mean' counts padding"):
        model(**inputs, layout=PackedLayout.from_mask(mask))


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="these kernels are a GPU's")


@on_gpu
def test_the_kernel_for_many_lengths_gives_the_same():
    model = ElectraForMaskedLM(CONFIG).eval().to("cuda", torch.bfloat16)
    inputs, mask, _ = batch_of([19, 1, 7, 7])
    inputs, mask = {name: tensor.cuda() for name, tensor in inputs.items()}, mask.cuda()
    padded = model(**inputs, attention_mask=mask).logits[mask == 1].float()
    packed = model(**inputs, layout=PackedLayout.from_mask(mask)).logits[mask == 1].float()
    assert (padded - packed).square().mean().sqrt() < 2**-6 * padded.square().mean().sqrt()
    first = model.electra(**inputs, layout=FirstTokensLayout.from_mask(mask)).last_hidden_state.float()
    every = model.electra(**inputs, attention_mask=mask).last_hidden_state[:, :1].float()
    assert (every - first).square().mean().sqrt() < 2**-6 * every.square().mean().sqrt()


@on_gpu
@pytest.mark.parametrize("cls", [PackedLayout, FirstTokensLayout])
def test_gradients_on_a_gpu_are_those_of_the_cpu(cls):
    inputs, mask, labels = batch_of([19, 1, 7, 7], "ElectraForSequenceClassification")
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = ElectraForSequenceClassification(CONFIG).to(device).train()
        moved = {name: tensor.to(device) for name, tensor in inputs.items()}
        model(**moved, labels=labels["labels"].to(device), layout=cls.from_mask(mask.to(device))).loss.backward()
        found.append({name: item.grad.cpu() for name, item in model.named_parameters() if item.grad is not None})
    for name, gradient in found[0].items():
        assert_close(name, gradient, found[1][name], GRADIENT)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_gpu)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("asks_first", [False, True], ids=["every token asks", "first tokens ask"])
def test_what_attention_drops_is_dropped_from_gradients_too(device, dtype, asks_first):
    """With one seed, attention is linear in the values: the sum of gradients times values is what comes out."""
    lengths, draw = [19, 1, 7, 7, 33], torch.Generator().manual_seed(0)
    layout = PackedLayout.from_lengths(lengths, device)
    query, key, value = (torch.randn(sum(lengths), 2, 16, generator=draw).to(device, dtype) for _ in range(3))
    query = query[: len(lengths)] if asks_first else query
    weights = torch.randn(query.shape, generator=draw).to(device, dtype)
    value.requires_grad_()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(layout.attend(query, key, value, dropout=0.25, return_weights=False)[0])
    (gradient,) = torch.autograd.grad((outputs[0] * weights).sum(), value)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    came_out = float((outputs[0] * weights).detach().double().sum())
    tolerance = 1e-4 if dtype == torch.float32 else 0.3  # sums of some thousand products, of 8 bits each
    assert float((gradient * value).detach().double().sum()) == pytest.approx(came_out, abs=tolerance)


def test_one_program_serves_layouts_of_all_lengths(monkeypatch):
    """As on a GPU, where attention takes a row at once; on a CPU it goes from length to length."""
    padded = PackedLayout._attend_padded
    monkeypatch.setattr(
        PackedLayout, "attend", lambda self, *tensors, dropout, return_weights: (padded(self, *tensors, dropout), None)
    )
    torch.compiler.reset()
    programs = CompileCounter()
    model = ElectraForPreTraining(CONFIG).eval()
    compiled = torch.compile(model, dynamic=True, fullgraph=True, backend=programs)
    with torch.inference_mode():
        for lengths in ([5, 6, 7], [9, 2, 3, 11], [4, 19], [8, 8, 8]):
            inputs, mask, _ = batch_of(lengths)
            expected, found = (call(**inputs, layout=PackedLayout.from_mask(mask)).logits for call in (model, compiled))
            assert_close(str(lengths), expected, found, FORWARD)
    assert programs.frame_count == 1


def test_padded_inside_of_attention_is_the_same():
    """What a GPU does in float32, here on the CPU."""
    lengths = [3, 7, 7, 12, 1]
    layout = PackedLayout.from_lengths(lengths)
    query, key, value = (torch.randn(sum(lengths), 2, 16, requires_grad=True) for _ in range(3))
    for asking in (query, query[layout.offsets[:-1].long()]):
        expected = layout.attend(asking, key, value, dropout=0.0, return_weights=False)[0]
        found = layout._attend_padded(asking, key, value, 0.0)
        assert_close("values", expected.detach(), found.detach(), FORWARD)
        of_expected, of_found = (
            torch.autograd.grad(output.square().sum(), (key, value), retain_graph=True) for output in (expected, found)
        )
        for name, one, other in zip(("keys", "values"), of_expected, of_found, strict=True):
            assert_close(f"gradients of {name}", one, other, GRADIENT)


def test_question_answering_gives_the_same_logits():
    model = ElectraForQuestionAnswering(CONFIG).eval()
    inputs, mask, _ = batch_of([19, 1, 7])
    padded, packed = model(**inputs, attention_mask=mask), model(**inputs, layout=PackedLayout.from_mask(mask))
    for name in ("start_logits", "end_logits"):
        assert_close(name, padded[name][mask == 1].detach(), packed[name][mask == 1].detach(), FORWARD)
