"""What a core install can do, and what it says of the rest: run where only the core is there."""

import doctest
import importlib
import re

import epochlab

MODULES = ("steps", "evidence", "stopping.rules", "stopping.replay", "stopping.following")
NAMES = {"TrainingPlan", "Patience", "AnyOf", "Warmup", "replay", "interval", "share", "claim"}


def main() -> None:
    for module in MODULES:
        tried = doctest.testmod(importlib.import_module(f"epochlab.{module}"))
        assert tried.attempted and not tried.failed, module

    missing = {}
    for name in epochlab.__all__:
        try:
            getattr(epochlab, name)
        except ImportError as error:
            missing[name] = str(error)
    assert not NAMES & missing.keys(), NAMES & missing.keys()
    assert missing["train"] == 'epochlab.train needs keras: pip install "epochlab[keras]"'
    for name, message in missing.items():
        assert re.fullmatch(rf'epochlab.{name} needs \w+: pip install "epochlab\[\w+\]"', message)


if __name__ == "__main__":
    main()
