"""How well search finds the tables that a question needs.

Reads tables and questions in the formats of Spider (and BIRD, whose files have the same form, with
the query under `SQL`) or BEAVER, makes all tables one catalogue, indexes it and asks each question
with the product's own services, on adapters in memory and with the sentence model. Foreign keys are
declared to the catalogue; the queries of the questions are not shown to it.

The tables that answer a question are BEAVER's `gold_tables`, or those of the question's database
that its query reads. Gains are 0 or 1. nDCG@10 is over the first ten, the ideal one has min(10, n)
of the n tables that answer in front; recall@5 is the share of the n tables among the first five;
MRR@10 is the reciprocal place of the first one, 0 behind the tenth. All are means over questions.

Beside search stand what it is made of, each over the same index: BM25F alone, the vectors of whole
datasets alone, and reciprocal-rank fusion of these two (k = 60, as Cormack, Clarke and Büttcher
2009). `--out` gets one line of JSON for each question, in order, with the first tables of search:
{"question": ..., "ranked": ["database.table", ...]}.
"""

import argparse
import asyncio
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import machine
from bench.questions import Question, read_questions, read_tables
from dataspoke.adapters.embedders import LocalEmbedder
from dataspoke.adapters.memory.cache import MemoryCache
from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.catalogue import Dataset
from dataspoke.embedded.model import default_directory
from dataspoke.knowledge.indexing import IndexService
from dataspoke.knowledge.model import Candidate, SearchFilters
from dataspoke.knowledge.search import MAX_QUESTION_CHARACTERS, SearchService
from dataspoke.knowledge.vocabulary import learn
from dataspoke.ports.embedder import Embedder
from dataspoke.urns import dataset_name

_PLATFORM = "postgres"
_FIRST = 20
_RRF_K = 60
_PRODUCT = "DataSpoke"
_NO_FILTERS = SearchFilters()


class _Retrieval(MemoryVectors):
    """The index, with what the first look of a search brought kept for the peers."""

    def __init__(self) -> None:
        super().__init__()
        self.retrieved: Sequence[Candidate] | None = None

    async def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        found = await super().search(text, vector, model, filters, limit)
        if self.retrieved is None:
            self.retrieved = found
        return found


class Bench:
    """A catalogue in memory, its index, and search on it."""

    def __init__(self, embedder: Embedder) -> None:
        clock = MemoryClock()
        self._hub, self._store, self._vectors = MemoryHub(), MemoryStore(clock), _Retrieval()
        self._index = IndexService(self._hub, self._store, self._vectors, embedder, clock)
        self._search = SearchService(
            self._hub, self._store, self._vectors, embedder, MemoryCache(clock)
        )
        self._actor = self._hub.admit("bench", "urn:li:corpuser:bench")

    async def index(self, tables: Sequence[Dataset]) -> None:
        for dataset in tables:
            self._hub.put(dataset)
        async with self._store.transaction() as tx:
            await tx.save_vocabulary(learn(tables, {}))
            await tx.request_index([dataset.urn for dataset in tables])
        while await self._store.index_requests(1, background=False):
            await self._index.reindex(None)

    async def ask(self, question: str) -> Mapping[str, Sequence[str]]:
        """Return the urns that each way of ranking brings, the best first."""
        self._vectors.retrieved = None
        page = await self._search.search(
            self._actor, question[:MAX_QUESTION_CHARACTERS], _NO_FILTERS, _FIRST, None
        )
        retrieved = self._vectors.retrieved or ()
        words = _ordered({c.urn: c.lexical for c in retrieved})
        meaning = _ordered({c.urn: c.similarity for c in retrieved})
        fused: dict[str, float | None] = defaultdict(float)
        for urns in (words, meaning):
            for place, urn in enumerate(urns, start=1):
                fused[urn] = (fused[urn] or 0) + 1 / (_RRF_K + place)
        return {
            _PRODUCT: [hit.urn for hit in page.hits],
            "BM25F": words,
            "vectors": meaning,
            "RRF": _ordered(fused),
        }


def _ordered(scores: Mapping[str, float | None]) -> list[str]:
    found = [(-score, urn) for urn, score in scores.items() if score is not None]
    return [urn for _, urn in sorted(found)]


@dataclass(slots=True)
class Tally:
    """Sums over questions."""

    questions: int = 0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, ranked: Sequence[str], answers: frozenset[str]) -> None:
        self.questions += 1
        self.sums["nDCG@10"] += ndcg(ranked, answers)
        self.sums["recall@5"] += len(answers.intersection(ranked[:5])) / len(answers)
        self.sums["MRR@10"] += next(
            (1 / place for place, urn in enumerate(ranked[:10], start=1) if urn in answers), 0
        )


def ndcg(ranked: Sequence[str], answers: frozenset[str], first: int = 10) -> float:
    gained = sum(_gain(place) for place, urn in enumerate(ranked[:first]) if urn in answers)
    return gained / sum(map(_gain, range(min(first, len(answers)))))


def _gain(place: int) -> float:
    return 1 / math.log2(place + 2)


@dataclass(slots=True)
class Outcome:
    """What came of all questions: a tally for each way of ranking, and the ranks of search."""

    tallies: dict[str, Tally]
    ranked: list[Sequence[str]]
    indexing_s: float
    asking_s: float


async def measure(
    tables: Sequence[Dataset],
    questions: Sequence[Question],
    embedder: Embedder,
    console: Console,
) -> Outcome:
    bench = Bench(embedder)
    began = time.perf_counter()
    await bench.index(tables)
    indexed = time.perf_counter()
    outcome = Outcome(defaultdict(Tally), [], indexed - began, 0.0)
    for question in track(questions, "Asking", console=console, transient=True):
        found = await bench.ask(question.text)
        for way, ranked in found.items() if question.tables else ():
            outcome.tallies[way].add(ranked, question.tables)
        outcome.ranked.append(found[_PRODUCT])
    outcome.asking_s = time.perf_counter() - indexed
    return outcome


def _report(outcome: Outcome, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for way in outcome.tallies:
        table.add_column(way, justify="right")
    for metric in ("nDCG@10", "recall@5", "MRR@10"):
        means = (tally.sums[metric] / tally.questions for tally in outcome.tallies.values())
        table.add_row(metric, *(f"{mean:.4f}" for mean in means))
    console.print(table)
    console.print(
        f"Indexed in {outcome.indexing_s:.0f} s, asked in {outcome.asking_s:.0f} s, in memory."
    )
    console.print(machine.described("numpy", "onnxruntime", "sqlglot"), style="dim")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.search",
        description="Scores search on questions whose tables are known.",
    )
    parser.add_argument("--tables", type=Path, required=True, help="Spider's, BIRD's or BEAVER's")
    parser.add_argument("--questions", type=Path, required=True, help="the questions about them")
    parser.add_argument("--out", type=Path, help="gets the ranks, a line of JSON for a question")
    chosen = parser.parse_args(arguments)
    console = Console()
    embedder = LocalEmbedder(default_directory())
    tables = read_tables(chosen.tables, _PLATFORM)
    questions = read_questions(chosen.questions, tables)
    outcome = asyncio.run(measure(tables, questions, embedder, console))
    scored = sum(bool(question.tables) for question in questions)
    _report(outcome, f"{scored:,} questions on {len(tables):,} tables", console)
    if scored < len(questions):
        console.print(f"{len(questions) - scored:,} questions name no table that is known.")
    if chosen.out is not None:
        lines = (
            json.dumps({"question": question.text, "ranked": [dataset_name(urn) for urn in ranked]})
            for question, ranked in zip(questions, outcome.ranked, strict=True)
        )
        chosen.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
