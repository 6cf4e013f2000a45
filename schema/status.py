"""The state of this DataSpoke installation."""

import strawberry

from dataspoke import status as model
from dataspoke.ports.hub import HubInfo
from dataspoke.ports.store import JobState
from dataspoke.schema.enum import describe
from dataspoke.status import ComponentState

describe(
    ComponentState,
    name="DataspokeComponentState",
    description="Whether an outside system works.",
    values={
        "REACHABLE": "It answers.",
        "DEGRADED": "It failed or took too long; what depends on it fails or is stale.",
    },
)
describe(
    JobState,
    name="DataspokeJobState",
    description="How far a background job has come.",
    values={
        "READY": "It waits for its time, for a worker, or for a retry.",
        "RUNNING": "A worker has it.",
        "DONE": "It is done.",
        "DEAD": "It gave up after its last retry and keeps its error.",
    },
)


@strawberry.type(description="An outside system that DataSpoke depends on.")
class DataspokeComponent:
    name: str = strawberry.field(description="What it is called, for example `store`.")
    state: ComponentState = strawberry.field(description="Whether it works.")
    detail: str | None = strawberry.field(
        description="What is wrong with it; null where nothing is."
    )


@strawberry.type(description="How many background jobs are in one state.")
class DataspokeJobCount:
    state: JobState = strawberry.field(description="The state that is counted.")
    count: int = strawberry.field(description="How many jobs are in it.")


@strawberry.type(description="The DataHub that is judged.")
class DataspokeHub:
    version: str = strawberry.field(description="Its version, as it says itself.")
    server_type: str = strawberry.field(description="What kind of server it says it is.")
    stand_in: bool = strawberry.field(
        description="Whether it is DataSpoke's own stand-in for demo and tests, not a DataHub."
    )

    @classmethod
    def of(cls, info: HubInfo) -> "DataspokeHub":
        return cls(version=info.version, server_type=info.server_type, stand_in=info.stand_in)


@strawberry.type(description="The state of this DataSpoke installation.")
class DataspokeStatus:
    version: str = strawberry.field(description="DataSpoke's version.")
    components: list[DataspokeComponent] = strawberry.field(
        description="Every outside system and whether it works."
    )
    hub: DataspokeHub | None = strawberry.field(
        description="The DataHub that is judged; null where it cannot be reached."
    )
    jobs: list[DataspokeJobCount] | None = strawberry.field(
        description="Background jobs by state; null where they cannot be counted."
    )
    oldest_due_job_seconds: float | None = strawberry.field(
        description="Age of the oldest job that is due and not begun; null where there is none."
    )
    indexed_documents: int | None = strawberry.field(
        description="Datasets that search can find; null where they cannot be counted."
    )

    @classmethod
    def of(cls, status: model.Status) -> "DataspokeStatus":
        jobs = status.jobs
        return cls(
            version=status.version,
            components=[
                DataspokeComponent(name=one.name, state=one.state, detail=one.detail)
                for one in status.components
            ],
            hub=None if status.hub is None else DataspokeHub.of(status.hub),
            jobs=None
            if jobs is None
            else [
                DataspokeJobCount(state=state, count=jobs.by_state.get(state, 0))
                for state in JobState
            ],
            oldest_due_job_seconds=None if jobs is None else jobs.oldest_due_age_s,
            indexed_documents=status.indexed_documents,
        )
