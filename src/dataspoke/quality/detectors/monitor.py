"""A monitor: one series judged point by point, whose models can be stored between points."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np

from dataspoke.quality.detectors.band import Band, Range
from dataspoke.quality.detectors.drift import Drift
from dataspoke.quality.detectors.encoding import decode, encode
from dataspoke.quality.detectors.exclusions import NOTHING_EXCLUDED, Exclusions
from dataspoke.quality.detectors.novelty import Look, Novelty
from dataspoke.quality.detectors.prophet_band import ProphetBand
from dataspoke.quality.detectors.watches import Direction, Watch
from dataspoke.quality.model import FeedbackKind, Judgement, Point, Status

# About one point in a thousand of a healthy series is called a fault: with two daily metrics one
# false alarm per dataset in a year and a half.
FALSE_ALARM_RATE = 0.001
WARM_UP_POINTS = 28
ADOPT_AFTER_POINTS = 14

# Rises whenever the same history would make another state, or the same state another judgement.
STATE_VERSION = 2
# What is larger is none in single precision.
_LARGEST = 1e30

NO_FEEDBACK: Mapping[datetime, FeedbackKind] = MappingProxyType({})


class StaleState(ValueError):
    """A stored state that this version, or this watch, cannot go on from: replay the history."""


@dataclass(slots=True)
class _Failing:
    """Failing points in a row on one side of the range, and what a person said of them."""

    above: bool
    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Whether a point is accepted, what the band forecast, and what it was held against."""

    accepted: bool
    forecast: float
    usual: float


class SeriesMonitor:
    """Judges each point of a series from those before it alone.

    ``rate`` is the share of healthy points that may be called faults (see ``FalseAlarmBudget``).

    **Range.** The seasonal robust band over the accepted points gives the expected range. Where
    the series is daily or sparser and at least sixty points long, Prophet is asked too, unless its
    recent errors are much the larger: a point fails the band only where it lies outside both. A
    point fails as well where it moves the last week away from the weeks before (daily and sparser
    series). It FAILs exactly where it lies outside ``low`` and ``high``.

    **Score.** How new the point is to its series, from 0 to below 1 (see ``Novelty``): 0.9 is a
    surprise as rare as the past can prove. It is highest where a fault begins.

    **Learning.** Points that fail are not accepted: no later range sees them, except that what
    comes again on the same day of the next month, counted from its end in the last week, is no
    surprise (daily and sparser series). The rule for a new normal: after fourteen such points in a
    row on the same side, these become the past. The first twenty-eight usable points, and values
    that are not finite, are WARMING_UP. What ``exclusions`` cover is neither judged nor learned
    from; its status is WARMING_UP too, which neither opens nor ends an alert.

    **Feedback** is what persons said of points, by their times. It changes what is learned from
    the point on, and not the judgement of the point: FALSE_POSITIVE accepts it, and those that
    fail with it in a row; REAL keeps these out for good, never to become the new normal;
    EXPECTED_CHANGE makes the level from the point on the new normal at once.
    """

    def __init__(
        self,
        watch: Watch,
        rate: float = FALSE_ALARM_RATE,
        *,
        exclusions: Exclusions = NOTHING_EXCLUDED,
        feedback: Mapping[datetime, FeedbackKind] = NO_FEEDBACK,
    ) -> None:
        self._watch = watch
        self._rate = rate
        self._exclusions = exclusions
        self._feedback = feedback
        self._band = Band(watch.direction)
        self._drift = Drift(watch.direction)
        self._prophet = ProphetBand(watch.direction)
        self._novelty = Novelty(watch.direction, forest=watch.thorough)
        self._warm = False
        self._failing: _Failing | None = None
        self._said: FeedbackKind | None = None
        self._latest: Judgement | None = None
        self._failing_since: datetime | None = None
        self._fitted_at: datetime | None = None

    @property
    def latest(self) -> Judgement | None:
        """The judgement of the newest point that was observed; None where that was only learned."""
        return self._latest

    @property
    def failing_since(self) -> datetime | None:
        """The time of the first of the observed points that fail in a row up to the newest."""
        return self._failing_since

    @property
    def fitted_at(self) -> datetime | None:
        """The time of the point at which season and trend were estimated last."""
        return self._fitted_at

    def state(self) -> bytes:
        """Return the models as they are now, at most 64 KB, for ``restore``."""
        failing = self._failing
        return encode(
            {
                "version": STATE_VERSION,
                "watch": _described(self._watch),
                "warm": self._warm,
                "said": self._said,
                "latest": self._latest and _plain(self._latest),
                "failing_since": _text(self._failing_since),
                "fitted_at": _text(self._fitted_at),
                "failing": failing and [failing.above, failing.times_s, failing.values],
                "band": self._band.state(),
                "drift": self._drift.state(),
                "prophet": self._prophet.state(),
                "novelty": self._novelty.state(),
            }
        )

    @classmethod
    def restore(
        cls,
        state: bytes,
        watch: Watch,
        rate: float = FALSE_ALARM_RATE,
        *,
        exclusions: Exclusions = NOTHING_EXCLUDED,
        feedback: Mapping[datetime, FeedbackKind] = NO_FEEDBACK,
    ) -> "SeriesMonitor":
        """Return the monitor that goes on where that one stood.

        Raises StaleState for a state of another version or watch, and for bytes that are none.
        Feedback on points, and exclusions of points, that were observed before the state was
        taken come too late: after such a change the history is to be replayed.
        """
        try:
            tree = decode(state)
        except ValueError as error:
            raise StaleState(f"The stored state cannot be read: {error}.") from error
        if tree.get("version") != STATE_VERSION or tree.get("watch") != _described(watch):
            raise StaleState("The stored state is of another version or another watch.")
        self = cls(watch, rate, exclusions=exclusions, feedback=feedback)
        self._warm = tree["warm"]
        self._said = tree["said"] and FeedbackKind(tree["said"])
        self._latest = tree["latest"] and _judgement(tree["latest"])
        self._failing_since = _moment(tree["failing_since"])
        self._fitted_at = _moment(tree["fitted_at"])
        self._failing = tree["failing"] and _Failing(*tree["failing"])
        self._band = Band.restored(tree["band"], watch.direction)
        self._drift = Drift.restored(tree["drift"], self._band.pattern, watch.direction)
        self._prophet = ProphetBand.restored(tree["prophet"], watch.direction)
        self._novelty = Novelty.restored(tree["novelty"], watch.direction, forest=watch.thorough)
        return self

    def observe(self, point: Point, season_time: datetime | None = None) -> Judgement:
        """Return the judgement of the next point, and learn from it.

        ``season_time`` is the time that decides its season, its own by default.
        """
        judgement = self._next(point, season_time, asked=True)
        self._latest = judgement
        if judgement.status is Status.FAIL:
            self._failing_since = self._failing_since or point.time
        elif judgement.status is Status.PASS:
            self._failing_since = None
        return judgement

    def learn(self, point: Point, season_time: datetime | None = None) -> None:
        """Learn from the next point as ``observe`` does, only cheaper: nobody asks for Prophet."""
        self._next(point, season_time, asked=False)
        self._latest = self._failing_since = None

    def probe(self, point: Point, season_time: datetime | None = None) -> Judgement:
        """Return what the judgement of this point would be, and forget it."""
        if not self._usable(point):
            return self._unjudged(point)
        time_s, value = self._measured(point, season_time)
        if not self._is_warm():
            return self._unjudged(point)
        look = self._novelty.look(time_s, value)
        return self._judged(point, time_s, look, asked=True)[0]

    def _next(self, point: Point, season_time: datetime | None, *, asked: bool) -> Judgement:
        if not self._usable(point):
            return self._unjudged(point)
        time_s, value = self._measured(point, season_time)
        look = self._novelty.look(time_s, value)
        said = self._feedback.get(point.time)
        if not self._is_warm():
            self._novelty.add(time_s, value, look)
            self._accept(point.time, time_s, value, None)
            return self._unjudged(point)
        judgement, seen = self._judged(point, time_s, look, asked=asked)
        self._novelty.add(time_s, value, look)
        missed = abs(value - seen.forecast)
        if said is FeedbackKind.EXPECTED_CHANGE:
            self._failing = self._said = None
            self._adopt([time_s], [value])
        elif seen.accepted and said is not FeedbackKind.REAL:
            self._failing = self._said = None
            self._accept(point.time, time_s, value, missed)
        else:
            self._said = said or self._said
            self._refuse(point.time, time_s, value, above=value > seen.usual, missed=missed)
        return judgement

    def _refuse(
        self, time: datetime, time_s: float, value: float, *, above: bool, missed: float
    ) -> None:
        if self._said is FeedbackKind.FALSE_POSITIVE:
            self._accept(time, time_s, value, missed)
            return
        if self._said is FeedbackKind.REAL:
            return
        opens = self._failing is None
        self._band.refuse(time_s, value, self._rate, opens=opens)
        if self._failing is None or self._failing.above != above:
            self._failing = _Failing(above)
        self._failing.times_s.append(time_s)
        self._failing.values.append(value)
        if len(self._failing.values) == ADOPT_AFTER_POINTS:
            self._adopt(self._failing.times_s, self._failing.values)
            self._failing = None

    def _accept(self, time: datetime, time_s: float, value: float, missed: float | None) -> None:
        if missed is not None:
            self._prophet.add(time_s, value, missed)
        self._drift.add(time_s, value, self._band.excused(time_s))
        settled = self._band.add(time_s, value)
        accepted, pattern = len(self._band), self._band.pattern
        if settled and pattern is not None:
            self._fitted_at = time
            self._drift.settle(pattern, *self._band.past)
            self._novelty.settle(*self._band.everything)
        if self._watch.thorough and self._warm and self._prophet.due(accepted):
            self._prophet.settle(*self._band.past, accepted)

    def _adopt(self, times_s: list[float], values: list[float]) -> None:
        self._band.adopt(times_s, values)
        self._drift.forget()
        self._prophet.forget()

    def _drift_range(self, time_s: float, band: Range) -> Range | None:
        expected = _unmeasure(band.expected, self._watch)
        least = _least_reach(expected, self._watch)
        return self._drift.range(
            time_s,
            self._rate,
            self._band.excused(time_s),
            self._band.reach(self._rate),
            _measure(expected + least, self._watch) - _measure(expected, self._watch),
        )

    def _usable(self, point: Point) -> bool:
        return math.isfinite(point.value) and not self._exclusions.cover(point.time)

    def _is_warm(self) -> bool:
        self._warm = self._warm or len(self._band) >= WARM_UP_POINTS
        return self._warm

    def _measured(self, point: Point, season_time: datetime | None) -> tuple[float, float]:
        time = point.time if season_time is None else season_time
        return time.timestamp(), _measure(point.value, self._watch)

    def _unjudged(self, point: Point) -> Judgement:
        excluded = self._exclusions.cover(point.time)
        return Judgement(point, Status.WARMING_UP, "excluded" if excluded else "seasonal-band")

    def _judged(
        self, point: Point, time_s: float, look: Look, *, asked: bool
    ) -> tuple[Judgement, _Seen]:
        detector = "seasonal-band"
        band = self._band.range(time_s, self._rate)
        low, high = _limits(band, self._watch)
        usual = band.expected
        accepted = low <= point.value <= high
        prophet = self._prophet.range(time_s, self._rate) if asked else None
        if prophet is not None:
            detector = "seasonal-band+prophet"
            also_low, also_high = _limits(prophet, self._watch)
            low, high = min(low, also_low), max(high, also_high)
        drift = self._drift_range(time_s, band)
        if drift is not None and low <= point.value <= high:
            also_low, also_high = _cut(
                _unmeasure(drift.low, self._watch), _unmeasure(drift.high, self._watch), self._watch
            )
            if also_low <= point.value <= also_high:
                low, high = max(low, also_low), min(high, also_high)
            else:
                detector = "drift"
                accepted = False
                low, high = also_low, also_high
                usual = drift.expected
        judgement = Judgement(
            point,
            Status.PASS if low <= point.value <= high else Status.FAIL,
            detector,
            expected=min(max(_unmeasure(usual, self._watch), low), high),
            low=low,
            high=high,
            score=1 - 10**-look.score,
        )
        return judgement, _Seen(accepted, band.expected, usual)


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _plain(judgement: Judgement) -> list[Any]:
    span = (judgement.expected, judgement.low, judgement.high, judgement.score)
    # An array, for JSON knows no infinity; NaN stands for None.
    numbers = np.array([judgement.point.value, *(math.nan if n is None else n for n in span)])
    return [_text(judgement.point.time), judgement.status, judgement.detector, numbers]


def _judgement(plain: list[Any]) -> Judgement:
    time, status, detector, numbers = plain
    value, *span = numbers.tolist()
    found = [None if math.isnan(number) else number for number in span]
    return Judgement(Point(datetime.fromisoformat(time), value), Status(status), detector, *found)


def _described(watch: Watch) -> list[Any]:
    return [watch.direction.value, watch.floor, watch.cap, watch.relative]


def _measure(value: float, watch: Watch) -> float:
    if watch.floor is not None:
        value = max(value, watch.floor)
    if watch.cap is not None:
        value = min(value, watch.cap)
    return math.log1p(value) if watch.relative else min(max(value, -_LARGEST), _LARGEST)


def _unmeasure(value: float, watch: Watch) -> float:
    # Beyond 700 the exponential overflows; a value there is out of any range already.
    return math.expm1(min(value, 700.0)) if watch.relative else value


def _least_reach(expected: float, watch: Watch) -> float:
    """Return how large a change from an expected value must be at least, in the metric's unit."""
    return max(watch.least_change, watch.least_share * abs(expected))


def _limits(span: Range, watch: Watch) -> tuple[float, float]:
    """Return the least and the largest value that pass, in the metric's unit."""
    expected = _unmeasure(span.expected, watch)
    reach = _least_reach(expected, watch)
    return _cut(
        min(_unmeasure(span.low, watch), expected - reach),
        max(_unmeasure(span.high, watch), expected + reach),
        watch,
    )


def _cut(low: float, high: float, watch: Watch) -> tuple[float, float]:
    """Return limits without the side that does not matter, within what there can be."""
    if watch.direction is Direction.HIGH:
        low = -math.inf
    if watch.direction is Direction.LOW:
        high = math.inf
    if watch.cap is not None:
        low, high = min(low, watch.cap), min(high, watch.cap)
    if watch.floor is not None:
        low, high = max(low, watch.floor), max(high, watch.floor)
    return low, high
