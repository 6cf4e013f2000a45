"""How many datasets a minute a scan of all does, and where the time goes.

A stand-in hub, PostgreSQL and Valkey of this process's own; in it a worker with the code, the
settings and the pool of processes of the live one. The datasets have daily loads and profiles with
one column, which is ten metrics. They are scanned twice: as new, with the whole history to judge,
and a day later, with one new point each. Write-back, audits and indexing are left out.
"""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import machine
from dataspoke.adapters.postgres import migrate
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.tables import event_cursors, quality_results
from dataspoke.embedded.child import Child, accepts_connections, free_port
from dataspoke.embedded.postgres import Postgres
from dataspoke.embedded.valkey import Valkey
from dataspoke.localhub.proposals import Proposal
from dataspoke.localhub.storage import Storage
from dataspoke.ports.runs import Run, RunKind, RunState
from dataspoke.ports.store import JobKind, Lease
from dataspoke.runtime import Runtime, open_runtime
from dataspoke.settings import Settings
from dataspoke.workers.jobs import Work
from dataspoke.workers.worker import run as run_worker

_DAY = timedelta(days=1)
_COLUMN = "amount"
_WRITTEN_AT_ONCE = 5000
_FULL_TABLE = {"partition": "FULL_TABLE_SNAPSHOT", "type": "FULL_TABLE"}
_POLL_S = 0.5


def urn_of(number: int) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,bench.t{number:06},PROD)"


def described(number: int) -> Iterator[Proposal]:
    """Yield what makes a dataset exist."""
    yield Proposal(urn_of(number), "datasetProperties", {"name": f"t{number:06}"})


def activity(number: int, days: Iterable[datetime]) -> Iterator[Proposal]:
    """Yield a load and a profile on each of these days, each the same whenever it is asked for."""
    urn = urn_of(number)
    for day in days:
        drawn = np.random.default_rng([number, day.toordinal()])
        week = 1 + 0.2 * np.sin(day.toordinal() * 2 * np.pi / 7 + number)
        rows = round(1000 * (1 + number % 50) * week * drawn.normal(1, 0.03))
        nulls = round(rows * abs(drawn.normal(0.05, 0.005)))
        at = int((day + timedelta(hours=2, minutes=int(drawn.integers(20)))).timestamp() * 1000)
        yield Proposal(
            urn,
            "operation",
            {
                "timestampMillis": at,
                "partitionSpec": _FULL_TABLE,
                "operationType": "INSERT",
                "lastUpdatedTimestamp": at,
            },
        )
        yield Proposal(
            urn,
            "datasetProfile",
            {
                "timestampMillis": at + 3_600_000,
                "partitionSpec": _FULL_TABLE,
                "rowCount": rows,
                "columnCount": 8,
                "sizeInBytes": rows * 80,
                "fieldProfiles": [
                    {
                        "fieldPath": _COLUMN,
                        "nullCount": nulls,
                        "nullProportion": nulls / rows,
                        "uniqueCount": rows // 2,
                        "uniqueProportion": 0.5,
                        "mean": f"{drawn.normal(50, 1):.3f}",
                        "min": f"{drawn.normal(1, 0.1):.3f}",
                        "max": f"{drawn.normal(99, 1):.3f}",
                        "stdev": f"{drawn.normal(10, 0.5):.3f}",
                    }
                ],
            },
        )


class World:
    """The servers, and the hub that is filled while it is down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = secrets.token_urlsafe(24)
        self.postgres = Postgres(folder / "postgres")
        self.valkey = Valkey(folder / "valkey")
        self._users = folder / "users.json"
        service = {"urn": "urn:li:corpuser:dataspoke", "role": "service", "token": self._token}
        self._users.write_text(json.dumps([service]))
        self._port = free_port()
        self.hub_pid = 0

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "hub": {
                    "url": f"http://127.0.0.1:{self._port}",
                    "token": self._token,
                    "write_back": False,
                },
                "store": {"url": self.postgres.url},
                "redis": {"url": self.valkey.url},
                "embedder": {"kind": "none"},
            }
        )

    def fill(self, proposals: Iterable[Proposal]) -> None:
        """Write to the hub's data; the hub must be down."""
        with Storage.open(self._folder / "hub.sqlite") as storage:
            rest = iter(proposals)
            while some := list(islice(rest, _WRITTEN_AT_ONCE)):
                storage.write(some, "urn:li:corpuser:datahub")

    @contextmanager
    def hub(self) -> Iterator[None]:
        """Serve what is in the hub while inside."""
        files = ["--data", str(self._folder / "hub.sqlite"), "--users", str(self._users)]
        child = Child(
            "stand-in-hub",
            [sys.executable, "-m", "dataspoke.cli", "hub", *files, "--port", str(self._port)],
            self._folder / "hub.log",
        )
        try:
            child.wait_until(lambda: accepts_connections(self._port), 60)
            self.hub_pid = child.pid
            yield
        finally:
            child.stop()

    def close(self) -> None:
        self.valkey.stop()
        self.postgres.stop()


@dataclass(frozen=True, slots=True)
class Scan:
    """A run, the seconds on the clock, and those of a core by who used them."""

    run: Run
    wall_s: float
    core_s: Mapping[str, float]
    results: int


async def scan(world: World, engine: AsyncEngine) -> Scan:
    """Scan all datasets of the hub by a worker of this process."""
    async with engine.begin() as connection:
        # What changed while no worker ran is for the scan, not for events.
        await connection.execute(delete(event_cursors))
        before = await _results(engine)
    async with open_runtime(world.settings, computing=True) as runtime:
        stop = asyncio.Event()
        working = asyncio.create_task(
            run_worker(
                _work(runtime),
                runtime.store,
                runtime.jobs,
                runtime.queue,
                runtime.wake_ups,
                runtime.hub,
                world.settings.worker,
                (),
                stop,
            )
        )
        used = _core_s(world)
        began = time.perf_counter()
        await runtime.runs.begin(None, RunKind.REQUESTED)
        while True:
            (found,) = await runtime.store.newest_runs(None, 1)
            if found.state is not RunState.RUNNING:
                break
            await asyncio.sleep(_POLL_S)
        wall_s = time.perf_counter() - began
        spent = {name: seconds - used[name] for name, seconds in _core_s(world).items()}
        stop.set()
        await working
    return Scan(found, wall_s, spent, await _results(engine) - before)


def _work(runtime: Runtime) -> Mapping[JobKind, Work]:
    async def nothing(lease: Lease, _payload: Mapping[str, Any]) -> None:
        async with runtime.store.transaction(lease):
            pass

    async def scan_some(lease: Lease, payload: Mapping[str, Any]) -> None:
        (found,) = await runtime.store.newest_runs(None, 1)
        await runtime.runs.scan(lease, found.id, payload["urns"])

    return {**dict.fromkeys(JobKind, nothing), JobKind.SCAN_DATASETS: scan_some}


async def _results(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        counted = select(func.count()).select_from(quality_results)
        return int((await connection.execute(counted)).scalar_one())


def _core_s(world: World) -> dict[str, float]:
    """Return the seconds of a core that each part has used."""
    own = psutil.Process()
    pool = [p for p in own.children() if "spawn_main" in " ".join(p.cmdline())]
    postgres = psutil.Process(world.postgres.child.pid)
    parts = {
        "hub": [psutil.Process(world.hub_pid)],
        "judging": pool,
        "worker": [own],
        "PostgreSQL": [postgres, *postgres.children(recursive=True)],
    }
    return {name: sum(map(_used_s, processes)) for name, processes in parts.items()}


def _used_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


async def measure(datasets: int, days: int, console: Console) -> list[tuple[str, Scan]]:
    """Return the first scan of so many datasets, and the one of a day later."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    history = [today - n * _DAY for n in range(days, 1, -1)]
    with tempfile.TemporaryDirectory(prefix="dataspoke-bench-") as folder:
        world = World(Path(folder))
        try:
            await migrate.upgrade(world.postgres.url)
            engine = create_engine(world.settings.store)
            scans = []
            for name, news in (("first", history), ("a day later", [today - _DAY])):
                console.print(f"{datasets:,} datasets, {name}: filling the hub …", style="dim")
                if news is history:
                    world.fill(p for n in range(datasets) for p in described(n))
                world.fill(p for n in range(datasets) for p in activity(n, news))
                console.print(f"{datasets:,} datasets, {name}: scanning …", style="dim")
                with world.hub():
                    scans.append((name, await scan(world, engine)))
            await engine.dispose()
        finally:
            world.close()
    return scans


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scan", description=__doc__)
    parser.add_argument(
        "--datasets", default="1000,10000", help="how many, one bench for each number"
    )
    parser.add_argument("--days", type=int, default=60, help="length of the history")
    chosen = parser.parse_args(arguments)
    console = Console()
    table = Table(title=f"Scans, {chosen.days} days of history", title_justify="left")
    for column in ("datasets", "scan", "a minute", "failed", "results"):
        table.add_column(column, justify="right")
    for part in ("hub", "judging", "worker", "PostgreSQL"):
        table.add_column(f"{part} *", justify="right")
    for count in map(int, chosen.datasets.split(",")):
        for name, done in asyncio.run(measure(count, chosen.days, console)):
            table.add_row(
                f"{count:,}",
                name,
                f"{count / done.wall_s * 60:,.0f}",
                f"{done.run.failed:,}",
                f"{done.results:,}",
                *(f"{seconds / count * 1000:,.1f}" for seconds in done.core_s.values()),
            )
    console.print(table)
    console.print(
        f"* milliseconds of a core for each dataset. Peak memory of the worker: "
        f"{machine.peak_memory_mb():,.0f} MiB.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(machine.described("numpy", "prophet", "sqlalchemy", "httpx"), style="dim")
    return 0


if __name__ == "__main__":
    sys.exit(main())
