"""The Vectors port on PostgreSQL: BM25F over a table of postings, pgvector for meaning."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateIndex

from dataspoke.adapters.postgres import retrieval, rows
from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.retrieval import Near, Words, among, hnsw, matches
from dataspoke.adapters.postgres.tables import (
    document_contents,
    document_totals,
    documents,
    nearest_index,
    postings,
    term_counts,
)
from dataspoke.knowledge.lexical import frequencies, terms
from dataspoke.knowledge.model import Candidate, Document, Neighbour, SearchFilters
from dataspoke.ports.vectors import Entry

_PORT = "vectors"
# Held by whoever changes the index, until its commit; any number of our own. Nearly all documents
# share some terms, so that writers would wait for each other's counts anyway: here they do so
# before they begin, which leaves nothing to deadlock on.
_WRITING = 7_366_111_003

# Comparing that many vectors one by one takes as long as walking the HNSW index with a filter
# that keeps few of them, and finds the best without fail.
_EXACT_UP_TO = 2_000
# What passes the filters is counted so far: above that the number makes no difference.
_COUNTED_UP_TO = 10_000


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
            .where(among(documents.c.urn, urns))
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
        near = None if vector is None or model is None else Near(model, vector)
        if not asked and near is None:
            return []
        with translated(_PORT):
            async with self._engine.begin() as connection:
                prepared = self._prepared(asked, filters, limit)
                known = (await connection.execute(prepared)).one_or_none()
                if known is None:
                    return []
                words = Words.of(known.documents_with or {}, known.documents, known.length)
                if near is None and not words.rarities:
                    return []
                exact = known.matching <= self._exact_up_to
                matching = known.matching if known.matching <= _COUNTED_UP_TO else None
                shortcut = words.shortcut(filters, matching, limit)

                find = retrieval.search(words, near, filters, limit, shortcut, exact)
                found = (await connection.execute(find)).all()
                ranks = [row.rank for row in found if row.by_words]
                unsettled = shortcut is not None and not shortcut.settles(ranks, limit)
                # The walk gave up on the filters, or few documents have such a vector.
                walked = near is not None and not exact
                short = walked and sum(row.by_vector for row in found) < limit
                if unsettled or short:
                    again = None if unsettled else shortcut
                    find = retrieval.search(words, near, filters, limit, again, exact or short)
                    found = (await connection.execute(find)).all()
        candidates = (
            Candidate(
                row.content["urn"],
                rows.document(row.content).attributes,
                row.rank,
                None if row.distance is None else _cosine(row.distance),
            )
            for row in found
        )
        return sorted(candidates, key=lambda candidate: candidate.urn)

    async def documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        return {urn: entry.document for urn, entry in (await self.entries(urns)).items()}

    async def entries(self, urns: Sequence[str]) -> Mapping[str, Entry]:
        found = (
            select(
                documents.c.urn,
                documents.c.version,
                document_contents.c.content,
                document_contents.c.model,
                document_contents.c.vector,
            )
            .join(document_contents)
            .where(among(documents.c.urn, urns))
        )
        with translated(_PORT):
            async with self._engine.connect() as connection:
                stored = await connection.execute(found)
                return {
                    row.urn: Entry(
                        rows.document(row.content),
                        None if row.vector is None else np.asarray(row.vector, np.float32),
                        (),
                        row.model,
                        row.version,
                    )
                    for row in stored
                }

    def _prepared(self, asked: Sequence[str], filters: SearchFilters, limit: int) -> Select[Any]:
        """Return what a search depends on; running it sets up HNSW for the transaction."""
        conditions = matches(filters)
        passing = select(documents.c.id).where(*conditions).limit(_COUNTED_UP_TO + 1)
        matching = _count(passing) if conditions else document_totals.c.documents
        counted = select(func.json_object_agg(term_counts.c.term, term_counts.c.documents)).where(
            among(term_counts.c.term, asked), term_counts.c.documents > 0
        )
        return select(
            *hnsw(limit),
            matching.label("matching"),
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
                    exact = group.stored * len(group.urns) <= self._exact_up_to
                    nearest = retrieval.neighbours(
                        group.model, group.dimensions, group.urns, limit, exact
                    )
                    for row in await connection.execute(nearest):
                        others = found.setdefault(row.urn, [])
                        if row.other is not None:
                            others.append(Neighbour(row.other, _cosine(row.distance)))
        for others in found.values():
            others.sort(key=lambda neighbour: (-neighbour.similarity, neighbour.urn))
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
            .where(among(documents.c.urn, urns), own.c.model.is_not(None))
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
        return select(*hnsw(limit), asked, _count(stored).label("stored"))


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


def _count(limited: Select[Any]) -> ScalarSelect[int]:
    return select(func.count()).select_from(limited.subquery()).scalar_subquery()


def _cosine(distance: float) -> float:
    # Rounded to half precision, equal vectors can come out as more than 1.
    return max(-1.0, min(1.0, -distance))
