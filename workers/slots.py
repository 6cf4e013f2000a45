"""The times of a schedule. Pure: the time that it is now comes from the database."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)


class Slots(Protocol):
    """Times that come again and again."""

    @property
    def gap(self) -> timedelta:
        """The time between two of them; they need not be equally far apart."""
        ...

    def newest(self, now: datetime) -> datetime:
        """Return the last one that is not after ``now``."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """Multiples of an interval since 1970."""

    gap: timedelta

    def newest(self, now: datetime) -> datetime:
        return _EPOCH + (now - _EPOCH) // self.gap * self.gap


@dataclass(frozen=True, slots=True)
class Cron:
    """The times of a cron expression in a time zone.

    As Debian's cron: an hour that is left out in spring is made up for right after the gap, one
    that comes twice in autumn counts once. With a sixth field in front it goes by the second.
    """

    expression: str
    zone: ZoneInfo

    @property
    def gap(self) -> timedelta:
        times = CronSim(self.expression, _EPOCH)
        return -(next(times) - next(times))

    def newest(self, now: datetime) -> datetime:
        # Backwards it begins before the time it is given.
        before = (now + _MOMENT).astimezone(self.zone)
        return next(CronSim(self.expression, before, reverse=True)).astimezone(UTC)
