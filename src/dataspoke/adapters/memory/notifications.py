"""The outbox and people's preferences in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from dataspoke.quality.notifications.model import (
    Delivery,
    DeliveryState,
    Event,
    Outgoing,
    Preferences,
    Target,
)

_ENDED = (DeliveryState.DELIVERED, DeliveryState.DROPPED)


@dataclass
class NotificationTable:
    rows: dict[UUID, Delivery] = field(default_factory=dict)
    preferences: dict[str, Preferences] = field(default_factory=dict)

    def copy(self) -> "NotificationTable":
        return NotificationTable(dict(self.rows), dict(self.preferences))

    def lane(self, alert_id: UUID, target: Target) -> list[Delivery]:
        return sorted(
            (
                row
                for row in self.rows.values()
                if row.outgoing.notification.message.alert_id == alert_id
                and row.outgoing.target == target
            ),
            key=lambda row: row.outgoing.change,
        )

    def waiting(self, outgoing: Outgoing) -> list[Delivery]:
        lane = self.lane(outgoing.notification.message.alert_id, outgoing.target)
        return [row for row in lane if row.state is DeliveryState.PENDING]

    def forget(self, alerts: Mapping[UUID, object]) -> None:
        """Remove what is about alerts that are there no more."""
        self.rows = {
            key: row
            for key, row in self.rows.items()
            if row.outgoing.notification.message.alert_id in alerts
        }


class NotificationWrites:
    """Over ``_notifications`` and the time ``_now`` of a transaction in memory."""

    _notifications: NotificationTable
    _now: datetime

    async def add_notifications(self, outgoing: Sequence[Outgoing]) -> Sequence[Outgoing]:
        table, first = self._notifications, []
        for one in sorted(outgoing, key=lambda each: each.change):
            if one.notification.id in table.rows:
                continue
            if not table.waiting(one):
                first.append(one)
            delivery = Delivery(one, DeliveryState.PENDING, 0, None, self._now)
            table.rows[one.notification.id] = delivery
        return first

    async def finish_notification(
        self, notification_id: UUID, state: DeliveryState, detail: str | None
    ) -> Outgoing | None:
        table = self._notifications
        row = table.rows.get(notification_id)
        if row is None or row.state in _ENDED:
            return None
        table.rows[notification_id] = replace(
            row, state=state, detail=detail or row.detail, finished_at=self._now
        )
        if row.state is DeliveryState.FAILED:
            return None
        return next((waiting.outgoing for waiting in table.waiting(row.outgoing)), None)

    async def note_failure(self, notification_id: UUID, error: str) -> None:
        row = self._notifications.rows.get(notification_id)
        if row is not None and row.state not in _ENDED:
            noted = replace(row, attempts=row.attempts + 1, detail=error)
            self._notifications.rows[notification_id] = noted

    async def save_preferences(self, preferences: Preferences) -> None:
        self._notifications.preferences[preferences.subject] = preferences


class NotificationReads:
    """Over what ``_notifications`` returns, the committed state."""

    @property
    def _notifications(self) -> NotificationTable:
        raise NotImplementedError

    async def lane_of(self, notification_id: UUID) -> Sequence[Delivery]:
        row = self._notifications.rows.get(notification_id)
        if row is None:
            return ()
        outgoing = row.outgoing
        return self._notifications.lane(outgoing.notification.message.alert_id, outgoing.target)

    async def last_events(self, alert_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[Target, Event]]:
        last: dict[UUID, dict[Target, Event]] = {}
        for alert_id, deliveries in (await self.deliveries_of(alert_ids)).items():
            for delivery in deliveries:
                if delivery.state is not DeliveryState.DROPPED:
                    event = delivery.outgoing.notification.message.event
                    last.setdefault(alert_id, {})[delivery.outgoing.target] = event
        return last

    async def deliveries_of(self, alert_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Delivery]]:
        found: dict[UUID, list[Delivery]] = {}
        rows = self._notifications.rows.values()
        for row in sorted(rows, key=lambda row: (row.outgoing.change, row.outgoing.target)):
            alert_id = row.outgoing.notification.message.alert_id
            if alert_id in alert_ids:
                found.setdefault(alert_id, []).append(row)
        return found

    async def preferences_of(self, subjects: Sequence[str]) -> Mapping[str, Preferences]:
        known = self._notifications.preferences
        return {subject: known[subject] for subject in subjects if subject in known}

    async def preferences_about(self, owners: Sequence[str]) -> Sequence[Preferences]:
        wanted = set(owners)
        return [
            preferences
            for subject, preferences in sorted(self._notifications.preferences.items())
            if subject in wanted or wanted.intersection(preferences.teams)
        ]
