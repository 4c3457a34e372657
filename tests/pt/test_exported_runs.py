"""What a run came to opens in transformers: both networks, with the tokenizer, and they answer the same there."""

import pytest

from electra_common.pretraining.export import export_run
from electra_common.runs.run_folder import list_checkpoints
from support.assertions import assert_close
from support.fixtures import DEMO_DATA
from support.pretraining_runs import LENGTH, prepare_tiny_corpus, tiny_settings
from support.tolerances import FORWARD

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import electra_pt  # noqa: E402
from electra_pt.pretraining import pretrain  # noqa: E402

HEADS = {"discriminator": "ElectraForPreTraining", "generator": "ElectraForMaskedLM"}


def test_transformers_opens_both_networks_of_a_run_with_their_tokenizer(tmp_path):
    data, run = prepare_tiny_corpus(tmp_path), tmp_path / "run"
    pretrain(tiny_settings(data, run, "steps=3", "initializer_range=0.3", evaluate_every=0), quiet=True)
    export_run(run, tmp_path / "out")
    texts = (DEMO_DATA / "english.txt").read_text(encoding="utf-8").splitlines()[:3]
    trained = electra_pt.ElectraTokenizerFast.from_pretrained(run / "tokenizer")
    for name, head in HEADS.items():
        theirs, told = getattr(transformers, head).from_pretrained(tmp_path / "out" / name, output_loading_info=True)
        assert not any(told.values()), told
        ours = getattr(electra_pt, head).from_pretrained(list_checkpoints(run)[-1])
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out" / name)
        assert tokenizer.model_max_length == LENGTH
        batch = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
        assert batch["input_ids"].tolist() == trained(texts, truncation=True, max_length=LENGTH)["input_ids"]
        with torch.no_grad():
            logits = [model.eval()(**batch).logits for model in (theirs, ours)]
        assert logits[1].std() > 0.1
        assert_close(name, *logits, FORWARD)
