"""The Vectors port on PostgreSQL: BM25F over a table of postings, pgvector for meaning."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    REAL,
    BigInteger,
    ColumnElement,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateIndex

from dataspoke.adapters.postgres import retrieval, rows
from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.retrieval import (
    COUNTED_UP_TO,
    Form,
    Prepared,
    Scan,
    Space,
    Term,
    Words,
    among,
)
from dataspoke.adapters.postgres.tables import (
    dataset_vectors,
    document_contents,
    document_totals,
    documents,
    group_vectors,
    nearest_index,
    nearest_index_name,
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
_Row = Sequence[Any]

# So many of the nearest column groups are looked at for each dataset that is wanted; more, where
# those of few datasets take all the places.
_WALKED = (3, 16)
# Where the lexical score stands in a row, the others after it.
_LEXICAL = 1 + len(rows.ATTRIBUTES)


def _each(name: str, value: Any) -> ColumnElement[Any]:
    return func.unnest(bindparam(name, type_=ARRAY(value)))


# Removes documents with their postings, and takes them out of the counts.
_named = select(_each("urns", Text).label("urn"), _each("versions", BigInteger).label("version"))
_asked = _named.cte("asked")
_gone = (
    delete(documents)
    .where(documents.c.urn == _asked.c.urn, documents.c.version <= _asked.c.version)
    .returning(documents.c.id, documents.c.length, documents.c.model)
    .cte("gone")
)
_lost = (
    delete(postings)
    .where(postings.c.document_id == _gone.c.id)
    .returning(postings.c.term_id)
    .cte("lost")
)
_losses = (
    select(_lost.c.term_id, func.count().label("documents")).group_by(_lost.c.term_id).cte("losses")
)
_fewer = (
    update(term_counts)
    .where(term_counts.c.id == _losses.c.term_id)
    .values(documents=term_counts.c.documents - _losses.c.documents)
    .returning(term_counts.c.id)
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
    .returning(select(func.array_agg(_gone.c.model.distinct())).scalar_subquery())
)

# A document that is still there is newer than what comes.
_ADD = (
    postgresql.insert(documents)
    .on_conflict_do_nothing(index_elements=["urn"])
    .returning(documents.c.id, documents.c.urn)
)

_new = select(
    _each("ids", BigInteger).label("document_id"),
    _each("terms", Text).label("term"),
    _each("frequencies", REAL).label("frequency"),
    _each("lengths", REAL).label("length"),
).cte("new")
_more = postgresql.insert(term_counts).from_select(
    ["term", "documents", "peak_frequency", "peak_share"],
    select(
        _new.c.term,
        func.count(),
        func.max(_new.c.frequency),
        func.max(_new.c.frequency / _new.c.length),
    ).group_by(_new.c.term),
)
_counted = (
    _more.on_conflict_do_update(
        index_elements=["term"],
        set_={
            "documents": term_counts.c.documents + _more.excluded.documents,
            **{
                name: func.greatest(term_counts.c[name], _more.excluded[name])
                for name in ("peak_frequency", "peak_share")
            },
        },
    )
    .returning(term_counts.c.id, term_counts.c.term)
    .cte("counted")
)
_ADD_POSTINGS = insert(postings).from_select(
    ["document_id", "term_id", "frequency", "length"],
    select(_new.c.document_id, _counted.c.id, _new.c.frequency, _new.c.length).join(
        _counted, _new.c.term == _counted.c.term
    ),
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
        # For what is one statement, or must not be in a transaction.
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
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
            replaced = await _remove(
                connection, {urn: entry.version for urn, entry in newest.items()}
            )
            added = {row.urn: row.id for row in await connection.execute(_ADD, values)}
            if added:
                await _add_contents(connection, {added[urn]: newest[urn] for urn in added})
                await _add_words(connection, {added[urn]: found[urn] for urn in added})
        await self._drop_indexes(replaced - {entry.model for entry in entries})

    async def delete(self, versions: Mapping[str, int]) -> None:
        if versions:
            async with self._writing() as connection:
                models = await _remove(connection, versions)
            await self._drop_indexes(models)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with translated(_PORT):
            async with self._engine.begin() as connection:
                await connection.execute(select(func.pg_advisory_xact_lock(_WRITING)))
                yield connection

    async def _drop_indexes(self, models: frozenset[str]) -> None:
        """Drop the indexes of those of the models that no document uses any more."""
        if not models:
            return
        used = select(documents.c.model).where(among(documents.c.model, sorted(models)))
        with translated(_PORT):
            async with self._autocommit.connect() as connection:
                # Nobody may write meanwhile: a model that comes back must find its indexes.
                await connection.execute(select(func.pg_advisory_lock(_WRITING)))
                try:
                    for model in models - set(await connection.scalars(used.distinct())):
                        for table in (dataset_vectors, group_vectors):
                            name = nearest_index_name(table, model)
                            # Searches go on; those that use it are waited for.
                            await connection.execute(
                                text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
                            )
                finally:
                    await connection.execute(select(func.pg_advisory_unlock(_WRITING)))

    async def versions(self, urns: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
        found = select(documents.c.urn, documents.c.content_hash, documents.c.model).where(
            among(documents.c.urn, urns)
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
        space = None if vector is None or model is None else Space(model, len(vector))
        if not asked and space is None:
            return []
        filtered = retrieval.filtered(filters)
        values: dict[str, Any] = {name: list(getattr(filters, name)) for name in filtered}
        with translated(_PORT):
            known = await self._fetch(retrieval.statistics(filtered), {**values, "asked": asked})
            if not known:
                return []
            stored, length, matching, *_ = known[0]
            words = Words.of((Term(*row[3:]) for row in known if row[3]), stored, length)
            form = Form(filtered, bool(words.terms), space, limit)
            if vector is not None:
                values["vector"] = vector.tolist()
            # At once, on two connections: together they take no longer than the slower one.
            ways = []
            if form.worded:
                ways.append(self._by_words(form, words, values, matching))
            if space is not None:
                ways.append(self._by_vector(form, {**values, **words.values()}, matching))
            found = await asyncio.gather(*ways)
        candidates = {row[0]: _candidate(row) for way in found for row in way}
        return [candidates[urn] for urn in sorted(candidates)]

    async def _by_words(
        self, form: Form, words: Words, values: Mapping[str, Any], matching: int
    ) -> Sequence[_Row]:
        plan = words.plan(matching if matching <= COUNTED_UP_TO else None, form.limit)
        found = await self._fetch(
            retrieval.by_words(form, plan.scan), {**values, **words.values(plan)}
        )
        if plan.settles([row[_LEXICAL] for row in found], form.limit):
            return found
        return await self._fetch(retrieval.by_words(form, Scan.ALL), {**values, **words.values()})

    async def _by_vector(
        self, form: Form, values: Mapping[str, Any], matching: int
    ) -> Sequence[_Row]:
        """Walk through HNSW, further where many groups are of the same datasets.

        Where that does not find enough, because the walk gave up on the filters or because there
        are no more, all are compared.
        """
        if matching > self._exact_up_to:
            for walked in _WALKED:
                found = await self._fetch(retrieval.by_vector(form, walked), values)
                whole, part = (sum(row[place] for row in found) for place in (-2, -1))
                if whole == part == form.limit:
                    return found
                if whole < form.limit:
                    break
        return await self._fetch(retrieval.by_vector(form, None), values)

    async def _fetch(self, statement: Prepared, values: Mapping[str, Any]) -> Sequence[_Row]:
        async with self._autocommit.connect() as connection:
            given = statement.arguments(values)
            return (await connection.exec_driver_sql(statement.text, given)).all()

    async def documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        found = (
            select(documents.c.urn, document_contents.c.content)
            .join(document_contents)
            .where(among(documents.c.urn, urns))
        )
        with translated(_PORT):
            async with self._engine.connect() as connection:
                stored = await connection.execute(found)
                return {row.urn: rows.document(row.content) for row in stored}

    async def entries(self, urns: Sequence[str]) -> Mapping[str, Entry]:
        groups = (
            select(cast(group_vectors.c.vector, ARRAY(REAL)))
            .where(group_vectors.c.document_id == documents.c.id)
            .order_by(group_vectors.c.position)
        )
        found = (
            select(
                documents.c.urn,
                documents.c.version,
                documents.c.model,
                document_contents.c.content,
                cast(dataset_vectors.c.vector, ARRAY(REAL)).label("vector"),
                func.array(groups.scalar_subquery(), type_=ARRAY(REAL, dimensions=2)).label(
                    "groups"
                ),
            )
            .join(document_contents)
            .outerjoin(dataset_vectors)
            .where(among(documents.c.urn, urns))
        )
        with translated(_PORT):
            async with self._engine.connect() as connection:
                stored = await connection.execute(found)
                return {
                    row.urn: Entry(
                        rows.document(row.content),
                        None if row.vector is None else np.asarray(row.vector, np.float32),
                        tuple(np.asarray(vector, np.float32) for vector in row.groups),
                        row.model,
                        row.version,
                    )
                    for row in stored
                }

    async def neighbours(
        self, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Neighbour]]:
        found: dict[str, list[Neighbour]] = {}
        with translated(_PORT):
            async with self._engine.connect() as connection:
                for group in (await connection.execute(self._by_model(urns))).all():
                    exact = group.stored * len(group.urns) <= self._exact_up_to
                    nearest = retrieval.neighbours(group.model, group.dimensions, limit, exact)
                    for row in await connection.execute(nearest, {"urns": group.urns}):
                        others = found.setdefault(row.urn, [])
                        if row.other is not None:
                            others.append(Neighbour(row.other, _cosine(row.cosine) or 0.0))
        for others in found.values():
            others.sort(key=lambda neighbour: (-neighbour.similarity, neighbour.urn))
        return found

    def _by_model(self, urns: Sequence[str]) -> Select[Any]:
        """Return the urns that have a vector, by its model."""
        own = dataset_vectors
        dimensions = func.vector_dims(own.c.vector).label("dimensions")
        asked = (
            select(own.c.model, dimensions, func.array_agg(documents.c.urn).label("urns"))
            .join(documents)
            .where(among(documents.c.urn, urns))
            .group_by(own.c.model, dimensions)
            .subquery()
        )
        stored = (
            select(documents.c.id)
            .where(documents.c.model == asked.c.model)
            .limit(self._exact_up_to + 1)
            .correlate(asked)
            .subquery()
        )
        counted = select(func.count()).select_from(stored).scalar_subquery()
        return select(asked, counted.label("stored"))


async def _remove(connection: AsyncConnection, versions: Mapping[str, int]) -> frozenset[str]:
    """Remove documents that are no newer, and return the models of those."""
    models = await connection.scalar(
        _REMOVE, {"urns": list(versions), "versions": list(versions.values())}
    )
    return frozenset(model for model in models or () if model is not None)


async def _add_contents(connection: AsyncConnection, entries: Mapping[int, Entry]) -> None:
    await connection.execute(
        insert(document_contents),
        [{"document_id": id_, "content": asdict(entry.document)} for id_, entry in entries.items()],
    )
    await _add_vectors(
        connection,
        dataset_vectors,
        [
            {"document_id": id_, "model": entry.model, "vector": entry.vector}
            for id_, entry in entries.items()
            if entry.vector is not None
        ],
    )
    await _add_vectors(
        connection,
        group_vectors,
        [
            {"document_id": id_, "position": position, "model": entry.model, "vector": vector}
            for id_, entry in entries.items()
            for position, vector in enumerate(entry.group_vectors)
        ],
    )


async def _add_vectors(
    connection: AsyncConnection, table: Table, values: Sequence[Mapping[str, Any]]
) -> None:
    for model, dimensions in {(value["model"], len(value["vector"])) for value in values}:
        index = nearest_index(table, model, dimensions)
        if await connection.scalar(select(func.to_regclass(index.name))) is None:
            await connection.execute(CreateIndex(index))
    if values:
        await connection.execute(insert(table), values)


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


def _candidate(row: _Row) -> Candidate:
    lexical, similarity, column_similarity, group = row[_LEXICAL : _LEXICAL + 4]
    return Candidate(
        row[0],
        rows.attributes(row[1:_LEXICAL]),
        lexical,
        _cosine(similarity),
        _cosine(column_similarity),
        group,
    )


def _cosine(value: float | None) -> float | None:
    # Rounded to half precision, equal vectors can come out as more than 1.
    return None if value is None else max(-1.0, min(1.0, value))
