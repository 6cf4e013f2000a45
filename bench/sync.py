"""How soon a change in the hub can be searched for, and a deletion takes effect.

A stand-in hub, PostgreSQL, Valkey, a worker and, for Kafka, a broker: real processes, with the
settings of a new installation. Datasets are created, described anew and deleted, softly and for
good, at an even pace through the hub's REST interface. A change counts as searchable when the index
gives out a document with its word, a deletion when it has none any more; the time begins when the
request is sent. At the end the index is compared with the hub, whole.
"""

import argparse
import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from bench import machine
from dataspoke.adapters.postgres import migrate
from dataspoke.embedded.child import Child, accepts_connections, free_port
from dataspoke.embedded.kafka import Kafka
from dataspoke.embedded.postgres import Postgres
from dataspoke.embedded.valkey import Valkey
from dataspoke.knowledge.indexing import Drift
from dataspoke.localhub.proposals import Proposal
from dataspoke.localhub.storage import Storage
from dataspoke.ports.store import JobKind
from dataspoke.runtime import Runtime, open_runtime
from dataspoke.settings import Settings

_KINDS = ("poll", "kafka")
_COLUMNS = ("order_id", "customer_id", "amount", "currency", "placed_at", "status", "country")
_LOOK_S = 0.03
_SETTLE_S = 180
# What is not there after so long is counted as that.
_PATIENCE_S = 30
_ONE_IN = 10  # … is a creation, and one a deletion


def urn_of(number: int) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,bench.t{number:06},PROD)"


def described(number: int, words: str) -> dict[str, Any]:
    return {"name": f"orders_{number:06}", "description": f"Orders of shop {number}. {words}"}


def _word(number: int) -> str:
    """Return a word that stands in no other description, without digits: they are cut off."""
    return "x" + "".join("bcdfghjklm"[int(digit)] for digit in f"{number:06}")


def schema_of(number: int) -> dict[str, Any]:
    fields = [
        {
            "fieldPath": f"{column}_{number % 7}",
            "type": {"type": {"com.linkedin.schema.StringType": {}}},
            "nativeDataType": "text",
        }
        for column in _COLUMNS
    ]
    return {
        "schemaName": "orders",
        "platform": "urn:li:dataPlatform:postgres",
        "version": 0,
        "hash": "",
        "platformSchema": {"com.linkedin.schema.MySqlDDL": {"tableSchema": ""}},
        "fields": fields,
    }


class World:
    """The servers, and the hub that is filled before it is up."""

    def __init__(self, folder: Path, kind: str, datasets: int) -> None:
        self._folder = folder
        self._kind = kind
        self._token = secrets.token_urlsafe(24)
        self._users = folder / "users.json"
        service = {"urn": "urn:li:corpuser:dataspoke", "role": "service", "token": self._token}
        self._users.write_text(json.dumps([service]))
        self._port = free_port()
        with Storage.open(folder / "hub.sqlite") as storage:
            for number in range(datasets):
                urn = urn_of(number)
                storage.write(
                    [
                        Proposal(urn, "datasetProperties", described(number, "At first.")),
                        Proposal(urn, "schemaMetadata", schema_of(number)),
                    ],
                    "urn:li:corpuser:datahub",
                )
        self.postgres = Postgres(folder / "postgres")
        self.valkey = Valkey(folder / "valkey")
        self.kafka = Kafka(folder / "kafka") if kind == "kafka" else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    @property
    def environment(self) -> dict[str, str]:
        chosen = {
            "DATASPOKE_HUB__URL": self.url,
            "DATASPOKE_HUB__TOKEN": self._token,
            "DATASPOKE_STORE__URL": self.postgres.url,
            "DATASPOKE_REDIS__URL": self.valkey.url,
            "DATASPOKE_EVENTS__KIND": self._kind,
        }
        if self.kafka is not None:
            chosen["DATASPOKE_EVENTS__BOOTSTRAP_SERVERS"] = self.kafka.bootstrap_servers
        return chosen

    @property
    def settings(self) -> Settings:
        sections: dict[str, dict[str, str]] = {}
        for variable, value in self.environment.items():
            section, _, name = variable.removeprefix("DATASPOKE_").lower().partition("__")
            sections.setdefault(section, {})[name] = value
        return Settings.model_validate(sections)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve the hub and run a worker while inside."""
        files = ["--data", str(self._folder / "hub.sqlite"), "--users", str(self._users)]
        more = ["--kafka", self.kafka.bootstrap_servers] if self.kafka is not None else []
        hub = self._child("hub", "hub", *files, *more, "--port", str(self._port))
        hub.wait_until(lambda: accepts_connections(self._port), 60)
        worker = self._child("worker", "worker")
        try:
            yield
        finally:
            worker.stop()
            hub.stop()

    def _child(self, name: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", "dataspoke.cli", *arguments]
        return Child(name, command, self._folder / f"{name}.log", env=self.environment)

    def close(self) -> None:
        if self.kafka is not None:
            self.kafka.stop()
        self.valkey.stop()
        self.postgres.stop()


@dataclass
class Watch:
    """What was asked of the hub and cannot be seen in the index yet, and how long the rest took."""

    changed: dict[str, tuple[str, float]] = field(default_factory=dict)
    deleted: dict[str, float] = field(default_factory=dict)
    changes_s: list[float] = field(default_factory=list)
    deletions_s: list[float] = field(default_factory=list)

    async def look(self, runtime: Runtime) -> None:
        """Note what can be seen by now."""
        found = await runtime.vectors.documents([*self.changed, *self.deleted])
        now = time.perf_counter()
        for urn, (word, since) in list(self.changed.items()):
            if (urn in found and word in found[urn].text) or now - since > _PATIENCE_S:
                self.changes_s.append(now - since)
                del self.changed[urn]
        for urn, since in list(self.deleted.items()):
            if urn not in found or now - since > _PATIENCE_S:
                self.deletions_s.append(now - since)
                del self.deleted[urn]


class Traffic:
    """Changes at an even pace; a dataset is left alone until its last change was seen."""

    def __init__(self, world: World, watch: Watch, datasets: int) -> None:
        self._world = world
        self._watch = watch
        self._there = [urn_of(number) for number in range(datasets)]
        self._next = datasets
        self._drawn = random.Random(5)
        self.failures = 0

    async def run(self, rate: float, seconds: float) -> None:
        async with httpx.AsyncClient(headers=self._world.headers, timeout=30) as http:
            began = time.perf_counter()
            async with asyncio.TaskGroup() as requests:
                for number in range(round(rate * seconds)):
                    await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                    requests.create_task(self._change(http, number))

    async def _change(self, http: httpx.AsyncClient, number: int) -> None:
        idle = [urn for urn in self._there if urn not in self._watch.changed]
        turn = number % _ONE_IN if idle else 0
        if turn == 0:
            urn = urn_of(self._next)
            self._next += 1
            await self._describe(http, urn, number)
            self._there.append(urn)
        elif turn == _ONE_IN // 2:
            softly = number % (2 * _ONE_IN) == turn
            await self._delete(http, self._drawn.choice(idle), softly=softly)
        else:
            await self._describe(http, self._drawn.choice(idle), number)

    async def _describe(self, http: httpx.AsyncClient, urn: str, number: int) -> None:
        word = _word(number)
        sent_at = time.perf_counter()
        self._watch.changed[urn] = (word, sent_at)
        aspect = {"value": described(number, word)}
        await self._send(http.build_request(
            "POST", f"{self._world.url}/openapi/v3/entity/dataset", params={"async": "false"},
            json=[{"urn": urn, "datasetProperties": aspect}],
        ), http)  # fmt: skip

    async def _delete(self, http: httpx.AsyncClient, urn: str, *, softly: bool) -> None:
        self._there.remove(urn)
        self._watch.deleted[urn] = time.perf_counter()
        url = f"{self._world.url}/openapi/v3/entity/dataset"
        removed = [{"urn": urn, "status": {"value": {"removed": True}}}]
        await self._send(
            http.build_request("POST", url, params={"async": "false"}, json=removed)
            if softly
            else http.build_request("DELETE", f"{url}/{urn}"),
            http,
        )

    async def _send(self, request: httpx.Request, http: httpx.AsyncClient) -> None:
        answer = await http.send(request)
        self.failures += not answer.is_success


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, and what a reconciliation found afterwards."""

    kind: str
    changes_s: list[float]
    deletions_s: list[float]
    failures: int
    drift: Drift


async def measure(kind: str, datasets: int, rate: float, seconds: float) -> Measured:
    """Return what was seen of one way to hear of changes."""
    with tempfile.TemporaryDirectory(prefix="dataspoke-bench-") as folder:
        world = World(Path(folder), kind, datasets)
        try:
            await migrate.upgrade(world.postgres.url)
            with world.running():
                async with open_runtime(world.settings) as runtime:
                    return await _measure(world, runtime, kind, datasets, rate, seconds)
        finally:
            world.close()


async def _measure(
    world: World, runtime: Runtime, kind: str, datasets: int, rate: float, seconds: float
) -> Measured:
    await _settle(runtime, datasets)
    watch = Watch()
    traffic = Traffic(world, watch, datasets)

    sending = asyncio.create_task(traffic.run(rate, seconds))
    while not sending.done() or watch.changed or watch.deleted:
        await watch.look(runtime)
        await asyncio.sleep(_LOOK_S)
    await sending
    drift = Drift()
    async for found, _ in runtime.index.survey():
        drift = found
    return Measured(kind, watch.changes_s, watch.deletions_s, traffic.failures, drift)


async def _settle(runtime: Runtime, datasets: int) -> None:
    """Return when all that the hub holds is indexed and nothing is left to do."""
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline:
        if await runtime.vectors.count() == datasets and not await runtime.jobs.pending(
            list(JobKind)
        ):
            return
        await asyncio.sleep(0.5)
    raise SystemExit(f"The first index was not complete after {_SETTLE_S} s.")


def shown(measured: list[Measured]) -> Table:
    """Return the table of figures."""
    table = Table(title="From the hub to the index", title_justify="left")
    for column in ("events by", "", "number", "p50 s", "p95 s", "longest s"):
        table.add_column(column, justify="left" if column in ("events by", "") else "right")
    for one in measured:
        for what, taken in (("changes", one.changes_s), ("deletions", one.deletions_s)):
            p50, p95 = np.percentile(taken, [50, 95])
            table.add_row(
                one.kind, what, f"{len(taken):,}", f"{p50:.2f}", f"{p95:.2f}", f"{max(taken):.2f}"
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--datasets", type=int, default=500, help="that there are at first")
    parser.add_argument("--rate", type=float, default=20, help="changes a second")
    parser.add_argument("--seconds", type=float, default=60, help="how long they go on")
    parser.add_argument("--kind", choices=_KINDS, action="append", help="both where not given")
    asked = parser.parse_args()
    console = Console()
    measured = [
        asyncio.run(measure(kind, asked.datasets, asked.rate, asked.seconds))
        for kind in asked.kind or _KINDS
    ]
    console.print(shown(measured))
    for one in measured:
        console.print(
            f"{one.kind}: {one.failures} requests failed; afterwards {one.drift.compared} datasets "
            f"compared, {one.drift.documents} documents and {one.drift.snapshots} snapshots out of "
            f"step, {one.drift.gone} gone."
        )
    console.print(machine.described("confluent-kafka", "onnxruntime"))


if __name__ == "__main__":
    main()
