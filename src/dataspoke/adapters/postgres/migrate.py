"""Brings the database's tables in step with this release, and tells whether they are."""

from collections.abc import Callable
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from dataspoke.adapters.postgres.errors import translated
from dataspoke.errors import ConfigurationError


async def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up to ``revision``; safe to run by several processes at once.

    One at a time in a process: Alembic keeps its context in a global.
    """
    await _run(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, revision: str) -> None:
    """Migrate down to ``revision``; ``base`` removes every table."""
    await _run(url, lambda config: command.downgrade(config, revision))


async def check(url: str) -> None:
    """Return where the database is in step; raise ConfigurationError, with the fix, otherwise."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        with translated():
            async with engine.connect() as connection:
                require_head(await connection.run_sync(current_revision))
    finally:
        await engine.dispose()


def current_revision(connection: Connection) -> str | None:
    """Return the revision the database is at; None where it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def require_head(revision: str | None) -> None:
    """Raise ConfigurationError where ``revision`` is not the one this release needs."""
    if revision != head():
        raise ConfigurationError(
            f"The database is at revision {revision or 'none'} and this release needs {head()}; "
            "run `dataspoke db upgrade`."
        )


@cache
def head() -> str:
    """Return the revision that this release needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise ConfigurationError("This installation of dataspoke lacks its migrations.")
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "dataspoke:migrations")
    config.set_main_option("path_separator", "os")
    return config


async def _run(url: str, action: Callable[[Config], None]) -> None:
    def on(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        action(config)

    engine = create_async_engine(url, poolclass=NullPool)
    try:
        with translated():
            async with engine.begin() as connection:
                await connection.run_sync(on)
    finally:
        await engine.dispose()
