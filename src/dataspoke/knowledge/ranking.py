"""One order out of many scores, why a dataset was found, and cursors that stay put. Pure."""

import base64
import binascii
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from operator import attrgetter

from dataspoke.catalogue import Field
from dataspoke.errors import InvalidInput
from dataspoke.knowledge.lexical import holds, stems
from dataspoke.knowledge.model import (
    Candidate,
    Document,
    Match,
    PartKind,
    SearchFilters,
    SearchMode,
)
from dataspoke.urns import dataset_name

# The settings lie amid a plateau: bench/README.md has the figures around them.
#
# What words count for beside meaning, for questions of so many telling words: a vector is one point
# however much is asked for, so the more is asked for, the more words tell.
_LEXICAL_WEIGHT = (0.3, 0.6)
_WORDS = (4, 16)
# The share of the best column group in what meaning counts for; the dataset's vector has the rest.
_COLUMN_SHARE = 0.6
# Relevance in twelfths: a dataset's own, that of the best ones of its schema, and how near the
# columns of all that was found of the schema are on the average.
_OWN, _BEST, _AROUND = 5 / 12, 4 / 12, 3 / 12
# What the three best datasets of a schema count for, the best first.
_SCHEMA_BEST = (4 / 7, 2 / 7, 1 / 7)
# Of the tables that answer a question 95 in 100 are more similar to it than this.
_SIMILAR = 0.3
_MAX_REASONS = 8
_SURROUNDINGS = {
    PartKind.JOIN: "name of a dataset that it is joined with",
    PartKind.FILTER: "condition that queries set",
    PartKind.UPSTREAM: "name of a dataset that it is made from",
}
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
    lexical_weight = _lexical_weight(question)
    ranked: list[Ranked] = []
    ceiling = 1.0
    for number, tier in enumerate(tiers):
        found = []
        for candidate, relevance, companion, joined in _relevant(tier, lexical_weight):
            scaled = ceiling * relevance
            score = score_of(scaled, trust.get(candidate.urn, 1.0), trust_weight)
            found.append(Ranked(candidate.urn, number, score, scaled, candidate, companion, joined))
        # By position; two sorts that are stable and call nothing take a third of the time.
        found.sort(key=attrgetter("urn"))
        found.sort(key=attrgetter("score"), reverse=True)
        ranked += found
        if found:
            ceiling = found[-1].score
    return tuple(ranked)


def score_of(relevance: float, trust: float, trust_weight: float) -> float:
    """Return what a dataset so relevant and so trusted scores; all of it is 0 to 1."""
    return relevance * (1.0 - trust_weight * (1.0 - trust))


def _lexical_weight(question: str) -> float:
    (least, most), (few, many) = _LEXICAL_WEIGHT, _WORDS
    long = (len(set(stems(question))) - few) / (many - few)
    return least + (most - least) * min(1.0, max(0.0, long))


def _relevant(
    tier: Sequence[Candidate], lexical_weight: float
) -> Iterator[tuple[Candidate, float, str | None, str | None]]:
    """Return each candidate that has something in common with the question.

    With it come its relevance (0 to 1), its companion and what it is joined with. A question is
    mostly answered by tables of one schema, so those beside good ones are more likely; a dataset
    without a schema stands by itself.
    """
    own, columns = _fused(tier, lexical_weight)
    schemas: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    # By relevance, so that every schema's best come first.
    order = sorted(range(len(tier)), key=lambda i: (-own[i], tier[i].urn))
    found = [i for i in order if own[i] > 0]
    places = {tier[i].urn: place for place, i in enumerate(found)}
    for i in found:
        schemas[_schema(tier[i].urn)].append(i)
    for (_, path, _), mates in schemas.items():
        best = sum(weight * own[i] for weight, i in zip(_SCHEMA_BEST, mates, strict=False))
        around = sum(columns[i] for i in mates) / len(mates)
        for i in mates:
            candidate, relevance, companion = tier[i], own[i], None
            if path:
                relevance = _OWN * relevance + _BEST * best + _AROUND * around
                companion = next((tier[j].urn for j in mates[:2] if j != i), None)
            joined = min(
                (places[urn] for urn in candidate.attributes.related if urn in places),
                default=None,
            )
            yield (
                candidate,
                relevance,
                companion,
                None if joined is None else tier[found[joined]].urn,
            )


def _fused(
    tier: Sequence[Candidate], lexical_weight: float
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the weighted sums of all scores, and how near the columns are; 0 to 1, in order.

    Every score is scaled by the best one. Only what the caller may see sets the scale: a score
    that depended on hidden datasets would tell about them. Ways of searching without any answer
    are left out; what has no columns is judged as a whole.
    """
    meaning = 1 - lexical_weight
    columns = [
        (c.similarity if c.column_similarity is None else c.column_similarity) or 0.0 for c in tier
    ]
    total, whole = [0.0] * len(tier), 0.0
    for weight, scores in (
        (lexical_weight, [c.lexical or 0.0 for c in tier]),
        (meaning * (1 - _COLUMN_SHARE), [c.similarity or 0.0 for c in tier]),
        (meaning * _COLUMN_SHARE, columns),
    ):
        best = max(scores, default=0.0)
        if best > 0:
            whole += weight
            total = [
                so_far + weight * (max(0.0, score) / best)
                for so_far, score in zip(total, scores, strict=True)
            ]
    own = [so_far / whole for so_far in total] if whole else total
    nearest = max(columns, default=0.0)
    # By words alone, they tell how much a schema is about the question, too.
    return own, [max(0.0, near) / nearest for near in columns] if nearest > 0 else own


def _schema(urn: str) -> tuple[str, str, str]:
    """Return platform, path of the name (empty where it has none) and environment of a dataset."""
    named, _, environment = urn.rpartition(",")
    platform, _, name = named.partition(",")
    path, _, _ = name.rpartition("/" if "/" in name else ".")
    return platform, path, environment


def matches(document: Document, question: str) -> tuple[Match, ...]:
    """Return the parts of a document that hold a word of the question, each once, in its order.

    Those that stem from other datasets or from queries have no label: the caller may not be
    allowed to see these.
    """
    asked = _asked(question)
    found = dict.fromkeys(
        (part.kind, None if part.kind in _SURROUNDINGS else part.label)
        for part in document.parts
        if holds(part.words.split(), asked)
    )
    return tuple(Match(kind, label) for kind, label in found)


@lru_cache(maxsize=256)
def _asked(question: str) -> frozenset[str]:
    return frozenset(stems(question))


def reasons(document: Document, matched: Sequence[Match], entry: Ranked) -> tuple[str, ...]:
    """Return why it was found: ``name``, ``column x``, ``tag x``, …, ``similar in meaning``.

    Never empty, and at most eight. Parts come in the document's order, the name first; then the
    columns that are near in meaning, what it joins to, and what else of its schema was found.
    """
    named = (_SURROUNDINGS.get(match.kind) or _named(match) for match in matched)
    found = entry.candidate
    others: list[str] = []
    if (found.similarity or 0.0) >= _SIMILAR:
        others.append("similar in meaning")
    if found.group is not None and found.group < len(document.groups):
        columns = document.groups[found.group].columns
        if len(document.groups) > 1 and (found.column_similarity or 0.0) >= _SIMILAR:
            some = ", ".join(Field(path).name for path in columns[:_NAMED_COLUMNS])
            more = ", …" if len(columns) > _NAMED_COLUMNS else ""
            others.append(f"columns {some}{more} similar in meaning")
    if entry.joined is not None:
        others.append(f"joins to {dataset_name(entry.joined)}")
    elif entry.companion is not None:
        others.append(f"same schema as {dataset_name(entry.companion)}")
    if not matched and not others:
        others.append("similar in meaning")
    return (*tuple(dict.fromkeys(named))[: _MAX_REASONS - len(others)], *others)


def _named(match: Match) -> str:
    if match.kind in (PartKind.NAME, PartKind.DESCRIPTION):
        return match.kind.value
    return f"{match.kind} {match.label}"


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


@lru_cache(maxsize=256)
def _fingerprint(question: str, filters: SearchFilters) -> str:
    content = json.dumps([question, asdict(filters)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
