"""The share of each group, and what it does where something fails; Kafka itself is in contract."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.adapters.memory.changes import MemoryChangeLog
from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.errors import Conflict, DependencyUnavailable
from dataspoke.ports.changes import Group, Partition
from dataspoke.ports.hub import MetadataEvent, RejectedEvent, Topic
from dataspoke.ports.store import JobKind
from dataspoke.workers.consumer import GroupConsumer
from dataspoke.workers.events import plan, share

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)"
OWNED = MetadataEvent(ORDERS, "dataset", "ownership", "UPSERT")
PROFILED = MetadataEvent(ORDERS, "dataset", "datasetProfile", "UPSERT")
VERSIONED = Partition(Topic.VERSIONED, 0)
STREAM = f"{Group.VECTOR_SYNC}/{Topic.VERSIONED}/0"


@dataclass
class World:
    log: MemoryChangeLog = field(default_factory=MemoryChangeLog)
    hurried: list[timedelta] = field(default_factory=list)
    store: MemoryStore = field(default_factory=lambda: MemoryStore(MemoryClock()))

    def consumer(self, group: Group = Group.VECTOR_SYNC) -> GroupConsumer:
        return GroupConsumer(group, self.log, self.store, self.hurried.append, pace_s=0)

    @property
    def kinds(self) -> set[JobKind]:
        return {job.kind for job in self.store.open_jobs}

    async def requested(self) -> list[str]:
        return [request.urn for request in await self.store.index_requests(10)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    return World()


@given(
    st.lists(
        st.builds(
            MetadataEvent,
            st.sampled_from([ORDERS, "urn:li:tag:PII", "urn:li:corpuser:ann"]),
            st.sampled_from(["dataset", "tag", "corpuser"]),
            st.sampled_from(["ownership", "status", "datasetProfile", "tagProperties", "x"]),
            st.sampled_from(["UPSERT", "DELETE"]),
        )
    )
)
def test_the_groups_together_do_all_of_a_plan_and_nothing_twice(
    events: list[MetadataEvent],
) -> None:
    whole = plan(events)
    parts = [share(whole, group) for group in Group]
    for name in ("index", "audit", "scan", "renamed"):
        assert [getattr(part, name) for part in parts if getattr(part, name)] == [
            value for value in [getattr(whole, name)] if value
        ]


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        (Group.VECTOR_SYNC, JobKind.RECONCILE),
        (Group.QUALITY_MONITOR, JobKind.SCAN_ALL),
        (Group.NOTIFICATION, JobKind.AUDIT_ALL),
    ],
)
async def test_a_group_begins_at_the_end_and_looks_through_all(
    world: World, group: Group, kind: JobKind
) -> None:
    world.log.emit(Topic.VERSIONED, OWNED)
    await world.consumer(group).step()
    assert world.kinds == {kind}
    assert await world.store.cursor(f"{group}/{Topic.VERSIONED}/0") == "1"


async def test_changes_are_taken_once_and_then_acknowledged(world: World) -> None:
    consumer = world.consumer()
    await consumer.step()
    world.log.emit(Topic.VERSIONED, OWNED)
    await consumer.step()
    assert await world.requested() == [ORDERS]
    assert world.log.acknowledged == {(Group.VECTOR_SYNC, VERSIONED): "1"}
    (before,) = await world.store.index_requests(10)
    await world.consumer().step()  # as after a restart
    assert await world.store.index_requests(10) == [before]


async def test_what_cannot_be_read_is_kept_aside(world: World) -> None:
    consumer = world.consumer()
    await consumer.step()
    for event in (RejectedEvent("AAAA", "no schema"), OWNED):
        world.log.emit(Topic.VERSIONED, event)
    await consumer.step()
    assert list(world.store.rejected_events) == [(STREAM, "AAAA", "no schema")]
    assert await world.requested() == [ORDERS]


async def test_a_broker_that_fails_is_joined_again_where_the_work_stands(world: World) -> None:
    consumer = world.consumer()
    await consumer.step()
    world.log.failure = DependencyUnavailable("events", "down")
    world.log.emit(Topic.VERSIONED, OWNED)
    for _ in range(2):
        with pytest.raises(DependencyUnavailable):
            await consumer.step()
    assert await world.requested() == []
    world.log.failure = None
    await consumer.step()
    assert await world.requested() == [ORDERS]


async def test_who_was_overtaken_takes_nothing(world: World) -> None:
    slow = world.consumer()
    await slow.step()
    world.log.emit(Topic.VERSIONED, RejectedEvent("AAAA", "no schema"))
    await world.consumer().step()
    with pytest.raises(Conflict):
        await slow.step()
    assert len(world.store.rejected_events) == 1
    world.log.emit(Topic.VERSIONED, OWNED)
    await slow.step()
    assert await world.requested() == [ORDERS]


async def test_what_was_deleted_before_it_was_read_is_made_up_for(world: World) -> None:
    async with world.store.transaction() as tx:
        await tx.save_cursor(STREAM, "1", None)
    for _ in range(5):
        world.log.emit(Topic.VERSIONED, OWNED)
    world.log.forgotten = 3
    await world.consumer().step()
    assert await world.store.cursor(STREAM) == "5"
    assert world.kinds == {JobKind.RECONCILE}
    assert await world.requested() == []
