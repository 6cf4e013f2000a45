"""Databases for tests: each a copy of one that was migrated once, which takes some 30 ms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from sqlalchemy import NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine


def at(server_url: str, database: str) -> str:
    """Return the address of another database on the same server."""
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


@asynccontextmanager
async def new_database(server_url: str, template: str = "template1") -> AsyncIterator[str]:
    """Yield the address of a copy of ``template``, dropped afterwards with what is connected."""
    name = f"test_{uuid4().hex}"
    engine = create_async_engine(server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        yield at(server_url, name)
        async with engine.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await engine.dispose()
