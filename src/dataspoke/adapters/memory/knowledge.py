"""Snapshots in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dataspoke.knowledge.model import Signals, Snapshot, Vocabulary, labels_of
from dataspoke.quality.model import Dimension, Metric
from dataspoke.urns import table_key

if TYPE_CHECKING:
    from dataspoke.adapters.memory.store import Tables


@dataclass
class KnowledgeTable:
    snapshots: dict[str, tuple[Snapshot, int]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)

    def copy(self) -> "KnowledgeTable":
        return KnowledgeTable(dict(self.snapshots), dict(self.labels), self.vocabulary)


class KnowledgeReads(Protocol):
    """Mixed into the store."""

    _tables: "Tables"

    async def snapshots(self, urns: Sequence[str]) -> Mapping[str, Snapshot]:
        stored = self._tables.knowledge.snapshots
        return {urn: stored[urn][0] for urn in urns if urn in stored}

    async def domains_of(self, urns: Sequence[str]) -> Mapping[str, str]:
        known = await self.snapshots(urns)
        domains = {urn: snapshot.dataset.domain for urn, snapshot in known.items()}
        return {urn: domain for urn, domain in domains.items() if domain is not None}

    async def carriers(self, urns: Sequence[str]) -> Sequence[str]:
        wanted = set(urns)
        stored = self._tables.knowledge.snapshots
        return sorted(
            urn
            for urn, (snapshot, _) in stored.items()
            if not wanted.isdisjoint({*labels_of(snapshot), *snapshot.consumers})
        )

    async def snapshot_urns(self) -> frozenset[str]:
        return frozenset(self._tables.knowledge.snapshots)

    async def tables(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        wanted = {name.casefold() for name in names}
        found: dict[str, list[str]] = {}
        for urn in sorted(self._tables.knowledge.snapshots):
            if (key := table_key(urn)) in wanted:
                found.setdefault(key, []).append(urn)
        return found

    async def urns_like(self, terms: Sequence[str], limit: int) -> Sequence[str]:
        held = {
            urn: sum(term.casefold() in urn.casefold() for term in terms)
            for urn in self._tables.knowledge.snapshots
        }
        found = [urn for urn, count in held.items() if count]
        return sorted(found, key=lambda urn: (-held[urn], len(urn), urn))[:limit]

    async def signals(self, urns: Sequence[str]) -> Mapping[str, Signals]:
        found = {urn: self._signals_of(urn) for urn in urns}
        return {urn: signals for urn, signals in found.items() if signals != Signals()}

    def _signals_of(self, urn: str) -> Signals:
        tables = self._tables
        snapshot, _ = tables.knowledge.snapshots.get(urn, (None, 0))
        verdict, health = tables.verdicts.get(urn), tables.health.get(urn)
        results = () if verdict is None else verdict.results
        dimensions = () if verdict is None else verdict.dimensions
        alerts = sorted(
            (alert.check.key, alert.check, alert.severity)
            for alert in tables.alerts.values()
            if alert.urn == urn and alert.active
        )
        return Signals(
            deprecated=snapshot is not None and snapshot.dataset.deprecated,
            health=None if health is None else health.value,
            freshness=next(
                (d.status for d in dimensions if d.dimension is Dimension.FRESHNESS), None
            ),
            queries=next(
                (
                    result.judgement.point.value
                    for result in results
                    if result.check.metric is Metric.QUERY_COUNT
                ),
                None,
            ),
            alerts=tuple((check, severity) for _, check, severity in alerts)
            if verdict is not None or alerts
            else None,
        )

    async def labels(self) -> Mapping[str, str]:
        return dict(self._tables.knowledge.labels)

    async def vocabulary(self) -> Vocabulary:
        return self._tables.knowledge.vocabulary


class KnowledgeWrites(Protocol):
    """Mixed into the transaction."""

    _tables: "Tables"

    async def save_snapshots(self, snapshots: Mapping[str, tuple[Snapshot, int]]) -> None:
        stored = self._tables.knowledge.snapshots
        for urn, (snapshot, version) in snapshots.items():
            if urn not in stored or stored[urn][1] <= version:
                stored[urn] = (snapshot, version)
            self._tables.knowledge.labels.update(labels_of(snapshot))

    async def delete_snapshots(self, versions: Mapping[str, int]) -> None:
        stored = self._tables.knowledge.snapshots
        for urn, version in versions.items():
            if urn in stored and stored[urn][1] <= version:
                del stored[urn]

    async def save_vocabulary(self, vocabulary: Vocabulary) -> None:
        self._tables.knowledge.vocabulary = vocabulary
