"""Notifications from the alert to the channel, for every fault on the way, and preferences."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset
from dataspoke.errors import (
    DependencyError,
    DependencyRejected,
    DependencyUnavailable,
    Forbidden,
    InvalidInput,
    LeaseLost,
)
from dataspoke.ports.hub import Access, Actor
from dataspoke.ports.notifier import Channels
from dataspoke.ports.store import JobKind, JobState
from dataspoke.quality.model import Alert, AlertState, Check, Metric, Severity
from dataspoke.quality.notifications.model import (
    Channel,
    ChannelKind,
    DeliveryState,
    Event,
    Filter,
    Preferences,
    QuietHours,
    QuietWindow,
    Scope,
    Subscription,
    Target,
    Weekday,
)
from dataspoke.quality.notifications.service import NotificationService
from tests.support.mailbox import Mailbox

NOW = datetime(2026, 11, 24, 23, tzinfo=UTC)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
JANE, SALES = "urn:li:corpuser:jane", "urn:li:corpGroup:sales"
OPS, MAIL = Target("ops"), Target("mail", "jane@example.com")
NIGHTS = QuietHours("UTC", (QuietWindow(tuple(Weekday), time(22), time(7)),))
HOUR = timedelta(hours=1)


class House:
    """The service on a hub, a store and channels in memory."""

    def __init__(self, *, broadcast: bool = True) -> None:
        self.clock = MemoryClock(NOW)
        self.hub = MemoryHub()
        self.store = MemoryStore(self.clock)
        self.jobs = MemoryJobs(self.store)
        self.box = Mailbox()
        channels = [
            Channel("ops", ChannelKind.SLACK, Filter() if broadcast else None),
            Channel("mail", ChannelKind.SMTP, recipient_domains=("example.com",)),
            Channel("pager", ChannelKind.PAGERDUTY),
        ]
        self.channels = Channels(
            {one.name: one for one in channels},
            {one.name: self.box for one in channels},
            datahub_url="http://datahub.test",
        )
        self.service = NotificationService(self.hub, self.store, self.clock, self.channels)
        self.hub.put(
            Dataset(URN, "shop.orders", "urn:li:dataPlatform:postgres", owners=(JANE, SALES))
        )
        self.jane = self.hub.admit("jane", JANE, groups=[SALES])
        self.admin = self.hub.admit("admin", "urn:li:corpuser:admin", can_manage=True)

    async def save(self, alert: Alert) -> Alert:
        """Save an alert and announce the change, as the worker does; returns it as saved."""
        async with self.store.transaction() as tx:
            changes = await tx.save_alerts([alert])
        outgoing = await self.service.plan(changes, [])
        async with self.store.transaction() as tx:
            await self.service.enqueue(tx, outgoing)
        return changes[0].alert

    async def run(self) -> list[Exception]:
        """Do the jobs that are due, each once, as a worker does; returns what they raised."""
        raised: list[Exception] = []
        for woken in await self.jobs.due(100, timedelta(0)):
            job = await self.jobs.claim(woken.job_id, HOUR)
            if job is None:
                continue
            assert job.kind is JobKind.DELIVER_NOTIFICATION
            try:
                await self.service.deliver(job.lease, UUID(job.payload["notification"]))
            except DependencyError as error:
                raised.append(error)
                final = isinstance(error, DependencyRejected)
                message = error.public_message
                await self.jobs.fail(job.lease, message, None if final else timedelta(0))
        return raised

    async def run_all(self) -> None:
        while await self.jobs.due(1, timedelta(0)):
            await self.run()

    async def states(self, alert: Alert) -> list[tuple[Event, DeliveryState, str | None]]:
        found = await self.store.deliveries_of([alert.id])
        return [
            (one.outgoing.notification.message.event, one.state, one.detail)
            for one in found.get(alert.id, ())
        ]


@pytest.fixture
def house() -> House:
    return House()


def opened(number: int = 1, **changes: object) -> Alert:
    alert = Alert(
        id=UUID(int=number),
        urn=URN,
        check=Check(Metric.ROW_COUNT),
        state=AlertState.OPEN,
        dedupe_key=str(number),
        opened_at=NOW,
        observed_at=NOW,
        value=400,
        message="shop.orders: row count was 400 rows.",
    )
    return replace(alert, **changes)  # type: ignore[arg-type]


def ended(alert: Alert) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, ended_at=NOW)


async def test_an_alert_is_told_from_its_beginning_to_its_end(house: House) -> None:
    alert = await house.save(opened())
    await house.run()
    acknowledged = replace(alert, state=AlertState.ACKNOWLEDGED, acknowledged_by=JANE)
    alert = await house.save(acknowledged)
    await house.run()
    await house.save(ended(alert))
    await house.run()
    assert house.box.told == [
        (OPS, Event.TRIGGER),
        (OPS, Event.ACKNOWLEDGE),
        (OPS, Event.RESOLVE),
    ]
    assert (await house.jobs.counts()).by_state[JobState.DONE] == 3
    message = house.box.sent[1][0].message
    assert (message.by, message.owners, message.downstream) == (JANE, ("jane", "sales"), 0)


async def test_without_channels_nothing_is_read(house: House) -> None:
    service = NotificationService(house.hub, house.store, house.clock, Channels())
    house.hub.failure = DependencyUnavailable("hub", "down")
    async with house.store.transaction() as tx:
        changes = await tx.save_alerts([opened()])
    assert await service.plan(changes, []) == ()


async def test_a_resolve_waits_for_a_trigger_that_is_tried_again(house: House) -> None:
    house.box.failures = [DependencyUnavailable("notifier", f"down {n}") for n in (1, 2)]
    alert = await house.save(opened())
    await house.run()
    await house.save(ended(alert))
    assert await house.states(alert) == [
        (Event.TRIGGER, DeliveryState.PENDING, "down 1"),
        (Event.RESOLVE, DeliveryState.PENDING, None),
    ]
    await house.run_all()
    assert house.box.told == [(OPS, Event.TRIGGER), (OPS, Event.RESOLVE)]
    deliveries = (await house.store.deliveries_of([alert.id]))[alert.id]
    assert [one.attempts for one in deliveries] == [2, 0]


async def test_what_is_refused_is_a_dead_letter_and_its_error_is_kept(house: House) -> None:
    house.box.failures = [DependencyRejected("notifier", "Slack answered HTTP 404: no_service")]
    alert = await house.save(opened())
    await house.save(ended(alert))
    await house.run_all()
    assert (await house.jobs.counts()).by_state[JobState.DEAD] == 1
    assert await house.states(alert) == [
        (Event.TRIGGER, DeliveryState.FAILED, "Slack answered HTTP 404: no_service"),
        (Event.RESOLVE, DeliveryState.DELIVERED, None),
    ]
    # Revived after the resolve has gone out, the trigger would open what has ended.
    assert await house.jobs.revive(JobKind.DELIVER_NOTIFICATION) == 1
    await house.run_all()
    assert house.box.told == [(OPS, Event.RESOLVE)]
    assert (await house.states(alert))[0] == (
        Event.TRIGGER,
        DeliveryState.DROPPED,
        "A later change of the alert has been told already.",
    )


async def test_a_dead_letter_that_nothing_followed_can_be_revived(house: House) -> None:
    house.box.failures = [DependencyRejected("notifier", "gone")]
    alert = await house.save(opened())
    await house.run_all()
    await house.jobs.revive(JobKind.DELIVER_NOTIFICATION)
    await house.run_all()
    assert house.box.told == [(OPS, Event.TRIGGER)]
    assert (await house.states(alert))[0][1] is DeliveryState.DELIVERED


async def test_a_crash_after_sending_sends_the_same_again(house: House) -> None:
    alert = await house.save(opened())
    (woken,) = await house.jobs.due(1, timedelta(0))
    first = await house.jobs.claim(woken.job_id, timedelta(0))
    second = await house.jobs.claim(woken.job_id, HOUR)
    assert first is not None
    assert second is not None
    notification_id = UUID(first.payload["notification"])
    with pytest.raises(LeaseLost):
        await house.service.deliver(first.lease, notification_id)
    await house.service.deliver(second.lease, notification_id)
    (one, _), (again, _) = house.box.sent
    assert one == again
    await house.service.deliver(None, notification_id)
    assert len(house.box.sent) == 2
    assert [state for _, state, _ in await house.states(alert)] == [DeliveryState.DELIVERED]


async def test_a_channel_that_left_the_settings_is_a_dead_letter(house: House) -> None:
    alert = await house.save(opened())
    house.service = NotificationService(house.hub, house.store, house.clock, Channels())
    (error,) = await house.run()
    assert "no channel ops any more" in str(error)
    assert (await house.states(alert))[0][1] is DeliveryState.FAILED


async def test_what_leaves_with_its_dataset_is_not_sent(house: House) -> None:
    await house.save(opened())
    async with house.store.transaction() as tx:
        await tx.forget([URN])
    await house.run_all()
    assert house.box.sent == []
    assert (await house.jobs.counts()).by_state[JobState.DONE] == 1


# --- quiet hours ---


@pytest.fixture
async def quiet() -> House:
    """Nothing is broadcast; Jane, who owns the dataset, sleeps."""
    house = House(broadcast=False)
    wanted = Preferences("", (Subscription(Scope.OWNED, MAIL),), NIGHTS)
    await house.service.save_preferences(house.jane, None, wanted)
    return house


async def test_what_falls_into_quiet_hours_comes_when_they_end(quiet: House) -> None:
    await quiet.save(opened())
    await quiet.run_all()
    assert quiet.box.told == []
    quiet.clock.advance(8 * HOUR)
    await quiet.run_all()
    assert quiet.box.told == [(MAIL, Event.TRIGGER)]


async def test_what_ended_in_quiet_hours_never_comes(quiet: House) -> None:
    alert = await quiet.save(opened())
    await quiet.save(ended(alert))
    quiet.clock.advance(8 * HOUR)
    await quiet.run_all()
    assert quiet.box.told == []
    assert await quiet.states(alert) == [
        (Event.TRIGGER, DeliveryState.DROPPED, "The alert ended while this was held back."),
        (Event.RESOLVE, DeliveryState.DROPPED, "The alert itself was not told."),
    ]


async def test_the_end_of_what_was_told_by_day_waits_for_the_morning(quiet: House) -> None:
    quiet.clock.advance(10 * HOUR)
    alert = await quiet.save(opened())
    await quiet.run_all()
    quiet.clock.advance(14 * HOUR)
    await quiet.save(ended(alert))
    await quiet.run_all()
    assert quiet.box.told == [(MAIL, Event.TRIGGER)]
    quiet.clock.advance(8 * HOUR)
    await quiet.run_all()
    assert quiet.box.told == [(MAIL, Event.TRIGGER), (MAIL, Event.RESOLVE)]


async def test_a_job_that_comes_too_early_waits_again(quiet: House) -> None:
    alert = await quiet.save(opened())
    (delivery,) = (await quiet.store.deliveries_of([alert.id]))[alert.id]
    await quiet.service.deliver(None, delivery.outgoing.notification.id)
    assert quiet.box.sent == []
    quiet.clock.advance(8 * HOUR)
    await quiet.run_all()
    assert quiet.box.told == [(MAIL, Event.TRIGGER)]


# --- preferences ---

OWN = Subscription(Scope.OWNED, MAIL)


def wanting(*subscriptions: Subscription, quiet: QuietHours | None = None) -> Preferences:
    return Preferences("ignored", subscriptions, quiet, ("ignored",))


async def test_preferences_are_the_actors_own_with_their_teams(house: House) -> None:
    assert await house.service.preferences_for(house.jane, None) == Preferences(JANE)
    saved = await house.service.save_preferences(house.jane, None, wanting(OWN, OWN, quiet=NIGHTS))
    assert saved == Preferences(JANE, (OWN,), NIGHTS, (SALES,))
    assert await house.service.preferences_for(house.jane, None) == saved
    assert house.store.audit_log[-1] == (JANE, "save_notification_preferences", (JANE,))


async def test_a_teams_preferences_are_for_members_and_managers(house: House) -> None:
    for actor in (house.jane, house.admin):
        saved = await house.service.save_preferences(actor, SALES, wanting(OWN))
        assert saved == Preferences(SALES, (OWN,))
        assert await house.service.preferences_for(actor, SALES) == saved
    stranger = house.hub.admit("stranger", "urn:li:corpuser:stranger")
    with pytest.raises(Forbidden, match="for its members"):
        await house.service.save_preferences(stranger, SALES, wanting())
    with pytest.raises(Forbidden, match="for its members"):
        await house.service.preferences_for(stranger, SALES)
    with pytest.raises(InvalidInput, match="not the urn of a group"):
        await house.service.preferences_for(house.admin, JANE)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (wanting(replace(OWN, target=Target("gone"))), "There is no channel 'gone'; there are: ma"),
        (wanting(replace(OWN, target=Target("ops", "x@example.com"))), "leave address empty"),
        (wanting(replace(OWN, target=Target("mail"))), "'' is no mail address"),
        (wanting(replace(OWN, target=Target("mail", "a@example.com\nBcc: b"))), "no mail address"),
        (wanting(replace(OWN, target=Target("mail", "x@evil.com"))), "to example.com only"),
        (wanting(OWN, quiet=QuietHours("Mars", ())), "no time zone"),
        (
            wanting(*(replace(OWN, target=Target("mail", f"{n}@example.com")) for n in range(51))),
            "may hold 50",
        ),
    ],
)
async def test_what_the_settings_do_not_offer_is_refused(
    house: House, wanted: Preferences, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        await house.service.save_preferences(house.jane, None, wanted)
    assert await house.service.preferences_for(house.jane, None) == Preferences(JANE)


async def test_a_team_has_no_teams(house: House) -> None:
    teams = Subscription(Scope.TEAMS, MAIL)
    with pytest.raises(InvalidInput, match="no teams"):
        await house.service.save_preferences(house.jane, SALES, wanting(teams))


# --- tests of channels, and the log ---


async def test_a_test_goes_to_a_target_of_ones_own_or_a_managers_any(house: House) -> None:
    with pytest.raises(Forbidden, match="needs a subscription"):
        await house.service.send_test(house.jane, MAIL)
    await house.service.save_preferences(house.jane, SALES, wanting(OWN))
    await house.service.send_test(house.jane, MAIL)
    await house.service.send_test(house.admin, OPS)
    assert house.box.told == [(MAIL, Event.TRIGGER), (OPS, Event.TRIGGER)]
    assert all(one.message.test for one, _ in house.box.sent)
    assert house.store.audit_log[-1] == (
        "urn:li:corpuser:admin",
        "send_test_notification",
        ("ops",),
    )
    with pytest.raises(InvalidInput, match="no channel"):
        await house.service.send_test(house.admin, Target("gone"))


async def test_a_test_of_pagerduty_leaves_no_incident_open(house: House) -> None:
    await house.service.send_test(house.admin, Target("pager"))
    assert [event for _, event in house.box.told] == [Event.TRIGGER, Event.RESOLVE]
    assert len({one.message.alert_id for one, _ in house.box.sent}) == 1


async def test_the_log_of_an_alert_is_for_those_who_may_edit_and_hides_addresses(
    house: House,
) -> None:
    await house.service.save_preferences(house.jane, None, wanting(OWN))
    alert = await house.save(opened())
    other = await house.save(opened(2, check=Check(Metric.FRESHNESS)))
    edit = Access(view_profile=True, view_operations=False, edit_assertions=True)
    view = replace(edit, edit_assertions=False)
    editor = house.hub.admit("editor", "urn:li:corpuser:editor", rights={URN: edit})
    viewer = house.hub.admit("viewer", "urn:li:corpuser:viewer", rights={URN: view})

    async def seen(actor: Actor) -> Mapping[int, list[Target]]:
        found = await house.service.deliveries_for(actor, [alert, other])
        return {key.int: [one.outgoing.target for one in log] for key, log in found.items()}

    assert await seen(house.admin) == {1: [MAIL, OPS], 2: [MAIL, OPS]}
    assert await seen(house.jane) == {1: [MAIL, OPS], 2: [MAIL, OPS]}
    assert await seen(editor) == {1: [Target("mail"), OPS]}
    assert await seen(viewer) == {}
    severe = await house.save(opened(3, severity=Severity.WARN))
    assert await house.service.deliveries_for(house.admin, [severe])
