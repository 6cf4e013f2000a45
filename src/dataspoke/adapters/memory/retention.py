"""Deletion in memory, of what PostgreSQL would delete."""

from collections.abc import Callable, Hashable, Iterable, Mapping, MutableMapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dataspoke.ports.clock import Clock
from dataspoke.ports.store import JobState

if TYPE_CHECKING:
    from dataspoke.adapters.memory.store import Tables

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Retention(Protocol):
    """Mixed into the store."""

    _tables: "Tables"
    _clock: Clock

    async def delete_results(self, urns: Sequence[str], older_than: timedelta, limit: int) -> int:
        results, until = self._tables.results, self._clock.now() - older_than
        newest: dict[tuple[str, Any], Any] = {}
        for urn, check, time in results:
            newest[urn, check] = max(time, newest.get((urn, check), time))
        return _delete(
            results,
            (
                key
                for key in results
                if key[0] in urns and key[2] < until and key[2] < newest[key[:2]]
            ),
            limit,
        )

    async def delete_health_scores(
        self, urns: Sequence[str], older_than: timedelta, limit: int
    ) -> int:
        until = self._clock.now() - older_than
        return _take(
            self._tables.health_history,
            lambda score: score.urn in urns and score.scored_at < until,
            limit,
        )

    async def delete_alerts(self, older_than: timedelta, limit: int) -> int:
        alerts, until = self._tables.alerts, self._clock.now() - older_than
        explaining = {alert.cause for alert in alerts.values() if alert.ended_at is None}
        old = [
            alert.id
            for alert in alerts.values()
            if alert.ended_at is not None
            and (alert.ended_at < until and alert.id not in explaining)
        ][:limit]
        changes = self._tables.changes
        self._tables.changes = [change for change in changes if change.alert.id not in old]
        return _delete(alerts, old, limit)

    async def delete_runs(self, older_than: timedelta, limit: int) -> int:
        runs, until = self._tables.jobs.runs, self._clock.now() - older_than
        old = [
            run.id
            for run in runs.rows.values()
            if run.finished_at is not None and run.finished_at < until
        ][:limit]
        _delete(runs.left, [run for run in old if run in runs.left], limit)
        return _delete(runs.rows, old, limit)

    async def delete_jobs(self, older_than: timedelta, limit: int) -> int:
        rows, until = self._tables.jobs.rows, self._clock.now() - older_than
        return _delete(
            rows,
            (
                row.id
                for row in rows.values()
                if row.state is JobState.DONE
                and (row.finished_at is not None and row.finished_at < until)
            ),
            limit,
        )

    async def delete_slots(self, older_than: timedelta, limit: int) -> int:
        slots, until = self._tables.jobs.slots, self._clock.now() - older_than
        newest: Mapping[str, Any] = dict(sorted(slots))
        old = [slot for slot in slots if slot[1] < until and slot[1] < newest[slot[0]]][:limit]
        slots.difference_update(old)
        return len(old)

    async def delete_rejected_events(self, older_than: timedelta, limit: int) -> int:
        until = self._clock.now() - older_than
        return _take(self._tables.rejected, lambda event: event.at < until, limit)


def _take(rows: list[T], which: Callable[[T], bool], limit: int) -> int:
    gone = list(islice((n for n, row in enumerate(rows) if which(row)), limit))
    for n in reversed(gone):
        del rows[n]
    return len(gone)


def _delete(table: MutableMapping[K, Any], keys: Iterable[K], limit: int) -> int:
    gone = list(islice(keys, limit))
    for key in gone:
        del table[key]
    return len(gone)
