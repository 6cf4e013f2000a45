"""From deviations to false-alarm rates, by the series' own past deviations."""

import math
from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The heaviest tail that still has a mean to be estimated by, with room to spare.
_HEAVIEST = 0.9
# As many deviations as this in the tail count for as much as the assumption of a plain one.
_PLAIN_TAIL_POINTS = 20
# The tail is fitted anew when the past has grown by this part of it.
_REFIT_SHARE = 50


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
    """

    def __init__(self, deviations: NDArray[np.float64]) -> None:
        self._sorted: list[float] = np.sort(deviations).tolist()
        self._fit()

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, deviation: float) -> None:
        insort(self._sorted, deviation)
        if len(self._sorted) >= self._next_fit:
            self._fit()

    def _fit(self) -> None:
        count = len(self._sorted)
        self._next_fit = count + 1 + count // _REFIT_SHARE
        size = min(count, max(1, min(count // 2, max(20, count // 10))))
        start = self._sorted[count - size - 1] if count > size else 0.0
        excess = np.array(self._sorted[count - size :]) - start
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
        if not self._sorted:
            return 1.0
        if deviation <= self._tail.start:
            larger = len(self._sorted) - bisect_left(self._sorted, deviation)
            return (1 + larger) / (len(self._sorted) + 1)
        if self._tail.scale <= 0:
            return 1 / (len(self._sorted) + 1)
        return self._tail.beyond(deviation)

    def quantile(self, rate: float) -> float:
        """Return the deviation that is exceeded at ``rate``; 0 where nothing ever deviated."""
        if not self._sorted:
            return 0.0
        if rate < self._tail.share:
            return self._tail.quantile(rate)
        count = len(self._sorted)
        return self._sorted[min(count - 1, math.ceil((1 - rate) * count))]
