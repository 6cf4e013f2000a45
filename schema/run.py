"""Runs: scans and refits of many datasets."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from dataspoke.ports import runs as model
from dataspoke.ports.runs import RunKind, RunState
from dataspoke.quality.runs import RunPage
from dataspoke.resolvers import runs as resolve
from dataspoke.schema.connection import After, Connection, First, edges, page_info
from dataspoke.schema.enum import describe
from dataspoke.schema.failure import (
    ConflictFailure,
    ForbiddenFailure,
    InvalidInputFailure,
    NotFoundFailure,
)
from dataspoke.schema.info import Info

describe(
    RunKind,
    name="QualityRunKind",
    description="What a run does, and why.",
    values={
        "SCHEDULED": "A scan at one of its times, or because events were missed.",
        "REQUESTED": "A scan that somebody asked for.",
        "REFIT": "A fit of all models to the whole history of their series.",
    },
)
describe(
    RunState,
    name="QualityRunState",
    description="How far a run has come.",
    values={
        "RUNNING": "It waits for a worker, or is under way.",
        "DONE": "Every dataset was done, or failed.",
        "CANCELLED": "Somebody has stopped it; it can be resumed.",
        "FAILED": "It could not be found out which datasets there are; it can be resumed.",
    },
)

RunId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="The run's id.")]


@strawberry.type(description="A scan, or a refit, of many datasets.")
class QualityRun:
    id: strawberry.ID = strawberry.field(description="Identifies the run.")
    kind: RunKind = strawberry.field(description="What it does, and why.")
    scope: str = strawberry.field(
        description="Which datasets: `all`, `rest` (those without a schedule of their own), or "
        "the urn of a domain or platform."
    )
    state: RunState = strawberry.field(description="How far it has come.")
    started_at: datetime = strawberry.field(description="When it was begun.")
    finished_at: datetime | None = strawberry.field(
        description="When it ended; null while it runs."
    )
    total: int | None = strawberry.field(
        description="How many datasets there are; null until they are listed."
    )
    done: int = strawberry.field(description="How many of them are done.")
    failed: int = strawberry.field(description="How many of them were given up.")
    requested_by: str | None = strawberry.field(
        description="DataHub's urn of the user who asked for it; null where nobody did."
    )

    @classmethod
    def of(cls, run: model.Run) -> "QualityRun":
        return cls(
            id=strawberry.ID(str(run.id)),
            kind=run.kind,
            scope=run.scope,
            state=run.state,
            started_at=run.started_at,
            finished_at=run.finished_at,
            total=run.total,
            done=run.done,
            failed=run.failed,
            requested_by=run.requested_by,
        )


@strawberry.type(description="A run does no more than what has begun.")
class QualityRunCancelled:
    run: QualityRun = strawberry.field(description="The run as it is now.")


@strawberry.type(description="A run goes on with what is left of it.")
class QualityRunResumed:
    run: QualityRun = strawberry.field(description="The run as it is now.")


CancelQualityRunResult: TypeAlias = Annotated[
    QualityRunCancelled
    | ForbiddenFailure
    | NotFoundFailure
    | ConflictFailure
    | InvalidInputFailure,
    strawberry.union("CancelQualityRunResult", description="What came of cancelling a run."),
]
ResumeQualityRunResult: TypeAlias = Annotated[
    QualityRunResumed | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("ResumeQualityRunResult", description="What came of resuming a run."),
]


def _connection(page: RunPage, after: str | None) -> Connection[QualityRun]:
    return Connection(
        edges=edges(page.runs, page.cursors, QualityRun.of),
        page_info=page_info(page.cursors, has_next=page.has_next, after=after),
    )


@strawberry.type
class RunQuery:
    @strawberry.field(description="Scans and refits of many datasets, newest first.")
    async def quality_runs(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[QualityRun] | None:
        return _connection(await resolve.listed(info.context, first, after), after)

    @strawberry.field(description="One run; null where there is none.")
    async def quality_run(self, info: Info, id: RunId) -> QualityRun | None:  # noqa: A002
        run = await resolve.run(info.context, id)
        return None if run is None else QualityRun.of(run)


@strawberry.type
class RunMutation:
    @strawberry.mutation(
        description="Stops a run: what waits is dropped, what has begun is done. The caller must "
        "be allowed to manage DataHub."
    )
    async def cancel_quality_run(
        self,
        info: Info,
        id: RunId,  # noqa: A002
    ) -> CancelQualityRunResult | None:
        return QualityRunCancelled(run=QualityRun.of(await resolve.cancel(info.context, id)))

    @strawberry.mutation(
        description="Lets a run go on with what it has not done, and tries again what failed. The "
        "caller must be allowed to manage DataHub."
    )
    async def resume_quality_run(
        self,
        info: Info,
        id: RunId,  # noqa: A002
    ) -> ResumeQualityRunResult | None:
        return QualityRunResumed(run=QualityRun.of(await resolve.resume(info.context, id)))


@strawberry.type
class RunSubscription:
    @strawberry.subscription(
        description="A run as it is and as it goes on, about twice a second at most. Ends with "
        "the run."
    )
    async def quality_run_progress(
        self,
        info: Info,
        id: RunId,  # noqa: A002
    ) -> AsyncGenerator[QualityRun | None, None]:
        async with aclosing(resolve.progress(info.context, id)) as runs:
            async for run in runs:
                yield QualityRun.of(run)
