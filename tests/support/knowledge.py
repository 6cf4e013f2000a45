"""A hub, and the knowledge base over it, in memory."""

from dataclasses import dataclass, field

from dataspoke.adapters.memory.cache import MemoryCache
from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.catalogue import Dataset, Field
from dataspoke.knowledge.indexing import Drift, IndexService
from dataspoke.knowledge.model import SearchFilters, SearchPage
from dataspoke.knowledge.search import SearchService
from dataspoke.ports.embedder import Embedder
from dataspoke.ports.hub import Actor
from dataspoke.settings import SearchSettings
from tests.support.embedding import SynonymEmbedder

HIVE = "urn:li:dataPlatform:hive"
ANY = SearchFilters()


def urn_of(name: str) -> str:
    return f"urn:li:dataset:({HIVE},{name},PROD)"


def dataset(name: str, *columns: str, description: str | None = None) -> Dataset:
    fields = tuple(Field(column) for column in columns)
    return Dataset(urn_of(name), name, HIVE, description, fields)


@dataclass
class World:
    """A hub and what is made of it."""

    hub: MemoryHub
    store: MemoryStore
    vectors: MemoryVectors
    embedder: SynonymEmbedder
    clock: MemoryClock
    settings: SearchSettings = field(default_factory=SearchSettings)

    def __post_init__(self) -> None:
        self.cache = MemoryCache(self.clock)

    @property
    def index(self) -> IndexService:
        return self._index(self.embedder)

    @property
    def wordy_index(self) -> IndexService:
        return self._index(None)

    @property
    def finder(self) -> SearchService:
        return self._finder(self.embedder)

    @property
    def wordy_finder(self) -> SearchService:
        return self._finder(None)

    def _index(self, embedder: Embedder | None) -> IndexService:
        return IndexService(
            self.hub, self.store, self.vectors, embedder, self.clock, cache=self.cache
        )

    def _finder(self, embedder: Embedder | None) -> SearchService:
        return SearchService(
            self.hub, self.store, self.vectors, embedder, self.cache, self.settings
        )

    async def put(self, *datasets: Dataset) -> None:
        """Add datasets to the hub and index them."""
        for added in datasets:
            self.hub.put(added)
        await self.reindex(*(added.urn for added in datasets))

    async def reindex(self, *urns: str) -> None:
        async with self.store.transaction() as tx:
            await tx.request_index(urns)
        await self.index.reindex(None)

    async def reconcile(self) -> Drift:
        """Do what the jobs of a reconciliation do; returns what was found out of step."""
        found = [drift async for drift, _ in self.index.survey()]
        await self.index.reindex(None)
        await self.index.backfill(None)
        return found[-1]

    async def search(
        self,
        question: str,
        actor: Actor | None = None,
        filters: SearchFilters = ANY,
        first: int = 10,
        after: str | None = None,
    ) -> SearchPage:
        who = actor or self.hub.admit("viewer", "urn:li:corpuser:viewer")
        return await self.finder.search(who, question, filters, first, after)
