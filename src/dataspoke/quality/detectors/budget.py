"""The knob: how many false alarms the owner of a dataset puts up with."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

# What is asked of a point at one false alarm a fortnight, however few points there are: a dataset
# with two daily series has 28 of them a fortnight, and with one alarm in 28 the faults would drown.
_USUAL_RATE = 0.001
_LESSER_ALARMS = 2 * 14 * _USUAL_RATE
# Beyond this a range is no longer one of healthy points.
_LARGEST_RATE = 0.05
_FORTNIGHT = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class FalseAlarmBudget:
    """At most ``alarms`` false alarms of one dataset in ``period``, which is longer than 0.

    It is a limit and no quota: a dataset of few series stays far below it.
    """

    alarms: float = 1.0
    period: timedelta = _FORTNIGHT

    def rate(self, cadences: Iterable[timedelta]) -> float:
        """Return the share of healthy points that may be called faults.

        ``cadences`` holds the usual distance of two points for each watched series of the
        dataset. The rate falls with the number of points, and rises in step with ``alarms``.
        """
        points = _points(cadences)
        share = min(_USUAL_RATE, 1 / points) if points else _USUAL_RATE
        return min(self._alarms * share, _LARGEST_RATE)

    def lesser_rate(self, cadences: Iterable[timedelta]) -> float:
        """Return the same for lesser series, of which a dataset may have hundreds.

        However many there are, all of them together raise no more false alarms than two daily
        series at the usual rate.
        """
        points = _points(cadences)
        share = min(_USUAL_RATE, _LESSER_ALARMS / points) if points else _USUAL_RATE
        return min(self._alarms * share, _LARGEST_RATE)

    @property
    def _alarms(self) -> float:
        return self.alarms * (_FORTNIGHT / self.period)


def _points(cadences: Iterable[timedelta]) -> float:
    return sum(_FORTNIGHT / cadence for cadence in cadences if cadence > timedelta(0))


DEFAULT_BUDGET = FalseAlarmBudget()
