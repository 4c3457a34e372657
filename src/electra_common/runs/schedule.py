"""The learning rate as a function of the step: warm-up and polynomial decay, at once or one after the other."""

from __future__ import annotations

import math
from typing import Final

GOOGLE: Final = "google"  # at once, as in Google's code
TRANSFORMERS: Final = "transformers"  # one after the other, as in the Trainer of transformers
SCHEDULES: Final = (GOOGLE, TRANSFORMERS)


def scheduled_rate(
    update: int, *, peak: float, warmup_steps: int, total_steps: int, power: float = 1.0, schedule: str = GOOGLE
) -> float:
    """Return the learning rate of an update.

    Args:
        update: its number, from 1 on.
        peak: the rate that all is scaled from.
        warmup_steps: updates until the warm-up ends; 0 for none.
        total_steps: where the decay reaches 0.
        power: of the decay, 1 for a straight line.
        schedule: ``"google"``: the decay runs over the whole run and is not suspended while warming up, so the peak is
            never quite reached. (Google's code means to count updates from 0, which gives the first one no effect; what
            its graph really did is a race, see docs/fidelity.) ``"transformers"``: the decay begins where the warm-up
            ends, at the peak, and updates are counted from 0.

    Raises:
        ValueError: there is no such schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; found {schedule!r}")
    if schedule == TRANSFORMERS:
        return peak * _share_in_turn(update - 1, warmup_steps, total_steps, power)
    decayed: float = peak * (1.0 - min(update, total_steps) / total_steps) ** power
    return decayed * min(1.0, update / warmup_steps) if warmup_steps else decayed


def warmup_updates(fraction: float, total_steps: int, schedule: str = GOOGLE) -> int:
    """Return how many updates of a run warm up: a fraction of all, for ``"transformers"`` rounded up as it does."""
    return math.ceil(fraction * total_steps) if schedule == TRANSFORMERS else round(fraction * total_steps)


def _share_in_turn(done: int, warmup_steps: int, total_steps: int, power: float) -> float:
    if done < warmup_steps:
        return done / warmup_steps
    left: float = (max(0, total_steps - done) / max(1, total_steps - warmup_steps)) ** power
    return left
