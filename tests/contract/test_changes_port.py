"""What the workers rely on of the hub's streams in a broker: in memory and in Kafka."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from dataspoke.adapters.kafka import open_change_log
from dataspoke.adapters.memory.changes import MemoryChangeLog
from dataspoke.embedded.kafka import Kafka
from dataspoke.errors import DependencyUnavailable
from dataspoke.ports.changes import ChangeLog, Group, Kept, Member, Partition
from dataspoke.ports.hub import EventPage, MetadataEvent, Topic
from dataspoke.settings import HubSettings
from tests.support.broker import Broker
from tests.support.hub import RunningHub, running_hub

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)"
OWNED = MetadataEvent(ORDERS, "dataset", "ownership", "UPSERT", "run-1", "urn:li:corpuser:ann")
GONE = MetadataEvent(ORDERS, "dataset", "datasetKey", "DELETE", None, "urn:li:corpuser:ann")
PROFILED = MetadataEvent(ORDERS, "dataset", "datasetProfile", "UPSERT", None, "urn:li:corpuser:x")
VERSIONED = Partition(Topic.VERSIONED, 0)
_PATIENCE_S = 30


class Writer(Protocol):
    def emit(self, topic: Topic, event: MetadataEvent) -> None: ...


@dataclass
class World:
    log: ChangeLog
    writer: Writer
    begun: list[tuple[Partition, Kept]] = field(default_factory=list)
    begin_at: int = 0

    async def begin(self, partition: Partition, kept: Kept) -> int:
        self.begun.append((partition, kept))
        return self.begin_at


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub() as running:
        yield running


@pytest.fixture(params=["memory", "kafka"])
async def world(request: pytest.FixtureRequest, hub: RunningHub) -> AsyncIterator[World]:
    if request.param == "memory":
        log = MemoryChangeLog()
        yield World(log, log)
        return
    kafka: Kafka = request.getfixturevalue("kafka")
    broker = Broker(kafka)
    async with open_change_log(broker.settings, HubSettings(url=hub.url)) as log:
        yield World(log, broker)


async def next_page(member: Member) -> tuple[Partition, EventPage]:
    """Return the one page that comes next."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            for page in await member.receive(100):
                return page
            await asyncio.sleep(0)


async def test_changes_come_in_order_with_the_offset_after_them(world: World) -> None:
    for event in (OWNED, GONE):
        world.writer.emit(Topic.VERSIONED, event)
    async with world.log.join(Group.VECTOR_SYNC, [Topic.VERSIONED], world.begin) as member:
        assert await next_page(member) == (VERSIONED, EventPage("2", (OWNED, GONE)))
        world.writer.emit(Topic.VERSIONED, OWNED)
        assert await next_page(member) == (VERSIONED, EventPage("3", (OWNED,)))
        assert await member.receive(100) == []
    assert world.begun == [(VERSIONED, Kept(0, 2))]


async def test_a_member_begins_where_it_is_told(world: World) -> None:
    for event in (OWNED, OWNED, GONE):
        world.writer.emit(Topic.VERSIONED, event)
    world.begin_at = 2
    async with world.log.join(Group.VECTOR_SYNC, [Topic.VERSIONED], world.begin) as member:
        assert (await next_page(member))[1].events == (GONE,)


async def test_what_was_acknowledged_decides_nothing(world: World) -> None:
    world.writer.emit(Topic.VERSIONED, OWNED)
    for _ in range(2):
        async with world.log.join(Group.VECTOR_SYNC, [Topic.VERSIONED], world.begin) as member:
            page = await next_page(member)
            assert page[1].events == (OWNED,)
            await member.acknowledge(*page)


async def test_each_group_gets_every_change(world: World) -> None:
    world.writer.emit(Topic.VERSIONED, OWNED)
    for group in Group:
        async with world.log.join(group, [Topic.VERSIONED], world.begin) as member:
            assert (await next_page(member))[1].events == (OWNED,)


async def test_streams_stay_apart(world: World) -> None:
    world.writer.emit(Topic.VERSIONED, OWNED)
    world.writer.emit(Topic.TIMESERIES, PROFILED)
    found: dict[Partition, EventPage] = {}
    async with world.log.join(Group.QUALITY_MONITOR, list(Topic), world.begin) as member:
        async with asyncio.timeout(_PATIENCE_S):
            while len(found) < len(Topic):
                found.update(await member.receive(100))
    assert found == {
        VERSIONED: EventPage("1", (OWNED,)),
        Partition(Topic.TIMESERIES, 0): EventPage("1", (PROFILED,)),
    }


async def test_where_the_place_cannot_be_told_nothing_is_read(world: World) -> None:
    async def begin(partition: Partition, kept: Kept) -> int:
        raise DependencyUnavailable("store", "down")

    world.writer.emit(Topic.VERSIONED, OWNED)
    with pytest.raises(DependencyUnavailable, match="down"):
        async with world.log.join(Group.VECTOR_SYNC, [Topic.VERSIONED], begin) as member:
            await next_page(member)


async def test_a_broker_that_answers_is_ready(world: World) -> None:
    await world.log.ping()
