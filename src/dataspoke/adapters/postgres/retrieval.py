"""The statements that find documents by words and by vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Double,
    FromClause,
    Select,
    Subquery,
    Text,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
    union_all,
)

from dataspoke.adapters.postgres.tables import document_contents, documents, postings
from dataspoke.knowledge.lexical import K1, B, rarity
from dataspoke.knowledge.model import SearchFilters

# Looking up one term of one document takes as long as reading so many postings in a row.
_LOOKUP_COST = 20
# So many documents are looked up one by one to see whether they pass a filter; for more, all that
# pass are read first.
_LOOKED_UP_TO = 5_000
# How many near ones HNSW keeps in view: the least that is asked for, and pgvector's limit.
_VIEW_MIN, _VIEW_MAX = 64, 1000


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Documents to score in place of all that hold a term.

    Any other has a rank below ``bound``; 0 means that there is no other.
    """

    documents: Select[Any]
    bound: float

    def settles(self, ranks: Sequence[float], limit: int) -> bool:
        """Tell whether these are the best ``limit`` of all documents, too."""
        return not self.bound or (len(ranks) == limit and min(ranks) >= self.bound)


@dataclass(frozen=True, slots=True)
class Words:
    """The terms of a question that some document holds, and in how many, the rarest first."""

    documents_with: Mapping[str, int]
    rarities: Mapping[str, float]
    mean_length: float

    @classmethod
    def of(cls, counts: Mapping[str, int], documents: int, length: float) -> "Words":
        documents_with = dict(sorted(counts.items(), key=lambda item: item[1]))
        rarities = {term: rarity(count, documents) for term, count in documents_with.items()}
        return cls(documents_with, rarities, length / max(1, documents))

    def shortcut(self, filters: SearchFilters, matching: int | None, limit: int) -> Shortcut | None:
        """Return what saves reading all postings; None where that is the quickest.

        ``matching``: how many documents pass the filters, None where they are many.
        """
        most = sum(self.documents_with.values()) / (_LOOKUP_COST * max(1, len(self.rarities)))
        if matching is not None and matching < most:
            passing = select(documents.c.id.label("document_id")).where(*matches(filters))
            return Shortcut(passing, bound=0)
        # A document without the telling terms gets at most so much from the others, however often
        # it holds them (MaxScore: Turtle and Flood 1995). They are few enough to be outweighed by
        # one telling term; whether they are is seen from the ranks.
        telling = list(self.documents_with)
        enough = [term for term in telling if self.documents_with[term] >= limit]
        bound, outweighed = 0.0, self.rarities[enough[0]] if enough else 0.0
        while telling and bound + (K1 + 1) * self.rarities[telling[-1]] <= outweighed:
            bound += (K1 + 1) * self.rarities[telling.pop()]
        if not bound or sum(self.documents_with[term] for term in telling) >= most:
            return None
        holding = select(postings.c.document_id).where(among(postings.c.term, telling))
        return Shortcut(_passing(holding, filters).distinct(), bound)

    def best(
        self, filters: SearchFilters, limit: int, shortcut: Shortcut | None
    ) -> Select[tuple[int]]:
        if shortcut is not None:
            some = shortcut.documents.subquery()
            rank = self.rank_of(some.c.document_id)
            ranked = select(some.c.document_id, rank.label("rank")).order_by(
                rank.desc().nulls_last(), some.c.document_id
            )
            best = ranked.limit(limit).subquery()
            return select(best.c.document_id).where(best.c.rank.is_not(None))
        asked = self._asked()
        found = select(postings.c.document_id).join(asked, postings.c.term == asked.c.term)
        if sum(self.documents_with.values()) > _LOOKED_UP_TO and matches(filters):
            # Of its own accord PostgreSQL, which takes every term for a rare one, looks them up.
            passing = select(documents.c.id).where(*matches(filters)).cte("passing")
            found = found.join(
                passing.prefix_with("MATERIALIZED"), postings.c.document_id == passing.c.id
            )
        else:
            found = _passing(found, filters)
        return (
            found.group_by(postings.c.document_id)
            .order_by(self._rank(asked).desc(), postings.c.document_id)
            .limit(limit)
        )

    def rank_of(self, document_id: ColumnElement[int]) -> ColumnElement[float | None]:
        """The rank of one document; NULL where it holds none of the terms."""
        asked = self._asked()
        return (
            select(self._rank(asked))
            .select_from(asked)
            .join(postings, postings.c.term == asked.c.term)
            .where(postings.c.document_id == document_id)
            .scalar_subquery()
        )

    def _asked(self) -> Subquery:
        terms, rarities = list(self.rarities), list(self.rarities.values())
        return select(
            func.unnest(literal(terms, ARRAY(Text))).label("term"),
            func.unnest(literal(rarities, ARRAY(Double))).label("rarity"),
        ).subquery()

    def _rank(self, asked: Subquery) -> ColumnElement[Any]:
        """As ``lexical.bm25``."""
        frequency, length = cast(postings.c.frequency, Double), postings.c.length
        saturation = frequency + K1 * (1 - B) + K1 * B / self.mean_length * length
        return func.sum(asked.c.rarity * (K1 + 1) * frequency / saturation)


@dataclass(frozen=True, slots=True)
class Near:
    """A question's vector, and the model that made it."""

    model: str
    vector: NDArray[np.float32]

    def best(self, filters: SearchFilters, limit: int, exact: bool) -> Select[tuple[int]]:
        found = (
            select(document_contents.c.document_id)
            .where(*_of_model(document_contents, self.model))
            .order_by(self.distance(exact))
            .limit(limit)
        )
        conditions = matches(filters)
        return found.join(documents).where(*conditions) if conditions else found

    def distance(self, exact: bool) -> ColumnElement[float]:
        dimensions = len(self.vector)
        asked = cast(literal(self.vector, HALFVEC(dimensions)), HALFVEC(dimensions))
        return _distance(document_contents, asked, dimensions, exact)


def search(
    words: Words,
    near: Near | None,
    filters: SearchFilters,
    limit: int,
    shortcut: Shortcut | None,
    exact: bool,
) -> Select[Any]:
    """The best by words and the best by vector: content, how it was found, and both scores.

    The scores are computed for what was found, the same way however it was found.
    """
    ways = []
    if words.rarities:
        best = words.best(filters, limit, shortcut).subquery()
        ways.append(select(best.c.document_id, literal(False).label("by_vector")))
    if near is not None:
        best = near.best(filters, limit, exact).subquery()
        ways.append(select(best.c.document_id, literal(True).label("by_vector")))
    either = union_all(*ways).subquery()
    found = (
        select(
            either.c.document_id,
            func.bool_or(either.c.by_vector).label("by_vector"),
            (~func.bool_and(either.c.by_vector)).label("by_words"),
        )
        .group_by(either.c.document_id)
        .subquery()
    )
    content = document_contents.c
    rank: ColumnElement[Any] = null()
    if words.rarities:
        rank = words.rank_of(content.document_id)
    distance: ColumnElement[Any] = null()
    if near is not None:
        distance = case((content.model == near.model, near.distance(exact=True)))
    return (
        select(
            content.content,
            found.c.by_vector,
            found.c.by_words,
            rank.label("rank"),
            distance.label("distance"),
        )
        .select_from(document_contents)
        .join(found, content.document_id == found.c.document_id)
    )


def neighbours(
    model: str, dimensions: int, urns: Sequence[str], limit: int, exact: bool
) -> Select[Any]:
    """The nearest others of each urn that has a vector of this model; a NULL where it is alone."""
    asked, own, other = documents.alias("asked"), document_contents, document_contents.alias()
    distance = _distance(other, cast(own.c.vector, HALFVEC(dimensions)), dimensions, exact)
    nearest = (
        select(other.c.document_id, distance.label("distance"))
        .where(*_of_model(other, model), other.c.document_id != own.c.document_id)
        .order_by(distance)
        .limit(limit)
        .correlate(own)
        .lateral()
    )
    return (
        select(asked.c.urn, documents.c.urn.label("other"), nearest.c.distance)
        .select_from(asked)
        .join(own, own.c.document_id == asked.c.id)
        .outerjoin(nearest, true())
        .outerjoin(documents, documents.c.id == nearest.c.document_id)
        .where(among(asked.c.urn, urns), *_of_model(own, model))
    )


def hnsw(limit: int) -> Sequence[ColumnElement[Any]]:
    """What makes the transaction's walks go on until ``limit`` documents pass the filters.

    They come slightly out of order, which loses fewer of them, and are put in order afterwards.
    """
    view = min(max(_VIEW_MIN, 2 * limit), _VIEW_MAX)
    return (
        func.set_config("hnsw.ef_search", str(view), True),
        func.set_config("hnsw.iterative_scan", "relaxed_order", True),
    )


def matches(filters: SearchFilters) -> Sequence[ColumnElement[bool]]:
    """The conditions that a document passes the filters."""
    one = ((documents.c.platform, filters.platforms), (documents.c.domain, filters.domains))
    many = ((documents.c.tags, filters.tags), (documents.c.owners, filters.owners))
    return [among(column, wanted) for column, wanted in one if wanted] + [
        column.overlap(literal(list(wanted), ARRAY(Text))) for column, wanted in many if wanted
    ]


def among(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    # An array, so that the statement is the same text for one value and for fifty.
    return column == any_(literal(list(values), ARRAY(Text)))


def _passing(holding: Select[Any], filters: SearchFilters) -> Select[Any]:
    conditions = matches(filters)
    if not conditions:
        return holding
    return holding.where(postings.c.document_id.in_(select(documents.c.id).where(*conditions)))


def _of_model(contents: FromClause, model: str) -> Sequence[ColumnElement[bool]]:
    # Written into the statement: with a parameter the model's index could not be chosen.
    written = literal(model, Text, literal_execute=True)
    return (contents.c.model == written, contents.c.vector.is_not(None))


def _distance(
    contents: FromClause, asked: ColumnElement[Any], dimensions: int, exact: bool
) -> ColumnElement[float]:
    """The negative inner product; of unit vectors that is the negative cosine."""
    stored = contents.c.vector
    # With the cast it is the expression of nearest_index, so that HNSW can be walked.
    walked = stored if exact else cast(stored, HALFVEC(dimensions))
    return walked.op("<#>", return_type=Double())(asked)
