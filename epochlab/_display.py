"""How a claim is shown: as two lines of text, in Jupyter as Markdown with all that is known."""

import math
import re
import sys
from typing import Any

import numpy as np

CLAIM_MIME = "application/vnd.epochlab.claim+json"


def written(value: Any) -> str:
    """`value` as people write it: small arrays as lists, [3] for [np.int64(3)]."""
    if hasattr(value, "__array__") and np.size(value) <= 20:
        value = np.asarray(value).tolist()
    return re.sub(r"np\.(?:u?int|float)\d+\((.*?)\)", r"\1", str(value))


def written_numbers(*values: float) -> list[str]:
    """Numbers with three digits, or with as many as it takes to tell them apart.

    >>> written_numbers(97.83, 97.81, 97.85), written_numbers(0.5, 1234)
    (['97.83', '97.81', '97.85'], ['0.5', '1230'])
    """
    digits, width = 3, max(values) - min(values)
    if 0 < width < math.inf:
        largest = max(map(abs, values))
        digits = max(digits, math.floor(math.log10(largest)) - math.floor(math.log10(width)) + 2)
    # Rounded first, then written out: 1230 rather than 1.23e+03.
    return [f"{float(f'{value:.{digits}g}'):.15g}" for value in values]


def show(text: str, measured: str, payload: dict[str, Any], **more: Any) -> None:
    """Display `text` and below it, in one line, what was measured; in Jupyter with the payload."""
    text, line = (" ".join(words.split()) for words in (text, f"measured {measured}"))
    if jupyter() is None:  # a script or a plain terminal
        print(f"{text}\n{line}")
        return
    markdown = f"{_markdown(text)}  \n<small>*{_markdown(line)}*</small>"
    data = {"text/plain": text, "text/markdown": markdown}
    known = payload | {"measured": measured} | more
    sys.modules["IPython"].display.display(data | {CLAIM_MIME: known}, raw=True)


def jupyter() -> Any:
    """Return the shell of the notebook that runs this, `None` outside of one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if getattr(shell, "kernel", None) is not None else None


def _markdown(text: str) -> str:
    """`text` with no sign left that Markdown, HTML or TeX would take for its own."""

    def entity(match: re.Match[str]) -> str:
        code = f"&#{ord(match[0])};"
        # MathJax reads the page, where entities are signs again; a tag of its own stops it.
        return f"<span>{code}</span>" if match[0] in "$\\" else code

    # All of ASCII but letters, digits, blanks, commas, semicolons and decimal points.
    return re.sub(r"[!-+\-/:<-@\[-`{-~]|(?<!\d)\.|\.(?!\d)", entity, text)
