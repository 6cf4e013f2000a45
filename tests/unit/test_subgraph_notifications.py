"""Notifications through GraphQL, and from an alert's announcement to its delivery."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.catalogue import Dataset
from dataspoke.errors import DependencyRejected, DependencyUnavailable
from dataspoke.ports.notifier import Channels
from dataspoke.ports.store import JobKind
from dataspoke.quality.model import AlertState
from dataspoke.quality.notifications.model import (
    Channel,
    ChannelKind,
    Event,
    Filter,
    Target,
)
from tests.support.mailbox import Mailbox
from tests.support.subgraph import (
    EDITOR,
    NOW,
    PLATFORM,
    SERVICE,
    STRANGER,
    VIEWER,
    Subgraph,
    alert_of,
    urn,
)

TEAM = "urn:li:corpGroup:sales"
PREFERENCES = """
    subject teams
    subscriptions { scope severityAtLeast channel address }
    quietHours { timeZone errorsPierce windows { days start end } }
"""
SAVE = f"""
    mutation ($preferences: NotificationPreferencesInput!, $team: String) {{
      saveNotificationPreferences(preferences: $preferences, team: $team) {{
        __typename
        ... on NotificationPreferencesSaved {{ preferences {{ {PREFERENCES} }} }}
        ... on ForbiddenFailure {{ message }}
        ... on InvalidInputFailure {{ message }}
      }}
    }}
"""
READ = f"query ($team: String) {{ notificationPreferences(team: $team) {{ {PREFERENCES} }} }}"
TEST = """
    mutation ($channel: String!, $address: String) {
      sendTestNotification(channel: $channel, address: $address) {
        __typename
        ... on TestNotificationSent { channel }
        ... on NotificationFailure { message }
        ... on ForbiddenFailure { message }
        ... on InvalidInputFailure { message }
      }
    }
"""
LOG = """
    { qualityAlerts { edges { node { state deliveries {
      event channel address state attempts detail notBefore
    } } } } }
"""
MAIL = {"channel": "mail", "address": "editor@example.com"}
WANTED = {
    "subscriptions": [
        {"scope": "OWNED", "severityAtLeast": "ERROR", **MAIL},
        {"scope": "TEAMS", "channel": "ops"},
    ],
    "quietHours": {
        "timeZone": "Europe/Berlin",
        "windows": [{"days": ["SUNDAY", "SATURDAY"], "start": "22:30:00", "end": "07:00:00"}],
        "errorsPierce": True,
    },
}


class World(Subgraph):
    """A subgraph with a Slack channel that hears everything, and a mail server that is asked."""

    def __init__(self) -> None:
        self.box = Mailbox()
        channels = [
            Channel("ops", ChannelKind.SLACK, Filter()),
            Channel("mail", ChannelKind.SMTP, recipient_domains=("example.com",)),
        ]
        super().__init__(
            channels=Channels(
                {one.name: one for one in channels},
                {one.name: self.box for one in channels},
                datahub_url="http://datahub.test",
            )
        )
        self.jobs = MemoryJobs(self.store)

    async def work(self) -> None:
        """Announce what has changed, and do the deliveries that are due."""
        await self.services.alerts.announce(None)  # type: ignore[attr-defined]
        while woken := await self.jobs.due(100, timedelta(0)):
            for one in woken:
                job = await self.jobs.claim(one.job_id, timedelta(hours=1))
                assert job is not None
                if job.kind is JobKind.DELIVER_NOTIFICATION:
                    notification = UUID(job.payload["notification"])
                    await self.notifications.deliver(job.lease, notification)
                else:
                    await self.jobs.finish(job.lease)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.put("orders", failing=["orders"])
    return made


async def log(world: World, token: str) -> Any:
    connection = (await world.data(LOG, token))["qualityAlerts"]
    return [edge["node"]["deliveries"] for edge in connection["edges"]]


async def test_the_channels_to_choose_from_are_named(world: World) -> None:
    query = "{ notificationChannels { name kind recipientDomains } }"
    assert (await world.data(query))["notificationChannels"] == [
        {"name": "mail", "kind": "SMTP", "recipientDomains": ["example.com"]},
        {"name": "ops", "kind": "SLACK", "recipientDomains": []},
    ]
    answer = await world.ask(query, None)
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_what_is_saved_is_what_is_read(world: World) -> None:
    nothing = (await world.data(READ))["notificationPreferences"]
    assert nothing == {
        "subject": "urn:li:corpuser:editor",
        "teams": [],
        "subscriptions": [],
        "quietHours": None,
    }
    saved = (await world.data(SAVE, preferences=WANTED))["saveNotificationPreferences"]
    assert saved["preferences"] == {
        "subject": "urn:li:corpuser:editor",
        "teams": [],
        "subscriptions": [
            {"scope": "OWNED", "severityAtLeast": "ERROR", **MAIL},
            {"scope": "TEAMS", "severityAtLeast": "WARN", "channel": "ops", "address": None},
        ],
        "quietHours": {
            "timeZone": "Europe/Berlin",
            "errorsPierce": True,
            "windows": [{"days": ["SATURDAY", "SUNDAY"], "start": "22:30:00", "end": "07:00:00"}],
        },
    }
    assert (await world.data(READ))["notificationPreferences"] == saved["preferences"]
    assert (await world.data(READ, VIEWER))["notificationPreferences"]["subscriptions"] == []


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (SERVICE, "NotificationPreferencesSaved"),
        (EDITOR, "ForbiddenFailure"),
        (VIEWER, "ForbiddenFailure"),
        (STRANGER, "ForbiddenFailure"),
    ],
)
async def test_a_teams_preferences_are_not_for_everybody(
    world: World, token: str, kind: str
) -> None:
    wanted = {"subscriptions": [{"scope": "OWNED", "channel": "ops"}]}
    answer = await world.data(SAVE, token, preferences=wanted, team=TEAM)
    assert answer["saveNotificationPreferences"]["__typename"] == kind
    read = await world.ask(READ, token, team=TEAM)
    if kind == "ForbiddenFailure":
        assert read["data"] == {"notificationPreferences": None}
        assert read["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    else:
        assert read["data"]["notificationPreferences"]["subject"] == TEAM


async def test_a_member_may_speak_for_their_team(world: World) -> None:
    world.hub.admit("member", "urn:li:corpuser:member", groups=[TEAM])
    wanted = {"subscriptions": [{"scope": "OWNED", "channel": "ops"}]}
    answer = await world.data(SAVE, "member", preferences=wanted, team=TEAM)
    assert answer["saveNotificationPreferences"]["preferences"]["subject"] == TEAM


async def test_what_cannot_be_is_a_typed_failure(world: World) -> None:
    wanted = {"subscriptions": [{"scope": "OWNED", "channel": "gone"}]}
    failure = (await world.data(SAVE, preferences=wanted))["saveNotificationPreferences"]
    assert failure == {
        "__typename": "InvalidInputFailure",
        "message": "There is no channel 'gone'; there are: mail, ops.",
    }


async def test_a_test_says_what_came_of_it(world: World) -> None:
    async def test(token: str, **variables: object) -> Any:
        return (await world.data(TEST, token, **variables))["sendTestNotification"]

    assert (await test(EDITOR, **MAIL))["__typename"] == "ForbiddenFailure"
    assert (await test(SERVICE, channel="gone"))["__typename"] == "InvalidInputFailure"
    assert await test(SERVICE, channel="ops") == {
        "__typename": "TestNotificationSent",
        "channel": "ops",
    }
    for refusal in (DependencyRejected, DependencyUnavailable):
        world.box.failures = [refusal("notifier", "Slack answered HTTP 404: no_service")]
        assert await test(SERVICE, channel="ops") == {
            "__typename": "NotificationFailure",
            "message": "Slack answered HTTP 404: no_service",
        }
    world.hub.failure = DependencyUnavailable("hub", "down")
    answer = await world.ask(TEST, SERVICE, channel="ops")
    assert answer["errors"][0]["extensions"]["code"] == "DEPENDENCY_UNAVAILABLE"


async def test_an_alert_is_told_and_its_log_is_for_who_may_edit(world: World) -> None:
    await world.work()
    sent = {
        "event": "TRIGGER",
        "channel": "ops",
        "address": None,
        "state": "DELIVERED",
        "attempts": 0,
        "detail": None,
        "notBefore": None,
    }
    assert await log(world, EDITOR) == [[sent]]
    assert await log(world, VIEWER) == [None]
    acknowledge = "mutation ($id: ID!) { acknowledgeAlert(id: $id) { __typename } }"
    await world.data(acknowledge, EDITOR, id=str(alert_of("orders").id))
    await world.work()
    await world.work()
    assert world.box.told == [
        (Target("ops"), Event.TRIGGER),
        (Target("ops"), Event.ACKNOWLEDGE),
    ]
    message = world.box.sent[1][0].message
    assert message.by == "urn:li:corpuser:editor"


async def test_owners_hear_what_they_asked_for(world: World) -> None:
    owned = Dataset(urn("orders"), "shop.orders", PLATFORM, owners=("urn:li:corpuser:editor",))
    world.hub.put(owned)
    await world.data(SAVE, preferences=WANTED)
    await world.work()
    assert set(world.box.told) == {
        (Target("ops"), Event.TRIGGER),
        (Target("mail", "editor@example.com"), Event.TRIGGER),
    }
    (seen,) = await log(world, EDITOR)
    assert {one["address"] for one in seen} == {None, "editor@example.com"}
    # To a manager they are shown; to another editor they are not.
    (seen,) = await log(world, SERVICE)
    assert "editor@example.com" in {one["address"] for one in seen}
    world.hub.admit("other", "urn:li:corpuser:other")
    (seen,) = await log(world, "other")
    assert {one["address"] for one in seen} == {None}


async def test_of_one_fault_and_what_it_breaks_one_thing_is_told() -> None:
    world = World()
    await world.put("raw", "clean", "report", failing=["raw", "clean", "report"])
    world.hub.put(Dataset(urn("clean"), "shop.clean", PLATFORM), upstream=[urn("raw")])
    world.hub.put(Dataset(urn("report"), "shop.report", PLATFORM), upstream=[urn("clean")])

    async def told() -> list[tuple[str, Event]]:
        for _ in range(3):
            await world.work()
        return [(one.message.urn, one.message.event) for one, _ in world.box.sent]

    whole = [(urn("raw"), Event.TRIGGER)]
    assert await told() == whole
    assert world.box.sent[0][0].message.downstream == 2
    # What it broke does not all speak up at the moment that it is mended …
    (raw,) = (await world.store.active_alerts([urn("raw")]))[urn("raw")]
    async with world.store.transaction() as tx:
        await tx.save_alerts([replace(raw, state=AlertState.RESOLVED, ended_at=NOW)])
    whole += [(urn("raw"), Event.RESOLVE)]
    assert await told() == whole
    # … but what is still broken a day later does, with a cause of its own.
    world.clock.advance(timedelta(hours=24))
    whole += [(urn("clean"), Event.TRIGGER)]
    assert await told() == whole


async def test_the_logs_of_many_alerts_are_read_at_once(world: World) -> None:
    await world.put("stock", "carts", failing=["stock", "carts"])
    await world.work()
    world.calls.clear()
    assert len(await log(world, EDITOR)) == 3
    assert world.calls["deliveries_of"] == 1
    assert world.calls["preferences_of"] == 1
