"""A small working hub that lives in memory, for tests of what is built on the port."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from dataspoke.catalogue import Dataset, Lineage, Operation, Profile, Query, Reach, Usage
from dataspoke.errors import DependencyError, Unauthenticated
from dataspoke.ports.hub import (
    Access,
    Actor,
    EventPage,
    Hub,
    HubInfo,
    Incident,
    MetadataEvent,
    OpenIncident,
    RejectedEvent,
    Scores,
    Topic,
)
from dataspoke.quality.model import Check, Result, Status
from dataspoke.urns import incident_urn

FULL_ACCESS = Access(view_profile=True, view_operations=True, edit_assertions=True, view_usage=True)


class MemoryHub(Hub):
    """Holds what it is given; ``results``, ``incidents`` and ``scores`` show what was written.

    While ``failure`` is set, every call raises it.
    """

    def __init__(self) -> None:
        self.results: dict[tuple[str, str, datetime], Result] = {}
        self.rules: dict[UUID, str] = {}
        self.incidents: dict[UUID, Incident] = {}
        self.scores: dict[str, Scores] = {}
        self.terms: dict[str, str] = {}
        self.failure: DependencyError | None = None
        self._datasets: dict[str, Dataset] = {}
        self._profiles: dict[str, tuple[Profile, ...]] = {}
        self._operations: dict[str, tuple[Operation, ...]] = {}
        self._usage: dict[str, tuple[Usage, ...]] = {}
        self._queries: dict[str, tuple[Query, ...]] = {}
        self._upstream: dict[str, tuple[str, ...]] = {}
        self._actors: dict[str, Actor] = {}
        self._rights: dict[str, Mapping[str, Access | None]] = {}
        self._events: dict[Topic, list[MetadataEvent | RejectedEvent]] = {
            topic: [] for topic in Topic
        }

    # --- what a test sets up ---

    def put(
        self,
        dataset: Dataset,
        *,
        profiles: Sequence[Profile] | None = None,
        operations: Sequence[Operation] | None = None,
        usage: Sequence[Usage] | None = None,
        queries: Sequence[Query] | None = None,
        upstream: Sequence[str] | None = None,
    ) -> None:
        """Add or replace a dataset; what is None stays as it was. Adds no event."""
        self._datasets[dataset.urn] = dataset
        if profiles is not None:
            self._profiles[dataset.urn] = tuple(sorted(profiles, key=lambda run: run.time))
        if operations is not None:
            self._operations[dataset.urn] = tuple(sorted(operations, key=lambda run: run.time))
        if usage is not None:
            self._usage[dataset.urn] = tuple(sorted(usage, key=lambda day: day.time))
        if queries is not None:
            self._queries[dataset.urn] = tuple(
                sorted(queries, key=lambda query: (-query.count, query.statement))
            )
        if upstream is not None:
            self._upstream[dataset.urn] = tuple(upstream)

    def delete(self, urn: str) -> None:
        """Remove a dataset and all that belongs to it."""
        for kept in (
            self._datasets,
            self._profiles,
            self._operations,
            self._usage,
            self._queries,
            self._upstream,
        ):
            kept.pop(urn, None)

    def admit(
        self,
        token: str,
        urn: str,
        *,
        can_manage: bool = False,
        rights: Mapping[str, Access | None] | None = None,
        groups: Sequence[str] = (),
    ) -> Actor:
        """Make a token known and return whose it is.

        ``rights`` names the datasets on which the actor has not all rights: None hides one.
        """
        actor = Actor(urn, token, can_manage, tuple(groups))
        self._actors[token] = actor
        self._rights[token] = rights or {}
        return actor

    def emit(self, topic: Topic, event: MetadataEvent | RejectedEvent) -> None:
        """Append an event to a stream, or what shall pass for one that cannot be read."""
        self._events[topic].append(event)

    # --- the port ---

    async def info(self) -> HubInfo:
        self._answer()
        return HubInfo(version="1.7.0", server_type="memory", stand_in=True)

    async def actor(self, token: str) -> Actor:
        self._answer()
        try:
            return self._actors[token]
        except KeyError:
            raise Unauthenticated("The hub does not accept this token.") from None

    async def access(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Access]:
        self._answer()
        if actor.token not in self._actors:
            raise Unauthenticated("The hub does not accept this token.")
        rights = self._rights[actor.token]
        granted = {urn: rights.get(urn, FULL_ACCESS) for urn in urns if urn in self._datasets}
        return {urn: access for urn, access in granted.items() if access is not None}

    async def scroll(self, batch_size: int) -> AsyncIterator[Sequence[str]]:
        self._answer()
        present = sorted(urn for urn, dataset in self._datasets.items() if not dataset.removed)
        for start in range(0, len(present), batch_size):
            yield present[start : start + batch_size]
            self._answer()

    async def glossary(self) -> Mapping[str, str]:
        self._answer()
        return dict(self.terms)

    async def datasets(self, urns: Sequence[str]) -> Mapping[str, Dataset]:
        self._answer()
        return {urn: self._datasets[urn] for urn in urns if urn in self._datasets}

    async def profiles(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Profile]]:
        self._answer()
        return {
            urn: [run for run in self._profiles.get(urn, ()) if run.time >= since]
            for urn in urns
            if urn in self._datasets
        }

    async def operations(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Operation]]:
        self._answer()
        return {
            urn: [run for run in self._operations.get(urn, ()) if run.time >= since]
            for urn in urns
            if urn in self._datasets
        }

    async def usage(self, urns: Sequence[str], since: datetime) -> Mapping[str, Sequence[Usage]]:
        self._answer()
        return {
            urn: [day for day in self._usage.get(urn, ()) if day.time >= since]
            for urn in urns
            if urn in self._datasets
        }

    async def queries(self, urns: Sequence[str], since: datetime) -> Mapping[str, Sequence[Query]]:
        self._answer()
        return {
            urn: [query for query in self._queries.get(urn, ()) if query.last_at >= since]
            for urn in urns
            if urn in self._datasets
        }

    async def lineage(self, urns: Sequence[str]) -> Mapping[str, Lineage]:
        self._answer()
        return {
            urn: Lineage(tuple(self._above(urn)), tuple(self._below(urn)))
            for urn in urns
            if urn in self._datasets
        }

    async def upstream(self, urns: Sequence[str], limit: int) -> Mapping[str, Reach]:
        self._answer()
        return {u: _reach(u, self._above, limit) for u in urns if u in self._datasets}

    async def downstream(self, urns: Sequence[str], limit: int) -> Mapping[str, Reach]:
        self._answer()
        return {u: _reach(u, self._below, limit) for u in urns if u in self._datasets}

    async def open_incidents(self, urns: Sequence[str]) -> Mapping[str, Sequence[OpenIncident]]:
        self._answer()
        found: dict[str, list[OpenIncident]] = {}
        for each in sorted(self.incidents.values(), key=lambda each: each.raised_at, reverse=True):
            if each.active and each.urn in urns and each.urn in self._datasets:
                shown = OpenIncident(incident_urn(each.id), each.title, each.raised_at)
                found.setdefault(each.urn, []).append(shown)
        return {urn: incidents[:10] for urn, incidents in found.items()}

    async def write_results(
        self, results: Sequence[Result], rules: Mapping[UUID, str] | None = None
    ) -> None:
        self._answer()
        self.rules |= rules or {}
        for result in results:
            if result.judgement.status is not Status.WARMING_UP:
                key = (result.urn, result.check.key, result.judgement.point.time)
                self.results[key] = result

    async def remove_checks(self, urn: str, checks: Sequence[Check]) -> None:
        self._answer()
        for key in [key for key in self.results if key[0] == urn and Check.parse(key[1]) in checks]:
            del self.results[key]

    async def write_incidents(self, incidents: Sequence[Incident]) -> None:
        self._answer()
        for incident in incidents:
            old = self.incidents.get(incident.id)
            newer = incident.active if old is None else old.changed_at < incident.changed_at
            if newer:
                self.incidents[incident.id] = incident

    async def write_scores(self, scores: Sequence[Scores]) -> None:
        self._answer()
        for new in scores:
            if new.urn not in self._datasets:
                continue
            old = self.scores.get(new.urn, new)
            self.scores[new.urn] = Scores(
                urn=new.urn,
                quality=old.quality if new.quality is None else new.quality,
                health=old.health if new.health is None else new.health,
            )

    async def poll(
        self, topic: Topic, cursor: str | None, limit: int, wait: timedelta
    ) -> EventPage:
        """Never waits: a test emits first and polls then."""
        self._answer()
        stream = self._events[topic]
        start = len(stream) if cursor is None else int(cursor)
        page = stream[start : start + limit]
        return EventPage(
            cursor=str(start + len(page)),
            events=tuple(event for event in page if isinstance(event, MetadataEvent)),
            rejected=tuple(event for event in page if isinstance(event, RejectedEvent)),
        )

    def _above(self, urn: str) -> Sequence[str]:
        return self._upstream.get(urn, ())

    def _below(self, urn: str) -> Sequence[str]:
        return sorted(below for below, above in self._upstream.items() if urn in above)

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure


def _reach(urn: str, neighbours: Callable[[str], Sequence[str]], limit: int) -> Reach:
    steps = {urn: 0}
    # Grows while it is walked: nearest first.
    queue = [urn]
    for each in queue:
        for neighbour in sorted(neighbours(each)):
            if neighbour not in steps:
                steps[neighbour] = steps[each] + 1
                queue.append(neighbour)
    found = {each: steps[each] for each in queue[1 : limit + 1]}
    return Reach(found, complete=len(queue) - 1 <= limit)
