"""What works and what does not: DataSpoke's own state, for operators and probes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib.metadata import version
from typing import TypeVar

from dataspoke.errors import DataSpokeError
from dataspoke.ports.hub import Actor, Hub, HubInfo
from dataspoke.ports.store import JobCounts, Jobs, Store
from dataspoke.ports.vectors import Vectors

T = TypeVar("T")


class ComponentState(StrEnum):
    """DEGRADED means that it failed or took too long; what depends on it fails or is stale."""

    REACHABLE = "REACHABLE"
    DEGRADED = "DEGRADED"


@dataclass(frozen=True, slots=True)
class Component:
    """One outside system. ``detail`` says what is wrong, None where nothing is."""

    name: str
    state: ComponentState
    detail: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of this installation. What a degraded component would have told is None."""

    version: str
    components: tuple[Component, ...]
    hub: HubInfo | None
    jobs: JobCounts | None
    indexed_documents: int | None


class StatusService:
    """Asks every component at once, each for at most ``timeout``."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        jobs: Jobs,
        vectors: Vectors,
        probes: Mapping[str, Callable[[], Awaitable[object]]],
        timeout: timedelta,
    ) -> None:
        """``probes``: components that have no port here, by name; each raises when it is down."""
        self._hub = hub
        self._store = store
        self._jobs = jobs
        self._vectors = vectors
        self._probes = probes
        self._timeout = timeout

    async def status(self, actor: Actor) -> Status:
        """Return the state of all components; never fails because one of them did.

        Any caller whom the hub knows may ask: it names no dataset and no person.
        """
        others = asyncio.gather(*(self._ask(name, probe) for name, probe in self._probes.items()))
        (hub, info), (store, _), (queue, counts), (vectors, documents) = await asyncio.gather(
            self._ask("hub", self._hub.info),
            self._ask("store", self._store.ping),
            self._ask("jobs", self._jobs.counts),
            self._ask("vectors", self._vectors.count),
        )
        return Status(
            version=version("dataspoke"),
            components=(hub, store, queue, vectors, *(component for component, _ in await others)),
            hub=info,
            jobs=counts,
            indexed_documents=documents,
        )

    async def ready(self) -> Component:
        """Return the store's state: without it, or with migrations amiss, nothing can be served."""
        component, _ = await self._ask("store", self._store.ping)
        return component

    async def _ask(
        self, name: str, probe: Callable[[], Awaitable[T]]
    ) -> tuple[Component, T | None]:
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                answer = await probe()
        except TimeoutError:
            detail = f"No answer within {self._timeout.total_seconds():g} s."
            return Component(name, ComponentState.DEGRADED, detail), None
        except DataSpokeError as error:
            return Component(name, ComponentState.DEGRADED, error.public_message), None
        return Component(name, ComponentState.REACHABLE, None), answer
