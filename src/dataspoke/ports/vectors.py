from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataspoke.knowledge.model import Candidate, Document, Neighbour, SearchFilters


@dataclass(frozen=True, slots=True)
class Entry:
    """A document with its vectors of unit length; None and empty where no model was at hand.

    ``group_vectors`` has one for each of the document's column groups, in order. ``version`` is
    that of the index request it answers: it rises with every change of a dataset, so that a slow
    worker cannot put back what a faster one has replaced since.
    """

    document: Document
    vector: NDArray[np.float32] | None
    group_vectors: tuple[NDArray[np.float32], ...]
    model: str | None
    version: int


class Vectors(Protocol):
    """The search index: documents, their words and their vectors.

    Raises DependencyUnavailable or DependencyTimeout with port ``vectors`` where it is down.
    """

    async def upsert(self, entries: Sequence[Entry]) -> None:
        """Store or replace each document that is not stored in a newer version.

        Each of them whole, and all or none where the index has transactions; the same entry twice
        changes nothing. Until all documents have been stored by a new model, vectors of the former
        one may be kept of texts that did not change.
        """
        ...

    async def delete(self, versions: Mapping[str, int]) -> None:
        """Remove each urn's document where its version is not newer; unknown urns are no error."""
        ...

    async def versions(self, urns: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
        """Return (content hash, model) of each document that is stored."""
        ...

    async def urns(self) -> frozenset[str]:
        """Return the urns of all stored documents."""
        ...

    async def count(self) -> int:
        """Return the number of stored documents."""
        ...

    async def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        """Return the best ``limit`` by each way of searching, each once.

        The ways are words (BM25F), the vector against those of datasets, and the vector against
        those of column groups, of which a dataset's best one counts. Every candidate carries all
        its scores, whichever way it was found. A text without words, or a vector of None, leaves
        its ways out. Vectors of another model are not compared. Ordered by urn: ranking is the
        caller's.
        """
        ...

    async def documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        """Return those of these documents that are stored."""
        ...

    async def entries(self, urns: Sequence[str]) -> Mapping[str, Entry]:
        """Return what is stored of these documents, with their vectors, to half precision."""
        ...

    async def neighbours(
        self, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Neighbour]]:
        """Return for each document the ``limit`` others most similar to it, the nearest first.

        The vectors of datasets are compared, of its own model only; a document without a vector is
        absent.
        """
        ...
