"""Runs: scans and refits of many datasets, with their progress."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

# The scopes beside the urns of domains and platforms: every dataset, and every one that has no
# schedule of its own.
ALL = "all"
REST = "rest"


class RunKind(StrEnum):
    SCHEDULED = "SCHEDULED"
    REQUESTED = "REQUESTED"
    REFIT = "REFIT"


class RunState(StrEnum):
    """FAILED could not find out which datasets there are; a dataset that fails fails no run."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Run:
    """A scan, or a refit, of the datasets in ``scope``: ALL, REST, or a domain's or platform's urn.

    ``total`` is None until the datasets are listed; ``done`` and ``failed`` count those of them
    that came to an end. ``requested_by`` is a corpuser urn, None for a scheduled run.
    """

    id: UUID
    kind: RunKind
    scope: str
    state: RunState
    started_at: datetime
    finished_at: datetime | None = None
    total: int | None = None
    done: int = 0
    failed: int = 0
    requested_by: str | None = None


class RunReads(Protocol):
    async def runs(self, ids: Sequence[UUID]) -> Mapping[UUID, Run]: ...

    async def newest_runs(self, before: tuple[datetime, UUID] | None, limit: int) -> Sequence[Run]:
        """Return runs newest first, by (started_at, id), from before that place on."""
        ...

    async def left_of_run(self, run_id: UUID, urns: Sequence[str]) -> Sequence[str]:
        """Return which of these the run has still to do, in order; none unless it is RUNNING."""
        ...


class RunWrites(Protocol):
    """A job belongs to a run by the ``run_id`` in its payload, and to datasets by its ``urns``.

    Where such a job is given up its datasets are counted as failed; where it has none, as it was to
    list them, the run is FAILED.
    """

    async def begin_run(self, kind: RunKind, scope: str, requested_by: str | None) -> Run:
        """Return a new run, or the one that is RUNNING in this scope; refits join refits only."""
        ...

    async def fill_run(self, run_id: UUID, urns: Sequence[str]) -> bool:
        """Say which datasets the run is to do, once; False where it is filled, or not RUNNING.

        Without any the run is DONE.
        """
        ...

    async def count_done(self, run_id: UUID, urns: Sequence[str]) -> None:
        """Count datasets as done, each once however often it is said; with the last the run ends.

        Last in a transaction: it holds up what counts in the same run until the commit.
        """
        ...

    async def cancel_run(self, run_id: UUID) -> Run:
        """Drop the run's jobs that wait; raises Conflict where it is not RUNNING."""
        ...

    async def resume_run(self, run_id: UUID) -> tuple[Run, Sequence[str]]:
        """Make the run RUNNING, with no job waiting; returns it and the datasets that are left.

        They are those that were not done and those that failed. Raises Conflict where there are
        none, and where another run is RUNNING in the same scope.
        """
        ...
