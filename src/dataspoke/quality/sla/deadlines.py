"""The deadlines of a target, and which load is whose."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from dataspoke.errors import InvalidInput
from dataspoke.quality.sla.model import SlaTarget
from dataspoke.urns import require_dataset

SHORTEST_GAP = timedelta(hours=1)

# A Monday; long enough to see what a cron that goes by the day of the month or year comes to.
_REFERENCE = datetime(2024, 1, 1, tzinfo=UTC)
_GAPS = 400


@dataclass(frozen=True, slots=True)
class Cycle:
    """One deadline, with the time in which its load can come: after ``opens_at``, in time up to
    ``deadline``, late up to ``closes_at``, when the next cycle opens."""

    deadline: datetime
    opens_at: datetime
    closes_at: datetime

    def arrival(self, updates: Sequence[datetime], by: datetime) -> datetime | None:
        """Return the first update in the cycle that is not after ``by``; ``updates`` ascend."""
        place = bisect_right(updates, self.opens_at)
        if place == len(updates) or updates[place] > min(by, self.closes_at):
            return None
        return updates[place]


def require_sense(target: SlaTarget) -> None:
    """Raise InvalidInput for a target that cannot be meant; the message says what to write."""
    require_dataset(target.urn)
    _require_zone(target.time_zone)
    gap = _shortest_gap(target.cron)
    if gap < SHORTEST_GAP:
        raise InvalidInput(
            f"The deadlines of {target.cron!r} are {gap.total_seconds() / 60:g} minutes apart; "
            "let at least an hour lie between them."
        )
    if not 0 < target.warn_at <= 1:
        raise InvalidInput(
            f"warnAt is {target.warn_at:g}; give a chance above 0 and at most 1, for example 0.5."
        )
    if target.window is not None and not timedelta(0) < target.window <= gap:
        raise InvalidInput(
            f"windowHours is {target.window / timedelta(hours=1):g}; give more than 0 and at most "
            f"the {gap / timedelta(hours=1):g} hours between two deadlines, or null."
        )


def window_of(target: SlaTarget) -> timedelta:
    """Return how long before its deadline a load counts for it.

    By default half the shortest time between two deadlines, so that a load that is late for one is
    not taken for an early one of the next.
    """
    return target.window or _shortest_gap(target.cron) / 2


def next_cycle(target: SlaTarget, now: datetime) -> Cycle | None:
    """Return the cycle of the first deadline after ``now``; None where there is none any more."""
    return next(_cycles(target, list(islice(_forwards(target, now), 2))), None)


def past_cycles(target: SlaTarget, now: datetime, limit: int, since: datetime) -> list[Cycle]:
    """Return the newest ``limit`` cycles whose deadline is at ``now`` or before, oldest first.

    Those before ``since`` are left out.
    """
    # The library gives what lies strictly before, in whole seconds.
    start = (now + timedelta(seconds=1)).replace(microsecond=0)
    last = next(_backwards(target.cron, target.time_zone, start), None)
    if last is None:
        return []
    known = _last_deadlines(target.cron, target.time_zone, last, limit)
    found = [deadline for deadline in reversed(known) if deadline >= since]
    following = next(_forwards(target, now), None)
    cycles = list(_cycles(target, [*found, *([] if following is None else [following])]))
    return cycles[: len(found)]


# Walking back takes milliseconds, and most targets share a few crons.
@lru_cache(maxsize=4096)
def _last_deadlines(cron: str, time_zone: str, last: datetime, limit: int) -> tuple[datetime, ...]:
    """Return up to ``limit`` deadlines, from ``last`` on backwards."""
    return last, *islice(_backwards(cron, time_zone, last), limit - 1)


def _backwards(cron: str, time_zone: str, before: datetime) -> Iterator[datetime]:
    slots = CronSim(cron, before.astimezone(ZoneInfo(time_zone)), reverse=True)
    return (slot.astimezone(UTC) for slot in slots)


def _forwards(target: SlaTarget, now: datetime) -> Iterator[datetime]:
    start = now.astimezone(ZoneInfo(target.time_zone))
    return (slot.astimezone(UTC) for slot in CronSim(target.cron, start))


def _cycles(target: SlaTarget, deadlines: Sequence[datetime]) -> Iterator[Cycle]:
    window = window_of(target)
    for deadline, following in pairwise([*deadlines, None]):
        if deadline is not None:
            closes_at = deadline + window if following is None else following - window
            yield Cycle(deadline, deadline - window, max(deadline, closes_at))


@lru_cache(maxsize=1024)
def _shortest_gap(cron: str) -> timedelta:
    """Raises InvalidInput for what is no cron of five fields, or never comes."""
    try:
        if len(cron.split()) != 5:
            raise CronSimError("it has not five fields")
        times = list(islice(CronSim(cron, _REFERENCE), _GAPS))
    except CronSimError as error:
        raise InvalidInput(
            f"cron is {cron!r} ({error}); write minute, hour, day of the month, month and day of "
            "the week, for example '0 8 * * 1-5' for 08:00 on working days."
        ) from None
    if len(times) < 2:
        raise InvalidInput(f"cron is {cron!r}, which never comes; name a day that there is.")
    return min(later - earlier for earlier, later in pairwise(times))


def _require_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInput(
            f"timeZone is {name!r}; use a name of the IANA database, for example Europe/Berlin."
        ) from None
