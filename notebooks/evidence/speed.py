"""Times an epoch of `fit` by batch size in each world, in turn: python notebooks/evidence/speed.py

Run it on an idle machine. Seconds mean little elsewhere; the ratios in `runs/speed.json` are those
of the device that it names.
"""

import json
import time

import keras
from studies import RUNS

from epochlab.training.machine import made_by
from epochlab.worlds import WORLDS

BATCH_SIZES = {"digits": [4, 32, 256], "photos": [8, 64, 512], "text": [8, 32, 128]}
EPOCHS = {"digits": 10, "photos": 4, "text": 2}  # that are timed in each turn
ROUNDS = 5


def seconds(world: str) -> dict[int, list[float]]:
    """Return how long an epoch took by batch size, once in each round.

    The first epoch of each `fit` is not counted: the call's own start, the same at each batch size,
    is most of an epoch of few batches.
    """
    data = WORLDS[world].data(seed=0)
    models = {batch_size: WORLDS[world].build_model() for batch_size in BATCH_SIZES[world]}
    took: dict[int, list[float]] = {batch_size: [] for batch_size in models}
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    for _ in range(ROUNDS):
        for batch_size, model in models.items():
            ends.clear()
            model.fit(
                data.x_train,
                data.y_train,
                batch_size=batch_size,
                epochs=1 + EPOCHS[world],
                callbacks=[clock],
                verbose=0,
            )
            took[batch_size].append(round((ends[-1] - ends[0]) / EPOCHS[world], 4))
    return took


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    found = {"made_by": made_by(), "seconds": {world: seconds(world) for world in WORLDS}}
    path = RUNS / "speed.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
