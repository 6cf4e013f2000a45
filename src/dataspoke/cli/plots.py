"""Pictures of judged series."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataspoke.quality.model import Judgement, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (14.0, 4.5)
_DOTS_PER_INCH = 110
# A picture of more panels than this shows the first ones: larger ones are refused by viewers.
_MOST_PANELS = 40
_VALUE, _RANGE, _EXPECTED, _ALERT = "#1f4e79", "#9ecae1", "#6baed6", "#c0392b"
# The length of an axis must be a number too.
_LARGEST = 1e100
# So few points are told apart.
_DOTTED_POINTS = 400


@dataclass(frozen=True, slots=True)
class Panel:
    """A series for a picture: judgements in order of time, and the points that raised alerts."""

    title: str
    judged: Sequence[Judgement]
    alerts: Sequence[Point]


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write a PNG of values, expected ranges and alerts over time, a panel for each series.

    Where there is no range, or no value, the picture has a gap. Beyond forty panels the others
    are left out.
    """
    # Late, for the import takes half a second; without a window, on any machine.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = panels[:_MOST_PANELS]
    width, height = _INCHES
    figure = Figure((width, height * len(shown)), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, axes in zip(shown, figure.subplots(len(shown), squeeze=False)[:, 0], strict=True):
        _draw_panel(panel, axes)
    figure.savefig(path, format="png")


def _draw_panel(panel: Panel, axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    times = _times([judgement.point for judgement in panel.judged])
    low, high, expected, values = (
        _drawable(numbers)
        for numbers in (
            [judgement.low for judgement in panel.judged],
            [judgement.high for judgement in panel.judged],
            [judgement.expected for judgement in panel.judged],
            [judgement.point.value for judgement in panel.judged],
        )
    )
    dots = "." if len(times) < _DOTTED_POINTS else ""
    axes.fill_between(times, low, high, color=_RANGE, alpha=0.6, lw=0, label="expected range")
    axes.plot(times, expected, color=_EXPECTED, lw=0.6)
    axes.plot(times, values, color=_VALUE, lw=0.8, marker=dots, ms=4, label="value")
    axes.plot(
        _times(panel.alerts),
        _drawable([point.value for point in panel.alerts]),
        "o",
        color=_ALERT,
        ms=6,
        label=f"alerts ({len(panel.alerts)})",
    )
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.margins(x=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(panel.title, loc="left", fontsize=11)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=3)


def _drawable(numbers: Sequence[float | None]) -> NDArray[np.float64]:
    plain = [np.nan if number is None else number for number in numbers]
    return np.array(plain).clip(-_LARGEST, _LARGEST)


def _times(points: Sequence[Point]) -> NDArray[np.datetime64]:
    return np.array([p.time.astimezone(UTC).replace(tzinfo=None) for p in points], "datetime64[us]")
