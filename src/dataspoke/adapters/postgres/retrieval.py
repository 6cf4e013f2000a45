"""The statements that find documents by words and by vector.

Putting such a statement together takes longer than running it. So the text of each form is made
once; a search gives it its values.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any, NamedTuple

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    REAL,
    BindParameter,
    ColumnElement,
    Dialect,
    Double,
    FromClause,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    false,
    func,
    join,
    literal,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from dataspoke.adapters.postgres.rows import ATTRIBUTES
from dataspoke.adapters.postgres.tables import (
    dataset_vectors,
    document_totals,
    documents,
    group_vectors,
    postings,
    term_counts,
)
from dataspoke.knowledge.lexical import K1, B, rarity
from dataspoke.knowledge.model import SearchFilters

# Looking up one term of one document takes as long as reading so many postings in a row.
_LOOKUP_COST = 20
# What the last of the best ranks gets of the gain of one telling term. With 2/3, one question in a
# hundred has to read all postings after all.
_EXPECTED = 2 / 3
# What passes the filters is counted so far: above that the number makes no difference.
COUNTED_UP_TO = 10_000
# So many statements are kept. One for each set of filters that are used together, each depth of
# retrieval, and each way.
_FORMS = 1_000
_DIALECT: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


class Prepared(NamedTuple):
    """The text of a statement, the names of what belongs to $1, $2, …, and what is fixed of it."""

    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]

    @classmethod
    def of(cls, statement: Select[Any]) -> "Prepared":
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return cls(str(compiled), tuple(compiled.positiontup or ()), compiled.params)

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        given = {**self.fixed, **values}
        return tuple(given[name] for name in self.names)


class Space(NamedTuple):
    """The vectors that can be compared: those of one model."""

    model: str
    dimensions: int


class Form(NamedTuple):
    """What the text of a search depends on, besides the way of searching.

    ``filtered`` names the filters that are set.
    """

    filtered: tuple[str, ...]
    worded: bool
    space: Space | None
    limit: int


def filtered(filters: SearchFilters) -> tuple[str, ...]:
    """Return the names of the filters that are set, as in ``Form``."""
    return tuple(name for name in SearchFilters.__dataclass_fields__ if getattr(filters, name))


class Scan(Enum):
    """Which documents are ranked by words."""

    ALL = auto()  # all that hold a term
    PASSING = auto()  # the few that pass the filters
    TELLING = auto()  # those that hold a telling term


class Term(NamedTuple):
    """A term that some document holds, as the table of terms has it."""

    id: int
    documents: int
    peak_frequency: float
    peak_share: float


@dataclass(frozen=True, slots=True)
class Words:
    """The terms of a question, the rarest first.

    To a rank each adds a part of its ``gains``, at most its ``peaks``.
    """

    terms: Sequence[Term]
    gains: Sequence[float]
    peaks: Sequence[float]
    mean_length: float

    @classmethod
    def of(cls, terms: Iterable[Term], documents: int, length: float) -> "Words":
        found = sorted(terms, key=lambda term: term.documents)
        # Without words in any document there is no term to rank by it.
        mean_length = length / max(1, documents) or 1.0
        gains = [(K1 + 1) * rarity(term.documents, documents) for term in found]
        # A share of f / (f + K1 * (1 - B) + K1 * B * length / mean length), at its largest.
        peaks = [
            gain
            / (1 + K1 * (1 - B) / term.peak_frequency + K1 * B / (term.peak_share * mean_length))
            for gain, term in zip(gains, found, strict=True)
        ]
        return cls(found, gains, peaks, mean_length)

    def values(self, plan: "Plan | None" = None) -> Mapping[str, Any]:
        """Return what statements that rank by words are given, those of a plan in particular."""
        ids = [term.id for term in self.terms]
        values: dict[str, Any] = {
            "asked": ids,
            "asked_gains": self.gains,
            "by_length": K1 * B / self.mean_length,
        }
        if plan is not None:
            values["bound"] = plan.bound
            values["telling"], values["common"] = _parted(ids, plan.telling)
            values["telling_gains"], values["common_gains"] = _parted(self.gains, plan.telling)
        return values

    def plan(self, matching: int | None, limit: int) -> "Plan":
        """Return how to find the best ``limit`` with the least reading.

        ``matching``: how many documents pass the filters, None where they are many.
        """
        counts = [term.documents for term in self.terms]
        if matching is not None and matching * _LOOKUP_COST * len(counts) < sum(counts):
            return Plan(Scan.PASSING)
        # A document without the telling terms gets no more than the bound from the others
        # (MaxScore: Turtle and Flood 1995). They are few enough for the last of the best to be
        # above it, with about so much from one telling term; whether it is is seen from the ranks.
        enough = (gain for gain, count in zip(self.gains, counts, strict=True) if count >= limit)
        expected = _EXPECTED * next(enough, 0.0)
        telling, bound = len(counts), 0.0
        while telling and bound + self.peaks[telling - 1] <= expected:
            telling -= 1
            bound += self.peaks[telling]
        if not bound or 2 * sum(counts[:telling]) >= sum(counts):
            return Plan(Scan.ALL)
        # Frequencies are stored in single precision.
        return Plan(Scan.TELLING, telling, bound * (1 + 1e-6))


def _parted(values: Sequence[Any], place: int) -> tuple[Sequence[Any], Sequence[Any]]:
    return values[:place], values[place:]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the best by words are found.

    Documents without one of the ``telling`` rarest terms have at most the rank ``bound``.
    """

    scan: Scan
    telling: int = 0
    bound: float = 0.0

    def settles(self, ranks: Sequence[float], limit: int) -> bool:
        """Tell whether the best of what was ranked are the best of all documents, too."""
        return not self.bound or (len(ranks) == limit and min(ranks) > self.bound)


@lru_cache(_FORMS)
def statistics(filtered: tuple[str, ...]) -> Prepared:
    """What a search depends on: totals, how many documents pass, and the terms that there are."""
    conditions = _matches(filtered)
    passing = select(documents.c.id).where(*conditions).limit(COUNTED_UP_TO + 1).subquery()
    counted = select(func.count()).select_from(passing).scalar_subquery()
    known = (term_counts.c.term == any_(_texts("asked"))) & (term_counts.c.documents > 0)
    return Prepared.of(
        select(
            document_totals.c.documents,
            document_totals.c.length,
            counted if conditions else document_totals.c.documents,
            *(term_counts.c[name] for name in Term._fields),
        )
        .select_from(document_totals)
        .outerjoin(term_counts, known)
    )


@lru_cache(_FORMS)
def by_words(form: Form, scan: Scan) -> Prepared:
    """The best by words, with all their scores."""
    ranked = {
        Scan.ALL: _ranked_all,
        Scan.PASSING: _ranked_passing,
        Scan.TELLING: _ranked_telling,
    }[scan](form)
    best = select(ranked.c.document_id, ranked.c.rank).order_by(
        ranked.c.rank.desc(), ranked.c.document_id
    )
    found = best.limit(_number(form.limit)).subquery()
    return Prepared.of(_scored(form, found, found.c.rank))


@lru_cache(_FORMS)
def by_vector(form: Form, walked: int | None) -> Prepared:
    """The best by vectors of datasets and of column groups, with all their scores.

    HNSW gives the ``walked`` nearest column groups for each dataset that is wanted; where it is
    None, all vectors are compared. Whether a document was found by one and by the other comes last.
    """
    assert form.space is not None  # noqa: S101  there is nothing to search by
    whole = _nearest(form, form.space, dataset_vectors, 1 if walked else None)
    part = _nearest(form, form.space, group_vectors, walked)
    either = union_all(
        whole.add_columns(true().label("whole"), false().label("part")),
        part.add_columns(false().label("whole"), true().label("part")),
    ).subquery()
    found = (
        select(
            either.c.document_id,
            func.bool_or(either.c.whole).label("whole"),
            func.bool_or(either.c.part).label("part"),
        )
        .group_by(either.c.document_id)
        .subquery()
    )
    rank = _rank_of(found.c.document_id, "asked") if form.worded else null()
    return Prepared.of(_scored(form, found, rank, found.c.whole, found.c.part))


def neighbours(model: str, dimensions: int, limit: int, exact: bool) -> Select[Any]:
    """The nearest others of each of ``urns`` with such a vector; a NULL where it is alone."""
    asked, own, other = documents.alias("asked"), dataset_vectors, dataset_vectors.alias()
    distance = _distance(other, cast(own.c.vector, HALFVEC(dimensions)), dimensions, exact)
    nearest = (
        select(other.c.document_id, distance.label("distance"))
        .where(_of_model(other, model), other.c.document_id != own.c.document_id)
        .order_by(distance)
        .limit(limit)
        .correlate(own)
        .lateral()
    )
    return (
        select(asked.c.urn, documents.c.urn.label("other"), (-nearest.c.distance).label("cosine"))
        .select_from(asked)
        .join(own, own.c.document_id == asked.c.id)
        .outerjoin(nearest, true())
        .outerjoin(documents, documents.c.id == nearest.c.document_id)
        .where(asked.c.urn == any_(_texts("urns")), _of_model(own, model))
    )


def among(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    # An array, so that the statement is the same text for one value and for fifty.
    return column == any_(literal(list(values), ARRAY(Text)))


def _ranked_all(form: Form) -> Subquery:
    return _ranked("asked", form).subquery()


def _ranked_passing(form: Form) -> Subquery:
    rank = _rank_of(documents.c.id, "asked").label("rank")
    passing = select(documents.c.id.label("document_id"), rank).where(*_matches(form.filtered))
    some = passing.subquery()
    return select(some).where(some.c.rank.is_not(None)).subquery()


def _ranked_telling(form: Form) -> Subquery:
    """The common terms are looked up only for those that they can bring among the best."""
    partly = _ranked("telling", form).cte("partly")
    last = select(partly.c.rank).order_by(partly.c.rank.desc()).offset(_number(form.limit - 1))
    enough = func.coalesce(last.limit(_number(1)).scalar_subquery(), 0)
    rest = func.coalesce(_rank_of(partly.c.document_id, "common"), 0)
    return (
        select(partly.c.document_id, (partly.c.rank + rest).label("rank"))
        .where(partly.c.rank + _given("bound", Double) >= enough)
        .subquery()
    )


def _ranked(terms: str, form: Form) -> Select[Any]:
    """All documents that hold one of the terms and pass the filters, and their rank by these."""
    ranked = (
        select(postings.c.document_id, _rank(terms).label("rank"))
        .where(postings.c.term_id == any_(_ids(terms)))
        .group_by(postings.c.document_id)
    )
    if not form.filtered:
        return ranked
    # Of its own accord PostgreSQL, which takes every term for a rare one, looks them up.
    passing = select(documents.c.id).where(*_matches(form.filtered)).cte()
    return ranked.join(passing.prefix_with("MATERIALIZED"), postings.c.document_id == passing.c.id)


def _rank_of(document_id: ColumnElement[int], terms: str) -> ColumnElement[Any]:
    """The rank of one document by some terms; NULL where it holds none of them."""
    held = (postings.c.document_id == document_id) & (postings.c.term_id == any_(_ids(terms)))
    return select(_rank(terms)).where(held).scalar_subquery()


def _rank(terms: str) -> ColumnElement[Any]:
    """The sum over postings of what ``lexical.bm25`` gives; ``Words.values`` has its parts."""
    frequency, length = cast(postings.c.frequency, Double), postings.c.length
    gains = select(_given(f"{terms}_gains", ARRAY(Double))).scalar_subquery()
    gain = gains[func.array_position(_ids(terms), postings.c.term_id, type_=Integer)]
    flat = literal_column(str(K1 * (1 - B)), Double)
    return func.sum(gain * frequency / (frequency + flat + _given("by_length", Double) * length))


def _ids(terms: str) -> ColumnElement[Any]:
    return _given(terms, ARRAY(Integer))


def _nearest(form: Form, space: Space, vectors: Table, walked: int | None) -> Select[Any]:
    """The documents with the best vectors in a table that may hold several of each."""
    distance = _distance(vectors, _vector(space), space.dimensions, exact=walked is None)
    near = select(vectors.c.document_id, distance.label("distance")).where(
        _of_model(vectors, space.model)
    )
    if form.filtered:
        near = near.join(documents).where(*_matches(form.filtered))
    if walked is not None:
        near = near.order_by(distance).limit(_number(walked * form.limit))
    hits = near.subquery()
    best = (
        select(hits.c.document_id)
        .group_by(hits.c.document_id)
        .order_by(func.min(hits.c.distance))
        .limit(_number(form.limit))
        .subquery()
    )
    return select(best.c.document_id)


def _scored(
    form: Form, found: FromClause, rank: ColumnElement[Any], *more: ColumnElement[Any]
) -> Select[Any]:
    """Of each document that was found urn, attributes, and the scores of a Candidate in order."""
    scores: tuple[ColumnElement[Any], ...] = (rank, null(), null(), null())
    tables = join(found, documents, documents.c.id == found.c.document_id)
    if form.space is not None:
        model, dimensions = form.space
        asked = _vector(form.space)
        of_model = documents.c.model == literal(model, Text, literal_execute=True)
        distance = _distance(group_vectors, asked, dimensions, exact=True)
        group = (
            select(group_vectors.c.position, distance.label("distance"))
            .where(group_vectors.c.document_id == documents.c.id)
            .order_by(distance, group_vectors.c.position)
            .limit(_number(1))
            .lateral()
        )
        similarity = -_distance(dataset_vectors, asked, dimensions, exact=True)
        scores = (rank, similarity, -group.c.distance, group.c.position)
        tables = tables.outerjoin(
            dataset_vectors, (dataset_vectors.c.document_id == documents.c.id) & of_model
        ).outerjoin(group, of_model)
    attributes = (documents.c[name] for name in ATTRIBUTES)
    return select(documents.c.urn, *attributes, *scores, *more).select_from(tables)


def _matches(filtered: Sequence[str]) -> Sequence[ColumnElement[bool]]:
    """The conditions that a document passes the filters of these names."""
    conditions = []
    for name in filtered:
        column, wanted = _FILTERED_BY[name], _texts(name)
        several = isinstance(column.type, ARRAY)
        conditions.append(column.overlap(wanted) if several else column == any_(wanted))
    return conditions


_FILTERED_BY = {
    "platforms": documents.c.platform,
    "tags": documents.c.tags,
    "terms": documents.c.terms,
    "owners": documents.c.owners,
    "domains": documents.c.domain,
    "consumers": documents.c.consumers,
}


def _given(name: str, type_: Any) -> BindParameter[Any]:
    return bindparam(name, None, type_=type_)


def _texts(name: str) -> ColumnElement[Any]:
    return _given(name, ARRAY(Text))


def _number(value: int) -> ColumnElement[int]:
    # In the text: for a parameter the server expects a tenth of the table.
    return literal_column(str(value), Integer)


def _vector(space: Space) -> ColumnElement[Any]:
    # By a subquery it is read once, not for each vector that it is compared with.
    given = cast(_given("vector", ARRAY(REAL)), HALFVEC(space.dimensions))
    return select(given).scalar_subquery()


def _of_model(vectors: FromClause, model: str) -> ColumnElement[bool]:
    # In the text: with a parameter the model's index could not be chosen.
    return vectors.c.model == literal(model, Text, literal_execute=True)


def _distance(
    vectors: FromClause, asked: ColumnElement[Any], dimensions: int, exact: bool
) -> ColumnElement[float]:
    """The negative inner product; of unit vectors that is the negative cosine."""
    stored = vectors.c.vector
    # With the cast it is the expression of nearest_index, so that HNSW can be walked.
    walked = stored if exact else cast(stored, HALFVEC(dimensions))
    return walked.op("<#>", return_type=Double())(asked)
