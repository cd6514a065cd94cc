"""What runs were made with, and how many can be made side by side."""

import functools
import os
import platform
from pathlib import Path

import keras
import tensorflow as tf

from .. import __version__


def versions() -> dict[str, str]:
    """Return the versions that a folder of runs is bound to."""
    return {"epochlab": __version__, "keras": keras.__version__, "tensorflow": tf.__version__}


def made_by() -> dict[str, str]:
    """Return all that a run's numbers may depend on beside its code and its data."""
    return versions() | {"python": platform.python_version(), "device": device()}


@functools.cache
def device() -> str:
    """Return the names of the processor and of all GPUs that TensorFlow sees."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    gpus = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, gpus)
    devices = [each.get("device_name", "GPU") for each in details]
    return "; ".join([f"{processor}, {cores()} cores", *devices])


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side() -> int:
    """Return how many runs to make at a time: one for each core, but a GPU is for one alone."""
    return 1 if tf.config.list_logical_devices("GPU") else cores()
