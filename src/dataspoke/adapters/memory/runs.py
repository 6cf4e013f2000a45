"""Runs in memory, as the tables of PostgreSQL keep them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID, uuid4

from dataspoke.errors import Conflict, NotFound
from dataspoke.ports.runs import Run, RunKind, RunState

if TYPE_CHECKING:
    from dataspoke.adapters.memory.store import Tables


@dataclass
class RunTable:
    """``left`` holds the datasets that are not done, and whether they failed."""

    rows: dict[UUID, Run] = field(default_factory=dict)
    left: dict[UUID, dict[str, bool]] = field(default_factory=dict)

    def copy(self) -> "RunTable":
        return RunTable(dict(self.rows), {run: dict(left) for run, left in self.left.items()})

    def running(self, kind: RunKind, scope: str) -> Run | None:
        """Return the run in this scope that one of this kind would join."""
        return next(
            (
                run
                for run in self.rows.values()
                if run.state is RunState.RUNNING
                and run.scope == scope
                and (run.kind is RunKind.REFIT) == (kind is RunKind.REFIT)
            ),
            None,
        )

    def count(self, run_id: UUID, done: int, failed: int, now: datetime) -> None:
        run = self.rows[run_id]
        run = replace(run, done=run.done + done, failed=run.failed + failed)
        self.rows[run_id] = _ended(run, now)

    def give_up(self, run_id: UUID, urns: Sequence[str] | None, now: datetime) -> None:
        run = self.rows[run_id]
        if urns is None:
            if run.state is RunState.RUNNING:
                self.rows[run_id] = replace(run, state=RunState.FAILED, finished_at=now)
            return
        left = self.left.get(run_id, {})
        failing = [urn for urn in urns if left.get(urn) is False]
        left.update(dict.fromkeys(failing, True))
        self.count(run_id, 0, len(failing), now)


class RunReads(Protocol):
    """Mixed into the store."""

    _tables: "Tables"

    async def runs(self, ids: Sequence[UUID]) -> Mapping[UUID, Run]:
        rows = self._tables.jobs.runs.rows
        return {run_id: rows[run_id] for run_id in ids if run_id in rows}

    async def newest_runs(self, before: tuple[datetime, UUID] | None, limit: int) -> Sequence[Run]:
        runs = sorted(
            self._tables.jobs.runs.rows.values(),
            key=lambda run: (run.started_at, run.id),
            reverse=True,
        )
        return [run for run in runs if before is None or (run.started_at, run.id) < before][:limit]

    async def left_of_run(self, run_id: UUID, urns: Sequence[str]) -> Sequence[str]:
        runs = self._tables.jobs.runs
        if run_id not in runs.rows or runs.rows[run_id].state is not RunState.RUNNING:
            return []
        return sorted(set(urns) & set(runs.left.get(run_id, {})))


class RunWrites(Protocol):
    """Mixed into the transaction."""

    _tables: "Tables"
    _now: datetime

    async def begin_run(self, kind: RunKind, scope: str, requested_by: str | None) -> Run:
        runs = self._tables.jobs.runs
        run = runs.running(kind, scope) or Run(
            uuid4(), kind, scope, RunState.RUNNING, self._now, requested_by=requested_by
        )
        runs.rows[run.id] = run
        return run

    async def fill_run(self, run_id: UUID, urns: Sequence[str]) -> bool:
        runs = self._tables.jobs.runs
        run = runs.rows.get(run_id)
        if run is None or run.state is not RunState.RUNNING or run.total is not None:
            return False
        runs.left[run_id] = dict.fromkeys(sorted(set(urns)), False)
        runs.rows[run_id] = _ended(replace(run, total=len(runs.left[run_id])), self._now)
        return True

    async def count_done(self, run_id: UUID, urns: Sequence[str]) -> None:
        left = self._tables.jobs.runs.left.get(run_id, {})
        gone = [left.pop(urn) for urn in set(urns) if urn in left]
        if gone:
            self._tables.jobs.runs.count(run_id, len(gone), -sum(gone), self._now)

    async def cancel_run(self, run_id: UUID) -> Run:
        runs = self._tables.jobs.runs
        run = runs.rows.get(run_id)
        if run is None or run.state is not RunState.RUNNING:
            raise Conflict(f"Run {run_id} has ended already.")
        runs.rows[run_id] = replace(run, state=RunState.CANCELLED, finished_at=self._now)
        self._tables.jobs.drop(run_id)
        return runs.rows[run_id]

    async def resume_run(self, run_id: UUID) -> tuple[Run, Sequence[str]]:
        runs = self._tables.jobs.runs
        run = runs.rows.get(run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id}.")
        left = runs.left.get(run_id, {})
        if run.total is not None and not left:
            raise Conflict(f"Nothing is left of run {run_id}; ask for a new scan.")
        other = runs.running(run.kind, run.scope)
        if other is not None and other.id != run_id:
            raise Conflict(f"Run {other.id} does the same datasets: cancel it, or let it end.")
        self._tables.jobs.drop(run_id)
        left.update(dict.fromkeys(left, False))
        runs.rows[run_id] = replace(run, state=RunState.RUNNING, finished_at=None, failed=0)
        return runs.rows[run_id], sorted(left)


def _ended(run: Run, now: datetime) -> Run:
    """Return the run, DONE where it is RUNNING and all of it has come to an end."""
    if run.state is RunState.RUNNING and run.done + run.failed == run.total:
        return replace(run, state=RunState.DONE, finished_at=now)
    return run
