from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataspoke.knowledge.model import Candidate, Document, SearchFilters


@dataclass(frozen=True, slots=True)
class Entry:
    """A document with its vector of unit length; None where no model was at hand."""

    document: Document
    vector: NDArray[np.float32] | None
    model: str | None


class Vectors(Protocol):
    """The search index: documents, their words and their vectors.

    Raises DependencyUnavailable or DependencyTimeout with port ``vectors`` where it is down.
    """

    async def upsert(self, entries: Sequence[Entry]) -> None:
        """Store or replace each document; the same entry twice changes nothing."""
        ...

    async def delete(self, urns: Sequence[str]) -> None:
        """Remove documents; unknown urns are no error."""
        ...

    async def versions(self, urns: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
        """Return (content hash, model) of each document that is stored."""
        ...

    async def urns(self) -> frozenset[str]:
        """Return the urns of all stored documents."""
        ...

    async def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        """Return the best ``limit`` by words and the best ``limit`` by vector, each once.

        Vectors of another model are not compared. Ordered by urn: ranking is the caller's.
        """
        ...

    async def vectors_of(self, urns: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
        """Return the stored vectors; those without one are absent."""
        ...
