"""From deviations to false-alarm rates, by the series' own past deviations."""

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

# The heaviest tail that still has a mean to be estimated by, with room to spare.
_HEAVIEST = 0.9
# As many deviations as this in the tail count for as much as the assumption of a plain one.
_PLAIN_TAIL_POINTS = 20
# The tail is fitted anew when the past has grown by this part of it.
_REFIT_SHARE = 50
# So many of the largest deviations are kept one by one, and so many others stand for the rest.
_MOST_LARGE = 512
_MOST_OTHERS = 256


def _rounded(number: float) -> float:
    """Return a number of single precision: what is kept takes half the room, and stays the same."""
    return float(np.float32(number))


class RunningMedian:
    """The median of all that was added, from a few hundred numbers that stand for the rest."""

    def __init__(self) -> None:
        self._ordered: list[float] = []
        self._stride = 1
        self._passed_over = 0

    def state(self) -> list[Any]:
        """Return what ``restored`` wants."""
        return [np.array(self._ordered, dtype=np.float32), self._stride, self._passed_over]

    @classmethod
    def restored(cls, state: list[Any]) -> "RunningMedian":
        self = cls()
        ordered, self._stride, self._passed_over = state
        self._ordered = ordered.tolist()
        return self

    @property
    def value(self) -> float:
        """0 where nothing was added."""
        return self._ordered[len(self._ordered) // 2] if self._ordered else 0.0

    def add(self, number: float) -> None:
        self._passed_over += 1
        if self._passed_over < self._stride:
            return
        self._passed_over = 0
        insort(self._ordered, _rounded(number))
        if len(self._ordered) > _MOST_LARGE:
            # Every second, the median among them.
            self._ordered = self._ordered[::2]
            self._stride *= 2


@dataclass(frozen=True, slots=True)
class _Tail:
    """The largest deviations: where they begin, which share they are, and how they thin out."""

    start: float
    share: float
    scale: float
    shape: float

    def beyond(self, deviation: float) -> float:
        """Return the share of deviations larger than this one, which lies above ``start``."""
        distance = (deviation - self.start) / self.scale
        if self.shape <= 0:
            return self.share * math.exp(-distance)
        return self.share * math.exp(-math.log1p(self.shape * distance) / self.shape)

    def quantile(self, rate: float) -> float:
        """Return the deviation that is exceeded at ``rate``, which is below ``share``."""
        rarer = math.log(self.share / rate)
        if self.shape <= 0:
            return self.start + self.scale * rarer
        return self.start + self.scale * math.expm1(self.shape * rarer) / self.shape


class Calibration:
    """Tells how rare a deviation is among past ones.

    Within the past the answer is the conformal p-value, (1 + deviations at least as large) /
    (n + 1) (Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005). Beyond
    the bulk of the past a rank says no more than "rarer than 1 / n", so that there the tail is
    continued by a generalised Pareto one over the largest deviations, as in peaks over threshold
    (Siffer et al., *Anomaly Detection in Streams with Extreme Value Theory*, 2017). It is fitted
    by probability-weighted moments (Hosking and Wallis, *Parameter and Quantile Estimation for
    the Generalized Pareto Distribution*, 1987), its shape drawn towards 0, an exponential tail,
    where the past is short.

    However long the past, no more than 768 numbers are kept: the largest exactly, and of the
    others every second, fourth, … one: ranks are the more precise the rarer a deviation is
    (the idea of Cormode et al., *Relative Error Streaming Quantiles*, 2021).
    """

    def __init__(self, deviations: Iterable[float] = ()) -> None:
        self._large: list[float] = sorted(map(_rounded, deviations))
        self._others: list[float] = []
        self._stride = 1
        self._passed_over = 0
        self._count = len(self._large)
        self._make_room()
        self._fit()

    def __len__(self) -> int:
        return self._count

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants."""
        return {
            "large": np.array(self._large, dtype=np.float32),
            "others": np.array(self._others, dtype=np.float32),
            "stride": self._stride,
            "passed_over": self._passed_over,
            "count": self._count,
            "next_fit": self._next_fit,
            "tail": [self._tail.start, self._tail.share, self._tail.scale, self._tail.shape],
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Calibration":
        self = cls.__new__(cls)
        self._large = state["large"].tolist()
        self._others = state["others"].tolist()
        self._stride = state["stride"]
        self._passed_over = state["passed_over"]
        self._count = state["count"]
        self._next_fit = state["next_fit"]
        self._tail = _Tail(*state["tail"])
        return self

    def add(self, deviation: float) -> None:
        deviation = _rounded(deviation)
        self._count += 1
        if self._others and deviation < self._large[0]:
            self._thin([deviation])
        else:
            insort(self._large, deviation)
            self._make_room()
        if self._count >= self._next_fit:
            self._fit()

    def _make_room(self) -> None:
        if len(self._large) > _MOST_LARGE:
            surplus = len(self._large) - _MOST_LARGE // 2
            self._thin(self._large[:surplus])
            del self._large[:surplus]

    def _thin(self, ordered: list[float]) -> None:
        first = self._stride - 1 - self._passed_over
        self._passed_over = (self._passed_over + len(ordered)) % self._stride
        for deviation in ordered[first :: self._stride]:
            insort(self._others, deviation)
        while len(self._others) > _MOST_OTHERS:
            self._others = self._others[1::2]
            self._stride *= 2

    def _fit(self) -> None:
        count = self._count
        self._next_fit = count + 1 + count // _REFIT_SHARE
        size = min(count // 2, max(20, count // 10), _MOST_LARGE // 2) if count > 1 else count
        start = self._large[-size - 1] if len(self._large) > size else 0.0
        if self._others and len(self._large) <= size:
            start = self._others[-1]
        excess = np.array(self._large[len(self._large) - size :]) - start
        mean = float(np.mean(excess)) if size else 0.0
        shape = 0.0
        if mean > 0:
            weight = 1 - (np.arange(1, size + 1) - 0.35) / size
            # 1/2 for an exponential tail, more where the larger ones are further apart.
            spread = 1 - 2 * float(np.mean(weight * excess)) / mean
            shape = 2 - 1 / spread if spread > 0 else 0.0
            shape = min(max(shape, 0.0), _HEAVIEST) * size / (size + _PLAIN_TAIL_POINTS)
        self._tail = _Tail(start, size / (count + 1), mean * (1 - shape), shape)

    def p_value(self, deviation: float) -> float:
        """Return the chance of a deviation at least this large, above 0 up to 1."""
        if not self._count:
            return 1.0
        if deviation <= self._tail.start:
            larger = len(self._large) - bisect_left(self._large, deviation)
            if self._others and deviation <= self._others[-1]:
                beyond = len(self._others) - bisect_left(self._others, deviation)
                larger = min(larger + self._stride * beyond, self._count)
            return (1 + larger) / (self._count + 1)
        if self._tail.scale <= 0:
            return 1 / (self._count + 1)
        return self._tail.beyond(deviation)

    def quantile(self, rate: float) -> float:
        """Return the deviation that is exceeded at ``rate``; 0 where nothing ever deviated."""
        if not self._count:
            return 0.0
        if rate < self._tail.share:
            return self._tail.quantile(rate)
        larger = self._count - min(self._count - 1, math.ceil((1 - rate) * self._count))
        if larger <= len(self._large):
            return self._large[-larger]
        rank = math.ceil((larger - len(self._large)) / self._stride)
        return self._others[-min(rank, len(self._others))]
