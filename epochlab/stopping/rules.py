"""The rules: when to stop. Each is a small frozen dataclass with a method `stops`."""

import sys
from dataclasses import KW_ONLY, dataclass
from functools import reduce
from inspect import ismethod
from operator import or_

import numpy as np

from .._arguments import choice, instance, keep_integer, number
from .following import Rule, State, StopReason, baseline_holds_wait, check_rule, float32


@dataclass(frozen=True, repr=False)
class Patience(Rule):
    """Stop after `patience` epochs without an improvement by more than `min_delta`.

    `mode` is "min" or "max". Epochs before `start_from_epoch` do not count, nor do epochs without
    validation. Until a value is better than `baseline`, improvements do not reset the wait (in
    Keras after 3.15.1 the baseline no longer matters). As in Keras, the first epoch never stops a
    run, so that 0 and 1 are the same. With `check_finite`, a NaN or an infinity counts as no
    improvement. Without, this is `keras.callbacks.EarlyStopping` of the installed Keras bit for
    bit, where a NaN in the first epoch is the best for ever.

    Raises `ValueError` or `TypeError` for a negative or fractional patience, a negative
    `min_delta`, a mode that is neither "min" nor "max".

    >>> from epochlab import replay
    >>> print(replay([0.9, 0.5, 0.6, 0.55, 0.4], Patience(2)))
    Patience ran out after epoch 4; the best was epoch 2, with 0.5, and was restored.
    """

    reason = StopReason.PATIENCE

    patience: int
    _: KW_ONLY
    min_delta: float = 0.0
    mode: str = "min"
    baseline: float | None = None
    start_from_epoch: int = 0
    check_finite: bool = True

    def __post_init__(self) -> None:
        instance("check_finite", self.check_finite, bool, "True or False")
        negative = baseline_holds_wait() and not self.check_finite
        keep_integer(self, "patience", minimum=-sys.maxsize if negative else 0)
        number("min_delta", self.min_delta, minimum=0)
        if self.baseline is not None:
            number("baseline", self.baseline)
        keep_integer(self, "start_from_epoch", minimum=0)
        choice("mode", self.mode, "min", "max")

    def stops(self, state: State) -> np.ndarray:
        waited = state.monitored & ~state.improved & (state.wait >= self.patience)
        return waited & (state.epoch > 0)


@dataclass(frozen=True, repr=False)
class Target(Rule):
    """Stop as soon as the monitored value is as good as `value`.

    Not what Keras calls `baseline`, which stops a run that does *not* get there. Compared as
    float32, so that an accuracy of 90 of 100 reaches 0.9.

    Raises `TypeError` for a `value` that is no number, `ValueError` for a mode that is neither
    "min" nor "max".

    >>> from epochlab import replay
    >>> print(replay([0.5, 0.8, 0.9, 0.95], Target(0.9, mode="max")))
    The target was reached after epoch 3; the best was epoch 3, with 0.9, and was restored.
    """

    reason = StopReason.TARGET

    value: float
    _: KW_ONLY
    mode: str = "min"

    def __post_init__(self) -> None:
        number("value", self.value)
        choice("mode", self.mode, "min", "max")

    def stops(self, state: State) -> np.ndarray:
        last, target = float32(state.values[-1]), float32(self.value)
        return np.asarray(last <= target if self.mode == "min" else last >= target)


@dataclass(frozen=True, repr=False)
class GeneralizationLoss(Rule):
    """Stop when the error is more than `alpha` percent above the lowest so far: Prechelt's GL.

    GL(t) = 100 (E(t) / E_lowest − 1), of validation errors that are not negative. An epoch
    without a finite value has the last one before it.

    Source: Prechelt (1998), Early stopping, but when? Raises `TypeError` for an `alpha` that is
    no number, `ValueError` for a negative one, or for a negative error.

    >>> from epochlab import replay
    >>> replay([1.0, 0.5, 0.52, 0.53], GeneralizationLoss(5)).stopped_epoch
    3
    """

    alpha: float

    def __post_init__(self) -> None:
        number("alpha", self.alpha, minimum=0)

    def stops(self, state: State) -> np.ndarray:
        return _generalization_loss(self, state) > self.alpha


@dataclass(frozen=True, repr=False)
class ProgressQuotient(Rule):
    """Stop when the generalization loss outgrows the training progress: Prechelt's PQ.

    Looked at after every `strip` epochs: PQ(t) = GL(t) / P(t), where the progress
    P(t) = 1000 (mean of the training errors of the strip / their minimum − 1). Stops when PQ is
    above `alpha`; without any progress, as soon as there is a loss. An epoch without a finite
    validation error has the last one before it.

    Source: Prechelt (1998), Early stopping, but when? Needs training losses, `loss` or
    `train_values`. Raises as `GeneralizationLoss` does, and for a `strip` below 1.

    >>> from epochlab import replay
    >>> val, loss = [1.0, 0.8, 0.9, 1.0], [1.0, 0.8, 0.75, 0.75]
    >>> replay(val, ProgressQuotient(0.5, strip=2), train_values=loss).stopped_epoch
    3
    """

    needs_train_values = True

    alpha: float
    _: KW_ONLY
    strip: int = 5

    def __post_init__(self) -> None:
        number("alpha", self.alpha, minimum=0)
        keep_integer(self, "strip")

    def stops(self, state: State) -> np.ndarray:
        if state.epochs_run % self.strip:
            return np.zeros_like(state.improved)
        errors = state.train_values[-self.strip :]
        mean, lowest = errors.mean(axis=0), errors.min(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # The mean of equal numbers may be rounded below them, and they may all be 0.
            progress = np.where(mean <= lowest, 0, 1000 * (mean / lowest - 1))
            return _generalization_loss(self, state) / progress > self.alpha


@dataclass(frozen=True, repr=False)
class SuccessiveIncreases(Rule):
    """Stop when the error rose over each of the last `strips` strips of epochs: Prechelt's UP.

    Looked at after every `strip` epochs: the error there is compared with the one a strip before,
    whatever lies between. An epoch without a finite value has the last one before it, so validate
    at least once per strip.

    Source: Prechelt (1998), Early stopping, but when? Raises `ValueError` or `TypeError` for
    counts that are not integers of at least 1.

    >>> from epochlab import replay
    >>> replay([1.0, 0.5, 0.7, 0.6, 0.8, 0.9], SuccessiveIncreases(2, strip=2)).stopped_epoch
    5
    """

    strips: int
    _: KW_ONLY
    strip: int = 5

    def __post_init__(self) -> None:
        keep_integer(self, "strips")
        keep_integer(self, "strip")

    def stops(self, state: State) -> np.ndarray:
        if state.epochs_run % self.strip or state.epochs_run < (self.strips + 1) * self.strip:
            return np.zeros_like(state.improved)
        ends = state.values[:: -self.strip][: self.strips + 1]  # the latest first
        return np.all(ends[:-1] > ends[1:], axis=0)


@dataclass(frozen=True, repr=False, init=False)
class AnyOf(Rule):
    """Stop as soon as any of the `rules` stops; the report's `reason` is that of the first of them.

    They share one best epoch and one wait. So they must agree on `mode`, `min_delta`, `baseline`,
    `start_from_epoch` and `check_finite`, those that a rule cannot set being 0, `None` and `True`.
    Rules with an `improves` or `resets_wait` of their own must have the same one, and the same
    values of the attributes that both have.

    Raises `ValueError` for no rules and for rules that do not agree, `TypeError` for what is no
    rule.

    >>> from epochlab import replay
    >>> rule = AnyOf(Patience(3), Target(0.5))
    >>> replay([0.9, 0.7, 0.5, 0.6], rule).reason, replay([0.8, 0.9, 0.9, 0.9], rule).reason
    (<StopReason.TARGET: 'target'>, <StopReason.PATIENCE: 'patience'>)
    """

    rules: tuple[Rule, ...]

    def __init__(self, *rules: Rule) -> None:
        if not rules:
            raise ValueError("AnyOf must have at least one rule; got none.")
        object.__setattr__(self, "rules", rules)
        _share(self, rules)

    def stops(self, state: State) -> np.ndarray | bool:
        return reduce(or_, (rule.stops(state) for rule in self.rules))

    def reasons(self, state: State) -> np.ndarray:
        reasons = super().reasons(state)
        for rule in reversed(self.rules):
            reasons = np.where(rule.stops(state), rule.reasons(state), reasons)
        return reasons

    def __repr__(self) -> str:
        return f"AnyOf({', '.join(map(repr, self.rules))})"


@dataclass(frozen=True, repr=False)
class Warmup(Rule):
    """Do not ask `rule` in the first `epochs` epochs of a run.

    They cannot stop the run, but the best epoch may be among them and waiting counts from the
    start. With `Patience(start_from_epoch=…)` instead, they do not count at all.

    Raises `TypeError` for what is no rule or no count, `ValueError` for a negative one.

    >>> from epochlab import replay
    >>> curve = [0.1, 0.9, 0.8, 0.7, 0.6]
    >>> replay(curve, Patience(1)).epochs_run, replay(curve, Warmup(Patience(1), 3)).epochs_run
    (2, 4)
    """

    rule: Rule
    epochs: int

    def __post_init__(self) -> None:
        keep_integer(self, "epochs", minimum=0)
        _share(self, (self.rule,))

    def stops(self, state: State) -> np.ndarray | bool:
        return state.epochs_run > self.epochs and self.rule.stops(state)

    def reasons(self, state: State) -> np.ndarray:
        return self.rule.reasons(state)


_SHARED = ("mode", "min_delta", "baseline", "start_from_epoch", "check_finite")


def _share(combined: Rule, rules: tuple[Rule, ...]) -> None:
    """Let a combination find the best epoch as its rules do, which must agree on it."""
    for rule in rules:
        check_rule(rule)
    for name in (*_SHARED, "improves", "resets_wait"):
        first, *others = (getattr(rule, name) for rule in rules)
        for rule, other in zip(rules[1:], others, strict=True):
            if not _agree(first, other):
                raise ValueError(
                    f"the rules of AnyOf must agree on {name}, since they share one best epoch; "
                    f"got {first!r} of {rules[0]} and {other!r} of {rule}."
                )
        object.__setattr__(combined, name, first)
    object.__setattr__(combined, "needs_train_values", any(r.needs_train_values for r in rules))


def _agree(one: object, other: object) -> bool:
    """Whether two rules' values of an attribute, or methods of theirs, come to the same."""
    if not (ismethod(one) and ismethod(other)):
        return bool(one == other)
    same = one.__func__ is other.__func__
    if same and one.__func__ not in (Rule.improves, Rule.resets_wait):
        mine, theirs = vars(one.__self__), vars(other.__self__)
        same = all(np.array_equal(mine[n], theirs[n]) for n in mine.keys() & theirs.keys())
    return same


def _generalization_loss(rule: Rule, state: State) -> np.ndarray:
    last = state.values[-1]
    if (last < 0).any():
        raise ValueError(
            f"values must be errors that are never negative for {rule}; got {np.nanmin(last)} "
            f"after epoch {state.epoch + 1}."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * (last / state.best_value - 1)
