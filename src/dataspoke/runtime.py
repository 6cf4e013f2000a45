"""The one composition root: builds adapters and services from settings."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.arq import ArqQueue
from dataspoke.adapters.datahub.hub import DataHub
from dataspoke.adapters.embedders import LocalEmbedder, OpenAIEmbedder
from dataspoke.adapters.kafka import open_change_log
from dataspoke.adapters.notifiers.channels import open_channels
from dataspoke.adapters.postgres import migrate
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.locks import advisory_lock
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.postgres.vectors import PostgresVectors
from dataspoke.adapters.process_pool import ProcessPool
from dataspoke.adapters.redis_cache import RedisCache
from dataspoke.adapters.redis_feed import RedisFeed
from dataspoke.adapters.warehouses import SqlWarehouses
from dataspoke.embedded.model import default_directory
from dataspoke.errors import ConfigurationError
from dataspoke.health.service import HealthService
from dataspoke.knowledge.context import ContextService
from dataspoke.knowledge.indexing import IndexService
from dataspoke.knowledge.personal import words_in
from dataspoke.knowledge.search import SearchService
from dataspoke.knowledge.verifier.service import VerifierService
from dataspoke.ports.changes import ChangeLog
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Hub
from dataspoke.ports.queue import Queue, WakeUps
from dataspoke.ports.store import Jobs, Store
from dataspoke.ports.vectors import Vectors
from dataspoke.quality.alerting import AlertService
from dataspoke.quality.backtesting import BacktestService
from dataspoke.quality.monitoring import MonitorService
from dataspoke.quality.notifications.service import NotificationService
from dataspoke.quality.rules.service import RuleService
from dataspoke.quality.runs import RunService
from dataspoke.quality.service import QualityService
from dataspoke.quality.sla.service import SlaService
from dataspoke.retention import RetentionService
from dataspoke.settings import EmbedderSettings, Settings, VectorsSettings
from dataspoke.status import StatusService

_log = logging.getLogger(__name__)

_PROBE_TIMEOUT = timedelta(seconds=3)
_EMBEDDING_TIMEOUT_S = 30.0
# Held by whoever changes the index in Weaviate; any number of our own.
_WRITING_VECTORS = 7_366_111_004
# Slow to import, and needed by every scan.
_MODELS = ("dataspoke.quality.detectors", "prophet")


class SystemClock:
    """The Clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a process works with.

    ``embedder`` is None where search goes by words only, ``changes`` where the hub is polled for
    them.
    """

    hub: Hub
    changes: ChangeLog | None
    store: Store
    jobs: Jobs
    vectors: Vectors
    queue: Queue
    wake_ups: WakeUps
    embedder: Embedder | None
    quality: QualityService
    runs: RunService
    alerts: AlertService
    monitors: MonitorService
    slas: SlaService
    notifications: NotificationService
    rules: RuleService
    backtests: BacktestService
    health: HealthService
    index: IndexService
    search: SearchService
    sql_contexts: ContextService
    verifier: VerifierService
    operations: StatusService
    retention: RetentionService


@asynccontextmanager
async def open_runtime(settings: Settings, *, computing: bool = False) -> AsyncIterator[Runtime]:
    """Yield the runtime of one process and close all connections at the end.

    Nothing is connected to before it is used, so that an outside system that is down hinders no
    start. With ``computing`` the processes for detectors start at once, with their models.
    Raises ConfigurationError for settings that cannot work.
    """
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.store)
        stack.push_async_callback(engine.dispose)
        store, jobs = PostgresStore(engine), PostgresJobs(engine)
        vectors = await _vectors(settings.vectors, engine, stack)
        hub = await stack.enter_async_context(DataHub.open(settings.hub))
        changes = None
        if settings.events.kind == "kafka":
            changes = await stack.enter_async_context(
                open_change_log(settings.events, settings.hub)
            )
        queue = await stack.enter_async_context(ArqQueue(settings.redis))
        feed = await stack.enter_async_context(RedisFeed(settings.redis))
        run_feed = await stack.enter_async_context(RedisFeed(settings.redis, name="runs"))
        cache = await stack.enter_async_context(RedisCache(settings.redis))
        compute = ProcessPool(settings.worker.processes, preload=_MODELS)
        stack.push_async_callback(compute.close)
        if computing:
            await stack.enter_async_context(compute)
        embedder = await _embedder(settings.embedder, stack)
        warehouses = SqlWarehouses(settings.warehouses)
        stack.push_async_callback(warehouses.close)
        clock = SystemClock()
        channels = await stack.enter_async_context(open_channels(settings.notifications, clock))
        notifications = NotificationService(hub, store, clock, channels)
        rules = RuleService(hub, store, warehouses, clock)
        quality = QualityService(hub, store, feed, compute, clock, rules, settings.quality)
        alerts = AlertService(hub, store, feed, clock, notifications)
        personal_words = words_in(settings.verifier.personal_words)
        search = SearchService(hub, store, vectors, embedder, cache, settings.search)
        probes: dict[str, Callable[[], Awaitable[object]]] = {"redis": queue.ping}
        if changes is not None:
            probes["kafka"] = changes.ping
        yield Runtime(
            hub=hub,
            changes=changes,
            store=store,
            jobs=jobs,
            vectors=vectors,
            queue=queue,
            wake_ups=queue,
            embedder=embedder,
            quality=quality,
            runs=RunService(
                hub,
                store,
                run_feed,
                clock,
                quality,
                scopes=settings.schedule.scan_of,
                # What takes longer is to be parted before the job is cut off.
                batch_limit=timedelta(seconds=settings.worker.job_timeout_s) * 0.8,
            ),
            alerts=alerts,
            monitors=MonitorService(hub, store),
            slas=SlaService(
                hub,
                store,
                feed,
                compute,
                clock,
                timedelta(seconds=settings.quality.grouping_wait_s),
            ),
            notifications=notifications,
            rules=rules,
            backtests=BacktestService(
                hub, store, compute, clock, settings.quality.alerts_per_fortnight
            ),
            health=HealthService(hub, store, clock),
            index=IndexService(
                hub,
                store,
                vectors,
                embedder,
                clock,
                settings.index.backfill_per_s,
                cache,
                personal_words,
            ),
            search=search,
            sql_contexts=ContextService(hub, store, search, quality, alerts, clock, personal_words),
            verifier=VerifierService(hub, store, cache, search, settings.verifier),
            operations=StatusService(hub, store, jobs, vectors, probes, _PROBE_TIMEOUT),
            retention=RetentionService(store, settings.retention),
        )


async def _vectors(
    settings: VectorsSettings, engine: AsyncEngine, stack: AsyncExitStack
) -> Vectors:
    if settings.url is None:
        return PostgresVectors(engine)
    # Half a second to import, for those only who use it.
    from dataspoke.adapters.weaviate import WeaviateVectors

    lock = partial(advisory_lock, engine, _WRITING_VECTORS)
    return await stack.enter_async_context(WeaviateVectors(settings, lock))


async def _embedder(settings: EmbedderSettings, stack: AsyncExitStack) -> Embedder | None:
    if settings.kind == "local":
        try:
            return local_embedder(settings)
        except ConfigurationError as error:
            _log.warning("Search goes by words only. %s", error.public_message)
            return None
    if settings.kind == "openai":
        if settings.url is None:
            raise ConfigurationError(
                "DATASPOKE_EMBEDDER__URL is missing: give the base address of the endpoint."
            )
        key = settings.api_key.get_secret_value()
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=str(settings.url),
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=_EMBEDDING_TIMEOUT_S,
            )
        )
        return OpenAIEmbedder(http, settings.model, settings.dimensions)
    return None


def local_embedder(settings: EmbedderSettings) -> LocalEmbedder:
    """Return the model on this machine; raises ConfigurationError where it is not complete."""
    directory = Path(settings.model_dir) if settings.model_dir else default_directory()
    return LocalEmbedder(directory)


# Migrations are the operator's to run, through the command line.
upgrade_database = migrate.upgrade
downgrade_database = migrate.downgrade
check_database = migrate.check
