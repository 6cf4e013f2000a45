"""What comes out of a real broker, whatever was put into it, and what happens when it fails."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.datahub.aspects import RUN_ID
from dataspoke.adapters.kafka import open_change_log
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.postgres.tables import metadata, rejected_events
from dataspoke.embedded.kafka import Kafka
from dataspoke.errors import (
    ConfigurationError,
    DataSpokeError,
    DependencyError,
    DependencyRejected,
    DependencyUnavailable,
)
from dataspoke.localhub.proposals import Proposal
from dataspoke.localhub.publisher import Publisher, framed
from dataspoke.localhub.registry import schema_ids
from dataspoke.ports.changes import ChangeLog, Group, Kept, Member, Partition
from dataspoke.ports.hub import EventPage, MetadataEvent, Topic
from dataspoke.ports.store import JobKind
from dataspoke.settings import EventSettings, HubSettings, StoreSettings
from dataspoke.workers.consumer import GroupConsumer
from tests.support.broker import Broker, require_kafka
from tests.support.hub import RunningHub, running_hub
from tests.support.waiting import until

HIVE = "urn:li:dataPlatform:hive"
SOON_S = 30


def dataset(name: str) -> str:
    return f"urn:li:dataset:({HIVE},shop.{name},PROD)"


def change(name: str, aspect: str = "ownership", run_id: str | None = None) -> MetadataEvent:
    return MetadataEvent(
        dataset(name), "dataset", aspect, "UPSERT", run_id, "urn:li:corpuser:datahub"
    )


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub() as running:
        yield running


@pytest.fixture
def broker(kafka: Kafka) -> Broker:
    return Broker(kafka)


@pytest.fixture
async def log(broker: Broker, hub: RunningHub) -> AsyncIterator[ChangeLog]:
    async with open_change_log(broker.settings, HubSettings(url=hub.url)) as opened:
        yield opened


async def from_the_start(partition: Partition, kept: Kept) -> int:
    return kept.first


async def received(log: ChangeLog, *, through: int) -> EventPage:
    """Return everything in the versioned stream up to an offset, as one page."""
    events, rejected, cursor = [], [], ""
    async with (
        asyncio.timeout(SOON_S),
        log.join(Group.VECTOR_SYNC, [Topic.VERSIONED], from_the_start) as member,
    ):
        while cursor != str(through):
            for _, page in await member.receive(100):
                events += page.events
                rejected += page.rejected
                cursor = page.cursor
    return EventPage(cursor, tuple(events), tuple(rejected))


# --- what stands in the topics ---


async def test_values_of_several_schemas_are_read_by_their_ids(
    broker: Broker, log: ChangeLog
) -> None:
    before, now = schema_ids(Topic.VERSIONED)
    events = [change(str(number)) for number in range(6)]
    for number, event in enumerate(events):
        broker.emit(Topic.VERSIONED, event, schema_id=before if number % 2 else now)
    assert await received(log, through=6) == EventPage("6", tuple(events))


async def test_own_writes_are_passed_over(broker: Broker, log: ChangeLog) -> None:
    broker.emit(Topic.VERSIONED, change("a", run_id=RUN_ID), change("b", run_id="dbt"))
    assert (await received(log, through=2)).events == (change("b", run_id="dbt"),)


GOOD = framed(
    schema_ids(Topic.VERSIONED)[-1],
    {"entityType": "dataset", "entityUrn": "urn:a", "changeType": "UPSERT", "aspectName": "status"},
)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "does not begin with the id of a schema"),
        (b'{"entityUrn": "urn:li:dataset:x"}', "does not begin with the id of a schema"),
        (b"\0\0\0", "does not begin with the id of a schema"),
        (b"\0\0\0\0\x63 anything", "knows no schema 99"),
        (GOOD[:12], "is not of schema"),
        (GOOD[:5] + b"\xff" * 40, "is not of schema"),
        (GOOD + b"more", "goes on where schema"),
        # A platform event, which is no change of metadata.
        (b"\0\0\0\0\x04\0\0" + b"\0" * 12, ""),
    ],
)
async def test_poison_is_kept_aside_and_holds_nothing_up(
    broker: Broker, log: ChangeLog, value: bytes, why: str
) -> None:
    broker.emit(Topic.VERSIONED, change("before"))
    broker.write(Topic.VERSIONED, value)
    broker.emit(Topic.VERSIONED, change("after"))
    page = await received(log, through=3)
    assert page.events == (change("before"), change("after"))
    ((kept, error),) = page.rejected
    assert why in error
    assert kept.startswith("0:1 ")


async def test_the_mark_of_a_deletion_is_no_poison(broker: Broker, log: ChangeLog) -> None:
    broker.write(Topic.VERSIONED, None)
    broker.emit(Topic.VERSIONED, change("a"))
    assert await received(log, through=2) == EventPage("2", (change("a"),))


@pytest.fixture
def empty_kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A broker of the test's own: the stand-in's topics have DataHub's names."""
    require_kafka()
    server = Kafka(tmp_path / "kafka")
    yield server
    server.stop()


async def test_the_stand_in_publishes_its_log_as_it_hands_it_out(empty_kafka: Kafka) -> None:
    kafka = empty_kafka
    with running_hub() as hub:
        urn = dataset("published")
        hub.storage.write(
            [Proposal(urn, "datasetProperties", {"name": "first"})], "urn:li:corpuser:a"
        )
        settings = EventSettings(kind="kafka", bootstrap_servers=kafka.bootstrap_servers)
        async with (
            Publisher(hub.storage, kafka.bootstrap_servers).running(),
            open_change_log(settings, HubSettings(url=hub.url)) as log,
        ):
            page = await received(log, through=2)
            assert [(event.urn, event.aspect, event.change) for event in page.events] == [
                (urn, "datasetKey", "UPSERT"),
                (urn, "datasetProperties", "UPSERT"),
            ]
            hub.storage.delete(urn, "urn:li:corpuser:a")
            page = await received(log, through=3)
            assert [(event.aspect, event.change) for event in page.events][2:] == [
                ("datasetKey", "DELETE")
            ]
        # A restart goes on where it ended.
        hub.storage.write(
            [Proposal(urn, "datasetProperties", {"name": "again"})], "urn:li:corpuser:a"
        )
        async with (
            Publisher(hub.storage, kafka.bootstrap_servers).running(),
            open_change_log(settings, HubSettings(url=hub.url)) as log,
        ):
            page = await received(log, through=5)
            assert len(page.events) == 5


# --- what is done with it ---


class World:
    """A database, the topics, and as many workers' consumers as a test asks for."""

    def __init__(self, engine: AsyncEngine, broker: Broker, hub_url: str) -> None:
        self.engine = engine
        self.broker = broker
        self.store = PostgresStore(engine)
        self.jobs = PostgresJobs(engine)
        self.hub_url = hub_url

    @asynccontextmanager
    async def following(
        self, group: Group = Group.VECTOR_SYNC, log: ChangeLog | None = None
    ) -> AsyncIterator[GroupConsumer]:
        """Follow the streams while inside, as a worker does; yields once it has a partition."""
        async with open_change_log(self.broker.settings, HubSettings(url=self.hub_url)) as opened:
            consumer = GroupConsumer(group, log or opened, self.store, lambda _: None)
            working = asyncio.create_task(_follow(consumer))
            try:
                async with asyncio.timeout(SOON_S):
                    await consumer.has_begun.wait()
                yield consumer
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

    async def requested(self) -> set[str]:
        return {request.urn for request in await self.store.index_requests(1000)}

    async def cursor(self, group: Group = Group.VECTOR_SYNC) -> str | None:
        return await self.store.cursor(f"{group}/{Topic.VERSIONED}/0")

    async def until_taken(self, offset: int, group: Group = Group.VECTOR_SYNC) -> None:
        async def taken() -> bool:
            return await self.cursor(group) == str(offset)

        await until(taken, f"the changes up to {offset} to be taken", SOON_S)

    async def rejected(self) -> Sequence[str]:
        async with self.engine.connect() as connection:
            return (await connection.execute(select(rejected_events.c.error))).scalars().all()


async def _follow(consumer: GroupConsumer) -> None:
    while True:
        try:
            await consumer.step()
        except DataSpokeError:
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(StoreSettings(url=database_url))
    yield made
    await made.dispose()


@pytest.fixture
async def world(engine: AsyncEngine, broker: Broker, hub: RunningHub) -> World:
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    return World(engine, broker, hub.url)


async def test_the_first_beginning_is_at_the_end_and_looks_through_all(world: World) -> None:
    world.broker.emit(Topic.VERSIONED, change("before"))
    async with world.following():
        assert await world.cursor() == "1"
        assert await world.jobs.pending([JobKind.RECONCILE]) == 1
        world.broker.emit(Topic.VERSIONED, change("after"))
        await world.until_taken(2)
        assert await world.requested() == {dataset("after")}


async def test_each_group_does_its_own_share(world: World) -> None:
    profiled = change("a", "datasetProfile")
    async with (
        world.following(Group.VECTOR_SYNC),
        world.following(Group.QUALITY_MONITOR),
        world.following(Group.NOTIFICATION),
    ):
        world.broker.emit(Topic.VERSIONED, change("a"))
        world.broker.emit(Topic.TIMESERIES, profiled)
        for group in Group:
            await world.until_taken(1, group)

        async def measured() -> bool:
            return await world.jobs.pending([JobKind.SCAN_DATASETS]) == 1

        await until(measured, "the profile to be scanned", SOON_S)
    assert await world.requested() == {dataset("a")}
    assert await world.jobs.pending([JobKind.REINDEX]) == 1
    assert await world.jobs.pending([JobKind.AUDIT_DATASETS]) == 1


async def test_what_was_taken_is_acknowledged(world: World) -> None:
    async with world.following():
        world.broker.emit(Topic.VERSIONED, change("a"), change("b"))
        await world.until_taken(2)
    assert await world.broker.acknowledged(Group.VECTOR_SYNC, Topic.VERSIONED) == 2


async def test_a_worker_that_dies_before_it_acknowledges_doubles_nothing(
    world: World, log: ChangeLog
) -> None:
    class Deadly(Member):
        def __init__(self, member: Member) -> None:
            self.receive = member.receive  # type: ignore[method-assign]

        async def acknowledge(self, partition: Partition, page: EventPage) -> None:
            await asyncio.Event().wait()  # until it is killed

    class DeadlyLog(ChangeLog):
        @asynccontextmanager
        async def join(  # type: ignore[override]
            self,
            group: Group,
            topics: Sequence[Topic],
            begin: Callable[[Partition, Kept], Awaitable[int]],
        ) -> AsyncIterator[Member]:
            async with log.join(group, topics, begin) as member:
                yield Deadly(member)

    async with world.following(log=DeadlyLog()):
        world.broker.write(Topic.VERSIONED, b"poison")
        world.broker.emit(Topic.VERSIONED, change("a"))
        await world.until_taken(2)
    assert await world.broker.acknowledged(Group.VECTOR_SYNC, Topic.VERSIONED) < 0
    (before,) = await world.store.index_requests(10)
    async with world.following():
        world.broker.emit(Topic.VERSIONED, change("b"))
        await world.until_taken(3)
    assert await world.requested() == {dataset("a"), dataset("b")}
    assert before in await world.store.index_requests(10), "it was not asked for again"
    assert len(await world.rejected()) == 1


async def test_two_workers_of_a_group_take_each_change_once(
    engine: AsyncEngine, world: World, kafka: Kafka, hub: RunningHub
) -> None:
    world = World(engine, Broker(kafka, partitions=2), hub.url)
    names = [str(number) for number in range(40)]
    async with world.following():
        world.broker.emit(Topic.VERSIONED, *map(change, names[:10]))
        async with world.following():
            world.broker.emit(Topic.VERSIONED, *map(change, names[10:20]))
            world.broker.write(Topic.VERSIONED, b"poison")
            world.broker.emit(Topic.VERSIONED, *map(change, names[20:30]))
        # The second one has left in the midst of it.
        world.broker.emit(Topic.VERSIONED, *map(change, names[30:]))

        async def all_taken() -> bool:
            return await world.requested() == set(map(dataset, names))

        await until(all_taken, "all changes to be taken", SOON_S)
    assert len(await world.rejected()) == 1


async def test_changes_that_the_broker_deleted_are_made_up_for(world: World) -> None:
    async with world.following():
        world.broker.emit(Topic.VERSIONED, change("a"))
        await world.until_taken(1)
    world.broker.emit(Topic.VERSIONED, *(change(str(number)) for number in range(10)))
    world.broker.forget(Topic.VERSIONED, before=8)
    async with world.engine.begin() as connection:
        await connection.execute(text("DELETE FROM jobs"))
    async with world.following():
        await world.until_taken(11)
        assert await world.jobs.pending([JobKind.RECONCILE]) == 1
        world.broker.emit(Topic.VERSIONED, change("b"))
        await world.until_taken(12)


async def test_a_topic_that_was_made_anew_is_followed_again(world: World) -> None:
    async with world.store.transaction() as tx:
        await tx.save_cursor(f"{Group.VECTOR_SYNC}/{Topic.VERSIONED}/0", "700", None)
    async with world.following():
        assert await world.cursor() == "0"
        assert await world.jobs.pending([JobKind.RECONCILE]) == 1
        world.broker.emit(Topic.VERSIONED, change("a"))
        await world.until_taken(1)


async def test_an_event_that_the_store_refuses_is_kept_aside(world: World) -> None:
    async with world.following():
        world.broker.emit(Topic.VERSIONED, change("a"), change("b\0"), change("c"))
        await world.until_taken(3)
    assert await world.requested() == {dataset("a"), dataset("c")}
    assert len(await world.rejected()) == 1


# --- what fails ---


async def test_changes_wait_for_a_registry_that_is_down(world: World) -> None:
    hub_url, world.hub_url = world.hub_url, "http://127.0.0.1:9"
    async with world.following():
        world.broker.emit(Topic.VERSIONED, change("a"))
        async with open_change_log(
            world.broker.settings, HubSettings(url="http://127.0.0.1:9")
        ) as log:
            with pytest.raises(DependencyUnavailable, match="registry cannot be reached"):
                await received(log, through=1)
        assert await world.cursor() == "0"
    world.hub_url = hub_url
    async with world.following():
        await world.until_taken(1)
    assert await world.rejected() == []


async def test_what_is_no_registry_costs_no_change(world: World, hub: RunningHub) -> None:
    world.broker.emit(Topic.VERSIONED, change("a"))
    wrong = world.broker.settings.model_copy(
        update={"registry_url": SecretStr(f"{hub.url}/nowhere")}
    )
    async with open_change_log(wrong, HubSettings(url=hub.url)) as log:
        with pytest.raises(DependencyRejected, match="DATASPOKE_EVENTS__REGISTRY_URL"):
            await received(log, through=1)


async def test_a_topic_that_is_missing_is_named(kafka: Kafka, hub: RunningHub) -> None:
    settings = EventSettings(
        kind="kafka", bootstrap_servers=kafka.bootstrap_servers, versioned_topic="nobody_made_it"
    )
    async with open_change_log(settings, HubSettings(url=hub.url)) as log:
        with pytest.raises(DependencyRejected, match="nobody_made_it"):
            await log.ping()
        with pytest.raises(DependencyError, match="DATASPOKE_EVENTS__VERSIONED_TOPIC"):
            await received(log, through=1)


async def test_settings_without_a_broker_are_refused(hub: RunningHub) -> None:
    with pytest.raises(ConfigurationError, match="DATASPOKE_EVENTS__BOOTSTRAP_SERVERS"):
        async with open_change_log(EventSettings(kind="kafka"), HubSettings(url=hub.url)):
            pass


async def test_a_broker_that_is_restarted_costs_nothing(
    world: World, log: ChangeLog, kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.following():
        world.broker.emit(Topic.VERSIONED, change("a"))
        await world.until_taken(1)
        with caplog.at_level(logging.INFO, "dataspoke.adapters.kafka"):
            kafka.child.process.kill()
            kafka.child.process.wait()
            await until(lambda: "interrupted" in caplog.text, "the outage to be told", SOON_S)
            with pytest.raises(DependencyError):
                await log.ping()
            await asyncio.to_thread(kafka.start)
            world.broker.emit(Topic.VERSIONED, change("b"))
            await world.until_taken(2)
            await log.ping()
        assert caplog.text.count("interrupted") == caplog.text.count("goes on") == 1
