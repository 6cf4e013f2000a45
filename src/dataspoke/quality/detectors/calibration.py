"""From deviations to false-alarm rates, by the series' own past deviations."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray


class Calibration:
    """Tells how rare a deviation is among past ones.

    Within the past the answer is the conformal p-value, (1 + deviations at least as large) /
    (n + 1) (Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005). Beyond
    the bulk of the past a rank says no more than "rarer than 1 / n", so that there the tail is
    continued by an exponential one over the largest deviations, as in peaks over threshold
    (Siffer et al., *Anomaly Detection in Streams with Extreme Value Theory*, 2017, shape 0).
    """

    def __init__(self, deviations: NDArray[np.float64]) -> None:
        self._sorted: list[float] = np.sort(deviations).tolist()
        self._tail_size = _tail_size(len(self._sorted))
        self._tail_sum = sum(self._sorted[len(self._sorted) - self._tail_size :])

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, deviation: float) -> None:
        position = bisect_left(self._sorted, deviation)
        self._sorted.insert(position, deviation)
        # The tail's sum is carried along: adding up a tenth of a long past costs too much.
        count = len(self._sorted)
        if position >= count - self._tail_size:
            self._tail_sum += deviation - self._sorted[count - self._tail_size - 1]
        for size in range(self._tail_size + 1, _tail_size(count) + 1):
            self._tail_sum += self._sorted[count - size]
            self._tail_size = size

    def _tail(self) -> tuple[float, float, float]:
        """Return where the tail begins, its mean excess, and the share of the past within it."""
        count, size = len(self._sorted), self._tail_size
        start = self._sorted[count - size - 1] if count > size else 0.0
        return start, self._tail_sum / size - start, size / (count + 1)

    def p_value(self, deviation: float) -> float:
        """Return the chance of a deviation at least this large, above 0 up to 1."""
        if not self._sorted:
            return 1.0
        start, excess, share = self._tail()
        if deviation <= start:
            larger = len(self._sorted) - bisect_left(self._sorted, deviation)
            return (1 + larger) / (len(self._sorted) + 1)
        if excess <= 0:
            return 1 / (len(self._sorted) + 1)
        return float(share * np.exp(-(deviation - start) / excess))

    def quantile(self, rate: float) -> float:
        """Return the deviation that is exceeded at ``rate``; 0 where nothing ever deviated."""
        if not self._sorted:
            return 0.0
        start, excess, share = self._tail()
        if rate < share:
            return float(start + excess * np.log(share / rate))
        count = len(self._sorted)
        return self._sorted[min(count - 1, int(np.ceil((1 - rate) * count)))]


def _tail_size(count: int) -> int:
    return min(count, max(1, min(count // 2, max(20, count // 10))))
