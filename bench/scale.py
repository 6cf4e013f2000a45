"""How fast and how exactly catalogues of any size are searched, and what filling the index takes.

The catalogue is made up (``bench.catalogue``). The first thousand datasets (3,700 texts) are embedded by the
real model. The vectors of the others lie between those of two of these from the same domain, moved
by noise: so many texts would take the better part of an hour to embed, and the shape of the space,
which decides how well graphs of neighbours work, stays that of the model.

Search is timed at the service, one question after the other, no two alike: the question's
embedding, retrieval, ranking, and reading the documents of the page. Nothing is cached. The hub
answers from memory, as it does for callers whose rights are remembered. Recall compares the best
ten by vector with those of an exact comparison of all vectors.

Beside it, what one would put together from a manual: one vector for each dataset in pgvector,
full text search by ``ts_rank_cd``, both lists fused by reciprocal rank in one statement.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
from numpy.typing import NDArray
from pgvector.sqlalchemy import HALFVEC
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import machine
from bench.catalogue import dataset, questions, topic
from dataspoke.adapters.embedders import LocalEmbedder
from dataspoke.adapters.memory.hub import FULL_ACCESS, MemoryHub
from dataspoke.adapters.postgres import migrate
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.vectors import PostgresVectors
from dataspoke.embedded.model import default_directory
from dataspoke.embedded.postgres import Postgres
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.model import Document, SearchFilters, Snapshot, Vocabulary
from dataspoke.knowledge.search import SearchService
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Access, Actor
from dataspoke.ports.vectors import Entry, Vectors
from dataspoke.settings import StoreSettings

Matrix = NDArray[np.float32]

_EMBEDDED = 1_000
_NOISE = 0.35
_BATCH = 250
_DEPTH = 50
_PAGE = 10
_ANY = SearchFilters()
# A quarter of a small server's memory, as tuning guides have it.
_SERVER = {"shared_buffers": "2GB", "maintenance_work_mem": "1GB", "max_wal_size": "8GB"}


class Texts:
    """The vectors of all documents: embedded for some, derived for the others."""

    def __init__(self, documents: Sequence[Document], vectors: Sequence[Matrix]) -> None:
        """``vectors`` holds for each document its own vector and those of its groups."""
        self._vectors = vectors
        self._by_domain: dict[str, list[int]] = {}
        for number in range(len(documents)):
            self._by_domain.setdefault(topic(number).domain, []).append(number)

    @classmethod
    async def embed(cls, count: int, embedder: Embedder, step: Callable[[], None]) -> "Texts":
        documents, vectors = [document(number) for number in range(count)], []
        for one in documents:
            texts = [one.text, *(group.text for group in one.groups)]
            vectors.append(await embedder.embed_documents(texts))
            step()
        return cls(documents, vectors)

    def of(self, number: int, groups: int) -> Matrix:
        """Return the vectors of a document and its groups, one a row."""
        if number < len(self._vectors):
            return self._vectors[number]
        chance = np.random.default_rng([number, 3])
        alike = self._by_domain[topic(number).domain]
        one, other = (self._vectors[alike[int(chance.integers(len(alike)))]] for _ in range(2))
        share = chance.uniform(0.5, 1)
        rows = [0, *(1 + chance.permutation(groups))]
        noise = chance.standard_normal((len(rows), one.shape[1])).astype(np.float32)
        noise *= _NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        mixed = noise + np.stack(
            [
                share * one[row and 1 + (row - 1) % (len(one) - 1)]
                + (1 - share) * other[row and 1 + (row - 1) % (len(other) - 1)]
                for row in rows
            ]
        )
        unit: Matrix = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
        return unit


def document(number: int) -> Document:
    return document_of(Snapshot(dataset(number)), Vocabulary())


class Contender(Protocol):
    """A way of keeping and searching the catalogue."""

    name: str

    async def fill(self, entries: Sequence[Entry]) -> None: ...

    async def filled(self) -> None:
        """Do what the server does by itself some time after a lot has been written."""
        ...

    async def search(self, question: str) -> Sequence[str]:
        """Return the urns of the first page."""
        ...

    async def near(self, vector: Matrix) -> tuple[Sequence[str], Sequence[str]]:
        """Return the best ten by their own vector, and the best ten by a group's."""
        ...

    async def size_mb(self) -> float: ...


class OpenHub(MemoryHub):
    """A hub that shows everything to everybody."""

    async def access(self, actor: Actor, urns: Sequence[str]) -> dict[str, Access]:
        return dict.fromkeys(urns, FULL_ACCESS)


class DataSpoke:
    """DataSpoke's search over one of its stores."""

    def __init__(
        self,
        name: str,
        vectors: Vectors,
        embedder: Embedder,
        size_mb: Callable[[], Awaitable[float]],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = f"DataSpoke on {name}"
        self.size_mb = size_mb
        self.filled = settle
        self._vectors = vectors
        self._model = embedder.model
        self._service = SearchService(OpenHub(), vectors, embedder)
        self._actor = Actor("urn:li:corpuser:bench", "bench")

    async def fill(self, entries: Sequence[Entry]) -> None:
        await self._vectors.upsert(entries)

    async def search(self, question: str) -> Sequence[str]:
        page = await self._service.search(self._actor, question, _ANY, _PAGE, None)
        return [hit.urn for hit in page.hits]

    async def near(self, vector: Matrix) -> tuple[Sequence[str], Sequence[str]]:
        found = await self._vectors.search("", vector, self._model, _ANY, _DEPTH)
        by_own = sorted(found, key=lambda one: -(one.similarity or -1))
        by_group = sorted(found, key=lambda one: -(one.column_similarity or -1))
        return [c.urn for c in by_own[:10]], [c.urn for c in by_group[:10]]


class Plain:
    """pgvector and PostgreSQL's own full text search, fused in SQL."""

    def __init__(self, engine: AsyncEngine, embedder: Embedder, operator: str) -> None:
        self.name = f"pgvector + ts_rank_cd, words joined by {operator}"
        self._engine = engine
        self._embedder = embedder
        self._operator = operator

    @classmethod
    async def prepare(cls, engine: AsyncEngine, dimensions: int) -> None:
        async with engine.begin() as connection:
            for statement in (
                "CREATE TABLE plain (urn text PRIMARY KEY, words tsvector NOT NULL, "
                f"vector halfvec({dimensions}) NOT NULL)",
                "CREATE INDEX ON plain USING gin (words)",
                "CREATE INDEX ON plain USING hnsw (vector halfvec_cosine_ops)",
            ):
                await connection.execute(text(statement))

    async def fill(self, entries: Sequence[Entry]) -> None:
        add = text(
            "INSERT INTO plain VALUES (:urn, to_tsvector('english', :words), :vector)"
        ).bindparams(bindparam("vector", type_=HALFVEC))
        values = [
            {
                "urn": entry.document.urn,
                "words": " ".join(part.words for part in entry.document.parts),
                "vector": entry.vector,
            }
            for entry in entries
        ]
        async with self._engine.begin() as connection:
            await connection.execute(add, values)

    async def filled(self) -> None:
        await _vacuum(self._engine, "plain")

    async def search(self, question: str) -> Sequence[str]:
        vector = await self._embedder.embed_question(question)
        async with self._engine.connect() as connection:
            # As pgvector's own example of hybrid search has it.
            found = await connection.execute(
                _PLAIN, {"question": question, "operator": self._operator, "vector": vector}
            )
            return [row.urn for row in found]

    async def near(self, vector: Matrix) -> tuple[Sequence[str], Sequence[str]]:
        async with self._engine.connect() as connection:
            found = await connection.scalars(_PLAIN_NEAR, {"vector": vector})
            return list(found), []

    async def size_mb(self) -> float:
        return await _size_mb(self._engine, ("plain",))


_PLAIN_NEAR = text("SELECT urn FROM plain ORDER BY vector <=> :vector LIMIT 10").bindparams(
    bindparam("vector", type_=HALFVEC)
)
_PLAIN = text(
    """
    WITH asked AS (
        SELECT replace(plainto_tsquery('english', :question)::text, '&', :operator)::tsquery AS words
    ),
    by_words AS (
        SELECT urn, row_number() OVER (ORDER BY ts_rank_cd(plain.words, asked.words) DESC) AS place
        FROM plain, asked WHERE plain.words @@ asked.words ORDER BY place LIMIT 50
    ),
    by_vector AS (
        SELECT urn, row_number() OVER () AS place
        FROM (SELECT urn FROM plain ORDER BY vector <=> :vector LIMIT 50) AS nearest
    )
    SELECT coalesce(by_words.urn, by_vector.urn) AS urn
    FROM by_words FULL JOIN by_vector ON by_words.urn = by_vector.urn
    ORDER BY coalesce(1.0 / (60 + by_words.place), 0) + coalesce(1.0 / (60 + by_vector.place), 0) DESC
    LIMIT 10
    """
).bindparams(bindparam("vector", type_=HALFVEC))
_INDEX_TABLES = (
    *("documents", "document_contents", "dataset_vectors", "group_vectors"),
    *("postings", "term_counts", "document_totals"),
)


async def _size_mb(engine: AsyncEngine, tables: Sequence[str]) -> float:
    async with engine.connect() as connection:
        sizes = [
            await connection.scalar(text(f"SELECT pg_total_relation_size('{table}')"))
            for table in tables
        ]
    return sum(size or 0 for size in sizes) / 1024**2


async def _vacuum(engine: AsyncEngine, *tables: str) -> None:
    apart = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with apart.connect() as connection:
        await connection.execute(text("SET statement_timeout = 0"))
        for table in tables:
            await connection.execute(text(f"VACUUM (ANALYZE) {table}"))
        await connection.execute(text("CHECKPOINT"))
