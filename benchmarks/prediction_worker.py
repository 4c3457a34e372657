"""One side of the measurement of prediction: a process that is given texts and says of each what it is.

Usage: python -m benchmarks.prediction_worker SIDE FOLDER THREADS CLOCK, where the side is ``ours``, ``peer`` (the
pipeline of transformers) or ``peer-by-length`` (the same, given texts sorted by their length). FOLDER holds ``network``
and ``texts.json``.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import torch

from benchmarks.worker_loop import CLOCKS, answer_lines

SIDE, FOLDER, THREADS, CLOCK = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), CLOCKS[sys.argv[4]]
NETWORK = FOLDER / "network"
MAX_LENGTH = 128
BATCH_SIZES = (1, 8, 32, 128)
SAMPLE = 256


class Ours:
    """The library, with its own size of batches."""

    def __init__(self):
        from electra_pt.fine_tuned import open_fine_tuned

        self.model = open_fine_tuned(NETWORK)

    def choose(self, texts):
        """Answer once; there is nothing to choose."""
        self.answer(texts)
        return {}

    def answer(self, texts):
        """Return (label, probability) of each text."""
        from electra_common.tasks.examples import TextExample

        examples = (TextExample(str(number), text) for number, text in enumerate(texts))
        return [(found.answer, found.score) for found in self.model.predictions(examples)]


class Pipeline:
    """transformers with the size of batches that is quickest here: its documentation says to try."""

    def __init__(self):
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        family = transformers.ElectraForSequenceClassification
        model = family.from_pretrained(NETWORK, dtype=torch.float32, attn_implementation="sdpa")
        tokenizer = transformers.AutoTokenizer.from_pretrained(NETWORK)
        self.pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
        self.batch_size = 1

    def choose(self, texts):
        """Try all sizes twice, and keep the quickest."""
        seconds = dict.fromkeys(BATCH_SIZES, float("inf"))
        for _ in range(2):
            for self.batch_size in BATCH_SIZES:
                started = CLOCK()
                self.answer(texts)
                seconds[self.batch_size] = min(seconds[self.batch_size], CLOCK() - started)
        self.batch_size = min(seconds, key=seconds.__getitem__)
        return {"batch_size": self.batch_size, "texts_a_second": {n: len(texts) / s for n, s in seconds.items()}}

    def answer(self, texts):
        """Return (label, probability) of each text."""
        order = list(range(len(texts)))
        if SIDE == "peer-by-length":
            order.sort(key=lambda number: len(texts[number]))
        given = [texts[number] for number in order]
        options = {"batch_size": self.batch_size, "truncation": True, "max_length": MAX_LENGTH}
        answers = [()] * len(texts)
        for number, found in zip(order, self.pipeline(given, **options), strict=True):
            answers[number] = (found["label"], found["score"])
        return answers


def main():
    """Answer what is asked: ``choose``, ``answer START STOP`` (seconds and answers)."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(THREADS)
    texts = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
    program = Ours() if SIDE == "ours" else Pipeline()

    def answer(start, stop):
        part = texts[int(start) : int(stop)]
        started = CLOCK()
        answers = program.answer(part)
        return {"seconds": CLOCK() - started, "answers": answers}

    sample = texts[:: max(1, len(texts) // SAMPLE)][:SAMPLE]
    answer_lines({"choose": lambda: program.choose(sample), "answer": answer})


if __name__ == "__main__":
    main()
