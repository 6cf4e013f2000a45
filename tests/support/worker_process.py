"""A worker in a process of its own, for tests that kill it.

``python -m tests.support.worker_process`` reads a Plan as JSON and runs until SIGTERM.
"""

import asyncio
import json
import logging
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dataspoke.adapters.arq import ArqQueue
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.process_pool import ProcessPool
from dataspoke.adapters.redis_feed import RedisFeed
from dataspoke.adapters.system_clock import SystemClock
from dataspoke.catalogue import Dataset, Profile
from dataspoke.embedded.child import Child
from dataspoke.ports.store import JobKind, Lease, Store
from dataspoke.quality.service import QualityService
from dataspoke.settings import RedisSettings, StoreSettings, WorkerSettings
from dataspoke.workers.jobs import Work
from dataspoke.workers.worker import run

ROOT = Path(__file__).parents[2]
# The kind of job that writes one row: its payload is {"name", "seconds", "fails"}.
ROW = JobKind.AUDIT_DATASETS
# How many datasets of the hub have a fault in their newest profile; as many have none.
FAULTY = 15


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker process is to do. ``scans`` asks for the real quality service."""

    database_url: str
    redis_url: str
    now: str
    scans: bool = False
    lease_s: float = 1.5
    job_timeout_s: float = 30
    scan_every_s: float = 86_400


def start(plan: Plan, log: Path) -> Child:
    """Start a worker process; the plan goes by its standard input, as it holds passwords."""
    command = [sys.executable, "-m", "tests.support.worker_process"]
    return Child("worker", command, log, stdin=json.dumps(asdict(plan)).encode(), cwd=ROOT)


def faulty_urns() -> list[str]:
    return [f"urn:li:dataset:(urn:li:dataPlatform:hive,faulty_{n},PROD)" for n in range(FAULTY)]


def sound_urns() -> list[str]:
    return [f"urn:li:dataset:(urn:li:dataPlatform:hive,sound_{n},PROD)" for n in range(FAULTY)]


class SlowHub(MemoryHub):
    """The datasets above, the same in every process; each read takes a while."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        for urn in faulty_urns() + sound_urns():
            drawn = random.Random(urn)
            counts = [1000 + drawn.randrange(20) for _ in range(60)]
            if urn in faulty_urns():
                counts[-1] = 50
            self.put(
                Dataset(urn, urn, "urn:li:dataPlatform:hive"),
                profiles=[
                    Profile(now - timedelta(days=60 - day), count)
                    for day, count in enumerate(counts)
                ],
            )

    async def profiles(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Profile]]:
        await asyncio.sleep(0.1)
        return await super().profiles(urns, since)


def _row_table(store: Store) -> Mapping[JobKind, Work]:
    async def write_row(lease: Lease, payload: Mapping[str, Any]) -> None:
        await asyncio.sleep(payload["seconds"] / 2)
        async with store.transaction(lease) as tx:
            await tx.audit("worker", "wrote", [payload["name"]])
            await asyncio.sleep(payload["seconds"] / 2)
            if payload["fails"] == "always" or (payload["fails"] == "once" and lease.token == 1):
                raise ValueError("as it was told to")

    async def nothing(lease: Lease, payload: Mapping[str, Any]) -> None:
        async with store.transaction(lease):
            pass

    return {**dict.fromkeys(JobKind, nothing), ROW: write_row}


def _scan_table(store: Store, quality: QualityService) -> Mapping[JobKind, Work]:
    return {
        **_row_table(store),
        JobKind.SCAN_ALL: lambda lease, payload: quality.scan_all(lease),
        JobKind.SCAN_DATASET: lambda lease, payload: quality.scan(lease, payload["urn"]),
        JobKind.WRITE_BACK_QUALITY: lambda lease, payload: quality.write_back(
            lease, payload["urn"]
        ),
    }


async def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    plan = Plan(**json.load(sys.stdin))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    redis = RedisSettings(url=plan.redis_url)
    engine = create_engine(StoreSettings(url=plan.database_url))
    store = PostgresStore(engine)
    hub = SlowHub(datetime.fromisoformat(plan.now))
    async with ArqQueue(redis) as queue, RedisFeed(redis) as feed, ProcessPool(2) as compute:
        quality = QualityService(hub, store, feed, compute, SystemClock())
        await run(
            work=_scan_table(store, quality) if plan.scans else _row_table(store),
            store=store,
            jobs=PostgresJobs(engine),
            queue=queue,
            wake_ups=queue,
            hub=hub,
            settings=WorkerSettings(
                lease_s=plan.lease_s,
                job_timeout_s=plan.job_timeout_s,
                scan_every_s=plan.scan_every_s,
                poll_wait_s=1,
            ),
            stop=stop,
        )
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
