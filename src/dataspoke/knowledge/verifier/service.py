"""The verifier as somebody: what they may not see is as what is not there."""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from dataspoke.catalogue import Reach
from dataspoke.errors import DependencyError, InvalidInput
from dataspoke.knowledge.lexical import split_words
from dataspoke.knowledge.model import Hit, SearchFilters, SearchPage, Snapshot
from dataspoke.knowledge.personal import words_in
from dataspoke.knowledge.verifier.checking import Findings, Reading, conclude, find, read_request
from dataspoke.knowledge.verifier.judging import Rules, Surveyed, Trouble
from dataspoke.knowledge.verifier.model import (
    Alternative,
    Code,
    ContextVerdict,
    Fix,
    VerifyRequest,
)
from dataspoke.knowledge.verifier.relations import Finding
from dataspoke.knowledge.verifier.resolution import nearest, simple_path
from dataspoke.knowledge.verifier.troubles import troubles_of
from dataspoke.ports.cache import Cache
from dataspoke.ports.hub import Access, Actor, Hub
from dataspoke.ports.store import Store
from dataspoke.settings import VerifierSettings
from dataspoke.urns import dataset_name, require_dataset, table_key

_log = logging.getLogger(__name__)

MAX_URNS = 100
MAX_COLUMNS = 2000
# Datasets of one name are looked at up to this number.
_CANDIDATES = 500
_DOWNSTREAM = 500
_SIMILAR = 5
# Of each bad input so many others are named.
_ALTERNATIVES = 3
_NEIGHBOURS = 50
_NAMES_FOR_S = 60.0
# These say that a dataset had better not be read.
_BAD = frozenset(
    {
        Code.REMOVED_INPUT,
        Code.DEPRECATED_INPUT,
        Code.STALE_INPUT,
        Code.FAILING_INPUT,
        Code.SUSPECT_INPUT,
    }
)
_ANSWER = TypeAdapter(ContextVerdict)
_REQUEST = TypeAdapter(VerifyRequest)


class Search(Protocol):
    """What finds datasets that may stand in for others."""

    async def similar_to(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, tuple[Hit, ...]]: ...

    async def search(
        self, actor: Actor, question: str, filters: SearchFilters, first: int, after: str | None
    ) -> SearchPage: ...


class VerifierService:
    """Judges SQL, datasets and proposed outputs on what the caller may see."""

    def __init__(
        self, hub: Hub, store: Store, cache: Cache, search: Search, settings: VerifierSettings
    ) -> None:
        self._hub = hub
        self._store = store
        self._cache = cache
        self._search = search
        self._settings = settings
        pattern = settings.output_name
        self._rules = Rules(
            words_in(settings.personal_words),
            re.compile(pattern) if pattern else None,
        )
        self._names: tuple[float, tuple[str, ...]] | None = None

    async def verify(self, actor: Actor, request: VerifyRequest) -> ContextVerdict:
        """Return the verdict on a request.

        The same request of the same actor is answered from the cache for a minute. Raises
        InvalidInput for a request that holds nothing, too much, or an unknown dialect.
        """
        self._require_usable(request)
        key = _key(actor, request)
        if (kept := await self._cache.get(key)) is not None:
            try:
                return _ANSWER.validate_json(kept)
            except ValidationError:
                _log.warning("an answer of another release is in the cache; it is made anew")
        answer = await self._verify(actor, request)
        await self._cache.put(
            key, _ANSWER.dump_json(answer), timedelta(seconds=self._settings.cache_s)
        )
        return answer

    def _require_usable(self, request: VerifyRequest) -> None:
        if not (request.sql or "").strip() and not request.urns and request.output is None:
            raise InvalidInput("There is nothing to check: give sql, urns or an output.")
        size, most = len(request.sql or ""), self._settings.max_characters
        if size > most:
            raise InvalidInput(f"sql may have {most:,} characters; it has {size:,}.")
        if len(request.urns) > MAX_URNS:
            raise InvalidInput(f"urns may hold {MAX_URNS}; it holds {len(request.urns)}.")
        for urn in request.urns:
            require_dataset(urn)
        output = request.output
        if output is not None:
            if not output.name.strip(". "):
                raise InvalidInput("output.name is empty; name the dataset that is to be made.")
            if not 1 <= len(output.columns) <= MAX_COLUMNS:
                raise InvalidInput(
                    f"output.columns may hold 1 to {MAX_COLUMNS:,}; it holds {len(output.columns)}."
                )

    async def _verify(self, actor: Actor, request: VerifyRequest) -> ContextVerdict:
        # Long texts take long to read, and others wait for this loop.
        reading = await asyncio.to_thread(read_request, request)
        named = await self._store.tables(reading.names) if reading.names else {}
        asked = dict.fromkeys(
            (*request.urns, *(urn for urns in named.values() for urn in urns[:_CANDIDATES]))
        )
        seen = _Seen()
        await self._look(actor, list(asked), seen)
        # What the actor may not see has no name.
        named = {
            name: there
            for name, urns in named.items()
            if (there := [urn for urn in urns if urn in seen.snapshots])
        }
        findings = await asyncio.to_thread(find, reading, named, seen.snapshots)
        surveyed = await self._survey(actor, reading, findings, seen)
        alternatives = await self._alternatives(actor, reading, findings, surveyed, named, seen)
        return conclude(reading, findings, surveyed, self._rules, alternatives)

    async def _look(self, actor: Actor, urns: Sequence[str], seen: "_Seen") -> None:
        """Note what the actor may see of datasets that were not looked at yet."""
        new = [urn for urn in dict.fromkeys(urns) if urn not in seen.asked]
        if not new:
            return
        seen.asked.update(new)
        access, snapshots = await asyncio.gather(
            self._hub.access(actor, new), self._store.snapshots(new)
        )
        seen.access.update(access)
        seen.snapshots.update({u: s for u, s in snapshots.items() if u in access})

    async def _survey(
        self, actor: Actor, reading: Reading, findings: Findings, seen: "_Seen"
    ) -> Surveyed:
        outputs = list(findings.outputs)
        troubles, downstream, neighbours, _ = await asyncio.gather(
            self._troubles(findings.inputs, seen),
            self._hub.downstream(outputs, _DOWNSTREAM) if outputs else _nothing(),
            self._neighbours(actor, reading, findings),
            self._look(actor, _around(findings, seen.snapshots), seen),
        )
        return Surveyed(
            snapshots=seen.snapshots,
            troubles=troubles,
            downstream={urn: frozenset(reach.steps) for urn, reach in downstream.items()},
            neighbours=neighbours,
            visible=frozenset(seen.access),
        )

    async def _troubles(
        self, urns: Sequence[str], seen: "_Seen"
    ) -> Mapping[str, Sequence[Trouble]]:
        if not urns:
            return {}
        quality, alerts, outlooks, incidents = await asyncio.gather(
            self._store.quality_of(urns),
            self._store.active_alerts(urns),
            self._store.outlooks_of(urns, 1),
            self._hub.open_incidents(urns),
        )
        return {
            urn: tuple(
                troubles_of(
                    seen.access[urn],
                    quality.get(urn),
                    alerts.get(urn, ()),
                    outlooks.get(urn, ()),
                    incidents.get(urn, ()),
                )
            )
            for urn in urns
            if urn in seen.access
        }

    async def _neighbours(
        self, actor: Actor, reading: Reading, findings: Findings
    ) -> Mapping[str, Sequence[str]]:
        """Return the names of what lies beside each new output, by its name in the SQL."""
        new = [o for o in findings.analysis.outputs if o.urn is None and not o.temporary]
        if not new or self._rules.output_name is not None:
            return {}
        around = reading.around
        beside: dict[str, list[str]] = {}
        urns = await self._all_urns()
        for output in new:
            above = [part.casefold() for part in output.name.parts[:-1]]
            if not above:
                defaults = (around.default_database, around.default_schema)
                above = [part.casefold() for part in defaults if part]
            if not above and findings.inputs:
                above = dataset_name(findings.inputs[0]).casefold().split(".")[:-1]
            beside[output.name.text] = [
                urn for urn in urns if above and _lies_in(urn, above, around.platform)
            ][:_NEIGHBOURS]
        access = await self._hub.access(
            actor, list(dict.fromkeys(urn for found in beside.values() for urn in found))
        )
        return {
            name: [dataset_name(urn).rpartition(".")[2] for urn in found if urn in access]
            for name, found in beside.items()
        }

    async def _all_urns(self) -> tuple[str, ...]:
        """Return all urns that there are, or were within the last minute."""
        now = time.monotonic()
        if self._names is None or now - self._names[0] > _NAMES_FOR_S:
            self._names = (now, tuple(sorted(await self._store.snapshot_urns())))
        return self._names[1]

    async def _alternatives(
        self,
        actor: Actor,
        reading: Reading,
        findings: Findings,
        surveyed: Surveyed,
        named: Mapping[str, Sequence[str]],
        seen: "_Seen",
    ) -> list[Alternative]:
        """Return healthy datasets in place of bad inputs and of names that are no dataset."""
        bad = [
            urn
            for urn in findings.inputs
            if seen.snapshots[urn].dataset.deprecated
            or seen.snapshots[urn].dataset.removed
            or any(trouble.code in _BAD for trouble in surveyed.troubles.get(urn, ()))
        ]
        unknown = list(findings.analysis.unknown)
        if not bad and not unknown:
            return []
        ideas: dict[str, dict[str, str]] = {}
        similar = await self._similar(actor, bad)
        for urn in bad:
            found = ideas.setdefault(urn, {})
            replacement = seen.snapshots[urn].dataset.replacement
            if replacement is not None:
                found[replacement] = "named as its replacement"
            same = named.get(table_key(urn)) or ()
            found.update({u: "of the same name" for u in same if u != urn})
            for hit in similar.get(urn, ()):
                found.setdefault(hit.urn, "similar in meaning")
        for name in unknown:
            found = ideas.setdefault(name.text, {})
            found.update(dict.fromkeys(named.get(name.last.casefold(), ()), "of the same name"))
            for urn in await self._alike(name.last, reading.around.platform):
                found.setdefault(urn, "of a name like it")
            for urn in await self._about(actor, name.last, reading.around.platform):
                found.setdefault(urn, "found by the words of the name")
        await self._look(actor, [u for found in ideas.values() for u in found], seen)
        wanted = dict.fromkeys(u for f in ideas.values() for u in f if u in seen.snapshots)
        troubles = await self._troubles(list(wanted), seen)
        self._suggest(findings, ideas, seen)
        return [
            alternative
            for instead_of, found in ideas.items()
            for alternative in _healthy(instead_of, found, findings, seen.snapshots, troubles)
        ]

    async def _similar(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, tuple[Hit, ...]]:
        if not urns:
            return {}
        try:
            return await self._search.similar_to(actor, urns, _SIMILAR)
        except DependencyError as error:
            _log.warning("no similar datasets: %s", error.public_message)
            return {}

    async def _about(self, actor: Actor, name: str, platform: str | None) -> Sequence[str]:
        words = split_words(name)
        if not words:
            return ()
        filters = SearchFilters(platforms=(platform,) if platform else ())
        try:
            page = await self._search.search(actor, words, filters, _SIMILAR, None)
        except DependencyError as error:
            _log.warning("no datasets of a like name: %s", error.public_message)
            return ()
        return [hit.urn for hit in page.hits]

    async def _alike(self, name: str, platform: str | None) -> Sequence[str]:
        """Return datasets whose name is written almost so."""
        urns = await self._all_urns()
        return await asyncio.to_thread(_written_alike, name, platform, urns)

    def _suggest(
        self, findings: Findings, ideas: Mapping[str, Mapping[str, str]], seen: "_Seen"
    ) -> None:
        """Give unknown tables the best name that the caller may see as their fix."""
        analysis = findings.analysis
        for finding in list(analysis.findings):
            if finding.code is not Code.UNKNOWN_TABLE or finding.fix is not None:
                continue
            name = next(
                (n for n, place in analysis.unknown.items() if place == finding.place), None
            )
            if name is None:
                continue
            best = next(
                (
                    urn
                    for urn, why in ideas.get(name.text, {}).items()
                    if urn in seen.snapshots and why != "found by the words of the name"
                ),
                None,
            )
            if best is None:
                continue
            other = dataset_name(best)
            if len(name.parts) == 1:
                other = other.rpartition(".")[2]
            analysis.findings.pop(finding)
            better: Finding = replace(finding, fix=Fix(f"Write {other}.", finding.place, other))
            analysis.findings[better] = None


@dataclass(slots=True)
class _Seen:
    """What was asked for, and what of it the actor may see."""

    asked: set[str] = field(default_factory=set)
    access: dict[str, Access] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


async def _nothing() -> Mapping[str, Reach]:
    return {}


def _around(findings: Findings, snapshots: Mapping[str, Snapshot]) -> list[str]:
    """Return what is spoken of beside inputs and outputs: consumers and replacements."""
    consumers = (u for out in findings.outputs for u in snapshots[out].lineage.downstream)
    replacements = (
        replacement
        for urn in findings.inputs
        if (replacement := snapshots[urn].dataset.replacement) is not None
    )
    return list(dict.fromkeys((*consumers, *replacements)))


def _lies_in(urn: str, above: Sequence[str], platform: str | None) -> bool:
    if platform is not None and platform not in urn:
        return False
    path = dataset_name(urn).casefold().split(".")[:-1]
    size = min(len(path), len(above))
    return size > 0 and path[-size:] == list(above[-size:])


def _written_alike(name: str, platform: str | None, urns: Iterable[str]) -> list[str]:
    key = name.casefold()
    near: dict[str, list[str]] = {}
    for urn in urns:
        if platform is not None and platform not in urn:
            continue
        other = table_key(urn)
        if abs(len(other) - len(key)) <= 3 and (other[:1] == key[:1] or other[-3:] == key[-3:]):
            near.setdefault(other, []).append(urn)
    return [urn for other in nearest(key, near, limit=3) for urn in near[other][:2]]


def _healthy(
    instead_of: str,
    found: Mapping[str, str],
    findings: Findings,
    snapshots: Mapping[str, Snapshot],
    troubles: Mapping[str, Sequence[Trouble]],
) -> list[Alternative]:
    """Return the best of some datasets that have no fault, those that lack no column first."""
    used = {
        simple_path(column.path) for column in findings.analysis.used if column.urn == instead_of
    }
    fitting: list[Alternative] = []
    for urn, why in found.items():
        if urn not in snapshots or urn in findings.inputs or urn in findings.outputs:
            continue
        dataset = snapshots[urn].dataset
        if dataset.deprecated or dataset.removed or troubles.get(urn):
            continue
        has = {entry.name.casefold() for entry in dataset.fields}
        missing = tuple(sorted(name for name in used if name.casefold() not in has))
        if used and len(missing) > len(used) / 2:
            continue
        fitting.append(Alternative(urn, instead_of, why, missing))
    fitting.sort(key=lambda alternative: len(alternative.missing))
    return fitting[:_ALTERNATIVES]


def _key(actor: Actor, request: VerifyRequest) -> str:
    """Return the key of an answer: it differs for whoever may see other things."""
    content = b"\0".join((actor.urn.encode(), _REQUEST.dump_json(request)))
    return f"verify:{hashlib.sha256(content).hexdigest()}"
