"""Search for datasets by meaning and by words."""

import strawberry

from dataspoke.knowledge import model
from dataspoke.knowledge.model import SearchMode
from dataspoke.schema.connection import Edge, PageInfo, edges, page_info
from dataspoke.schema.enum import describe
from dataspoke.schema.reference import DatasetReference, dataset

describe(
    SearchMode,
    name="KnowledgeSearchMode",
    description="How a question was answered.",
    values={
        "HYBRID": "By words and by meaning.",
        "LEXICAL": "By words only: the notice says why.",
    },
)


@strawberry.input(
    description="Keeps datasets that match one of the urns of every filter that is given."
)
class KnowledgeSearchFilters:
    platforms: list[str] = strawberry.field(
        default_factory=list, description="Urns of platforms; empty for any."
    )
    tags: list[str] = strawberry.field(
        default_factory=list, description="Urns of tags; empty for any."
    )
    owners: list[str] = strawberry.field(
        default_factory=list, description="Urns of users or groups; empty for any."
    )
    domains: list[str] = strawberry.field(
        default_factory=list, description="Urns of domains; empty for any."
    )

    def as_model(self) -> model.SearchFilters:
        return model.SearchFilters(
            platforms=tuple(self.platforms),
            tags=tuple(self.tags),
            owners=tuple(self.owners),
            domains=tuple(self.domains),
        )


@strawberry.type(description="A dataset that was found.")
class KnowledgeSearchHit:
    score: float = strawberry.field(description="How well it fits, 0 to 1 within one answer.")
    why: list[str] = strawberry.field(description="What in its metadata matched.")
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")

    @classmethod
    def of(cls, hit: model.Hit) -> "KnowledgeSearchHit":
        return cls(score=hit.score, why=list(hit.why), dataset=dataset(hit.urn))


@strawberry.type(description="One page of what a question found, best first.")
class KnowledgeSearchConnection:
    edges: list[Edge[KnowledgeSearchHit]] = strawberry.field(
        description="The hits of this page, in order."
    )
    page_info: PageInfo = strawberry.field(description="Where this page stands in the list.")
    mode: SearchMode = strawberry.field(description="How the question was answered.")
    notice: str | None = strawberry.field(
        description="Why the answer is less than it could be; null where nothing is amiss."
    )

    @classmethod
    def of(cls, page: model.SearchPage, after: str | None) -> "KnowledgeSearchConnection":
        return cls(
            edges=edges(page.hits, page.cursors, KnowledgeSearchHit.of),
            page_info=page_info(page.cursors, has_next=page.has_next, after=after),
            mode=page.mode,
            notice=page.notice,
        )
