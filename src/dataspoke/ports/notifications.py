"""What the store keeps of notifications: the outbox, and what people want to hear."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from dataspoke.quality.notifications.model import (
    Delivery,
    DeliveryState,
    Event,
    Outgoing,
    Preferences,
    Target,
)


class NotificationReads(Protocol):
    """The part of the Store."""

    async def lane_of(self, notification_id: UUID) -> Sequence[Delivery]:
        """Return all deliveries about the same alert to the same target, in order of the changes.

        They hold the named one; empty where there is none.
        """
        ...

    async def last_events(self, alert_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[Target, Event]]:
        """Return what each target was, or will be, told last of each alert.

        What was dropped does not count; alerts that nobody was told of are absent.
        """
        ...

    async def deliveries_of(self, alert_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Delivery]]:
        """Return the deliveries about each alert, oldest change first."""
        ...

    async def preferences_of(self, subjects: Sequence[str]) -> Mapping[str, Preferences]:
        """Return the preferences of users and teams; those without are absent."""
        ...

    async def preferences_about(self, owners: Sequence[str]) -> Sequence[Preferences]:
        """Return the preferences of these users and teams, and of all users in these teams."""
        ...


class NotificationWrites(Protocol):
    """The part of the Transaction."""

    async def add_notifications(self, outgoing: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """Put notifications into the outbox; returns those whose turn it is.

        The others wait for one about the same alert to the same target: ``finish_notification``
        returns them in turn. One whose id is there already changes nothing and is not returned.
        """
        ...

    async def finish_notification(
        self, notification_id: UUID, state: DeliveryState, detail: str | None
    ) -> Outgoing | None:
        """Note how a delivery ended, and return the one whose turn it is now, if any.

        ``detail`` is why it was dropped or failed. An error that was noted before stays where it
        is None. One that was delivered or dropped stays as it is; one that had failed and is
        tried again has handed on the turn already.
        """
        ...

    async def note_failure(self, notification_id: UUID, error: str) -> None:
        """Count a failed attempt of a delivery that is tried again, and keep its error."""
        ...

    async def save_preferences(self, preferences: Preferences) -> None:
        """Replace the preferences of a user or team; the last writer wins."""
        ...
