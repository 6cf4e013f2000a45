"""Judging a series point by point, each against the points before it only."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from dataspoke.quality.detectors.band import Band, Range, deviation
from dataspoke.quality.detectors.calibration import Calibration
from dataspoke.quality.detectors.prophet_forecast import forecast
from dataspoke.quality.detectors.watches import Direction, Watch
from dataspoke.quality.model import Judgement, Point, Status

Floats = NDArray[np.float64]

# About one point in a thousand of a healthy series is called a fault: with two daily metrics one
# false alarm per dataset in a year and a half.
FALSE_ALARM_RATE = 0.001
WARM_UP_POINTS = 28
ADOPT_AFTER_POINTS = 14

_PROPHET_LEAST_POINTS = 60
# A fit costs some 50 ms, so that a new one waits until the past has grown by half.
_PROPHET_GROWTH = 1.5
_PROPHET_MOST_POINTS = 730
_PROPHET_SHORTEST_STEP_S = 0.5 * 86_400
_PROPHET_RECENT_POINTS = 28
# A forecast whose errors are larger than the band's by this has nothing to add.
_PROPHET_LARGEST_ERROR = 1.5


@dataclass(slots=True)
class _Seen:
    """A point as the band saw it; ``band`` is None where there was too little past."""

    index: int
    time_s: float
    value: float
    band: Range | None
    accepted: bool


@dataclass(slots=True)
class _Stretch:
    """Points from one fit of Prophet to the next, and the past that fit may see."""

    times_s: Floats
    values: Floats
    seen: list[_Seen]


def judge(
    points: Sequence[Point],
    watch: Watch,
    *,
    start: int = 0,
    rate: float = FALSE_ALARM_RATE,
    season_times: Sequence[datetime] | None = None,
    probes: Collection[int] = (),
) -> list[Judgement]:
    """Return a judgement for each of ``points[start:]``, in order, each from its past alone.

    ``rate`` is the share of healthy points that may be called faults. A point's expected range
    comes from the seasonal robust band over the accepted points before it. Where the series is
    daily or sparser and at least sixty points long, Prophet (fitted only to earlier accepted
    points) is asked too, unless its recent errors are much the larger: then a point fails only
    where it lies outside both, and the range shown spans both. A point FAILs exactly where it
    lies outside ``low`` and ``high``.

    Points outside the band are not accepted: no later baseline sees them, except that what comes
    again on the same day of the next month, counted from its end in the last week, is no surprise
    (daily and sparser series). The plain rule for a new normal: after fourteen such points in a row
    on the same side, these become the past. The first twenty-eight usable points, and values that
    are not finite, are WARMING_UP.

    ``season_times`` are the times that decide the season, the points' own by default. Points at
    the positions ``probes`` are judged and are no part of any other point's past.
    """
    times = season_times if season_times is not None else [p.time for p in points]
    seen, stretches = _watch_band(points, times, watch, rate, probes)
    prophet: dict[int, Range] = {}
    for stretch in stretches:
        if stretch.seen and stretch.seen[-1].index >= start:
            prophet |= _ask_prophet(stretch, watch.direction, rate)
    by_index = {s.index: s for s in seen}
    return [
        _verdict(point, watch, by_index.get(i), prophet.get(i))
        for i, point in enumerate(points[start:], start)
    ]


def _watch_band(
    points: Sequence[Point],
    times: Sequence[datetime],
    watch: Watch,
    rate: float,
    probes: Collection[int],
) -> tuple[list[_Seen], list[_Stretch]]:
    band = Band(watch.direction)
    all_seen: list[_Seen] = []
    stretches: list[_Stretch] = []
    outside: list[_Seen] = []
    warm = False
    for index, (point, time) in enumerate(zip(points, times, strict=True)):
        if not math.isfinite(point.value):
            continue
        seen = _Seen(index, time.timestamp(), _measure(point.value, watch), None, accepted=True)
        warm = warm or len(band) >= WARM_UP_POINTS
        if warm:
            seen.band = band.judge(seen.time_s, seen.value, rate)
            low, high = _limits(seen.band, watch)
            seen.accepted = low <= point.value <= high
        all_seen.append(seen)
        if stretches:
            stretches[-1].seen.append(seen)
        if index in probes:
            seen.accepted = False
            continue
        if seen.accepted:
            outside.clear()
            band.add(seen.time_s, seen.value)
            due = len(stretches[-1].times_s) * _PROPHET_GROWTH if stretches else 0
            if len(band) >= max(_PROPHET_LEAST_POINTS, due):
                stretches.append(_Stretch(*band.past, []))
            continue
        band.refuse(seen.time_s, seen.value, rate, opens=not outside)
        if outside and _side(seen) != _side(outside[-1]):
            outside.clear()
        outside.append(seen)
        if len(outside) == ADOPT_AFTER_POINTS:
            band.adopt([s.time_s for s in outside], [s.value for s in outside])
            outside.clear()
            # No fit of Prophet outlives the level it was made for.
            stretches.append(_Stretch(np.empty(0), np.empty(0), []))
    return all_seen, stretches


def _side(seen: _Seen) -> bool:
    return seen.band is not None and seen.value > seen.band.expected


def _ask_prophet(stretch: _Stretch, direction: Direction, rate: float) -> dict[int, Range]:
    """Return Prophet's range for each point of the stretch at which it is worth hearing."""
    times_s, values = (a[-_PROPHET_MOST_POINTS:] for a in (stretch.times_s, stretch.values))
    if len(times_s) < _PROPHET_LEAST_POINTS:
        return {}
    if np.median(np.diff(times_s)) < _PROPHET_SHORTEST_STEP_S:
        return {}
    later = np.array([s.time_s for s in stretch.seen])
    fitted, expected = forecast(times_s, values, later)
    missed = [deviation(d, direction) for d in (values - fitted).tolist()]
    errors = np.abs(values - fitted).tolist()
    band_errors: list[float] = []
    calibration = Calibration(np.array(missed))
    ranges = {}
    for seen, centre in zip(stretch.seen, expected.tolist(), strict=True):
        if seen.band is None:
            continue
        difference = seen.value - centre
        recent = slice(-_PROPHET_RECENT_POINTS, None)
        ours = np.median(band_errors[recent]) if band_errors else math.inf
        if np.median(errors[recent]) <= _PROPHET_LARGEST_ERROR * ours:
            half = calibration.quantile(rate)
            p_value = calibration.p_value(deviation(difference, direction))
            ranges[seen.index] = Range(centre, centre - half, centre + half, p_value)
        if seen.accepted:
            calibration.add(deviation(difference, direction))
            errors.append(abs(difference))
            band_errors.append(abs(seen.value - seen.band.expected))
    return ranges


def _measure(value: float, watch: Watch) -> float:
    if watch.floor is not None:
        value = max(value, watch.floor)
    return math.log1p(value) if watch.relative else value


def _unmeasure(value: float, watch: Watch) -> float:
    # Beyond 700 the exponential overflows; a value there is out of any range already.
    return math.expm1(min(value, 700.0)) if watch.relative else value


def _limits(span: Range, watch: Watch) -> tuple[float, float]:
    """Return the least and the largest value that pass, in the metric's unit."""
    expected = _unmeasure(span.expected, watch)
    reach = max(watch.least_change, watch.least_share * abs(expected))
    low = min(_unmeasure(span.low, watch), expected - reach)
    high = max(_unmeasure(span.high, watch), expected + reach)
    if watch.direction is Direction.HIGH:
        low = -math.inf
    if watch.floor is not None:
        low, high = max(low, watch.floor), max(high, watch.floor)
    return low, high


def _verdict(point: Point, watch: Watch, seen: _Seen | None, prophet: Range | None) -> Judgement:
    detector = "seasonal-band"
    if seen is None or seen.band is None:
        return Judgement(point, Status.WARMING_UP, detector)
    low, high = _limits(seen.band, watch)
    p_value = seen.band.p_value
    if prophet is not None:
        detector = "seasonal-band+prophet"
        prophet_low, prophet_high = _limits(prophet, watch)
        low, high = min(low, prophet_low), max(high, prophet_high)
        p_value = max(p_value, prophet.p_value)
    return Judgement(
        point,
        Status.PASS if low <= point.value <= high else Status.FAIL,
        detector,
        expected=min(max(_unmeasure(seen.band.expected, watch), low), high),
        low=low,
        high=high,
        score=1 - p_value,
    )
