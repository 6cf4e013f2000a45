"""The Prophet band: a second opinion where the seasonal band finds a point outside."""

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataspoke.quality.detectors.band import Range, deviation
from dataspoke.quality.detectors.calibration import Calibration
from dataspoke.quality.detectors.prophet_forecast import Forecast, fit
from dataspoke.quality.detectors.watches import Direction

Floats = NDArray[np.float64]

_LEAST_POINTS = 60
# A fit costs some 50 ms, so that a new one waits until the past has grown by half.
_GROWTH = 1.5
_MOST_POINTS = 730
_SHORTEST_STEP_S = 0.5 * 86_400
_RECENT_POINTS = 28
# A forecast whose errors are larger than the band's by this has nothing to add.
_LARGEST_ERROR = 1.5


class ProphetBand:
    """Prophet's forecast from the past it was last fitted to, calibrated on its errors.

    The fit waits until somebody asks: what is observed till then is remembered and followed up,
    so that it makes no difference when that is.
    """

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._next_fit = _LEAST_POINTS
        self._times_s: Floats = np.empty(0)
        self._values: Floats = np.empty(0)
        self._forecast: Forecast | None = None
        self._unfollowed: list[tuple[float, float, float]] = []
        self._calibration = Calibration()
        self._errors: deque[float] = deque(maxlen=_RECENT_POINTS)
        self._band_errors: deque[float] = deque(maxlen=_RECENT_POINTS)

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants."""
        return {
            "next_fit": self._next_fit,
            "times_s": self._times_s,
            "values": self._values,
            "forecast": self._forecast and self._forecast.state(),
            "unfollowed": [list(one) for one in self._unfollowed],
            "calibration": self._calibration.state(),
            "errors": list(self._errors),
            "band_errors": list(self._band_errors),
        }

    @classmethod
    def restored(cls, state: dict[str, Any], direction: Direction) -> "ProphetBand":
        self = cls(direction)
        self._next_fit = state["next_fit"]
        self._times_s = state["times_s"]
        self._values = state["values"]
        self._forecast = state["forecast"] and Forecast.restored(state["forecast"])
        self._unfollowed = [
            (time_s, value, missed) for time_s, value, missed in state["unfollowed"]
        ]
        self._calibration = Calibration.restored(state["calibration"])
        self._errors.extend(state["errors"])
        self._band_errors.extend(state["band_errors"])
        return self

    def due(self, accepted: int) -> bool:
        """Tell whether a past of so many accepted points wants a new fit."""
        return accepted >= self._next_fit

    def settle(self, times_s: Floats, values: Floats, accepted: int) -> None:
        """Forecast from these accepted points on; ``accepted`` counts them, old ones too."""
        self.forget()
        self._next_fit = math.ceil(accepted * _GROWTH)
        times_s, values = times_s[-_MOST_POINTS:], values[-_MOST_POINTS:]
        if np.median(np.diff(times_s)) >= _SHORTEST_STEP_S:
            self._times_s, self._values = times_s, values

    def forget(self) -> None:
        """Have no opinion until there is a new past: no fit outlives the level it was made for."""
        self._next_fit = _LEAST_POINTS
        self._times_s = self._values = np.empty(0)
        self._forecast = None
        self._unfollowed = []
        self._calibration = Calibration()
        self._errors.clear()
        self._band_errors.clear()

    def range(self, time_s: float, rate: float) -> Range | None:
        """Return the range that a healthy point leaves at ``rate``, None without an opinion."""
        self._catch_up()
        if self._forecast is None or not self._band_errors:
            return None
        if np.median(self._errors) > _LARGEST_ERROR * np.median(self._band_errors):
            return None
        expected = self._forecast.at(time_s)
        half = self._calibration.quantile(rate)
        return Range(expected, expected - half, expected + half)

    def add(self, time_s: float, value: float, missed: float) -> None:
        """Learn of an accepted point, which the seasonal band missed by so much."""
        if not len(self._times_s) and self._forecast is None:
            return
        self._unfollowed.append((time_s, value, missed))
        if self._forecast is not None or len(self._unfollowed) >= _MOST_POINTS:
            self._catch_up()

    def _catch_up(self) -> None:
        if self._forecast is None:
            if not len(self._times_s):
                return
            self._forecast, fitted = fit(self._times_s, self._values)
            differences = (self._values - fitted).tolist()
            self._calibration = Calibration(deviation(d, self._direction) for d in differences)
            self._errors.extend(abs(d) for d in differences)
            self._times_s = self._values = np.empty(0)
        for time_s, value, missed in self._unfollowed:
            difference = value - self._forecast.at(time_s)
            self._calibration.add(deviation(difference, self._direction))
            self._errors.append(abs(difference))
            self._band_errors.append(missed)
        self._unfollowed = []
