"""Training: a generator of epoch results, and its checkpoints."""

from mmsr.training.checkpoint import (
    CheckpointState,
    check_place,
    holds_checkpoint,
    read_checkpoint_state,
)
from mmsr.training.loop import EpochResult, Progress, TrainingDiverged, train
from mmsr.training.precision import bf16_is_native
from mmsr.training.step import choose_device, load_best_model, read_checkpoint

__all__ = [
    "CheckpointState",
    "EpochResult",
    "Progress",
    "TrainingDiverged",
    "bf16_is_native",
    "check_place",
    "choose_device",
    "holds_checkpoint",
    "load_best_model",
    "read_checkpoint",
    "read_checkpoint_state",
    "train",
]
