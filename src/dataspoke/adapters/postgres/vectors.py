"""The Vectors port on PostgreSQL: BM25F over a table of postings, pgvector for meaning."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Row,
    ScalarSelect,
    Select,
    Subquery,
    Text,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateIndex

from dataspoke.adapters.postgres import rows
from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.tables import (
    document_contents,
    document_totals,
    documents,
    nearest_index,
    postings,
    term_counts,
)
from dataspoke.knowledge.lexical import K1, B, frequencies, rarity, terms
from dataspoke.knowledge.model import Candidate, Neighbour, SearchFilters
from dataspoke.ports.vectors import Entry

_PORT = "vectors"
# Held by whoever changes the index, until its commit; any number of our own. Nearly all documents
# share some terms, so that writers would wait for each other's counts anyway: here they do so
# before they begin, which leaves nothing to deadlock on.
_WRITING = 7_366_111_003

# Comparing that many vectors one by one takes as long as walking the HNSW index with a filter
# that keeps few of them, and finds the best without fail.
_EXACT_UP_TO = 5_000
# How many near ones HNSW keeps in view: pgvector's range, and the least that is asked for.
_VIEW_MIN, _VIEW_MAX = 64, 1000


def _each(name: str, value: Any) -> ColumnElement[Any]:
    return func.unnest(bindparam(name, type_=ARRAY(value)))


# Removes documents with their postings, and takes them out of the counts.
_named = select(_each("urns", Text).label("urn"), _each("versions", BigInteger).label("version"))
_asked = _named.cte("asked")
_gone = (
    delete(documents)
    .where(documents.c.urn == _asked.c.urn, documents.c.version <= _asked.c.version)
    .returning(documents.c.id, documents.c.length)
    .cte("gone")
)
_lost = (
    delete(postings)
    .where(postings.c.document_id == _gone.c.id)
    .returning(postings.c.term)
    .cte("lost")
)
_losses = select(_lost.c.term, func.count().label("documents")).group_by(_lost.c.term).cte("losses")
_fewer = (
    update(term_counts)
    .where(term_counts.c.term == _losses.c.term)
    .values(documents=term_counts.c.documents - _losses.c.documents)
    .returning(term_counts.c.term)
    .cte("fewer")
)
_REMOVE = (
    update(document_totals)
    .values(
        documents=document_totals.c.documents - select(func.count(_gone.c.id)).scalar_subquery(),
        length=document_totals.c.length
        - select(func.coalesce(func.sum(_gone.c.length), 0)).scalar_subquery(),
    )
    .add_cte(_fewer)
)

# A document that is still there is newer than what comes.
_ADD = (
    postgresql.insert(documents)
    .on_conflict_do_nothing(index_elements=["urn"])
    .returning(documents.c.id, documents.c.urn)
)
_ADD_CONTENTS = insert(document_contents)

_added = (
    postgresql.insert(postings)
    .from_select(
        ["document_id", "term", "frequency", "length"],
        select(
            _each("ids", BigInteger),
            _each("terms", Text),
            _each("frequencies", REAL),
            _each("lengths", REAL),
        ),
    )
    .returning(postings.c.term)
    .cte("added")
)
_more = postgresql.insert(term_counts).from_select(
    ["term", "documents"], select(_added.c.term, func.count()).group_by(_added.c.term)
)
_ADD_POSTINGS = _more.on_conflict_do_update(
    index_elements=["term"],
    set_={"documents": term_counts.c.documents + _more.excluded.documents},
)

_total = postgresql.insert(document_totals)
_ADD_TOTALS = _total.on_conflict_do_update(
    index_elements=["id"],
    set_={
        "documents": document_totals.c.documents + _total.excluded.documents,
        "length": document_totals.c.length + _total.excluded.length,
    },
)


class PostgresVectors:
    """The Vectors port; see there for what each call returns."""

    def __init__(self, engine: AsyncEngine, exact_up_to: int = _EXACT_UP_TO) -> None:
        """``exact_up_to``: so many vectors are compared one by one; among more HNSW searches."""
        self._engine = engine
        self._exact_up_to = exact_up_to

    async def upsert(self, entries: Sequence[Entry]) -> None:
        newest: dict[str, Entry] = {}
        for entry in entries:
            known = newest.get(entry.document.urn)
            if known is None or known.version <= entry.version:
                newest[entry.document.urn] = entry
        if not newest:
            return
        found = {urn: frequencies(entry.document) for urn, entry in newest.items()}
        values = [
            rows.document_values(entry, sum(found[urn].values())) for urn, entry in newest.items()
        ]
        async with self._writing() as connection:
            await _remove(connection, {urn: entry.version for urn, entry in newest.items()})
            added = {row.urn: row.id for row in await connection.execute(_ADD, values)}
            if added:
                await _add_contents(connection, {added[urn]: newest[urn] for urn in added})
                await _add_words(connection, {added[urn]: found[urn] for urn in added})

    async def delete(self, versions: Mapping[str, int]) -> None:
        if versions:
            async with self._writing() as connection:
                await _remove(connection, versions)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with translated(_PORT):
            async with self._engine.begin() as connection:
                await connection.execute(select(func.pg_advisory_xact_lock(_WRITING)))
                yield connection

    async def versions(self, urns: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
        found = (
            select(documents.c.urn, documents.c.content_hash, document_contents.c.model)
            .join(document_contents)
            .where(_among(documents.c.urn, urns))
        )
        with translated(_PORT):
            async with self._engine.connect() as connection:
                stored = await connection.execute(found)
                return {row.urn: (row.content_hash, row.model) for row in stored}

    async def urns(self) -> frozenset[str]:
        with translated(_PORT):
            async with self._engine.connect() as connection:
                return frozenset(await connection.scalars(select(documents.c.urn)))

    async def count(self) -> int:
        with translated(_PORT):
            async with self._engine.connect() as connection:
                return await connection.scalar(select(document_totals.c.documents)) or 0

    async def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        asked = sorted(set(terms(text)))
        near = None if vector is None or model is None else _Near(model, vector)
        if not asked and near is None:
            return []
        with translated(_PORT):
            async with self._engine.begin() as connection:
                prepared = self._prepared(asked, filters, limit)
                known = (await connection.execute(prepared)).one_or_none()
                if known is None:
                    return []
                words = _Words.of(known)
                if near is None and not words.rarities:
                    return []
                exact = known.matching <= self._exact_up_to
                search = _search(words, near, filters, limit, exact)
                found = (await connection.execute(search)).all()
                if near and not exact and sum(row.near for row in found) < limit:
                    # The walk gave up on the filters, or few documents have such a vector.
                    search = _search(words, near, filters, limit, exact=True)
                    found = (await connection.execute(search)).all()
        candidates = (
            Candidate(
                rows.document(row.content),
                row.lexical,
                None if row.distance is None else _cosine(row.distance),
            )
            for row in found
        )
        return sorted(candidates, key=lambda candidate: candidate.document.urn)

    def _prepared(self, asked: Sequence[str], filters: SearchFilters, limit: int) -> Select[Any]:
        """Return what a search depends on; running it sets up HNSW for the transaction."""
        matching = select(documents.c.id).where(*_matching(filters)).limit(self._exact_up_to + 1)
        counted = select(func.json_object_agg(term_counts.c.term, term_counts.c.documents)).where(
            _among(term_counts.c.term, asked), term_counts.c.documents > 0
        )
        return select(
            *_hnsw(limit),
            _count(matching).label("matching"),
            counted.scalar_subquery().label("documents_with"),
            document_totals.c.documents,
            document_totals.c.length,
        )

    async def neighbours(
        self, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Neighbour]]:
        found: dict[str, list[Neighbour]] = {}
        with translated(_PORT):
            async with self._engine.begin() as connection:
                for group in (await connection.execute(self._by_model(urns, limit))).all():
                    of = (group.model, group.dimensions)
                    exact = group.stored * len(group.urns) <= self._exact_up_to
                    near = await _neighbours(connection, *of, group.urns, limit, exact)
                    reachable = min(limit, group.stored - 1)
                    short = [urn for urn in near if len(near[urn]) < reachable]
                    if short and not exact:
                        near |= await _neighbours(connection, *of, short, limit, exact=True)
                    found |= near
        return found

    def _by_model(self, urns: Sequence[str], limit: int) -> Select[Any]:
        """Return the urns that have a vector, by its model; running it sets up HNSW."""
        own = document_contents
        asked = (
            select(
                own.c.model,
                func.vector_dims(own.c.vector).label("dimensions"),
                func.array_agg(documents.c.urn).label("urns"),
            )
            .join(documents)
            .where(_among(documents.c.urn, urns), own.c.model.is_not(None))
            .where(own.c.vector.is_not(None))
            .group_by(own.c.model, func.vector_dims(own.c.vector))
            .subquery()
        )
        other = document_contents.alias()
        stored = (
            select(other.c.document_id)
            .where(other.c.model == asked.c.model, other.c.vector.is_not(None))
            .limit(self._exact_up_to + 1)
            .correlate(asked)
        )
        return select(*_hnsw(limit), asked, _count(stored).label("stored"))


@dataclass(frozen=True, slots=True)
class _Words:
    """The terms of a question that some document holds."""

    rarities: Mapping[str, float]
    mean_length: float

    @classmethod
    def of(cls, known: Row[Any]) -> "_Words":
        rarities = {
            term: rarity(documents_with, known.documents)
            for term, documents_with in (known.documents_with or {}).items()
        }
        return cls(rarities, known.length / max(1, known.documents))

    def best(self, filters: SearchFilters, limit: int) -> Select[Any]:
        asked = self._asked()
        found = (
            select(postings.c.document_id, literal(False).label("near"))
            .join(asked, postings.c.term == asked.c.term)
            .group_by(postings.c.document_id)
            .order_by(self._rank(asked).desc(), postings.c.document_id)
            .limit(limit)
        )
        conditions = _matching(filters)
        if conditions:
            found = found.where(
                postings.c.document_id.in_(select(documents.c.id).where(*conditions))
            )
        return found

    def score(self) -> ColumnElement[float | None]:
        """The rank of the document at hand; NULL where it holds none of the terms."""
        asked = self._asked()
        return (
            select(self._rank(asked))
            .select_from(asked)
            .join(postings, postings.c.term == asked.c.term)
            .where(postings.c.document_id == document_contents.c.document_id)
            .correlate(document_contents)
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
class _Near:
    """A question's vector, and the model that made it."""

    model: str
    vector: NDArray[np.float32]

    def best(self, filters: SearchFilters, limit: int, exact: bool) -> Select[Any]:
        found = (
            select(document_contents.c.document_id, literal(True).label("near"))
            .where(*_of_model(document_contents, self.model))
            .order_by(self.distance(exact))
            .limit(limit)
        )
        conditions = _matching(filters)
        if conditions:
            found = found.join(documents).where(*conditions)
        return found

    def distance(self, exact: bool) -> ColumnElement[float]:
        """The negative inner product with a document's vector."""
        halfvec = HALFVEC(len(self.vector))
        stored = document_contents.c.vector
        asked = literal(self.vector, halfvec)
        # The cast makes it the expression of nearest_index, and lets that index be used.
        return _inner(stored if exact else cast(stored, halfvec), cast(asked, halfvec))


async def _remove(connection: AsyncConnection, versions: Mapping[str, int]) -> None:
    await connection.execute(_REMOVE, {"urns": list(versions), "versions": list(versions.values())})


async def _add_contents(connection: AsyncConnection, entries: Mapping[int, Entry]) -> None:
    for model, dimensions in {
        (entry.model, len(entry.vector))
        for entry in entries.values()
        if entry.model is not None and entry.vector is not None
    }:
        index = nearest_index(model, dimensions)
        if await connection.scalar(select(func.to_regclass(index.name))) is None:
            await connection.execute(CreateIndex(index))
    await connection.execute(
        _ADD_CONTENTS, [rows.content_values(id_, entry) for id_, entry in entries.items()]
    )


async def _add_words(connection: AsyncConnection, found: Mapping[int, Mapping[str, float]]) -> None:
    lengths = {id_: sum(counts.values()) for id_, counts in found.items()}
    new = [
        (id_, term, frequency, lengths[id_])
        for id_, counts in found.items()
        for term, frequency in counts.items()
    ]
    names = ("ids", "terms", "frequencies", "lengths")
    columns = zip(*new, strict=True) if new else ((),) * len(names)
    await connection.execute(_ADD_POSTINGS, dict(zip(names, map(list, columns), strict=True)))
    await connection.execute(
        _ADD_TOTALS, {"id": 1, "documents": len(found), "length": sum(lengths.values())}
    )


async def _neighbours(
    connection: AsyncConnection,
    model: str,
    dimensions: int,
    urns: Sequence[str],
    limit: int,
    exact: bool,
) -> dict[str, list[Neighbour]]:
    asked, own, other = documents.alias("asked"), document_contents, document_contents.alias()
    halfvec = HALFVEC(dimensions)
    near = other.c.vector if exact else cast(other.c.vector, halfvec)
    distance = _inner(near, cast(own.c.vector, halfvec))
    nearest = (
        select(other.c.document_id, distance.label("distance"))
        .where(*_of_model(other, model), other.c.document_id != own.c.document_id)
        .order_by(distance)
        .limit(limit)
        .correlate(own)
        .lateral()
    )
    statement = (
        select(asked.c.urn, documents.c.urn.label("other"), nearest.c.distance)
        .select_from(asked)
        .join(own, own.c.document_id == asked.c.id)
        .outerjoin(nearest, true())
        .outerjoin(documents, documents.c.id == nearest.c.document_id)
        .where(_among(asked.c.urn, urns), *_of_model(own, model))
    )
    found: dict[str, list[Neighbour]] = {}
    for row in await connection.execute(statement):
        others = found.setdefault(row.urn, [])
        if row.other is not None:
            others.append(Neighbour(row.other, _cosine(row.distance)))
    for others in found.values():
        others.sort(key=lambda neighbour: (-neighbour.similarity, neighbour.urn))
    return found


def _search(
    words: _Words, near: _Near | None, filters: SearchFilters, limit: int, exact: bool
) -> Select[Any]:
    """The best by words and the best by vector, each with its content and both scores."""
    ways: list[Select[Any]] = []
    if words.rarities:
        ways.append(words.best(filters, limit))
    if near is not None:
        ways.append(near.best(filters, limit, exact))
    either = union_all(*(way.subquery().select() for way in ways)).subquery()
    found = (
        select(either.c.document_id, func.bool_or(either.c.near).label("near"))
        .group_by(either.c.document_id)
        .subquery()
    )
    content = document_contents.c
    lexical: ColumnElement[Any] = words.score() if words.rarities else null()
    distance: ColumnElement[Any] = null()
    if near is not None:
        distance = case((content.model == near.model, near.distance(exact=True)))
    return (
        select(content.content, found.c.near, lexical.label("lexical"), distance.label("distance"))
        .select_from(document_contents)
        .join(found, content.document_id == found.c.document_id)
    )


def _hnsw(limit: int) -> Sequence[ColumnElement[Any]]:
    """What sets up a walk that goes on until ``limit`` documents pass the filters.

    Slightly out of order, which loses fewer of them; their scores are computed anew anyway.
    """
    view = min(max(_VIEW_MIN, 2 * limit), _VIEW_MAX)
    return (
        func.set_config("hnsw.ef_search", str(view), True),
        func.set_config("hnsw.iterative_scan", "relaxed_order", True),
    )


def _matching(filters: SearchFilters) -> Sequence[ColumnElement[bool]]:
    one = ((documents.c.platform, filters.platforms), (documents.c.domain, filters.domains))
    many = ((documents.c.tags, filters.tags), (documents.c.owners, filters.owners))
    return [_among(column, wanted) for column, wanted in one if wanted] + [
        column.overlap(literal(list(wanted), ARRAY(Text))) for column, wanted in many if wanted
    ]


def _of_model(contents: FromClause, model: str) -> Sequence[ColumnElement[bool]]:
    # Written into the statement: with a parameter the model's index could not be chosen.
    written = literal(model, Text, literal_execute=True)
    return (contents.c.model == written, contents.c.vector.is_not(None))


def _among(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    # An array, so that the statement is the same text for one value and for fifty.
    return column == any_(literal(list(values), ARRAY(Text)))


def _count(limited: Select[Any]) -> ScalarSelect[int]:
    return select(func.count()).select_from(limited.subquery()).scalar_subquery()


def _inner(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[float]:
    return one.op("<#>", return_type=Double())(other)


def _cosine(distance: float) -> float:
    """The cosine of unit vectors from their negative inner product, which halfvec rounds."""
    return max(-1.0, min(1.0, -distance))
