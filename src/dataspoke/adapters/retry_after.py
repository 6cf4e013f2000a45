"""The Retry-After header, by which a server says when to come back."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(header: str | None) -> float | None:
    """Return the seconds that the header asks for, given as a number or as a date.

    None where there is no header or it cannot be read; never negative.
    """
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
