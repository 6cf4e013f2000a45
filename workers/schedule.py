"""What is done at intervals."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from dataspoke.ports.store import JobKind, Jobs, NewJob
from dataspoke.settings import WorkerSettings

# Events get lost; what they did not tell is found after this time at the latest.
_RECONCILE_EVERY = timedelta(hours=6)
_KEEP_DONE = timedelta(days=7)
_LONGEST_PAUSE_S = 30.0


class Schedule:
    """Fills the slots of the schedules: each by one worker, however many there are."""

    def __init__(self, jobs: Jobs, settings: WorkerSettings, on_filled: Callable[[], None]) -> None:
        self._jobs = jobs
        self._on_filled = on_filled
        scan_every = timedelta(seconds=settings.scan_every_s)
        self._every = {
            JobKind.SCAN_ALL: scan_every,
            JobKind.AUDIT_ALL: scan_every,
            JobKind.RECONCILE: _RECONCILE_EVERY,
        }
        self._pause_s = min(settings.scan_every_s / 4, _LONGEST_PAUSE_S)

    async def step(self) -> None:
        """Fill the current slots, forget jobs done long ago, then wait for the next turn."""
        for kind, every in self._every.items():
            if await self._jobs.fill_slot(kind, every, NewJob(kind, dedupe_key=kind)):
                self._on_filled()
        await self._jobs.forget_done(_KEEP_DONE)
        await asyncio.sleep(self._pause_s)
