"""Deletion in small commits: no lock lasts, and nobody waits behind a long statement."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Table,
    Text,
    any_,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.tables import (
    alerts,
    health_scores,
    jobs,
    quality_results,
    quality_runs,
    rejected_events,
    schedule_slots,
)


class Retention(Protocol):
    """Mixed into the store."""

    _engine: AsyncEngine

    async def delete_results(self, urns: Sequence[str], older_than: timedelta, limit: int) -> int:
        # By dataset: the primary key leads to what is old, and needs no second index beside it.
        return await self._delete(
            quality_results,
            limit,
            _among(quality_results.c.urn, urns),
            quality_results.c.point_time < func.now() - older_than,
            _has_newer(quality_results, "point_time", "urn", "check_key"),
        )

    async def delete_health_scores(
        self, urns: Sequence[str], older_than: timedelta, limit: int
    ) -> int:
        return await self._delete(
            health_scores,
            limit,
            _among(health_scores.c.urn, urns),
            health_scores.c.scored_at < func.now() - older_than,
        )

    async def delete_alerts(self, older_than: timedelta, limit: int) -> int:
        victim = alerts.alias()
        explains = (
            select(victim.c.id)
            .where(victim.c.cause == alerts.c.id, victim.c.ended_at.is_(None))
            .exists()
        )
        return await self._delete(
            alerts, limit, alerts.c.ended_at < func.now() - older_than, ~explains
        )

    async def delete_runs(self, older_than: timedelta, limit: int) -> int:
        return await self._delete(
            quality_runs, limit, quality_runs.c.finished_at < func.now() - older_than
        )

    async def delete_jobs(self, older_than: timedelta, limit: int) -> int:
        return await self._delete(
            jobs,
            limit,
            jobs.c.state == text("'DONE'"),
            jobs.c.finished_at < func.now() - older_than,
        )

    async def delete_slots(self, older_than: timedelta, limit: int) -> int:
        return await self._delete(
            schedule_slots,
            limit,
            schedule_slots.c.slot < func.now() - older_than,
            _has_newer(schedule_slots, "slot", "schedule_id"),
        )

    async def delete_rejected_events(self, older_than: timedelta, limit: int) -> int:
        return await self._delete(
            rejected_events, limit, rejected_events.c.rejected_at < func.now() - older_than
        )

    async def _delete(self, table: Table, limit: int, *which: ColumnElement[bool]) -> int:
        key = tuple_(*table.primary_key)
        # Rows that somebody holds are left for the next time.
        found = (
            select(*table.primary_key).where(*which).limit(limit).with_for_update(skip_locked=True)
        )
        with translated():
            async with self._engine.begin() as connection:
                return (await connection.execute(delete(table).where(key.in_(found)))).rowcount


def _among(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    return column == any_(literal(list(values), ARRAY(Text)))


def _has_newer(table: FromClause, time: str, *series: str) -> ColumnElement[bool]:
    newer = table.alias()
    same = [newer.c[name] == table.c[name] for name in series]
    return select(literal(1)).where(*same, newer.c[time] > table.c[time]).exists()
