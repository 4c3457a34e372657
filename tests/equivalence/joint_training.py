"""What both workers of the joint training compute: sizes, batches, learning rates. Knows numpy alone."""

from support.joint_training import CONFIG, GENERATOR, make_batch, recorded_batch

STEPS = 20
CLIP = 1.0
WEIGHT_DECAY = 0.01


def configs():
    """Return the configs of discriminator and generator, one layer each and without dropout."""
    return tuple(config.replace(num_hidden_layers=1) for config in (CONFIG, GENERATOR))


def learning_rate(step):
    """Return the rate of a step: a warm-up of five steps."""
    return 2e-3 * min(1.0, (step + 1) / 5)


def batch_of(step, *, recorded):
    """Return the batch of a step: with recorded samples, or to be sampled."""
    return recorded_batch(seed=step) if recorded else make_batch(seed=3, step=step)
