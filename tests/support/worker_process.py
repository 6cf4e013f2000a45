"""A worker in a process of its own, for tests that kill it.

Processes are forked off one that has imported everything, so that each starts within moments.
"""

import asyncio
import logging
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import time_machine

from dataspoke.adapters.arq import ArqQueue
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.process_pool import ProcessPool
from dataspoke.adapters.redis_feed import RedisFeed
from dataspoke.adapters.system_clock import SystemClock
from dataspoke.catalogue import Dataset, Profile
from dataspoke.ports.store import JobKind, Lease, Store
from dataspoke.quality.runs import RunService
from dataspoke.quality.service import QualityService
from dataspoke.settings import (
    RedisSettings,
    ScheduleSettings,
    StoreSettings,
    WorkerSettings,
)
from dataspoke.workers.jobs import Work
from dataspoke.workers.schedule import entries
from dataspoke.workers.worker import run
from tests.support.quality import quality_service

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
# The kind of job that writes one row: its payload is {"name", "seconds", "fails"}.
ROW = JobKind.AUDIT_DATASETS
# How many datasets of the hub have a fault in their newest profile; as many have none.
FAULTY = 15
# How many of them are scanned in one job.
BATCH = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker process is to do. ``scans`` asks for the real quality service."""

    database_url: str
    redis_url: str
    now: str
    scans: bool = False
    lease_s: float = 1.5
    job_timeout_s: float = 30
    scan_cron: str = "0 8 * * *"
    clock_ahead: timedelta = timedelta(0)


class WorkerProcess:
    """A running worker, and what it logged."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self._log = log
        self._process = _FORKS.Process(target=_main, args=(plan, log))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def logged(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def suspend(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> int | None:
        """Ask it to stop; returns its exit code, None where it has not ended after a while."""
        self._process.terminate()
        self._process.join(timeout=20)
        return self._process.exitcode


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


def _scan_table(store: Store, quality: QualityService, runs: RunService) -> Mapping[JobKind, Work]:
    return {
        **_row_table(store),
        JobKind.SCAN_ALL: lambda lease, payload: runs.begin(lease),
        JobKind.SCAN_DATASETS: lambda lease, payload: runs.scan(
            lease, UUID(payload["run_id"]), payload["urns"]
        ),
        JobKind.WRITE_BACK_QUALITY: lambda lease, payload: quality.write_back(
            lease, payload["urn"]
        ),
    }


def _main(plan: Plan, log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    with time_machine.travel(datetime.now(UTC) + plan.clock_ahead):
        asyncio.run(_work(plan))


async def _work(plan: Plan) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    redis = RedisSettings(url=plan.redis_url)
    engine = create_engine(StoreSettings(url=plan.database_url))
    store = PostgresStore(engine)
    hub = SlowHub(datetime.fromisoformat(plan.now))
    async with ArqQueue(redis) as queue, RedisFeed(redis) as feed, ProcessPool(2) as compute:
        clock = SystemClock()
        quality = quality_service(hub, store, feed, compute, clock)
        runs = RunService(hub, store, feed, clock, quality, batch=BATCH)
        await run(
            work=_scan_table(store, quality, runs) if plan.scans else _row_table(store),
            store=store,
            jobs=PostgresJobs(engine),
            queue=queue,
            wake_ups=queue,
            hub=hub,
            settings=WorkerSettings(
                lease_s=plan.lease_s,
                job_timeout_s=plan.job_timeout_s,
                poll_wait_s=1,
            ),
            schedule=entries(ScheduleSettings(scan=plan.scan_cron)),
            stop=stop,
        )
    await engine.dispose()
