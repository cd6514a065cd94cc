"""A whole sweep on all cores, as `sweep` does it, against the same runs one by one.

    python benchmarks/side_by_side.py [--quick]

Compiling, loading, building and evaluating are counted. The rows of both ways must be the same
bit for bit.
"""

import argparse
import time

import pandas as pd
from measuring import print_bound, print_machine, print_table, spread

from epochlab import sweep
from epochlab.training import grid, jobs
from epochlab.training.machine import cores
from epochlab.worlds import WORLDS

# World, batch size, learning rate, seeds, epochs; and what is asked of it on two cores.
SWEEPS = [
    ("digits", 8, 0.001, 20, 20, 1.6),
    ("digits", 32, 0.002, 20, 30, 1.15),
    ("digits", 128, 0.004, 20, 40, 1),
    ("digits", 512, 0.008, 20, 60, 1),
    ("photos", 8, 0.001, 4, 2, 1),
    ("photos", 32, 0.001, 4, 4, 1),
    ("photos", 128, 0.002, 4, 6, 1),
    ("text", 32, 0.002, 4, 1, 1),
]


def timed(sweep_of: tuple, at_a_time: int, quick: bool) -> tuple[float, pd.DataFrame, int]:
    """Return the seconds of a sweep, its rows, and how many samples it has trained on."""
    world, batch_size, rate, seeds, epochs, _ = sweep_of
    if quick:
        seeds, epochs = 2, 1
    grid.side_by_side = lambda: at_a_time
    jobs.models.clear()  # what is compiled
    table = {"batch_size": [batch_size], "learning_rate": [rate]}
    started = time.perf_counter()
    functions = WORLDS[world].build_model, WORLDS[world].data
    rows = sweep(*functions, table, seeds=seeds, epochs=epochs)
    seconds = time.perf_counter() - started
    samples = seeds * epochs * len(WORLDS[world].data(0).x_train)
    return seconds, rows.drop(columns="seconds"), samples


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="try the script, measure nothing")
    quick = parser.parse_args(arguments).quick
    print_machine()
    table, bounds = [], []
    for sweep_of in SWEEPS[:1] if quick else SWEEPS:
        timed(sweep_of, 1, quick=True)  # what is loaded once per process
        alone, together = [], []
        for _ in range(1 if quick else 3):
            for found, at_a_time in ((alone, 1), (together, cores())):
                seconds, rows, samples = timed(sweep_of, at_a_time, quick)
                found.append(samples / seconds)
                if found is alone:
                    expected = rows
            assert rows.equals(expected)
        one, all_cores = pd.Series(alone), pd.Series(together)
        ratio = all_cores / one
        name = f"{sweep_of[0]}, {sweep_of[3]} runs of {sweep_of[4]} epochs"
        cells = [spread(one), spread(all_cores), spread(ratio, ".2f")]
        table.append([name, str(sweep_of[1]), *cells])
        bounds.append((f"{sweep_of[0]}, batch {sweep_of[1]}", ratio.median(), sweep_of[5]))
    header = ["sweep", "batch", "one by one", f"on {cores()} cores", "times"]
    print("Samples per second of the whole sweep: median (smallest–largest) of the rounds.\n")
    print_table(header, table)
    for bound in bounds:
        print_bound(*bound)


if __name__ == "__main__":
    main()
