"""Runs: scans and refits of many datasets, with progress that anybody can follow."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from dataspoke.errors import (
    AccessDenied,
    DependencyError,
    DependencyTimeout,
    Forbidden,
    LeaseLost,
    NotFound,
)
from dataspoke.ports.clock import Clock
from dataspoke.ports.feed import Feed
from dataspoke.ports.hub import Actor, Hub
from dataspoke.ports.runs import ALL, REST, Run, RunKind, RunState
from dataspoke.ports.store import JobKind, Lease, NewJob, Store
from dataspoke.quality.cursors import cursor_of, place_of
from dataspoke.quality.service import QualityService
from dataspoke.urns import platform_of

_log = logging.getLogger(__name__)

_SCROLL_BATCH = 500
_DOMAINS_BATCH = 50
# A model that the last day's scans have fitted is as good as new.
_FRESH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first, with one opaque cursor each; ``has_next`` tells that more follow."""

    runs: tuple[Run, ...]
    cursors: tuple[str, ...]
    has_next: bool


class RunService:
    """Carries out runs and shows them to whoever is signed in.

    ``scopes`` are the domains and platforms with a schedule of their own. ``batch`` datasets are
    read from the hub together, and done again together where a worker dies; they may take up to
    ``batch_limit``. Progress is told of at most once in ``pace``.
    """

    def __init__(
        self,
        hub: Hub,
        store: Store,
        feed: Feed,
        clock: Clock,
        quality: QualityService,
        *,
        scopes: Collection[str] = (),
        batch: int = 24,
        batch_limit: timedelta = timedelta(minutes=4),
        pace: timedelta = timedelta(seconds=0.5),
    ) -> None:
        self._hub = hub
        self._store = store
        self._feed = feed
        self._clock = clock
        self._quality = quality
        self._scopes = frozenset(scopes)
        self._batch = batch
        self._batch_limit = batch_limit
        self._pace = pace

    # --- as people meet them ---

    async def request(self, actor: Actor, traceparent: str | None = None) -> Run:
        """Return the run that scans every dataset: one that is under way, else a new one.

        Raises Forbidden without the right to manage.
        """
        if not actor.can_manage:
            raise Forbidden("Scanning every dataset needs the right to manage DataSpoke.")
        async with self._store.transaction() as tx:
            run = await tx.begin_run(RunKind.REQUESTED, ALL, actor.urn)
            if run.total is None:
                await tx.add_jobs([_list_job(run, traceparent)])
            await tx.audit(actor.urn, "request_scan", ["*"])
        return run

    async def run(self, _actor: Actor, run_id: UUID, /) -> Run | None:
        """Return a run; None where there is none."""
        return (await self._store.runs([run_id])).get(run_id)

    async def listed(self, _actor: Actor, first: int, after: str | None, /) -> RunPage:
        """Return up to ``first`` runs, newest first, from after a cursor on.

        Raises InvalidInput for a cursor that is not one.
        """
        found = await self._store.newest_runs(
            None if after is None else place_of(after, "runs"), first + 1
        )
        page = tuple(found[:first])
        return RunPage(
            page, tuple(cursor_of(r.started_at, r.id) for r in page), has_next=len(found) > first
        )

    async def cancel(self, actor: Actor, run_id: UUID) -> Run:
        """Let a run do no more than what has begun.

        Raises Forbidden without the right to manage, NotFound, and Conflict where it has ended.
        """
        await self._require(actor, run_id)
        async with self._store.transaction() as tx:
            run = await tx.cancel_run(run_id)
            await tx.audit(actor.urn, "cancel_run", [str(run_id)])
        await self._signal()
        return run

    async def resume(self, actor: Actor, run_id: UUID) -> Run:
        """Let a run go on with what it has not done, and try again what failed.

        Raises Forbidden without the right to manage, NotFound, and Conflict where nothing is left
        of it or another one does the same.
        """
        await self._require(actor, run_id)
        async with self._store.transaction() as tx:
            run, left = await tx.resume_run(run_id)
            jobs = [_list_job(run)] if run.total is None else self._batch_jobs(run, left)
            await tx.add_jobs(jobs)
            await tx.audit(actor.urn, "resume_run", [str(run_id)])
        await self._signal()
        return run

    async def progress(self, _actor: Actor, run_id: UUID, /) -> AsyncGenerator[Run]:
        """Yield the run as it is, then as it goes on, up to its end; raises NotFound."""
        async with self._feed.listen() as turns:
            shown = None
            while True:
                run = (await self._store.runs([run_id])).get(run_id)
                if run is None:
                    raise NotFound(f"There is no run {run_id}.")
                if run != shown:
                    yield run
                    shown = run
                if run.state is not RunState.RUNNING:
                    return
                await asyncio.sleep(self._pace.total_seconds())
                await anext(turns)

    # --- as workers carry them out ---

    async def begin(
        self,
        lease: Lease | None,
        kind: RunKind = RunKind.SCHEDULED,
        scope: str = ALL,
        run_id: UUID | None = None,
    ) -> None:
        """Find out what a run has to do and add its jobs; begin it where it has no id yet.

        Joins a run that is under way in the scope. One that was cancelled meanwhile gets no jobs.
        """
        if run_id is None:
            async with self._store.transaction() as tx:
                run = await tx.begin_run(kind, scope, None)
        else:
            run = (await self._store.runs([run_id]))[run_id]
        urns = () if run.total is not None else await self._datasets_of(run)
        async with self._store.transaction(lease) as tx:
            if await tx.fill_run(run.id, urns):
                await tx.add_jobs(self._batch_jobs(run, urns))
        await self._signal()

    async def scan(
        self, lease: Lease, run_id: UUID, urns: Sequence[str], *, refit: bool = False
    ) -> None:
        """Scan what of these datasets the run has still to do.

        Where some of several cannot be judged they are parted, so that one takes no other along.
        """
        left = await self._store.left_of_run(run_id, urns)
        if not left:
            async with self._store.transaction(lease):
                return
        try:
            await self._scan_in_time(lease, run_id, left, refit=refit)
        except Exception as error:
            if len(left) < 2 or _is_outage(error):
                raise
            _log.warning("A batch of %d datasets is parted: %r", len(left), error)
            run = (await self._store.runs([run_id]))[run_id]
            async with self._store.transaction(lease) as tx:
                await tx.add_jobs([_batch_job(run, [urn]) for urn in left])
            return
        await self._signal()

    async def _scan_in_time(
        self, lease: Lease, run_id: UUID, urns: Sequence[str], *, refit: bool
    ) -> None:
        limit_s = self._batch_limit.total_seconds()
        try:
            async with asyncio.timeout(limit_s):
                await self._quality.scan(lease, urns, run_id, refit=refit)
        except TimeoutError as error:
            raise DependencyTimeout(
                "compute", f"Scanning {len(urns)} datasets took longer than {limit_s:g} s."
            ) from error

    async def _datasets_of(self, run: Run) -> Sequence[str]:
        if run.kind is RunKind.REFIT:
            return await self._store.datasets_fitted_before(self._clock.now() - _FRESH)
        seen: set[str] = set()
        chosen: set[str] = set()
        async for urns in self._hub.scroll(_SCROLL_BATCH):
            seen.update(urns)
            if run.scope == ALL:
                continue
            scopes = await self._scopes_of(urns)
            wanted = None if run.scope == REST else run.scope
            chosen.update(urn for urn in urns if scopes.get(urn) == wanted)
        if run.scope == ALL:
            chosen = seen
        if run.scope in (ALL, REST):
            # What has left the hub is scanned once more, to be forgotten.
            chosen |= await self._store.known_datasets() - seen
        return sorted(chosen)

    async def _scopes_of(self, urns: Sequence[str]) -> Mapping[str, str]:
        """Return the scope of each dataset that is in one; a domain goes before a platform."""
        scopes = {urn: platform for urn in urns if (platform := platform_of(urn)) in self._scopes}
        if any(scope.startswith("urn:li:domain:") for scope in self._scopes):
            for start in range(0, len(urns), _DOMAINS_BATCH):
                found = await self._hub.datasets(urns[start : start + _DOMAINS_BATCH])
                for urn, dataset in found.items():
                    if dataset.domain is not None and dataset.domain in self._scopes:
                        scopes[urn] = dataset.domain
        return scopes

    def _batch_jobs(self, run: Run, urns: Sequence[str]) -> list[NewJob]:
        starts = range(0, len(urns), self._batch)
        return [_batch_job(run, urns[start : start + self._batch]) for start in starts]

    async def _require(self, actor: Actor, run_id: UUID) -> None:
        if not actor.can_manage:
            raise Forbidden("Runs are changed by those who may manage DataSpoke.")
        if run_id not in await self._store.runs([run_id]):
            raise NotFound(f"There is no run {run_id}.")

    async def _signal(self) -> None:
        try:
            await self._feed.signal()
        except DependencyError as error:
            # It costs listeners a few seconds: they look into the store at intervals.
            _log.warning("No signal of a run's progress went out: %s", error.public_message)


def scan_all_job(scope: str = ALL) -> NewJob:
    """Return the job that begins a scheduled scan of a scope; while it waits, a second joins it."""
    return _begin_job(RunKind.SCHEDULED, scope)


def refit_job() -> NewJob:
    """Return the job that begins a refit of all models."""
    return _begin_job(RunKind.REFIT, ALL)


def _begin_job(kind: RunKind, scope: str) -> NewJob:
    key = f"{JobKind.SCAN_ALL}:{kind}:{scope}"
    return NewJob(JobKind.SCAN_ALL, {"kind": kind, "scope": scope}, dedupe_key=key)


def _list_job(run: Run, traceparent: str | None = None) -> NewJob:
    return NewJob(
        JobKind.SCAN_ALL,
        {"run_id": str(run.id)},
        dedupe_key=f"{JobKind.SCAN_ALL}:{run.id}",
        traceparent=traceparent,
    )


def _batch_job(run: Run, urns: Sequence[str]) -> NewJob:
    refit = run.kind is RunKind.REFIT
    payload = {"urns": list(urns), "run_id": str(run.id), "refit": refit}
    return NewJob(JobKind.SCAN_DATASETS, payload)


def _is_outage(error: Exception) -> bool:
    """Tell whether the whole batch had no chance, whichever datasets are in it."""
    outside = isinstance(error, DependencyError) and error.port != "compute"
    return outside or isinstance(error, LeaseLost | AccessDenied)
