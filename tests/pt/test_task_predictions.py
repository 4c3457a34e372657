"""What makes answering quick: first tokens alone where a head looks at no others, and prepacked weights."""

import pytest

from support.fine_tuning_runs import job_of, write_data, write_start

torch = pytest.importorskip("torch")

import electra_pt  # noqa: E402
from electra_common import ElectraConfig  # noqa: E402
from electra_pt import FirstTokensLayout, PackedLayout  # noqa: E402
from electra_pt.fine_tuned import open_fine_tuned  # noqa: E402
from electra_pt.fine_tuning import fine_tune  # noqa: E402
from electra_pt.task_losses import without_padding  # noqa: E402

INPUTS = {"input_ids": torch.ones(3, 7).long(), "attention_mask": torch.ones(3, 7).long()}


@pytest.mark.parametrize(
    ("head", "layout"),
    [
        ("ElectraForSequenceClassification", FirstTokensLayout),
        ("ElectraForMultipleChoice", FirstTokensLayout),
        ("ElectraForTokenClassification", PackedLayout),
        ("ElectraForQuestionAnswering", PackedLayout),
    ],
)
def test_first_tokens_alone_are_asked_for_where_no_others_are_looked_at(head, layout):
    config = ElectraConfig(architectures=(head,))
    assert type(without_padding(config, INPUTS)["layout"]) is layout
    if head == "ElectraForMultipleChoice":
        assert "layout" not in without_padding(config.replace(summary_type="mean"), INPUTS)


def test_a_model_that_answers_in_float32_on_a_cpu_is_prepacked(tmp_path, monkeypatch):
    packed = []
    monkeypatch.setattr("electra_pt.fine_tuned.prepack_weights", packed.append)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    data, start = write_data(tmp_path / "data"), write_start(tmp_path / "start", electra_pt)
    fine_tune(job_of("classification", data, start, tmp_path / "run", "epochs=0.1"), quiet=True)
    for precision, count in (("bfloat16", 0), ("float32", 1)):
        open_fine_tuned(tmp_path / "run" / "seed-0" / "last", precision=precision)
        assert len(packed) == count
