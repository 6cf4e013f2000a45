"""Runs: what they do, what they count, and how they are cancelled and go on."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import ParamSpec, TypeVar

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset, Profile
from dataspoke.errors import Conflict, DependencyTimeout, DependencyUnavailable, Forbidden, NotFound
from dataspoke.ports.models import StoredModel
from dataspoke.ports.runs import ALL, REST, Run, RunKind, RunState
from dataspoke.ports.store import JobKind, NewJob
from dataspoke.quality.detectors import DatasetHistory
from dataspoke.quality.model import Check, Metric
from dataspoke.quality.runs import RunService, scan_all_job
from dataspoke.urns import deterministic_id
from tests.support.quality import quality_service

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHOP, LAB = "urn:li:domain:shop", "urn:li:domain:lab"
HIVE, KAFKA = "urn:li:dataPlatform:hive", "urn:li:dataPlatform:kafka"
P = ParamSpec("P")
T = TypeVar("T")


def urn(name: str, platform: str = HIVE) -> str:
    return f"urn:li:dataset:({platform},{name},PROD)"


class PoisonedCompute(InlineCompute):
    """Judges no batch in which this dataset is."""

    poison: str | None = None

    async def run(
        self, timeout: timedelta, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        histories = args[0]
        assert isinstance(histories, Sequence)
        for history in histories:
            assert isinstance(history, DatasetHistory)
            if history.urn == self.poison:
                raise DependencyTimeout("compute", "It took too long.")
        return await super().run(timeout, function, *args, **kwargs)


class House:
    """Runs on ports in memory, and a worker that does what waits."""

    def __init__(self, scopes: Collection[str] = (), batch: int = 3) -> None:
        self.clock = MemoryClock()
        self.hub = MemoryHub()
        self.store = MemoryStore(self.clock)
        self.jobs = MemoryJobs(self.store)
        self.compute = PoisonedCompute()
        self.feed = MemoryFeed(timedelta(milliseconds=20))
        quality = quality_service(self.hub, self.store, self.feed, self.compute, self.clock)
        self.runs = RunService(
            self.hub,
            self.store,
            self.feed,
            self.clock,
            quality,
            scopes=scopes,
            batch=batch,
            pace=timedelta(0),
        )
        self.manager = self.hub.admit("service", "urn:li:corpuser:dataspoke", can_manage=True)
        self.editor = self.hub.admit("editor", "urn:li:corpuser:editor")

    def put(self, *urns: str, domain: str | None = None) -> None:
        for one in urns:
            profiles = [Profile(self.clock.now() - n * HOUR, 100) for n in range(3)]
            self.hub.put(Dataset(one, one, HIVE, domain=domain), profiles=profiles)

    async def work(self, most: int = 1000, tries: int = 2) -> int:
        """Do up to ``most`` jobs of runs; one that fails is given up at its last try."""
        done = 0
        while done < most:
            for woken in await self.jobs.due(1, HOUR):
                job = await self.jobs.claim(woken.job_id, HOUR)
                assert job is not None
                try:
                    if job.kind is JobKind.SCAN_ALL:
                        kind = RunKind(job.payload.get("kind", RunKind.SCHEDULED))
                        run_id = job.payload.get("run_id")
                        await self.runs.begin(
                            job.lease,
                            kind,
                            job.payload.get("scope", ALL),
                            next((r.id for r in await self.all() if str(r.id) == run_id), None),
                        )
                    elif job.kind is JobKind.SCAN_DATASETS:
                        (run,) = [r for r in await self.all() if str(r.id) == job.payload["run_id"]]
                        await self.runs.scan(job.lease, run.id, job.payload["urns"])
                    else:
                        await self.jobs.finish(job.lease)
                except (DependencyTimeout, DependencyUnavailable) as error:
                    again = None if job.attempt == tries else timedelta(0)
                    await self.jobs.fail(job.lease, error.public_message, again)
                done += job.kind in (JobKind.SCAN_ALL, JobKind.SCAN_DATASETS)
                break
            else:
                return done
        return done

    async def all(self) -> Sequence[Run]:
        return await self.store.newest_runs(None, 100)

    async def newest(self) -> Run:
        return (await self.all())[0]

    async def scanned(self) -> set[str]:
        return set(await self.store.known_datasets())

    def waiting(self) -> list[NewJob]:
        scans = (JobKind.SCAN_ALL, JobKind.SCAN_DATASETS)
        return [job for job in self.store.open_jobs if job.kind in scans]

    async def schedule(self, scope: str = ALL) -> None:
        async with self.store.transaction() as tx:
            await tx.add_jobs([scan_all_job(scope)])


TEN = [urn(f"t{n}") for n in range(10)]


@pytest.fixture
def house() -> House:
    return House()


async def test_a_scan_of_all_is_a_run_of_batches(house: House) -> None:
    house.put(*TEN)
    run = await house.runs.request(house.manager)
    assert (run.kind, run.scope, run.total) == (RunKind.REQUESTED, ALL, None)
    assert (await house.runs.request(house.manager)).id == run.id
    assert await house.work(1) == 1
    assert [len(job.payload["urns"]) for job in house.waiting()] == [3, 3, 3, 1]
    assert (await house.newest()).total == 10
    await house.work()
    ended = await house.newest()
    assert (ended.id, ended.state, ended.done, ended.failed) == (run.id, RunState.DONE, 10, 0)
    assert await house.scanned() == set(TEN)
    assert [entry[:2] for entry in house.store.audit_log] == [
        ("urn:li:corpuser:dataspoke", "request_scan"),
        ("urn:li:corpuser:dataspoke", "request_scan"),
    ]


async def test_what_left_the_hub_is_scanned_once_more(house: House) -> None:
    house.put(*TEN)
    await house.runs.request(house.manager)
    await house.work()
    house.hub.delete(TEN[0])
    await house.runs.request(house.manager)
    await house.work()
    assert (await house.newest()).done == 10
    assert await house.scanned() == set(TEN[1:])


async def test_a_scan_that_is_due_joins_the_one_under_way(house: House) -> None:
    house.put(*TEN)
    run = await house.runs.request(house.manager)
    await house.work(2)
    await house.runs.begin(None)
    await house.work()
    assert [(r.id, r.done) for r in await house.all()] == [(run.id, 10)]


async def test_an_empty_hub_makes_a_run_that_is_done(house: House) -> None:
    await house.schedule()
    await house.work()
    run = await house.newest()
    assert (run.kind, run.state, run.total) == (RunKind.SCHEDULED, RunState.DONE, 0)


async def test_a_cancelled_run_goes_on_with_what_is_left(house: House) -> None:
    house.put(*TEN)
    run = await house.runs.request(house.manager)
    await house.work(3)
    cancelled = await house.runs.cancel(house.manager, run.id)
    assert (cancelled.state, cancelled.done) == (RunState.CANCELLED, 6)
    assert house.waiting() == []
    first = await house.scanned()
    assert len(first) == 6
    house.clock.advance(DAY)
    resumed = await house.runs.resume(house.manager, run.id)
    assert (resumed.state, resumed.done) == (RunState.RUNNING, 6)
    assert sorted(u for job in house.waiting() for u in job.payload["urns"]) == sorted(
        set(TEN) - first
    )
    await house.work()
    assert ((await house.newest()).state, (await house.newest()).done) == (RunState.DONE, 10)
    scanned_at = {u: v.scanned_at for u, v in (await house.store.quality_of(TEN)).items()}
    assert all(scanned_at[one] == house.clock.now() - DAY for one in first), "not judged again"


async def test_resuming_twice_does_nothing_twice(house: House) -> None:
    house.put(*TEN)
    run = await house.runs.request(house.manager)
    await house.work(2)
    for _ in range(2):
        await house.runs.resume(house.manager, run.id)
    assert sum(len(job.payload["urns"]) for job in house.waiting()) == 7
    await house.work()
    assert (await house.newest()).done == 10
    with pytest.raises(Conflict, match="Nothing is left"):
        await house.runs.resume(house.manager, run.id)


async def test_a_run_cancelled_before_its_datasets_are_listed_gets_no_jobs(house: House) -> None:
    house.put(*TEN)
    run = await house.runs.request(house.manager)
    await house.runs.cancel(house.manager, run.id)
    assert await house.work() == 0
    await house.runs.begin(None, run_id=run.id)  # a worker that had begun to list them
    assert house.waiting() == []
    await house.runs.resume(house.manager, run.id)
    await house.work()
    assert (await house.newest()).done == 10


async def test_one_poisonous_dataset_takes_no_other_along(house: House) -> None:
    house.put(*TEN)
    house.compute.poison = TEN[4]
    await house.runs.request(house.manager)
    await house.work()
    run = await house.newest()
    assert (run.state, run.done, run.failed) == (RunState.DONE, 9, 1)
    assert await house.scanned() == set(TEN) - {TEN[4]}
    # Once it is mended it can be done after all.
    house.compute.poison = None
    await house.runs.resume(house.manager, run.id)
    await house.work()
    run = await house.newest()
    assert (run.state, run.done, run.failed) == (RunState.DONE, 10, 0)


async def test_an_outage_parts_no_batch(house: House) -> None:
    house.put(*TEN)
    await house.runs.request(house.manager)
    await house.work(1)
    house.hub.failure = DependencyUnavailable("hub", "down")
    await house.work(1)
    assert [len(job.payload["urns"]) for job in house.waiting()] == [3, 3, 3, 1]
    house.hub.failure = None
    await house.work()
    assert (await house.newest()).done == 10


async def test_a_run_that_cannot_be_listed_fails_and_can_be_resumed(house: House) -> None:
    house.put(*TEN)
    run = await house.runs.request(house.manager)
    house.hub.failure = DependencyUnavailable("hub", "down")
    await house.work()
    assert (await house.newest()).state is RunState.FAILED
    house.hub.failure = None
    await house.runs.resume(house.manager, run.id)
    await house.work()
    assert ((await house.newest()).state, (await house.newest()).done) == (RunState.DONE, 10)


async def test_each_scope_is_scanned_by_its_own_schedule() -> None:
    house = House(scopes=[SHOP, KAFKA])
    in_shop = [urn("orders"), urn("clicks", KAFKA)]
    in_kafka, others = [urn("logs", KAFKA)], [urn("lab"), urn("none")]
    house.put(*in_shop, domain=SHOP)
    house.put(urn("lab"), domain=LAB)
    house.put(urn("none"), *in_kafka)
    expected = {SHOP: in_shop, KAFKA: in_kafka, REST: others, ALL: in_shop + in_kafka + others}
    for scope, urns in expected.items():
        await house.schedule(scope)
        await house.work(1)
        named = [u for job in house.waiting() for u in job.payload["urns"]]
        assert sorted(named) == sorted(urns), scope
        await house.work()


async def test_a_refit_is_of_what_has_old_models(house: House) -> None:
    house.put(*TEN)
    now = house.clock.now()
    rows = Check(Metric.ROW_COUNT)
    async with house.store.transaction() as tx:
        await tx.save_models(
            [
                StoredModel(TEN[0], rows, 1, b"", now - 7 * DAY, now),
                StoredModel(TEN[1], rows, 1, b"", now - HOUR, now),
            ]
        )
    await house.runs.begin(None, RunKind.REFIT)
    (job,) = house.waiting()
    assert (job.payload["urns"], job.payload["refit"]) == ([TEN[0]], True)


async def test_only_managers_change_runs(house: House) -> None:
    run = await house.runs.request(house.manager)
    with pytest.raises(Forbidden, match="right to manage"):
        await house.runs.request(house.editor)
    for change in (house.runs.cancel, house.runs.resume):
        with pytest.raises(Forbidden):
            await change(house.editor, run.id)
        with pytest.raises(NotFound):
            await change(house.manager, deterministic_id("no", "run"))
    assert await house.runs.run(house.editor, run.id) == run


async def test_progress_is_followed_to_the_end(house: House) -> None:
    house.put(*TEN)
    run = await house.runs.request(house.manager)
    seen = []
    async for state in house.runs.progress(house.editor, run.id):
        seen.append((state.total, state.done, state.state))
        await house.work(1)
    assert seen[0] == (None, 0, RunState.RUNNING)
    assert seen[-1] == (10, 10, RunState.DONE)
    counts = [done for _, done, _ in seen]
    assert counts == sorted(counts)
    with pytest.raises(NotFound):
        await anext(house.runs.progress(house.editor, deterministic_id("no", "run")))
