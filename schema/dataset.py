"""What DataSpoke adds to DataHub's Dataset."""

import strawberry

from dataspoke.resolvers import health as resolve_health
from dataspoke.resolvers import knowledge as resolve_knowledge
from dataspoke.resolvers import monitors as resolve_monitors
from dataspoke.resolvers import quality as resolve_quality
from dataspoke.schema.connection import First
from dataspoke.schema.health import HealthScore
from dataspoke.schema.info import Info
from dataspoke.schema.monitor import QualityMonitor
from dataspoke.schema.quality import DatasetQuality
from dataspoke.schema.search import KnowledgeSimilarDataset


@strawberry.federation.type(
    keys=["urn"], description="A dataset of DataHub, with what DataSpoke says about it."
)
class Dataset:
    """A stub: holding one says nothing about whether it exists or who may see it."""

    urn: str = strawberry.field(description="DataHub's urn of the dataset.")

    @strawberry.field(
        description="Verdict on the data; null where the dataset was never scanned, or the caller "
        "may not view its profiles."
    )
    async def quality(self, info: Info) -> DatasetQuality | None:
        verdict = await resolve_quality.verdict(info.context, self.urn)
        return None if verdict is None else DatasetQuality.of(verdict)

    @strawberry.field(
        description="How its metrics are watched; null where the caller may not view its profiles."
    )
    async def quality_monitor(self, info: Info) -> QualityMonitor | None:
        settings = await resolve_monitors.settings(info.context, self.urn)
        return None if settings is None else QualityMonitor.of(settings)

    @strawberry.field(
        description="Verdict on the metadata; null where the dataset was never scored, or the "
        "caller may not see it."
    )
    async def health_score(self, info: Info) -> HealthScore | None:
        score = await resolve_health.score(info.context, self.urn)
        return None if score is None else HealthScore.of(score)

    @strawberry.field(
        description="Datasets closest in meaning, closest first; empty where the dataset is not "
        "indexed, or the caller may not see it."
    )
    async def similar_datasets(
        self, info: Info, first: First = 10
    ) -> list[KnowledgeSimilarDataset] | None:
        hits = await resolve_knowledge.similar(info.context, self.urn, first)
        return [KnowledgeSimilarDataset.of(self.urn, hit) for hit in hits]
