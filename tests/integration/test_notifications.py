"""Every channel delivers once when nothing fails, and the same again after a crash.

The worker is a process of its own; the channels are servers on this machine that speak the real
protocols, mail with STARTTLS and a login.
"""

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme
from redis.asyncio import Redis
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.notifiers.channels import open_channels
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.postgres.tables import jobs as jobs_table
from dataspoke.adapters.postgres.tables import metadata
from dataspoke.adapters.system_clock import SystemClock
from dataspoke.catalogue import Dataset
from dataspoke.embedded.valkey import Valkey
from dataspoke.ports.store import JobKind, JobState
from dataspoke.quality.model import Alert, AlertState, Check, Metric
from dataspoke.quality.notifications.model import DeliveryState
from dataspoke.quality.notifications.service import NotificationService
from dataspoke.settings import NotificationSettings, StoreSettings
from tests.support.notifying_worker import NotifyingWorker, Plan
from tests.support.receivers import (
    MAIL_PASSWORD,
    MAIL_USER,
    ROUTING_KEY,
    WEBHOOK_SECRET,
    HttpReceivers,
    MailServer,
    http_receivers,
    mail_server,
)
from tests.support.waiting import until

URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
CHANNELS = 4


@pytest.fixture(scope="module")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(StoreSettings(url=database_url))
    yield made
    await made.dispose()


@pytest.fixture
def http() -> Iterator[HttpReceivers]:
    with http_receivers() as made:
        yield made


class World:
    """An empty database, channels that listen, and the workers that a test starts and kills."""

    def __init__(
        self, engine: AsyncEngine, plan: Plan, http: HttpReceivers, mail: MailServer, logs: Path
    ) -> None:
        self.engine = engine
        self.store, self.jobs = PostgresStore(engine), PostgresJobs(engine)
        self.http, self.mail = http, mail
        self.hub = MemoryHub()
        self.hub.put(Dataset(URN, "shop.orders", "urn:li:dataPlatform:postgres"))
        self.workers: list[NotifyingWorker] = []
        self._plan = plan
        self._logs = logs

    def start_worker(self, *, stuck: bool = False) -> NotifyingWorker:
        log = self._logs / f"worker-{len(self.workers)}.log"
        worker = NotifyingWorker(replace(self._plan, stuck=stuck), log)
        self.workers.append(worker)
        return worker

    async def save(self, alert: Alert) -> Alert:
        """Save an alert and announce the change; returns it as saved."""
        clock = SystemClock()
        settings = NotificationSettings.model_validate(self._plan.channels)
        async with open_channels(settings, clock) as channels:
            service = NotificationService(self.hub, self.store, clock, channels)
            async with self.store.transaction() as tx:
                changes = await tx.save_alerts([alert])
            outgoing = await service.plan(changes, [])
            async with self.store.transaction() as tx:
                await service.enqueue(tx, outgoing)
        return changes[0].alert

    @property
    def arrived(self) -> tuple[int, int, int, int]:
        http = self.http
        return len(http.slack), len(http.pagerduty), len(http.webhooks), len(self.mail.mails)

    async def until_idle(self) -> None:
        async def idle() -> bool:
            return await self.jobs.pending([JobKind.DELIVER_NOTIFICATION]) == 0

        await until(idle, "all deliveries to end")

    async def states(self, alert: Alert) -> Counter[DeliveryState]:
        found = await self.store.deliveries_of([alert.id])
        return Counter(one.state for one in found[alert.id])


@pytest.fixture
async def world(
    engine: AsyncEngine,
    database_url: str,
    valkey: Valkey,
    http: HttpReceivers,
    tmp_path: Path,
) -> AsyncIterator[World]:
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    certificates = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(certificates)
    async with mail_server(tls, login=True) as mail:
        channels: dict[str, Any] = {
            "slack": {"kind": "slack", "url": f"{http.url}/services/T0/B0/secret"},
            "pager": {
                "kind": "pagerduty",
                "routing_key": ROUTING_KEY,
                "url": f"{http.url}/v2/enqueue",
            },
            "hook": {"kind": "webhook", "url": f"{http.url}/hook", "secret": WEBHOOK_SECRET},
            "mail": {
                "kind": "smtp",
                "host": "localhost",
                "port": mail.port,
                "username": MAIL_USER,
                "password": MAIL_PASSWORD,
                "sender": "dataspoke@example.com",
                "to": ["ops@example.com"],
            },
        }
        settings = {"channels": channels, "allowed_networks": ["127.0.0.0/8"]}
        plan = Plan(database_url, valkey.url, settings, str(certificates))
        made = World(engine, plan, http, mail, tmp_path)
        yield made
        for worker in made.workers:
            worker.kill()


def opened() -> Alert:
    now, identity = datetime.now(UTC), uuid4()
    return Alert(
        id=identity,
        urn=URN,
        check=Check(Metric.ROW_COUNT),
        state=AlertState.OPEN,
        dedupe_key=str(identity),
        opened_at=now,
        observed_at=now,
        value=400,
        message="shop.orders: row count was 400 rows, expected 3,800–4,200 rows.",
        low=3800,
        high=4200,
    )


async def test_every_channel_delivers_each_change_exactly_once(world: World) -> None:
    alert = await world.save(opened())
    someone = "urn:li:corpuser:jane"
    taken = replace(alert, state=AlertState.ACKNOWLEDGED, acknowledged_by=someone)
    alert = await world.save(taken)
    await world.save(replace(alert, state=AlertState.RESOLVED, ended_at=datetime.now(UTC)))
    worker = world.start_worker()
    await world.until_idle()
    assert worker.stop() == 0
    assert await world.states(alert) == {DeliveryState.DELIVERED: 3 * CHANNELS}
    assert world.arrived == (3, 3, 3, 3)
    assert [body["text"].partition(":")[0] for body in world.http.slack] == [
        "Alert",
        "Acknowledged",
        "Resolved",
    ]
    actions = [event["event_action"] for event in world.http.pagerduty]
    assert actions == ["trigger", "acknowledge", "resolve"]
    assert list(world.http.incidents.values()) == ["resolved"]
    types = [body["type"] for _, body in world.http.webhooks]
    assert types == ["alert.triggered", "alert.acknowledged", "alert.resolved"]
    assert len({key for key, _ in world.http.webhooks}) == 3
    assert len(set(world.mail.message_ids)) == 3
    assert world.mail.encrypted == [True] * 3


async def test_a_crash_between_send_and_commit_sends_again_with_the_same_key(world: World) -> None:
    alert = await world.save(opened())
    stuck = world.start_worker(stuck=True)
    await until(lambda: world.arrived == (1, 1, 1, 1), "every channel to be sent its message")
    stuck.kill()
    assert await world.states(alert) == {DeliveryState.PENDING: CHANNELS}
    world.start_worker()
    await world.until_idle()
    assert await world.states(alert) == {DeliveryState.DELIVERED: CHANNELS}
    assert world.arrived == (2, 2, 2, 2)
    first, second = world.http.webhooks
    assert first == second, "the same Idempotency-Key with the same body"
    assert len(set(world.mail.message_ids)) == 1
    trigger, again = world.http.pagerduty
    assert trigger == again
    assert list(world.http.incidents.values()) == ["triggered"], "one incident"
    # Slack knows no key: its channel shows the message twice.
    assert world.http.slack[0] == world.http.slack[1]


async def test_a_worker_that_dies_before_it_sends_loses_nothing(world: World) -> None:
    world.mail.refusal = "451 4.3.0 Come back later"
    world.http.faults.extend([(503, {})] * 1000)
    alert = await world.save(opened())
    first = world.start_worker()

    async def refused() -> bool:
        deliveries = (await world.store.deliveries_of([alert.id]))[alert.id]
        return all(one.attempts > 0 for one in deliveries)

    await until(refused, "every channel to refuse once")
    first.kill()
    world.mail.refusal = ""
    world.http.faults.clear()
    world.start_worker()
    await world.until_idle()
    assert await world.states(alert) == {DeliveryState.DELIVERED: CHANNELS}
    assert world.arrived == (1, 1, 1, 1)


async def test_who_asks_for_time_gets_it(world: World) -> None:
    world.http.faults.extend([(429, {"Retry-After": "120"})] * 3)
    await world.save(opened())
    world.start_worker()
    waiting = select(
        func.count(), func.min(jobs_table.c.not_before - func.now()).label("shortest")
    ).where(
        jobs_table.c.kind == JobKind.DELIVER_NOTIFICATION,
        jobs_table.c.state == JobState.READY,
        jobs_table.c.attempt == 1,
    )

    async def given_back() -> bool:
        async with world.engine.connect() as connection:
            count, shortest = (await connection.execute(waiting)).one()
        if count < 3:
            return False
        assert timedelta(seconds=90) < shortest <= timedelta(seconds=120)
        return True

    await until(given_back, "the three to be given back")
    await until(lambda: world.arrived == (0, 0, 0, 1), "the mail, which nobody asked to wait")


async def test_what_is_refused_is_a_dead_letter_with_its_error(world: World) -> None:
    world.http.faults.extend([(404, {})] * 3)
    alert = await world.save(opened())
    world.start_worker()
    await world.until_idle()
    assert await world.states(alert) == {DeliveryState.FAILED: 3, DeliveryState.DELIVERED: 1}
    dead = select(jobs_table.c.error).where(jobs_table.c.state == JobState.DEAD)
    async with world.engine.connect() as connection:
        errors = (await connection.execute(dead)).scalars().all()
    assert sorted(errors) == [
        "PagerDuty answered HTTP 404: as told",
        "Slack answered HTTP 404: as told",
        "The webhook hook answered HTTP 404: as told",
    ]
    assert await world.jobs.revive(JobKind.DELIVER_NOTIFICATION) == 3
    await world.until_idle()
    assert world.arrived == (1, 1, 1, 1)
