"""What is timed: each subject is a program for a fresh process, which says when it is done and what memory it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The last line of every subject: the moment that is measured, then the process's own account of its memory.
# VmHWM starts at zero with the program; ru_maxrss would begin with what the parent had.
_DONE: Final = """
print("done", flush=True)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), flush=True)
"""
_IDS: Final = "[[101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 102]]"


@dataclass(frozen=True)
class Subject:
    """One program to time; ``peer`` names the one it is compared with."""

    name: str
    code: str
    peer: str | None = None

    @property
    def program(self) -> str:
        """The whole program, which announces its end."""
        return self.code + _DONE


def first_logits(folder: str) -> tuple[Subject, ...]:
    """From process start to the first logits of a model folder."""
    ours = f"""
import torch
from electra_pt import ElectraForPreTraining
model = ElectraForPreTraining.from_pretrained({folder!r})
with torch.inference_mode():
    logits = model(torch.tensor({_IDS})).logits.tolist()
"""
    theirs = f"""
import torch
from transformers import ElectraForPreTraining
model = ElectraForPreTraining.from_pretrained({folder!r})
with torch.inference_mode():
    logits = model(torch.tensor({_IDS})).logits.tolist()
"""
    keras = f"""
import numpy as np
from electra_tf import TFElectraForPreTraining
model = TFElectraForPreTraining.from_pretrained({folder!r})
logits = model(np.array({_IDS})).logits.numpy().tolist()
"""
    return (
        Subject("electra_pt, first logits", ours, peer="transformers, first logits"),
        Subject("transformers, first logits", theirs),
        Subject("electra_tf, first logits", keras),
        Subject("import torch", "import torch"),
        Subject("import tensorflow and keras", "import tensorflow, keras"),
    )


def imports() -> tuple[Subject, ...]:
    """What ``import electra_common`` costs."""
    return (
        Subject("import electra_common", "import numpy, electra_common", peer="import numpy"),
        Subject("import numpy", "import numpy"),
    )
