"""The servers of the demo start, keep their data, and end."""

from pathlib import Path

import pytest
import redis.asyncio
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from dataspoke.adapters.weaviate import WeaviateVectors
from dataspoke.embedded.child import Child, accepts_connections
from dataspoke.embedded.kafka import Kafka, require_jars
from dataspoke.embedded.postgres import Postgres
from dataspoke.embedded.supervisor import Supervisor
from dataspoke.embedded.valkey import Valkey
from dataspoke.embedded.weaviate import Weaviate
from dataspoke.errors import ConfigurationError, DependencyUnavailable
from tests.contract.test_vectors_port import document, entry, unit
from tests.support.weaviate import require_weaviate, settings_of


async def _ask(server: Postgres, *statements: str) -> list[object]:
    engine = create_async_engine(server.url)
    try:
        async with engine.begin() as connection:
            answers = [await connection.execute(text(one)) for one in statements]
            return [answer.scalar() if answer.returns_rows else None for answer in answers]
    finally:
        await engine.dispose()


async def test_postgres_keeps_its_data_across_starts(tmp_path: Path) -> None:
    first = Postgres(tmp_path)
    try:
        await _ask(first, "CREATE EXTENSION vector", "CREATE TABLE kept AS SELECT 7 AS n")
    finally:
        first.stop()
    assert not accepts_connections(first.port)
    second = Postgres(tmp_path)
    try:
        assert await _ask(second, "SELECT n FROM kept") == [7]
    finally:
        second.stop()


async def test_postgres_takes_over_from_a_server_left_behind(tmp_path: Path) -> None:
    orphan = Postgres(tmp_path)
    second = Postgres(tmp_path)
    try:
        assert not orphan.child.running
        assert await _ask(second, "SELECT 1") == [1]
    finally:
        second.stop()
        orphan.stop()


async def test_postgres_starts_below_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "data")
    try:
        assert await _ask(server, "SELECT 1") == [1]
    finally:
        server.stop()


async def test_valkey_answers_with_its_password_only(valkey: Valkey) -> None:
    async with redis.asyncio.from_url(valkey.url) as client:
        assert await client.ping()
    async with redis.asyncio.Redis(port=valkey.port) as stranger:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await stranger.ping()


async def test_weaviate_keeps_its_data_and_takes_over_from_a_server_left_behind(
    tmp_path: Path,
) -> None:
    require_weaviate()
    orphan = Weaviate(tmp_path)
    settings = settings_of(orphan, collection="Kept")
    async with WeaviateVectors(settings) as vectors:
        await vectors.upsert([entry(document("a", "orders"), unit(1))])
    second = Weaviate(tmp_path)
    try:
        assert not orphan.child.running
        async with WeaviateVectors(settings_of(second, collection="Kept")) as vectors:
            assert await vectors.urns() == {"a"}
    finally:
        second.stop()
        orphan.stop()
    assert not accepts_connections(second.port)


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    child = Child("broken", ["sh", "-c", "echo out of luck; exit 3"], tmp_path / "broken.log")
    with pytest.raises(DependencyUnavailable, match="out of luck"):
        child.wait_until(lambda: False, timeout_s=5)


async def test_a_killed_server_is_started_again_under_its_address(tmp_path: Path) -> None:
    restarted: list[str] = []
    supervisor = Supervisor(restarted.append)
    server = Valkey(tmp_path)
    supervisor.watch(server.child, server.start)
    try:
        first = server.child.pid
        server.child.process.kill()
        server.child.process.wait()
        supervisor.check()
        async with redis.asyncio.from_url(server.url) as client:
            assert await client.ping()
        assert restarted == ["valkey"]
        assert server.child.pid != first
    finally:
        supervisor.stop()
    assert not server.child.running


def test_a_server_that_keeps_ending_is_given_up(tmp_path: Path) -> None:
    def start() -> Child:
        child = Child("brief", ["sh", "-c", "echo cannot stay"], tmp_path / "brief.log")
        child.process.wait()
        return child

    supervisor = Supervisor(lambda name: None)
    supervisor.watch(start(), start)
    for _ in range(5):
        supervisor.check()
    with pytest.raises(DependencyUnavailable, match=r"(?s)brief: keeps ending.*cannot stay"):
        supervisor.check()


async def test_kafka_keeps_its_topics_across_starts(kafka: Kafka) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.create_topics([NewTopic("kept", num_partitions=3)]).values():
        future.result(30)
    kafka.stop()
    assert not accepts_connections(kafka.port)
    kafka.start()
    again = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    assert len(again.list_topics(timeout=30).topics["kept"].partitions) == 3


def test_kafka_that_was_not_fetched_names_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make kafka"):
        require_jars(tmp_path)
