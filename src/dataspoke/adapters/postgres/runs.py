"""Runs in PostgreSQL: the run, and a row for each dataset that is left of it.

Whoever counts locks the run first, so that two of them cannot deadlock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Executable,
    Row,
    Text,
    Uuid,
    any_,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.tables import jobs, quality_run_datasets, quality_runs
from dataspoke.errors import Conflict, NotFound
from dataspoke.ports.runs import Run, RunKind, RunState

_left = quality_run_datasets


class RunReads(Protocol):
    """Mixed into the store."""

    async def _rows(self, statement: Executable) -> Sequence[Row[Any]]: ...

    async def runs(self, ids: Sequence[UUID]) -> Mapping[UUID, Run]:
        found = select(quality_runs).where(
            quality_runs.c.id == any_(literal(list(ids), ARRAY(Uuid)))
        )
        return {row.id: _run(row) for row in await self._rows(found)}

    async def newest_runs(self, before: tuple[datetime, UUID] | None, limit: int) -> Sequence[Run]:
        started_at, run_id = quality_runs.c.started_at, quality_runs.c.id
        found = select(quality_runs).order_by(started_at.desc(), run_id.desc()).limit(limit)
        if before is not None:
            place = tuple_(literal(before[0], started_at.type), literal(before[1], Uuid))
            found = found.where(tuple_(started_at, run_id) < place)
        return [_run(row) for row in await self._rows(found)]

    async def left_of_run(self, run_id: UUID, urns: Sequence[str]) -> Sequence[str]:
        found = (
            select(_left.c.urn)
            .join(quality_runs, quality_runs.c.id == _left.c.run_id)
            .where(_among(run_id, urns), quality_runs.c.state == RunState.RUNNING)
            .order_by(_left.c.urn)
        )
        return [row.urn for row in await self._rows(found)]


class RunWrites(Protocol):
    """Mixed into the transaction."""

    _connection: AsyncConnection

    async def begin_run(self, kind: RunKind, scope: str, requested_by: str | None) -> Run:
        apart = "=" if kind is RunKind.REFIT else "<>"
        new = upsert(quality_runs).values(
            id=uuid4(), kind=kind, scope=scope, requested_by=requested_by
        )
        # Changes nothing, and so returns the run that is there.
        begun = new.on_conflict_do_update(
            index_elements=["scope"],
            index_where=text(f"state = 'RUNNING' AND kind {apart} 'REFIT'"),
            set_={"scope": new.excluded.scope},
        ).returning(quality_runs)
        with translated():
            return _run((await self._connection.execute(begun)).one())

    async def fill_run(self, run_id: UUID, urns: Sequence[str]) -> bool:
        each = sorted(set(urns))
        filled = (
            update(quality_runs)
            .where(
                quality_runs.c.id == run_id,
                quality_runs.c.state == RunState.RUNNING,
                quality_runs.c.total.is_(None),
            )
            .values(total=len(each), **_end(quality_runs.c.done >= len(each)))
        )
        listed = insert(_left).from_select(
            ["run_id", "urn"],
            select(literal(run_id, Uuid), func.unnest(literal(each, ARRAY(Text)))),
        )
        with translated():
            if (await self._connection.execute(filled)).rowcount == 0:
                return False
            await self._connection.execute(listed)
            return True

    async def count_done(self, run_id: UUID, urns: Sequence[str]) -> None:
        with translated():
            await _lock(self._connection, run_id)
            gone = await self._connection.execute(
                delete(_left).where(_among(run_id, urns)).returning(_left.c.failed)
            )
            failed = [row.failed for row in gone]
            await _count(self._connection, run_id, done=len(failed), failed=-sum(failed))

    async def cancel_run(self, run_id: UUID) -> Run:
        cancelled = (
            update(quality_runs)
            .where(quality_runs.c.id == run_id, quality_runs.c.state == RunState.RUNNING)
            .values(state=RunState.CANCELLED, finished_at=func.now())
            .returning(quality_runs)
        )
        with translated():
            row = (await self._connection.execute(cancelled)).one_or_none()
            if row is None:
                raise Conflict(f"Run {run_id} has ended already.")
            await _drop_jobs(self._connection, run_id)
            return _run(row)

    async def resume_run(self, run_id: UUID) -> tuple[Run, Sequence[str]]:
        with translated():
            run = await _lock(self._connection, run_id)
            if run is None:
                raise NotFound(f"There is no run {run_id}.")
            left = (
                await self._connection.execute(
                    select(_left.c.urn).where(_left.c.run_id == run_id).order_by(_left.c.urn)
                )
            ).scalars()
            urns = list(left)
            if run.total is not None and not urns:
                raise Conflict(f"Nothing is left of run {run_id}; ask for a new scan.")
            await self._require_alone(run)
            await _drop_jobs(self._connection, run_id)
            await self._connection.execute(
                update(_left).where(_left.c.run_id == run_id, _left.c.failed).values(failed=False)
            )
            resumed = (
                update(quality_runs)
                .where(quality_runs.c.id == run_id)
                .values(state=RunState.RUNNING, finished_at=None, failed=0)
                .returning(quality_runs)
            )
            return _run((await self._connection.execute(resumed)).one()), urns

    async def _require_alone(self, run: Run) -> None:
        refits = quality_runs.c.kind == RunKind.REFIT
        other = select(quality_runs.c.id).where(
            quality_runs.c.scope == run.scope,
            quality_runs.c.state == RunState.RUNNING,
            quality_runs.c.id != run.id,
            refits if run.kind is RunKind.REFIT else ~refits,
        )
        found = (await self._connection.execute(other)).scalar_one_or_none()
        if found is not None:
            raise Conflict(f"Run {found} does the same datasets: cancel it, or let it end.")


async def give_up(connection: AsyncConnection, run_id: UUID, urns: Sequence[str] | None) -> None:
    """Count the datasets of a job as failed in the caller's transaction.

    Without any, as the job was to list them, the run fails.
    """
    if urns is None:
        failed = (
            update(quality_runs)
            .where(quality_runs.c.id == run_id, quality_runs.c.state == RunState.RUNNING)
            .values(state=RunState.FAILED, finished_at=func.now())
        )
        await connection.execute(failed)
        return
    marked = await connection.execute(
        update(_left).where(_among(run_id, urns), ~_left.c.failed).values(failed=True)
    )
    await _count(connection, run_id, done=0, failed=marked.rowcount)


async def lock(connection: AsyncConnection, run_id: UUID) -> None:
    """Make others who count in this run wait until the caller's transaction has ended."""
    await _lock(connection, run_id)


async def _lock(connection: AsyncConnection, run_id: UUID) -> Run | None:
    # Not so strictly that a row with a foreign key to it would have to wait.
    locked = select(quality_runs).where(quality_runs.c.id == run_id).with_for_update(key_share=True)
    row = (await connection.execute(locked)).one_or_none()
    return None if row is None else _run(row)


async def _count(connection: AsyncConnection, run_id: UUID, *, done: int, failed: int) -> None:
    if not done and not failed:
        return
    now_done, now_failed = quality_runs.c.done + done, quality_runs.c.failed + failed
    counted = (
        update(quality_runs)
        .where(quality_runs.c.id == run_id)
        .values(
            done=now_done,
            failed=now_failed,
            **_end(now_done + now_failed >= quality_runs.c.total),
        )
    )
    await connection.execute(counted)


def _end(complete: ColumnElement[bool]) -> dict[str, Any]:
    """The values that end a RUNNING run where it is complete."""
    ends = (quality_runs.c.state == RunState.RUNNING) & complete
    return {
        "state": case((ends, RunState.DONE), else_=quality_runs.c.state),
        "finished_at": case((ends, func.now()), else_=quality_runs.c.finished_at),
    }


async def _drop_jobs(connection: AsyncConnection, run_id: UUID) -> None:
    waiting = delete(jobs).where(jobs.c.run_id == run_id, jobs.c.state == text("'READY'"))
    await connection.execute(waiting)


def _among(run_id: UUID, urns: Sequence[str]) -> ColumnElement[bool]:
    return (_left.c.run_id == run_id) & (_left.c.urn == any_(literal(list(urns), ARRAY(Text))))


def _run(row: Row[Any]) -> Run:
    values = {name: getattr(row, name) for name in Run.__dataclass_fields__}
    values["kind"], values["state"] = RunKind(row.kind), RunState(row.state)
    return Run(**values)
