"""Search for datasets by meaning and by words."""

from collections.abc import Iterable
from typing import Annotated

import strawberry
from strawberry.types.nodes import SelectedField, Selection

from dataspoke.knowledge import model
from dataspoke.knowledge.model import FilterKind, PartKind, SearchMode
from dataspoke.quality.model import Status
from dataspoke.resolvers import knowledge as resolve
from dataspoke.resolvers import quality as resolve_quality
from dataspoke.schema.connection import After, Edge, First, PageInfo, edges, page_info
from dataspoke.schema.enum import describe
from dataspoke.schema.info import Info
from dataspoke.schema.reference import DatasetReference, dataset

describe(
    SearchMode,
    name="KnowledgeSearchMode",
    description="How a question was answered.",
    values={
        "HYBRID": "By words and by meaning.",
        "LEXICAL": "By words only: the notice says why.",
        "NAMES": "By the words of names only, as the search index does not answer.",
    },
)
describe(
    FilterKind,
    name="KnowledgeFilterKind",
    description="What datasets are kept by.",
    values={
        "PLATFORM": "Their platform.",
        "TAG": "A tag of the dataset or of a column.",
        "TERM": "A glossary term of the dataset or of a column.",
        "OWNER": "A user or group that owns it.",
        "DOMAIN": "Their domain.",
        "CONSUMER": "A domain with datasets that are made from it.",
    },
)
describe(
    PartKind,
    name="KnowledgePartKind",
    description="Where in a dataset's metadata something stands.",
    values={
        "NAME": "Its name.",
        "PATH": "The database and schema in its qualified name.",
        "DESCRIPTION": "Its description.",
        "COLUMN": "A column's name or description.",
        "TAG": "A tag of the dataset or of a column.",
        "TERM": "A glossary term of the dataset or of a column.",
        "DOMAIN": "Its domain.",
        "OWNER": "An owner.",
        "PLATFORM": "Its platform.",
        "JOIN": "The name of a dataset that queries join with it.",
        "FILTER": "A condition that queries set.",
        "UPSTREAM": "The name of a dataset that it is made from.",
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
        default_factory=list,
        description="Urns of tags of the dataset or of a column; empty for any.",
    )
    terms: list[str] = strawberry.field(
        default_factory=list,
        description="Urns of glossary terms of the dataset or of a column; empty for any.",
    )
    owners: list[str] = strawberry.field(
        default_factory=list, description="Urns of users or groups; empty for any."
    )
    domains: list[str] = strawberry.field(
        default_factory=list, description="Urns of domains; empty for any."
    )
    consumers: list[str] = strawberry.field(
        default_factory=list,
        description="Urns of domains with datasets that are made from it; empty for any.",
    )

    def as_model(self) -> model.SearchFilters:
        return model.SearchFilters(
            platforms=tuple(self.platforms),
            tags=tuple(self.tags),
            terms=tuple(self.terms),
            owners=tuple(self.owners),
            domains=tuple(self.domains),
            consumers=tuple(self.consumers),
        )


@strawberry.type(description="One reason to trust a dataset, or not to.")
class KnowledgeTrustPart:
    name: str = strawberry.field(
        description="`alerts`, `deprecation`, `freshness`, `documentation` or `usage`."
    )
    value: float | None = strawberry.field(
        description="0 to 1; null where it is not known, or the caller may not view it: it counts "
        "one half then."
    )
    weight: float = strawberry.field(description="Its share of the whole, 0 to 1.")
    note: str = strawberry.field(description="What is behind it, in a few words.")


@strawberry.type(description="How far a dataset can be relied on.")
class KnowledgeTrust:
    value: float = strawberry.field(
        description="The weighted mean of its parts, 0 to 1; it moves a hit up or down among those "
        "that fit about as well."
    )
    parts: list[KnowledgeTrustPart] = strawberry.field(description="What it is made of.")

    @classmethod
    def of(cls, trust: model.Trust) -> "KnowledgeTrust":
        return cls(
            value=trust.value,
            parts=[
                KnowledgeTrustPart(
                    name=part.name, value=part.value, weight=part.weight, note=part.note
                )
                for part in trust.parts
            ],
        )


@strawberry.type(description="A piece of metadata that holds a word of the question.")
class KnowledgeMatch:
    kind: PartKind = strawberry.field(description="Where it stands.")
    label: str | None = strawberry.field(
        description="What people call it; null for what stems from other datasets or from queries, "
        "which the caller may not be allowed to see."
    )


@strawberry.type(description="A dataset next to another one in lineage.")
class KnowledgeNeighbour:
    urn: strawberry.Private[str]

    dataset: DatasetReference | None = strawberry.field(description="The dataset.")

    @strawberry.field(
        description="Verdict on its data; null where it was never scanned, or the caller may not "
        "view its profiles."
    )
    async def status(self, info: Info) -> Status | None:
        verdict = await resolve_quality.verdict(info.context, self.urn)
        return None if verdict is None else verdict.status

    @classmethod
    def of(cls, urn: str) -> "KnowledgeNeighbour":
        return cls(urn=urn, dataset=dataset(urn))


@strawberry.type(description="The datasets next to one in lineage that the caller may see.")
class KnowledgeLineage:
    upstream: list[KnowledgeNeighbour] = strawberry.field(
        description="What it is made from, by urn."
    )
    downstream: list[KnowledgeNeighbour] = strawberry.field(
        description="What is made from it, by urn."
    )
    complete: bool = strawberry.field(
        description="False where there are more than the 50 that are shown of each."
    )

    @classmethod
    def of(cls, found: model.Neighbourhood) -> "KnowledgeLineage":
        return cls(
            upstream=[KnowledgeNeighbour.of(urn) for urn in found.upstream],
            downstream=[KnowledgeNeighbour.of(urn) for urn in found.downstream],
            complete=found.complete,
        )


@strawberry.type(description="A dataset that was found.")
class KnowledgeSearchHit:
    urn: strawberry.Private[str]

    score: float = strawberry.field(
        description="How well it fits, trust included, 0 to 1 within one answer."
    )
    why: list[str] = strawberry.field(description="Why it was found, in a few words each.")
    matches: list[KnowledgeMatch] = strawberry.field(
        description="What in its metadata holds a word of the question."
    )
    matched_columns: list[str] = strawberry.field(
        description="The columns among the matches, as people call them."
    )
    trust: KnowledgeTrust | None = strawberry.field(
        description="How far it can be relied on, by what the caller may view of it."
    )
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")

    @strawberry.field(
        description="What it is made from and what is made from it; null where that is not known."
    )
    async def lineage(self, info: Info) -> KnowledgeLineage | None:
        found = await resolve.lineage(info.context, self.urn)
        return None if found is None else KnowledgeLineage.of(found)

    @classmethod
    def of(cls, hit: model.Hit) -> "KnowledgeSearchHit":
        return cls(
            urn=hit.urn,
            score=hit.score,
            why=list(hit.why),
            matches=[KnowledgeMatch(kind=match.kind, label=match.label) for match in hit.matches],
            matched_columns=[
                match.label
                for match in hit.matches
                if match.kind is PartKind.COLUMN and match.label is not None
            ],
            trust=None if hit.trust is None else KnowledgeTrust.of(hit.trust),
            dataset=dataset(hit.urn),
        )


@strawberry.type(description="A column that two datasets have with different types.")
class KnowledgeTypeChange:
    column: str = strawberry.field(description="What people call the column.")
    here: str | None = strawberry.field(description="Its type here, as the source calls it.")
    there: str | None = strawberry.field(description="Its type in the other dataset.")


@strawberry.type(description="How another dataset differs from this one.")
class KnowledgeDifference:
    shared_columns: list[str] = strawberry.field(
        description="Columns that both have, by name in any case."
    )
    columns_only_here: list[str] = strawberry.field(description="Columns that the other lacks.")
    columns_only_there: list[str] = strawberry.field(
        description="Columns that the other has in addition."
    )
    differing_types: list[KnowledgeTypeChange] = strawberry.field(
        description="Shared columns whose types differ."
    )
    same_platform: bool = strawberry.field(description="Whether both are on the same platform.")
    same_domain: bool = strawberry.field(description="Whether both are of the same domain.")
    same_owners: bool = strawberry.field(description="Whether both have the same owners.")
    healthier: DatasetReference | None = strawberry.field(
        description="The one that can be relied on more, by what the caller may view of them; null "
        "where they are alike."
    )

    @classmethod
    def of(cls, found: model.Difference) -> "KnowledgeDifference":
        return cls(
            shared_columns=list(found.shared),
            columns_only_here=list(found.only_here),
            columns_only_there=list(found.only_there),
            differing_types=[
                KnowledgeTypeChange(column=change.column, here=change.here, there=change.there)
                for change in found.types
            ],
            same_platform=found.same_platform,
            same_domain=found.same_domain,
            same_owners=found.same_owners,
            healthier=None if found.healthier is None else dataset(found.healthier),
        )


@strawberry.type(description="A dataset that is close in meaning to another one.")
class KnowledgeSimilarDataset:
    here: strawberry.Private[str]
    there: strawberry.Private[str]

    score: float = strawberry.field(description="How close it is in meaning, 0 to 1.")
    why: list[str] = strawberry.field(description="Why it was found, in a few words each.")
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")

    @strawberry.field(description="What differs; null where that is not known.")
    async def difference(self, info: Info) -> KnowledgeDifference | None:
        found = await resolve.difference(info.context, self.here, self.there)
        return None if found is None else KnowledgeDifference.of(found)

    @classmethod
    def of(cls, here: str, hit: model.Hit) -> "KnowledgeSimilarDataset":
        return cls(
            here=here, there=hit.urn, score=hit.score, why=list(hit.why), dataset=dataset(hit.urn)
        )


@strawberry.type(description="A filter that was read out of a question.")
class KnowledgeReadFilter:
    kind: FilterKind = strawberry.field(description="What datasets are kept by.")
    urns: list[str] = strawberry.field(description="DataHub's urns, any one of which will do.")
    name: str = strawberry.field(description="What the catalogue calls it.")
    words: str = strawberry.field(description="The words of the question that ask for it.")

    @classmethod
    def of(cls, read: model.ReadFilter) -> "KnowledgeReadFilter":
        return cls(kind=read.kind, urns=list(read.urns), name=read.name, words=read.words)


@strawberry.type(description="How a question was understood.")
class KnowledgeInterpretation:
    filters: list[KnowledgeReadFilter] = strawberry.field(
        description="What was read out of it; empty where nothing was."
    )
    text: str = strawberry.field(
        description="What was searched for; where it is empty, all that passes the filters is "
        "listed, the most trusted first."
    )


@strawberry.type(description="In how many of the datasets found something is.")
class KnowledgeFacet:
    urn: str = strawberry.field(description="DataHub's urn, to filter by.")
    name: str = strawberry.field(description="What people call it.")
    count: int = strawberry.field(description="How many datasets have it.")


@strawberry.type(
    description="What the datasets found have in common, the 20 most frequent of each kind. "
    "Counted among the best 70 by each way of searching that the caller may see, on every page."
)
class KnowledgeFacets:
    platforms: list[KnowledgeFacet] = strawberry.field(description="Platforms.")
    tags: list[KnowledgeFacet] = strawberry.field(description="Tags, those of columns included.")
    terms: list[KnowledgeFacet] = strawberry.field(
        description="Glossary terms, those of columns included."
    )
    domains: list[KnowledgeFacet] = strawberry.field(description="Domains.")
    owners: list[KnowledgeFacet] = strawberry.field(description="Users and groups.")

    @classmethod
    def of(cls, facets: model.Facets) -> "KnowledgeFacets":
        def counted(counts: Iterable[model.FacetCount]) -> list[KnowledgeFacet]:
            return [KnowledgeFacet(urn=c.urn, name=c.name, count=c.count) for c in counts]

        return cls(
            platforms=counted(facets.platforms),
            tags=counted(facets.tags),
            terms=counted(facets.terms),
            domains=counted(facets.domains),
            owners=counted(facets.owners),
        )


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
    interpretation: KnowledgeInterpretation = strawberry.field(
        description="How the question was understood."
    )
    facets: KnowledgeFacets | None = strawberry.field(
        description="What the datasets found have in common; counted only where it is asked for."
    )

    @classmethod
    def of(cls, page: model.SearchPage, after: str | None) -> "KnowledgeSearchConnection":
        understood = page.interpretation
        return cls(
            edges=edges(page.hits, page.cursors, KnowledgeSearchHit.of),
            page_info=page_info(page.cursors, has_next=page.has_next, after=after),
            mode=page.mode,
            notice=page.notice,
            interpretation=KnowledgeInterpretation(
                filters=[KnowledgeReadFilter.of(read) for read in understood.filters],
                text=understood.text,
            ),
            facets=None if page.facets is None else KnowledgeFacets.of(page.facets),
        )


@strawberry.type
class KnowledgeQuery:
    @strawberry.field(
        description="Datasets that answer a question, best first, of those the caller may see."
    )
    async def knowledge_search(
        self,
        info: Info,
        query: Annotated[
            str,
            strawberry.argument(
                description="What is looked for, in words; at most 1,000 characters."
            ),
        ],
        filters: Annotated[
            KnowledgeSearchFilters | None,
            strawberry.argument(description="Which datasets to search; null for all."),
        ] = None,
        first: First = 10,
        after: After = None,
        interpret: Annotated[
            bool,
            strawberry.argument(
                description="Whether to read filters out of the question that it asks for in so "
                "many words, such as `tagged PII`, `owned by jane`, `used by marketing` or `in "
                "snowflake`; those given in `filters` stay as they are."
            ),
        ] = True,
    ) -> KnowledgeSearchConnection | None:
        page = await resolve.search(
            info.context,
            query,
            model.SearchFilters() if filters is None else filters.as_model(),
            first,
            after,
            interpret=interpret,
            facets=any(_selects(field.selections, "facets") for field in info.selected_fields),
        )
        return KnowledgeSearchConnection.of(page, after)


def _selects(selections: Iterable[Selection], name: str) -> bool:
    """Tell whether a field of this name is selected here, in fragments too."""
    return any(
        selection.name == name
        if isinstance(selection, SelectedField)
        else _selects(selection.selections, name)
        for selection in selections
    )
