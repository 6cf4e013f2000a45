"""What any registered connection does, on each kind of database that there is."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import pytest
from pydantic import SecretStr

from dataspoke.adapters.warehouses import SqlWarehouses
from dataspoke.catalogue import Dataset
from dataspoke.embedded.postgres import Postgres
from dataspoke.errors import (
    ConfigurationError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
    InvalidInput,
)
from dataspoke.settings import WarehouseSettings
from tests.support.databases import new_database
from tests.support.waiting import until
from tests.support.warehouses import fill_duckdb, fill_postgres, fill_sqlite

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(params=["postgres", "duckdb", "sqlite"])
async def registered(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[WarehouseSettings]:
    limits = {"statement_timeout_s": 1, "row_cap": 3}
    if request.param == "duckdb":
        yield fill_duckdb(tmp_path / "it's a shop.duckdb", **limits)
    elif request.param == "sqlite":
        yield fill_sqlite(tmp_path / "it's a shop.sqlite", **limits)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        async with new_database(server.url) as url:
            yield await fill_postgres(url, **limits)


@pytest.fixture
async def warehouses(registered: WarehouseSettings) -> AsyncIterator[SqlWarehouses]:
    opened = SqlWarehouses({"shop": registered})
    yield opened
    await opened.close()


@pytest.fixture
def orders(registered: WarehouseSettings) -> str:
    return "orders" if registered.platform == "sqlite" else "shop.orders"


async def test_rows_come_in_order_up_to_the_cap(warehouses: SqlWarehouses, orders: str) -> None:
    found = await warehouses.select("shop", f"SELECT id, state FROM {orders} ORDER BY id")
    assert [tuple(row) for row in found.rows] == [(1, "open"), (2, "paid"), (3, "paid")]
    assert found.more
    found = await warehouses.select("shop", f"SELECT count(*) FROM {orders}")
    assert ([tuple(row) for row in found.rows], found.more) == ([(4,)], False)
    assert await warehouses.select("shop", f"SELECT 1 FROM {orders} WHERE 1 = 0") is not None


async def test_what_looks_like_a_parameter_is_text(warehouses: SqlWarehouses) -> None:
    found = await warehouses.select("shop", "SELECT ':id', '%s', '50 %', '?'")
    assert [tuple(row) for row in found.rows] == [(":id", "%s", "50 %", "?")]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM {}",
        "WITH gone AS (DELETE FROM {} RETURNING *) SELECT * FROM gone",
        "SELECT 1; DELETE FROM {}",
        "DROP TABLE {}",
        "SELECT * INTO copied FROM {}",
        "SELECT * FROM {} FOR UPDATE",
        "EXPLAIN ANALYZE DELETE FROM {}",
        "SET statement_timeout = 0",
        "COMMIT",
        "ATTACH 'other' AS other",
        "COPY {} TO '/tmp/out'",
        "PRAGMA query_only = 0",
        "",
    ],
)
async def test_only_one_select_is_run(warehouses: SqlWarehouses, orders: str, sql: str) -> None:
    with pytest.raises(InvalidInput, match="query"):
        await warehouses.select("shop", sql.format(orders))
    assert (await warehouses.select("shop", f"SELECT count(*) FROM {orders}")).rows[0][0] == 4


async def test_the_database_itself_refuses_to_write(
    registered: WarehouseSettings, warehouses: SqlWarehouses, orders: str
) -> None:
    """What the reading of the statement lets pass, as a misread one would."""
    database = warehouses._database("shop")
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        await database.select(f"DELETE FROM {orders}", 10)
    assert (await warehouses.select("shop", f"SELECT count(*) FROM {orders}")).rows[0][0] == 4


async def test_functions_that_write_are_refused(
    registered: WarehouseSettings, warehouses: SqlWarehouses
) -> None:
    statement = {
        "postgres": "SELECT lo_create(0)",
        "duckdb": "SELECT * FROM read_csv('/etc/passwd')",
        "sqlite": "SELECT load_extension('other')",
    }[registered.platform]
    with pytest.raises(DependencyRejected, match="shop refused the query") as refused:
        await warehouses.select("shop", statement)
    assert "etc/passwd:" not in refused.value.public_message


async def test_no_query_lifts_its_own_limits(
    registered: WarehouseSettings, warehouses: SqlWarehouses
) -> None:
    if registered.platform == "postgres":
        with pytest.raises(DependencyRejected, match="read-write mode"):
            await warehouses.select(
                "shop", "SELECT set_config('transaction_read_only', 'off', false)"
            )
        await warehouses.select("shop", "SELECT set_config('statement_timeout', '0', false)")
    with pytest.raises(DependencyTimeout):
        await warehouses.select("shop", ENDLESS)


async def test_an_endless_query_is_cancelled(warehouses: SqlWarehouses) -> None:
    begun = time.monotonic()
    with pytest.raises(DependencyTimeout, match="longer than 1 seconds on connection shop"):
        await warehouses.select("shop", ENDLESS)
    assert time.monotonic() - begun < 10
    assert [tuple(row) for row in (await warehouses.select("shop", "SELECT 1")).rows] == [(1,)]


async def test_a_scan_that_is_cancelled_takes_its_query_along(
    registered: WarehouseSettings,
) -> None:
    patient = SqlWarehouses({"shop": registered.model_copy(update={"statement_timeout_s": 600})})
    task = asyncio.create_task(patient.select("shop", ENDLESS))
    done, _ = await asyncio.wait([task], timeout=0.5)
    assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def ended() -> bool:
        if registered.platform != "postgres":
            return not any(_selecting(frame) for frame in sys._current_frames().values())
        running = await patient.select(
            "shop",
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
            "AND pid <> pg_backend_pid() AND query LIKE '%RECURSIVE n%'",
        )
        return bool(running.rows[0][0] == 0)

    await until(ended, "the query to end")
    await patient.close()


def _selecting(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "_read":
            return True
        frame = frame.f_back
    return False


async def test_what_the_database_says_is_passed_on(warehouses: SqlWarehouses, orders: str) -> None:
    with pytest.raises(DependencyRejected, match="nothere"):
        await warehouses.select("shop", f"SELECT nothere FROM {orders}")
    with pytest.raises(InvalidInput, match="cannot be read"):
        await warehouses.select("shop", "SELECT count( FROM x")


async def test_a_connection_that_is_not_registered_is_named(warehouses: SqlWarehouses) -> None:
    with pytest.raises(ConfigurationError, match="DATASPOKE_WAREHOUSES__OTHER__URL"):
        await warehouses.select("other", "SELECT 1")


async def test_a_dataset_is_found_by_platform_and_name(registered: WarehouseSettings) -> None:
    narrowed = registered.model_copy(update={"names": ["prod.*"], "instance": "prod"})
    warehouses = SqlWarehouses({"shop": narrowed, "any": registered})

    def dataset(name: str, platform: str = registered.platform) -> Dataset:
        platform_urn = f"urn:li:dataPlatform:{platform}"
        return Dataset(f"urn:li:dataset:({platform_urn},{name},PROD)", name, platform_urn)

    found = warehouses.table(dataset("prod.shop.orders"), None)
    assert found is not None
    assert found.connection == "shop"
    assert found.parts == (("orders",) if registered.platform == "sqlite" else ("shop", "orders"))
    other = warehouses.table(dataset("shop.orders"), None)
    assert other is not None
    assert other.connection == "any"
    assert warehouses.table(dataset("prod.shop.orders", "kafka"), None) is None
    named = warehouses.table(dataset("shop.orders", "kafka"), "shop")
    assert named is not None
    assert named.connection == "shop"


SECRET = "s3cret-word"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:9/none", DependencyUnavailable),
        (f"duckdb:////nowhere/{SECRET}.duckdb", DependencyUnavailable),
        (f"sqlite:////nowhere/{SECRET}.sqlite", DependencyUnavailable),
        (f"mysql://me:{SECRET}@host/db", ConfigurationError),
        (f"{SECRET} is no address", ConfigurationError),
        ("env:NO_SUCH_VARIABLE", ConfigurationError),
        ("file:/no/such/file", ConfigurationError),
        ("sqlite://", ConfigurationError),
    ],
)
async def test_an_address_that_cannot_be_used_stays_secret(
    url: str, error: type[ConfigurationError | DependencyUnavailable]
) -> None:
    warehouses = SqlWarehouses({"shop": WarehouseSettings(url=SecretStr(url))})
    with pytest.raises(error, match="DATASPOKE_WAREHOUSES__SHOP__URL") as raised:
        await warehouses.select("shop", "SELECT 1")
    assert SECRET not in raised.value.public_message
    await warehouses.close()


async def test_a_wrong_password_is_named_and_not_shown(postgres: Postgres) -> None:
    url = postgres.url.replace("postgresql+asyncpg", "postgresql")
    host = url.rpartition("@")[2]
    wrong = WarehouseSettings(url=SecretStr(f"postgresql://nobody:{SECRET}@{host}"))
    warehouses = SqlWarehouses({"shop": wrong})
    with pytest.raises(ConfigurationError, match="refuses the login") as raised:
        await warehouses.select("shop", "SELECT 1")
    assert SECRET not in raised.value.public_message
    await warehouses.close()


async def test_options_of_an_address_are_taken_or_refused(postgres: Postgres) -> None:
    url = postgres.url.replace("postgresql+asyncpg", "postgresql")
    for option, refusal in (("sslmode=disable", None), (f"nonsense={SECRET}", "does not know")):
        settings = WarehouseSettings(url=SecretStr(f"{url}?{option}"))
        warehouses = SqlWarehouses({"shop": settings})
        if refusal is None:
            assert [tuple(r) for r in (await warehouses.select("shop", "SELECT 1")).rows] == [(1,)]
        else:
            with pytest.raises(ConfigurationError, match=refusal) as raised:
                await warehouses.select("shop", "SELECT 1")
            assert SECRET not in raised.value.public_message
        await warehouses.close()


async def test_an_address_is_read_where_it_is_written(
    registered: WarehouseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = registered.url.get_secret_value()
    (tmp_path / "address").write_text(f"{address}\n")
    monkeypatch.setenv("SHOP_ADDRESS", address)
    for reference in ("env:SHOP_ADDRESS", f"file:{tmp_path / 'address'}"):
        warehouses = SqlWarehouses({"shop": WarehouseSettings(url=SecretStr(reference))})
        assert [tuple(r) for r in (await warehouses.select("shop", "SELECT 1")).rows] == [(1,)]
        await warehouses.close()
