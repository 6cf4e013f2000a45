"""The Warehouses port by SQLAlchemy: PostgreSQL, DuckDB and SQLite, none of which can be written.

Each kind of database is held read-only by its own means, besides the reading of the statement:
PostgreSQL by its transaction, the others by how their file is opened. A kind that offers no such
means is refused.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dataspoke.catalogue import Dataset
from dataspoke.errors import (
    ConfigurationError,
    DataSpokeError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.ports.warehouse import Rows, Table
from dataspoke.quality.rules.statements import require_select, table_of
from dataspoke.settings import WarehouseSettings
from dataspoke.urns import dataset_name

_PORT = "warehouse"
_CONNECT_TIMEOUT_S = 5
_POOL_SIZE = 2
_LONGEST_REASON = 300
# The server's own limit comes first; this is for one that is gone.
_PATIENCE_S = 2.0
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CANCELLED = "57014"
_BROKEN_OFF = ("08", "53", "57")
_NO_ACCESS = ("28", "3D")
# What SQLAlchemy calls a kind of database and sqlglot a dialect.
_DIALECTS = {"postgresql": "postgres", "duckdb": "duckdb", "sqlite": "sqlite"}


class SqlWarehouses:
    """The Warehouses port; an engine is made when it is first asked, see ``close``."""

    def __init__(self, settings: Mapping[str, WarehouseSettings]) -> None:
        self._settings = settings
        self._engines: dict[str, _AsyncDatabase | _FileDatabase] = {}

    async def close(self) -> None:
        """Close all connections."""
        for engine in self._engines.values():
            await engine.close()
        self._engines.clear()

    def table(self, dataset: Dataset, connection: str | None) -> Table | None:
        name = dataset_name(dataset.urn)
        if connection is None:
            platform = dataset.platform.rpartition(":")[2]
            connection = next(
                (
                    key
                    for key, settings in self._settings.items()
                    if settings.platform == platform
                    and any(fnmatchcase(name, pattern) for pattern in settings.names)
                ),
                None,
            )
        if connection is None:
            return None
        dialect = self.dialect(connection)
        instance = self._settings_of(connection).instance
        return Table(connection, dialect, table_of(name, instance, dialect))

    def dialect(self, connection: str) -> str:
        return _dialect(connection, _address(connection, self._settings_of(connection)))

    async def select(self, connection: str, sql: str) -> Rows:
        settings = self._settings_of(connection)
        require_select(sql, self.dialect(connection))
        with _translated(connection, settings.statement_timeout_s):
            return await self._database(connection).select(sql, settings.row_cap)

    def _settings_of(self, connection: str) -> WarehouseSettings:
        settings = self._settings.get(connection)
        if settings is None:
            raise ConfigurationError(
                f"There is no connection {connection!r}: register it by {_variable(connection)}."
            )
        return settings

    def _database(self, connection: str) -> "_AsyncDatabase | _FileDatabase":
        if connection not in self._engines:
            settings = self._settings[connection]
            url = _address(connection, settings)
            made = _AsyncDatabase if _dialect(connection, url) == "postgres" else _FileDatabase
            self._engines[connection] = made(connection, url, settings.statement_timeout_s)
        return self._engines[connection]


class _AsyncDatabase:
    """PostgreSQL: the server ends what takes too long, and what writes."""

    def __init__(self, connection: str, url: URL, timeout_s: float) -> None:
        limit_ms = str(int(timeout_s * 1000))
        # libpq's word, and asyncpg's for the same.
        options = {"ssl" if key == "sslmode" else key: value for key, value in url.query.items()}
        self._timeout_s = timeout_s
        self._engine: AsyncEngine = create_async_engine(
            url.set(drivername="postgresql+asyncpg", query=options),
            pool_size=_POOL_SIZE,
            max_overflow=0,
            pool_pre_ping=True,
            execution_options={"postgresql_readonly": True},
            connect_args={
                "timeout": _CONNECT_TIMEOUT_S,
                "command_timeout": timeout_s + _PATIENCE_S,
                "server_settings": {
                    "application_name": "dataspoke rules",
                    "default_transaction_read_only": "on",
                    "statement_timeout": limit_ms,
                    "idle_in_transaction_session_timeout": limit_ms,
                },
            },
        )
        # Whoever waits for a turn waits as long as it takes: a query that is slow must not cost
        # those behind it their time.
        self._turns = asyncio.Semaphore(_POOL_SIZE)

    async def select(self, sql: str, row_cap: int) -> Rows:
        async with self._turns, self._engine.connect() as connection:
            # Rows are fetched as they are asked for, so that the cap holds for memory too.
            streaming = await connection.execution_options(stream_results=True)
            return await streaming.run_sync(_read, sql, row_cap)

    async def close(self) -> None:
        await self._engine.dispose()


class _FileDatabase:
    """DuckDB or SQLite: opened for reading for each statement, so that others may write between."""

    def __init__(self, connection: str, url: URL, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        if not url.database or url.database == ":memory:":
            raise ConfigurationError(
                f"{_variable(connection)} names no file; give its path after ///."
            )
        self._path = Path(url.database)
        if url.get_backend_name() == "sqlite":
            # Names are escaped, so that none can become an option.
            url = URL.create(
                "sqlite+pysqlite",
                database=f"{self._path.absolute().as_uri()}",
                query={"mode": "ro", "uri": "true"},
            )
            arguments: dict[str, Any] = {"timeout": _CONNECT_TIMEOUT_S, "check_same_thread": False}
        else:
            arguments = {
                "read_only": True,
                "config": {"enable_external_access": "false", "lock_configuration": "true"},
            }
            url = URL.create("duckdb", database=url.database)
        self._engine: Engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
        self._turns = asyncio.Semaphore(_POOL_SIZE)

    async def select(self, sql: str, row_cap: int) -> Rows:
        async with self._turns:
            if not await asyncio.to_thread(self._path.is_file):
                # DuckDB and SQLite would say so in words that hold the path.
                raise FileNotFoundError
            stop: list[Callable[[], None]] = []
            try:
                return await asyncio.to_thread(self._select, sql, row_cap, stop)
            except asyncio.CancelledError:
                # A thread cannot be cancelled; the database it waits for can be interrupted.
                for interrupt in stop:
                    interrupt()
                raise

    def _select(self, sql: str, row_cap: int, stop: list[Callable[[], None]]) -> Rows:
        with self._engine.connect() as connection:
            interrupt = connection.connection.dbapi_connection.interrupt  # type: ignore[union-attr]
            stop.append(interrupt)
            timed_out = threading.Event()

            def expire() -> None:
                timed_out.set()
                interrupt()

            timer = threading.Timer(self._timeout_s, expire)
            timer.start()
            try:
                return _read(connection, sql, row_cap)
            except DBAPIError as error:
                if timed_out.is_set():
                    raise TimeoutError from error
                raise
            finally:
                timer.cancel()

    async def close(self) -> None:
        self._engine.dispose()


def _read(connection: Connection, sql: str, row_cap: int) -> Rows:
    # As it is: in a text of SQLAlchemy's a colon would name a parameter.
    answer = connection.exec_driver_sql(sql)
    try:
        found = answer.fetchmany(row_cap + 1)
    finally:
        answer.close()
    return Rows([tuple(row) for row in found[:row_cap]], more=len(found) > row_cap)


def _address(connection: str, settings: WarehouseSettings) -> URL:
    """Return the address that the setting holds or refers to."""
    variable = _variable(connection)
    text = settings.url.get_secret_value()
    kind, _, reference = text.partition(":")
    if kind == "env":
        found = os.environ.get(reference)
        if found is None:
            raise ConfigurationError(f"{variable} refers to {reference}, which is not set.")
        text = found
    elif kind == "file":
        try:
            text = Path(reference).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{variable} refers to the file {reference}, which cannot be read."
            ) from error
    try:
        return make_url(text.strip())
    except ArgumentError as error:
        raise ConfigurationError(
            f"{variable} is no SQLAlchemy address; write it as postgresql://USER:PASSWORD@HOST/NAME."
        ) from error


def _dialect(connection: str, url: URL) -> str:
    try:
        return _DIALECTS[url.get_backend_name()]
    except KeyError:
        raise ConfigurationError(
            f"{_variable(connection)} is an address of {url.get_backend_name()}, which cannot be "
            f"held read-only; rules run on {', '.join(_DIALECTS)}."
        ) from None


def _variable(connection: str) -> str:
    return f"DATASPOKE_WAREHOUSES__{connection.upper()}__URL"


@contextmanager
def _translated(connection: str, timeout_s: float) -> Iterator[None]:
    """Raise the libraries' errors as DataSpoke's, without what an address may hold."""
    try:
        yield
    except (NoSuchModuleError, ImportError) as error:
        raise ConfigurationError(
            f"Connection {connection} needs a driver; install dataspoke[duckdb]."
        ) from error
    except TypeError as error:
        # How the driver refuses an option; its message could repeat what the option holds.
        raise ConfigurationError(
            f"{_variable(connection)} has an option behind its question mark that the driver does "
            "not know; leave it out."
        ) from error
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # SQLAlchemy does not wrap what happens while rows are fetched from a server-side cursor.
        raise _translate(connection, timeout_s, error) from error
    except TimeoutError as error:
        raise _too_slow(connection, timeout_s) from error
    except OSError as error:
        raise DependencyUnavailable(
            _PORT, f"Connection {connection} cannot be reached; check {_variable(connection)}."
        ) from error


def _translate(connection: str, timeout_s: float, error: Exception) -> DataSpokeError:
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(said, "sqlstate", None) or ""
    if state == _CANCELLED:
        return _too_slow(connection, timeout_s)
    if state.startswith(_NO_ACCESS):
        return ConfigurationError(
            f"Connection {connection} refuses the login or the database of {_variable(connection)}."
        )
    if state.startswith(_BROKEN_OFF) or getattr(error, "connection_invalidated", False):
        return DependencyUnavailable(_PORT, f"Connection {connection} broke off; try again.")
    return DependencyRejected(_PORT, f"Connection {connection} refused the query: {_reason(said)}.")


def _too_slow(connection: str, timeout_s: float) -> DependencyTimeout:
    return DependencyTimeout(
        _PORT,
        f"The query took longer than {timeout_s:g} seconds on connection {connection} and was "
        "cancelled; make it cheaper, or raise DATASPOKE_WAREHOUSES__"
        f"{connection.upper()}__STATEMENT_TIMEOUT_S.",
    )


def _reason(said: BaseException) -> str:
    """Return the first line of what the database said: the rest repeats the statement."""
    lines = str(said.__cause__ or said).strip().splitlines()
    return lines[0][:_LONGEST_REASON].rstrip(".:") if lines else "it gave no reason"
