"""Many stopping rules on many recorded curves, without training."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from .._arguments import instance, integer
from ..results import known_mode
from .following import Rule, check_mode, check_rule
from .replay import Curves, curve_of, follow, listed

_NOT_MEASURED = ["epochs", "steps", "seconds", "restored_epoch", "epoch", "step", "reason"]


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

    Raises what `replay` does, and `ValueError` for a column that is missing, for a run that has an
    epoch twice, and for a rule whose mode is not "max" for an accuracy and "min" for a loss.

    >>> from epochlab import Patience, Target
    >>> curves = [[0.9, 0.5, 0.6, 0.4], [0.9, 0.8, 0.7, 0.6]]
    >>> sweep_rules(curves, [Patience(1), Target(0.5)])[["rule", "curve", "epochs_run"]]
                       rule  curve  epochs_run
    0  Patience(patience=1)      0           3
    1  Patience(patience=1)      1           4
    2     Target(value=0.5)      0           2
    3     Target(value=0.5)      1           4
    """
    rules = listed("rules must be a list of rules such as [Patience(5)]", rules)
    if not rules:
        raise ValueError("rules must hold at least one rule; got none.")
    for rule in rules:
        check_rule(rule)
        if rule.needs_train_values and not isinstance(curves, pd.DataFrame):
            raise ValueError(
                f"curves must be a table with a column loss for {rule}; got sequences."
            )
    instance("monitor", monitor, str, 'the name of a column such as "val_loss"')
    if isinstance(curves, pd.DataFrame):
        return _sweep_table(curves, rules, monitor)
    curves = listed("curves must be a table or a list of curves", curves)
    lines = [curve_of(f"curves[{i}]", values) for i, values in enumerate(curves)]
    if not lines:
        raise ValueError("curves must hold at least one curve; got none.")
    lengths = np.array([len(line) for line in lines])
    values = np.ma.masked_all((len(lines), lengths.max()))
    for row, line in zip(values, lines, strict=True):
        row[: len(line)] = line
    runs = pd.DataFrame({"curve": range(len(lines))})
    return _ended(rules, runs, (values, values, lengths))


def _sweep_table(table: pd.DataFrame, rules: list[Rule], monitor: str) -> pd.DataFrame:
    for rule in rules:
        check_mode(rule, monitor, known_mode(monitor))
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
    measured = [name for name in table if name not in (*keys, *_NOT_MEASURED)]

    # Keys may be lists, which cannot be grouped by, but their text can.
    texts: list[Any] = [table[key].map(repr) for key in keys] or [np.zeros(len(table))]
    run = table.groupby(texts, sort=False).ngroup().to_numpy()
    epoch = np.array([integer("epoch of curves", e, minimum=0) for e in table["epoch"]])
    at = pd.MultiIndex.from_arrays([run, epoch], names=["run", "restored_epoch"])
    if at.has_duplicates:
        first = int(at.duplicated().argmax())
        where = table[keys].iloc[[first]].to_dict("records")[0] if keys else "the only run"
        raise ValueError(
            f"curves must have an epoch once per run; got epoch {epoch[first]} twice for {where}."
        )
    lengths = np.zeros(run.max() + 1, int)
    np.maximum.at(lengths, run, epoch + 1)
    values, losses = np.ma.masked_all((2, len(lengths), lengths.max()))
    values[run, epoch] = curve_of(monitor, table[monitor])
    if "loss" in table:
        losses[run, epoch] = curve_of("loss", table["loss"])
    runs = table[keys][~pd.Series(run, table.index).duplicated()].reset_index(drop=True)
    ended = _ended(rules, runs, (values, losses, lengths))
    run_of = np.arange(len(ended)) % len(runs)
    restored = pd.MultiIndex.from_arrays([run_of, ended["restored_epoch"].fillna(-1)])
    found = table[measured].set_index(at).reindex(restored).reset_index(drop=True)
    return pd.concat([ended, found], axis=1)


def _ended(rules: list[Rule], runs: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Return the fields of the reports, beside the rule and what `runs` says of each curve."""
    tables = []
    for rule in rules:
        state, stopped, reasons = follow(rule, curves)
        table = runs.copy()
        table.insert(0, "rule", str(rule))
        table["reason"] = [str(reason) for reason in reasons]
        table["epochs_run"] = np.where(stopped < 0, curves[-1], stopped + 1)
        for name, epoch in (("stopped_epoch", stopped), ("best_epoch", state.best_epoch)):
            table[name] = pd.array(epoch, "Int64")
            table.loc[epoch < 0, name] = pd.NA
        table["best_value"] = state.best_value
        table["restored_epoch"] = table["best_epoch"]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
