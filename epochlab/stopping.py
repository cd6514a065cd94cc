"""How a training run ended."""

from dataclasses import dataclass
from enum import StrEnum


class StopReason(StrEnum):
    """Why a run ended."""

    PATIENCE = "patience"
    CRITERION = "criterion"
    TARGET = "target"
    NON_FINITE = "non_finite"
    EPOCHS = "epochs"
    INTERRUPTED = "interrupted"
    OTHER = "other"


@dataclass(frozen=True)
class StopReport:
    """How a run ended; epochs are 0-based, `None` where there is none.

    `epochs_run` counts the epochs begun. Prints as one sentence, with epochs counted from 1.

    >>> print(StopReport(StopReason.EPOCHS, epochs_run=5))
    Trained for all 5 epochs.
    >>> print(StopReport(StopReason.NON_FINITE, epochs_run=3, stopped_epoch=2))
    Stopped in epoch 3: the training loss was not finite.
    """

    reason: StopReason
    epochs_run: int
    stopped_epoch: int | None = None
    best_epoch: int | None = None
    best_value: float | None = None
    restored_epoch: int | None = None

    def __str__(self) -> str:
        if self.reason is StopReason.NON_FINITE:
            return f"Stopped in epoch {self.epochs_run}: the training loss was not finite."
        return f"Trained for all {self.epochs_run} epochs."
