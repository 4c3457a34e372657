"""A prediction as any decoder of answers may give it, and the result of a seed, both made by hand."""

from dataclasses import dataclass, field

from electra_common.tasks.seeds import SeedResult


@dataclass(frozen=True)
class Predicted:
    """An answer, and what else is known of it."""

    id: str
    answer: object
    details: dict = field(default_factory=dict)

    def as_dict(self):
        return {"id": self.id, "answer": self.answer, **self.details}


def predictions_for(examples, answers):
    """Return the answers as predictions for the examples."""
    return [Predicted(example.id, answer) for example, answer in zip(examples, answers, strict=True)]


def seed_result(seed, score, *, metric="accuracy", constant=0.5, collapse="", **others):
    """Return the result of a seed."""
    metrics = {metric: score, **others}
    return SeedResult(
        seed=seed, metrics=metrics, best_metrics=metrics, constant_score=constant, is_collapsed=bool(collapse),
        collapse_reason=collapse, seconds=61.4, steps=1234,
    )  # fmt: skip
