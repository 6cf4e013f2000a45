"""What any Store does about notifications: the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.ports.store import Store
from dataspoke.quality.model import Alert, AlertState, Check, Metric, Severity
from dataspoke.quality.notifications.model import (
    Cause,
    DeliveryState,
    Event,
    Message,
    Notification,
    Outgoing,
    Preferences,
    QuietHours,
    QuietWindow,
    Scope,
    Subscription,
    Target,
    Weekday,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPS, MAIL = Target("ops"), Target("mail", "jane@example.com")
JANE, TEAM = "urn:li:corpuser:jane", "urn:li:corpGroup:sales"


async def saved_alert(store: Store) -> Alert:
    identity = uuid4()
    alert = Alert(
        id=identity,
        urn="a",
        check=Check(Metric.ROW_COUNT),
        state=AlertState.OPEN,
        dedupe_key=str(identity),
        opened_at=NOON,
        observed_at=NOON,
        value=10.0,
        message="10 rows where 90 to 110 are usual",
    )
    async with store.transaction() as tx:
        await tx.save_alerts([alert])
    return alert


def outgoing(
    alert: Alert,
    change: int = 1,
    target: Target = OPS,
    event: Event = Event.TRIGGER,
    not_before: datetime | None = None,
) -> Outgoing:
    message = Message(
        event=event,
        alert_id=alert.id,
        severity=Severity.WARN,
        state=AlertState.OPEN,
        urn=alert.urn,
        dataset="a",
        platform="postgres",
        check="row_count",
        summary=alert.message,
        since=NOON,
        at=NOON,
        value=0.1,
        owners=("Jane",),
        cause=Cause(UUID(int=1), "b", "b", "b: late"),
    )
    return Outgoing(Notification(uuid4(), message), change, target, not_before)


async def add(store: Store, *rows: Outgoing) -> Sequence[Outgoing]:
    async with store.transaction() as tx:
        return await tx.add_notifications(rows)


async def finish(
    store: Store,
    row: Outgoing,
    state: DeliveryState = DeliveryState.DELIVERED,
    detail: str | None = None,
) -> Outgoing | None:
    async with store.transaction() as tx:
        return await tx.finish_notification(row.notification.id, state, detail)


async def test_a_delivery_comes_back_as_it_was_planned(store: Store) -> None:
    row = outgoing(await saved_alert(store), not_before=NOON + timedelta(hours=8))
    assert await add(store, row) == [row]
    (delivery,) = await store.lane_of(row.notification.id)
    assert delivery.outgoing == row
    assert (delivery.state, delivery.attempts, delivery.detail, delivery.finished_at) == (
        DeliveryState.PENDING,
        0,
        None,
        None,
    )
    assert await store.lane_of(uuid4()) in ((), [])


async def test_the_same_notification_is_added_once(store: Store) -> None:
    row = outgoing(await saved_alert(store))
    assert await add(store, row) == [row]
    assert await add(store, row) == []
    assert len(await store.lane_of(row.notification.id)) == 1


async def test_what_follows_waits_for_its_turn(store: Store) -> None:
    alert = await saved_alert(store)
    trigger = outgoing(alert, 1)
    acknowledge = outgoing(alert, 2, event=Event.ACKNOWLEDGE)
    resolve = outgoing(alert, 3, event=Event.RESOLVE)
    elsewhere = outgoing(alert, 3, MAIL, Event.RESOLVE)
    assert await add(store, acknowledge, trigger) == [trigger]
    assert await add(store, resolve, elsewhere) == [elsewhere]
    assert await finish(store, elsewhere) is None
    assert await finish(store, trigger) == acknowledge
    assert await finish(store, trigger) is None, "it has handed on its turn"
    assert await finish(store, acknowledge, DeliveryState.DROPPED, "not needed") == resolve
    assert await finish(store, resolve) is None
    later = outgoing(alert, 4)
    assert await add(store, later) == [later]
    lane = await store.lane_of(trigger.notification.id)
    assert [(one.outgoing, one.state, one.detail) for one in lane] == [
        (trigger, DeliveryState.DELIVERED, None),
        (acknowledge, DeliveryState.DROPPED, "not needed"),
        (resolve, DeliveryState.DELIVERED, None),
        (later, DeliveryState.PENDING, None),
    ]
    assert all(one.finished_at for one in lane[:3])


async def test_failed_attempts_are_counted_and_the_last_error_stays(store: Store) -> None:
    alert = await saved_alert(store)
    first, second = outgoing(alert, 1), outgoing(alert, 2, event=Event.RESOLVE)
    await add(store, first, second)
    for error in ("down\0", "still down"):
        async with store.transaction() as tx:
            await tx.note_failure(first.notification.id, error)
    assert await finish(store, first, DeliveryState.FAILED, "gone") == second
    # Tried again after all; the turn was handed on when it failed.
    assert await finish(store, first) is None
    delivery = (await store.lane_of(first.notification.id))[0]
    assert (delivery.state, delivery.attempts, delivery.detail) == (
        DeliveryState.DELIVERED,
        2,
        "gone",
    )
    async with store.transaction() as tx:
        await tx.note_failure(first.notification.id, "too late")
    assert (await store.lane_of(first.notification.id))[0].attempts == 2


async def test_what_targets_were_told_last(store: Store) -> None:
    alert, other, silent = [await saved_alert(store) for _ in range(3)]
    trigger, resolve = outgoing(alert, 1), outgoing(alert, 2, event=Event.RESOLVE)
    dropped = outgoing(other, 3, MAIL)
    await add(store, trigger, resolve, outgoing(alert, 1, MAIL), dropped)
    await finish(store, dropped, DeliveryState.DROPPED, "quiet")
    known = await store.last_events([alert.id, other.id, silent.id])
    assert known == {alert.id: {OPS: Event.RESOLVE, MAIL: Event.TRIGGER}}
    deliveries = await store.deliveries_of([alert.id, silent.id])
    assert [(d.outgoing.change, d.outgoing.target) for d in deliveries[alert.id]] == [
        (1, MAIL),
        (1, OPS),
        (2, OPS),
    ]
    assert set(deliveries) == {alert.id}


async def test_nothing_is_kept_of_a_transaction_that_fails(store: Store) -> None:
    row = outgoing(await saved_alert(store))

    async def fail_at_the_end() -> None:
        async with store.transaction() as tx:
            await tx.add_notifications([row])
            await tx.save_preferences(Preferences(JANE))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_at_the_end()
    assert not await store.lane_of(row.notification.id)
    assert await store.preferences_of([JANE]) == {}


async def test_deliveries_go_with_their_alert(store: Store) -> None:
    row = outgoing(await saved_alert(store))
    await add(store, row)
    async with store.transaction() as tx:
        await tx.forget(["a"])
    assert not await store.lane_of(row.notification.id)
    assert await finish(store, row) is None


async def test_preferences_come_back_and_are_found_by_owner(store: Store) -> None:
    jane = Preferences(
        JANE,
        (Subscription(Scope.TEAMS, MAIL, Severity.ERROR), Subscription(Scope.OWNED, OPS)),
        QuietHours(
            "Europe/Berlin",
            (QuietWindow((Weekday.SATURDAY, Weekday.SUNDAY), time(22, 30), time(7)),),
            errors_pierce=True,
        ),
        teams=(TEAM, "urn:li:corpGroup:other"),
    )
    team, joe = Preferences(TEAM), Preferences("urn:li:corpuser:joe")
    for preferences in (replace(jane, subscriptions=()), jane, team, joe):
        async with store.transaction() as tx:
            await tx.save_preferences(preferences)
    assert await store.preferences_of([JANE, TEAM, "urn:li:corpuser:nobody"]) == {
        JANE: jane,
        TEAM: team,
    }
    assert list(await store.preferences_about([TEAM])) == [team, jane]
    assert list(await store.preferences_about([JANE, "urn:li:corpGroup:x"])) == [jane]
    assert list(await store.preferences_about([])) == []


async def test_a_turn_is_never_lost_between_who_ends_and_who_adds(emptied: AsyncEngine) -> None:
    store = PostgresStore(emptied)
    for _ in range(10):
        alert = await saved_alert(store)
        first, second = outgoing(alert, 1), outgoing(alert, 2, event=Event.RESOLVE)
        await add(store, first)
        added, following = await asyncio.gather(add(store, second), finish(store, first))
        turns = [*added, *([following] if following else [])]
        assert turns == [second], "handed on, or taken at once; never both, never neither"
