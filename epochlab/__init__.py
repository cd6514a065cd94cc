"""Helpers for notebooks about epochs, batch size, iterations and early stopping.

Every public name imports from here; `__init__.pyi` lists them. Names resolve on first use, so
`import epochlab` loads neither TensorFlow nor matplotlib.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
