"""Keeping snapshots and the search index in step with the hub."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from dataspoke.catalogue import Dataset, Lineage, Reach
from dataspoke.errors import DependencyError
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.model import Document, Snapshot, Vocabulary
from dataspoke.knowledge.pages import forget_pages
from dataspoke.knowledge.personal import PERSONAL_WORDS
from dataspoke.knowledge.queries import Observed, observed, referred, table_names
from dataspoke.knowledge.vocabulary import learn
from dataspoke.ports.cache import Cache
from dataspoke.ports.clock import Clock
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Hub
from dataspoke.ports.store import IndexRequest, JobKind, Lease, NewJob, Store, Transaction
from dataspoke.ports.vectors import Entry, Vectors
from dataspoke.urns import is_dataset

_log = logging.getLogger(__name__)

_BATCH = 64
# A job ends well before its time limit and lets others have their turn; the next one goes on.
_BATCHES_PER_JOB = 16
# So many datasets are listed at once, and compared by one job.
_SLICE = 512
# So many datasets downstream are looked at for the domains that use one.
_CONSUMERS = 200
# How far back queries count.
_QUERIES_OF = timedelta(days=90)

# Serves what has just changed; while it waits, a second joins it.
REINDEX = NewJob(JobKind.REINDEX, dedupe_key=JobKind.REINDEX)
RECONCILE = NewJob(JobKind.RECONCILE, dedupe_key=JobKind.RECONCILE)
LEARN = NewJob(JobKind.LEARN_VOCABULARY, dedupe_key=JobKind.LEARN_VOCABULARY)
# Serves what a reconciliation found.
BACKFILL = NewJob(JobKind.BACKFILL, dedupe_key=JobKind.BACKFILL)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far what is kept was from the hub, in numbers of datasets.

    ``snapshots`` are missing or outdated in PostgreSQL, ``documents`` in the index, or are there
    and should not be; ``gone`` have left the hub.
    """

    compared: int = 0
    snapshots: int = 0
    documents: int = 0
    gone: int = 0

    def __add__(self, other: "Drift") -> "Drift":
        return Drift(
            self.compared + other.compared,
            self.snapshots + other.snapshots,
            self.documents + other.documents,
            self.gone + other.gone,
        )


class IndexService:
    """Makes a snapshot and a document of each dataset. With no embedder they have no vectors."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        vectors: Vectors,
        embedder: Embedder | None,
        clock: Clock,
        backfill_per_s: float | None = None,
        cache: Cache | None = None,
        personal_words: frozenset[str] = PERSONAL_WORDS,
    ) -> None:
        """``backfill_per_s``: so many datasets of a back-fill a second at most, None for any.

        ``cache`` is where pages of search results are kept, None for nowhere. ``personal_words``
        mark the labels of personal data, in lower case: values of it are not kept.
        """
        self._hub = hub
        self._store = store
        self._vectors = vectors
        self._embedder = embedder
        self._clock = clock
        self._backfill_per_s = backfill_per_s
        self._cache = cache
        self._personal_words = personal_words

    async def reindex(self, lease: Lease | None) -> None:
        """Serve the requests of what has just changed, oldest first, and add a job for the rest.

        A request is finished after its document is stored, so one that is interrupted is served
        again; what is unchanged costs no embedding.
        """
        await self._serve_all(lease, REINDEX, _BATCHES_PER_JOB)

    async def reindex_carriers(self, lease: Lease | None, urns: Sequence[str]) -> None:
        """Ask for the documents in which these owners, tags, terms or domains are named."""
        carriers = await self._store.carriers(urns)
        async with self._store.transaction(lease) as tx:
            await tx.request_index(carriers)
            if carriers:
                await tx.add_jobs([REINDEX])

    async def backfill(self, lease: Lease | None) -> None:
        """Serve the requests in the background, as ``reindex`` does, not faster than allowed."""
        if self._backfill_per_s is None:
            await self._serve_all(lease, BACKFILL, _BATCHES_PER_JOB)
        else:
            pause = timedelta(seconds=_BATCH / self._backfill_per_s)
            await self._serve_all(lease, replace(BACKFILL, delay=pause), batches=1)

    async def reconcile(self, lease: Lease | None) -> None:
        """Forget datasets that left the hub, and add jobs that compare all others.

        What the hub's list lacks is asked for by name before it counts as gone: the list comes
        from the hub's search index, which may lag or be rebuilt. Fails as a whole where the list
        breaks off, so that half a list removes nothing.
        """
        there, gone = await self._listed()
        async with self._store.transaction(lease) as tx:
            await self._forget(tx, gone)
            await tx.add_jobs([*(_comparing(urns) for urns in _batches(there, _SLICE)), LEARN])
        _log.info("reconciling: %d datasets in the hub, %d gone", len(there), len(gone))

    async def reconcile_datasets(self, lease: Lease | None, urns: Sequence[str]) -> Drift:
        """Ask for every document of these that is out of step, in the background."""
        drift = Drift()
        vocabulary = await self._store.vocabulary()
        stale: list[str] = []
        for batch in _batches(urns, _BATCH):
            found, drifted = await self._stale(batch, vocabulary)
            stale += found
            drift += drifted
        async with self._store.transaction(lease) as tx:
            await tx.request_index(stale, background=True)
            if stale:
                await tx.add_jobs([BACKFILL])
        if stale:
            _log.info("%d of %d datasets were out of step with the hub", len(stale), len(urns))
        return drift

    async def learn(self, lease: Lease | None) -> None:
        """Learn what the words of the catalogue stand for, from the snapshots and the glossary.

        Where that has changed, a reconciliation makes the documents anew that it changes.
        """
        datasets: list[Dataset] = []
        for urns in _batches(sorted(await self._store.snapshot_urns()), _SLICE):
            kept = await self._store.snapshots(urns)
            datasets += [each.dataset for each in kept.values() if not each.dataset.removed]
        glossary = await self._hub.glossary()
        # Seconds for a large catalogue: the loop must not wait for it.
        learned = await asyncio.to_thread(learn, datasets, glossary)
        is_new = learned != await self._store.vocabulary()
        async with self._store.transaction(lease) as tx:
            if is_new:
                await tx.save_vocabulary(learned)
                await tx.add_jobs([RECONCILE])
        if is_new:
            _log.info("learned what %d words stand for", len(learned.expansions))

    async def survey(self) -> AsyncIterator[tuple[Drift, int]]:
        """Reconcile at once; yields what was found so far, and of how many datasets in all."""
        there, gone = await self._listed()
        async with self._store.transaction() as tx:
            await self._forget(tx, gone)
        drift = Drift(gone=len(gone))
        yield drift, len(there)
        for urns in _batches(there, _BATCH):
            drift += await self.reconcile_datasets(None, urns)
            yield drift, len(there)

    async def _listed(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the datasets that the hub has, and those that are kept and left it, by urn."""
        listed: set[str] = set()
        async for urns in self._hub.scroll(_SLICE):
            listed.update(urns)
        kept = await self._vectors.urns() | await self._store.snapshot_urns()
        unlisted = sorted((kept | await self._store.known_datasets()) - listed)
        found: set[str] = set()
        for batch in _batches(unlisted, _BATCH):
            found.update(await self._hub.datasets(batch))
        return sorted(listed | found), [urn for urn in unlisted if urn not in found]

    async def _forget(self, tx: Transaction, gone: Sequence[str]) -> None:
        indexed = await self._vectors.versions(gone)
        await tx.forget(gone)
        await tx.request_index(sorted(indexed))
        if indexed:
            await tx.add_jobs([REINDEX])

    async def _serve_all(self, lease: Lease | None, job: NewJob, batches: int) -> None:
        background = job.kind is JobKind.BACKFILL
        vocabulary = await self._store.vocabulary()
        requests = await self._store.index_requests(_BATCH, background=background)
        for _ in range(batches - 1):
            if len(requests) < _BATCH:
                break
            served = await self._serve(requests, vocabulary)
            async with self._store.transaction() as tx:
                await served.save(tx)
            requests = await self._store.index_requests(_BATCH, background=background)
        served = await self._serve(requests, vocabulary)
        async with self._store.transaction(lease) as tx:
            await served.save(tx)
            if len(requests) == _BATCH:
                await tx.add_jobs([job])
            elif background and requests:
                await tx.add_jobs([LEARN])

    async def _snapshots(self, urns: Sequence[str]) -> Mapping[str, Snapshot]:
        """Return what the hub says of these datasets now; those that it lacks are absent."""
        datasets = await self._hub.datasets([urn for urn in urns if is_dataset(urn)])
        there = list(datasets)
        lineage, reached, seen = await asyncio.gather(
            self._hub.lineage(there),
            self._hub.downstream(there, _CONSUMERS),
            self._observed(datasets),
        )
        consumers = sorted({other for reach in reached.values() for other in reach.steps})
        domains = await self._store.domains_of(consumers)
        return {
            urn: Snapshot(
                dataset,
                lineage.get(urn, Lineage()),
                seen[urn].joins,
                seen[urn].filters,
                tuple(
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

    async def _observed(self, datasets: Mapping[str, Dataset]) -> Mapping[str, Observed]:
        """Return how these datasets are joined and filtered in the queries of late."""
        since = self._clock.now() - _QUERIES_OF
        ran = await self._hub.queries(list(datasets), since)
        # Reading SQL takes a millisecond a statement: the loop must not wait for it.
        names = await asyncio.to_thread(table_names, datasets, ran)
        tables = await self._store.tables(sorted(names))
        others = await self._store.snapshots(sorted(referred(datasets, ran, tables)))
        known = {urn: snapshot.dataset for urn, snapshot in others.items()}
        return await asyncio.to_thread(observed, datasets, ran, tables, known, self._personal_words)

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
        if self._cache is not None:
            await forget_pages(self._cache)
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

    async def _stale(
        self, urns: Sequence[str], vocabulary: Vocabulary
    ) -> tuple[Sequence[str], Drift]:
        """Return those whose snapshot or document is missing, outdated or no longer wanted."""
        snapshots = await self._snapshots(urns)
        documents = _documents(snapshots, vocabulary)
        kept, stored = await self._store.snapshots(urns), await self._vectors.versions(urns)
        outdated = {urn for urn in urns if _essence(kept.get(urn)) != _essence(snapshots.get(urn))}
        unindexed = {
            urn
            for urn in documents.keys() | stored.keys()
            if urn not in documents or not self._is_current(documents[urn], stored)
        }
        drift = Drift(compared=len(urns), snapshots=len(outdated), documents=len(unindexed))
        return sorted(outdated | unindexed), drift

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
        # Who finished one of these meanwhile may have removed a newer version than was stored here,
        # or seen an older one: it is looked at once more.
        overtaken = await tx.finish_index(self.requests)
        again = sorted({*self.affected, *overtaken})
        await tx.request_index(again)
        if again:
            await tx.add_jobs([REINDEX])


def _documents(snapshots: Mapping[str, Snapshot], vocabulary: Vocabulary) -> Mapping[str, Document]:
    """Return the documents that the index should hold: what is soft-deleted is not found."""
    return {
        urn: document_of(snapshot, vocabulary)
        for urn, snapshot in snapshots.items()
        if not snapshot.dataset.removed
    }


def _essence(snapshot: Snapshot | None) -> Snapshot | None:
    """Return a snapshot without what moves by itself and is worth no work: counts and times."""
    if snapshot is None:
        return None
    return replace(
        snapshot,
        dataset=replace(snapshot.dataset, last_updated=None),
        joins=tuple(sorted((replace(j, count=0) for j in snapshot.joins), key=astuple)),
        filters=tuple(sorted((replace(f, count=0) for f in snapshot.filters), key=astuple)),
    )


def _passed_on(snapshot: Snapshot) -> tuple[str | None, tuple[str, ...]]:
    """What decides the consumers of the datasets upstream."""
    return snapshot.dataset.domain, tuple(sorted(snapshot.lineage.upstream))


def _texts(document: Document) -> Iterator[str]:
    yield document.text
    for group in document.groups:
        yield group.text


def _comparing(urns: Sequence[str]) -> NewJob:
    # While a slice waits to be compared, another reconciliation need not ask for it again.
    key = f"{JobKind.RECONCILE_DATASETS}:{urns[0]}:{urns[-1]}"
    return NewJob(JobKind.RECONCILE_DATASETS, {"urns": list(urns)}, dedupe_key=key)


def _batches(urns: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(urns), size):
        yield urns[start : start + size]
