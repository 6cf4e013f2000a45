"""How much of what a question needs is in the context that a model would write its SQL from.

The tables are indexed as a hub's would be, and each question is asked as a user would, with a
budget of tokens. A gold table is one that the question's SQL reads, a gold column one that it
names. With ``--observed`` the statements of the questions are those that the catalogue has seen:
of one half of them, chosen by turns, while the other half is asked.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import machine
from bench.questions import Question, columns_of, read_questions, read_tables
from dataspoke.adapters.embedders import LocalEmbedder
from dataspoke.adapters.memory.cache import MemoryCache
from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.catalogue import Dataset, Query
from dataspoke.embedded.model import default_directory
from dataspoke.knowledge.context import ContextService
from dataspoke.knowledge.indexing import IndexService
from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.queries import observed
from dataspoke.knowledge.search import SearchService
from dataspoke.ports.hub import Actor
from dataspoke.quality.model import Alert, DatasetQuality
from dataspoke.urns import table_key

_PLATFORM = "sqlite"
_NOW = datetime(2026, 11, 24, tzinfo=UTC)
# Above any version that indexing gives.
_NEWEST = 2**40


class Unjudged:
    """Stands for quality control that has judged nothing."""

    async def verdicts_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, DatasetQuality]:
        return {}

    async def active_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Sequence[Alert]]:
        return {}


@dataclass(frozen=True, slots=True)
class Score:
    """What one context held; shares are 0 to 1. ``columns`` is None where the SQL names none."""

    tables: float
    columns: float | None
    joined: bool | None
    shown: int
    tokens: int
    seconds: float


class Bench:
    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = {each.urn: each for each in datasets}
        self.hub, self.vectors = MemoryHub(), MemoryVectors()
        self.clock = MemoryClock()
        self.store = MemoryStore(self.clock)
        self.embedder = LocalEmbedder(default_directory())
        cache = MemoryCache(self.clock)
        search = SearchService(self.hub, self.store, self.vectors, self.embedder, cache)
        nothing = Unjudged()
        self.contexts = ContextService(self.hub, self.store, search, nothing, nothing, self.clock)
        self.actor = self.hub.admit("reader", "urn:li:corpuser:reader")

    async def index(self) -> None:
        for dataset in self.datasets.values():
            self.hub.put(dataset)
        async with self.store.transaction() as tx:
            await tx.request_index(list(self.datasets))
        index = IndexService(self.hub, self.store, self.vectors, self.embedder, self.clock)
        while await self.store.index_requests(1):
            await index.reindex(None)

    async def see(self, questions: Sequence[Question]) -> None:
        """Let the catalogue have seen the statements of these questions, and no others."""
        queries: dict[str, list[Query]] = {}
        for question in questions:
            for urn in question.tables:
                queries.setdefault(urn, []).append(Query(question.sql, 1, _NOW))
        tables: dict[str, list[str]] = {}
        for urn in sorted(self.datasets):
            tables.setdefault(table_key(urn), []).append(urn)
        found = observed(self.datasets, queries, tables, {})
        async with self.store.transaction() as tx:
            await tx.save_snapshots(
                {
                    urn: (
                        Snapshot(dataset, joins=found[urn].joins, filters=found[urn].filters),
                        _NEWEST,
                    )
                    for urn, dataset in self.datasets.items()
                }
            )

    async def ask(self, question: Question, budget: int) -> Score:
        begun = time.perf_counter()
        found = await self.contexts.context_for(self.actor, question.text, None, budget)
        seconds = time.perf_counter() - begun
        shown = {table.urn: {column.path for column in table.columns} for table in found.tables}
        gold = columns_of(question, self.datasets)
        tables = len(question.tables & shown.keys()) / len(question.tables)
        held = sum(path in shown.get(urn, ()) for urn, path in gold)
        ends = {frozenset((join.left, join.right)) for join in found.joins}
        joined = {end for pair in ends if pair <= question.tables for end in pair}
        return Score(
            tables,
            held / len(gold) if gold else None,
            joined == question.tables if len(question.tables) > 1 else None,
            len(shown),
            found.tokens,
            seconds,
        )


async def measure(
    datasets: Sequence[Dataset], questions: Sequence[Question], budget: int, *, with_queries: bool
) -> list[Score]:
    """Return a score for each question that reads a known table."""
    bench = Bench(datasets)
    await bench.index()
    asked = [question for question in questions if question.tables]
    halves = [(asked[1::2], asked[::2]), (asked[::2], asked[1::2])]
    scores = []
    for seen, half in halves:
        await bench.see(seen if with_queries else ())
        scores += [await bench.ask(question, budget) for question in track(half, "Asking")]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tables", type=Path, required=True, help="tables of Spider or BEAVER")
    parser.add_argument("--questions", type=Path, required=True, help="questions with their SQL")
    parser.add_argument("--budget", type=int, default=2000, help="tokens of a context")
    parser.add_argument("--observed", action="store_true", help="let half of the SQL be seen")
    options = parser.parse_args()
    datasets = read_tables(options.tables, _PLATFORM)
    questions = read_questions(options.questions, datasets)
    scores = asyncio.run(
        measure(datasets, questions, options.budget, with_queries=options.observed)
    )
    columns = [score.columns for score in scores if score.columns is not None]
    joined = [score.joined for score in scores if score.joined is not None]
    waits = sorted(score.seconds for score in scores)
    table = Table("", "")
    for name, value in (
        ("questions", f"{len(scores):,} of {len(datasets):,} tables"),
        ("gold tables in the context", f"{statistics.mean(s.tables for s in scores):.3f}"),
        ("all of a question's", f"{statistics.mean(s.tables == 1 for s in scores):.3f}"),
        ("gold columns in the context", f"{statistics.mean(columns):.3f}"),
        ("all of a question's", f"{statistics.mean(c == 1 for c in columns):.3f}"),
        ("gold tables joined", f"{statistics.mean(joined):.3f}" if joined else "-"),
        ("tables shown, tokens", f"{statistics.mean(s.shown for s in scores):.1f}, "
         f"{statistics.mean(s.tokens for s in scores):,.0f}"),
        ("p50, p95", f"{statistics.median(waits) * 1000:.0f} ms, "
         f"{waits[int(len(waits) * 0.95)] * 1000:.0f} ms"),
    ):  # fmt: skip
        table.add_row(name, value)
    console = Console()
    console.print(table)
    console.print(machine.described("sqlglot", "onnxruntime"))


if __name__ == "__main__":
    main()
