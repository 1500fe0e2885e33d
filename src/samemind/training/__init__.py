"""Checkpoints: standard and adversarial training, and evaluation."""

from samemind.training.builds import (
    EVALUATION_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
    build_checkpoint,
    build_evaluation,
    load_checkpoint,
)
from samemind.training.evaluation import accuracy, is_right, robustness_curve
from samemind.training.loop import batches, mixed_precision, steps_in_epoch, train
from samemind.training.recipes import (
    Checkpoint,
    Evaluated,
    Imported,
    Schedule,
    Trained,
    preset_of,
)

__all__ = [
    "EVALUATION_FILE",
    "TRAINING_FILE",
    "WEIGHTS_FILE",
    "Checkpoint",
    "Evaluated",
    "Imported",
    "Schedule",
    "Trained",
    "accuracy",
    "batches",
    "build_checkpoint",
    "build_evaluation",
    "is_right",
    "load_checkpoint",
    "mixed_precision",
    "preset_of",
    "robustness_curve",
    "steps_in_epoch",
    "train",
]
