"""Databases with the same few orders in each, for what asks warehouses."""

import sqlite3
from pathlib import Path

import duckdb
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from dataspoke.settings import WarehouseSettings

# The second row has no e-mail address; that of the fourth is none.
ORDERS = (
    "(1, 'open', 'ada@example.org', 10.5), (2, 'paid', NULL, 20.0), "
    "(3, 'paid', 'bob@example.org', 30.0), (4, 'lost', 'nobody', 0.5)"
)
_TABLE = "orders (id INTEGER, state VARCHAR(10), email VARCHAR(50), total DOUBLE PRECISION)"


async def fill_postgres(url: str, **settings: object) -> WarehouseSettings:
    """Make ``shop.orders`` in an empty PostgreSQL database and return how it is registered."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA shop"))
        await connection.execute(text(f"CREATE TABLE shop.{_TABLE}"))
        await connection.execute(text(f"INSERT INTO shop.orders VALUES {ORDERS}"))
    await engine.dispose()
    plain = make_url(url).set(drivername="postgresql")
    address = plain.render_as_string(hide_password=False)
    return WarehouseSettings(url=address, platform="postgres", **settings)


def fill_duckdb(path: Path, **settings: object) -> WarehouseSettings:
    """Make ``shop.orders`` in a DuckDB file and return how it is registered."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(f"CREATE TABLE shop.{_TABLE}")
        connection.execute(f"INSERT INTO shop.orders VALUES {ORDERS}")
    return WarehouseSettings(url=f"duckdb:///{path}", platform="duckdb", **settings)


def fill_sqlite(path: Path, **settings: object) -> WarehouseSettings:
    """Make ``orders`` in a SQLite file and return how it is registered."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"CREATE TABLE {_TABLE}")
        connection.execute(f"INSERT INTO orders VALUES {ORDERS}")
    connection.close()
    return WarehouseSettings(url=f"sqlite:///{path}", platform="sqlite", **settings)
