"""Snapshots in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dataspoke.knowledge.model import Snapshot, Vocabulary
from dataspoke.urns import table_key

if TYPE_CHECKING:
    from dataspoke.adapters.memory.store import Tables


@dataclass
class KnowledgeTable:
    snapshots: dict[str, tuple[Snapshot, int]] = field(default_factory=dict)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)

    def copy(self) -> "KnowledgeTable":
        return KnowledgeTable(dict(self.snapshots), self.vocabulary)


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

    async def snapshot_urns(self) -> frozenset[str]:
        return frozenset(self._tables.knowledge.snapshots)

    async def tables(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        wanted = {name.casefold() for name in names}
        found: dict[str, list[str]] = {}
        for urn in sorted(self._tables.knowledge.snapshots):
            if (key := table_key(urn)) in wanted:
                found.setdefault(key, []).append(urn)
        return found

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

    async def delete_snapshots(self, versions: Mapping[str, int]) -> None:
        stored = self._tables.knowledge.snapshots
        for urn, version in versions.items():
            if urn in stored and stored[urn][1] <= version:
                del stored[urn]

    async def save_vocabulary(self, vocabulary: Vocabulary) -> None:
        self._tables.knowledge.vocabulary = vocabulary
