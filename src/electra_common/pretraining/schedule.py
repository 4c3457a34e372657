"""The learning rate as a function of the step: warm-up and polynomial decay at once, as in Google's code."""

from __future__ import annotations


def scheduled_rate(update: int, *, peak: float, warmup_steps: int, total_steps: int, power: float = 1.0) -> float:
    """Return the learning rate of an update.

    The decay runs over the whole run and is not suspended while warming up, so the peak is never quite reached.

    Args:
        update: its number, from 1 on. Google's code means to count from 0, which gives the first update no effect; what
            its graph really did is a race (docs/fidelity).
        peak: the rate that both factors scale.
        warmup_steps: updates until the warm-up ends; 0 for none.
        total_steps: where the decay reaches 0.
        power: of the decay, 1 for a straight line.
    """
    decayed: float = peak * (1.0 - min(update, total_steps) / total_steps) ** power
    return decayed * min(1.0, update / warmup_steps) if warmup_steps else decayed
