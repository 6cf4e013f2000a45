"""What a month repeats: the days before its end, and the days of its beginning and middle."""

import calendar
from datetime import UTC, datetime
from typing import Any

_LAST_DAYS = 7


class MonthMemory:
    """Remembers by how much each day of the month before missed its forecast.

    The last seven days are counted from the month's end, which is where accounts are closed and
    invoices sent; the others from its beginning. Days that failed are remembered too: without
    them a peak at every month's end would be news for ever.
    """

    def __init__(self) -> None:
        self._missed_by: dict[int, float] = {}

    def state(self) -> list[Any]:
        """Return what ``restored`` wants."""
        return [[day, difference] for day, difference in self._missed_by.items()]

    @classmethod
    def restored(cls, state: list[Any]) -> "MonthMemory":
        self = cls()
        self._missed_by = dict(state)
        return self

    def add(self, time_s: float, difference: float) -> None:
        self._missed_by[_day(time_s)] = difference

    def excuse(self, time_s: float, usual: float) -> float:
        """Return the difference that was there a month ago, 0 where it was within ``usual``."""
        difference = self._missed_by.get(_day(time_s), 0.0)
        return difference if abs(difference) > usual else 0.0


def _day(time_s: float) -> int:
    """Return the day of the month from 1 on, or the days to its end, -1 for the last."""
    day = datetime.fromtimestamp(time_s, UTC)
    to_end = day.day - calendar.monthrange(day.year, day.month)[1] - 1
    return to_end if to_end >= -_LAST_DAYS else day.day
