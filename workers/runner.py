"""Runs jobs: claims them, keeps their leases, and gives back or gives up what fails."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from uuid import UUID

from dataspoke.errors import DataSpokeError, LeaseLost
from dataspoke.ports.store import Job, JobKind, Jobs
from dataspoke.settings import WorkerSettings
from dataspoke.workers.jobs import Work
from dataspoke.workers.retries import most_tries, next_try

_log = logging.getLogger(__name__)

# More wake-ups than places come after the queue was down, as jobs that ran then still do. One that
# waits for so long is let go: the relay sends it again.
_LONGEST_WAIT_S = 3.0
_BEATS_PER_LEASE = 3


class Runner:
    """Runs up to ``concurrency`` jobs at a time; ``on_end`` is called after each of them."""

    def __init__(
        self,
        jobs: Jobs,
        work: Mapping[JobKind, Work],
        settings: WorkerSettings,
        on_end: Callable[[], None],
    ) -> None:
        self._jobs = jobs
        self._work = work
        self._settings = settings
        self._on_end = on_end
        self._lease_for = timedelta(seconds=settings.lease_s)
        self._places = asyncio.Semaphore(settings.concurrency)
        self._running: set[asyncio.Task[None]] = set()

    async def begin(self, job_id: UUID) -> Awaitable[None] | None:
        """Claim the job and run it; returns what lasts as long as it runs, None without a claim.

        To cancel the returned does nothing to the job.
        """
        try:
            async with asyncio.timeout(_LONGEST_WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            return None
        job = None
        try:
            job = await self._jobs.claim(job_id, self._lease_for)
        except DataSpokeError as error:
            # The row is as it was, or its lease runs out: the relay sends it again.
            _log.warning("A job could not be claimed: %s", error.public_message)
        except Exception:
            _log.exception("A job could not be claimed")
        finally:
            if job is None:
                self._places.release()
        if job is None:
            return None
        running = asyncio.create_task(self._run(job))
        self._running.add(running)
        running.add_done_callback(self._ended)
        return asyncio.shield(running)

    async def stop(self, grace: timedelta) -> None:
        """Let running jobs end for a while; give back those that do not."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace.total_seconds())
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._places.release()
        self._on_end()

    async def _run(self, job: Job) -> None:
        try:
            await self._attempt(job)
        except DataSpokeError as error:
            # Its lease runs out, and the relay sends it again.
            _log.warning("The end of a job could not be saved: %s", error.public_message)

    async def _attempt(self, job: Job) -> None:
        about = {
            "job_id": str(job.lease.job_id),
            "job_kind": job.kind,
            "attempt": job.attempt,
            "traceparent": job.traceparent,
        }
        began = time.monotonic()
        try:
            if job.attempt > most_tries(None, self._settings.max_attempts):
                raise _WorkersDied(f"{job.attempt - 1} tries ended without a word.")
            await self._under_lease(job)
        except LeaseLost:
            _log.info("%s: attempt %d lost its lease", job.kind, job.attempt, extra=about)
        except asyncio.CancelledError:
            _log.info("%s: attempt %d is given back", job.kind, job.attempt, extra=about)
            await self._jobs.release(job.lease)
            raise
        except Exception as error:
            await self._fail(job, error, about)
        else:
            seconds = time.monotonic() - began
            _log.info(
                "%s: done at attempt %d in %.2f s", job.kind, job.attempt, seconds, extra=about
            )

    async def _under_lease(self, job: Job) -> None:
        """Do the job while its lease lasts; raises LeaseLost where it does not."""
        working = asyncio.ensure_future(self._work[job.kind](job.lease, job.payload))
        keeping = asyncio.create_task(self._keep_lease(job, working))
        try:
            async with asyncio.timeout(self._settings.job_timeout_s) as limit:
                await working
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise _TooLong(f"It took longer than {self._settings.job_timeout_s:g} s.") from error
        except asyncio.CancelledError:
            if keeping.done():
                raise LeaseLost(f"Job {job.lease.job_id} is another worker's now.") from None
            raise
        finally:
            keeping.cancel()

    async def _keep_lease(self, job: Job, working: asyncio.Future[None]) -> None:
        """Extend the lease until cancelled; ends, cancelling the work, where it is lost."""
        while True:
            await asyncio.sleep(self._settings.lease_s / _BEATS_PER_LEASE)
            try:
                if not await self._jobs.heartbeat(job.lease, self._lease_for):
                    break
            except DataSpokeError as error:
                # If another worker takes the job over, the token keeps this one from saving.
                _log.debug("A heartbeat failed: %s", error.public_message)
        working.cancel()

    async def _fail(self, job: Job, error: Exception, about: Mapping[str, object]) -> None:
        if not isinstance(error, DataSpokeError):
            _log.error("%s failed", job.kind, exc_info=error, extra=about)
        message = error.public_message if isinstance(error, DataSpokeError) else repr(error)
        retry_in = next_try(error, job.attempt, self._settings.max_attempts, random.random())
        if retry_in is None:
            _log.error("%s: given up after %d: %s", job.kind, job.attempt, message, extra=about)
        else:
            _log.warning(
                "%s: attempt %d failed, next in %.1f s: %s",
                job.kind,
                job.attempt,
                retry_in.total_seconds(),
                message,
                extra=about,
            )
        await self._jobs.fail(job.lease, message, retry_in)


class _TooLong(Exception):
    """The job's time limit was reached."""


class _WorkersDied(Exception):
    """The job was claimed many times, and never given back."""
