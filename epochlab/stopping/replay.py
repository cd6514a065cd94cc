"""What a stopping rule would have done on recorded curves, without training."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from .._arguments import instance, integer, is_number
from .rules import Rule, State, StopReason, StopReport, advance, begin, check_rule, report

_NOT_MEASURED = ["epochs", "steps", "seconds", "restored_epoch", "epoch", "step", "reason"]


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
    curve = _curve("values", values)
    losses = curve
    if train_values is not None:
        losses = _curve("train_values", train_values)
        if len(losses) != len(curve):
            raise ValueError(
                f"train_values must be as long as values ({len(curve)}); got {len(losses)}."
            )
        if np.ma.is_masked(losses):
            raise ValueError("train_values must have a number for every epoch; got None.")
    elif rule.needs_train_values:
        raise ValueError(f"train_values must be given for {rule}, which looks at them; got None.")
    state, stopped = _follow(rule, curve[None], losses[None], np.array([len(curve)]), initial_epoch)
    if stopped[0] < 0:
        return report(state, StopReason.EPOCHS)
    return report(state, rule.reason, stopped_epoch=int(stopped[0]))


def sweep_rules(
    curves: pd.DataFrame | Iterable[Iterable[float | None]],
    rules: Iterable[Rule],
    *,
    monitor: str = "val_loss",
) -> pd.DataFrame:
    """Tell what many rules would have done on many recorded curves, without training.

    `curves` is the long table of `sweep(..., curves=True)` or `Run.epochs`, whose column
    `monitor` is replayed; or a list of sequences as `replay` takes them.

    Returns a row per rule and curve: `rule` as text, the run's keys and seed (for a list `curve`,
    its place), the fields of the `StopReport`, and for a table what it has measured in the
    restored epoch, as `sweep(..., rule=rule)` returns it.

    Raises what `replay` does, and `ValueError` for a column that is missing and for a run that
    has an epoch twice.

    >>> from epochlab import Patience, Target
    >>> curves = [[0.9, 0.5, 0.6, 0.4], [0.9, 0.8, 0.7, 0.6]]
    >>> sweep_rules(curves, [Patience(1), Target(0.5)])[["rule", "curve", "epochs_run"]]
                       rule  curve  epochs_run
    0  Patience(patience=1)      0           3
    1  Patience(patience=1)      1           4
    2     Target(value=0.5)      0           2
    3     Target(value=0.5)      1           4
    """
    instance("rules", rules, Iterable, "a list of rules such as [Patience(5)]")
    rules = list(rules)
    if not rules:
        raise ValueError("rules must hold at least one rule; got none.")
    for rule in rules:
        check_rule(rule)
    if isinstance(curves, pd.DataFrame):
        return _sweep_table(curves, rules, monitor)
    for rule in rules:
        if rule.needs_train_values:
            raise ValueError(
                f"curves must be a table with a column loss for {rule}, which looks at the "
                "training loss; got sequences."
            )
    if isinstance(curves, (str, bytes, Mapping)) or not isinstance(curves, Iterable):
        wanted = "curves must be a table or a list of curves"
        raise TypeError(f"{wanted}; got {curves!r} ({type(curves).__name__}).")
    lines = [_curve(f"curves[{i}]", values) for i, values in enumerate(curves)]
    if not lines:
        raise ValueError("curves must hold at least one curve; got none.")
    lengths = np.array([len(line) for line in lines])
    values = np.ma.masked_all((len(lines), lengths.max()))
    for row, line in zip(values, lines, strict=True):
        row[: len(line)] = line
    runs = pd.DataFrame({"curve": range(len(lines))})
    return _ended(rules, runs, values, values, lengths)


def _sweep_table(table: pd.DataFrame, rules: list[Rule], monitor: str) -> pd.DataFrame:
    needed = ["epoch", monitor]
    if any(rule.needs_train_values for rule in rules):
        needed.append("loss")
    if missing := [name for name in needed if name not in table]:
        raise ValueError(
            f"curves must have the columns {', '.join(needed)}; got none of name "
            f"{', '.join(missing)}, but {', '.join(map(str, table))}."
        )
    if table.empty:
        raise ValueError("curves must hold at least one curve; got a table without rows.")
    columns = list(table)
    keys = columns[: columns.index("seed") + 1] if "seed" in columns else []
    measured = [name for name in columns if name not in (*keys, *_NOT_MEASURED)]

    # Keys may be lists, which cannot be grouped by, but their text can.
    texts = [table[key].map(repr) for key in keys] or [np.zeros(len(table))]
    run = table.groupby(texts, sort=False).ngroup().to_numpy()
    epoch = table["epoch"].to_numpy()
    if epoch.dtype.kind not in "iu" or epoch.min() < 0:
        wrong = next(e for e in epoch.tolist() if not isinstance(e, int) or e < 0)
        raise ValueError(f"curves must have epochs that are integers, at least 0; got {wrong!r}.")
    at = pd.MultiIndex.from_arrays([run, epoch], names=["run", "restored_epoch"])
    if at.has_duplicates:
        [first, *_] = np.flatnonzero(at.duplicated())
        where = table[keys].iloc[[first]].to_dict("records")[0] if keys else "the only run"
        raise ValueError(
            f"curves must have an epoch once per run; got epoch {epoch[first]} twice for {where}."
        )
    lengths = np.zeros(run.max() + 1, int)
    np.maximum.at(lengths, run, epoch + 1)
    values, losses = np.ma.masked_all((2, len(lengths), lengths.max()))
    values[run, epoch] = _curve(monitor, table[monitor])
    if "loss" in table:
        losses[run, epoch] = _curve("loss", table["loss"])
    runs = table[keys][~pd.Series(run, table.index).duplicated()].reset_index(drop=True)
    ended = _ended(rules, runs, values, losses, lengths)
    restored = pd.MultiIndex.from_arrays(
        [np.arange(len(ended)) % len(runs), ended["restored_epoch"].fillna(-1)]
    )
    return pd.concat(
        [ended, table[measured].set_index(at).reindex(restored).reset_index(drop=True)], axis=1
    )


def _ended(
    rules: list[Rule],
    runs: pd.DataFrame,
    values: np.ma.MaskedArray,
    losses: np.ma.MaskedArray,
    lengths: np.ndarray,
) -> pd.DataFrame:
    """Return the fields of the reports, beside the rule and what `runs` says of each curve."""
    tables = []
    for rule in rules:
        state, stopped = _follow(rule, values, losses, lengths)
        table = runs.copy()
        table.insert(0, "rule", str(rule))
        table["reason"] = np.where(stopped < 0, str(StopReason.EPOCHS), str(rule.reason))
        table["epochs_run"] = np.where(stopped < 0, lengths, stopped + 1)
        for name, epoch in (("stopped_epoch", stopped), ("best_epoch", state.best_epoch)):
            table[name] = pd.array(epoch, "Int64")
            table.loc[epoch < 0, name] = pd.NA
        table["best_value"] = state.best_value
        table["restored_epoch"] = table["best_epoch"]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _follow(
    rule: Rule,
    values: np.ma.MaskedArray,
    losses: np.ma.MaskedArray,
    lengths: np.ndarray,
    initial_epoch: int = 0,
) -> tuple[State, np.ndarray]:
    """Return the state at each curve's end and the epoch of its stop, -1 without one."""
    state = begin(len(values), initial_epoch)
    stopped = np.full(len(values), -1)
    seen, values, losses = ~np.ma.getmaskarray(values), values.filled(np.nan), losses.filled(np.nan)
    for t in range(values.shape[1]):
        running = (stopped < 0) & (t < lengths)
        if not running.any():
            break
        state, stops = advance(rule, state, values[:, t], seen[:, t] & running, losses[:, t])
        stopped[stops & running] = state.epoch
    return state, stopped


def _curve(name: str, values: Any) -> np.ma.MaskedArray:
    """Return a curve as floats, masked where it was not validated."""
    wanted = f"{name} must be a list of numbers, with None where an epoch was not validated"
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{wanted}; got {values!r} ({type(values).__name__}).")
    values = list(values)
    if not values:
        raise ValueError(f"{wanted}; got none.")
    for place, value in enumerate(values):
        if value is None or value is pd.NA or is_number(value):
            continue
        if np.size(value) != 1 or np.ndim(value):
            raise ValueError(f"{wanted}; got {value!r} in place {place}: more than one dimension.")
        raise TypeError(f"{wanted}; got {value!r} ({type(value).__name__}) in place {place}.")
    missing = [value is None or value is pd.NA for value in values]
    numbers = [
        np.nan if gone else float(value) for value, gone in zip(values, missing, strict=True)
    ]
    return np.ma.array(numbers, mask=missing)
