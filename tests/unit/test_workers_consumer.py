from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.errors import DependencyRejected, DependencyUnavailable
from dataspoke.ports.hub import EventPage, MetadataEvent, RejectedEvent, Topic
from dataspoke.ports.store import JobKind
from dataspoke.workers.consumer import EventConsumer

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)"
OWNED = MetadataEvent(ORDERS, "dataset", "ownership", "UPSERT")
PROFILED = MetadataEvent(ORDERS, "dataset", "datasetProfile", "UPSERT")
RENAMED = MetadataEvent("urn:li:tag:PII", "tag", "tagProperties", "UPSERT")


class ForgetfulHub(MemoryHub):
    """Refuses one cursor, as a hub that keeps its events for a few days only."""

    refused: str | None = None

    async def poll(
        self, topic: Topic, cursor: str | None, limit: int, wait: timedelta
    ) -> EventPage:
        if cursor is not None and cursor == self.refused:
            raise DependencyRejected("hub", "This offset is too old.")
        return await super().poll(topic, cursor, limit, wait)


@dataclass
class World:
    hub: ForgetfulHub = field(default_factory=ForgetfulHub)
    clock: MemoryClock = field(default_factory=MemoryClock)
    hurried: list[timedelta] = field(default_factory=list)
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)

    @property
    def consumer(self) -> EventConsumer:
        return EventConsumer(self.hub, self.store, timedelta(0), self.hurried.append, pace_s=0)

    @property
    def asked(self) -> list[tuple[JobKind, timedelta]]:
        return [(job.kind, job.delay) for job in self.store.open_jobs]

    @property
    def kinds(self) -> set[JobKind]:
        return {job.kind for job in self.store.open_jobs}


@pytest.fixture
async def world() -> World:
    made = World()
    await made.consumer.begin()
    return made


async def test_changes_become_requests_and_jobs_once(world: World) -> None:
    for event in (OWNED, OWNED):
        world.hub.emit(Topic.VERSIONED, event)
    await world.consumer.step(Topic.VERSIONED)
    assert [request.urn for request in await world.store.index_requests(10)] == [ORDERS]
    assert world.kinds == {JobKind.REINDEX, JobKind.AUDIT_DATASETS}
    assert len(world.store.open_jobs) == 2
    assert max(world.hurried) <= timedelta(seconds=0.3)
    version = (await world.store.index_requests(1))[0].version
    await world.consumer.step(Topic.VERSIONED)
    assert (await world.store.index_requests(1))[0].version == version


async def test_a_burst_of_measures_makes_one_scan(world: World) -> None:
    used = MetadataEvent(ORDERS, "dataset", "datasetUsageStatistics", "UPSERT")
    jobs = MemoryJobs(world.store)
    for event in (PROFILED, used, PROFILED, PROFILED):
        world.hub.emit(Topic.TIMESERIES, event)
        await world.consumer.step(Topic.TIMESERIES)
        assert await jobs.due(10, timedelta(hours=1)) == [], "it waits for what is still to come"
        world.clock.advance(timedelta(seconds=0.2))
    (job,) = world.store.open_jobs
    assert (job.kind, job.payload) == (JobKind.SCAN_DATASETS, {"urns": [ORDERS]})
    # A stream that never rests does not put it off for ever.
    world.clock.advance(timedelta(seconds=0.2))
    assert len(await jobs.due(10, timedelta(hours=1))) == 1
    assert max(world.hurried) <= timedelta(seconds=1)


async def test_a_renamed_tag_asks_once_for_what_carries_it(world: World) -> None:
    for _ in range(5):
        world.hub.emit(Topic.VERSIONED, RENAMED)
    await world.consumer.step(Topic.VERSIONED)
    (job,) = world.store.open_jobs
    assert (job.kind, job.payload) == (JobKind.REINDEX_CARRIERS, {"urns": [RENAMED.urn]})


async def test_names_without_end_ask_for_one_reconciliation(world: World) -> None:
    for number in range(300):
        world.hub.emit(
            Topic.VERSIONED,
            MetadataEvent(f"urn:li:corpuser:{number}", "corpuser", "corpUserInfo", "UPSERT"),
        )
    await world.consumer.step(Topic.VERSIONED)
    assert world.kinds == {JobKind.RECONCILE}


async def test_what_came_before_the_beginning_is_left_to_full_scans() -> None:
    world = World()
    world.hub.emit(Topic.VERSIONED, OWNED)
    await world.consumer.begin()
    await world.consumer.step(Topic.VERSIONED)
    assert world.asked == []
    # A restart goes on where the first left off.
    world.hub.emit(Topic.VERSIONED, OWNED)
    await world.consumer.begin()
    await world.consumer.step(Topic.VERSIONED)
    assert world.kinds == {JobKind.REINDEX, JobKind.AUDIT_DATASETS}


async def test_nothing_is_passed_over_while_the_hub_is_down(world: World) -> None:
    world.hub.failure = DependencyUnavailable("hub", "down")
    world.hub.emit(Topic.VERSIONED, OWNED)
    with pytest.raises(DependencyUnavailable):
        await world.consumer.step(Topic.VERSIONED)
    world.hub.failure = None
    await world.consumer.step(Topic.VERSIONED)
    assert world.kinds == {JobKind.REINDEX, JobKind.AUDIT_DATASETS}


async def test_what_cannot_be_read_is_kept_aside_and_the_stream_moves_on(world: World) -> None:
    broken = MetadataEvent("urn:li:dataset:broken", "dataset", "ownership", "UPSERT")
    for event in (RejectedEvent("{", "no JSON"), broken, OWNED):
        world.hub.emit(Topic.VERSIONED, event)
    await world.consumer.step(Topic.VERSIONED)
    assert [error for _, _, error in world.store.rejected_events] == [
        "no JSON",
        "Its urn is not that of a dataset.",
    ]
    assert JobKind.REINDEX in world.kinds
    await world.consumer.step(Topic.VERSIONED)
    assert len(world.store.rejected_events) == 2


async def test_a_refused_cursor_starts_anew_and_scans_all(world: World) -> None:
    world.hub.emit(Topic.VERSIONED, OWNED)
    world.hub.refused = await world.store.cursor(Topic.VERSIONED)
    await world.consumer.step(Topic.VERSIONED)
    assert world.kinds == {JobKind.RECONCILE, JobKind.AUDIT_ALL, JobKind.SCAN_ALL}
    assert await world.store.cursor(Topic.VERSIONED) == "1"


async def test_a_stream_that_begins_late_scans_all() -> None:
    world = World()
    await world.consumer.step(Topic.TIMESERIES)
    assert world.kinds == {JobKind.RECONCILE, JobKind.AUDIT_ALL, JobKind.SCAN_ALL}


async def test_two_consumers_take_each_change_once(world: World) -> None:
    class Overtaken(MemoryHub):
        async def poll(
            self, topic: Topic, cursor: str | None, limit: int, wait: timedelta
        ) -> EventPage:
            page = await world.hub.poll(topic, cursor, limit, wait)
            await world.consumer.step(topic)  # the other one is faster
            return page

    world.hub.emit(Topic.VERSIONED, RejectedEvent("{", "no JSON"))
    slow = EventConsumer(Overtaken(), world.store, timedelta(0), world.hurried.append, pace_s=0)
    await slow.step(Topic.VERSIONED)
    assert len(world.store.rejected_events) == 1
    world.hub.emit(Topic.VERSIONED, OWNED)
    await slow.step(Topic.VERSIONED)
    assert await world.store.cursor(Topic.VERSIONED) == "2"
