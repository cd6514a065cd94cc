"""Why and how a run ended."""

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

    `epochs_run` counts the epochs, `stopped_epoch` is the one after which the rule ended the run,
    `best_epoch` the one with the best monitored value, `best_value`, and `restored_epoch` the one
    whose weights the model has. Prints as one sentence, with epochs counted from 1.

    >>> print(StopReport(StopReason.EPOCHS, epochs_run=5))
    Trained for all 5 epochs.
    >>> print(StopReport(StopReason.PATIENCE, 8, 7, best_epoch=4, best_value=0.31))
    Patience ran out after epoch 8; the best was epoch 5, with 0.31, and was not restored.
    """

    reason: StopReason
    epochs_run: int
    stopped_epoch: int | None = None
    best_epoch: int | None = None
    best_value: float | None = None
    restored_epoch: int | None = None

    def __str__(self) -> str:
        last = None if self.stopped_epoch is None else self.stopped_epoch + 1
        every = "the only epoch" if self.epochs_run == 1 else f"all {self.epochs_run} epochs"
        ended = {
            StopReason.PATIENCE: f"Patience ran out after epoch {last}",
            StopReason.CRITERION: f"The criterion was met after epoch {last}",
            StopReason.TARGET: f"The target was reached after epoch {last}",
            StopReason.NON_FINITE: f"Stopped in epoch {last}: the training loss was not finite",
            StopReason.EPOCHS: f"Trained for {every}",
            StopReason.INTERRUPTED: f"Interrupted; epochs that were finished: {self.epochs_run}",
            StopReason.OTHER: f"Stopped by something else; epochs run: {self.epochs_run}",
        }[self.reason]
        if self.best_epoch is None:
            return f"{ended}."
        restored = "was restored"
        if self.restored_epoch is None:
            restored = "was not restored"
        elif self.restored_epoch != self.best_epoch:
            restored = f"epoch {self.restored_epoch + 1} was restored"
        best = f"the best was epoch {self.best_epoch + 1}, with {self.best_value:.4g}"
        return f"{ended}; {best}, and {restored}."
