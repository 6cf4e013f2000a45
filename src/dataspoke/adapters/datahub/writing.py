"""Write-back by the SDK's emitter, off the event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from datahub.emitter.rest_emitter import DataHubRestEmitter, EmitMode

from dataspoke.adapters.datahub.aspects import (
    PROPERTY_URNS,
    Proposal,
    assertions,
    definitions,
    properties,
)
from dataspoke.adapters.datahub.connection import Connection
from dataspoke.adapters.datahub.entities import read_entities
from dataspoke.errors import DependencyRejected
from dataspoke.ports.hub import Scores
from dataspoke.quality.model import Result
from dataspoke.settings import HubSettings

_WRITERS = 4
_BATCH = 100


class Writer:
    """Writes what DataSpoke found; writes nothing where the settings say so."""

    def __init__(self, connection: Connection, settings: HubSettings) -> None:
        self._connection = connection
        self._enabled = settings.write_back
        self._timeout_s = settings.timeout_s
        self._emitter = DataHubRestEmitter(
            connection.url,
            settings.token.get_secret_value() or None,
            timeout_sec=settings.timeout_s,
            # The connection tries again, by one rule for reads and writes.
            retry_max_times=0,
            retry_status_codes=[],
            pool_maxsize=_WRITERS,
            # Rest.li takes a whole batch in one request, whatever its entities are.
            openapi_ingestion=False,
            datahub_component="dataspoke",
        )
        # Writes wait here for a thread, before their time begins.
        self._free = asyncio.Semaphore(_WRITERS)
        self._threads = ThreadPoolExecutor(_WRITERS, thread_name_prefix="datahub-writer")
        self._defining = asyncio.Lock()
        self._defined = False

    async def results(self, results: Sequence[Result]) -> None:
        if self._enabled:
            await self._emit(list(assertions(list(results))))

    async def scores(self, scores: Sequence[Scores]) -> None:
        """Set the scores of the datasets that exist: a patch would bring back one that was deleted.

        Raises DependencyRejected where a property was removed in DataHub.
        """
        said = [each for each in scores if each.quality is not None or each.health is not None]
        if not self._enabled or not said:
            return
        await self._define()
        there = await self._existing([each.urn for each in said])
        try:
            await self._emit(list(properties([each for each in said if each.urn in there])))
        except DependencyRejected:
            # Perhaps the definitions are gone: look again before the next scores.
            self._defined = False
            raise

    async def close(self) -> None:
        """Wait for what is being sent."""
        await asyncio.to_thread(self._threads.shutdown)
        self._emitter.close()

    async def _define(self) -> None:
        """Define the properties where they are not; what a person changed about them stays."""
        async with self._defining:
            if self._defined:
                return
            missing = set(PROPERTY_URNS) - await self._existing(PROPERTY_URNS)
            await self._emit(list(definitions(missing)))
            self._defined = True

    async def _existing(self, urns: Sequence[str]) -> set[str]:
        entities = await read_entities(self._connection, "existing", urns, _BATCH, {})
        return {urn for urn, entity in entities.items() if entity.get("exists") is True}

    async def _emit(self, proposals: Sequence[Proposal]) -> None:
        for start in range(0, len(proposals), _BATCH):
            batch = proposals[start : start + _BATCH]
            async with self._free:
                # The client in the thread gives up first, by the time of one answer.
                await self._connection.attempt(partial(self._send, batch), 2 * self._timeout_s)

    async def _send(self, batch: Sequence[Proposal]) -> None:
        await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(self._emitter.emit_mcps, batch, emit_mode=EmitMode.SYNC_PRIMARY)
        )
