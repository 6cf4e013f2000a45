"""The words of metadata health: rule, finding, score."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says about one dataset.

    ``weight`` is the rule's share before rules that do not apply are left out; ``achieved`` is
    0 to 1. ``action`` is the one thing to do that would raise the score, None where nothing is
    left to do.
    """

    rule: str
    weight: float
    achieved: float
    action: str | None


@dataclass(frozen=True, slots=True)
class HealthScore:
    """A dataset's metadata health, 0 to 100, with the findings of the rules that apply to it."""

    urn: str
    value: float
    findings: tuple[Finding, ...]
    scored_at: datetime


@dataclass(frozen=True, slots=True)
class RankingPage:
    """Scores in order, with one opaque cursor each; ``has_next`` tells that more follow."""

    scores: tuple[HealthScore, ...]
    cursors: tuple[str, ...]
    has_next: bool
