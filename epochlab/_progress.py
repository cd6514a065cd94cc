"""How far a long piece of work is: seen by whoever waits for it, and gone when it is done."""

from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

from ._display import jupyter


def progress(**settings: Any) -> AbstractContextManager[Any]:
    """Return tqdm's bar, with tqdm's `settings`; `update(n)` moves it on. No trace of it stays.

    It shows in a terminal and in a notebook that a person runs. It shows nothing elsewhere, so in
    a notebook that a program executes, and nothing where tqdm is not installed.
    """
    try:
        from tqdm import tqdm
    except ImportError:  # the slim core does without
        return nullcontext(SimpleNamespace(update=lambda n=1: None))

    class Bar(tqdm):
        monitor_interval = 0  # no thread, for whose sake models would be built twice

    file = _Cell() if _in_notebook() else None  # None is stderr, and that must be a terminal
    return Bar(file=file, disable=None, leave=False, **settings)


class _Cell:
    """A file whose last line shows below the running cell: what goes to stderr would be saved."""

    def __init__(self) -> None:
        self._shown, self._handle = "", None

    def write(self, text: str) -> None:
        if (text := text.strip()) == self._shown:
            return
        self._shown, data = text, {"text/plain": text} if text else {}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def _in_notebook() -> bool:
    """Whether a person runs this cell: only then can it ask for input."""
    message: dict[str, Any] = getattr(jupyter(), "get_parent", dict)()
    return bool(message.get("content", {}).get("allow_stdin"))
