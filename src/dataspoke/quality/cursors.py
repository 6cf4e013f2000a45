"""Opaque places in lists that go by a time and an id, newest first. Pure."""

import base64
import binascii
from datetime import datetime
from uuid import UUID

from dataspoke.errors import InvalidInput


def cursor_of(time: datetime, identity: UUID) -> str:
    """Return the place of the item with this time and id."""
    return base64.urlsafe_b64encode(f"{time.isoformat()}|{identity}".encode()).decode()


def place_of(cursor: str, items: str) -> tuple[datetime, UUID]:
    """Return the time and id of a place; raises InvalidInput where it is none of ``items``."""
    try:
        time, _, identity = base64.urlsafe_b64decode(cursor).decode().partition("|")
        moment = datetime.fromisoformat(time)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment, UUID(identity)
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(
            f"after is {cursor!r}; use a cursor that a page of {items} gave."
        ) from error
