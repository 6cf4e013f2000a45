"""The store and its jobs, in memory and on PostgreSQL, for the suites that hold them to one."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.postgres.tables import metadata
from dataspoke.adapters.weaviate import WeaviateVectors
from dataspoke.embedded.weaviate import Weaviate
from dataspoke.ports.store import Jobs, Store
from dataspoke.settings import StoreSettings
from tests.support.weaviate import opened


@pytest.fixture(scope="module")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(StoreSettings(url=database_url))
    yield made
    await made.dispose()


@pytest.fixture
async def emptied(engine: AsyncEngine) -> AsyncEngine:
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    return engine


@pytest.fixture(params=["memory", "postgres"])
def ports(request: pytest.FixtureRequest) -> tuple[Store, Jobs]:
    if request.param == "memory":
        memory = MemoryStore(MemoryClock())
        return memory, MemoryJobs(memory)
    engine: AsyncEngine = request.getfixturevalue("emptied")
    return PostgresStore(engine), PostgresJobs(engine)


@pytest.fixture
def store(ports: tuple[Store, Jobs]) -> Store:
    return ports[0]


@pytest.fixture
def jobs(ports: tuple[Store, Jobs]) -> Jobs:
    return ports[1]


@pytest.fixture
async def weaviate_vectors(weaviate: Weaviate) -> AsyncIterator[WeaviateVectors]:
    """An index with nothing in it, in collections of the test's own."""
    async with opened(weaviate) as vectors:
        yield vectors
