"""Helpers for notebooks about epochs, batch size, iterations and early stopping.

Every public name imports from here; `__init__.pyi` lists them. Names resolve on first use, so
`import epochlab` loads neither TensorFlow nor matplotlib, and works where they are missing.
"""

from typing import Any

import lazy_loader

from ._extras import needed_by

__version__ = "0.1.0"
_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    with needed_by(f"epochlab.{name}"):
        return _attribute(name)
