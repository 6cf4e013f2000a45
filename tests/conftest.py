"""Real servers for the tests, started once a session and only where a test asks for them."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from dataspoke.adapters.postgres import migrate
from dataspoke.embedded.kafka import Kafka
from dataspoke.embedded.postgres import Postgres
from dataspoke.embedded.valkey import Valkey
from dataspoke.embedded.weaviate import Weaviate
from tests.support.broker import require_kafka
from tests.support.databases import new_database
from tests.support.weaviate import require_weaviate


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL with nothing in it; a test makes its own database (see tests.support)."""
    # Nothing of a test has to survive a power cut.
    options = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = Postgres(tmp_path_factory.mktemp("postgres"), options=options)
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def migrated_template(postgres: Postgres) -> AsyncIterator[str]:
    """The name of a database with every table and no row, to be copied."""
    async with new_database(postgres.url) as url:
        await migrate.upgrade(url)
        yield make_url(url).database or ""


@pytest.fixture(scope="module")
async def database_url(postgres: Postgres, migrated_template: str) -> AsyncIterator[str]:
    """The address of a migrated database of this test module's own."""
    async with new_database(postgres.url, migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker; a test makes topics of its own (see tests.support.broker)."""
    require_kafka()
    server = Kafka(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def weaviate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weaviate]:
    """A Weaviate with nothing in it; a test takes a name of its own for its collections."""
    require_weaviate()
    server = Weaviate(tmp_path_factory.mktemp("weaviate"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real input beside the checkout."""
    path = Path(os.environ.get("DATASPOKE_SHARED_DATA", "../shared/data")).resolve()
    if not path.is_dir():
        pytest.skip(f"real input is not at {path} (set DATASPOKE_SHARED_DATA to its folder)")
    return path
