"""What `check_fit` finds."""

import textwrap
from dataclasses import dataclass

MISTAKES = "notebooks/09_silent_mistakes.ipynb"
STOPPING = "notebooks/04_early_stopping.ipynb"


@dataclass(frozen=True)
class Finding:
    """A mistake in a call of `fit`: what will be seen, why, what to do, where it is shown.

    `name` is short and stays the same; `see` is a section of a notebook. Prints as a few lines.

    >>> print(Finding("zero-batches", "Nothing is trained.", "No batch.", "Drop none.", "01#End"))
    zero-batches: Nothing is trained.
      cause: No batch.
      cure:  Drop none.
      see:   01#End
    """

    name: str
    symptom: str
    cause: str
    cure: str
    see: str = f"{MISTAKES}#More-of-them,-one-cell-each"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.symptom}"]
        lines += [f"  cause: {self.cause}", f"  cure:  {self.cure}"]
        wrapped = (textwrap.fill(line, 88, subsequent_indent=" " * 9) for line in lines)
        return "\n".join([*wrapped, f"  see:   {self.see}"])
