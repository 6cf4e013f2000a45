"""The outbox and people's preferences in PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Executable,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.tables import notification_preferences, notifications
from dataspoke.quality.notifications.model import (
    Delivery,
    DeliveryState,
    Event,
    Message,
    Notification,
    Outgoing,
    Preferences,
    Target,
)

_MESSAGE = TypeAdapter(Message)
_PREFERENCES = TypeAdapter(Preferences)
_TABLE = notifications.c
_OPEN = (DeliveryState.PENDING, DeliveryState.FAILED)

_new_preferences = insert(notification_preferences)
_SAVE_PREFERENCES = _new_preferences.on_conflict_do_update(
    index_elements=["subject"],
    set_={
        "preferences": _new_preferences.excluded.preferences,
        "teams": _new_preferences.excluded.teams,
        "saved_at": func.now(),
    },
)


def _values(outgoing: Outgoing) -> Mapping[str, Any]:
    message = outgoing.notification.message
    return {
        "id": outgoing.notification.id,
        "alert_id": message.alert_id,
        "change": outgoing.change,
        "channel": outgoing.target.channel,
        "address": outgoing.target.address,
        "event": message.event,
        "message": _MESSAGE.dump_python(message, mode="json"),
        "not_before": outgoing.not_before,
    }


def _outgoing(row: Row[Any]) -> Outgoing:
    notification = Notification(row.id, _MESSAGE.validate_python(row.message))
    return Outgoing(notification, row.change, Target(row.channel, row.address), row.not_before)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        _outgoing(row),
        DeliveryState(row.state),
        row.attempts,
        row.detail,
        row.planned_at,
        row.finished_at,
    )


class NotificationWrites:
    """On the connection of a transaction."""

    _connection: AsyncConnection

    async def add_notifications(self, outgoing: Sequence[Outgoing]) -> Sequence[Outgoing]:
        first = []
        with translated():
            # In one order, so that two transactions with the same targets cannot deadlock.
            for one in sorted(outgoing, key=lambda each: (each.change, each.target)):
                added = await self._connection.execute(
                    insert(notifications).values(_values(one)).on_conflict_do_nothing()
                )
                if added.rowcount == 0:
                    continue
                # What ends one of these at this moment is waited for: either it sees the new row
                # and hands the turn on, or it is seen here as ended.
                before = (
                    select(_TABLE.id)
                    .where(_in_lane(one), _TABLE.id != one.notification.id)
                    .where(_TABLE.state == DeliveryState.PENDING)
                    .with_for_update()
                )
                if not (await self._connection.execute(before)).all():
                    first.append(one)
        return first

    async def finish_notification(
        self, notification_id: UUID, state: DeliveryState, detail: str | None
    ) -> Outgoing | None:
        held = (
            select(notifications)
            .where(_TABLE.id == notification_id, _TABLE.state.in_(_OPEN))
            .with_for_update()
        )
        with translated():
            row = (await self._connection.execute(held)).one_or_none()
            if row is None:
                return None
            await self._connection.execute(
                update(notifications)
                .where(_TABLE.id == notification_id)
                .values(
                    state=state,
                    detail=func.coalesce(literal(_kept(detail), Text), _TABLE.detail),
                    finished_at=func.now(),
                )
            )
            if row.state == DeliveryState.FAILED:
                return None
            waiting = (
                select(notifications)
                .where(_in_lane(_outgoing(row)), _TABLE.state == DeliveryState.PENDING)
                .order_by(_TABLE.change)
                .limit(1)
            )
            following = (await self._connection.execute(waiting)).one_or_none()
        return None if following is None else _outgoing(following)

    async def note_failure(self, notification_id: UUID, error: str) -> None:
        noted = (
            update(notifications)
            .where(_TABLE.id == notification_id, _TABLE.state.in_(_OPEN))
            .values(attempts=_TABLE.attempts + 1, detail=_kept(error))
        )
        with translated():
            await self._connection.execute(noted)

    async def save_preferences(self, preferences: Preferences) -> None:
        values = {
            "subject": preferences.subject,
            "preferences": _PREFERENCES.dump_python(preferences, mode="json"),
            "teams": list(preferences.teams),
        }
        with translated():
            await self._connection.execute(_SAVE_PREFERENCES, values)


class NotificationReads:
    """On a store that runs statements."""

    async def _rows(self, statement: Executable) -> Sequence[Row[Any]]:
        raise NotImplementedError

    async def lane_of(self, notification_id: UUID) -> Sequence[Delivery]:
        one = select(_TABLE.alert_id, _TABLE.channel, _TABLE.address).where(
            _TABLE.id == notification_id
        )
        lane = tuple_(_TABLE.alert_id, _TABLE.channel, _TABLE.address)
        found = select(notifications).where(lane.in_(one)).order_by(_TABLE.change)
        return [_delivery(row) for row in await self._rows(found)]

    async def last_events(self, alert_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[Target, Event]]:
        lane = (_TABLE.alert_id, _TABLE.channel, _TABLE.address)
        newest = (
            select(*lane, _TABLE.event)
            .ext(distinct_on(*lane))
            .where(_about(alert_ids), _TABLE.state != DeliveryState.DROPPED)
            .order_by(*lane, _TABLE.change.desc())
        )
        last: dict[UUID, dict[Target, Event]] = {}
        for row in await self._rows(newest):
            last.setdefault(row.alert_id, {})[Target(row.channel, row.address)] = Event(row.event)
        return last

    async def deliveries_of(self, alert_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Delivery]]:
        order = (_TABLE.change, _TABLE.channel, _TABLE.address)
        found: dict[UUID, list[Delivery]] = {}
        for row in await self._rows(
            select(notifications).where(_about(alert_ids)).order_by(*order)
        ):
            found.setdefault(row.alert_id, []).append(_delivery(row))
        return found

    async def preferences_of(self, subjects: Sequence[str]) -> Mapping[str, Preferences]:
        found = _preferences().where(
            notification_preferences.c.subject == any_(literal(list(subjects), ARRAY(Text)))
        )
        return {
            row.subject: _PREFERENCES.validate_python(row.preferences)
            for row in await self._rows(found)
        }

    async def preferences_about(self, owners: Sequence[str]) -> Sequence[Preferences]:
        wanted = literal(list(owners), ARRAY(Text))
        table = notification_preferences.c
        found = _preferences().where(
            or_(table.subject == any_(wanted), table.teams.overlap(wanted))
        )
        return [_PREFERENCES.validate_python(row.preferences) for row in await self._rows(found)]


def _preferences() -> Select[Any]:
    return select(notification_preferences).order_by(notification_preferences.c.subject)


def _about(alert_ids: Sequence[UUID]) -> ColumnElement[bool]:
    return _TABLE.alert_id == any_(literal(list(alert_ids), ARRAY(Uuid)))


def _in_lane(outgoing: Outgoing) -> ColumnElement[bool]:
    return and_(
        _TABLE.alert_id == outgoing.notification.message.alert_id,
        _TABLE.channel == outgoing.target.channel,
        _TABLE.address == outgoing.target.address,
    )


def _kept(text: str | None) -> str | None:
    # PostgreSQL keeps no NUL in a text.
    return None if text is None else text.replace("\0", "�")
