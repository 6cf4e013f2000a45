"""Keeping snapshots and the search index in step with the hub."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataspoke.catalogue import Lineage, Reach
from dataspoke.errors import DependencyError
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.model import Document, Snapshot, Vocabulary
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Hub
from dataspoke.ports.store import IndexRequest, JobKind, Lease, NewJob, Store, Transaction
from dataspoke.ports.vectors import Entry, Vectors
from dataspoke.urns import is_dataset

_log = logging.getLogger(__name__)

_BATCH = 64
# A job ends well before its time limit and lets others have their turn; the next one goes on.
_BATCHES_PER_JOB = 16
# So many datasets downstream are looked at for the domains that use one.
_CONSUMERS = 200

# Serves all index requests; while it waits, a second joins it.
REINDEX = NewJob(JobKind.REINDEX, dedupe_key=JobKind.REINDEX)


class IndexService:
    """Makes a snapshot and a document of each dataset. With no embedder they have no vectors."""

    def __init__(self, hub: Hub, store: Store, vectors: Vectors, embedder: Embedder | None) -> None:
        self._hub = hub
        self._store = store
        self._vectors = vectors
        self._embedder = embedder

    async def reindex(self, lease: Lease | None) -> None:
        """Serve the index requests, oldest first; adds a job where it leaves some.

        A request is finished after its document is stored, so one that is interrupted is served
        again; what is unchanged costs no embedding.
        """
        vocabulary = await self._store.vocabulary()
        requests = await self._store.index_requests(_BATCH)
        for _ in range(_BATCHES_PER_JOB - 1):
            if len(requests) < _BATCH:
                break
            served = await self._serve(requests, vocabulary)
            async with self._store.transaction() as tx:
                await served.save(tx)
            requests = await self._store.index_requests(_BATCH)
        served = await self._serve(requests, vocabulary)
        async with self._store.transaction(lease) as tx:
            await served.save(tx)
            if len(requests) == _BATCH or served.affected:
                await tx.add_jobs([REINDEX])

    async def reconcile(self, lease: Lease | None) -> None:
        """Ask for every document that is out of step, and forget datasets that left the hub.

        What the hub's list lacks is asked for by name before it counts as gone: the list comes
        from the hub's search index, which may lag or be rebuilt. Fails as a whole where the list
        breaks off, so that half a list removes nothing.
        """
        vocabulary = await self._store.vocabulary()
        listed: set[str] = set()
        stale: list[str] = []
        async for urns in self._hub.scroll(_BATCH):
            listed.update(urns)
            stale += await self._stale(urns, vocabulary)
        indexed = await self._vectors.urns() | await self._store.snapshot_urns()
        unlisted = sorted((indexed | await self._store.known_datasets()) - listed)
        gone: list[str] = []
        for batch in _batches(unlisted):
            there = await self._hub.datasets(batch)
            gone += [urn for urn in batch if urn not in there]
            stale += await self._stale(list(there), vocabulary)
        requests = stale + [urn for urn in gone if urn in indexed]
        async with self._store.transaction(lease) as tx:
            await tx.forget(gone)
            await tx.request_index(requests)
            if requests:
                await tx.add_jobs([REINDEX])
        _log.info(
            "reconciled: %d datasets in the hub, %d documents out of step, %d datasets gone",
            len(listed),
            len(stale),
            len(gone),
        )

    async def _snapshots(self, urns: Sequence[str]) -> Mapping[str, Snapshot]:
        """Return what the hub says of these datasets now; those that it lacks are absent."""
        datasets = await self._hub.datasets([urn for urn in urns if is_dataset(urn)])
        there = list(datasets)
        lineage = await self._hub.lineage(there)
        reached = await self._hub.downstream(there, _CONSUMERS)
        consumers = sorted({other for reach in reached.values() for other in reach.steps})
        domains = await self._store.domains_of(consumers)
        return {
            urn: Snapshot(
                dataset,
                lineage.get(urn, Lineage()),
                consumers=tuple(
                    sorted(
                        {
                            domains[other]
                            for other in reached.get(urn, Reach()).steps
                            if other in domains
                        }
                    )
                ),
            )
            for urn, dataset in datasets.items()
        }

    async def _serve(self, requests: Sequence[IndexRequest], vocabulary: Vocabulary) -> "_Served":
        versions = {request.urn: request.version for request in requests}
        if not versions:
            return _Served((), {}, {}, ())
        snapshots = await self._snapshots(list(versions))
        documents = _documents(snapshots, vocabulary)
        stored = await self._vectors.versions(list(documents))
        changed = [
            document for document in documents.values() if not self._is_current(document, stored)
        ]
        await self._vectors.upsert(await self._entries(changed, versions))
        await self._vectors.delete(
            {urn: version for urn, version in versions.items() if urn not in documents}
        )
        return _Served(
            requests,
            {urn: (snapshot, versions[urn]) for urn, snapshot in snapshots.items()},
            {urn: version for urn, version in versions.items() if urn not in snapshots},
            await self._affected(snapshots),
        )

    async def _affected(self, snapshots: Mapping[str, Snapshot]) -> Sequence[str]:
        """Return the datasets whose consumers have changed with these snapshots."""
        before = await self._store.snapshots(list(snapshots))
        moved = [
            urn
            for urn, snapshot in snapshots.items()
            if _passed_on(snapshot) != (_passed_on(before[urn]) if urn in before else (None, ()))
        ]
        if not moved:
            return ()
        sources = await self._hub.upstream(moved, _CONSUMERS)
        urns = {urn for reach in sources.values() for urn in reach.steps}
        return sorted(await self._store.snapshots(sorted(urns)))

    async def _entries(
        self, documents: Sequence[Document], versions: Mapping[str, int]
    ) -> list[Entry]:
        model: str | None = None
        vectors: Mapping[str, NDArray[np.float32]] = {}
        if self._embedder is not None and documents:
            try:
                vectors = await self._embedded(documents, self._embedder)
                model = self._embedder.model
            except DependencyError as error:
                # They can be found by their words meanwhile; reconcile sees that the model lacks.
                _log.warning("%d documents not embedded: %s", len(documents), error.public_message)
        return [
            Entry(
                document,
                vectors.get(document.text),
                tuple(vectors[group.text] for group in document.groups) if vectors else (),
                model,
                versions[document.urn],
            )
            for document in documents
        ]

    async def _embedded(
        self, documents: Sequence[Document], embedder: Embedder
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the vector of each text; what the index holds already is not embedded again."""
        vectors: dict[str, NDArray[np.float32]] = {}
        for entry in (await self._vectors.entries([d.urn for d in documents])).values():
            if entry.model == embedder.model and entry.vector is not None:
                vectors[entry.document.text] = entry.vector
                texts = (group.text for group in entry.document.groups)
                vectors.update(zip(texts, entry.group_vectors, strict=True))
        wanted = (text for document in documents for text in _texts(document))
        new = [text for text in dict.fromkeys(wanted) if text not in vectors]
        if new:
            vectors.update(zip(new, await embedder.embed_documents(new), strict=True))
        return vectors

    async def _stale(self, urns: Sequence[str], vocabulary: Vocabulary) -> list[str]:
        """Return those whose snapshot or document is missing, outdated or no longer wanted."""
        snapshots = await self._snapshots(urns)
        documents = _documents(snapshots, vocabulary)
        kept, stored = await self._store.snapshots(urns), await self._vectors.versions(urns)
        outdated = [
            urn
            for urn, snapshot in snapshots.items()
            if kept.get(urn) != snapshot
            or (urn in documents and not self._is_current(documents[urn], stored))
        ]
        unwanted = {urn for urn in stored if urn not in documents} | (
            kept.keys() - snapshots.keys()
        )
        return outdated + sorted(unwanted - set(outdated))

    def _is_current(self, document: Document, stored: Mapping[str, tuple[str, str | None]]) -> bool:
        content_hash, model = stored.get(document.urn, (None, None))
        wanted = self._embedder.model if self._embedder is not None else model
        return (content_hash, model) == (document.content_hash, wanted)


@dataclass(frozen=True, slots=True)
class _Served:
    """What is to be saved once the documents of these requests are stored."""

    requests: Sequence[IndexRequest]
    snapshots: Mapping[str, tuple[Snapshot, int]]
    gone: Mapping[str, int]
    affected: Sequence[str]

    async def save(self, tx: Transaction) -> None:
        await tx.save_snapshots(self.snapshots)
        await tx.delete_snapshots(self.gone)
        await tx.finish_index(self.requests)
        await tx.request_index(self.affected)


def _documents(snapshots: Mapping[str, Snapshot], vocabulary: Vocabulary) -> Mapping[str, Document]:
    """Return the documents that the index should hold: what is soft-deleted is not found."""
    return {
        urn: document_of(snapshot, vocabulary)
        for urn, snapshot in snapshots.items()
        if not snapshot.dataset.removed
    }


def _passed_on(snapshot: Snapshot) -> tuple[str | None, tuple[str, ...]]:
    """What decides the consumers of the datasets upstream."""
    return snapshot.dataset.domain, tuple(sorted(snapshot.lineage.upstream))


def _texts(document: Document) -> Iterator[str]:
    yield document.text
    for group in document.groups:
        yield group.text


def _batches(urns: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(urns), _BATCH):
        yield urns[start : start + _BATCH]
