"""The one error that reading or writing a checkpoint ends in."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, unsafe, or does not hold what was asked for.

    The message names the file, what was expected and what was found. It is the only exception that this library
    lets out for bad checkpoint input.
    """
