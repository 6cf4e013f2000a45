"""Metadata health: the score of a dataset's documentation and what would raise it."""

from datetime import datetime
from enum import Enum

import strawberry

from dataspoke.health import model
from dataspoke.schema.connection import Connection, edges, page_info
from dataspoke.schema.enum import describe
from dataspoke.schema.reference import DatasetReference, dataset


@strawberry.type(description="What one rule says about a dataset's metadata.")
class HealthFinding:
    rule: str = strawberry.field(description="Name of the rule.")
    weight: float = strawberry.field(
        description="The rule's share of the score before rules that do not apply are left out."
    )
    achieved: float = strawberry.field(
        description="How far the rule is met, 0 (not at all) to 1 (wholly)."
    )
    action: str | None = strawberry.field(
        description="The one thing to do that would raise the score; null where nothing is left."
    )

    @classmethod
    def of(cls, finding: model.Finding) -> "HealthFinding":
        return cls(
            rule=finding.rule,
            weight=finding.weight,
            achieved=finding.achieved,
            action=finding.action,
        )


@strawberry.type(description="DataSpoke's latest verdict on a dataset's metadata.")
class HealthScore:
    value: float = strawberry.field(description="0 (undocumented) to 100 (nothing left to do).")
    findings: list[HealthFinding] = strawberry.field(
        description="What each rule that applies to the dataset says."
    )
    scored_at: datetime = strawberry.field(description="When the metadata was judged.")

    @classmethod
    def of(cls, score: model.HealthScore) -> "HealthScore":
        return cls(
            value=score.value,
            findings=[HealthFinding.of(finding) for finding in score.findings],
            scored_at=score.scored_at,
        )


class HealthLeaderboardOrder(Enum):
    LOWEST_FIRST = "LOWEST_FIRST"
    HIGHEST_FIRST = "HIGHEST_FIRST"


describe(
    HealthLeaderboardOrder,
    name="HealthLeaderboardOrder",
    description="From which end the leaderboard is read.",
    values={
        "LOWEST_FIRST": "Where there is most to do.",
        "HIGHEST_FIRST": "Where there is least to do.",
    },
)


@strawberry.type(description="A dataset and its score in the leaderboard.")
class HealthLeaderboardEntry:
    score: HealthScore = strawberry.field(description="The score by which it is ordered.")
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")

    @classmethod
    def of(cls, score: model.HealthScore) -> "HealthLeaderboardEntry":
        return cls(score=HealthScore.of(score), dataset=dataset(score.urn))


def leaderboard_connection(
    page: model.RankingPage, after: str | None
) -> Connection[HealthLeaderboardEntry]:
    return Connection(
        edges=edges(page.scores, page.cursors, HealthLeaderboardEntry.of),
        page_info=page_info(page.cursors, has_next=page.has_next, after=after),
    )
