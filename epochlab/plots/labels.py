"""Lines named at their ends, where the eye already is: no legend to look up."""

from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Affine2D, IdentityTransform

from .._arguments import instance

_LINE_HEIGHT = 1.3  # of the font's size


def axes(ax: Axes | None, **settings: Any) -> Axes:
    """Return the axes to draw on: those given, or those of a new figure with these settings."""
    if ax is None:
        return plt.subplots(**settings)[1]
    instance("ax", ax, Axes, "Axes of matplotlib")
    return ax


def wrap(name: str) -> str:
    """Break a long name into lines that leave most of the figure to what it shows."""
    return fill(name, 24)


def dark(color: Any) -> tuple[float, ...]:
    """Return the colour for text: that of a light line or dot would be hard to read on white."""
    return tuple(0.7 * part for part in to_rgb(color))


def keep_inside(ax: Axes) -> None:
    """Let the figure make room for what is written beside the axes."""
    if isinstance(ax.figure, Figure) and ax.figure.get_layout_engine() is None:
        ax.figure.set_layout_engine("constrained")


class EndLabel(Annotation):
    """A line's name right of the axes, as close to the line's end as the other names let it be.

    Where that is shows only when the figure is drawn: until then its axes may still change.
    """

    def __init__(self, ax: Axes, text: str, end: tuple[float, float], color: Any) -> None:
        self._ax, self._end = ax, end  # NaN for a line without a point: its name is at the top
        leader = {"arrowstyle": "-", "color": color, "linestyle": ":", "relpos": (0, 0.5)}
        super().__init__(
            wrap(text),
            xy=(0, 0),
            xycoords=lambda renderer: Affine2D().translate(*self._end_in_axes()),
            xytext=(0, 0),
            textcoords=self._place,
            arrowprops=leader | {"shrinkB": 0} if np.isfinite(end).all() else None,
            transform=IdentityTransform(),  # at (0, 0) of the data, a log axis leaves text out
            clip_on=False,
            color=dark(color),
            va="center",
        )
        ax.add_artist(self)
        keep_inside(ax)

    def _end_in_axes(self) -> np.ndarray:
        box = self._ax.bbox
        end = np.nan_to_num(self._ax.transData.transform(self._end), nan=box.y1)
        return np.clip(end, box.min, box.max)

    def _place(self, renderer: Any) -> Affine2D:
        """Move the name right of the axes, at least half of both heights from any other."""
        from scipy.optimize import isotonic_regression  # slow to import

        box = self._ax.bbox
        labels = [text for text in self._ax.texts if isinstance(text, EndLabel)]
        labels.sort(key=lambda label: label._end_in_axes()[1])
        heights = [
            renderer.points_to_pixels(float(label.get_fontsize()) * _LINE_HEIGHT)
            * (1 + label.get_text().count("\n"))
            for label in labels
        ]
        stacked = np.cumsum(heights) - np.array(heights) / 2  # their centres, without gaps
        gaps = [label._end_in_axes()[1] for label in labels] - stacked
        lowest, highest = box.y0, box.y1 - sum(heights)
        if lowest > highest:  # more names than the axes are high: beyond both ends alike
            lowest = highest = (lowest + highest) / 2
        centres = stacked + np.clip(isotonic_regression(gaps).x, lowest, highest)
        right = box.x1 + renderer.points_to_pixels(8)
        return Affine2D().translate(right, centres[labels.index(self)])
