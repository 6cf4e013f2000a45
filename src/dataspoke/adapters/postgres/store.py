"""The Store port on PostgreSQL: one statement for each read, however many datasets."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Executable,
    FromClause,
    Row,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    literal,
    select,
    tuple_,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from dataspoke.adapters.postgres import rows
from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.jobs import add_jobs, finish_job
from dataspoke.adapters.postgres.knowledge import KnowledgeReads, KnowledgeWrites
from dataspoke.adapters.postgres.migrate import current_revision, require_head
from dataspoke.adapters.postgres.models import ModelReads, ModelWrites
from dataspoke.adapters.postgres.notifications import NotificationReads, NotificationWrites
from dataspoke.adapters.postgres.retention import Retention
from dataspoke.adapters.postgres.rules import RuleReads, RuleWrites
from dataspoke.adapters.postgres.runs import RunReads, RunWrites
from dataspoke.adapters.postgres.sla import SlaReads, SlaWrites
from dataspoke.adapters.postgres.tables import (
    alert_changes,
    alerts,
    audit_log,
    dataset_schemas,
    event_cursors,
    health_latest,
    health_scores,
    index_requests,
    index_version,
    quality_feedback,
    quality_models,
    quality_monitors,
    quality_results,
    quality_verdicts,
    rejected_events,
    sla_outlooks,
    sla_targets,
    snapshots,
)
from dataspoke.errors import Conflict, LeaseLost
from dataspoke.health.model import HealthScore
from dataspoke.ports.store import AlertQuery, IndexRequest, Lease, NewJob
from dataspoke.quality.model import (
    ACTIVE,
    Alert,
    AlertChange,
    Check,
    DatasetQuality,
    Feedback,
    MonitorSettings,
    Result,
)

# Held by whoever draws a cursor of alert_changes until its commit; any number of our own.
_CHANGING_ALERTS = 7_366_111_002


def _among(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    # An array, so that the statement is the same text for one value and for fifty.
    return column == any_(literal(list(values), ARRAY(Text)))


def _newest_wins(table: FromClause, time: str) -> Any:
    """An upsert by urn that leaves a row alone where it is newer than what comes."""
    new = insert(table)  # type: ignore[arg-type]
    return new.on_conflict_do_update(
        index_elements=["urn"],
        set_={name: new.excluded[name] for name in table.c.keys() if name != "urn"},  # noqa: SIM118
        where=table.c[time] <= new.excluded[time],
    )


_SAVE_QUALITY = _newest_wins(quality_verdicts, "scanned_at")
_SAVE_HEALTH = _newest_wins(health_latest, "scored_at")


_new_alert = insert(alerts)
_SAVE_ALERT = _new_alert.on_conflict_do_update(
    index_elements=["dedupe_key"],
    set_={
        name: _new_alert.excluded[name]
        for name in alerts.c.keys()  # noqa: SIM118
        if name not in ("id", "dedupe_key")
    },
    where=(alerts.c.id == _new_alert.excluded.id)
    & (alerts.c.version == _new_alert.excluded.version - 1),
).returning(alerts)

_new_feedback = insert(quality_feedback)
_SAVE_FEEDBACK = _new_feedback.on_conflict_do_update(
    constraint=quality_feedback.primary_key,
    set_={name: _new_feedback.excluded[name] for name in ("kind", "by", "at")},
)
_new_monitor = insert(quality_monitors)
_SAVE_MONITOR = _new_monitor.on_conflict_do_update(
    index_elements=["urn"],
    set_={name: _new_monitor.excluded[name] for name in ("settings", "version")},
    where=quality_monitors.c.version == _new_monitor.excluded.version - 1,
)

_request = insert(index_requests).values(
    version=func.nextval(index_version.name), place=func.nextval(index_version.name)
)
_REQUEST_INDEX = _request.on_conflict_do_update(
    index_elements=["urn"],
    set_={
        "version": _request.excluded.version,
        "background": index_requests.c.background & _request.excluded.background,
    },
)
_FINISH_INDEX = delete(index_requests).where(
    index_requests.c.urn == bindparam("served_urn"),
    index_requests.c.version <= bindparam("served_version"),
)


class _Transaction(
    KnowledgeWrites, NotificationWrites, RunWrites, ModelWrites, RuleWrites, SlaWrites
):
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _save(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> None:
        if values:
            with translated():
                await self._connection.execute(statement, values)

    async def add_jobs(self, jobs: Sequence[NewJob]) -> None:
        with translated():
            await add_jobs(self._connection, jobs)

    async def save_results(self, results: Sequence[Result]) -> None:
        new = insert(quality_results).on_conflict_do_nothing()
        await self._save(new, [rows.result_values(result) for result in results])

    async def save_quality(self, verdicts: Sequence[DatasetQuality]) -> None:
        ordered = sorted(verdicts, key=lambda verdict: verdict.urn)
        await self._save(_SAVE_QUALITY, [rows.quality_values(verdict) for verdict in ordered])

    async def save_alerts(self, alerts: Sequence[Alert]) -> Sequence[AlertChange]:
        with translated():
            changed: list[Alert] = []
            # In one order, so that two transactions with the same alerts cannot deadlock.
            for alert in sorted(alerts, key=lambda alert: alert.dedupe_key):
                saved = await self._connection.execute(_SAVE_ALERT, rows.alert_values(alert))
                changed.extend(rows.alert(row) for row in saved)
            if not changed:
                return []
            await self._connection.execute(select(func.pg_advisory_xact_lock(_CHANGING_ALERTS)))
            changes = []
            for alert in changed:
                logged = insert(alert_changes).values(rows.alert_change_values(alert))
                cursor = await self._connection.scalar(logged.returning(alert_changes.c.cursor))
                changes.append(AlertChange(int(cursor or 0), alert))
            return changes

    async def save_feedback(self, feedback: Sequence[Feedback]) -> None:
        await self._save(_SAVE_FEEDBACK, [rows.feedback_values(said) for said in feedback])

    async def save_monitor(self, settings: MonitorSettings) -> None:
        with translated():
            saved = await self._connection.execute(_SAVE_MONITOR, rows.monitor_values(settings))
        if saved.rowcount == 0:
            raise Conflict(
                f"The monitors of {settings.urn} have been changed meanwhile: read them again."
            )

    async def save_health(self, scores: Sequence[HealthScore]) -> None:
        ordered = [rows.health_values(s) for s in sorted(scores, key=lambda score: score.urn)]
        await self._save(insert(health_scores), ordered)
        await self._save(_SAVE_HEALTH, ordered)

    async def request_index(self, urns: Sequence[str], *, background: bool = False) -> None:
        await self._save(
            _REQUEST_INDEX,
            [{"urn": urn, "background": background} for urn in sorted(set(urns))],
        )

    async def finish_index(self, requests: Sequence[IndexRequest]) -> Sequence[str]:
        urns = sorted(request.urn for request in requests)
        # Locked, in the order of the others, so that nobody finishes one in between.
        waiting = (
            select(index_requests.c.urn)
            .where(_among(index_requests.c.urn, urns))
            .order_by(index_requests.c.urn)
            .with_for_update()
        )
        with translated():
            there = set(await self._connection.scalars(waiting)) if urns else set()
        served = [
            {"served_urn": request.urn, "served_version": request.version}
            for request in sorted(requests, key=lambda request: request.urn)
        ]
        await self._save(_FINISH_INDEX, served)
        return [urn for urn in urns if urn not in there]

    async def save_cursor(self, stream: str, cursor: str, previous: str | None) -> None:
        if previous is None:
            moved: Any = insert(event_cursors).values(stream=stream, cursor=cursor)
            moved = moved.on_conflict_do_nothing()
        else:
            moved = (
                update(event_cursors)
                .where(event_cursors.c.stream == stream, event_cursors.c.cursor == previous)
                .values(cursor=cursor, moved_at=func.now())
            )
        with translated():
            done = await self._connection.execute(moved)
        if done.rowcount == 0:
            raise Conflict(f"The cursor of {stream} has been moved by another consumer.")

    async def reject_event(self, stream: str, event: str, error: str) -> None:
        # PostgreSQL keeps no NUL in a text, and it may be why the event was refused.
        values = {
            "stream": stream,
            "event": event.replace("\0", "�"),
            "error": error.replace("\0", "�"),
        }
        await self._save(insert(rejected_events), [values])

    async def forget(self, urns: Sequence[str]) -> None:
        # An alert's changes go with it.
        for table in (
            quality_results,
            quality_verdicts,
            quality_feedback,
            quality_monitors,
            dataset_schemas,
            sla_outlooks,
            sla_targets,
            health_scores,
            health_latest,
            alerts,
            quality_models,
            snapshots,
        ):
            with translated():
                await self._connection.execute(delete(table).where(_among(table.c.urn, urns)))

    async def audit(self, actor: str, action: str, subjects: Sequence[str]) -> None:
        values = {"actor": actor, "action": action, "subjects": list(subjects)}
        await self._save(insert(audit_log), [values])


class PostgresStore(
    KnowledgeReads, NotificationReads, RunReads, ModelReads, Retention, RuleReads, SlaReads
):
    """The Store port; see there for what each call returns."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self, lease: Lease | None = None) -> AsyncIterator[_Transaction]:
        # What the body raises passes as it is: only this class's own calls are translated.
        async with AsyncExitStack() as stack:
            with translated():
                connection = await stack.enter_async_context(self._engine.connect())
            yield _Transaction(connection)
            with translated():
                # Last, so that the job's row is locked for the shortest time: the heartbeat and
                # another worker's claim must not wait for the body.
                if lease is not None and not await finish_job(connection, lease):
                    raise LeaseLost(f"Job {lease.job_id} is no longer this worker's.")
                await connection.commit()

    async def _rows(self, statement: Executable) -> Sequence[Row[Any]]:
        with translated():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement)).all()

    async def quality_of(self, urns: Sequence[str]) -> Mapping[str, DatasetQuality]:
        found = select(quality_verdicts).where(_among(quality_verdicts.c.urn, urns))
        return {row.urn: rows.quality(row) for row in await self._rows(found)}

    async def last_point_times(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, datetime]]:
        table = quality_results
        newest = (
            select(table.c.urn, table.c.check_key, func.max(table.c.point_time).label("newest"))
            .where(_among(table.c.urn, urns))
            .group_by(table.c.urn, table.c.check_key)
        )
        times: dict[str, dict[Check, datetime]] = {}
        for row in await self._rows(newest):
            times.setdefault(row.urn, {})[Check.parse(row.check_key)] = row.newest
        return times

    async def results_for(self, urns: Sequence[str], limit: int) -> Mapping[str, Sequence[Result]]:
        # One short walk of the primary key for each check of a dataset, however long the history.
        # Which checks there are is read from the latest verdict.
        key = func.jsonb_array_elements_text(quality_verdicts.c.check_keys)
        check = (
            select(quality_verdicts.c.urn, key.label("check_key"))
            .where(_among(quality_verdicts.c.urn, urns))
            .subquery()
        )
        newest = (
            select(quality_results)
            .where(
                quality_results.c.urn == check.c.urn,
                quality_results.c.check_key == check.c.check_key,
            )
            .order_by(quality_results.c.point_time.desc())
            .limit(limit)
            .lateral()
        )
        found = (
            select(newest)
            .select_from(check.join(newest, literal(True)))
            .order_by(newest.c.point_time.desc())
        )
        results: dict[str, list[Result]] = {}
        for row in await self._rows(found):
            results.setdefault(row.urn, []).append(rows.result(row))
        return results

    async def history(
        self, urn: str, check: Check, since: datetime, until: datetime, limit: int
    ) -> Sequence[Result]:
        table = quality_results
        newest = (
            select(table)
            .where(
                table.c.urn == urn,
                table.c.check_key == check.key,
                table.c.point_time.between(since, until),
            )
            .order_by(table.c.point_time.desc())
            .limit(limit)
        )
        return [rows.result(row) for row in reversed(await self._rows(newest))]

    async def active_alerts(self, urns: Sequence[str] | None) -> Mapping[str, Sequence[Alert]]:
        found = _newest_alerts().where(alerts.c.state.in_(ACTIVE))
        if urns is not None:
            found = found.where(_among(alerts.c.urn, urns))
        active: dict[str, list[Alert]] = {}
        for row in await self._rows(found):
            active.setdefault(row.urn, []).append(rows.alert(row))
        return active

    async def latest_alerts(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, Alert]]:
        newest = (
            select(alerts)
            .ext(distinct_on(alerts.c.urn, alerts.c.check_key))
            .where(_among(alerts.c.urn, urns))
            .order_by(
                alerts.c.urn, alerts.c.check_key, alerts.c.opened_at.desc(), alerts.c.id.desc()
            )
        )
        latest: dict[str, dict[Check, Alert]] = {}
        for row in await self._rows(newest):
            alert = rows.alert(row)
            latest.setdefault(alert.urn, {})[alert.check] = alert
        return latest

    async def feedback_on(self, urns: Sequence[str]) -> Mapping[str, Sequence[Feedback]]:
        table = quality_feedback
        found = select(table).where(_among(table.c.urn, urns)).order_by(table.c.point_time)
        feedback: dict[str, list[Feedback]] = {}
        for row in await self._rows(found):
            feedback.setdefault(row.urn, []).append(rows.feedback(row))
        return feedback

    async def monitors_of(self, urns: Sequence[str]) -> Mapping[str, MonitorSettings]:
        found = select(quality_monitors).where(_among(quality_monitors.c.urn, urns))
        return {row.urn: rows.monitor(row) for row in await self._rows(found)}

    async def alert(self, alert_id: UUID) -> Alert | None:
        found = await self._rows(select(alerts).where(alerts.c.id == alert_id))
        return rows.alert(found[0]) if found else None

    async def alerts_by_id(self, alert_ids: Sequence[UUID]) -> Sequence[Alert]:
        wanted = alerts.c.id == any_(literal(list(alert_ids), ARRAY(Uuid)))
        return [rows.alert(row) for row in await self._rows(_newest_alerts().where(wanted))]

    async def alerts_explained_by(self, causes: Sequence[UUID]) -> Sequence[Alert]:
        found = _newest_alerts().where(
            alerts.c.cause == any_(literal(list(causes), ARRAY(Uuid))), alerts.c.state.in_(ACTIVE)
        )
        return [rows.alert(row) for row in await self._rows(found)]

    async def alerts(self, query: AlertQuery) -> Sequence[Alert]:
        found = _newest_alerts().limit(query.limit)
        if query.urns is not None:
            found = found.where(_among(alerts.c.urn, query.urns))
        if query.states is not None:
            found = found.where(_among(alerts.c.state, query.states))
        if query.before is not None:
            time, alert_id = query.before
            place = tuple_(literal(time, alerts.c.opened_at.type), literal(alert_id, Uuid))
            found = found.where(tuple_(alerts.c.opened_at, alerts.c.id) < place)
        return [rows.alert(row) for row in await self._rows(found)]

    async def alert_changes(
        self, after: int, urns: Sequence[str] | None, limit: int
    ) -> Sequence[AlertChange]:
        found = (
            select(alert_changes.c.cursor, alert_changes.c.alert)
            .where(alert_changes.c.cursor > after)
            .order_by(alert_changes.c.cursor)
            .limit(limit)
        )
        if urns is not None:
            found = found.where(_among(alert_changes.c.urn, urns))
        return [rows.alert_change(row) for row in await self._rows(found)]

    async def last_alert_cursor(self) -> int:
        newest = await self._rows(select(func.coalesce(func.max(alert_changes.c.cursor), 0)))
        return int(newest[0][0])

    async def health_of(self, urns: Sequence[str]) -> Mapping[str, HealthScore]:
        found = select(health_latest).where(_among(health_latest.c.urn, urns))
        return {row.urn: rows.health(row) for row in await self._rows(found)}

    async def health_ranking(
        self, ascending: bool, after: tuple[float, str] | None, limit: int
    ) -> Sequence[HealthScore]:
        value, urn = health_latest.c.value, health_latest.c.urn
        found = select(health_latest).limit(limit)
        if ascending:
            found = found.order_by(value, urn)
        else:
            found = found.order_by(value.desc(), urn.desc())
        if after is not None:
            here = tuple_(value, urn)
            place = tuple_(literal(after[0], value.type), literal(after[1], urn.type))
            found = found.where(here > place if ascending else here < place)
        return [rows.health(row) for row in await self._rows(found)]

    async def index_requests(
        self, limit: int, *, background: bool = False
    ) -> Sequence[IndexRequest]:
        asked = select(index_requests).where(index_requests.c.background.is_(background))
        oldest = asked.order_by(index_requests.c.place).limit(limit)
        return [
            IndexRequest(row.urn, row.version, row.background) for row in await self._rows(oldest)
        ]

    async def waiting_index_requests(self) -> int:
        counted = await self._rows(select(func.count()).select_from(index_requests))
        return int(counted[0][0])

    async def known_datasets(self) -> frozenset[str]:
        known = union(select(quality_verdicts.c.urn), select(health_latest.c.urn))
        return frozenset(row.urn for row in await self._rows(known))

    async def cursor(self, stream: str) -> str | None:
        found = select(event_cursors.c.cursor).where(event_cursors.c.stream == stream)
        saved = await self._rows(found)
        return str(saved[0].cursor) if saved else None

    async def ping(self) -> None:
        with translated():
            async with self._engine.connect() as connection:
                require_head(await connection.run_sync(current_revision))


def _newest_alerts() -> Select[Any]:
    return select(alerts).order_by(alerts.c.opened_at.desc(), alerts.c.id.desc())
