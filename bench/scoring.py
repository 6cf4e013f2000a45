"""How long it takes to score a new point of each of many stored series.

The series are daily, a year long and of all metrics, ten to a dataset. Their monitors are fitted by
the code of the live scan, in its pool of processes, and stored in an embedded PostgreSQL; many
series share the history of one that was fitted, as fits would take hours. Scoring then does for
each batch of datasets what a scan does with stored models: read them, judge the new point in the
pool, and save result and model in one transaction. Fits are stated apart.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import machine
from dataspoke.adapters.postgres import migrate
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.process_pool import ProcessPool
from dataspoke.embedded.postgres import Postgres
from dataspoke.quality.detectors import WATCHES, SeriesMonitor, basis_of
from dataspoke.quality.model import Check, Judgement, Metric, Point, Result, Status, StoredModel
from dataspoke.settings import StoreSettings

DAYS = 365
CHECKS = 10
BATCH = 24
PROCESSES = 2
_CONCURRENCY = 4
_DAY = timedelta(days=1)
_NOW = datetime(2026, 11, 24, tzinfo=UTC)
_TIMEOUT = timedelta(minutes=10)
_BASIS = basis_of(None, ())
_SHARES = (Metric.NULL_SHARE, Metric.UNIQUE_SHARE)
_METRICS = tuple(Metric)
# Of the whole, and of a column where there would be two of a metric.
CHECKS_OF_A_DATASET = tuple(
    Check(_METRICS[n % len(_METRICS)], None if n < len(_METRICS) else f"c{n}")
    for n in range(CHECKS)
)


def values_of(check: Check, seed: int, days: int) -> list[float]:
    """Return a healthy series with a week in it, in the size of its metric."""
    drawn = np.random.default_rng(seed)
    level = 0.2 if check.metric in _SHARES else float(10 ** drawn.uniform(0.5, 6))
    week = 1 + 0.2 * np.sin(np.arange(days) * 2 * np.pi / 7 + drawn.uniform(0, 6))
    return [float(v) for v in level * np.abs(week + drawn.normal(0, 0.05, days))]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The state of a monitor, the value to come next, and the seconds on a core that it took."""

    check: Check
    state: bytes
    next_value: float
    seconds: float


def fit(check: Check, seed: int) -> Fitted:
    """Return a monitor that has seen a year, and has been asked of the last day."""
    assert check.metric is not None  # noqa: S101  there are no rules among these
    began = time.process_time()
    *values, coming = values_of(check, seed, DAYS + 1)
    monitor = SeriesMonitor(WATCHES[check.metric])
    points = [Point(_NOW - (DAYS - day) * _DAY, value) for day, value in enumerate(values)]
    for point in points[:-1]:
        monitor.learn(point)
    monitor.observe(points[-1])
    state = monitor.state()
    return Fitted(check, state, coming, time.process_time() - began)


def score(
    models: Sequence[StoredModel], values: Sequence[float]
) -> tuple[list[tuple[Judgement, bytes]], float]:
    """Return the judgement of each next point with the state after it, and the seconds it took."""
    began = time.process_time()
    judged = []
    for model, value in zip(models, values, strict=True):
        assert model.check.metric is not None  # noqa: S101  there are no rules among these
        monitor = SeriesMonitor.restore(model.state, WATCHES[model.check.metric])
        judged.append((monitor.observe(Point(_NOW, value)), monitor.state()))
    return judged, time.process_time() - began


def urn_of(number: int) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,bench.t{number:06},PROD)"


@dataclass(slots=True)
class Scored:
    """What came of scoring: seconds on the clock and on the pool's cores, and how many failed."""

    series: int = 0
    wall_s: float = 0.0
    judging_s: float = 0.0
    failing: int = 0


class Bench:
    """The stored series and what scores them."""

    def __init__(self, store: PostgresStore, pool: ProcessPool, series: int) -> None:
        self._store = store
        self._pool = pool
        self._urns = [urn_of(number) for number in range(series // CHECKS)]
        self._fitted: list[list[Fitted]] = []

    async def fit(self, datasets: int) -> tuple[float, float]:
        """Fit the series of some datasets; returns seconds on the clock and on a core."""
        began = time.perf_counter()
        every = await asyncio.gather(
            *(
                self._pool.run(_TIMEOUT, fit, check, number * CHECKS + place)
                for number in range(datasets)
                for place, check in enumerate(CHECKS_OF_A_DATASET)
            )
        )
        self._fitted = [every[at : at + CHECKS] for at in range(0, len(every), CHECKS)]
        return time.perf_counter() - began, sum(one.seconds for one in every)

    async def fill(self) -> int:
        """Store a model for each series; returns how many bytes the states take."""
        size = 0
        for start in range(0, len(self._urns), BATCH):
            models = [
                StoredModel(urn, one.check, _BASIS, one.state, _NOW - _DAY, _NOW - _DAY)
                for number, urn in enumerate(self._urns[start : start + BATCH], start)
                for one in self._fitted[number % len(self._fitted)]
            ]
            size += sum(len(model.state) for model in models)
            async with self._store.transaction() as tx:
                await tx.save_models(models)
        return size

    async def score(self) -> Scored:
        """Score the next point of every series."""
        scored = Scored()
        starts = iter(range(0, len(self._urns), BATCH))

        async def work() -> None:
            for start in starts:
                await self._score(range(start, min(start + BATCH, len(self._urns))), scored)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(_CONCURRENCY)))
        scored.wall_s = time.perf_counter() - began
        return scored

    async def _score(self, numbers: Sequence[int], scored: Scored) -> None:
        stored = await self._store.models_of([self._urns[number] for number in numbers])
        models, values = [], []
        for number in numbers:
            for place, one in enumerate(self._fitted[number % len(self._fitted)]):
                models.append(stored[self._urns[number]][one.check])
                # One point in a thousand is a fault.
                fault = (number * CHECKS + place) % 1000 == 0
                values.append(one.next_value * (3 if fault else 1))
        judged, seconds = await self._pool.run(_TIMEOUT, score, models, values)
        async with self._store.transaction() as tx:
            await tx.save_results(
                [
                    Result(model.urn, model.check, judgement, _NOW)
                    for model, (judgement, _) in zip(models, judged, strict=True)
                ]
            )
            await tx.save_models(
                [
                    replace(model, state=state, judged_until=_NOW)
                    for model, (_, state) in zip(models, judged, strict=True)
                ]
            )
        scored.series += len(models)
        scored.judging_s += seconds
        scored.failing += sum(judgement.status is Status.FAIL for judgement, _ in judged)


async def run(series: int, fitted: int, console: Console) -> None:
    """Fit, store and score that many series, and print what it took."""
    with tempfile.TemporaryDirectory(prefix="dataspoke-bench-") as folder:
        postgres = Postgres(Path(folder))
        try:
            await migrate.upgrade(postgres.url)
            engine = create_engine(StoreSettings(url=postgres.url))  # type: ignore[arg-type]
            preload = ("bench.scoring", "prophet")
            async with ProcessPool(PROCESSES, preload=preload) as pool:
                bench = Bench(PostgresStore(engine), pool, series)
                console.print("Fitting …")
                fit_wall_s, fit_core_s = await bench.fit(max(1, fitted // CHECKS))
                console.print("Storing …")
                size = await bench.fill()
                console.print("Scoring …")
                own_before = time.process_time()
                scored = await bench.score()
                own_s = time.process_time() - own_before
            await engine.dispose()
        finally:
            postgres.stop()
    count = max(1, fitted // CHECKS) * CHECKS
    children_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    table = Table(title=f"Scoring {scored.series:,} stored series", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name, figure in (
        ("minutes on the clock", f"{scored.wall_s / 60:.1f}"),
        ("series a second", f"{scored.series / scored.wall_s:,.0f}"),
        ("ms of a core a series, judging", f"{scored.judging_s / scored.series * 1000:.2f}"),
        ("ms of a core a series, reading and saving", f"{own_s / scored.series * 1000:.2f}"),
        ("points that failed", f"{scored.failing:,}"),
        ("states, KB a series", f"{size / scored.series / 1000:.1f}"),
        ("peak memory of this process, MiB", f"{machine.peak_memory_mb():,.0f}"),
        ("peak memory of the largest other, MiB", f"{children_mb:,.0f}"),
        (f"ms of a core a refit ({count} fitted)", f"{fit_core_s / count * 1000:,.0f}"),
        (
            f"hours of {PROCESSES} cores to refit all",
            f"{fit_core_s / count * scored.series / PROCESSES / 3600:.1f}",
        ),
        ("minutes on the clock of those fits", f"{fit_wall_s / 60:.1f}"),
    ):
        table.add_row(name, figure)
    console.print(table)
    console.print(machine.described("numpy", "prophet", "sqlalchemy", "asyncpg"), style="dim")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scoring", description=__doc__)
    parser.add_argument("--series", type=int, default=100_000, help="stored series to score")
    parser.add_argument("--fitted", type=int, default=200, help="series to fit; others copy them")
    chosen = parser.parse_args(arguments)
    asyncio.run(run(chosen.series, chosen.fitted, Console()))
    return 0


if __name__ == "__main__":
    # By its own name, so that the pool's processes find its functions.
    from bench.scoring import main as named

    sys.exit(named())
