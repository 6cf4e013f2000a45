"""One order out of many scores, why a dataset was found, and cursors that stay put. Pure."""

import base64
import binascii
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from dataspoke.errors import InvalidInput
from dataspoke.knowledge.documents import column_name
from dataspoke.knowledge.lexical import holds, terms
from dataspoke.knowledge.model import (
    Candidate,
    Document,
    Match,
    PartKind,
    SearchFilters,
    SearchMode,
)
from dataspoke.urns import dataset_name, platform_of

LEXICAL_WEIGHT = 0.4
SIMILARITY_WEIGHT = 0.3
COLUMN_WEIGHT = 0.3
# What the best datasets of a schema count for in the relevance of the schema, the best first.
_SCHEMA_BEST = (4 / 7, 2 / 7, 1 / 7)
# How much of a dataset's relevance is that of its schema.
_SCHEMA_SHARE = 0.5
# Of the tables that answer a question 95 in 100 are more similar to it than this.
_SIMILAR = 0.3
_MAX_REASONS = 8
_NAMED_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate's place: by tier upwards, ``score`` (0 to 1) downwards, urn upwards.

    ``relevance`` (0 to 1) is the score before trust. ``companion`` is the best other candidate of
    its schema, ``joined`` the best one that it is joined with, both None where there is none.
    """

    urn: str
    tier: int
    score: float
    relevance: float
    candidate: Candidate
    companion: str | None = None
    joined: str | None = None

    @property
    def position(self) -> tuple[int, float, str]:
        return (self.tier, -self.score, self.urn)


def rank(
    question: str,
    tiers: Sequence[Sequence[Candidate]],
    trust: Mapping[str, float],
    trust_weight: float,
) -> tuple[Ranked, ...]:
    """Return the candidates in order, those that have nothing in common with the question left out.

    ``tiers`` holds the candidates that the caller may see: first what the first retrieval brought,
    then what each deeper one brought in addition. The order within a tier depends on that tier
    alone, and all of a tier comes before all of the next, so that looking deeper moves nothing;
    scores of a later tier are scaled to stay below the earlier ones.

    ``trust`` is 0 to 1 by urn, absent as 1; a share ``trust_weight`` (0 to 1) of the relevance is
    multiplied with it.
    """
    ranked: list[Ranked] = []
    ceiling = 1.0
    for number, tier in enumerate(tiers):
        found = [
            Ranked(
                urn=candidate.urn,
                tier=number,
                score=ceiling
                * relevance
                * (1 - trust_weight * (1 - trust.get(candidate.urn, 1.0))),
                relevance=ceiling * relevance,
                candidate=candidate,
                companion=companion,
                joined=joined,
            )
            for candidate, relevance, companion, joined in _relevant(tier)
        ]
        found = sorted((e for e in found if e.relevance > 0), key=lambda entry: entry.position)
        ranked += found
        if found:
            ceiling = found[-1].score
    return tuple(ranked)


def _relevant(
    tier: Sequence[Candidate],
) -> Iterator[tuple[Candidate, float, str | None, str | None]]:
    """Return each candidate with its relevance, its companion and what it is joined with."""
    own = _fused(tier)
    by_schema: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for candidate in tier:
        schema = _schema(candidate.urn)
        if schema is not None and own[candidate.urn] > 0:
            by_schema[schema].append((-own[candidate.urn], candidate.urn))
    best = {schema: sorted(found)[: len(_SCHEMA_BEST)] for schema, found in by_schema.items()}
    for candidate in tier:
        relevance, companion = own[candidate.urn], None
        mates = best.get(_schema(candidate.urn) or "")
        if mates:
            of_schema = sum(
                weight * -negative
                for weight, (negative, _) in zip(_SCHEMA_BEST, mates, strict=False)
            )
            relevance = (1 - _SCHEMA_SHARE) * relevance + _SCHEMA_SHARE * of_schema
            companion = next((urn for _, urn in mates if urn != candidate.urn), None)
        joined = min(
            ((-own[urn], urn) for urn in candidate.attributes.related if own.get(urn, 0) > 0),
            default=(0.0, None),
        )[1]
        yield candidate, relevance if own[candidate.urn] > 0 else 0.0, companion, joined


def _fused(tier: Sequence[Candidate]) -> Mapping[str, float]:
    """Return the weighted sum of the scores by urn, 0 to 1, each scaled by its best.

    Only what the caller may see sets the scale: a score that depended on hidden datasets would
    tell about them. Ways of searching without any answer are left out.
    """
    fused = {candidate.urn: 0.0 for candidate in tier}
    whole = 0.0
    for name, weight in (
        ("lexical", LEXICAL_WEIGHT),
        ("similarity", SIMILARITY_WEIGHT),
        ("column_similarity", COLUMN_WEIGHT),
    ):
        scores = {c.urn: max(0.0, getattr(c, name) or 0.0) for c in tier}
        best = max(scores.values(), default=0.0)
        if best > 0:
            whole += weight
            for urn, score in scores.items():
                fused[urn] += weight * score / best
    return {urn: score / whole if whole else 0.0 for urn, score in fused.items()}


def _schema(urn: str) -> str | None:
    """Return the platform and the path of a dataset's name; None where its name has no path."""
    name = dataset_name(urn)
    path, _, _ = name.rpartition("/" if "/" in name else ".")
    return f"{platform_of(urn)},{path}" if path else None


def matches(document: Document, question: str) -> tuple[Match, ...]:
    """Return the parts of a document that hold a word of the question, each once, in its order."""
    asked = frozenset(terms(question))
    found = (
        Match(part.kind, part.label) for part in document.parts if holds(part.words.split(), asked)
    )
    return tuple(dict.fromkeys(found))


def reasons(document: Document, matched: Sequence[Match], entry: Ranked) -> tuple[str, ...]:
    """Return why it was found: ``name``, ``column x``, ``tag x``, …, ``similar in meaning``.

    Never empty, and at most eight. Parts come in the document's order, the name first; then the
    columns that are near in meaning, what it joins to, and what else of its schema was found.
    """
    named = (
        match.kind.value
        if match.kind in (PartKind.NAME, PartKind.DESCRIPTION)
        else f"{match.kind} {match.label}"
        for match in matched
    )
    found = entry.candidate
    others: list[str] = []
    if (found.similarity or 0.0) >= _SIMILAR:
        others.append("similar in meaning")
    if found.group is not None and found.group < len(document.groups):
        columns = document.groups[found.group].columns
        if len(document.groups) > 1 and (found.column_similarity or 0.0) >= _SIMILAR:
            some = ", ".join(column_name(path) for path in columns[:_NAMED_COLUMNS])
            more = ", …" if len(columns) > _NAMED_COLUMNS else ""
            others.append(f"columns {some}{more} similar in meaning")
    if entry.joined is not None:
        others.append(f"joins to {dataset_name(entry.joined)}")
    elif entry.companion is not None:
        others.append(f"same schema as {dataset_name(entry.companion)}")
    if not matched and not others:
        others.append("similar in meaning")
    return (*tuple(dict.fromkeys(named))[: _MAX_REASONS - len(others)], *others)


def cursor_of(entry: Ranked, question: str, filters: SearchFilters, mode: SearchMode) -> str:
    """Return the opaque cursor of a place in one question's ranking."""
    content = [_fingerprint(question, filters), mode, entry.tier, entry.score, entry.urn]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def read_cursor(
    cursor: str, question: str, filters: SearchFilters
) -> tuple[SearchMode, tuple[int, float, str]]:
    """Return the mode of the search that made the cursor, and the position it stands for.

    Raises InvalidInput where it is no cursor, or that of another question or other filters.
    """
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        fingerprint, mode, tier, score, urn = content
        position = (int(tier), -float(score), str(urn))
        searched = SearchMode(mode)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidInput(
            "`after` is not a cursor of this search; pass the cursor of an edge, or leave it out."
        ) from error
    if fingerprint != _fingerprint(question, filters):
        raise InvalidInput(
            "`after` belongs to another question or other filters; leave it out to start anew."
        )
    return searched, position


def _fingerprint(question: str, filters: SearchFilters) -> str:
    content = json.dumps([question, asdict(filters)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
