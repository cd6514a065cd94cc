"""What the slim core lacks, and the command that installs it."""

from collections.abc import Iterator
from contextlib import contextmanager

MODULES = {
    "keras": ("tensorflow", "keras", "pandas", "scipy", "filelock", "tqdm"),
    "notebooks": ("matplotlib", "sklearn", "threadpoolctl", "PIL"),
}


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Let an import inside say, where it fails, how to install what `what` needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        for extra, modules in MODULES.items():
            if module in modules:
                message = f'{what} needs {module}: pip install "epochlab[{extra}]"'
                raise ModuleNotFoundError(message, name=error.name) from error
        raise
