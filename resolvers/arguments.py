"""Checks of what callers pass in, before any service is asked."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import overload
from uuid import UUID

from dataspoke.errors import InvalidInput
from dataspoke.urns import require_dataset

MAX_PAGE = 100
MAX_POINTS = 1000
MAX_DAYS = 365
MAX_URNS = 1000
MAX_QUESTION = 1000


def page_size(first: int) -> int:
    """Return ``first``; raises InvalidInput unless it is 1 to 100."""
    if not 1 <= first <= MAX_PAGE:
        raise InvalidInput(f"first must be 1 to {MAX_PAGE}; it is {first}.")
    return first


def point_count(last: int) -> int:
    """Return ``last``; raises InvalidInput unless it is 1 to 1,000."""
    if not 1 <= last <= MAX_POINTS:
        raise InvalidInput(f"last must be 1 to {MAX_POINTS}; it is {last}.")
    return last


@overload
def moment(name: str, time: datetime) -> datetime: ...
@overload
def moment(name: str, time: datetime | None) -> datetime | None: ...
def moment(name: str, time: datetime | None) -> datetime | None:
    """Return the time in UTC; raises InvalidInput where it has no time zone."""
    if time is None:
        return time
    if time.tzinfo is None:
        raise InvalidInput(
            f"{name} is {time.isoformat()}; give its time zone, as in {time.isoformat()}Z."
        )
    return time.astimezone(UTC)


def duration(name: str, hours: float) -> timedelta:
    """Return so many hours; raises InvalidInput for what no time can be that long."""
    try:
        return timedelta(hours=hours)
    except (OverflowError, ValueError):
        raise InvalidInput(f"{name} is {hours:g}; give a number of hours.") from None


def dataset_urn(urn: str) -> str:
    """Return the urn; raises InvalidInput where it is not a dataset's."""
    return require_dataset(urn)


def dataset_urns(urns: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the urns, each once; None where there is no such restriction."""
    if urns is None:
        return None
    if len(urns) > MAX_URNS:
        raise InvalidInput(f"urns may hold {MAX_URNS}; it holds {len(urns)}. Ask in parts.")
    return tuple(dict.fromkeys(require_dataset(urn) for urn in urns))


def alert_id(text: str) -> UUID:
    """Return the id of an alert; raises InvalidInput where it cannot be one."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not the id of an alert; take it from qualityAlerts."
        ) from None


def run_id(text: str) -> UUID:
    """Return the id of a run; raises InvalidInput where it cannot be one."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not the id of a run; take it from qualityRuns.") from None


def rule_id(text: str) -> UUID:
    """Return the id of a rule; raises InvalidInput where it cannot be one."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not the id of a rule; take it from qualityRules."
        ) from None


def days(count: int) -> int:
    """Return ``count``; raises InvalidInput unless it is 1 to 365."""
    if not 1 <= count <= MAX_DAYS:
        raise InvalidInput(f"days must be 1 to {MAX_DAYS}; it is {count}.")
    return count


def change_cursor(after: str | None) -> int | None:
    """Return the position in the stream of alert changes; raises InvalidInput."""
    if after is None:
        return None
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise InvalidInput(
            f"after: {after!r} is not a cursor; pass one that this subscription has delivered."
        )
    return int(after)


def question(text: str) -> str:
    """Return the question without surrounding blanks; raises InvalidInput where nothing is left."""
    stripped = text.strip()
    if not stripped:
        raise InvalidInput("query is empty; ask for something, for example 'orders by country'.")
    if len(stripped) > MAX_QUESTION:
        raise InvalidInput(f"query may have {MAX_QUESTION} characters; it has {len(stripped)}.")
    return stripped
