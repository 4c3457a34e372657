"""One side of the measurement of fine-tuning: a process that trains a classifier and tells seconds and accuracy.

Usage: python -m benchmarks.fine_tuning_worker SIDE FOLDER THREADS CLOCK, where the side is ``ours``, ``peer`` (the
Trainer of transformers) or ``peer-by-length`` (the same, with rows of like length together). The peer's environment
need not have this library, so nothing of it is imported for the peer. FOLDER holds ``network``, ``settings.json`` (the
fields of our fine-tuning settings, which of them were asked for, and the labels), and texts with labels as lines of
JSON.

Neither side measures, saves or evaluates while it trains; both make rows of ids of all texts before the clock starts.
"""

import gc
import json
import logging
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.worker_loop import CLOCKS, answer_lines

SIDE, FOLDER, THREADS, CLOCK = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), CLOCKS[sys.argv[4]]
NETWORK = FOLDER / "network"
VALUES = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))
LABELS, CHANGES = tuple(VALUES.pop("labels")), VALUES.pop("changes")
HELD_OUT = "held-out.jsonl"
LOG_EVERY = 500  # the Trainer's own


def train_ours(file, seed):
    """Train with the library's loop; return seconds, and what answers."""
    from electra_common.tasks.data import make_features, read_all
    from electra_common.tasks.job import DataChoice, make_job
    from electra_common.tasks.run import read_outputs
    from electra_common.tasks.starting import open_tokenizer
    from electra_common.tasks.work import open_work
    from electra_pt.fine_tuning import start_training, train
    from electra_pt.processes import open_processes
    from electra_pt.task_predictions import predict_rows

    with TemporaryDirectory() as out, open_processes() as processes:
        job = make_job(
            "classification",
            DataChoice(files={"train": FOLDER / file}, changes={"labels": LABELS}),
            Path(out) / "run",
            model=str(NETWORK),
            changes=CHANGES,
            seeds=(seed,),
            save_every=0,
            log_every=LOG_EVERY,
        )
        about = {"framework": "pt", "version": torch.__version__, "processes": processes.description}
        with open_work(job, **about, quiet=True) as work:
            for run in work.runs():
                model, optimizer = start_training(run, processes)
                gc.collect()
                started = CLOCK()
                train(model, optimizer, run, processes)
                seconds = CLOCK() - started
            task_file = work.data.task_file
        tokenizer = open_tokenizer(job.start, max_length=VALUES["max_length"])

    def accuracy():
        examples = read_all(task_file.task, FOLDER / HELD_OUT, "dev")
        features = make_features(task_file, examples, tokenizer, head=VALUES["head"], is_training=False)
        found = read_outputs(task_file, features, predict_rows(model, features.rows))
        return sum(a.label == b.answer for a, b in zip(examples, found, strict=True)) / len(examples)

    return seconds, accuracy


def train_peer(file, seed):
    """Train with the Trainer, all settings the same; return seconds, and what answers."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(NETWORK)
    model = transformers.ElectraForSequenceClassification.from_pretrained(
        NETWORK,
        num_labels=len(LABELS),
        dtype=torch.float32,
        attn_implementation="sdpa",
        hidden_dropout_prob=VALUES["dropout"],
        attention_probs_dropout_prob=VALUES["dropout"],
    )
    with TemporaryDirectory() as out:
        arguments = transformers.TrainingArguments(
            out,
            learning_rate=VALUES["learning_rate"],
            num_train_epochs=VALUES["epochs"],
            per_device_train_batch_size=VALUES["batch_size"],
            per_device_eval_batch_size=VALUES["batch_size"],
            warmup_steps=VALUES["warmup_fraction"],  # below 1: a share of all steps
            weight_decay=VALUES["weight_decay"],
            adam_beta1=VALUES["adam_beta_1"],
            adam_beta2=VALUES["adam_beta_2"],
            adam_epsilon=VALUES["adam_epsilon"],
            max_grad_norm=VALUES["clip_norm"],
            seed=seed,
            logging_steps=LOG_EVERY,
            train_sampling_strategy="group_by_length" if SIDE == "peer-by-length" else "random",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        )
        trainer = transformers.Trainer(
            model,
            arguments,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            train_dataset=rows_of(file, tokenizer),
            processing_class=tokenizer,
        )
        gc.collect()
        started = CLOCK()
        trainer.train()
        seconds = CLOCK() - started

    def accuracy():
        rows = rows_of(HELD_OUT, tokenizer)
        found = trainer.predict(rows)
        return float((found.predictions.argmax(-1) == found.label_ids).mean())

    return seconds, accuracy


def rows_of(file, tokenizer):
    """Return a file's texts as the Trainer takes them."""
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    examples = [json.loads(line) for line in lines]
    encoded = tokenizer([item["text"] for item in examples], truncation=True, max_length=VALUES["max_length"])
    numbers = {label: number for number, label in enumerate(LABELS)}
    return [
        {**{name: encoded[name][i] for name in encoded}, "labels": numbers[item["label"]]}
        for i, item in enumerate(examples)
    ]


def main():
    """Answer what is asked: ``warm-up FILE``, ``train FILE SEED``, ``versions``."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(THREADS)
    train = train_ours if SIDE == "ours" else train_peer

    def run(file, seed):
        seconds, accuracy = train(file, int(seed))
        return {"seconds": seconds, "accuracy": accuracy()}

    def versions():
        if SIDE == "ours":
            return {"torch": torch.__version__}
        import transformers

        return {"torch": torch.__version__, "transformers": transformers.__version__}

    answer_lines({"warm-up": lambda file: train(file, 0)[0], "train": run, "versions": versions})


if __name__ == "__main__":
    main()
