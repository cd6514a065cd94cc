"""A sweep's runs one by one, in threads (as `sweep` does it) and in processes.

    python benchmarks/side_by_side.py [--quick]

Each world of the evidence takes its turn; the rows of all three ways must be the same bit for bit.
Processes are new ones each time, as they would be for somebody who calls `sweep` once.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
from measuring import print_machine, print_table

from epochlab import sweep
from epochlab.training import grid
from epochlab.training.machine import cores
from epochlab.worlds import WORLDS

# Batch size, learning rates, seeds, epochs.
SWEEPS = {
    "digits": (16, [0.02, 0.05, 0.1, 0.2], 20, 20),
    "photos": (64, [0.002], 6, 10),
    "text": (32, [0.002], 4, 2),
}


def timed(world: str, way: str, quick: bool) -> tuple[float, pd.DataFrame]:
    """Return the seconds of a sweep, compiling counted, and its rows."""
    batch_size, rates, seeds, epochs = SWEEPS[world]
    settings = {"seeds": 2 if quick else seeds, "epochs": 1 if quick else epochs}
    arguments = WORLDS[world].build_model, WORLDS[world].data
    table = {"batch_size": [batch_size], "learning_rate": rates[:1] if quick else rates}
    grid.side_by_side = lambda: 1 if way == "one by one" else cores()
    started = time.perf_counter()
    if way == "processes":
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(cores(), spawn) as executor:
            rows = sweep(*arguments, table, executor=executor, **settings)
    else:
        rows = sweep(*arguments, table, **settings)
    return time.perf_counter() - started, rows.drop(columns="seconds")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="try the script, measure nothing")
    options = parser.parse_args(arguments)
    print_machine()
    rows = []
    for world in SWEEPS:
        for _ in range(1 if options.quick else 2):
            ways = ("one by one", "threads", "processes")
            results = {way: timed(world, way, options.quick) for way in ways}
            alone, expected = results["one by one"]
            assert all(table.equals(expected) for _, table in results.values())
            ratios = [f"{alone / results[way][0]:.2f}" for way in ways[1:]]
            rows.append([world, f"{alone:.1f}", *ratios])
    print_table(["world", "one by one, s", "times that in threads", "in processes"], rows)


if __name__ == "__main__":
    main()
