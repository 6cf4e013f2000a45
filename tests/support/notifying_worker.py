"""A worker in a process of its own that delivers notifications, for tests that kill it."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from dataspoke.adapters.arq import ArqQueue
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.notifiers.channels import open_channels
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.system_clock import SystemClock
from dataspoke.ports.store import JobKind, Lease, Transaction
from dataspoke.quality.notifications.service import NotificationService
from dataspoke.settings import NotificationSettings, RedisSettings, StoreSettings, WorkerSettings
from dataspoke.workers.jobs import Work
from dataspoke.workers.worker import run

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


@dataclass(frozen=True, slots=True)
class Plan:
    """``certificates`` is a file of authorities to trust. Where it is ``stuck`` the process sends
    and then never commits.
    """

    database_url: str
    redis_url: str
    channels: Mapping[str, Any]
    certificates: str
    stuck: bool = False


class NotifyingWorker:
    """A running worker, and what it logged."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self._log = log
        self._process = _FORKS.Process(target=_main, args=(plan, log))
        self._process.start()

    @property
    def logged(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def stop(self) -> int | None:
        """Ask it to stop; returns its exit code, None where it has not ended after a while."""
        self._process.terminate()
        self._process.join(timeout=20)
        return self._process.exitcode


class _StuckStore(PostgresStore):
    """Never ends the transaction in which a job would be marked as done."""

    @asynccontextmanager
    async def transaction(self, lease: Lease | None = None) -> AsyncIterator[Transaction]:  # type: ignore[override]
        async with super().transaction(lease) as tx:
            yield tx
            if lease is not None:
                await asyncio.Event().wait()


def _main(plan: Plan, log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    os.environ["SSL_CERT_FILE"] = plan.certificates
    asyncio.run(_work(plan))


async def _work(plan: Plan) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = create_engine(StoreSettings(url=plan.database_url))
    store = (_StuckStore if plan.stuck else PostgresStore)(engine)
    hub, clock = MemoryHub(), SystemClock()
    settings = NotificationSettings.model_validate(plan.channels)
    async with (
        ArqQueue(RedisSettings(url=plan.redis_url)) as queue,
        open_channels(settings, clock) as channels,
    ):
        service = NotificationService(hub, store, clock, channels)

        async def nothing(lease: Lease, payload: Mapping[str, Any]) -> None:
            async with PostgresStore(engine).transaction(lease):
                pass

        async def deliver(lease: Lease, payload: Mapping[str, Any]) -> None:
            await service.deliver(lease, UUID(payload["notification"]))

        work: dict[JobKind, Work] = dict.fromkeys(JobKind, nothing)
        await run(
            work={**work, JobKind.DELIVER_NOTIFICATION: deliver},
            store=store,
            jobs=PostgresJobs(engine),
            queue=queue,
            wake_ups=queue,
            hub=hub,
            settings=WorkerSettings(lease_s=1.5, poll_wait_s=1),
            schedule=(),
            stop=stop,
        )
    await engine.dispose()
