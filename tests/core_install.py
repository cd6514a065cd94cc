"""What a core install can do, and what it says of the rest: run where only the core is there."""

import doctest
import importlib
import re

import epochlab

# TensorFlow is not there, so these modules must do without it in every example.
for module in ("steps", "evidence", "stopping.rules", "stopping.replay", "stopping.reports"):
    tried = doctest.testmod(importlib.import_module(f"epochlab.{module}"))
    assert tried.attempted and not tried.failed, module

missing = {}
for name in epochlab.__all__:
    try:
        getattr(epochlab, name)
    except ImportError as error:
        missing[name] = str(error)
assert missing["train"] == 'epochlab.train needs keras: pip install "epochlab[keras]"'
for name, message in missing.items():
    assert re.fullmatch(rf'epochlab.{name} needs \w+: pip install "epochlab\[\w+\]"', message)

core = {"TrainingPlan", "Patience", "AnyOf", "Warmup", "replay", "interval", "share", "claim"}
assert not core & missing.keys(), core & missing.keys()
