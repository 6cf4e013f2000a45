"""A worker in a process of its own that keeps the index in step, for tests that kill it."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataspoke.ports.store import JobKind, Lease
from dataspoke.runtime import open_runtime
from dataspoke.settings import Settings
from dataspoke.workers.jobs import Work
from dataspoke.workers.worker import run

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


class IndexWorker:
    """A running worker that follows the hub and indexes; other jobs it does without effect."""

    def __init__(self, settings: Settings, log: Path) -> None:
        # It holds addresses with passwords, which would be masked if it were printed.
        self._process = _FORKS.Process(target=_main, args=(settings, log))
        self._process.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _main(settings: Settings, log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_runtime(settings) as runtime:

        async def nothing(lease: Lease, payload: Mapping[str, Any]) -> None:
            async with runtime.store.transaction(lease):
                pass

        async def compare(lease: Lease, payload: Mapping[str, Any]) -> None:
            await runtime.index.reconcile_datasets(lease, payload["urns"])

        work: dict[JobKind, Work] = {
            **dict.fromkeys(JobKind, nothing),
            JobKind.REINDEX: lambda lease, payload: runtime.index.reindex(lease),
            JobKind.REINDEX_CARRIERS: lambda lease, payload: runtime.index.reindex_carriers(
                lease, payload["urns"]
            ),
            JobKind.BACKFILL: lambda lease, payload: runtime.index.backfill(lease),
            JobKind.RECONCILE: lambda lease, payload: runtime.index.reconcile(lease),
            JobKind.RECONCILE_DATASETS: compare,
        }
        await run(
            work,
            runtime.store,
            runtime.jobs,
            runtime.queue,
            runtime.wake_ups,
            runtime.hub,
            settings.worker,
            (),
            stop,
            runtime.changes,
        )
