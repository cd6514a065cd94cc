"""What a stopping rule would have done on recorded curves, without training."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from .._arguments import integer, is_number, number
from .following import Rule, State, StopReason, StopReport, advance, begin, check_rule, report

# The monitored values and the training losses, a row for each curve, and how many of each count.
Curves = tuple[np.ma.MaskedArray, np.ma.MaskedArray, np.ndarray]


def replay(
    values: Iterable[float | None],
    rule: Rule,
    *,
    train_values: Iterable[float] | None = None,
    initial_epoch: int = 0,
) -> StopReport:
    """Tell what a rule would have done on a recorded curve, without training.

    `values` are those of the monitored metric, one per epoch, `None` where it was not validated;
    the first belongs to epoch `initial_epoch` (0-based). `train_values` are the training losses
    of the same epochs, for rules that look at them. `restored_epoch` is the one whose weights a
    callback would restore.

    Raises `ValueError` for a curve that is empty or not one-dimensional, for two curves of
    unequal length and for a rule that lacks its training losses; `TypeError` for what is no
    number or no rule.

    >>> from epochlab import Patience
    >>> report = replay([0.9, 0.5, 0.6, None, 0.55, 0.4], Patience(2))
    >>> report.stopped_epoch, report.restored_epoch
    (4, 1)
    """
    check_rule(rule)
    initial_epoch = integer("initial_epoch", initial_epoch, minimum=0)
    if initial_epoch >= 2**62:  # epochs are counted in arrays
        raise ValueError(f"initial_epoch must be below 2**62; got {initial_epoch}.")
    curve = curve_of("values", values)
    losses = curve
    if train_values is not None:
        losses = curve_of("train_values", train_values)
        if len(losses) != len(curve):
            raise ValueError(
                f"train_values must be as long as values ({len(curve)}); got {len(losses)}."
            )
        if np.ma.is_masked(losses):
            raise ValueError("train_values must have a number for every epoch; got None.")
    elif rule.needs_train_values:
        raise ValueError(f"train_values must be given for {rule}, which looks at them; got None.")
    curves = (curve[None], losses[None], np.array([len(curve)]))
    state, stopped, reasons = follow(rule, curves, initial_epoch)
    return report(state, reasons[0], None if stopped[0] < 0 else int(stopped[0]), restored=True)


def follow(rule: Rule, curves: Curves, first: int = 0) -> tuple[State, np.ndarray, np.ndarray]:
    """Return the state at each curve's end, the epoch of its stop, -1 without one, and why.

    `first` is the number of the first epoch.
    """
    values, losses, lengths = curves
    state = begin(len(values), first)
    stopped = np.full(len(values), -1)
    reasons = np.array([StopReason.EPOCHS] * len(values), object)
    seen = ~np.ma.getmaskarray(values)
    known, train_values = values.filled(np.nan), losses.filled(np.nan)
    for t in range(values.shape[1]):
        running = (stopped < 0) & (t < lengths)
        if not running.any():
            break
        state, stops = advance(rule, state, known[:, t], seen[:, t] & running, train_values[:, t])
        if (ended := stops & running).any():
            stopped[ended], reasons[ended] = state.epoch, rule.reasons(state)[ended]
    return state, stopped, reasons


def listed(wanted: str, values: Any) -> list[Any]:
    """Return what comes in an order as a list, or raise `TypeError`."""
    try:
        if not isinstance(values, (str, bytes, Mapping, Set)):  # a set also loses what comes twice
            return list(values)
    except TypeError:  # a 0-d array, too, calls itself iterable
        pass
    raise TypeError(f"{wanted}; got {values!r} ({type(values).__name__}).")


def curve_of(name: str, values: Any) -> np.ma.MaskedArray:
    """Return a curve as floats, masked where it was not validated."""
    wanted = f"{name} must be a list of numbers, with None where an epoch was not validated"
    items = listed(wanted, values)
    if not items:
        raise ValueError(f"{wanted}; got none.")
    numbers, missing = np.empty(len(items)), np.zeros(len(items), bool)
    for place, value in enumerate(items):
        if value is None or type(value).__name__ == "NAType":  # of pandas
            numbers[place], missing[place] = np.nan, True
        elif is_number(value):
            # An integer may be too large for a float.
            finite = isinstance(value, int) and number(f"{name}[{place}]", value)
            numbers[place] = finite or value
        elif np.size(value) != 1 or np.ndim(value):
            raise ValueError(f"{wanted}; got {value!r} in place {place}: more than one dimension.")
        else:
            raise TypeError(f"{wanted}; got {value!r} ({type(value).__name__}) in place {place}.")
    return np.ma.array(numbers, mask=missing)
