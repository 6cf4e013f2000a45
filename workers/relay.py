"""From job rows to wake-ups."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from dataspoke.ports.queue import Queue, WakeUp
from dataspoke.ports.store import Jobs

_BATCH = 200
# A wake-up that led to no claim within this time is taken for lost.
_QUIET = timedelta(seconds=5)
_BUSY_S = 0.5
_IDLE_S = 1.0


class Relay:
    """Wakes workers for jobs that are due, and for those whose worker has fallen silent."""

    def __init__(self, jobs: Jobs, queue: Queue) -> None:
        self._jobs = jobs
        self._queue = queue
        self._unsent: Sequence[WakeUp] = ()
        self._hurried = asyncio.Event()

    def hurry(self, after: timedelta = timedelta(0)) -> None:
        """Look for due jobs after this time, without waiting for the next turn."""
        if after:
            asyncio.get_running_loop().call_later(after.total_seconds(), self._hurried.set)
        else:
            self._hurried.set()

    async def step(self) -> None:
        """Send what is due, then wait for the next turn."""
        self._hurried.clear()
        # What could not be sent stays here, as it will not be due again for a while.
        if not self._unsent:
            self._unsent = await self._jobs.due(_BATCH, _QUIET)
        await self._queue.wake(self._unsent)
        sent, self._unsent = len(self._unsent), ()
        if sent == _BATCH:
            return
        try:
            async with asyncio.timeout(_BUSY_S if sent else _IDLE_S):
                await self._hurried.wait()
        except TimeoutError:
            pass
