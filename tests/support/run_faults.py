"""What goes wrong in one process of a run, while the others go on."""

from contextlib import contextmanager, nullcontext
from unittest.mock import patch

from electra_common.pretraining.run import PretrainingRun
from electra_common.pretraining.run_folder import RunFolder
from electra_common.weights.errors import CheckpointError


def none(number):
    """Nothing does."""
    return nullcontext()


def second_is_asked_to_stop(number):
    """The second process alone is asked to stop, as it begins its third step."""
    learning_rate = PretrainingRun.learning_rate

    def asked(run, step):
        if step == 2 and number == 1:
            run.ask_to_stop()
        return learning_rate(run, step)

    return patch.object(PretrainingRun, "learning_rate", asked)


@contextmanager
def disk_is_full(number):
    """The first process, the only one that writes, cannot."""
    with patch.object(RunFolder, "save", side_effect=CheckpointError("no space left on device")) as save:
        yield
    assert save.called == (number == 0)


def second_sees_no_checkpoint(number):
    """The second process has another folder by the same name."""
    return patch.object(RunFolder, "checkpoints", []) if number == 1 else nullcontext()
