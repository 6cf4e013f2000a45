"""What is kept of the catalogue, so that a check need not ask the hub: a part of the store."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dataspoke.knowledge.model import Signals, Snapshot, Vocabulary


class KnowledgeReads(Protocol):
    """Snapshots of datasets. They follow the hub within seconds, and hold nothing of their own."""

    async def snapshots(self, urns: Sequence[str]) -> Mapping[str, Snapshot]:
        """Return what is known of each dataset; unknown ones are absent."""
        ...

    async def domains_of(self, urns: Sequence[str]) -> Mapping[str, str]:
        """Return the domain of each dataset, by its snapshot; those without one are absent."""
        ...

    async def carriers(self, urns: Sequence[str]) -> Sequence[str]:
        """Return the datasets that have one of these as owner, tag, term or domain, ordered by urn.

        Tags and terms of columns count, and the domains of consumers. One whose description is
        such a urn, and nothing else, may be among them.
        """
        ...

    async def snapshot_urns(self) -> frozenset[str]:
        """Return the urns of all snapshots."""
        ...

    async def tables(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the datasets whose name ends with one of these, in any case, ordered by urn.

        ``names`` are last components of qualified names; the answer has them in lower case
        (``str.casefold``). Those that no dataset has are absent.
        """
        ...

    async def urns_like(self, terms: Sequence[str], limit: int) -> Sequence[str]:
        """Return datasets whose urn holds most of these stems, in any case: the best ``limit``.

        It is for when nothing better answers: it reads every urn. Equal ones come the shortest
        first, then by urn; those without any are absent.
        """
        ...

    async def signals(self, urns: Sequence[str]) -> Mapping[str, Signals]:
        """Return what was judged of these datasets last, all of it; others are absent."""
        ...

    async def labels(self) -> Mapping[str, str]:
        """Return what people call each tag, term, owner, domain and platform of a snapshot.

        Where the hub has no name for it, that is the end of its urn. One that no dataset has any
        more may still be there.
        """
        ...

    async def vocabulary(self) -> Vocabulary:
        """Return what was learned of the catalogue's language last; empty where nothing was."""
        ...


class KnowledgeWrites(Protocol):
    async def save_snapshots(self, snapshots: Mapping[str, tuple[Snapshot, int]]) -> None:
        """Keep each dataset's snapshot with the version of the request it answers.

        One that is stored in a newer version stays.
        """
        ...

    async def delete_snapshots(self, versions: Mapping[str, int]) -> None:
        """Remove each dataset's snapshot where its version is not newer."""
        ...

    async def save_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Replace what was learned."""
        ...
