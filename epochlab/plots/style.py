"""One look for every figure, readable at notebook width and described in words."""

import html
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .._arguments import instance
from .._display import jupyter

# Okabe and Ito's palette, told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, PINK, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
AMBER, BLACK = "#E69F00", "#000000"
DESCRIPTION = "Description of the figure"  # what opens it

_STYLE = {
    "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.labelsize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "figure.figsize": (8, 3.4),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "legend.frameon": False,
    "lines.linewidth": 2,
}


def set_style() -> None:
    """Give every following figure the collection's look and, in Jupyter, a description.

    Changes `matplotlib.rcParams`; in Jupyter it also switches to inline figures. `describe` of
    their axes is stored as the metadata `alt` of the picture and shown below it, folded, since
    JupyterLab, VS Code and nbconvert do not read out what is stored.

    >>> with plt.rc_context():  # so that the look ends with the example
    ...     set_style()
    ...     plt.rcParams["axes.spines.top"]
    False
    """
    plt.style.use(_STYLE)
    shell = jupyter()
    if shell is None:
        return
    from IPython.display import display

    shell.run_line_magic("matplotlib", "inline")  # sets the formatter that is wrapped here
    # Twice the pixels at the same size.
    shell.run_line_magic("config", "InlineBackend.figure_formats = ['retina']")
    formatter = shell.display_formatter.formatters["image/png"]
    picture = formatter.lookup_by_type(Figure)

    def show_with_description(figure: Figure) -> None:
        data, metadata = picture(figure)
        alt = " ".join(filter(None, map(describe, figure.axes))) or "A figure."
        shown = {"image/png": data, "text/plain": repr(figure)}
        display(shown, metadata={"image/png": metadata | {"alt": alt}}, raw=True)
        folded = f"<details><summary>{DESCRIPTION}</summary>{html.escape(alt)}</details>"
        display({"text/html": folded}, raw=True)

    # The formatter of what shows itself; what it shows, no other one does.
    shell.display_formatter.ipython_display_formatter.for_type(Figure, show_with_description)


def describe(ax: Axes) -> str:
    """Return the alt text of `ax`: its own label if it has one, else what it shows, in words.

    The words name the title, the axes with their units, and for each labelled line its ends and a
    turn between them, the same for scattered dots, for a row of dots its mean, for bars their
    lengths, for a line across the whole axes its place. Areas and error bars are left out.

    >>> _, ax = plt.subplots()
    >>> _ = ax.plot([1, 2, 3], [0.9, 0.5, 0.4], label="training")
    >>> _ = ax.set(title="Loss falls", xlabel="epoch", ylabel="loss")
    >>> describe(ax)
    'Loss falls. loss against epoch. training: from 0.9 at 1 to 0.4 at 3.'
    >>> plt.close()
    """
    instance("ax", ax, Axes, "Axes of matplotlib")
    if ax.get_label() and ax.get_label() != "<colorbar>":  # Matplotlib's word, nobody's own
        return str(ax.get_label())
    sentences = [ax.get_title(loc) for loc in ("left", "center", "right")]
    axis_labels = filter(None, (ax.get_ylabel(), ax.get_xlabel()))
    sentences.append(" against ".join(axis_labels))
    category = ax.xaxis.get_major_formatter()
    named = category if isinstance(category, StrCategoryFormatter) else "{:.4g}".format
    for line in ax.get_lines():
        shown = _line(ax, line, named)
        if shown and not str(line.get_label()).startswith("_"):
            sentences.append(f"{line.get_label()}: {shown}")
    for dots in ax.collections:
        if isinstance(dots, PathCollection) and not str(dots.get_label()).startswith("_"):
            drawn = np.ma.compress_rows(np.ma.masked_invalid(dots.get_offsets()))
            if not len(drawn):
                continue
            x, y = drawn.T
            order = np.argsort(x, kind="stable")
            in_row = np.ptp(y) == 0 and named is not category
            shown = f"mean {x.mean():.3g}" if in_row else _course(x[order], y[order], named)
            sentences.append(f"{dots.get_label()}: {len(x)} dots, {shown}")
    for bars in ax.containers:
        if isinstance(bars, BarContainer) and not str(bars.get_label()).startswith("_"):
            flat = bars.orientation == "horizontal"
            lengths = (bar.get_width() if flat else bar.get_height() for bar in bars.patches[:12])
            sentences.append(f"{bars.get_label()}: {', '.join(map('{:.3g}'.format, lengths))}")
    text = " ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence)
    return text.replace("\n", ", ")


def _line(ax: Axes, line: Line2D, named: Callable[[float], str]) -> str:
    """Return a line's course, or its place if it runs across the axes; "" if neither is known."""
    x, y = np.asarray(line.get_data(orig=False), float)
    transform = line.get_transform()
    # Of axhline: its x are fractions of the axes.
    if transform is ax.get_yaxis_transform() and len(set(y)) == 1:
        return f"a horizontal line at {y[0]:.3g}"
    if transform is ax.get_xaxis_transform() and len(set(x)) == 1:
        return f"a vertical line at {named(x[0])}"
    in_data = transform.contains_branch(ax.transData)
    return _course(x, y, named) if in_data and len(x) > 1 else ""


def _course(x: np.ndarray, y: np.ndarray, named: Callable[[float], str]) -> str:
    """Return where a curve begins and ends, and where it is well beyond both."""
    finite = np.isfinite(y)
    if not finite.any():
        return "never finite"
    then = "" if finite[-1] else ", then NaN"
    x, y = x[finite], y[finite]
    course = f"from {y[0]:.3g} at {named(x[0])} to {y[-1]:.3g} at {named(x[-1])}"
    for name, sign in (("lowest", -1), ("highest", 1)):
        if max(sign * y) > max(sign * y[[0, -1]]) + 0.05 * np.ptp(y):
            at = np.argmax(sign * y)
            course += f", {name} {y[at]:.3g} at {named(x[at])}"
    return course + then
