"""How a dataset's metrics are watched."""

from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from dataspoke.quality import model
from dataspoke.resolvers import monitors as resolve
from dataspoke.schema.failure import (
    ConflictFailure,
    ForbiddenFailure,
    InvalidInputFailure,
    NotFoundFailure,
)
from dataspoke.schema.info import Info

_BUDGET = "False alarms in two weeks that its owner puts up with; null for the general setting."
_COUNTRY = "Country whose holidays are left out, as two letters of ISO 3166; null for none."


@strawberry.type(description="A time that is neither judged nor learned from.")
class QualityExclusion:
    start: datetime = strawberry.field(description="Its first moment.")
    end: datetime = strawberry.field(description="The first moment after it.")


@strawberry.type(description="How the metrics of a dataset are watched.")
class QualityMonitor:
    enabled: bool = strawberry.field(description="Whether they are watched.")
    alerts_per_fortnight: float | None = strawberry.field(description=_BUDGET)
    country: str | None = strawberry.field(description=_COUNTRY)
    exclusions: list[QualityExclusion] = strawberry.field(description="Times that are left out.")
    muted_until: datetime | None = strawberry.field(
        description="No alert opens before; null where it is not muted."
    )
    version: int = strawberry.field(
        description="Rises with each change; 0 where nobody has configured it."
    )

    @classmethod
    def of(cls, settings: model.MonitorSettings) -> "QualityMonitor":
        return cls(
            enabled=settings.enabled,
            alerts_per_fortnight=settings.alerts_per_fortnight,
            country=settings.country,
            exclusions=[
                QualityExclusion(start=window.start, end=window.end)
                for window in settings.exclusions
            ],
            muted_until=settings.muted_until,
            version=settings.version,
        )


@strawberry.input(description="A time that is neither judged nor learned from.")
class QualityExclusionInput:
    start: datetime = strawberry.field(description="Its first moment.")
    end: datetime = strawberry.field(description="The first moment after it.")


@strawberry.input(description="How the metrics of a dataset are to be watched.")
class QualityMonitorInput:
    urn: str = strawberry.field(description="The dataset.")
    version: int = strawberry.field(
        description="The version that was read; 0 where nobody has configured it."
    )
    enabled: bool = strawberry.field(default=True, description="Whether they are watched.")
    alerts_per_fortnight: float | None = strawberry.field(default=None, description=_BUDGET)
    country: str | None = strawberry.field(default=None, description=_COUNTRY)
    exclusions: list[QualityExclusionInput] = strawberry.field(
        default_factory=list, description="Times that are left out, at most 100."
    )
    muted_until: datetime | None = strawberry.field(
        default=None, description="No alert opens before; null for not muted."
    )

    def as_model(self) -> model.MonitorSettings:
        return model.MonitorSettings(
            urn=self.urn,
            enabled=self.enabled,
            alerts_per_fortnight=self.alerts_per_fortnight,
            country=self.country,
            exclusions=tuple(model.Window(w.start, w.end) for w in self.exclusions),
            muted_until=self.muted_until,
            version=self.version,
        )


@strawberry.type(description="The dataset is watched in this way from its next scan on.")
class MonitorConfigured:
    monitor: QualityMonitor = strawberry.field(description="How it is watched.")


ConfigureMonitorResult: TypeAlias = Annotated[
    MonitorConfigured | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("ConfigureMonitorResult", description="What came of configuring a monitor."),
]


@strawberry.type
class MonitorMutation:
    @strawberry.mutation(
        description="Changes how the metrics of a dataset are watched. The caller must be allowed "
        "to edit its assertions."
    )
    async def configure_monitor(
        self,
        info: Info,
        monitor: Annotated[
            QualityMonitorInput, strawberry.argument(description="How they are to be watched.")
        ],
    ) -> ConfigureMonitorResult | None:
        configured = await resolve.configure(info.context, monitor.as_model())
        return MonitorConfigured(monitor=QualityMonitor.of(configured))
