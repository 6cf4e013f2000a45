"""When somebody wants to hear nothing. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dataspoke.errors import InvalidInput
from dataspoke.quality.notifications.model import QuietHours, QuietWindow

_DAY = timedelta(days=1)
_MAX_WINDOWS = 20


def quiet_until(hours: QuietHours, now: datetime) -> datetime | None:
    """Return when the quiet hours around ``now`` end, in UTC; None where it is not quiet.

    Windows that touch or overlap are one. The wall clock counts: on the day that clocks change a
    window is longer or shorter.
    """
    zone = ZoneInfo(hours.time_zone)
    until = now
    # As often as windows can follow on each other in a week.
    for _ in range(8 * len(hours.windows)):
        ends = [_end(window, zone, until) for window in hours.windows]
        latest = max((end for end in ends if end is not None), default=None)
        if latest is None:
            break
        until = latest
    return None if until == now else until.astimezone(UTC)


def require_usable(hours: QuietHours) -> None:
    """Raise InvalidInput where the time zone is not known, or it would never be loud."""
    try:
        ZoneInfo(hours.time_zone)
    except (ValueError, OSError, KeyError):
        raise InvalidInput(
            f"There is no time zone {hours.time_zone!r}; name one of the IANA database, such as "
            "Europe/Berlin."
        ) from None
    if len(hours.windows) > _MAX_WINDOWS:
        raise InvalidInput(f"quietHours may have {_MAX_WINDOWS} windows; it has more.")
    if any(not window.days for window in hours.windows):
        raise InvalidInput("A window of quietHours has no day; name at least one.")
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    end = quiet_until(QuietHours("UTC", hours.windows), monday)
    if end is not None and end - monday >= 7 * _DAY:
        raise InvalidInput("quietHours cover the whole week; leave a time to hear of alerts.")


def _end(window: QuietWindow, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return the end of the window that ``now`` is in."""
    today = now.astimezone(zone).date()
    for day in (today - _DAY, today):
        if day.weekday() not in window.days:
            continue
        start = datetime.combine(day, window.start, zone).astimezone(UTC)
        last = day if window.end > window.start else day + _DAY
        end = datetime.combine(last, window.end, zone).astimezone(UTC)
        if start <= now < end:
            return end
    return None
