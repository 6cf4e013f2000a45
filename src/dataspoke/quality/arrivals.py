"""When a dataset's updates were due, by its own habit, and when they came. Pure.

A dataset has a cadence where most of its updates follow each other by about the same time and come
at about the same point of it: each hour, each day at three, each Monday. Then updates are due in
slots, one cadence apart, at the median phase of the latest updates. A slot that stays empty week
after week, such as a Saturday, is not due.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median

_HOUR_S = 3600.0
_WEEK_S = 168 * _HOUR_S
# Each of them fits into a week a whole number of times, so that a slot has its place in the week.
_CADENCES_S = tuple(hours * _HOUR_S for hours in (0.5, 1, 2, 3, 4, 6, 8, 12, 24, 168))
# The habit is that of the latest updates, and of the same slot in the latest weeks.
_LATEST = 28
_WEEKS = 4
_LEAST_UPDATES = 8
_LEAST_WEEKS = 2
# How far the usual interval may be from a cadence, and the usual update from its slot.
_NEAR = 0.1
_STILL_NEAR = 0.25
_SCATTER = 1 / 8
# Habits are forgotten within weeks: what lies further back changes nothing.
_MOST_UPDATES = 5_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """An update that came, and the first moment since the one before it at which one was due."""

    due: datetime
    came: datetime


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Updates that were due, in order, and when the next one is; None where there is no habit.

    ``next_due`` may have passed: then that update is late.
    """

    came: tuple[Arrival, ...] = ()
    next_due: datetime | None = None


def arrivals(updates: Sequence[datetime]) -> Arrivals:
    """Return when updates were due and came; ``updates`` are in order of time.

    When each was due follows from those before it alone. An update early by less than half a
    cadence counts for the slot ahead; one that nobody waited for is left out. An update ends the
    wait for all slots that have passed: it came late for the first of them.
    """
    latest = [update.timestamp() for update in updates[-_MOST_UPDATES:]]
    habit: _Habit | None = None
    came = []
    for position, (update, time_s) in enumerate(zip(updates[-_MOST_UPDATES:], latest, strict=True)):
        past = latest[max(0, position - _LATEST) : position]
        habit = _habit(habit, past)
        if habit is not None and (due := habit.take(time_s, past)) is not None:
            came.append(Arrival(_time(due), update))
    past = latest[-_LATEST:]
    habit = _habit(habit, past)
    next_due = None if habit is None else habit.next_due(past)
    return Arrivals(tuple(came), None if next_due is None else _time(next_due))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _habit(habit: "_Habit | None", past: Sequence[float]) -> "_Habit | None":
    """Return the habit to go on with: the same, a new one, or none."""
    if len(past) < _LEAST_UPDATES:
        return None
    usual_s = median(after - before for before, after in pairwise(past))
    if habit is not None and abs(usual_s / habit.cadence_s - 1) <= _STILL_NEAR:
        return habit
    cadence_s = next((c for c in _CADENCES_S if abs(usual_s / c - 1) <= _NEAR), None)
    return None if cadence_s is None else _Habit(cadence_s, past[-1])


@dataclass(slots=True)
class _Habit:
    """Slots, counted from where the habit was first seen; times are seconds since the epoch.

    ``slot`` is the last one that passed.
    """

    cadence_s: float
    slot: float
    number: int = 0
    # By the place in the week: whether the slot was taken, in the latest weeks.
    taken: dict[int, deque[bool]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_WEEKS))
    )

    def take(self, update: float, past: Sequence[float]) -> float | None:
        """Give the update its slot; return when one was due, None where none was to tell of."""
        regular = self._centre(past)
        since = update - self.slot
        if since < 0:
            # The slots have moved to where one that was taken already is still ahead.
            return None
        passed, rest = int(since // self.cadence_s), since % self.cadence_s
        first = next((n for n in range(1, min(passed, self._in_week) + 1) if self._due(n)), None)
        if first is None:
            # Nothing was waited for: it is early, or of a slot that nobody waits for.
            passed += rest >= self.cadence_s / 2
            first = passed if passed and self._due(passed) else None
        else:
            # Where the next slot is as near as usual the update is of that one as well.
            passed += rest >= (1 - _SCATTER) * self.cadence_s
        known = self.number >= _LEAST_WEEKS * self._in_week
        due = self.slot + first * self.cadence_s if first is not None else None
        self._advance(passed)
        return due if known and regular else None

    def next_due(self, past: Sequence[float]) -> float | None:
        regular = self._centre(past)
        if not regular or self.number < _LEAST_WEEKS * self._in_week:
            return None
        ahead = next((n for n in range(1, self._in_week + 1) if self._due(n)), None)
        return None if ahead is None else self.slot + ahead * self.cadence_s

    @property
    def _in_week(self) -> int:
        return round(_WEEK_S / self.cadence_s)

    def _centre(self, past: Sequence[float]) -> bool:
        """Move the slots to where the latest updates were; tell whether these agree."""
        half = self.cadence_s / 2
        away = [(update - self.slot + half) % self.cadence_s - half for update in past]
        centre = median(away)
        self.slot += centre
        return median(abs(each - centre) for each in away) <= _SCATTER * self.cadence_s

    def _due(self, ahead: int) -> bool:
        taken = self.taken.get((self.number + ahead) % self._in_week)
        return not taken or 2 * sum(taken) >= len(taken)

    def _advance(self, passed: int) -> None:
        for ahead in range(max(1, passed - _WEEKS * self._in_week), passed + 1):
            self.taken[(self.number + ahead) % self._in_week].append(ahead == passed)
        self.number += passed
        self.slot += passed * self.cadence_s
