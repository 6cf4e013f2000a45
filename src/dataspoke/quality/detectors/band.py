"""The seasonal robust band: recent level, trend and season, each by medians of the past."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataspoke.quality.detectors.calibration import Calibration
from dataspoke.quality.detectors.months import MonthMemory
from dataspoke.quality.detectors.seasonality import Pattern, fit_pattern
from dataspoke.quality.detectors.watches import Direction

Floats = NDArray[np.float64]

LEVEL_POINTS = 7
# Three weeks of points ten minutes apart, eight years of daily ones.
MOST_POINTS = 3072
# A long past says nothing new before it has grown by this part of it.
_REFIT_SHARE = 25
# So many real incidents may be in any history before its range is doubted.
_FREE_FAILURES = 5
_MOST_OVER_BUDGET = 200
# A day that missed its forecast by no more than one in twenty does has nothing to be remembered.
_USUAL_RATE = 0.05
# What comes more often has no one value for a day of the month.
_SHORTEST_MONTHLY_STEP_S = 0.75 * 86_400


@dataclass(frozen=True, slots=True)
class Range:
    """What a forecast allows, on the scale of measurement."""

    expected: float
    low: float
    high: float


def deviation(difference: float, direction: Direction) -> float:
    """Return how far a point lies on the side that matters, 0 or more."""
    if direction is Direction.BOTH:
        return abs(difference)
    return max(difference if direction is Direction.HIGH else -difference, 0.0)


class Band:
    """A forecast of the next point from the accepted ones, calibrated on their own deviations.

    Season and trend are estimated anew once a cycle, and in a long past when it has grown by a
    twenty-fifth; between that only the level moves.
    """

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._times_s: deque[float] = deque(maxlen=MOST_POINTS)
        self._values: deque[float] = deque(maxlen=MOST_POINTS)
        self._kept: deque[bool] = deque(maxlen=MOST_POINTS)
        self._count = 0
        self._pattern: Pattern | None = None
        self._calibration = Calibration()
        self._level: deque[float] = deque(maxlen=LEVEL_POINTS)
        self._month = MonthMemory()
        self._failures = 0
        self._over_budget: deque[float] = deque(maxlen=_MOST_OVER_BUDGET)
        self._next_fit = 2 * LEVEL_POINTS

    def __len__(self) -> int:
        return self._count

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants."""
        return {
            "times_s": np.array(self._times_s),
            "values": np.array(self._values),
            "kept": np.array(self._kept, dtype=np.int8),
            "count": self._count,
            "pattern": self._pattern and self._pattern.state(),
            "calibration": self._calibration.state(),
            "level": list(self._level),
            "month": self._month.state(),
            "failures": self._failures,
            "over_budget": list(self._over_budget),
            "next_fit": self._next_fit,
        }

    @classmethod
    def restored(cls, state: dict[str, Any], direction: Direction) -> "Band":
        self = cls(direction)
        self._times_s.extend(state["times_s"].tolist())
        self._values.extend(state["values"].tolist())
        self._kept.extend(map(bool, state["kept"].tolist()))
        self._count = state["count"]
        self._pattern = state["pattern"] and Pattern.restored(state["pattern"])
        self._calibration = Calibration.restored(state["calibration"])
        self._level.extend(state["level"])
        self._month = MonthMemory.restored(state["month"])
        self._failures = state["failures"]
        self._over_budget.extend(state["over_budget"])
        self._next_fit = state["next_fit"]
        return self

    @property
    def past(self) -> tuple[Floats, Floats]:
        """Times in seconds and values of the newest accepted points, oldest first.

        Those before a new normal are not among them, but in the ``memory``.
        """
        times_s, values = self.memory
        return times_s[-self._count :], values[-self._count :]

    @property
    def memory(self) -> tuple[Floats, Floats]:
        """As ``past``, with what lies before the latest new normal."""
        times_s, values, kept = self.everything
        return times_s[kept], values[kept]

    @property
    def everything(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """The newest points with the refused ones, and which of them are accepted."""
        return np.array(self._times_s), np.array(self._values), np.array(self._kept, dtype=bool)

    @property
    def pattern(self) -> Pattern | None:
        """What the accepted points repeat, None before enough of them are there."""
        return self._pattern

    def add(self, time_s: float, value: float) -> bool:
        """Accept a point into the past; returns whether season and trend were estimated anew."""
        if self._pattern is not None:
            expected = self._expected(time_s)
            # What a month ago explains is taken off, or it would widen the range of other days.
            low, high = self.excused(time_s)
            self._remember(time_s, value - expected)
            value -= min(max(value - expected, low), high)
            self._calibration.add(deviation(value - expected, self._direction))
        self._append(time_s, value, kept=True)
        self._count += 1
        self._level.append(self._seasonless(time_s, value))
        due = len(self) >= self._next_fit
        if due:
            self._fit()
        return due

    def refuse(self, time_s: float, value: float, rate: float, *, opens: bool) -> None:
        """Keep a point out of the past; ``opens`` marks the first of failing ones in a row.

        What a month from now should know of it is kept. And where a series has had many more
        failures than ``rate`` promises, the range was too narrow for it: each further one widens
        the tail by a deviation as large as the limit that it broke, and no larger.
        """
        self._append(time_s, value, kept=False)
        self._remember(time_s, value - self._expected(time_s))
        if not opens:
            return
        self._failures += 1
        if self._failures > _FREE_FAILURES + 2 * rate * len(self):
            limit = self._calibration.quantile(rate)
            self._over_budget.append(limit)
            self._calibration.add(limit)

    def adopt(self, times_s: list[float], values: list[float]) -> None:
        """Forget the level and the trend for those of these points; the season stays.

        They are the newest ones that were refused, or one that comes next.
        """
        if self._kept and not self._kept[-1] and self._values[-1] == values[-1]:
            adopted = set(values)
            for index in range(1, len(self._kept) + 1):
                if self._kept[-index]:
                    break
                self._kept[-index] = self._values[-index] in adopted
        else:
            self._append(times_s[-1], values[-1], kept=True)
        self._count = len(values)
        cycle = 0
        if self._pattern is not None:
            self._pattern = replace(self._pattern, slope=0.0)
            cycle = len(self._pattern.profile)
        self._restart_level()
        self._next_fit = max(4 * LEVEL_POINTS, 3 * cycle)

    def range(self, time_s: float, rate: float) -> Range:
        """Return the range that a healthy point leaves at ``rate``; needs an accepted point."""
        expected = self._expected(time_s)
        half = self.reach(rate)
        low, high = self.excused(time_s)
        return Range(expected, expected + low - half, expected + high + half)

    def reach(self, rate: float) -> float:
        """Return how far from the forecast a healthy point lies at most, at ``rate``."""
        return self._calibration.quantile(rate)

    def excused(self, time_s: float) -> tuple[float, float]:
        """Return the differences from the forecast, 0 among them, that a month ago explains."""
        excuse = self._month.excuse(time_s, self._calibration.quantile(_USUAL_RATE))
        return min(excuse, 0.0), max(excuse, 0.0)

    def _remember(self, time_s: float, difference: float) -> None:
        if self._pattern is not None and self._pattern.step_s > _SHORTEST_MONTHLY_STEP_S:
            self._month.add(time_s, difference)

    def _append(self, time_s: float, value: float, *, kept: bool) -> None:
        # A clock that ran backwards must not put the past out of order.
        self._times_s.append(max(time_s, self._times_s[-1]) if self._times_s else time_s)
        self._values.append(value)
        self._kept.append(kept)

    def _fit(self) -> None:
        self._pattern = fit_pattern(*self.memory, LEVEL_POINTS, self._count)
        missed = [deviation(d, self._direction) for d in self._pattern.deviations.tolist()]
        self._calibration = Calibration([*missed, *self._over_budget])
        self._restart_level()
        grown = len(self) // _REFIT_SHARE
        self._next_fit = len(self) + max(LEVEL_POINTS, len(self._pattern.profile), grown)

    def _restart_level(self) -> None:
        newest: list[float] = []
        for time_s, value, kept in zip(
            reversed(self._times_s), reversed(self._values), reversed(self._kept), strict=True
        ):
            if len(newest) == min(self._count, LEVEL_POINTS):
                break
            if kept:
                newest.append(self._seasonless(time_s, value))
        self._level = deque(reversed(newest), maxlen=LEVEL_POINTS)

    def _seasonless(self, time_s: float, value: float) -> float:
        return value - (self._pattern.season(time_s) if self._pattern else 0.0)

    def _expected(self, time_s: float) -> float:
        slope = self._pattern.slope if self._pattern else 0.0
        size = len(self._level)
        if not size:
            return 0.0
        ahead = sorted(v + slope * (size - i) for i, v in enumerate(self._level))
        middle = (ahead[(size - 1) // 2] + ahead[size // 2]) / 2
        return middle + (self._pattern.season(time_s) if self._pattern else 0.0)
