"""The subgraph on services that work in memory, with callers of every kind."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from starlette.applications import Starlette

from dataspoke.adapters.memory.cache import MemoryCache
from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.adapters.warehouses import SqlWarehouses
from dataspoke.catalogue import Dataset, Field
from dataspoke.errors import Unauthenticated
from dataspoke.health.model import Finding, HealthScore
from dataspoke.health.service import HealthService
from dataspoke.knowledge.context import ContextService
from dataspoke.knowledge.indexing import IndexService
from dataspoke.knowledge.search import SearchService
from dataspoke.knowledge.verifier.service import VerifierService
from dataspoke.ports.hub import Access, Actor
from dataspoke.ports.notifier import Channels
from dataspoke.ports.store import AlertQuery
from dataspoke.quality.alerting import AlertService
from dataspoke.quality.backtesting import BacktestService
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertState,
    Check,
    DatasetQuality,
    Dimension,
    DimensionQuality,
    Judgement,
    Metric,
    Point,
    Result,
    Status,
)
from dataspoke.quality.monitoring import MonitorService
from dataspoke.quality.notifications.service import NotificationService
from dataspoke.quality.rules.service import RuleService
from dataspoke.quality.runs import RunService
from dataspoke.quality.sla.service import SlaService
from dataspoke.resolvers.services import Services
from dataspoke.settings import SubgraphSettings, VerifierSettings, WarehouseSettings
from dataspoke.status import StatusService
from dataspoke.subgraph.app import create_app
from dataspoke.subgraph.auth import Identify
from dataspoke.urns import deterministic_id
from tests.support.embedding import SynonymEmbedder
from tests.support.quality import quality_service

NOW = datetime(2026, 11, 24, tzinfo=UTC)
WATCHED = (Metric.ROW_COUNT, Metric.FRESHNESS)
PLATFORM = "urn:li:dataPlatform:postgres"

# Tokens, named after what their owners may do. An editor may do everything to every dataset, the
# service may manage as well; a viewer edits nothing, and does not see the operations of payroll;
# a stranger sees nothing.
EDITOR, VIEWER, STRANGER, SERVICE = "editor", "viewer", "stranger", "service"


def urn(name: str) -> str:
    return f"urn:li:dataset:({PLATFORM},shop.{name},PROD)"


def alert_of(
    name: str,
    metric: Metric = Metric.ROW_COUNT,
    state: AlertState = AlertState.OPEN,
    opened_at: datetime = NOW,
) -> Alert:
    """Return an alert on a dataset; the same arguments but ``state`` make the same alert."""
    key = deterministic_id("alert", name, metric, opened_at.isoformat())
    return Alert(
        id=key,
        urn=urn(name),
        check=Check(metric),
        state=state,
        dedupe_key=str(key),
        opened_at=opened_at,
        observed_at=opened_at - timedelta(hours=1),
        value=10.0,
        expected=100.0,
        low=90.0,
        high=110.0,
        score=0.99,
        message=f"shop.{name}: {metric} was 10, expected 90–110.",
        ended_at=NOW if state is AlertState.RESOLVED else None,
    )


class Counted:
    """Passes calls on to a port and counts them by name."""

    def __init__(self, port: object, calls: Counter[str]) -> None:
        self._port = port
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls[name] += 1
            return method(*args, **kwargs)

        return call


class Altered:
    """A service or port with some methods replaced."""

    def __init__(self, original: object, **methods: Any) -> None:
        self._original = original
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._original, name)


class WatchedFeed(MemoryFeed):
    """Knows how many listen."""

    def __init__(self, interval: timedelta) -> None:
        super().__init__(interval)
        self.listeners = 0
        self._came = asyncio.Event()

    async def heard_by(self, listeners: int) -> None:
        """Wait until so many listen."""
        async with asyncio.timeout(10):
            while self.listeners < listeners:
                self._came.clear()
                await self._came.wait()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        self.listeners += 1
        self._came.set()
        try:
            async with super().listen() as turns:
                yield turns
        finally:
            self.listeners -= 1


class Subgraph:
    """The application with everything behind it.

    ``calls`` counts what the services asked of hub, store and index, by the name of the method.
    """

    def __init__(
        self,
        settings: SubgraphSettings | None = None,
        channels: Channels | None = None,
        *,
        warehouses: Mapping[str, WarehouseSettings] | None = None,
        **options: Any,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.clock = MemoryClock(NOW)
        self.hub = MemoryHub()
        self.store = MemoryStore(self.clock)
        self.vectors = MemoryVectors()
        self.embedder = SynonymEmbedder()
        self.feed = WatchedFeed(timedelta(milliseconds=20))
        hub: Any = Counted(self.hub, self.calls)
        store: Any = Counted(self.store, self.calls)
        vectors: Any = Counted(self.vectors, self.calls)
        self.cache = MemoryCache(self.clock)
        self.index = IndexService(hub, store, vectors, self.embedder, self.clock, cache=self.cache)
        self.search = SearchService(hub, store, vectors, self.embedder, self.cache)
        self.notifications = NotificationService(
            hub, store, self.clock, Channels() if channels is None else channels
        )
        self.run_feed = WatchedFeed(timedelta(milliseconds=20))
        quality = quality_service(hub, store, self.feed, InlineCompute(), self.clock)
        self.runs = RunService(
            hub, store, self.run_feed, self.clock, quality, pace=timedelta(milliseconds=5)
        )
        self.slas = SlaService(hub, store, self.feed, InlineCompute(), self.clock, timedelta(0))
        alerts = AlertService(hub, store, self.feed, self.clock, self.notifications)
        self.services = Services(
            quality=quality,
            runs=self.runs,
            alerts=alerts,
            notifications=self.notifications,
            monitors=MonitorService(hub, store),
            slas=self.slas,
            rules=RuleService(hub, store, SqlWarehouses(warehouses or {}), self.clock),
            backtests=BacktestService(hub, store, InlineCompute(), self.clock, 1.0),
            health=HealthService(hub, store, self.clock),
            search=self.search,
            sql_contexts=ContextService(hub, store, self.search, quality, alerts, self.clock),
            verifier=VerifierService(hub, store, self.cache, self.search, VerifierSettings()),
            operations=StatusService(
                hub, store, MemoryJobs(self.store), vectors, {}, timedelta(seconds=1)
            ),
        )
        self._present: list[str] = []
        self.withdrawn: set[str] = set()
        self._settings = settings or SubgraphSettings()
        self.app: Starlette = create_app(self.services, self.identify, self._settings, **options)

    def serving(self, *, identify: Identify | None = None, **services: Any) -> "Subgraph":
        """Return the same with another application, on some other services."""
        other = copy(self)
        other.services = replace(self.services, **services)
        other.app = create_app(other.services, identify or self.identify, self._settings)
        return other

    async def put(self, *names: str, failing: Sequence[str] = ()) -> None:
        """Add datasets with a verdict, two results of each metric, a score, and a document.

        Those that are failing have an open alert on their row count.
        """
        for name in names:
            fields = (Field("id"), Field(f"{name}_total"))
            self._present.append(urn(name))
            self.hub.put(Dataset(urn(name), f"shop.{name}", PLATFORM, f"All {name}.", fields))
        self.admit()
        async with self.store.transaction() as tx:
            for name in names:
                status = Status.FAIL if name in failing else Status.PASS
                newest = [self._result(name, metric, NOW, status) for metric in WATCHED]
                earlier = NOW - timedelta(days=1)
                older = [self._result(name, metric, earlier, Status.PASS) for metric in WATCHED]
                await tx.save_results(older + newest)
                score = 0.0 if name in failing else 100.0
                dimensions = (DimensionQuality(Dimension.VOLUME, status, score),)
                await tx.save_quality(
                    [DatasetQuality(urn(name), status, score, dimensions, tuple(newest), NOW)]
                )
            await tx.save_health(
                [
                    HealthScore(
                        urn(name),
                        float(10 * number),
                        (Finding("owner", 20.0, 0.0, "Name an owner."),),
                        NOW,
                    )
                    for number, name in enumerate(names, 1)
                ]
            )
            await tx.save_alerts([alert_of(name) for name in failing])
            await tx.request_index([urn(name) for name in names])
        await self.index.reindex(None)

    async def identify(self, token: str) -> Actor:
        """Return whose token it is, as the hub says; nobody's where it was withdrawn."""
        if token in self.withdrawn:
            raise Unauthenticated("The token has been withdrawn.")
        return await self.hub.actor(token)

    def admit(self) -> None:
        """Make all tokens known; their rights reach to the datasets that there are by now."""
        present = self._present
        self.hub.admit(SERVICE, "urn:li:corpuser:dataspoke", can_manage=True)
        self.hub.admit(EDITOR, "urn:li:corpuser:editor")
        self.hub.admit(
            VIEWER,
            "urn:li:corpuser:viewer",
            rights={
                one: Access(
                    view_profile=True, view_operations="payroll" not in one, edit_assertions=False
                )
                for one in present
            },
        )
        self.hub.admit(STRANGER, "urn:li:corpuser:stranger", rights=dict.fromkeys(present, None))

    async def save_alerts(self, *alerts: Alert) -> Sequence[AlertChange]:
        """Save alerts, or move those that are there on, and tell those who follow."""
        known = {a.id: a.version for a in await self.store.alerts(AlertQuery(limit=1000))}
        versioned = [replace(alert, version=known.get(alert.id, 0)) for alert in alerts]
        async with self.store.transaction() as tx:
            changes = await tx.save_alerts(versioned)
        await self.feed.signal()
        return changes

    async def post(
        self,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        method: str = "POST",
        path: str = "/graphql",
    ) -> httpx.Response:
        sent = dict(headers or {})
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://subgraph") as client:
            if content is not None:
                return await client.request(method, path, content=content, headers=sent)
            return await client.request(method, path, json=body, headers=sent)

    async def ask(self, query: str, token: str | None = EDITOR, /, **variables: object) -> Any:
        """Return the answer to a query, as JSON."""
        response = await self.post({"query": query, "variables": variables}, token=token)
        assert response.status_code == 200, response.text
        return response.json()

    async def data(self, query: str, token: str | None = EDITOR, /, **variables: object) -> Any:
        """Return the data of an answer that has no errors."""
        answer = await self.ask(query, token, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def entities(
        self, selection: str, names: Sequence[str], token: str | None = EDITOR
    ) -> Any:
        """Return what the subgraph adds to datasets, asked for as a gateway does."""
        query = (
            "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Dataset { "
            f"{selection} }} }} }}"
        )
        representations = [{"__typename": "Dataset", "urn": urn(name)} for name in names]
        return await self.ask(query, token, r=representations)

    def _result(self, name: str, metric: Metric, time: datetime, status: Status) -> Result:
        judgement = Judgement(Point(time, 42.0), status, "band", 40.0, 30.0, 50.0, 0.5)
        return Result(urn(name), Check(metric), judgement, time, Dimension.VOLUME)
