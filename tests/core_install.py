"""What a core install can do, and what it says of the rest: run where only the core is there."""

import doctest
import importlib

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
        assert str(error).startswith(f"epochlab.{name} needs "), error
        assert str(error).endswith(('pip install "epochlab[keras]"', '"epochlab[notebooks]"')), error
assert missing["train"] == 'epochlab.train needs keras: pip install "epochlab[keras]"'
assert missing["plot_dots"] == 'epochlab.plot_dots needs matplotlib: pip install "epochlab[notebooks]"'

core = {"TrainingPlan", "Patience", "AnyOf", "Warmup", "replay", "interval", "share", "claim"}
assert not core & missing.keys(), core & missing.keys()
