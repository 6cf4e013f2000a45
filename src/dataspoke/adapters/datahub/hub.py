"""DataHub as the hub of DataSpoke."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from dataspoke.adapters.datahub.access import Callers
from dataspoke.adapters.datahub.connection import Connection
from dataspoke.adapters.datahub.events import page_of
from dataspoke.adapters.datahub.reading import Reader
from dataspoke.adapters.datahub.writing import Writer
from dataspoke.catalogue import Dataset, Lineage, Operation, Profile, Query, Reach, Usage
from dataspoke.errors import DependencyRejected
from dataspoke.ports.hub import (
    Access,
    Actor,
    EventPage,
    Hub,
    HubInfo,
    Incident,
    OpenIncident,
    Scores,
    Topic,
)
from dataspoke.quality.model import Check, Result
from dataspoke.settings import HubSettings

# Nothing here is gated by release: one lower bound keeps away those that lack a part of it, such
# as privileges.canViewDatasetOperations or the events API. Raise it when a document needs more.
_OLDEST = (1, 2)

_STAND_IN = "dataspoke-stand-in"
# What DataHub's events API allows.
_MAX_EVENTS = 5000
_MAX_WAIT_S = 10


class DataHub(Hub):
    """A DataHub of release 1.2 or later, or the stand-in, as ``HubSettings`` names it."""

    def __init__(self, settings: HubSettings) -> None:
        """Ask the hub nothing yet; use ``open`` to have the clients closed."""
        self._connection = Connection(settings)
        self._callers = Callers(self._connection, settings.access_cache_s)
        self._reader = Reader(self._connection)
        self._writer = Writer(self._connection, settings)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: HubSettings) -> AsyncIterator[Self]:
        """Yield the hub; it need not be reachable yet."""
        hub = cls(settings)
        await hub._connection.open()
        try:
            yield hub
        finally:
            await hub._callers.close()
            await hub._writer.close()
            await hub._connection.close()

    async def info(self) -> HubInfo:
        """Return what the hub is; raises DependencyRejected where it is older than is supported."""
        config = await self._connection.get("config", {})
        try:
            version = str(config["versions"]["acryldata/datahub"]["version"])
            server_type = str((config.get("datahub") or {}).get("serverType") or "")
        except (AttributeError, KeyError, TypeError) as error:
            raise DependencyRejected(
                "hub", "What answered is not DataHub's GMS; look at DATASPOKE_HUB__URL."
            ) from error
        if _release(version) < _OLDEST:
            raise DependencyRejected(
                "hub",
                f"This DataHub is {version}; DataSpoke needs "
                f"{'.'.join(map(str, _OLDEST))} or later: upgrade it.",
            )
        return HubInfo(version, server_type, stand_in=server_type == _STAND_IN)

    async def actor(self, token: str) -> Actor:
        return await self._callers.actor(token)

    async def access(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Access]:
        return await self._callers.access(actor, urns)

    def scroll(self, batch_size: int) -> AsyncIterator[Sequence[str]]:
        return self._reader.scroll(batch_size)

    async def glossary(self) -> Mapping[str, str]:
        return await self._reader.glossary()

    async def datasets(self, urns: Sequence[str]) -> Mapping[str, Dataset]:
        return await self._reader.datasets(urns)

    async def profiles(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Profile]]:
        return await self._reader.profiles(urns, since)

    async def operations(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Operation]]:
        return await self._reader.operations(urns, since)

    async def usage(self, urns: Sequence[str], since: datetime) -> Mapping[str, Sequence[Usage]]:
        return await self._reader.usage(urns, since)

    async def queries(self, urns: Sequence[str], since: datetime) -> Mapping[str, Sequence[Query]]:
        return await self._reader.queries(urns, since)

    async def lineage(self, urns: Sequence[str]) -> Mapping[str, Lineage]:
        return await self._reader.lineage(urns)

    async def upstream(self, urns: Sequence[str], limit: int) -> Mapping[str, Reach]:
        return await self._reader.reach(urns, "UPSTREAM", limit)

    async def downstream(self, urns: Sequence[str], limit: int) -> Mapping[str, Reach]:
        return await self._reader.reach(urns, "DOWNSTREAM", limit)

    async def open_incidents(self, urns: Sequence[str]) -> Mapping[str, Sequence[OpenIncident]]:
        return await self._reader.open_incidents(urns)

    async def write_results(
        self, results: Sequence[Result], rules: Mapping[UUID, str] | None = None
    ) -> None:
        await self._writer.results(results, rules or {})

    async def remove_checks(self, urn: str, checks: Sequence[Check]) -> None:
        await self._writer.remove(urn, checks)

    async def write_incidents(self, incidents: Sequence[Incident]) -> None:
        await self._writer.incidents(incidents)

    async def write_scores(self, scores: Sequence[Scores]) -> None:
        await self._writer.scores(scores)

    async def poll(
        self, topic: Topic, cursor: str | None, limit: int, wait: timedelta
    ) -> EventPage:
        wait_s = min(int(wait.total_seconds()), _MAX_WAIT_S)
        asked = {
            "topic": str(topic),
            "limit": str(min(limit, _MAX_EVENTS)),
            "pollTimeoutSeconds": str(wait_s),
        }
        if cursor is not None:
            asked["offsetId"] = cursor
        return page_of(await self._connection.get("openapi/v1/events/poll", asked, wait_s))


def _release(version: str) -> tuple[int, ...]:
    """Return ``v1.7.0.1`` as numbers; the highest for a build that is of no release."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return tuple(map(int, match.groups())) if match else (9999,)
