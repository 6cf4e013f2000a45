"""Deletes what was kept long enough."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from dataspoke.ports.store import Lease, Store
from dataspoke.settings import RetentionSettings

_log = logging.getLogger(__name__)

# So many rows go in one commit, and of so many datasets one statement looks at the history.
_ROWS = 2000
_DATASETS = 100


class RetentionService:
    """Keeps what was computed as long as the settings say."""

    def __init__(self, store: Store, settings: RetentionSettings) -> None:
        self._store = store
        self._settings = settings

    async def delete_old(self, lease: Lease | None) -> None:
        """Delete what is older than it should be, in many small commits.

        What a run that was cut short has not come to is left for the next.
        """
        store, keep = self._store, self._settings
        deleted = {
            "alerts": await _all(partial(store.delete_alerts, _days(keep.alerts_days))),
            "runs": await _all(partial(store.delete_runs, _days(keep.runs_days))),
            "jobs": await _all(partial(store.delete_jobs, _days(keep.jobs_days))),
            "slots": await _all(partial(store.delete_slots, _days(keep.slots_days))),
            "rejected events": await _all(
                partial(store.delete_rejected_events, _days(keep.rejected_events_days))
            ),
        }
        urns = sorted(await store.known_datasets())
        results = scores = 0
        for start in range(0, len(urns), _DATASETS):
            some = urns[start : start + _DATASETS]
            results += await _all(partial(store.delete_results, some, _days(keep.results_days)))
            scores += await _all(partial(store.delete_health_scores, some, _days(keep.health_days)))
        deleted |= {"results": results, "health scores": scores}
        if any(deleted.values()):
            told = ", ".join(f"{count} {name}" for name, count in deleted.items() if count)
            _log.info("Deleted what was kept long enough: %s", told)
        async with store.transaction(lease):
            pass


async def _all(delete: Callable[[int], Awaitable[int]]) -> int:
    """Call ``delete`` with a limit until it finds no more; returns how many it deleted."""
    total = 0
    while True:
        count = await delete(_ROWS)
        total += count
        if count < _ROWS:
            return total


def _days(days: float) -> timedelta:
    return timedelta(days=days)
