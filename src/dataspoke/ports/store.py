"""DataSpoke's own history. PostgreSQL is the truth; the memory adapter serves unit tests."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from dataspoke.health.model import HealthScore
from dataspoke.ports.knowledge import KnowledgeReads, KnowledgeWrites
from dataspoke.ports.models import ModelReads, ModelWrites
from dataspoke.ports.notifications import NotificationReads, NotificationWrites
from dataspoke.ports.queue import WakeUp
from dataspoke.ports.retention import Retention
from dataspoke.ports.rules import RuleReads, RuleWrites
from dataspoke.ports.runs import RunReads, RunWrites
from dataspoke.ports.sla import SlaReads, SlaWrites
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertState,
    Check,
    DatasetQuality,
    Feedback,
    MonitorSettings,
    Result,
)


class JobState(StrEnum):
    """READY waits (for its time, a wake-up or a retry); DEAD gave up and keeps its last error."""

    READY = "READY"
    RUNNING = "RUNNING"
    DONE = "DONE"
    DEAD = "DEAD"


class JobKind(StrEnum):
    """Every kind of job; the payload's keys stand beside it."""

    SCAN_ALL = "scan_all"  # kind and scope of a run, or its run_id
    SCAN_DATASETS = "scan_datasets"  # urns; of a run its run_id too, and whether to refit
    WRITE_BACK_QUALITY = "write_back_quality"  # urns, removed
    WRITE_BACK_INCIDENTS = "write_back_incidents"  # alerts, at
    WAKE_ALERT = "wake_alert"  # alert
    ANNOUNCE_ALERTS = "announce_alerts"
    CHECK_SLAS = "check_slas"
    DELIVER_NOTIFICATION = "deliver_notification"  # notification
    AUDIT_ALL = "audit_all"
    AUDIT_DATASETS = "audit_datasets"  # urns
    WRITE_BACK_HEALTH = "write_back_health"  # urns
    REINDEX = "reindex"
    BACKFILL = "backfill"
    REINDEX_CARRIERS = "reindex_carriers"  # urns of what datasets carry
    RECONCILE = "reconcile"
    LEARN_VOCABULARY = "learn_vocabulary"
    RECONCILE_DATASETS = "reconcile_datasets"  # urns
    DELETE_OLD = "delete_old"


# What may take long, or comes in great numbers, and nobody waits for: the rest goes first.
PATIENT = frozenset(
    {
        JobKind.WRITE_BACK_QUALITY,
        JobKind.AUDIT_ALL,
        JobKind.AUDIT_DATASETS,
        JobKind.WRITE_BACK_HEALTH,
        JobKind.BACKFILL,
        JobKind.RECONCILE_DATASETS,
    }
)


@dataclass(frozen=True, slots=True)
class NewJob:
    """Work to be done once. While a READY job has the same ``dedupe_key``, no second is added.

    Nor is one begun while another with the key runs: what it asks for then is done by itself, and
    what comes meanwhile joins it.

    ``traceparent`` is the W3C trace context of the request that caused it, if any.
    """

    kind: JobKind
    payload: Mapping[str, Any] = field(default_factory=dict)
    dedupe_key: str | None = None
    delay: timedelta = timedelta(0)
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to finish a job. ``token`` rises with every claim, so that an old one is void."""

    job_id: UUID
    token: int


@dataclass(frozen=True, slots=True)
class Job:
    lease: Lease
    kind: JobKind
    payload: Mapping[str, Any]
    attempt: int
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many jobs are in each state, and the age of the oldest that is due and not begun."""

    by_state: Mapping[JobState, int]
    oldest_due_age_s: float | None


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """A dataset whose document may be out of step. ``version`` rises with every new request.

    One in the ``background`` is of a back-fill, which is served apart from what just changed.
    """

    urn: str
    version: int
    background: bool = False


@dataclass(frozen=True, slots=True)
class AlertQuery:
    """Which alerts to list, newest first; None means any. ``before`` is an alert's position."""

    urns: tuple[str, ...] | None = None
    states: tuple[AlertState, ...] | None = None
    before: tuple[datetime, UUID] | None = None
    limit: int = 50


# Returns the last slot of a schedule that is not after the given time.
NewestSlot = Callable[[datetime], datetime]


class Transaction(
    KnowledgeWrites,
    NotificationWrites,
    RunWrites,
    ModelWrites,
    RuleWrites,
    SlaWrites,
    Protocol,
):
    """What is saved together or not at all."""

    async def add_jobs(self, jobs: Sequence[NewJob]) -> None: ...

    async def save_results(self, results: Sequence[Result]) -> None:
        """Keep results; one that is there already (urn, check, point time) stays as it is."""
        ...

    async def save_quality(self, verdicts: Sequence[DatasetQuality]) -> None:
        """Replace each dataset's latest verdict."""
        ...

    async def save_alerts(self, alerts: Sequence[Alert]) -> Sequence[AlertChange]:
        """Insert alerts or move them on, and log each change; returns those that took effect.

        An alert that was not saved yet (version 0) takes effect where its dedupe key is new, any
        other where nobody has changed it since it was read (its version). What is returned has the
        next version.
        """
        ...

    async def save_feedback(self, feedback: Sequence[Feedback]) -> None:
        """Keep what people said of points, replacing what was said of the same before."""
        ...

    async def save_monitor(self, settings: MonitorSettings) -> None:
        """Replace how a dataset is watched; raises Conflict where its version is not the newest."""
        ...

    async def save_health(self, scores: Sequence[HealthScore]) -> None:
        """Append to the history of scores and replace each dataset's latest one."""
        ...

    async def request_index(self, urns: Sequence[str], *, background: bool = False) -> None:
        """Ask for each dataset's document to be made anew; a second request joins the first.

        It is in the background where both are.
        """
        ...

    async def finish_index(self, requests: Sequence[IndexRequest]) -> Sequence[str]:
        """Remove requests that were served; one renewed meanwhile (higher version) stays.

        Returns the urns whose request somebody else has finished, maybe a newer one.
        """
        ...

    async def save_cursor(self, stream: str, cursor: str, previous: str | None) -> None:
        """Move a stream's cursor on from ``previous``, None for a stream that has none yet.

        Raises Conflict where another consumer has moved it meanwhile.
        """
        ...

    async def reject_event(self, stream: str, event: str, error: str) -> None:
        """Keep an event that could not be taken, as text, among the dead letters."""
        ...

    async def forget(self, urns: Sequence[str]) -> None:
        """Remove verdicts, results, scores and alerts of datasets that left the hub."""
        ...

    async def audit(self, actor: str, action: str, subjects: Sequence[str]) -> None:
        """Record who did what to which ids; never values."""
        ...


class Store(
    KnowledgeReads,
    NotificationReads,
    RunReads,
    ModelReads,
    Retention,
    RuleReads,
    SlaReads,
    Protocol,
):
    """Reads are plural: as many statements for fifty datasets as for one.

    Raises DependencyUnavailable or DependencyTimeout with port ``store`` where it is down.
    """

    def transaction(self, lease: Lease | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Commit what is done inside, or nothing where the body raises.

        With a lease the job is marked done in the same commit; raises LeaseLost, saving nothing,
        where another worker has claimed it since.
        """
        ...

    async def quality_of(self, urns: Sequence[str]) -> Mapping[str, DatasetQuality]:
        """Return the latest verdict of each dataset; never scanned ones are absent."""
        ...

    async def last_point_times(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, datetime]]:
        """Return for each check that has results the time of the newest judged point."""
        ...

    async def results_for(self, urns: Sequence[str], limit: int) -> Mapping[str, Sequence[Result]]:
        """Return each dataset's newest ``limit`` results per check, newest first."""
        ...

    async def history(
        self, urn: str, check: Check, since: datetime, until: datetime, limit: int
    ) -> Sequence[Result]:
        """Return the newest ``limit`` results of one check between two times, oldest first."""
        ...

    async def active_alerts(self, urns: Sequence[str] | None) -> Mapping[str, Sequence[Alert]]:
        """Return alerts that have not ended, newest first, of all datasets where None.

        Datasets without are absent.
        """
        ...

    async def latest_alerts(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, Alert]]:
        """Return each check's newest alert, whatever its state."""
        ...

    async def feedback_on(self, urns: Sequence[str]) -> Mapping[str, Sequence[Feedback]]:
        """Return what people said of points of these datasets, oldest point first."""
        ...

    async def monitors_of(self, urns: Sequence[str]) -> Mapping[str, MonitorSettings]:
        """Return how datasets are watched; those that nobody has configured are absent."""
        ...

    async def alert(self, alert_id: UUID) -> Alert | None: ...

    async def alerts_by_id(self, alert_ids: Sequence[UUID]) -> Sequence[Alert]:
        """Return those of these alerts that there are, newest first."""
        ...

    async def alerts_explained_by(self, causes: Sequence[UUID]) -> Sequence[Alert]:
        """Return the active alerts that have one of these as their cause, newest first."""
        ...

    async def alerts(self, query: AlertQuery) -> Sequence[Alert]:
        """Return alerts newest first, by (opened_at, id)."""
        ...

    async def alert_changes(
        self, after: int, urns: Sequence[str] | None, limit: int
    ) -> Sequence[AlertChange]:
        """Return changes with a cursor above ``after``, in commit order."""
        ...

    async def last_alert_cursor(self) -> int:
        """Return the newest change's cursor, 0 where there is none."""
        ...

    async def health_of(self, urns: Sequence[str]) -> Mapping[str, HealthScore]:
        """Return the latest score of each dataset; never scored ones are absent."""
        ...

    async def health_ranking(
        self, ascending: bool, after: tuple[float, str] | None, limit: int
    ) -> Sequence[HealthScore]:
        """Return latest scores by (value, urn) from the lowest, or highest, on."""
        ...

    async def index_requests(
        self, limit: int, *, background: bool = False
    ) -> Sequence[IndexRequest]:
        """Return the oldest requests, those in the background or the others."""
        ...

    async def waiting_index_requests(self) -> int:
        """Return how many requests are not finished."""
        ...

    async def known_datasets(self) -> frozenset[str]:
        """Return the urns of all datasets with a verdict or a score."""
        ...

    async def cursor(self, stream: str) -> str | None: ...

    async def ping(self) -> None:
        """Return where the store answers and its migrations are in step; raise otherwise."""
        ...


class Jobs(Protocol):
    """Durable jobs: rows are the truth, the queue is only the wake-up."""

    async def due(self, limit: int, quiet: timedelta) -> Sequence[WakeUp]:
        """Return jobs to wake: READY and due, or RUNNING with an expired lease.

        One whose dedupe key is that of a job that runs waits for its end.

        A job is not returned again before ``quiet`` has passed. Concurrent callers get
        different jobs.
        """
        ...

    async def claim(self, job_id: UUID, lease_for: timedelta) -> Job | None:
        """Take the job, with a new token; None where it is not due, done, or held by another.

        And where another with its dedupe key runs.
        """
        ...

    async def heartbeat(self, lease: Lease, lease_for: timedelta) -> bool:
        """Extend the lease; False where it has been lost."""
        ...

    async def finish(self, lease: Lease) -> bool:
        """Mark the job done; False where it no longer runs under this lease."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the job back at once, as if this attempt had not been; no error where it is lost."""
        ...

    async def fail(self, lease: Lease, error: str, retry_in: timedelta | None) -> None:
        """Give the job back to be tried again, or to the dead letters where None.

        Where a READY job has the same dedupe key meanwhile, that one takes its place. No error
        where the lease has been lost.
        """
        ...

    async def fill_slot(self, schedule: str, newest: NewestSlot, job: NewJob) -> bool:
        """Add ``job`` for the newest slot by the database's clock; False where it was filled.

        Slots before one that is filled are never filled: each is made up for by the next.
        """
        ...

    async def counts(self) -> JobCounts: ...

    async def pending(self, kinds: Sequence[JobKind]) -> int:
        """Return how many jobs of these kinds are READY or RUNNING."""
        ...

    async def revive(self, kind: JobKind | None) -> int:
        """Make dead jobs READY again, all or of one kind; returns how many."""
        ...
