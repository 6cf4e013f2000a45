"""The Vectors port on Weaviate: BM25 over terms of our own, named vectors for meaning.

Each embedding model has a collection of its own, with one object per dataset: all its words, its
vector ``dataset``, and ``columns``, a multi-vector of its column groups of which the nearest
counts. One collection is served; the alias names it. Another model's fills beside it, gets every
change too, and is served once it lacks nothing; then the former is deleted.
"""

import asyncio
import hashlib
import json
import time
import uuid
import zlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, astuple, dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
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
# Weaviate's own bound of an answer, by default.
_MOST = 10_000
_NEIGHBOURS_AT_ONCE = 8
# Further than two vectors of unit length can be.
_NOWHERE = 2.0


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
                await self._insert(name, [e for e in wanted if self._belongs(e, name, of)])
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
            gone = [
                _id(urn)
                for urn, version in versions.items()
                if all(of[urn].version <= version for of in stored if urn in of)
            ]
            for name in layout.names:
                for ids in _pages(gone):
                    await self._collection(name).data.delete_many(
                        where=Filter.by_id().contains_any(ids)
                    )
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
            multi_tenancy = Configure.multi_tenancy(enabled=True, auto_tenant_creation=True)
        await self._client.collections.create(
            name,
            properties=[
                _text("words", searchable=True),
                *(
                    _text(name, filterable=True, array=name[-1] == "s")
                    for name in _FILTERED.values()
                ),
                _text("model"),
                _text("urn"),
                _text("content_hash"),
                _text("attributes"),
                _text("codes"),
                _text("document"),
                Property(name="embedded", data_type=DataType.BOOL, index_filterable=True),
                Property(
                    name="version",
                    data_type=DataType.INT,
                    index_filterable=False,
                    index_searchable=False,
                ),
            ],
            inverted_index_config=Configure.inverted_index(
                bm25_k1=K1, bm25_b=B, stopwords_preset=StopwordsPreset.NONE
            ),
            vector_config=[
                Configure.Vectors.self_provided(name=_DATASET, vector_index_config=_hnsw()),
                Configure.MultiVectors.self_provided(name=_COLUMNS, vector_index_config=_hnsw()),
            ],
            multi_tenancy_config=multi_tenancy,
        )

    async def _insert(self, name: str, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        objects = [self._object(entry, name) for entry in entries]
        result = await self._collection(name).data.insert_many(objects)
        if result.has_errors:
            reason = next(iter(result.errors.values())).message
            raise DependencyRejected(
                _PORT,
                f"Weaviate refused {len(result.errors)} of {len(objects)} documents: {reason}",
            )

    def _object(self, entry: Entry, name: str) -> "DataObject[Any, None]":
        document = entry.document
        attributes = document.attributes
        vectors: dict[str, Any] = {}
        model = entry.model
        if entry.vector is not None and model is not None and self._name(model) == name:
            vectors[_DATASET] = entry.vector.tolist()
            if entry.group_vectors:
                vectors[_COLUMNS] = [vector.tolist() for vector in entry.group_vectors]
        properties = {
            "words": _words(document),
            **{
                name: _encodable(value)
                for name in _FILTERED.values()
                if (value := getattr(attributes, name))
            },
            "model": model if vectors else "",
            "embedded": bool(vectors),
            "urn": _encodable(document.urn),
            "version": entry.version,
            "content_hash": document.content_hash,
            "attributes": json.dumps([document.urn, *astuple(attributes)]),
            "codes": _codes([entry.vector, *entry.group_vectors])
            if vectors and entry.vector is not None
            else "",
            "document": b64encode(zlib.compress(json.dumps(asdict(document)).encode())).decode(),
        }
        return DataObject(uuid=_id(document.urn), properties=properties, vector=vectors or None)

    async def _switch_where_complete(self, layout: _Layout) -> None:
        """Serve another model's collection once it has vectors of all that the served one holds."""
        others = sorted(layout.names - {layout.served})
        if layout.served is None or not others:
            return
        stored = await self._count(layout.served)
        for name in others:
            with_vectors = Filter.by_property("embedded").equal(True)
            if await self._count(name, with_vectors) < stored:
                continue
            await self._client.alias.update(
                alias_name=self._settings.collection, new_target_collection=name
            )
            for former in layout.names - {name}:
                await self._client.collections.delete(former)
            await self._read_layout()
            return

    # --- reading ---

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

    async def urns(self) -> frozenset[str]:
        async with self._reading(all_pages=True) as layout:
            if layout.served is None:
                return frozenset()
            collection = self._collection(layout.served)
            found = collection.iterator(return_properties=["urn"], cache_size=_PAGE)
            return frozenset([str(one.properties["urn"]) async for one in found])

    async def count(self) -> int:
        async with self._reading() as layout:
            return 0 if layout.served is None else await self._count(layout.served)

    async def documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        async with self._reading() as layout:
            if layout.served is None:
                return {}
            found = await self._fetch(layout.served, urns, ["document"])
            documents = (_document(one.properties["document"]) for one in found)
            return {document.urn: document for document in documents}

    async def entries(self, urns: Sequence[str]) -> Mapping[str, Entry]:
        async with self._reading() as layout:
            found: dict[str, Entry] = {}
            wanted = ["document", "model", "version"]
            for name in sorted(layout.names, key=lambda name: name != layout.served):
                for one in await self._fetch(name, urns, wanted, vectors=True):
                    entry = _entry(one.properties, one.vector)
                    known = found.get(entry.document.urn)
                    rank = (entry.version, entry.model is not None)
                    if known is None or (known.version, known.model is not None) <= rank:
                        found[entry.document.urn] = entry
            return found

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
            found = lexical.found | similar.found | columns.found
            # Who was not among the best by words has a rank too, unless all that match were.
            unranked = [id_ for id_ in found if id_ not in lexical.scores]
            full = len(lexical.scores) >= limit
            further = asyncio.create_task(
                self._by_words(words, asked, Filter.by_id().contains_any(unranked), len(unranked))
                if full and unranked
                else _nothing()
            )
            try:
                if near is None or words in (near, None):
                    codes: Mapping[uuid.UUID, str] = {id_: one[1] for id_, one in found.items()}
                else:
                    codes = await self._codes_of(near, list(found))
                meant = {} if vector is None else _similarities(codes, vector)
                ranks = lexical.scores | (await further).scores
            finally:
                further.cancel()
        candidates = []
        for id_, (attributes, _) in found.items():
            urn, *values = json.loads(attributes)
            by_codes = meant.get(id_)
            candidates.append(
                Candidate(
                    urn,
                    _attributes(values),
                    ranks.get(id_),
                    similar.scores.get(id_, None if by_codes is None else by_codes.similarity),
                    columns.scores.get(id_, None if by_codes is None else by_codes.columns),
                    None if by_codes is None else by_codes.group,
                )
            )
        return sorted(candidates, key=lambda candidate: candidate.urn)

    async def _by_words(
        self, name: str | None, asked: str, condition: Condition | None, limit: int
    ) -> "_Found":
        if name is None:
            return _Found({}, {})
        answer = await self._collection(name).query.bm25(
            asked,
            query_properties=["words"],
            filters=condition,
            limit=limit,
            return_properties=["attributes", "codes"],
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
            return_properties=["attributes", "codes"],
            return_metadata=MetadataQuery(distance=True),
        )
        return _Found.of(answer.objects, lambda one: _cosine(one.distance))

    async def _by_columns(
        self, name: str | None, vector: Vector | None, condition: Condition | None, limit: int
    ) -> "_Found":
        if name is None or vector is None:
            return _Found({}, {})
        # Weaviate looks for so many groups, of which several may be of one dataset.
        groups, before = limit, -1
        while True:
            answer = await self._collection(name).query.near_vector(
                [vector.tolist()],
                target_vector=_COLUMNS,
                filters=condition,
                limit=min(groups, _MOST),
                return_properties=["attributes", "codes"],
                return_metadata=MetadataQuery(distance=True),
            )
            # With a filter it also gives what passes and has no column groups, at no distance.
            near = [one for one in answer.objects if (one.metadata.distance or 0) < _NOWHERE]
            count = len(near)
            if count >= limit or count == before or groups >= _MOST:
                return _Found.of(near[:limit], lambda one: _cosine(one.distance))
            groups, before = groups * 4, count

    async def _codes_of(self, name: str, ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, str]:
        found: dict[uuid.UUID, str] = {}
        for page in _pages(ids):
            answer = await self._collection(name).query.fetch_objects_by_ids(
                page, limit=len(page), return_properties=["codes"]
            )
            found.update((one.uuid, str(one.properties["codes"])) for one in answer.objects)
        return found

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
        self._layout_cache = _Layout(
            frozenset(name for name in listed if name.startswith(own)),
            None if alias is None else alias.collection,
            time.monotonic(),
        )
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
        wanted = ["urn", "version", "content_hash", "model"]
        by_id = {_id(urn): urn for urn in urns}
        return {
            by_id[one.uuid]: _Stored(
                int(one.properties["version"]),
                str(one.properties["content_hash"]),
                str(one.properties["model"]) or None,
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

    async def _count(self, name: str, condition: Condition | None = None) -> int:
        counted = self._collection(name).aggregate.over_all(total_count=True, filters=condition)
        return (await counted).total_count or 0


@dataclass(frozen=True, slots=True)
class _Found:
    """Attributes and codes of what one way of searching found, and its scores."""

    found: dict[uuid.UUID, tuple[str, str]]
    scores: dict[uuid.UUID, float]

    @classmethod
    def of(cls, objects: Sequence[Any], score: Callable[[Any], float]) -> Self:
        return cls(
            {one.uuid: (one.properties["attributes"], one.properties["codes"]) for one in objects},
            {one.uuid: score(one.metadata) for one in objects},
        )


async def _nothing() -> _Found:
    return _Found({}, {})


@dataclass(frozen=True, slots=True)
class _Similarity:
    similarity: float
    columns: float | None
    group: int | None


def _words(document: Document) -> str:
    """Return a document's terms, each as often as it counts: BM25 over them is our BM25F."""
    return " ".join(
        term
        for term, frequency in frequencies(document).items()
        for _ in range(max(1, round(frequency)))
    )


def _codes(vectors: Sequence[Vector]) -> str:
    """Return vectors in 8 bits a number, each with its scale before, as text.

    Enough to tell which column group is the nearest, and how near is what was found by other
    ways; Weaviate's answers hold them at a tenth of the cost of the vectors themselves.
    """
    rows = np.stack(vectors).astype(np.float32)
    scales = (np.abs(rows).max(axis=1) / 127).astype("<f4")
    whole = np.rint(rows / np.maximum(scales, 1e-12)[:, None]).astype(np.int8)
    return b64encode(scales.tobytes() + whole.tobytes()).decode()


def _similarities(
    codes: Mapping[uuid.UUID, str], vector: Vector
) -> Mapping[uuid.UUID, _Similarity]:
    """Return how near each document's vectors are to ``vector``; those without are absent."""
    packed = {id_: b64decode(text) for id_, text in codes.items() if text}
    if not packed:
        return {}
    dimensions = len(vector)
    sizes = [len(data) // (dimensions + 4) for data in packed.values()]
    scales = np.frombuffer(
        b"".join(data[: 4 * size] for data, size in zip(packed.values(), sizes, strict=True)),
        dtype="<f4",
    )
    rows = np.frombuffer(
        b"".join(data[4 * size :] for data, size in zip(packed.values(), sizes, strict=True)),
        dtype=np.int8,
    ).reshape(-1, dimensions)
    near = ((rows.astype(np.float32) @ vector) * scales).tolist()
    found, start = {}, 0
    for id_, size in zip(packed, sizes, strict=True):
        own, *groups = near[start : start + size]
        best = max(groups, default=None)
        group = None if best is None else groups.index(best)
        found[id_] = _Similarity(_bounded(own), None if best is None else _bounded(best), group)
        start += size
    return found


def _id(urn: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, _encodable(urn))


def _pages(ids: Sequence[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    for start in range(0, len(ids), _PAGE):
        yield list(ids[start : start + _PAGE])


def _hnsw() -> Any:
    return Configure.VectorIndex.hnsw(
        distance_metric=VectorDistances.DOT,
        max_connections=16,
        ef_construction=96,
        ef=160,
        quantizer=Configure.VectorIndex.Quantizer.none(),
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


def _attributes(values: Sequence[Any]) -> Attributes:
    platform, domain, *others = values
    return Attributes(platform, domain, *map(tuple, others))


def _document(packed: Any) -> Document:
    return _DOCUMENT.validate_python(json.loads(zlib.decompress(b64decode(packed))))


def _entry(properties: Mapping[str, Any], vectors: Mapping[str, Any]) -> Entry:
    own = vectors.get(_DATASET)
    return Entry(
        _document(properties["document"]),
        None if own is None else np.asarray(own, dtype=np.float32),
        tuple(np.asarray(one, dtype=np.float32) for one in vectors.get(_COLUMNS, ())),
        properties["model"] or None,
        int(properties["version"]),
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
        if isinstance(error, WeaviateBaseError):
            return DependencyRejected(_PORT, f"Weaviate refused: {message}")
        return None
