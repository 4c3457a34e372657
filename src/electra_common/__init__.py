"""What both ELECTRA families share, in numpy alone: configuration, weight names, checkpoint formats, command line."""

from electra_common.config import ElectraConfig
from electra_common.weights.checkpoint import open_checkpoint
from electra_common.weights.conversion import convert_checkpoint
from electra_common.weights.errors import CheckpointError
from electra_common.weights.report import LoadReport

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ElectraConfig",
    "LoadReport",
    "convert_checkpoint",
    "open_checkpoint",
]
