"""Slow drift, which the seasonal band follows: the last week against the weeks before it."""

from collections import deque
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dataspoke.quality.detectors.band import Range, deviation
from dataspoke.quality.detectors.calibration import Calibration
from dataspoke.quality.detectors.seasonality import Pattern
from dataspoke.quality.detectors.watches import Direction

Floats = NDArray[np.float64]

WEEK_POINTS = 7
_BEFORE_POINTS = 28
_SPAN = WEEK_POINTS + _BEFORE_POINTS
# From the middle of the weeks before to the middle of the last, and to the newest point.
_TO_WEEK = _SPAN / 2
_TO_POINT = (_BEFORE_POINTS - 1) / 2 + WEEK_POINTS
_LEAST_PAST = 7
# A drift that is under way must not widen its own limit: differences wait so long.
_WAITING_POINTS = 14
# Few weeks that overlap say little of how far one may lie apart. Where points are independent it
# is this part of what a single one may: the mean of 7 less the median of 28 has the variance
# 1/7 + π/2/28, a point less the median of 7 has 1 + π/2/7.
_SHARE_OF_REACH = 0.5
# More often than about daily, seven points are no week.
_SHORTEST_STEP_S = 0.75 * 86_400


class Drift:
    """Judges the mean of the last seven points by the median of the twenty-eight before them.

    Both are seasonless and freed of the trend. How far they may lie apart is calibrated on the
    past of the same difference. It has nothing to say of series with more than about a point a
    day.
    """

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._recent: deque[float] = deque(maxlen=_SPAN - 1)
        self._pattern: Pattern | None = None
        self._calibration = Calibration()
        self._waiting: deque[float] = deque()

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants beside the pattern."""
        return {
            "recent": list(self._recent),
            "calibration": self._calibration.state(),
            "waiting": list(self._waiting),
        }

    @classmethod
    def restored(
        cls, state: dict[str, Any], pattern: Pattern | None, direction: Direction
    ) -> "Drift":
        self = cls(direction)
        self._pattern = pattern
        self._recent.extend(state["recent"])
        self._calibration = Calibration.restored(state["calibration"])
        self._waiting.extend(state["waiting"])
        return self

    def settle(self, pattern: Pattern, times_s: Floats, values: Floats) -> None:
        """Take over what the accepted points repeat."""
        self._pattern = pattern
        if pattern.step_s < _SHORTEST_STEP_S:
            return
        seasonless = pattern.seasonless(times_s, values)
        self._recent = deque(seasonless[-_SPAN + 1 :].tolist(), maxlen=_SPAN - 1)
        found: list[float] = []
        if len(seasonless) >= _SPAN:
            windows = sliding_window_view(seasonless, _SPAN)
            week = np.mean(windows[:, _BEFORE_POINTS:], axis=1)
            before = np.median(windows[:, :_BEFORE_POINTS], axis=1)
            found = (week - before - pattern.slope * _TO_WEEK).tolist()
        past = [deviation(one, self._direction) for one in found]
        self._calibration = Calibration(past[:-_WAITING_POINTS])
        self._waiting = deque(past[-_WAITING_POINTS:])

    def forget(self) -> None:
        """Begin anew after a level shift."""
        self._recent.clear()
        self._waiting.clear()

    def add(self, time_s: float, value: float, excused: tuple[float, float]) -> None:
        """Accept a point into the past, less what the day of the month ``excused``."""
        if self._pattern is None or self._pattern.step_s < _SHORTEST_STEP_S:
            return
        value -= self._pattern.season(time_s)
        if len(self._recent) == _SPAN - 1:
            ahead = self._before() + self._pattern.slope * _TO_POINT
            value -= min(max(value - ahead, excused[0]), excused[1])
            difference = self._week(value) - self._before() - self._pattern.slope * _TO_WEEK
            self._waiting.append(deviation(difference, self._direction))
            if len(self._waiting) > _WAITING_POINTS:
                self._calibration.add(self._waiting.popleft())
        self._recent.append(value)

    def range(
        self,
        time_s: float,
        rate: float,
        excused: tuple[float, float],
        reach: float,
        least: float,
    ) -> Range | None:
        """Return where the next point keeps the week's mean within what a healthy one leaves at
        ``rate``; None where there is too little past.

        The seasonal band's ``reach``, for single points, and what it ``excused`` are of use here;
        ``least`` is the smallest change that matters.
        """
        if self._pattern is None or len(self._recent) < _SPAN - 1:
            return None
        if len(self._calibration) + len(self._waiting) < _LEAST_PAST:
            return None
        season = self._pattern.season(time_s)
        before, slope = self._before(), self._pattern.slope
        # One drift is in as many weeks that overlap, so that it is counted once.
        half = self._calibration.quantile(min(WEEK_POINTS * rate, 0.5))
        half = max(half, _SHARE_OF_REACH * reach, least)
        middle = WEEK_POINTS * (before + slope * _TO_WEEK - self._week(0.0)) + season
        return Range(
            before + slope * _TO_POINT + season,
            middle - WEEK_POINTS * half + excused[0],
            middle + WEEK_POINTS * half + excused[1],
        )

    def _week(self, newest: float) -> float:
        days = list(self._recent)[1 - WEEK_POINTS :]
        return (sum(days) + newest) / WEEK_POINTS

    def _before(self) -> float:
        ordered = sorted(list(self._recent)[:_BEFORE_POINTS])
        half = _BEFORE_POINTS // 2
        return (ordered[half - 1] + ordered[half]) / 2
