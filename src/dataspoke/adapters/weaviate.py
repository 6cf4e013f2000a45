"""The Vectors port on Weaviate: BM25 over terms of our own, named vectors for meaning.

Each embedding model has a collection of its own, with one object per dataset: all its words and
the vector ``dataset``. Beside it is one with an object per column group, with the vector
``columns``: it only leads to datasets, as BM25 counts every object of a collection. One model's
collection is served; the alias names it. Another model's fills beside it, gets every change too,
and is served once it lacks nothing; then the former is deleted.
"""

import asyncio
import functools
import hashlib
import json
import time
import uuid
import zlib
from base64 import b64decode, b64encode
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, astuple, dataclass
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import httpx
import numpy as np
import orjson
import weaviate
from numpy.typing import NDArray
from pydantic import TypeAdapter
from weaviate.classes.config import (
    Configure,
    DataType,
    Property,
    StopwordsPreset,
    Tokenization,
    VectorDistances,
)
from weaviate.classes.data import DataObject
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.classes.query import Filter, MetadataQuery
from weaviate.collections import CollectionAsync
from weaviate.collections.classes.filters import _Filters as Condition
from weaviate.exceptions import (
    AuthenticationFailedError,
    WeaviateBaseError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
)

from dataspoke.errors import (
    ConfigurationError,
    DataSpokeError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.knowledge.lexical import K1, B, frequencies, terms
from dataspoke.knowledge.model import Attributes, Candidate, Document, Neighbour, SearchFilters
from dataspoke.ports.vectors import Entry
from dataspoke.settings import VectorsSettings

P = ParamSpec("P")
T = TypeVar("T")
Vector = NDArray[np.float32]
# Held by whoever writes, against all other processes.
Lock = Callable[[], AbstractAsyncContextManager[object]]

_PORT = "vectors"
_DOCUMENT = TypeAdapter(Document)
_NAMESPACE = uuid.UUID("6f0c7a54-6f0b-5f0e-9d0e-6a1c3d1c7e55")
_DATASET, _COLUMNS = "dataset", "columns"
# Which properties the filters go by.
_FILTERED = {
    "platforms": "platform",
    "tags": "tags",
    "terms": "terms",
    "owners": "owners",
    "domains": "domain",
    "consumers": "consumers",
}
# How long another process may have switched, or made a collection, unnoticed.
_LAYOUT_TTL_S = 5.0
_PAGE = 1000
# What is read of each object that is found.
_CANDIDATE = ("attributes", "codes")
# Weaviate's own bound of an answer, by default.
_MOST = 10_000
_NEIGHBOURS_AT_ONCE = 8
# A term is stored as often as it counts, in halves, the least weight; K1 is in the same unit.
_UNITS = 2


@dataclass(frozen=True, slots=True)
class _Layout:
    """The collections there are, by name, and which of them is served; None where there is none."""

    names: frozenset[str]
    served: str | None
    read_at: float


@dataclass(frozen=True, slots=True)
class _Stored:
    """What one collection holds of a document; ``model`` is None where it has no vectors."""

    version: int
    content_hash: str
    model: str | None
    groups: int


class _CollectionGone(DependencyUnavailable):
    """Another process has switched to another model's collection and deleted this one."""


def _following_switches(
    read: Callable[P, Awaitable[T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Read again where the collections are others than they were."""

    @functools.wraps(read)
    async def reading(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return await read(*arguments, **named)
        except _CollectionGone:
            return await read(*arguments, **named)

    return reading


class WeaviateVectors:
    """The Vectors port; see there for what each call returns.

    Weaviate cannot make a write depend on what is stored. So versions are read before, and
    ``lock`` keeps other writers out meanwhile; it must hold for all processes.
    """

    def __init__(self, settings: VectorsSettings, lock: Lock | None = None) -> None:
        """``lock`` None: there are no other processes that write."""
        self._settings = settings
        own = asyncio.Lock()
        self._lock: Lock = lock or (lambda: own)
        self._connecting = asyncio.Lock()
        self._client = _client(settings)
        self._layout_cache: _Layout | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    # --- writing ---

    async def upsert(self, entries: Sequence[Entry]) -> None:
        newest: dict[str, Entry] = {}
        for entry in entries:
            _require_finite(entry)
            known = newest.get(entry.document.urn)
            if known is None or known.version <= entry.version:
                newest[entry.document.urn] = entry
        if not newest:
            return
        async with self._writing() as layout:
            layout = await self._with_collections(layout, newest.values())
            stored = {name: await self._stored(name, list(newest)) for name in layout.names}
            wanted = [
                entry
                for urn, entry in newest.items()
                if all(of[urn].version <= entry.version for of in stored.values() if urn in of)
            ]
            for name, of in stored.items():
                await self._replace(name, [e for e in wanted if self._belongs(e, name, of)], of)
            await self._switch_where_complete(layout)

    def _belongs(self, entry: Entry, name: str, stored: Mapping[str, _Stored]) -> bool:
        """Tell whether an entry is to be written there, with vectors or, of another model, without.

        Vectors of the same text by that collection's own model are kept until the switch.
        """
        if entry.model is None or self._name(entry.model) == name:
            return True
        kept = stored.get(entry.document.urn)
        return kept is None or kept.content_hash != entry.document.content_hash

    async def delete(self, versions: Mapping[str, int]) -> None:
        if not versions:
            return
        async with self._writing() as layout:
            stored = [await self._stored(name, list(versions)) for name in layout.names]
            urns = [
                urn
                for urn, version in versions.items()
                if all(of[urn].version <= version for of in stored if urn in of)
            ]
            gone = [_id(urn) for urn in urns]
            gone_groups = [
                _id(urn, number)
                for urn in urns
                for number in range(max((of[urn].groups for of in stored if urn in of), default=0))
            ]
            for name in layout.names:
                await self._remove(name, gone)
                await self._remove(_columns_of(name), gone_groups)
            await self._switch_where_complete(layout)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[_Layout]:
        async with self._lock():
            with _translated(self._settings):
                await self._connect()
                yield await self._read_layout()

    async def _with_collections(self, layout: _Layout, entries: Iterable[Entry]) -> _Layout:
        """Return the layout with a collection for each model; the first one is served at once."""
        models = {entry.model for entry in entries if entry.model is not None}
        if not models and layout.served is None:
            models = {""}
        missing = {model: self._name(model) for model in sorted(models)}
        created = [name for name in missing.values() if name not in layout.names]
        for name in created:
            await self._create(name)
        if not created:
            return layout
        if layout.served is None:
            await self._client.alias.create(
                alias_name=self._settings.collection, target_collection=created[0]
            )
        return await self._read_layout()

    async def _create(self, name: str) -> None:
        multi_tenancy = None
        if self._settings.tenant:
            multi_tenancy = Configure.multi_tenancy(enabled=True)
        filtered = [_text(of, filterable=True, array=of.endswith("s")) for of in _FILTERED.values()]
        # First what is not looked for, so that one that is there is whole.
        await self._client.collections.create(
            _columns_of(name),
            properties=[*filtered, _text("dataset")],
            vector_config=_vector(_COLUMNS),
            multi_tenancy_config=multi_tenancy,
        )
        await self._client.collections.create(
            name,
            properties=[
                *filtered,
                _text("words", searchable=True),
                *(_text(of) for of in ("urn", "content_hash", "model")),
                *(_text(of) for of in ("attributes", "codes", "document")),
                _number("version"),
                _number("groups"),
                Property(name="embedded", data_type=DataType.BOOL, index_filterable=True),
            ],
            inverted_index_config=Configure.inverted_index(
                bm25_k1=K1 * _UNITS, bm25_b=B, stopwords_preset=StopwordsPreset.NONE
            ),
            vector_config=_vector(_DATASET),
            multi_tenancy_config=multi_tenancy,
        )

    async def _replace(
        self, name: str, entries: Sequence[Entry], stored: Mapping[str, _Stored]
    ) -> None:
        """Store these in place of what is stored of them.

        Column groups come first: a document that is stored has them all. Those too many do no
        harm, as a document tells itself how near its groups are.
        """
        objects, groups, surplus = [], [], []
        for entry in entries:
            urn = entry.document.urn
            vectors: tuple[Vector, ...] = ()
            if entry.vector is not None and entry.model and self._name(entry.model) == name:
                vectors = (entry.vector, *entry.group_vectors)
            objects.append(_dataset_object(entry, vectors))
            groups += [
                _group_object(entry, number, vector) for number, vector in enumerate(vectors[1:])
            ]
            before = stored[urn].groups if urn in stored else 0
            surplus += [_id(urn, number) for number in range(len(vectors[1:]), before)]
        await self._insert(_columns_of(name), groups)
        await self._insert(name, objects)
        await self._remove(_columns_of(name), surplus)

    async def _insert(self, name: str, objects: "Sequence[DataObject[Any, None]]") -> None:
        if not objects:
            return
        result = await self._collection(name).data.insert_many(objects)
        if result.has_errors:
            reason = next(iter(result.errors.values())).message
            raise DependencyRejected(
                _PORT, f"Weaviate refused {len(result.errors)} of {len(objects)} objects: {reason}"
            )

    async def _remove(self, name: str, ids: Sequence[uuid.UUID]) -> None:
        for page in _pages(ids):
            await self._collection(name).data.delete_many(where=Filter.by_id().contains_any(page))

    async def _switch_where_complete(self, layout: _Layout) -> None:
        """Serve another model's collection once it has vectors of all that the served one holds."""
        if layout.served is None:
            return
        for name in sorted(layout.names - {layout.served}):
            if not await self._is_complete(name, layout.served):
                continue
            await self._client.alias.update(
                alias_name=self._settings.collection, new_target_collection=name
            )
            for former in layout.names - {name}:
                await self._client.collections.delete([former, _columns_of(former)])
            await self._read_layout()
            return

    async def _is_complete(self, name: str, served: str) -> bool:
        with_vectors = Filter.by_property("embedded").equal(True)
        new, old = self._client.collections.use(name), self._client.collections.use(served)
        if not self._settings.tenant:
            return await _count(new, with_vectors) >= await _count(old)
        # The switch is for all tenants.
        there = await new.tenants.get()
        for tenant in await old.tenants.get():
            stored = await _count(old.with_tenant(tenant))
            if stored and tenant not in there:
                return False
            if stored and await _count(new.with_tenant(tenant), with_vectors) < stored:
                return False
        return True

    # --- reading ---

    @_following_switches
    async def versions(self, urns: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
        async with self._reading() as layout:
            found: dict[str, tuple[tuple[int, bool, bool], _Stored]] = {}
            for name in layout.names:
                for urn, stored in (await self._stored(name, urns)).items():
                    # What is not served yet is of the model that is to come.
                    rank = (stored.version, stored.model is not None, name != layout.served)
                    if urn not in found or found[urn][0] < rank:
                        found[urn] = (rank, stored)
            return {urn: (one.content_hash, one.model) for urn, (_, one) in found.items()}

    @_following_switches
    async def urns(self) -> frozenset[str]:
        async with self._reading(all_pages=True) as layout:
            if layout.served is None:
                return frozenset()
            collection = self._collection(layout.served)
            found = collection.iterator(return_properties=["urn"], cache_size=_PAGE)
            return frozenset([str(one.properties["urn"]) async for one in found])

    @_following_switches
    async def count(self) -> int:
        async with self._reading() as layout:
            if layout.served is None:
                return 0
            return await _count(self._collection(layout.served))

    @_following_switches
    async def documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        async with self._reading() as layout:
            if layout.served is None:
                return {}
            found = await self._fetch(layout.served, urns, ["document"])
            documents = (_document(one.properties["document"]) for one in found)
            return {document.urn: document for document in documents}

    @_following_switches
    async def entries(self, urns: Sequence[str]) -> Mapping[str, Entry]:
        async with self._reading() as layout:
            found: dict[str, tuple[tuple[int, bool, bool], Entry]] = {}
            wanted = ["document", "model", "version", "groups"]
            for name in layout.names:
                stored = await self._fetch(name, urns, wanted, vectors=True)
                groups = [
                    _id(_document(one.properties["document"]).urn, number)
                    for one in stored
                    for number in range(int(one.properties["groups"]))
                ]
                vectors: dict[uuid.UUID, Any] = {}
                for page in _pages(groups):
                    answer = await self._collection(_columns_of(name)).query.fetch_objects_by_ids(
                        page, limit=len(page), return_properties=False, include_vector=True
                    )
                    vectors.update((one.uuid, one.vector[_COLUMNS]) for one in answer.objects)
                for one in stored:
                    entry = _entry(one, vectors)
                    rank = (entry.version, entry.model is not None, name != layout.served)
                    urn = entry.document.urn
                    if urn not in found or found[urn][0] < rank:
                        found[urn] = (rank, entry)
            return {urn: entry for urn, (_, entry) in found.items()}

    @_following_switches
    async def search(
        self,
        text: str,
        vector: Vector | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        asked = " ".join(sorted(set(terms(text))))
        async with self._reading() as layout:
            words = layout.served if asked else None
            near = None if vector is None or model is None else self._name(model)
            if near not in layout.names:
                near = vector = None
            condition = _condition(filters)
            lexical, similar, columns = await asyncio.gather(
                self._by_words(words, asked, condition, limit),
                self._by_vector(near, vector, condition, limit),
                self._by_columns(near, vector, condition, limit),
            )
            ids = lexical.scores.keys() | similar.scores.keys() | set(columns)
            known = similar.found if words != near else lexical.found | similar.found
            # Who was not among the best by words has a rank too, unless all that match were.
            unranked = [one for one in ids if one not in lexical.scores]
            further, looked_up = await asyncio.gather(
                self._ranks(words if len(lexical.scores) >= limit else None, asked, unranked),
                self._look_up(near, [one for one in ids if one not in known]),
            )
        held = known | looked_up
        meant = {} if vector is None else _similarities(held, vector)
        ranks = lexical.scores | further
        candidates = []
        for id_, (attributes, _) in (lexical.found | held).items():
            urn, *values = _loaded(attributes)
            nearness = meant.get(id_, _UNKNOWN)
            candidates.append(
                Candidate(
                    urn,
                    _attributes(values),
                    ranks.get(id_),
                    similar.scores.get(id_, nearness.similarity),
                    nearness.columns,
                    nearness.group,
                )
            )
        return sorted(candidates, key=lambda candidate: candidate.urn)

    async def _by_words(
        self,
        name: str | None,
        asked: str,
        condition: Condition | None,
        limit: int,
        properties: Sequence[str] | None = _CANDIDATE,
    ) -> "_Found":
        if name is None:
            return _Found({}, {})
        answer = await self._collection(name).query.bm25(
            asked,
            query_properties=["words"],
            filters=condition,
            limit=limit,
            return_properties=False if properties is None else list(properties),
            return_metadata=MetadataQuery(score=True),
        )
        # Weaviate leaves out the constant factor k1 + 1.
        return _Found.of(answer.objects, lambda one: (K1 + 1) * one.score)

    async def _by_vector(
        self, name: str | None, vector: Vector | None, condition: Condition | None, limit: int
    ) -> "_Found":
        if name is None or vector is None:
            return _Found({}, {})
        answer = await self._collection(name).query.near_vector(
            vector.tolist(),
            target_vector=_DATASET,
            filters=condition,
            limit=limit,
            return_properties=list(_CANDIDATE),
            return_metadata=MetadataQuery(distance=True),
        )
        return _Found.of(answer.objects, lambda one: _cosine(one.distance))

    async def _by_columns(
        self, name: str | None, vector: Vector | None, condition: Condition | None, limit: int
    ) -> Sequence[int]:
        """Return the datasets of the nearest column groups, ``limit`` of them."""
        if name is None or vector is None:
            return []
        # Several of the nearest may be of one dataset.
        groups = min(2 * limit, _MOST)
        while True:
            answer = await self._collection(_columns_of(name)).query.near_vector(
                vector.tolist(),
                target_vector=_COLUMNS,
                filters=condition,
                limit=groups,
                return_properties=["dataset"],
            )
            found = list(dict.fromkeys(one.properties["dataset"] for one in answer.objects))
            if len(found) >= limit or len(answer.objects) < groups or groups == _MOST:
                return [uuid.UUID(one).int for one in found[:limit]]
            groups = min(4 * groups, _MOST)

    async def _ranks(self, name: str | None, asked: str, ids: Sequence[int]) -> dict[int, float]:
        """Return the ranks by words of those of these that have one."""
        ranks: dict[int, float] = {}
        for page in _pages([uuid.UUID(int=one) for one in ids] if name is not None else []):
            among = Filter.by_id().contains_any(page)
            ranks.update((await self._by_words(name, asked, among, len(page), None)).scores)
        return ranks

    async def _look_up(self, name: str | None, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        found: dict[int, tuple[str, str]] = {}
        for page in _pages([uuid.UUID(int=one) for one in ids] if name is not None else []):
            answer = await self._collection(name or "").query.fetch_objects_by_ids(
                page, limit=len(page), return_properties=list(_CANDIDATE)
            )
            found.update(_Found.of(answer.objects).found)
        return found

    @_following_switches
    async def neighbours(
        self, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Neighbour]]:
        turn = asyncio.Semaphore(_NEIGHBOURS_AT_ONCE)

        async def nearest(urn: str, name: str) -> Sequence[Neighbour]:
            async with turn:
                answer = await self._collection(name).query.near_object(
                    _id(urn),
                    target_vector=_DATASET,
                    limit=limit + 1,
                    return_properties=["urn"],
                    return_metadata=MetadataQuery(distance=True),
                )
            found = [
                Neighbour(str(one.properties["urn"]), _cosine(one.metadata.distance))
                for one in answer.objects
                if one.uuid != _id(urn)
            ]
            return sorted(found, key=lambda one: (-one.similarity, one.urn))[:limit]

        async with self._reading() as layout:
            where: dict[str, str] = {}
            for name in sorted(layout.names, key=lambda name: name == layout.served):
                stored = await self._stored(name, urns)
                where.update((urn, name) for urn, one in stored.items() if one.model is not None)
            found = await asyncio.gather(*(nearest(urn, name) for urn, name in where.items()))
        return dict(zip(where, found, strict=True))

    # --- what there is ---

    @asynccontextmanager
    async def _reading(self, *, all_pages: bool = False) -> AsyncIterator[_Layout]:
        # Its client tries again for half a minute where nobody answers.
        limit_s = None if all_pages else self._settings.timeout_s
        with _translated(self._settings):
            async with asyncio.timeout(limit_s):
                await self._connect()
                known = self._layout_cache
                if known is None or time.monotonic() - known.read_at > _LAYOUT_TTL_S:
                    known = await self._read_layout()
                try:
                    yield known
                except BaseException:
                    # It may be a collection that another process has deleted since.
                    self._layout_cache = None
                    raise

    async def _connect(self) -> None:
        async with self._connecting:
            if not self._client.is_connected():
                await self._client.connect()

    async def _read_layout(self) -> _Layout:
        own = f"{self._settings.collection}_"
        alias = await self._client.alias.get(alias_name=self._settings.collection)
        listed = await self._client.collections.list_all(simple=True)
        names = frozenset(
            name for name in listed if name.startswith(own) and _columns_of(name) in listed
        )
        if tenant := self._settings.tenant:
            # One that is asked for and not there is an error.
            for name in (*names, *map(_columns_of, names)):
                tenants = self._client.collections.use(name).tenants
                if not await tenants.exists(tenant):
                    await tenants.create(tenant)
        served = None if alias is None else alias.collection
        self._layout_cache = _Layout(names, served, time.monotonic())
        return self._layout_cache

    def _name(self, model: str) -> str:
        """Return the name of a model's collection."""
        return f"{self._settings.collection}_{hashlib.sha256(model.encode()).hexdigest()[:16]}"

    def _collection(self, name: str) -> "CollectionAsync[Any, None]":
        collection = self._client.collections.use(name, skip_argument_validation=True)
        if self._settings.tenant:
            return collection.with_tenant(self._settings.tenant)
        return collection

    async def _stored(self, name: str, urns: Sequence[str]) -> Mapping[str, _Stored]:
        wanted = ["version", "content_hash", "model", "groups"]
        by_id = {_id(urn): urn for urn in urns}
        return {
            by_id[one.uuid]: _Stored(
                int(one.properties["version"]),
                str(one.properties["content_hash"]),
                str(one.properties["model"]) or None,
                int(one.properties["groups"]),
            )
            for one in await self._fetch(name, urns, wanted)
        }

    async def _fetch(
        self, name: str, urns: Sequence[str], properties: list[str], *, vectors: bool = False
    ) -> Sequence[Any]:
        found: list[Any] = []
        for ids in _pages([_id(urn) for urn in dict.fromkeys(urns)]):
            answer = await self._collection(name).query.fetch_objects_by_ids(
                ids, limit=len(ids), return_properties=properties, include_vector=vectors
            )
            found += answer.objects
        return found


async def _count(
    collection: "CollectionAsync[Any, None]", condition: Condition | None = None
) -> int:
    counted = await collection.aggregate.over_all(total_count=True, filters=condition)
    return counted.total_count or 0


@dataclass(frozen=True, slots=True)
class _Found:
    """Attributes and codes of what one way of searching found, and its scores, by id.

    The ids are the numbers of uuids, which are quicker to look up.
    """

    found: dict[int, tuple[str, str]]
    scores: dict[int, float]

    @classmethod
    def of(cls, objects: Sequence[Any], score: Callable[[Any], float] = lambda _: 0.0) -> Self:
        return cls(
            {
                one.uuid.int: (one.properties["attributes"], one.properties["codes"])
                for one in objects
                if one.properties
            },
            {one.uuid.int: score(one.metadata) for one in objects},
        )


@dataclass(frozen=True, slots=True)
class _Nearness:
    similarity: float | None
    columns: float | None
    group: int | None


_UNKNOWN = _Nearness(None, None, None)


def _dataset_object(entry: Entry, vectors: Sequence[Vector]) -> "DataObject[Any, None]":
    document = entry.document
    return DataObject(
        uuid=_id(document.urn),
        properties={
            **_filtered(document.attributes),
            "words": _words(document),
            "urn": _encodable(document.urn),
            "content_hash": document.content_hash,
            "model": entry.model if vectors else "",
            "attributes": json.dumps([document.urn, *astuple(document.attributes)]),
            "codes": _codes(vectors),
            "document": b64encode(zlib.compress(json.dumps(asdict(document)).encode())).decode(),
            "version": entry.version,
            "groups": max(0, len(vectors) - 1),
            "embedded": bool(vectors),
        },
        vector={_DATASET: vectors[0].tolist()} if vectors else None,
    )


def _group_object(entry: Entry, number: int, vector: Vector) -> "DataObject[Any, None]":
    urn = entry.document.urn
    return DataObject(
        uuid=_id(urn, number),
        properties={**_filtered(entry.document.attributes), "dataset": str(_id(urn))},
        vector={_COLUMNS: vector.tolist()},
    )


def _filtered(attributes: Attributes) -> dict[str, Any]:
    values = {name: getattr(attributes, name) for name in _FILTERED.values()}
    return {name: _encodable(value) for name, value in values.items() if value}


def _words(document: Document) -> str:
    """Return a document's terms, each as often as it counts: BM25 over them is our BM25F."""
    return " ".join(
        term
        for term, frequency in frequencies(document).items()
        for _ in range(max(1, round(frequency * _UNITS)))
    )


def _codes(vectors: Sequence[Vector]) -> str:
    """Return vectors in 8 bits a number, the scales of all before, as text; empty for none.

    Enough to tell which column group is the nearest, and how near is what was found by other
    ways; Weaviate's answers hold them at a tenth of the cost of the vectors themselves.
    """
    if not vectors:
        return ""
    rows = np.stack(vectors).astype(np.float32)
    scales = (np.abs(rows).max(axis=1) / 127).astype("<f4")
    whole = np.rint(rows / np.maximum(scales, 1e-12)[:, None]).astype(np.int8)
    return b64encode(scales.tobytes() + whole.tobytes()).decode()


def _similarities(held: Mapping[int, tuple[str, str]], vector: Vector) -> Mapping[int, _Nearness]:
    """Return how near the vectors of each document are to ``vector``; those without are absent."""
    packed = {id_: b64decode(codes) for id_, (_, codes) in held.items() if codes}
    if not packed:
        return {}
    sizes = [len(data) // (len(vector) + 4) for data in packed.values()]
    pairs = list(zip(packed.values(), sizes, strict=True))
    scales = np.frombuffer(b"".join(data[: 4 * size] for data, size in pairs), dtype="<f4")
    rows = np.frombuffer(b"".join(data[4 * size :] for data, size in pairs), dtype=np.int8)
    whole = rows.reshape(-1, len(vector)).astype(np.float32)
    near = np.clip(whole @ vector * scales, -1, 1).tolist()
    found, start = {}, 0
    for id_, size in zip(packed, sizes, strict=True):
        own, *groups = near[start : start + size]
        best = max(groups, default=None)
        found[id_] = _Nearness(own, best, None if best is None else groups.index(best))
        start += size
    return found


def _id(urn: str, group: int | None = None) -> uuid.UUID:
    """Return the id of a dataset's object, or of that of one of its column groups."""
    own = uuid.uuid5(_NAMESPACE, _encodable(urn))
    return own if group is None else uuid.uuid5(own, str(group))


def _columns_of(name: str) -> str:
    return f"{name}_columns"


def _pages(ids: Sequence[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    for start in range(0, len(ids), _PAGE):
        yield list(ids[start : start + _PAGE])


def _vector(name: str) -> Any:
    index = Configure.VectorIndex.hnsw(
        distance_metric=VectorDistances.DOT,
        max_connections=16,
        ef_construction=96,
        ef=160,
        quantizer=Configure.VectorIndex.Quantizer.none(),
    )
    return [Configure.Vectors.self_provided(name=name, vector_index_config=index)]


def _number(name: str) -> Property:
    return Property(
        name=name, data_type=DataType.INT, index_filterable=False, index_searchable=False
    )


def _text(
    name: str, *, searchable: bool = False, filterable: bool = False, array: bool = False
) -> Property:
    return Property(
        name=name,
        data_type=DataType.TEXT_ARRAY if array else DataType.TEXT,
        tokenization=Tokenization.WHITESPACE if searchable else Tokenization.FIELD,
        index_searchable=searchable,
        index_filterable=filterable,
    )


def _condition(filters: SearchFilters) -> Condition | None:
    conditions = [
        Filter.by_property(name).contains_any([_encodable(urn) for urn in wanted])
        for kind, name in _FILTERED.items()
        if (wanted := getattr(filters, kind))
    ]
    return Filter.all_of(conditions) if conditions else None


def _encodable(value: Any) -> Any:
    """Return text as UTF-8 can hold it: names may have half a surrogate pair."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return [_encodable(one) for one in value]


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # half a surrogate pair
        return json.loads(text)


def _attributes(values: Sequence[Any]) -> Attributes:
    platform, domain, *others = values
    return Attributes(platform, domain, *map(tuple, others))


def _document(packed: Any) -> Document:
    return _DOCUMENT.validate_python(json.loads(zlib.decompress(b64decode(packed))))


def _entry(stored: Any, groups: Mapping[uuid.UUID, Any]) -> Entry:
    document = _document(stored.properties["document"])
    own = stored.vector.get(_DATASET)
    ids = [_id(document.urn, number) for number in range(int(stored.properties["groups"]))]
    return Entry(
        document,
        None if own is None else np.asarray(own, dtype=np.float32),
        tuple(np.asarray(groups[id_], dtype=np.float32) for id_ in ids),
        stored.properties["model"] or None,
        int(stored.properties["version"]),
    )


def _cosine(distance: float | None) -> float:
    # Of unit vectors the dot product, which Weaviate gives with the opposite sign.
    return _bounded(-(distance or 0.0))


def _bounded(cosine: float) -> float:
    return max(-1.0, min(1.0, cosine))


def _require_finite(entry: Entry) -> None:
    for vector in (entry.vector, *entry.group_vectors):
        if vector is not None and not np.isfinite(vector).all():
            raise DependencyRejected(
                _PORT, f"The vector of {entry.document.urn} holds what is no number."
            )


def _client(settings: VectorsSettings) -> weaviate.WeaviateAsyncClient:
    url = settings.url
    if url is None or url.host is None:
        raise ConfigurationError("DATASPOKE_VECTORS__URL is missing: give Weaviate's address.")
    secure = url.scheme == "https"
    key = settings.api_key.get_secret_value()
    return weaviate.use_async_with_custom(
        http_host=url.host,
        http_port=url.port or (443 if secure else 80),
        http_secure=secure,
        grpc_host=settings.grpc_host or url.host,
        grpc_port=settings.grpc_port,
        grpc_secure=secure,
        auth_credentials=Auth.api_key(key) if key else None,
        # Else it would ask a package registry for newer releases of itself.
        skip_init_checks=True,
        additional_config=AdditionalConfig(
            timeout=Timeout(
                init=settings.timeout_s, query=settings.timeout_s, insert=6 * settings.timeout_s
            )
        ),
    )


class _translated:  # noqa: N801  used as a function, and quicker than a generator
    """Raise the library's errors as DataSpoke's; keep what else the body raises as it is."""

    def __init__(self, settings: VectorsSettings) -> None:
        self._url = settings.url

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        translation = None if error is None else self._translation(error)
        if translation is not None:
            raise translation from error

    def _translation(self, error: BaseException) -> DataSpokeError | None:
        message = str(error)
        if isinstance(error, AuthenticationFailedError) or "401" in message:
            return ConfigurationError("Weaviate refuses DATASPOKE_VECTORS__API_KEY.")
        if isinstance(error, TimeoutError | httpx.TimeoutException | WeaviateTimeoutError) or (
            isinstance(error, WeaviateBaseError) and "DEADLINE_EXCEEDED" in message
        ):
            return DependencyTimeout(_PORT, "Weaviate did not answer in time.")
        if isinstance(
            error,
            WeaviateConnectionError
            | WeaviateStartUpError
            | WeaviateGRPCUnavailableError
            | WeaviateRetryError
            | httpx.TransportError
            | OSError,
        ):
            return DependencyUnavailable(
                _PORT, f"Weaviate cannot be reached; is it running at {self._url}?"
            )
        if isinstance(error, WeaviateBaseError) and "could not find class" in message:
            return _CollectionGone(_PORT, "A collection of Weaviate was replaced; try again.")
        if isinstance(error, WeaviateBaseError):
            return DependencyRejected(_PORT, f"Weaviate refused: {message}")
        return None
