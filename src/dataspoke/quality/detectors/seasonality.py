"""Season, trend and level of the past, robust against the odd wild point."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Floats = NDArray[np.float64]

_DAY_S = 86_400.0
_CANDIDATES_S = (_DAY_S, 7 * _DAY_S)
_LEAST_CYCLES = 3
_MOST_CYCLES = 16
_MOST_POSITIONS = 8192
# A season must take this share off the error it is meant to explain, or it is noise.
_LEAST_GAIN = 0.1


@dataclass(frozen=True, slots=True)
class Pattern:
    """What the past repeats. ``profile`` holds one offset for each phase, empty for no season.

    ``origin_s`` is the time of phase 0 and ``step_s`` the usual distance of two points;
    ``slope`` is the trend for one step. ``deviations`` are the past's distances from one-step
    forecasts, each made without the cycle it lies in: shape (n,), signed, oldest first.
    """

    origin_s: float
    step_s: float
    profile: Floats
    slope: float
    deviations: Floats

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants: all but the deviations, which are of use once."""
        return {
            "origin_s": self.origin_s,
            "step_s": self.step_s,
            "profile": self.profile,
            "slope": self.slope,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Pattern":
        return cls(**state, deviations=np.empty(0))

    def season(self, time_s: float) -> float:
        if not len(self.profile):
            return 0.0
        position = round((time_s - self.origin_s) / self.step_s)
        return float(self.profile[position % len(self.profile)])

    def seasonless(self, times_s: Floats, values: Floats) -> Floats:
        """Return these values less their season; the same as one by one."""
        if not len(self.profile):
            return values
        positions = np.rint((times_s - self.origin_s) / self.step_s).astype(np.int64)
        return values - self.profile[positions % len(self.profile)]


def sampling_step(times_s: Floats) -> float:
    """Return the usual distance of two points in seconds, 0 where there is none."""
    steps = np.diff(times_s)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 0.0


def _median_rows(table: Floats) -> Floats:
    """Return each column's median over the rows that are not NaN; NaN where there is none."""
    count = np.sum(~np.isnan(table), axis=0)
    ordered = np.sort(table, axis=0)  # NaN comes last
    columns = np.arange(table.shape[1])
    low = ordered[np.maximum(count - 1, 0) // 2, columns]
    high = ordered[np.minimum(count // 2, table.shape[0] - 1), columns]
    return np.where(count > 0, (low + high) / 2, np.nan)


def _centred_level(values: Floats, width: int) -> Floats:
    """Return the median of the ``width`` points around each, an odd number."""
    return np.asarray(median_filter(values, width, mode="nearest"), dtype=np.float64)


def _trend(values: Floats, width: int) -> float:
    """Return the median change a step, from points ``width`` apart and more (Theil and Sen)."""
    count = len(values)
    if count < 3 * width:
        return 0.0
    lag = count // 2
    # Pairs half the past apart carry nearly all that is known of a slope.
    return float(np.median(values[lag:] - values[: count - lag])) / lag


def forecast_deviations(seasonless: Floats, slope: float, width: int) -> Floats:
    """Return how far each point lies from the level of the ``width`` points before it."""
    if len(seasonless) <= width:
        return np.empty(0)
    windows = sliding_window_view(seasonless[:-1], width)
    ahead = slope * np.arange(width, 0, -1)
    return np.asarray(seasonless[width:] - np.median(windows + ahead, axis=-1), dtype=np.float64)


def _seasonal(
    values: Floats, positions: NDArray[np.int64], period: int
) -> tuple[Floats, Floats, float] | None:
    """Return profile, offsets made without each point's own cycle, and the error's gain."""
    cycles = positions // period
    first, last = int(cycles[0]), int(cycles[-1])
    rows = last - first + 1
    if rows < _LEAST_CYCLES or rows > 2 * _MOST_CYCLES:
        return None
    detrended = values - _centred_level(values, period + 1 - period % 2)
    table = np.full((rows, period), np.nan)
    table[cycles - first, positions % period] = detrended
    profile = _median_rows(table)
    profile = np.where(np.isnan(profile), 0.0, profile)
    left_out = np.empty_like(table)
    for row in range(rows):
        left_out[row] = _median_rows(np.delete(table, row, axis=0))
    offsets = left_out[cycles - first, positions % period]
    known = ~np.isnan(offsets)
    if np.sum(known) < 2 * period:
        return None
    flat = float(np.mean(np.abs(detrended[known] - np.median(detrended[known]))))
    error = float(np.mean(np.abs(detrended[known] - offsets[known])))
    if flat <= 0:
        return None
    return profile, np.where(known, offsets, 0.0), 1 - error / flat


def fit_pattern(times_s: Floats, values: Floats, width: int, settled: int) -> Pattern:
    """Return what repeats in a past of at least two points, oldest first.

    Trend and deviations are those of the newest ``settled`` points, which have one level; the
    season outlives a shift of level.

    A season of a day or a week is taken where it forecasts left-out cycles better than no season
    does. Only the latest cycles are looked at, so that an old habit fades.
    """
    step_s = sampling_step(times_s)
    origin_s = float(times_s[-1])
    best: tuple[Floats, Floats, int] | None = None
    best_gain = _LEAST_GAIN
    start = max(0, len(values) - _MOST_POSITIONS)
    if step_s > 0:
        positions = np.rint((times_s - origin_s) / step_s).astype(np.int64)
        for period_s in _CANDIDATES_S:
            period = round(period_s / step_s)
            if period < 4:
                continue
            begin = int(
                np.searchsorted(positions, -min(_MOST_CYCLES * period, _MOST_POSITIONS), "right")
            )
            if -int(positions[begin]) < _LEAST_CYCLES * period - 1:
                continue
            found = _seasonal(values[begin:], positions[begin:], period)
            if found is not None and found[2] > best_gain:
                best = (found[0], found[1], begin)
                best_gain = found[2] + _LEAST_GAIN
    if best is None:
        seasonless = values[start:]
        profile: Floats = np.empty(0)
    else:
        profile, offsets, begin = best
        seasonless = values[begin:] - offsets
    seasonless = seasonless[-settled:]
    slope = _trend(seasonless, width)
    return Pattern(origin_s, step_s, profile, slope, forecast_deviations(seasonless, slope, width))
