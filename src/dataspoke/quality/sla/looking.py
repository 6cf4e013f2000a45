"""When a deadline is looked at, and what is seen then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dataspoke.quality.model import Window
from dataspoke.quality.sla.deadlines import Cycle, next_cycle, past_cycles
from dataspoke.quality.sla.forecast import Forecast, Upstream
from dataspoke.quality.sla.model import Outlook, SlaStatus, SlaTarget

CYCLES = 60
"""Deadlines that a forecast learns from."""

LONGEST_HISTORY = timedelta(days=730)

# Earlier there is little to tell, and nobody up to act on it.
_WATCH = timedelta(hours=8)
SHORTEST_WAIT = timedelta(minutes=5)
# A look is late by at most a twelfth of the time that is left.
_PART = 12
# After a long silence no more are made up for.
_SETTLED_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Watched:
    """All that a look needs of one dataset. ``updates`` ascend; ``kept`` are stored outlooks."""

    target: SlaTarget
    updates: tuple[datetime, ...]
    upstreams: tuple[Upstream, ...]
    kept: tuple[Outlook, ...] = ()
    exclusions: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at one dataset has seen.

    ``upcoming`` is the outlook on the next deadline and ``previous`` that on the last one since the
    target was set; None where there is none, or it is excluded. ``settled`` are outlooks on past
    deadlines that have changed, ``previous`` among them. ``updated_at`` is the newest update.
    ``look_at`` is when to look again, None where no deadline comes any more.
    """

    urn: str
    upcoming: Outlook | None
    previous: Outlook | None
    settled: tuple[Outlook, ...]
    updated_at: datetime | None
    look_at: datetime | None


def history_since(target: SlaTarget, now: datetime) -> datetime:
    """Return from when on updates are needed to look at a target."""
    cycles = past_cycles(target, now, CYCLES, now - LONGEST_HISTORY)
    return min((cycle.opens_at for cycle in cycles), default=now)


def watched_from(cycle: Cycle) -> datetime:
    """Return when a cycle is first looked at: eight hours before its deadline, or as it opens."""
    return max(cycle.opens_at, cycle.deadline - _WATCH)


def next_look(cycle: Cycle, now: datetime) -> datetime:
    """Return when to look next at a cycle whose load has not come, before its deadline."""
    first = watched_from(cycle)
    if now < first:
        return first
    return min(cycle.deadline, now + max(SHORTEST_WAIT, (cycle.deadline - now) / _PART))


def look_at_all(watched: Sequence[Watched], now: datetime) -> list[Look]:
    """Return what is seen of each, in order."""
    return [look(one, now) for one in watched]


def look(watched: Watched, now: datetime) -> Look:
    """Return what is seen of one dataset, from nothing that came after ``now``."""
    target = watched.target
    updates = tuple(update for update in watched.updates if update <= now)
    past = [
        cycle
        for cycle in past_cycles(target, now, CYCLES, now - LONGEST_HISTORY)
        if not _excluded(cycle, watched.exclusions)
    ]
    following = next_cycle(target, now)
    upcoming = None
    if following is not None and not _excluded(following, watched.exclusions):
        learned = [cycle for cycle in past if cycle.closes_at <= now]
        forecast = Forecast(target, learned, updates, watched.upstreams)
        upcoming = forecast.outlook(following, now)
        upcoming = replace(upcoming, warned_at=_kept(watched, following).warned_at)

    settled, previous = [], None
    since = target.set_at or now
    judged = [place for place, cycle in enumerate(past) if cycle.deadline > since]
    for place in judged[-_SETTLED_AT_ONCE:]:
        cycle, known = past[place], _kept(watched, past[place])
        previous = known
        if not _final(known, cycle):
            forecast = Forecast(target, past[:place], updates, watched.upstreams)
            seen = forecast.outlook(cycle, now)
            cause = known.cause if seen.cause is None else seen.cause
            previous = replace(
                seen,
                cause=cause if seen.status is SlaStatus.MISSED else None,
                warned_at=known.warned_at,
            )
            settled.append(previous)
    return Look(
        urn=target.urn,
        upcoming=upcoming,
        previous=previous,
        settled=tuple(settled),
        updated_at=updates[-1] if updates else None,
        look_at=_look_at(following, upcoming, previous, now),
    )


def _kept(watched: Watched, cycle: Cycle) -> Outlook:
    unknown = Outlook(watched.target.urn, cycle.deadline, SlaStatus.WARMING_UP, cycle.opens_at)
    return next((kept for kept in watched.kept if kept.deadline == cycle.deadline), unknown)


def _final(known: Outlook, cycle: Cycle) -> bool:
    if known.status is SlaStatus.MISSED and known.arrived_at is None:
        return known.looked_at >= cycle.closes_at
    return known.settled


def _excluded(cycle: Cycle, exclusions: Sequence[Window]) -> bool:
    return any(window.start <= cycle.deadline < window.end for window in exclusions)


def _look_at(
    following: Cycle | None, upcoming: Outlook | None, previous: Outlook | None, now: datetime
) -> datetime | None:
    if following is None:
        return None
    met = upcoming is not None and upcoming.settled
    waits = following.deadline if upcoming is None or met else next_look(following, now)
    if previous is None or met or previous.status is SlaStatus.MET:
        return waits
    if previous.arrived_at is not None:
        return waits
    # The load that a missed deadline waits for ends the alert on it.
    return min(waits, now + max(SHORTEST_WAIT, (now - previous.deadline) / _PART))
