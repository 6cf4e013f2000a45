"""Whenever a worker is killed, the index ends up as the hub is."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.tables import metadata
from dataspoke.embedded.kafka import Kafka
from dataspoke.embedded.valkey import Valkey
from dataspoke.knowledge.indexing import Drift
from dataspoke.localhub.proposals import Proposal
from dataspoke.localhub.publisher import Publisher
from dataspoke.localhub.storage import Storage
from dataspoke.ports.changes import Group
from dataspoke.ports.hub import Topic
from dataspoke.ports.store import JobKind
from dataspoke.runtime import Runtime, open_runtime
from dataspoke.settings import Settings, StoreSettings
from tests.support.hub import RunningHub, running_hub
from tests.support.index_worker import IndexWorker
from tests.support.waiting import until

ACTOR = "urn:li:corpuser:datahub"
DATASETS = 40
KILLS = 3
_PATIENCE_S = 90
_PAUSE_S = 0.02


def urn_of(number: int) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:hive,shop.t{number:03},PROD)"


def _described(name: str) -> Mapping[str, object]:
    return {"name": name, "description": f"What {name} holds."}


class Flood:
    """Changes without end: datasets come, change, go for good, are put away and come back."""

    def __init__(self, storage: Storage, seed: int) -> None:
        self._storage = storage
        self._drawn = random.Random(seed)
        self._count = 0

    def change(self) -> None:
        """Change one dataset in one way."""
        self._count += 1
        urn = urn_of(self._drawn.randrange(DATASETS))
        match self._drawn.randrange(6):
            case 0:
                self._storage.delete(urn, ACTOR)
            case 1:
                removed = {"removed": self._drawn.random() < 0.7}
                self._storage.write([Proposal(urn, "status", removed)], ACTOR)
            case 2:
                other = urn_of(self._drawn.randrange(DATASETS))
                upstream = {"upstreams": [{"dataset": other, "type": "COPY"}]}
                self._storage.write([Proposal(urn, "upstreamLineage", upstream)], ACTOR)
            case _:
                name = "version" + "".join("abcdefghij"[int(d)] for d in str(self._count))
                self._storage.write([Proposal(urn, "datasetProperties", _described(name))], ACTOR)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Change while inside, in a thread."""
        stop = threading.Event()

        def go_on() -> None:
            while not stop.wait(_PAUSE_S):
                self.change()

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    with running_hub() as running:
        yield running


@pytest.fixture(params=["poll", "kafka"])
async def settings(
    request: pytest.FixtureRequest, hub: RunningHub, database_url: str, valkey: Valkey
) -> AsyncIterator[Settings]:
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
    engine = create_engine(StoreSettings(url=database_url))
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    await engine.dispose()
    events: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        if request.param == "kafka":
            kafka: Kafka = request.getfixturevalue("kafka")
            events = {"kind": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
            await stack.enter_async_context(
                Publisher(hub.storage, kafka.bootstrap_servers).running()
            )
        yield Settings.model_validate(
            {
                "hub": {"url": hub.url, "token": "service-token"},
                "events": events,
                "store": {"url": database_url},
                "redis": {"url": valkey.url},
                "embedder": {"kind": "none"},
                "worker": {"lease_s": 1.5, "poll_wait_s": 1},
            }
        )


def _in_the_hub(storage: Storage) -> Mapping[str, str]:
    """Return what each dataset that is not put away is called."""
    urns = storage.urns("dataset")
    aspects = storage.aspects(urns, ["datasetProperties"])
    return {
        urn: aspects[urn]["datasetProperties"].value["name"]
        if urn in aspects
        else urn.split(",")[1]
        for urn in urns
    }


async def _in_the_index(runtime: Runtime) -> Mapping[str, str]:
    documents = await runtime.vectors.documents(sorted(await runtime.vectors.urns()))
    return {urn: document.title for urn, document in documents.items()}


async def _place(runtime: Runtime) -> str | None:
    streams = [Topic.VERSIONED, f"{Group.VECTOR_SYNC}/{Topic.VERSIONED}/0"]
    return next((at for at in [await runtime.store.cursor(one) for one in streams] if at), None)


async def _reconciled(runtime: Runtime) -> Drift:
    """Return how far what is kept was from the hub, having asked for it to be mended."""
    *_, (drift, _) = [step async for step in runtime.index.survey()]
    return drift


async def test_a_worker_that_is_killed_again_and_again(
    settings: Settings, hub: RunningHub, tmp_path: Path
) -> None:
    drawn = random.Random(7)
    flood = Flood(hub.storage, seed=7)
    log = tmp_path / "worker.log"
    async with open_runtime(settings) as runtime:
        # What was there before a stream is followed is for a scan to find, not for events.
        worker = IndexWorker(settings, log)

        async def begun() -> bool:
            return await _place(runtime) is not None

        await until(begun, "the worker to follow the hub", _PATIENCE_S)
        worker.kill()
        for _ in range(2 * DATASETS):
            flood.change()
        with flood.running():
            for _ in range(KILLS):
                before = await _place(runtime)
                worker = IndexWorker(settings, log)

                async def moved_on(before: str | None = before) -> bool:
                    return await _place(runtime) not in (None, before)

                await until(moved_on, "the worker to take changes", _PATIENCE_S)
                await asyncio.sleep(drawn.uniform(0, 1))
                worker.kill()
        worker = IndexWorker(settings, log)
        try:
            # By its events alone ...
            async def in_step() -> bool:
                return await _in_the_index(runtime) == _in_the_hub(hub.storage)

            await until(in_step, "the index to be as the hub is", _PATIENCE_S)

            # ... and by what a reconciliation looks at, which is all that is kept.
            async def reconciled() -> bool:
                return await runtime.jobs.pending(list(JobKind)) == 0

            await until(reconciled, "all jobs to end", _PATIENCE_S)
            await _reconciled(runtime)
            await until(reconciled, "the reconciliation to end", _PATIENCE_S)
            found = await _reconciled(runtime)
            assert (found.documents, found.snapshots, found.gone) == (0, 0, 0)
            assert await in_step()
        finally:
            worker.kill()
