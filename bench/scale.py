"""How fast and how exactly catalogues of any size are searched, and what filling the index takes.

The catalogue is made up (``bench.catalogue``). The first thousand datasets, 3,700 texts, are
embedded by the real model. The vectors of the others are derived from these: one of the same
domain, moved by a part of the difference of two others and by a little noise. To embed all would
take the better part of an hour, and the directions in which texts differ, which decide how well
graphs of neighbours work, stay those of the model.

Search is timed at the service, one question after the other, no two alike: the question's
embedding, retrieval, ranking, and reading the documents of the page. No answer is cached. The hub
answers from memory, as it does for callers whose rights are remembered. Recall holds the best ten
by vector to those of a comparison with all vectors.

Beside it stands what one would put together from a manual: one vector for each dataset in pgvector
and full text search by ``ts_rank_cd``, both lists fused by reciprocal rank in one statement.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
from numpy.typing import NDArray
from pgvector.sqlalchemy import HALFVEC
from pydantic import SecretStr
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import machine
from bench.catalogue import dataset, questions, topic
from dataspoke.adapters.embedders import LocalEmbedder
from dataspoke.adapters.memory.cache import MemoryCache
from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import FULL_ACCESS, MemoryHub
from dataspoke.adapters.postgres import migrate
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.postgres.vectors import PostgresVectors
from dataspoke.adapters.weaviate import WeaviateVectors
from dataspoke.embedded.model import default_directory
from dataspoke.embedded.postgres import Postgres
from dataspoke.embedded.weaviate import Weaviate
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.model import Candidate, Document, SearchFilters, Snapshot, Vocabulary
from dataspoke.knowledge.search import SearchService
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Access, Actor
from dataspoke.ports.store import Store
from dataspoke.ports.vectors import Entry, Vectors
from dataspoke.settings import SearchSettings, StoreSettings, VectorsSettings

Matrix = NDArray[np.float32]

_EMBEDDED = 1_000
# How far derived vectors lie from one that is real, in differences of two that are, and in noise.
_MOVED = (0.2, 0.7)
_NOISE = 0.15
_BATCH = 250
_DEPTH = 100
_PAGE = 10
_ANY = SearchFilters()
_WARMING, _TIMED, _COMPARED = 50, 500, 100
_REFERENCE = "pgvector + full text, any word"
# Vacuuming takes longer than what is served.
_TIMEOUT_S = 1800
# A quarter of a small server's memory, as tuning guides have it.
_SERVER = {"shared_buffers": "2GB", "maintenance_work_mem": "1GB", "max_wal_size": "8GB"}


class Texts:
    """The vectors of all documents: embedded for some, derived for the others."""

    def __init__(self, documents: Sequence[Document], vectors: Sequence[Matrix]) -> None:
        """``vectors`` holds for each document its own vector and those of its groups."""
        self._vectors = vectors
        self.count = sum(map(len, vectors))
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
        near = self._by_domain[topic(number).domain]
        elsewhere = self._by_domain[str(chance.choice(list(self._by_domain)))]
        one, two, three = (
            self._vectors[some[int(chance.integers(len(some)))]]
            for some in (near, elsewhere, elsewhere)
        )
        noise = chance.standard_normal((1 + groups, one.shape[1])).astype(np.float32)
        noise *= _NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        moved = _rows(two, groups) - _rows(three, groups)
        mixed = _rows(one, groups) + chance.uniform(*_MOVED) * moved + noise
        unit: Matrix = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
        return unit


def _rows(vectors: Matrix, groups: int) -> Matrix:
    """Return the first vector and so many of the others, repeated where they are fewer."""
    rows: Matrix = vectors[[0, *(1 + n % (len(vectors) - 1) for n in range(groups))]]
    return rows


def document(number: int) -> Document:
    return document_of(Snapshot(dataset(number)), Vocabulary())


class Contender(Protocol):
    """A way of keeping and searching the catalogue."""

    async def count(self) -> int:
        """Return how many documents it keeps."""
        ...

    async def fill(self, entries: Sequence[Entry]) -> None: ...

    async def settle(self) -> None:
        """Do what the server does by itself some time after much has been written."""
        ...

    async def search(self, question: str) -> Sequence[str]:
        """Return the urns of the first page."""
        ...

    async def near(self, vector: Matrix) -> tuple[Sequence[str], Sequence[str]]:
        """Return the best ten by their own vector, and the best ten by one of a column group."""
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
        vectors: Vectors,
        store: Store,
        embedder: Embedder,
        size_mb: Callable[[], Awaitable[float]],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self._vectors = vectors
        self._model = embedder.model
        self._size_mb = size_mb
        self._settle = settle
        uncached = SearchSettings(cache_s=0)
        self._service = SearchService(
            OpenHub(), store, vectors, embedder, MemoryCache(MemoryClock()), uncached
        )
        self._actor = Actor("urn:li:corpuser:bench", "bench")

    async def count(self) -> int:
        return await self._vectors.count()

    async def fill(self, entries: Sequence[Entry]) -> None:
        await self._vectors.upsert(entries)

    async def settle(self) -> None:
        await self._settle()

    async def search(self, question: str) -> Sequence[str]:
        page = await self._service.search(self._actor, question, _ANY, _PAGE, None)
        return [hit.urn for hit in page.hits]

    async def near(self, vector: Matrix) -> tuple[Sequence[str], Sequence[str]]:
        found = await self._vectors.search("", vector, self._model, _ANY, _DEPTH)

        def best(score: Callable[[Candidate], float | None]) -> Sequence[str]:
            ordered = sorted(found, key=lambda candidate: -(score(candidate) or -1))
            return [candidate.urn for candidate in ordered[:_PAGE]]

        return best(lambda c: c.similarity), best(lambda c: c.column_similarity)

    async def size_mb(self) -> float:
        return await self._size_mb()


class Plain:
    """pgvector and PostgreSQL's own full text search, fused in SQL; any word of the question."""

    _operator = "|"

    def __init__(self, engine: AsyncEngine, embedder: Embedder) -> None:
        self._engine = engine
        self._embedder = embedder

    async def prepare(self) -> None:
        async with self._engine.begin() as connection:
            if await connection.scalar(text("SELECT to_regclass('plain')")) is None:
                vector = f"halfvec({self._embedder.dimensions}) NOT NULL"
                for statement in (
                    f"CREATE TABLE plain (urn text PRIMARY KEY, words tsvector, vector {vector})",
                    "CREATE INDEX ON plain USING gin (words)",
                    "CREATE INDEX ON plain USING hnsw (vector halfvec_cosine_ops)",
                ):
                    await connection.execute(text(statement))

    async def count(self) -> int:
        async with self._engine.connect() as connection:
            return await connection.scalar(text("SELECT count(*) FROM plain")) or 0

    async def fill(self, entries: Sequence[Entry]) -> None:
        values = [
            {
                "urn": entry.document.urn,
                "words": " ".join(part.words for part in entry.document.parts),
                "vector": entry.vector,
            }
            for entry in entries
        ]
        async with self._engine.begin() as connection:
            await connection.execute(_PLAIN_ADD, values)

    async def settle(self) -> None:
        await _vacuum(self._engine, ("plain",))

    async def search(self, question: str) -> Sequence[str]:
        vector = await self._embedder.embed_question(question)
        asked = {"question": question, "operator": self._operator, "vector": vector}
        async with self._engine.connect() as connection:
            return list(await connection.scalars(_PLAIN, asked))

    async def near(self, vector: Matrix) -> tuple[Sequence[str], Sequence[str]]:
        async with self._engine.connect() as connection:
            return list(await connection.scalars(_PLAIN_NEAR, {"vector": vector})), []

    async def size_mb(self) -> float:
        return await _size_mb(self._engine, ("plain",))


class PlainAllWords(Plain):
    """The same, with the same table, by documents that hold all words of the question."""

    _operator = "&"

    async def count(self) -> int:
        return 1  # the other one fills it


_VECTOR = bindparam("vector", type_=HALFVEC)
_PLAIN_ADD = text(
    "INSERT INTO plain VALUES (:urn, to_tsvector('english', :words), :vector)"
).bindparams(_VECTOR)
_PLAIN_NEAR = text("SELECT urn FROM plain ORDER BY vector <=> :vector LIMIT 10").bindparams(_VECTOR)
# As pgvector's own example of hybrid search has it.
_PLAIN = text(
    """
    WITH given AS (
        SELECT plainto_tsquery('english', :question)::text AS all_words
    ),
    asked AS (SELECT replace(all_words, '&', :operator)::tsquery AS words FROM given),
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
    ORDER BY coalesce(1.0 / (60 + by_words.place), 0)
        + coalesce(1.0 / (60 + by_vector.place), 0) DESC
    LIMIT 10
    """
).bindparams(_VECTOR)
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


async def _vacuum(engine: AsyncEngine, tables: Sequence[str]) -> None:
    apart = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with apart.connect() as connection:
        for table in tables:
            await connection.execute(text(f"VACUUM (ANALYZE) {table}"))


@dataclass
class Measured:
    """What was seen of one contender. ``filled`` tells how many documents it took in."""

    name: str
    filled: int = 0
    fill_s: float = 0.0
    size_mb: float = 0.0
    latencies_ms: Sequence[float] = ()
    recall: float = 0.0
    group_recall: float | None = None
    other_load: float = 0.0

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.latencies_ms, share))


class Exact:
    """All vectors in memory, to compare every one of them."""

    def __init__(self) -> None:
        self._urns: list[str] = []
        self._own: list[Matrix] = []
        self._groups: list[Matrix] = []

    def add(self, entry: Entry) -> None:
        assert entry.vector is not None  # noqa: S101  all are embedded here
        self._urns.append(entry.document.urn)
        self._own.append(entry.vector)
        self._groups.append(np.stack(entry.group_vectors))

    def best(self, asked: Matrix) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
        """Yield for each question the best ten by their own vector, and by one of a group."""
        firsts = np.cumsum([0, *(len(groups) for groups in self._groups[:-1])])
        own, groups = np.stack(self._own), np.concatenate(self._groups)
        for vector in asked:
            similar = (own @ vector, np.maximum.reduceat(groups @ vector, firsts))
            whole, part = (
                frozenset(self._urns[n] for n in np.argpartition(-by, _PAGE)[:_PAGE])
                for by in similar
            )
            yield whole, part


async def fill(
    contenders: Mapping[str, Contender],
    measured: Mapping[str, Measured],
    texts: Texts,
    count: int,
    model: str,
    step: Callable[[], None],
) -> Exact:
    """Give those that are empty the same entries; what making these takes is not counted."""
    exact = Exact()
    empty = [name for name, contender in contenders.items() if not await contender.count()]
    for start in range(0, count, _BATCH):
        entries = []
        for number in range(start, min(count, start + _BATCH)):
            one = document(number)
            own, *groups = texts.of(number, len(one.groups))
            entries.append(Entry(one, own, tuple(groups), model, 1))
            exact.add(entries[-1])
            step()
        for name in empty:
            began = time.perf_counter()
            await contenders[name].fill(entries)
            measured[name].fill_s += time.perf_counter() - began
            measured[name].filled += len(entries)
    for name in empty:
        await contenders[name].settle()
    return exact


async def ask(
    contender: Contender,
    seen: Measured,
    embedder: Embedder,
    exact: Exact,
    asked: Sequence[str],
    step: Callable[[], None],
) -> None:
    """Time the questions, after some that warm up, and hold what is near them to the exact."""
    warming, timed = asked[:_WARMING], asked[_WARMING:]
    for question in warming:
        await contender.search(question)
    load, latencies_ms = Load(), []
    for question in timed:
        began = time.perf_counter()
        await contender.search(question)
        latencies_ms.append((time.perf_counter() - began) * 1000)
        step()
    seen.latencies_ms, seen.other_load = latencies_ms, load.of_others()
    vectors = np.stack([await embedder.embed_question(question) for question in timed[:_COMPARED]])
    shares = []
    for vector, best in zip(vectors, exact.best(vectors), strict=True):
        near = await contender.near(vector)
        shares.append([len(b.intersection(n)) / _PAGE for b, n in zip(best, near, strict=True)])
    seen.recall, seen.group_recall = np.mean(shares, axis=0).tolist()
    seen.size_mb = await contender.size_mb()


class Load:
    """What the machine's processors do from here on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy_s, self._own_s = _busy_s(), _own_s()

    def of_others(self) -> float:
        """Return how many processors other work has kept busy."""
        elapsed_s = time.perf_counter() - self._began
        return max(0.0, (_busy_s() - self._busy_s - (_own_s() - self._own_s)) / elapsed_s)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0))


def _own_s() -> float:
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


@asynccontextmanager
async def open_contenders(
    kinds: Sequence[str], folder: Path, embedder: Embedder
) -> AsyncIterator[Mapping[str, Contender]]:
    """Yield all contenders on servers of this process's own."""
    contenders: dict[str, Contender] = {}
    async with AsyncExitStack() as stack:
        server = Postgres(folder / "postgres", options=_SERVER)
        stack.callback(server.stop)
        await migrate.upgrade(server.url)
        engine = create_engine(
            StoreSettings(url=SecretStr(server.url), statement_timeout_s=_TIMEOUT_S)
        )
        stack.push_async_callback(engine.dispose)
        store = PostgresStore(engine)
        if "postgres" in kinds:
            contenders["DataSpoke on PostgreSQL"] = DataSpoke(
                PostgresVectors(engine),
                store,
                embedder,
                lambda: _size_mb(engine, _INDEX_TABLES),
                lambda: _vacuum(engine, _INDEX_TABLES),
            )
        if "weaviate" in kinds:
            weaviate = Weaviate(folder / "weaviate")
            stack.callback(weaviate.stop)
            settings = VectorsSettings.model_validate(
                {"url": weaviate.url, "grpc_port": weaviate.grpc_port, "api_key": weaviate.key}
            )
            vectors = await stack.enter_async_context(WeaviateVectors(settings))
            contenders["DataSpoke on Weaviate"] = DataSpoke(
                vectors, store, embedder, lambda: _folder_mb(folder / "weaviate"), _nothing
            )
        plain = Plain(engine, embedder)
        await plain.prepare()
        contenders[_REFERENCE] = plain
        contenders["pgvector + full text, all words"] = PlainAllWords(engine, embedder)
        yield contenders


async def _nothing() -> None:
    """Weaviate needs no vacuum."""


async def _folder_mb(folder: Path) -> float:
    files = await asyncio.to_thread(lambda: [f for f in folder.rglob("*") if f.is_file()])
    return sum(file.stat().st_size for file in files) / 1024**2


async def measure(
    count: int,
    kinds: Sequence[str],
    folder: Path,
    embedder: Embedder,
    texts: Texts,
    console: Console,
) -> Mapping[str, Measured]:
    """Return what was seen of each contender with so many datasets."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    async with open_contenders(kinds, folder, embedder) as contenders:
        measured = {name: Measured(name) for name in contenders}
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"{count:,} datasets: filling", total=count)
            exact = await fill(
                contenders, measured, texts, count, embedder.model, lambda: progress.advance(task)
            )
            asked = questions(_WARMING + _TIMED)
            for name, contender in contenders.items():
                task = progress.add_task(f"{count:,} datasets: asking {name}", total=_TIMED)
                await ask(
                    contender,
                    measured[name],
                    embedder,
                    exact,
                    asked,
                    lambda task=task: progress.advance(task),  # type: ignore[misc]
                )
    return measured


def show(count: int, measured: Mapping[str, Measured], console: Console) -> None:
    table = Table(title=f"{count:,} datasets", title_justify="left")
    table.add_column("")
    for name in measured:
        table.add_column(name, justify="right")
    reference = measured[_REFERENCE].quantile(0.5)
    rows: Mapping[str, Callable[[Measured], str]] = {
        "p50, ms": lambda seen: f"{seen.quantile(0.5):,.1f}",
        "p95, ms": lambda seen: f"{seen.quantile(0.95):,.1f}",
        "p99, ms": lambda seen: f"{seen.quantile(0.99):,.1f}",
        "p50, ratio *": lambda seen: f"{seen.quantile(0.5) / reference:.2f}",
        "recall@10": lambda seen: f"{seen.recall:.3f}",
        "recall@10, column groups": lambda seen: (
            f"{seen.group_recall:.3f}" if seen.group_recall else ""
        ),
        "index filled, s": lambda seen: f"{seen.fill_s:,.0f}" if seen.filled else "",
        "datasets a second": lambda seen: (
            f"{seen.filled / seen.fill_s:,.0f}" if seen.filled else ""
        ),
        "size, MiB": lambda seen: f"{seen.size_mb:,.0f}",
        "load †": lambda seen: f"{seen.other_load:.1f}",
    }
    for name, shown in rows.items():
        table.add_row(name, *map(shown, measured.values()))
    console.print(table)


async def run(counts: Sequence[int], kinds: Sequence[str], folder: Path, console: Console) -> None:
    embedder = LocalEmbedder(default_directory())
    embedded = min(max(counts), _EMBEDDED)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"embedding {embedded:,} datasets", total=embedded)
        began = time.perf_counter()
        texts = await Texts.embed(embedded, embedder, lambda: progress.advance(task))
    console.print(
        f"{texts.count:,} texts embedded in {time.perf_counter() - began:,.0f} s", style="dim"
    )
    for count in counts:
        show(
            count,
            await measure(count, kinds, folder / str(count), embedder, texts, console),
            console,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument(
        "--datasets", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="how many"
    )
    parser.add_argument(
        "--vectors", choices=("postgres", "weaviate", "both"), default="postgres", help="the stores"
    )
    parser.add_argument(
        "--data-dir", type=Path, help="keep the filled servers here, and use those that are there"
    )
    chosen = parser.parse_args(arguments)
    console = Console()
    kinds = ("postgres", "weaviate") if chosen.vectors == "both" else (chosen.vectors,)
    with tempfile.TemporaryDirectory(prefix="dataspoke-bench-") as temporary:
        folder = chosen.data_dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(run(chosen.datasets, kinds, folder, console))
    console.print(
        "* of the medians, beside pgvector with any word. † processors that other work kept busy.",
        style="dim",
    )
    console.print(machine.described("numpy", "onnxruntime", "sqlalchemy", "asyncpg"), style="dim")
    return 0


if __name__ == "__main__":
    sys.exit(main())
