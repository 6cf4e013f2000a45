"""The chance that a load misses its deadline, from when it came before and what is late upstream.

All times are hours from a deadline; negative is before it. With x1 … xn the times of past loads,
``lost`` deadlines that no load came for, Φ the normal distribution, h Silverman's bandwidth
(*Density Estimation*, 1986, eq. 3.31), m and s the median and the scaled median deviation,

    N(t) = Σ Φ((xi − t) / h) + lost    of the past loads had not come by t, smoothed, and
    S(x | t) = (N(x) + G(x) / G(t)) / (N(t) + 1),    G(t) = s / (s + max(0, t − m))

is the probability that a load which has not come by t comes after x. The one observation more is
that of Laplace's rule of succession, among those that had not come by t either: it leaves room for
what was never seen. It has the heavy tail of Lomax (*Business Failures*, JASA 49, 1954) with shape
1: what has been overdue for long will probably be for as long again. The load misses its deadline
with the chance S(0 | t), which rises with t.

What is late upstream shifts this. Over past deadlines, let u be how much later than usual an
upstream dataset came, and a the same for the dataset itself. The dataset waits for the upstream one
where a is best told by max(0, u − slack), slack being the delay that its schedule absorbs: the
slack is that of the least sum of absolute errors (each bounded, so that faults of its own do not
hide the relation), and there is a relation only where it takes away a tenth of the errors that are
made without it. Then S is that of the errors, and where the shift is d with the probability w(d),
the chance is Σ w(d) S(−d | t − d). An upstream dataset that has come has one shift; one that has
not is late by a time that its own S tells of, shifted by what is late above it in turn. Of several
the one that shifts most counts: the load waits for the last.

So a later upstream dataset raises the chance until the load itself is overdue; from then on it is
also a reason why it is, and the chance is less than that of a load that is late for no known one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from dataspoke.quality.sla.deadlines import Cycle
from dataspoke.quality.sla.model import LateUpstream, Outlook, SlaStatus, SlaTarget

FEWEST_ARRIVALS = 10
"""With fewer loads in the past there is no chance to tell, and no warning."""

Hours = NDArray[np.float64]

_HOUR = timedelta(hours=1)
_SHORTLY = timedelta(seconds=1)
# Shifts are told apart by a 144th of the window: five minutes where deadlines are daily.
_STEPS_OF_WINDOW = 144
_STEPS = 2 * _STEPS_OF_WINDOW
_LEAST_STEP_H = 1 / 60
_LEAST_BANDWIDTH_H = 1 / 60
_LEAST_SCALE_H = 1 / 12
_MAD_TO_SIGMA = 1.4826
_BENDS = np.linspace(-4.0, 4.0, 9)
_TINY = 1e-9
_LEAST_GAIN = 0.1
_ERROR_BOUND = 10.0
_RANGE = (0.9, 0.5, 0.1)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A dataset upstream: its updates, ascending, and the urns of what it is made from.

    ``direct`` tells that the dataset with the deadline is made from it without another between.
    """

    urn: str
    updates: tuple[datetime, ...]
    upstream: tuple[str, ...] = ()
    direct: bool = True


class Arrivals:
    """When the loads of a dataset come, told from past ones."""

    def __init__(self, hours: Hours, lost: int) -> None:
        self._hours = hours
        self._lost = lost
        self.usual = float(np.median(hours))

    @cached_property
    def _scale(self) -> float:
        spread = _MAD_TO_SIGMA * float(np.median(np.abs(self._hours - self.usual)))
        return max(spread, _LEAST_SCALE_H)

    @cached_property
    def _curve(self) -> tuple[Hours, Hours]:
        """The sum of normals where it bends: it is asked for at thousands of times."""
        hours = self._hours
        quartiles = np.percentile(hours, [25, 75])
        sigma = min(float(np.std(hours)), float(quartiles[1] - quartiles[0]) / 1.349)
        bandwidth = max(0.9 * sigma * len(hours) ** -0.2, _LEAST_BANDWIDTH_H)
        times = np.sort((hours[:, None] + bandwidth * _BENDS).ravel())
        return times, ndtr((hours - times[:, None]) / bandwidth).sum(axis=1)

    def later_than(self, hours: Hours, by: Hours) -> Hours:
        """Return the probability that a load comes after each time, not having come ``by`` then.

        Above 0 and at most 1; no time is before ``by``.
        """
        unseen = self._unseen(hours) / self._unseen(by)
        return np.asarray((self._seen(hours) + unseen) / (self._seen(by) + 1))

    def _seen(self, hours: Hours) -> Hours:
        later = np.interp(hours, *self._curve, left=float(len(self._hours)), right=0.0)
        return np.asarray(later + self._lost)

    def _unseen(self, hours: Hours) -> Hours:
        return np.asarray(self._scale / (self._scale + np.maximum(0.0, hours - self.usual)))


@dataclass(frozen=True, slots=True)
class _Wait:
    """That a dataset waits for an upstream one. ``arrivals`` is of what that does not explain."""

    upstream: str
    slack: float
    arrivals: Arrivals


@dataclass(frozen=True, slots=True)
class _Shift:
    """How far what a dataset waits for shifts its load: ``shares`` of ``hours``, and the median."""

    wait: _Wait
    hours: Hours
    shares: Hours
    median: float


class Forecast:
    """What past cycles tell of a next one; fitted on nothing that came after the last of them."""

    def __init__(
        self,
        target: SlaTarget,
        past: Sequence[Cycle],
        updates: Sequence[datetime],
        upstreams: Sequence[Upstream],
    ) -> None:
        """Fit to past cycles, each with all its time over.

        ``updates`` are those of the dataset and ``upstreams`` those of what it is made from, near
        and far. All ascend; what lies after the past cycles is not learned from.
        """
        self.target = target
        itself = Upstream(target.urn, tuple(updates), tuple(u.urn for u in upstreams if u.direct))
        self._datasets = {dataset.urn: dataset for dataset in (*upstreams, itself)}
        self._hours = {urn: _hours(past, one.updates) for urn, one in self._datasets.items()}
        self._arrivals: dict[str, Arrivals | None] = {}
        self._waits: dict[str, Sequence[_Wait]] = {}

    def arrivals(self, urn: str) -> Arrivals | None:
        """Return when loads of a dataset come; None where there are too few to tell."""
        if urn not in self._arrivals:
            self._arrivals[urn] = _arrivals(self._hours[urn])
        return self._arrivals[urn]

    def waits(self, urn: str) -> Sequence[_Wait]:
        """Return what a dataset waits for."""
        if urn not in self._waits:
            self._waits[urn] = [
                wait
                for above in self.nearest(urn)
                if (wait := _wait(above, self._hours[above], self._hours[urn])) is not None
            ]
        return self._waits[urn]

    def update(self, urn: str, cycle: Cycle, by: datetime) -> datetime | None:
        return cycle.arrival(self._datasets[urn].updates, by)

    def chance(self, cycle: Cycle, now: datetime) -> float | None:
        """Return the chance to miss a deadline; None where there are too few loads to tell.

        It is 0 once the load has come in time, and 1 once it has not.
        """
        arrived_at = self.update(self.target.urn, cycle, min(now, cycle.deadline))
        if arrived_at is not None or now >= cycle.deadline:
            return float(arrived_at is None)
        if self.arrivals(self.target.urn) is None:
            return None
        moment = _Moment(self, cycle, now)
        return min(1.0, float(moment.later_than(self.target.urn, np.zeros(1))[0]))

    def outlook(self, cycle: Cycle, now: datetime) -> Outlook:
        """Return how it stands with a cycle at a time, from nothing that came later."""
        urn, deadline, chance = self.target.urn, cycle.deadline, self.chance(cycle, now)
        arrived_at = self.update(urn, cycle, now)
        if now >= deadline or arrived_at is not None:
            status = SlaStatus.MISSED if chance else SlaStatus.MET
            # As it was before the deadline: afterwards all is certain and nothing tells.
            cause = self.cause(cycle, deadline - _SHORTLY) if chance else None
            return Outlook(urn, deadline, status, now, chance, cause=cause, arrived_at=arrived_at)
        if chance is None:
            return Outlook(urn, deadline, SlaStatus.WARMING_UP, now)
        earliest, expected, latest = _Moment(self, cycle, now).expected(urn)
        return Outlook(
            urn,
            deadline,
            SlaStatus.AT_RISK if chance >= self.target.warn_at else SlaStatus.ON_TRACK,
            now,
            chance=chance,
            expected_at=expected,
            expected_earliest=earliest,
            expected_latest=latest,
            cause=self.cause(cycle, now),
        )

    def cause(self, cycle: Cycle, now: datetime) -> LateUpstream | None:
        """Return the dataset upstream that most likely makes the load late; None where none is."""
        if self.arrivals(self.target.urn) is None:
            return None
        return _Moment(self, cycle, now).cause(self.target.urn)

    def follows(self, urn: str, above: str) -> bool:
        """Tell whether a dataset was never loaded before another one, as far as is known."""
        return not bool(np.any(self._hours[urn] < self._hours[above]))

    def nearest(self, urn: str) -> list[str]:
        """Return the nearest datasets upstream whose loads are known, past those that have none."""
        found: list[str] = []
        open_yet = list(self._datasets[urn].upstream)
        seen = {urn}
        while open_yet:
            above = open_yet.pop(0)
            if above in seen or above not in self._datasets:
                continue
            seen.add(above)
            if np.count_nonzero(~np.isnan(self._hours[above])) < FEWEST_ARRIVALS:
                open_yet.extend(self._datasets[above].upstream)
            else:
                found.append(above)
        return found


class _Moment:
    """What is known at one time of one cycle."""

    def __init__(self, forecast: Forecast, cycle: Cycle, now: datetime) -> None:
        self._forecast = forecast
        self._cycle = cycle
        self._now = now
        self._at = (now - cycle.deadline) / _HOUR
        self._shifts: dict[str, _Shift | None] = {}
        window = (cycle.deadline - cycle.opens_at) / _HOUR
        self._step = max(window / _STEPS_OF_WINDOW, _LEAST_STEP_H)

    def later_than(self, urn: str, hours: Hours) -> Hours:
        """Return the probability that a dataset comes after each time, given what is known."""
        came = self._forecast.update(urn, self._cycle, self._now)
        if came is not None:
            return np.asarray((came - self._cycle.deadline) / _HOUR > hours, dtype=float)
        hours, by = np.maximum(hours, self._at), np.array(self._at)
        shift = self.shift(urn)
        if shift is not None:
            shifted = hours[:, None] - shift.hours
            return np.asarray(
                shift.wait.arrivals.later_than(shifted, by - shift.hours) @ shift.shares
            )
        arrivals = self._forecast.arrivals(urn)
        return np.zeros_like(hours) if arrivals is None else arrivals.later_than(hours, by)

    def shift(self, urn: str) -> _Shift | None:
        """Return how far the load of a dataset is shifted; None where nothing upstream is late."""
        if urn not in self._shifts:
            self._shifts[urn] = None  # Where lineage runs in a circle, nothing waits for itself.
            found = [
                shift
                for wait in self._forecast.waits(urn)
                if (shift := self._shift_by(wait)) is not None
            ]
            self._shifts[urn] = max(found, key=lambda shift: shift.median, default=None)
        return self._shifts[urn]

    def late(self, urn: str) -> float:
        """Return by how many hours a dataset is later than usual, at the least."""
        arrivals = self._forecast.arrivals(urn)
        came = self._forecast.update(urn, self._cycle, self._now)
        at = self._at if came is None else (came - self._cycle.deadline) / _HOUR
        return 0.0 if arrivals is None else at - arrivals.usual

    def cause(self, urn: str) -> LateUpstream | None:
        """Return what most likely makes a dataset late, and is not made late in turn."""
        cause, seen = urn, {urn}
        while (above := self._reason(cause)) is not None and above not in seen:
            seen.add(above)
            cause = above
        if cause == urn:
            return None
        arrived = self._forecast.update(cause, self._cycle, self._now) is not None
        return LateUpstream(cause, timedelta(seconds=round(self.late(cause) * 3600)), arrived)

    def _reason(self, urn: str) -> str | None:
        """Return the dataset that one waits for, where that explains half of its delay or more.

        Where the past tells of no relation, a dataset that is late is explained by one that it is
        made from and that is late as well, unless it was ever there before that one.
        """
        late, shift = self.late(urn), self.shift(urn)
        if shift is not None and shift.median >= late / 2:
            return shift.wait.upstream
        if late < self._step:
            return None
        waits = {wait.upstream for wait in self._forecast.waits(urn)}
        followed = [a for a in self._forecast.nearest(urn) if self._forecast.follows(urn, a)]
        delays = {above: self.late(above) for above in followed if above not in waits}
        return max(
            (a for a, delay in delays.items() if delay >= late / 2),
            key=lambda above: delays[above],
            default=None,
        )

    def expected(self, urn: str) -> list[datetime]:
        """Return when nine, five and one of ten such loads would be still to come.

        No time lies behind the end of the cycle, when the next load is to be expected.
        """
        end = (self._cycle.closes_at - self._cycle.deadline) / _HOUR
        times = np.linspace(self._at, max(self._at, end), 2 * _STEPS)
        later = self.later_than(urn, times)
        places = [min(int(np.searchsorted(-later, -share)), len(times) - 1) for share in _RANGE]
        found = [self._cycle.deadline + float(times[place]) * _HOUR for place in places]
        return [time.replace(microsecond=0) for time in found]

    def _shift_by(self, wait: _Wait) -> _Shift | None:
        late = self.late(wait.upstream)
        arrivals = self._forecast.arrivals(wait.upstream)
        if late < self._step or arrivals is None:
            return None
        hours = self._step * np.arange(_STEPS + 1, dtype=float)
        # A shift counts from where it is reached on, so that each is a little too small.
        reached = self.later_than(wait.upstream, arrivals.usual + wait.slack + hours - _TINY)
        reached[0] = 1.0
        shares = -np.diff(reached, append=0.0)
        median = float(hours[np.flatnonzero(reached >= 0.5)[-1]])
        there = shares > _TINY
        return _Shift(wait, hours[there], shares[there], median) if median > 0 else None


def _hours(past: Sequence[Cycle], updates: Sequence[datetime]) -> Hours:
    """Return for each cycle when the load came; not a number where none did."""
    arrivals = [(cycle, cycle.arrival(updates, cycle.closes_at)) for cycle in past]
    return np.array(
        [
            np.nan if arrival is None else (arrival - cycle.deadline) / _HOUR
            for cycle, arrival in arrivals
        ],
        dtype=float,
    )


def _arrivals(hours: Hours) -> Arrivals | None:
    there = hours[~np.isnan(hours)]
    if len(there) < FEWEST_ARRIVALS:
        return None
    # Before its first known load a dataset was not lost, but new.
    first = int(np.flatnonzero(~np.isnan(hours))[0])
    return Arrivals(there, lost=len(hours) - first - len(there))


def _wait(above: str, upstream: Hours, own: Hours) -> _Wait | None:
    """Return how a dataset waits for an upstream one; None where it does not."""
    both = ~np.isnan(upstream) & ~np.isnan(own)
    if np.count_nonzero(both) < FEWEST_ARRIVALS:
        return None
    usual, own_usual = np.median(upstream[both]), np.median(own[both])
    if own_usual < usual:
        return None
    delay, late = upstream[both] - usual, own[both] - own_usual
    bound = _ERROR_BOUND * max(float(np.median(np.abs(late))), _LEAST_STEP_H)
    without = float(np.minimum(np.abs(late), bound).sum())
    # The sum of errors bends at these slacks alone, so that its least lies at one of them. Where
    # several do as well, the greatest claims least; none is longer than the usual way from one
    # load to the other.
    slacks = np.concatenate([delay, delay - late, [0.0]])
    slacks = np.unique(np.clip(slacks, 0.0, own_usual - usual))[::-1]
    errors = np.abs(late - np.maximum(0.0, delay - slacks[:, None]))
    sums = np.minimum(errors, bound).sum(axis=1)
    best = int(np.argmin(sums))
    if without == 0 or sums[best] > (1 - _LEAST_GAIN) * without:
        return None
    slack = float(slacks[best])
    return _Wait(above, slack, Arrivals(own[both] - np.maximum(0.0, delay - slack), lost=0))
