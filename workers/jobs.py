"""Which service does which kind of job."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from dataspoke.health.service import HealthService
from dataspoke.knowledge.indexing import IndexService
from dataspoke.ports.runs import ALL, RunKind
from dataspoke.ports.store import JobKind, Lease
from dataspoke.quality.alerting import AlertService
from dataspoke.quality.notifications.service import NotificationService
from dataspoke.quality.runs import RunService
from dataspoke.quality.service import QualityService
from dataspoke.quality.sla.service import SlaService
from dataspoke.retention import RetentionService

# Does a job with its payload, and marks it done under the lease in the transaction that saves
# what it did.
Work = Callable[[Lease, Mapping[str, Any]], Awaitable[None]]


def work_table(
    *,
    quality: QualityService,
    runs: RunService,
    alerts: AlertService,
    slas: SlaService,
    notifications: NotificationService,
    health: HealthService,
    index: IndexService,
    retention: RetentionService,
) -> Mapping[JobKind, Work]:
    """Return what does each kind of job."""

    async def scan(lease: Lease, payload: Mapping[str, Any]) -> None:
        run_id = _run_id(payload)
        if run_id is None:
            await quality.scan(lease, payload["urns"])
        else:
            await runs.scan(lease, run_id, payload["urns"], refit=payload.get("refit", False))

    async def compare(lease: Lease, payload: Mapping[str, Any]) -> None:
        await index.reconcile_datasets(lease, payload["urns"])

    return {
        JobKind.SCAN_ALL: lambda lease, payload: runs.begin(
            lease,
            RunKind(payload.get("kind", RunKind.SCHEDULED)),
            payload.get("scope", ALL),
            _run_id(payload),
        ),
        JobKind.SCAN_DATASETS: scan,
        JobKind.WRITE_BACK_QUALITY: lambda lease, payload: quality.write_back(
            lease, payload["urns"], payload["removed"]
        ),
        JobKind.WRITE_BACK_INCIDENTS: lambda lease, payload: alerts.write_incidents(
            lease,
            [UUID(alert) for alert in payload["alerts"]],
            datetime.fromisoformat(payload["at"]),
        ),
        JobKind.WAKE_ALERT: lambda lease, payload: alerts.wake(lease, UUID(payload["alert"])),
        JobKind.ANNOUNCE_ALERTS: lambda lease, payload: alerts.announce(lease),
        JobKind.DELIVER_NOTIFICATION: lambda lease, payload: notifications.deliver(
            lease, UUID(payload["notification"])
        ),
        JobKind.CHECK_SLAS: lambda lease, payload: slas.check(lease),
        JobKind.AUDIT_ALL: lambda lease, payload: health.audit_all(lease),
        JobKind.AUDIT_DATASETS: lambda lease, payload: health.audit(lease, payload["urns"]),
        JobKind.WRITE_BACK_HEALTH: lambda lease, payload: health.write_back(lease, payload["urns"]),
        JobKind.REINDEX: lambda lease, payload: index.reindex(lease),
        JobKind.BACKFILL: lambda lease, payload: index.backfill(lease),
        JobKind.REINDEX_CARRIERS: lambda lease, payload: index.reindex_carriers(
            lease, payload["urns"]
        ),
        JobKind.RECONCILE: lambda lease, payload: index.reconcile(lease),
        JobKind.RECONCILE_DATASETS: compare,
        JobKind.LEARN_VOCABULARY: lambda lease, payload: index.learn(lease),
        JobKind.DELETE_OLD: lambda lease, payload: retention.delete_old(lease),
    }


def _run_id(payload: Mapping[str, Any]) -> UUID | None:
    return UUID(payload["run_id"]) if "run_id" in payload else None
