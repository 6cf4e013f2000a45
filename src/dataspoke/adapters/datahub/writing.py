"""Write-back by the SDK's emitter, off the event loop."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

from cachetools import TTLCache
from datahub.emitter.rest_emitter import DataHubRestEmitter, EmitMode

from dataspoke.adapters.datahub.aspects import (
    PROPERTY_URNS,
    Proposal,
    definitions,
    describing,
    properties,
    removal,
    run,
)
from dataspoke.adapters.datahub.connection import Connection
from dataspoke.adapters.datahub.entities import batches, read_entities
from dataspoke.adapters.datahub.incidents import INFO, changes
from dataspoke.errors import DependencyRejected
from dataspoke.ports.hub import Incident, Scores
from dataspoke.quality.model import Check, Result, Status
from dataspoke.settings import HubSettings
from dataspoke.urns import assertion_urn, incident_urn

_WRITERS = 4
_BATCH = 100
# How many assertions are known to be described, and for how long: three of the four aspects of a
# verdict are the same each time.
_MAX_DESCRIBED = 200_000
_DESCRIBED_S = 3600


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
        self._described: TTLCache[str, str] = TTLCache(_MAX_DESCRIBED, _DESCRIBED_S)

    async def results(self, results: Sequence[Result], rules: Mapping[UUID, str]) -> None:
        """Show each result that was judged; what is known of an assertion goes before its runs."""
        judged = [each for each in results if each.judgement.status is not Status.WARMING_UP]
        if not self._enabled or not judged:
            return
        said = {
            assertion_urn(each.urn, each.check.key): (each, _demand(each.check, rules))
            for each in judged
        }
        new = {u: each for u, (each, text) in said.items() if self._described.get(u) != text}
        described = [aspect for each in new.values() for aspect in describing(each, rules)]
        await self._emit([*described, *map(run, judged)])
        self._described.update({urn: said[urn][1] for urn in new})

    async def remove(self, urn: str, checks: Sequence[Check]) -> None:
        """Show the assertions of these checks no longer; those that are not there stay so."""
        asked = [assertion_urn(urn, check.key) for check in checks]
        if self._enabled:
            for assertion in asked:
                self._described.pop(assertion, None)
            there = await self._aspects("assertion", "assertionInfo", asked)
            await self._emit([removal(assertion) for assertion in there])

    async def incidents(self, incidents: Sequence[Incident]) -> None:
        if self._enabled:
            urns = [incident_urn(each.id) for each in incidents]
            await self._emit(list(changes(incidents, await self._aspects("incident", INFO, urns))))

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

    async def _aspects(
        self, entity_type: str, name: str, urns: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Return an aspect of each of these that has it, from what is stored, not the index."""
        found: dict[str, dict[str, Any]] = {}
        for batch in batches(list(dict.fromkeys(urns)), _BATCH):
            asked = [{"urn": urn, name: {}} for urn in batch]
            answer = await self._connection.post(f"openapi/v3/entity/{entity_type}/batchGet", asked)
            try:
                entities = {each["urn"]: each for each in answer}
                found |= {u: each[name]["value"] for u, each in entities.items() if name in each}
            except (KeyError, TypeError) as error:
                raise DependencyRejected(
                    "hub", f"DataHub's entity API answered in an unknown shape ({error!r})."
                ) from error
        return found

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


def _demand(check: Check, rules: Mapping[UUID, str]) -> str:
    """Return what tells one description of a check's assertion from another."""
    return "" if check.rule is None else rules.get(check.rule, "")
