"""How new a point is to its series: the score, which is high where a fault begins."""

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice
from operator import mul
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dataspoke.quality.detectors.band import LEVEL_POINTS, deviation
from dataspoke.quality.detectors.calibration import Calibration, RunningMedian
from dataspoke.quality.detectors.forest import Forest
from dataspoke.quality.detectors.seasonality import Pattern, fit_pattern
from dataspoke.quality.detectors.watches import Direction

Floats = NDArray[np.float64]

# Half a day of points five minutes apart, six days of hourly ones: what a point, and the mean of
# a few, are held against.
_BEFORE = 144
# A handful of points tells a burst from a single one, three dozen a shift from a burst.
_FEW = 6
_MANY = 36
_RECENT = _BEFORE + _MANY
# From so many points on, a rank among them says anything.
_LEAST_PAST = 14
# A fault fades for a day of points, within these bounds.
_LEAST_FADING = 144
_MOST_FADING = 288
_DAY_S = 86_400.0
_FADED = 0.5
# The forest costs hundredths of a second: a new one waits until the past has grown by half.
_FOREST_LEAST_POINTS = 100
_FOREST_GROWTH = 1.5
# It looks at the same numbers as the others, and is the less sure of what is new the longer its
# last fit is ago.
_FOREST_WEIGHT = 0.25
_FARTHEST = 1e6
_RAREST = 1e-300


def features(seasonless: Floats, flat: float) -> Floats:
    """Return a row for each point from position ``_RECENT`` on, shape (n - _RECENT, 7).

    The columns: the point; the logarithm of the last few's standard deviation, to which
    ``flat`` is added (above 0); the point, the mean
    of the last few and that of the last many against the median of the points before each; the
    step from the last point; the point against the median of the seven before it.
    """
    count = len(seasonless) - _RECENT
    point = seasonless[_RECENT:]

    def windows(width: int, ending_before: int) -> Floats:
        begin = _RECENT - ending_before - width + 1
        return sliding_window_view(seasonless, width)[begin : begin + count]

    few = windows(_FEW, 0)
    return np.column_stack(
        [
            point,
            np.log(np.std(few, axis=1) + flat),
            point - np.median(windows(_BEFORE, 1), axis=1),
            np.mean(few, axis=1) - np.median(windows(_BEFORE, _FEW), axis=1),
            np.mean(windows(_MANY, 0), axis=1) - np.median(windows(_BEFORE, _MANY), axis=1),
            point - seasonless[_RECENT - 1 : -1],
            point - np.median(windows(7, 1), axis=1),
        ]
    )


def flatness(seasonless: Floats) -> float:
    """Return what is to be added to the spread of a few points, above 0."""
    spread = np.std(sliding_window_view(seasonless, _FEW), axis=1)
    usual = max(float(np.median(spread)), 0.01 * float(np.mean(spread)))
    return _FLAT * usual + 1e-9 * float(np.mean(np.abs(seasonless))) + 1e-300


def _newest_features(seasonless: Floats, flat: float) -> list[float]:
    """Return the only row of ``features`` for an array of ``_RECENT`` + 1, ten times as fast."""
    few = seasonless[-_FEW:].tolist()
    point, mean = few[-1], sum(few) / _FEW
    variance = sum((one - mean) ** 2 for one in few) / _FEW
    return [
        point,
        math.log(math.sqrt(variance) + flat),
        point - _median_before(seasonless, 1),
        mean - _median_before(seasonless, _FEW),
        float(seasonless[-_MANY:].sum()) / _MANY - _median_before(seasonless, _MANY),
        point - few[-2],
        point - sorted(seasonless[-8:-1].tolist())[3],
    ]


def _median_before(seasonless: Floats, last: int) -> float:
    middle = _BEFORE // 2
    end = len(seasonless) - last
    ordered = np.partition(seasonless[end - _BEFORE : end], (middle - 1, middle))
    return float(ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True, slots=True)
class Look:
    """A point against the past. ``score`` is 0 or more: 1 is as rare as the past can prove."""

    past: Floats
    seasonless: float
    uncentred: list[float]
    deviations: list[float]
    isolation: float | None
    surprise: float
    score: float


# The first columns are calibrated each by itself; the forest is given all.
_CALIBRATED = 5
# Of the other columns 0 is the usual value; these are held against their median.
_UNCENTRED = 2
# A spread of less than a tenth of the usual is flat: there its logarithm goes to no end.
_FLAT = 0.1


class Novelty:
    """The ensemble behind the score.

    Five statistics of the seasonless series (see ``features``) and an Isolation Forest over these
    and two more each say how rare the point is among all that it has seen in this series, as
    -log10 of the calibrated p-value; their mean, in which the forest counts a quarter, is the
    surprise. Half of the largest surprise of the last day is taken off (at most half of the point's
    own), so that a fault stands out where it begins and fades while it lasts. What remains is
    divided by log10 of the length of the past: a surprise counts as much as a past of that length
    can prove it.

    Faults stay in the memory of the ranks and in the medians of the season, unlike in those of the
    expected range: the question is whether the like has been seen before, so that what returns
    again and again becomes usual. The forest is fitted to accepted points alone, and left out where
    the series is not worth it.
    """

    def __init__(self, direction: Direction, *, forest: bool = True) -> None:
        self._direction = direction
        self._with_forest = forest
        self._times_s: deque[float] = deque(maxlen=_RECENT)
        self._values: deque[float] = deque(maxlen=_RECENT)
        self._seasonless = np.zeros(_RECENT)
        self._pattern: Pattern | None = None
        self._centres = [RunningMedian() for _ in range(_UNCENTRED)]
        self._flat = 1e-300
        self._scales = np.ones(7)
        self._ranks = [Calibration() for _ in range(_CALIBRATED)]
        self._forest: Forest | None = None
        self._forest_ranks = Calibration()
        self._next_forest = _FOREST_LEAST_POINTS
        self._surprises: deque[float] = deque(maxlen=_MOST_FADING)
        self._count = 0

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants."""
        return {
            "times_s": np.array(self._times_s),
            "values": np.array(self._values),
            "seasonless": self._seasonless,
            "pattern": self._pattern and self._pattern.state(),
            "centres": [centre.state() for centre in self._centres],
            "flat": self._flat,
            "scales": self._scales,
            "ranks": [ranks.state() for ranks in self._ranks],
            "forest": self._forest and self._forest.state(),
            "forest_ranks": self._forest_ranks.state(),
            "next_forest": self._next_forest,
            "surprises": np.array(self._surprises),
            "count": self._count,
        }

    @classmethod
    def restored(
        cls, state: dict[str, Any], direction: Direction, *, forest: bool = True
    ) -> "Novelty":
        self = cls(direction, forest=forest)
        self._times_s.extend(state["times_s"].tolist())
        self._values.extend(state["values"].tolist())
        self._seasonless = state["seasonless"]
        self._pattern = state["pattern"] and Pattern.restored(state["pattern"])
        self._centres = [RunningMedian.restored(one) for one in state["centres"]]
        self._flat = state["flat"]
        self._scales = state["scales"]
        self._ranks = [Calibration.restored(one) for one in state["ranks"]]
        self._forest = state["forest"] and Forest.restored(state["forest"])
        self._forest_ranks = Calibration.restored(state["forest_ranks"])
        self._next_forest = state["next_forest"]
        self._surprises.extend(state["surprises"].tolist())
        self._count = state["count"]
        return self

    def settle(self, times_s: Floats, values: Floats, accepted: NDArray[np.bool_]) -> None:
        """Estimate anew what the newest points repeat, and which of them are alike."""
        pattern = self._pattern = fit_pattern(times_s, values, LEVEL_POINTS, len(values))
        recent = pattern.seasonless(np.array(self._times_s), np.array(self._values))
        self._seasonless = _padded(recent)[-_RECENT:]
        seasonless = pattern.seasonless(times_s, values)
        self._flat = flatness(seasonless)
        if not self._with_forest or self._count < self._next_forest:
            return
        self._next_forest = math.ceil(self._count * _FOREST_GROWTH)
        rows = features(_padded(seasonless), self._flat)[accepted]
        rows[:, :_UNCENTRED] -= [centre.value for centre in self._centres]
        scales = np.median(np.abs(rows), axis=0)
        self._scales = np.where(scales > 0, scales, 1.0)
        self._forest = Forest.fit(np.clip(rows / self._scales, -_FARTHEST, _FARTHEST))

    def look(self, time_s: float, value: float) -> Look:
        """Return how new a point would be, from what has been added before."""
        if self._pattern is not None:
            value -= self._pattern.season(time_s)
        past = self._seasonless if self._count else np.full(_RECENT, value)
        row = _newest_features(np.append(past, value), self._flat)
        uncentred = row[:_UNCENTRED]
        for column, centre in enumerate(self._centres):
            row[column] -= centre.value if len(self._ranks[0]) else row[column]
        deviations = [deviation(one, self._direction) for one in row[:_CALIBRATED]]
        isolation = None
        if self._forest is not None:
            scaled = np.clip(np.array(row) / self._scales, -_FARTHEST, _FARTHEST)
            isolation = self._forest.score(scaled)
        if len(self._ranks[0]) < _LEAST_PAST:
            return Look(past, value, uncentred, deviations, isolation, 0.0, 0.0)
        rarity = [r.p_value(d) for r, d in zip(self._ranks, deviations, strict=True)]
        if isolation is not None and len(self._forest_ranks) >= _LEAST_PAST:
            rarity.append(self._forest_ranks.p_value(isolation))
        rare = [-math.log10(max(p, _RAREST)) for p in rarity]
        weights = [1.0] * _CALIBRATED + [_FOREST_WEIGHT] * (len(rare) - _CALIBRATED)
        surprise = sum(map(mul, rare, weights)) / sum(weights)
        fading = islice(reversed(self._surprises), self._fading_points())
        fresh = surprise - _FADED * min(surprise, max(fading, default=0.0))
        score = fresh / math.log10(self._count + 30)
        return Look(past, value, uncentred, deviations, isolation, surprise, score)

    def add(self, time_s: float, value: float, look: Look) -> None:
        """Remember a point that was looked at just before."""
        # Before it is known what repeats, and how flat is flat, nothing is to be remembered.
        if self._pattern is not None:
            for ranks, one in zip(self._ranks, look.deviations, strict=True):
                ranks.add(one)
            for centre, one in zip(self._centres, look.uncentred, strict=True):
                centre.add(one)
        if look.isolation is not None:
            self._forest_ranks.add(look.isolation)
        self._times_s.append(time_s)
        self._values.append(value)
        self._seasonless = np.append(look.past[1:], look.seasonless)
        self._surprises.append(look.surprise)
        self._count += 1

    def _fading_points(self) -> int:
        step_s = self._pattern.step_s if self._pattern is not None else 0.0
        day = _DAY_S / step_s if step_s > 0 else 0.0
        return round(min(max(day, _LEAST_FADING), _MOST_FADING))


def _padded(seasonless: Floats) -> Floats:
    """Return the series with its first value before it, so that each point has a past."""
    return np.concatenate([np.full(_RECENT, seasonless[0]), seasonless])
