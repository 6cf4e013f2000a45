"""Keeping the search index in step with the hub, and searching it as somebody."""

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dataspoke.errors import DependencyError, InvalidInput
from dataspoke.knowledge import ranking
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.lexical import split_words
from dataspoke.knowledge.model import (
    Document,
    Hit,
    Neighbour,
    SearchFilters,
    SearchMode,
    SearchPage,
)
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Actor, Hub
from dataspoke.ports.store import IndexRequest, JobKind, Lease, NewJob, Store
from dataspoke.ports.vectors import Entry, Vectors
from dataspoke.urns import is_dataset

_log = logging.getLogger(__name__)

MAX_QUESTION_CHARACTERS = 1000
MAX_PAGE = 100

_BATCH = 64
# A job ends well before its time limit and lets others have their turn; the next one goes on.
_BATCHES_PER_JOB = 16

# How deep retrieval looks: first, and at most, where a caller sees little of what is found.
_DEPTH = 50
_DEEPEST = 800

_NO_MODEL = "Searched by words only: no sentence model is set up."
_MODEL_FAILED = "Searched by words only: the sentence model does not answer at the moment."
_NO_VECTORS = "Searched by words only: what was found is not embedded with the present model yet."

# Serves all index requests; while it waits, a second joins it.
REINDEX = NewJob(JobKind.REINDEX, dedupe_key=JobKind.REINDEX)


class KnowledgeService:
    """Search over the hub's datasets. With no embedder it goes by words."""

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
        requests = await self._store.index_requests(_BATCH)
        for _ in range(_BATCHES_PER_JOB - 1):
            if len(requests) < _BATCH:
                break
            await self._serve(requests)
            async with self._store.transaction() as tx:
                await tx.finish_index(requests)
            requests = await self._store.index_requests(_BATCH)
        await self._serve(requests)
        async with self._store.transaction(lease) as tx:
            await tx.finish_index(requests)
            if len(requests) == _BATCH:
                await tx.add_jobs([REINDEX])

    async def reconcile(self, lease: Lease | None) -> None:
        """Ask for every document that is out of step, and forget datasets that left the hub.

        What the hub's list lacks is asked for by name before it counts as gone: the list comes
        from the hub's search index, which may lag or be rebuilt. Fails as a whole where the list
        breaks off, so that half a list removes nothing.
        """
        listed: set[str] = set()
        stale: list[str] = []
        async for urns in self._hub.scroll(_BATCH):
            listed.update(urns)
            stale += await self._stale(urns)
        indexed = await self._vectors.urns()
        unlisted = sorted((indexed | await self._store.known_datasets()) - listed)
        gone: list[str] = []
        for batch in _batches(unlisted):
            there = await self._hub.datasets(batch)
            gone += [urn for urn in batch if urn not in there]
            stale += await self._stale(list(there))
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

    async def search(
        self, actor: Actor, question: str, filters: SearchFilters, first: int, after: str | None
    ) -> SearchPage:
        """Return the best ``first`` datasets that the actor may see, from ``after`` on.

        A page is full as long as there is enough to see within the best 800 by words or meaning.
        Pages neither overlap nor leave anything out while index and rights stay as they are.
        Raises InvalidInput for a question, a filter, a size or a cursor that cannot be used.
        """
        _require_usable(question, filters, first)
        mode, position, notice = SearchMode.HYBRID, None, None
        if after is not None:
            mode, position = ranking.read_cursor(after, question, filters)
        vector = None
        if mode is SearchMode.HYBRID or position is None:
            vector, notice = await self._embed_question(question, required=position is not None)
        else:
            notice = _NO_MODEL if self._embedder is None else _MODEL_FAILED

        depth = max(_DEPTH, 2 * first)
        visible: dict[str, bool] = {}
        while True:
            found = await self._vectors.search(
                split_words(question),
                vector,
                self._embedder.model if self._embedder and vector is not None else None,
                filters,
                depth,
            )
            await self._look(actor, [candidate.document.urn for candidate in found], visible)
            seen = frozenset(urn for urn, may_see in visible.items() if may_see)
            order = ranking.rank(found, seen, depth)
            last = order.complete or depth >= _DEEPEST
            entries = order.ranked if last else order.ranked[: order.settled]
            rest = [entry for entry in entries if position is None or entry.position > position]
            if last or len(rest) > first:
                break
            depth = min(4 * depth, _DEEPEST)

        if vector is not None and found and all(entry.similarity is None for entry in found):
            notice = _NO_VECTORS
        mode = SearchMode.LEXICAL if notice else SearchMode.HYBRID
        page = rest[:first]
        return SearchPage(
            hits=tuple(
                Hit(
                    entry.urn,
                    entry.score,
                    ranking.reasons(entry.candidate.document, question, entry.candidate.similarity),
                )
                for entry in page
            ),
            cursors=tuple(ranking.cursor_of(entry, question, filters, mode) for entry in page),
            has_next=len(rest) > first,
            mode=mode,
            notice=notice,
        )

    async def similar_to(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, tuple[Hit, ...]]:
        """Return for each dataset up to ``limit`` others of like meaning that the actor may see.

        A dataset that the actor may not see is absent; one without a vector has no others.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"`limit` is {limit}; ask for 1 to {MAX_PAGE} datasets.")
        visible: dict[str, bool] = {}
        await self._look(actor, urns, visible)
        found: dict[str, tuple[Hit, ...]] = {urn: () for urn in urns if visible[urn]}
        wanted, depth = list(found), 2 * limit
        while wanted:
            near = await self._vectors.neighbours(wanted, depth)
            others = {neighbour.urn for entries in near.values() for neighbour in entries}
            await self._look(actor, sorted(others), visible)
            for urn, entries in near.items():
                found[urn] = tuple(
                    _neighbour_hit(entry) for entry in entries if visible[entry.urn]
                )[:limit]
            wanted = [
                urn
                for urn, entries in near.items()
                if len(entries) == depth and len(found[urn]) < limit and depth < _DEEPEST
            ]
            depth = min(4 * depth, _DEEPEST)
        return found

    async def _look(self, actor: Actor, urns: Sequence[str], visible: dict[str, bool]) -> None:
        """Note in ``visible`` what the actor may see of the urns that are not in it yet."""
        new = [urn for urn in dict.fromkeys(urns) if urn not in visible]
        if new:
            access = await self._hub.access(actor, new)
            visible.update({urn: urn in access for urn in new})

    async def _embed_question(
        self, question: str, *, required: bool
    ) -> tuple[NDArray[np.float32] | None, str | None]:
        """Return the question's vector, or None and the notice why there is none.

        A page that follows one ranked by meaning cannot go on by words: it would repeat and
        skip. So the error is raised where the vector is ``required``.
        """
        if self._embedder is None:
            if required:
                raise InvalidInput(
                    "`after` comes from a search by meaning, which is not set up any more; "
                    "leave it out to start anew."
                )
            return None, _NO_MODEL
        try:
            return await self._embedder.embed_question(question), None
        except DependencyError as error:
            if required:
                raise
            _log.warning("question not embedded, searching by words: %s", error.public_message)
            return None, _MODEL_FAILED

    async def _documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        """Return the documents that the index should hold for these datasets, as of now."""
        datasets = await self._hub.datasets([urn for urn in urns if is_dataset(urn)])
        return {
            urn: document_of(dataset) for urn, dataset in datasets.items() if not dataset.removed
        }

    async def _serve(self, requests: Sequence[IndexRequest]) -> None:
        if not requests:
            return
        versions = {request.urn: request.version for request in requests}
        documents = await self._documents(list(versions))
        stored = await self._vectors.versions(list(documents))
        changed = [
            document for document in documents.values() if not self._is_current(document, stored)
        ]
        await self._vectors.upsert(await self._entries(changed, versions))
        await self._vectors.delete(
            {urn: version for urn, version in versions.items() if urn not in documents}
        )

    async def _entries(
        self, documents: Sequence[Document], versions: Mapping[str, int]
    ) -> list[Entry]:
        rows: Sequence[NDArray[np.float32] | None] = [None] * len(documents)
        model = None
        if self._embedder is not None and documents:
            try:
                rows = list(
                    await self._embedder.embed_documents([document.text for document in documents])
                )
                model = self._embedder.model
            except DependencyError as error:
                # They can be found by their words meanwhile; reconcile sees that the model lacks.
                _log.warning("%d documents not embedded: %s", len(documents), error.public_message)
        return [
            Entry(document, row, model, versions[document.urn])
            for document, row in zip(documents, rows, strict=True)
        ]

    async def _stale(self, urns: Sequence[str]) -> list[str]:
        """Return those whose stored document is missing, outdated or no longer wanted."""
        documents = await self._documents(urns)
        stored = await self._vectors.versions(urns)
        outdated = [
            urn for urn, document in documents.items() if not self._is_current(document, stored)
        ]
        return outdated + [urn for urn in stored if urn not in documents]

    def _is_current(self, document: Document, stored: Mapping[str, tuple[str, str | None]]) -> bool:
        content_hash, model = stored.get(document.urn, (None, None))
        wanted = self._embedder.model if self._embedder is not None else model
        return (content_hash, model) == (document.content_hash, wanted)


def _neighbour_hit(neighbour: Neighbour) -> Hit:
    return Hit(neighbour.urn, max(0.0, neighbour.similarity), ("similar in meaning",))


def _batches(urns: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(urns), _BATCH):
        yield urns[start : start + _BATCH]


_FILTER_URNS = {
    "platforms": "urn:li:dataPlatform:",
    "tags": "urn:li:tag:",
    "owners": "urn:li:corp",  # corpuser and corpGroup
    "domains": "urn:li:domain:",
}


def _require_usable(question: str, filters: SearchFilters, first: int) -> None:
    if not split_words(question):
        raise InvalidInput("The question holds no words; say in words what the data is about.")
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise InvalidInput(
            f"The question has {len(question)} characters; "
            f"at most {MAX_QUESTION_CHARACTERS} are searched for."
        )
    if not 1 <= first <= MAX_PAGE:
        raise InvalidInput(f"`first` is {first}; ask for 1 to {MAX_PAGE} hits.")
    for name, prefix in _FILTER_URNS.items():
        for urn in getattr(filters, name):
            if not urn.startswith(prefix):
                raise InvalidInput(
                    f"The filter {name} holds {urn!r}, which does not begin with {prefix}."
                )
