"""The search index in this process: exact, and as fast as a few thousand documents ask for."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dataspoke.knowledge.lexical import frequencies, ranks
from dataspoke.knowledge.model import Candidate, Document, Neighbour, SearchFilters
from dataspoke.ports.vectors import Entry


class MemoryVectors:
    """Keeps entries by urn."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._words: dict[str, Mapping[str, float]] = {}

    async def upsert(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            stored = self._entries.get(entry.document.urn)
            if stored is None or stored.version <= entry.version:
                self._entries[entry.document.urn] = entry
                self._words[entry.document.urn] = frequencies(entry.document)

    async def delete(self, versions: Mapping[str, int]) -> None:
        for urn, version in versions.items():
            stored = self._entries.get(urn)
            if stored is not None and stored.version <= version:
                del self._entries[urn], self._words[urn]

    async def versions(self, urns: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
        found = (self._entries[urn] for urn in urns if urn in self._entries)
        return {entry.document.urn: (entry.document.content_hash, entry.model) for entry in found}

    async def urns(self) -> frozenset[str]:
        return frozenset(self._entries)

    async def count(self) -> int:
        return len(self._entries)

    async def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        lexical = ranks(self._words, text)
        candidates = [
            _candidate(entry, lexical.get(urn), vector if entry.model == model else None)
            for urn, entry in sorted(self._entries.items())
            if filters.admit(entry.document.attributes)
        ]
        best: set[str] = set()
        for name in ("lexical", "similarity", "column_similarity"):
            scored = [c for c in candidates if getattr(c, name) is not None]
            scored.sort(key=lambda c: -getattr(c, name))
            best.update(candidate.urn for candidate in scored[:limit])
        return [candidate for candidate in candidates if candidate.urn in best]

    async def documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        return {urn: entry.document for urn, entry in (await self.entries(urns)).items()}

    async def entries(self, urns: Sequence[str]) -> Mapping[str, Entry]:
        return {urn: self._entries[urn] for urn in urns if urn in self._entries}

    async def neighbours(
        self, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Neighbour]]:
        return {
            urn: self._nearest(self._entries[urn], limit)
            for urn in urns
            if urn in self._entries and self._entries[urn].vector is not None
        }

    def _nearest(self, asked: Entry, limit: int) -> Sequence[Neighbour]:
        others = [
            Neighbour(urn, float(asked.vector @ entry.vector))
            for urn, entry in self._entries.items()
            if entry is not asked
            and asked.vector is not None
            and entry.vector is not None
            and entry.model == asked.model
        ]
        return sorted(others, key=lambda neighbour: (-neighbour.similarity, neighbour.urn))[:limit]


def _candidate(
    entry: Entry, lexical: float | None, vector: NDArray[np.float32] | None
) -> Candidate:
    similarity = column_similarity = group = None
    if vector is not None and entry.vector is not None:
        similarity = float(vector @ entry.vector)
        if entry.group_vectors:
            near = np.stack(entry.group_vectors) @ vector
            group = int(near.argmax())
            column_similarity = float(near[group])
    return Candidate(
        entry.document.urn,
        entry.document.attributes,
        lexical,
        similarity,
        column_similarity,
        group,
    )
