"""Deadlines: what is owed, how it stands, and how well warnings did."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, TypeAlias

import strawberry

from dataspoke.quality.sla import model
from dataspoke.quality.sla.model import SlaStatus
from dataspoke.resolvers import arguments
from dataspoke.resolvers import sla as resolve
from dataspoke.schema.enum import describe
from dataspoke.schema.failure import (
    ConflictFailure,
    ForbiddenFailure,
    InvalidInputFailure,
    NotFoundFailure,
)
from dataspoke.schema.info import Info
from dataspoke.schema.reference import DatasetReference, dataset

describe(
    SlaStatus,
    name="SlaStatus",
    description="How it stands with a deadline.",
    values={
        "WARMING_UP": "There are too few loads in the past to tell a chance from.",
        "ON_TRACK": "It will probably be met.",
        "AT_RISK": "The chance to miss it has reached that at which to warn.",
        "MET": "The load came in time.",
        "MISSED": "The load did not come in time.",
    },
)

_CRON = "Its deadlines, as five fields of cron: '0 8 * * 1-5' is 08:00 on working days."
_ZONE = "Time zone of the deadlines, by its IANA name, as Europe/Berlin."
_WARN_AT = "Chance to miss at which people are warned, above 0 and at most 1."
_WINDOW = (
    "How many hours before its deadline a load counts for it; null for half the shortest time "
    "between two deadlines."
)
_NOT_NOW = "null while warming up, before the first look, and once the load has come"


@strawberry.type(description="When a dataset has to be loaded.")
class SlaTarget:
    cron: str = strawberry.field(description=_CRON)
    time_zone: str = strawberry.field(description=_ZONE)
    warn_at: float = strawberry.field(description=_WARN_AT)
    window_hours: float | None = strawberry.field(description=_WINDOW)
    enabled: bool = strawberry.field(description="Whether it is watched.")
    set_at: datetime | None = strawberry.field(
        description="When it was last set; null for one that is only tried. Deadlines before are "
        "learned from and not judged."
    )
    version: int = strawberry.field(description="Rises with each change.")

    @classmethod
    def of(cls, target: model.SlaTarget) -> "SlaTarget":
        return cls(
            cron=target.cron,
            time_zone=target.time_zone,
            warn_at=target.warn_at,
            window_hours=None if target.window is None else _hours(target.window),
            enabled=target.enabled,
            set_at=target.set_at,
            version=target.version,
        )


@strawberry.type(description="A dataset upstream that is later than usual.")
class SlaCause:
    late_hours: float = strawberry.field(
        description="How many hours later than usual it came, or is by now."
    )
    arrived: bool = strawberry.field(description="Whether it has come.")
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")

    @classmethod
    def of(cls, cause: model.LateUpstream) -> "SlaCause":
        return cls(late_hours=_hours(cause.late), arrived=cause.arrived, dataset=dataset(cause.urn))


@strawberry.type(description="What came of one deadline.")
class SlaOutcome:
    deadline: datetime = strawberry.field(description="The deadline.")
    status: SlaStatus = strawberry.field(description="MET or MISSED.")
    arrived_at: datetime | None = strawberry.field(
        description="When the load came; null where it has not, or the next one was due before."
    )
    warned_at: datetime | None = strawberry.field(
        description="When people were warned; null where they were not."
    )
    cause: SlaCause | None = strawberry.field(
        description="The dataset upstream that most likely explains a warning or a miss; null "
        "where none was late, or the caller may not see it."
    )

    @classmethod
    def of(cls, outlook: model.Outlook) -> "SlaOutcome":
        return cls(
            deadline=outlook.deadline,
            status=outlook.status,
            arrived_at=outlook.arrived_at,
            warned_at=outlook.warned_at,
            cause=None if outlook.cause is None else SlaCause.of(outlook.cause),
        )


@strawberry.type(description="How well warnings did on deadlines that have passed.")
class SlaRecord:
    deadlines: int = strawberry.field(description="How many deadlines these are.")
    missed: int = strawberry.field(description="How many of them were missed.")
    warned: int = strawberry.field(description="Before how many of them people were warned.")
    hits: int = strawberry.field(description="How many were missed after a warning.")
    hit_rate: float | None = strawberry.field(
        description="Share of warnings that came true (precision), 0 to 1; null without warnings."
    )
    recall: float | None = strawberry.field(
        description="Share of misses that were warned of, 0 to 1; null without misses."
    )
    lead_time_hours: float | None = strawberry.field(
        description="Mean hours from a warning that came true to its deadline; null without any."
    )

    @classmethod
    def of(cls, record: model.SlaRecord) -> "SlaRecord":
        return cls(
            deadlines=record.deadlines,
            missed=record.missed,
            warned=record.warned,
            hits=record.hits,
            hit_rate=record.hit_rate,
            recall=record.recall,
            lead_time_hours=None if record.lead_time is None else _hours(record.lead_time),
        )


OutcomeCount: TypeAlias = Annotated[
    int, strawberry.argument(description="How many, the newest, 1 to 100.")
]


@strawberry.type(description="A dataset's deadline, and how it stands with the next one.")
class DatasetSla:
    outcomes: strawberry.Private[Sequence[model.Outlook]]

    target: SlaTarget = strawberry.field(description="When the dataset has to be loaded.")
    next_deadline: datetime | None = strawberry.field(
        description="The next deadline; null where it is not watched, or none comes any more."
    )
    status: SlaStatus | None = strawberry.field(
        description="How it stands with the next deadline; null before the first look."
    )
    assessed_at: datetime | None = strawberry.field(
        description="When it was last looked at; null before the first look."
    )
    chance: float | None = strawberry.field(
        description="Chance to miss the next deadline, 0 to 1: 0 once the load has come; null "
        "while warming up and before the first look."
    )
    expected_at: datetime | None = strawberry.field(
        description=f"When the load is to be expected; {_NOT_NOW}."
    )
    expected_earliest: datetime | None = strawberry.field(
        description=f"Nine of ten such loads come later; {_NOT_NOW}."
    )
    expected_latest: datetime | None = strawberry.field(
        description=f"Nine of ten such loads come earlier; {_NOT_NOW}."
    )
    likeliest_cause: SlaCause | None = strawberry.field(
        description="The dataset upstream that most likely explains the risk; null where none is "
        "late, or the caller may not see it."
    )
    warned_at: datetime | None = strawberry.field(
        description="When people were warned of the next deadline; null where they were not."
    )
    last_outcome: SlaOutcome | None = strawberry.field(
        description="What came of the last deadline; null before the first since it was set."
    )
    record: SlaRecord = strawberry.field(
        description="How well warnings did on the newest deadlines, at most 100."
    )

    @strawberry.field(description="What came of deadlines since the target was set, newest first.")
    async def history(self, first: OutcomeCount = 30) -> list[SlaOutcome]:
        return [SlaOutcome.of(o) for o in self.outcomes[: arguments.page_size(first)]]

    @classmethod
    def of(cls, sla: model.Sla) -> "DatasetSla":
        outlook = sla.outlook
        cause = None if outlook is None else outlook.cause
        return cls(
            outcomes=sla.outcomes,
            target=SlaTarget.of(sla.target),
            next_deadline=sla.next_deadline,
            status=None if outlook is None else outlook.status,
            assessed_at=None if outlook is None else outlook.looked_at,
            chance=None if outlook is None else outlook.chance,
            expected_at=None if outlook is None else outlook.expected_at,
            expected_earliest=None if outlook is None else outlook.expected_earliest,
            expected_latest=None if outlook is None else outlook.expected_latest,
            likeliest_cause=None if cause is None else SlaCause.of(cause),
            warned_at=None if outlook is None else outlook.warned_at,
            last_outcome=SlaOutcome.of(sla.outcomes[0]) if sla.outcomes else None,
            record=SlaRecord.of(sla.record),
        )


@strawberry.type(description="What a target would have warned of over the past.")
class SlaBacktest:
    outcomes: strawberry.Private[Sequence[model.Outlook]]

    target: SlaTarget = strawberry.field(description="The target that was tried.")
    record: SlaRecord = strawberry.field(
        description="How well its warnings would have done: at most 180 deadlines, without those "
        "that too few loads came before."
    )

    @strawberry.field(description="What came of each deadline, newest first.")
    async def history(self, first: OutcomeCount = 30) -> list[SlaOutcome]:
        return [SlaOutcome.of(o) for o in self.outcomes[: arguments.page_size(first)]]

    @classmethod
    def of(cls, found: model.SlaBacktest) -> "SlaBacktest":
        return cls(
            outcomes=found.outcomes,
            target=SlaTarget.of(found.target),
            record=SlaRecord.of(found.record),
        )


@strawberry.input(description="When a dataset has to be loaded.")
class SlaTargetInput:
    urn: str = strawberry.field(description="The dataset.")
    cron: str = strawberry.field(description=_CRON)
    time_zone: str = strawberry.field(default="UTC", description=_ZONE)
    warn_at: float = strawberry.field(default=model.WARN_AT, description=_WARN_AT)
    window_hours: float | None = strawberry.field(default=None, description=_WINDOW)
    enabled: bool = strawberry.field(default=True, description="Whether it is watched.")
    version: int = strawberry.field(
        default=0, description="The version that was read; 0 where the dataset has no target."
    )

    def as_model(self) -> model.SlaTarget:
        hours = self.window_hours
        return model.SlaTarget(
            urn=self.urn,
            cron=self.cron,
            time_zone=self.time_zone,
            warn_at=self.warn_at,
            window=None if hours is None else arguments.duration("windowHours", hours),
            enabled=self.enabled,
            version=self.version,
        )


@strawberry.type(description="The dataset has this deadline from now on.")
class SlaTargetSet:
    target: SlaTarget = strawberry.field(description="The target as it is now.")


@strawberry.type(description="The dataset has no deadline any more.")
class SlaTargetRemoved:
    urn: str = strawberry.field(description="The dataset.")


SetSlaTargetResult: TypeAlias = Annotated[
    SlaTargetSet | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("SetSlaTargetResult", description="What came of setting a target."),
]
RemoveSlaTargetResult: TypeAlias = Annotated[
    SlaTargetRemoved | ForbiddenFailure | NotFoundFailure | InvalidInputFailure,
    strawberry.union("RemoveSlaTargetResult", description="What came of removing a target."),
]


@strawberry.type
class SlaQuery:
    @strawberry.field(
        description="What a target would have warned of over the past, before it is set. The "
        "caller must be allowed to view the dataset's profile and operations."
    )
    async def backtest_sla(
        self,
        info: Info,
        target: Annotated[SlaTargetInput, strawberry.argument(description="What is to be tried.")],
    ) -> SlaBacktest | None:
        return SlaBacktest.of(await resolve.backtest(info.context, target.as_model()))


@strawberry.type
class SlaMutation:
    @strawberry.mutation(
        description="Sets when a dataset has to be loaded. People are warned once of a deadline "
        "that will probably be missed. The caller must be allowed to edit its assertions."
    )
    async def set_sla_target(
        self,
        info: Info,
        target: Annotated[
            SlaTargetInput, strawberry.argument(description="When it has to be loaded.")
        ],
    ) -> SetSlaTargetResult | None:
        saved = await resolve.set_target(info.context, target.as_model())
        return SlaTargetSet(target=SlaTarget.of(saved))

    @strawberry.mutation(
        description="Removes a dataset's deadline with its history, and ends the alert on it. The "
        "caller must be allowed to edit its assertions."
    )
    async def remove_sla_target(
        self,
        info: Info,
        urn: Annotated[str, strawberry.argument(description="The dataset.")],
    ) -> RemoveSlaTargetResult | None:
        await resolve.remove_target(info.context, urn)
        return SlaTargetRemoved(urn=urn)


def _hours(time: timedelta) -> float:
    return time / timedelta(hours=1)
