"""The SQLite file of the stand-in: opened by one process, written in transactions."""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dataspoke.errors import ConfigurationError

_SCHEMA = """
create table if not exists entities (
  urn text primary key, type text not null, removed integer not null default 0,
  created_ms integer not null) without rowid;
create index if not exists entities_by_type on entities (type, urn);
create table if not exists aspects (
  urn text not null, aspect text not null, version integer not null, value text not null,
  system_metadata text not null, created_ms integer not null, actor text not null,
  primary key (urn, aspect, version)) without rowid;
create table if not exists points (
  urn text not null, aspect text not null, time_ms integer not null, series text not null,
  value text not null, system_metadata text not null, created_ms integer not null,
  actor text not null, primary key (urn, aspect, time_ms, series)) without rowid;
create table if not exists edges (
  source text not null, aspect text not null, name text not null, destination text not null,
  primary key (source, aspect, name, destination)) without rowid;
create index if not exists edges_by_destination on edges (destination, name);
create table if not exists events (
  position integer primary key autoincrement, topic text not null, urn text not null,
  type text not null, aspect text not null, change text not null, value text, previous text,
  system_metadata text not null, headers text not null, created_ms integer not null,
  actor text not null);
create index if not exists events_by_topic on events (topic, position);
create table if not exists published (
  topic text primary key, position integer not null) without rowid;
"""

# SQLite takes at most this many parameters in every build of it.
_MAX_PARAMETERS = 900


class Database:
    """One connection that threads share; each call holds it for as long as it takes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._listeners: set[Callable[[], object]] = set()

    @classmethod
    def open(cls, path: Path | None) -> Self:
        """Return the database in the file at ``path``, made where absent; None keeps it in memory.

        Raises ConfigurationError where the file cannot be used: it is of another kind, cannot be
        written, or another process has it open.
        """
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                path or ":memory:", check_same_thread=False, isolation_level=None, timeout=0
            )
            try:
                connection.execute("pragma locking_mode = exclusive")
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = normal")
                connection.executescript(f"begin exclusive; {_SCHEMA} commit;")
            except sqlite3.Error:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise ConfigurationError(
                f"The stand-in hub cannot use {path} as its data file ({error}). Stop the other "
                "stand-in that has it open, or name another file."
            ) from error
        return cls(connection)

    def close(self) -> None:
        """Close the file. Nothing else may be called afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def notified(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call ``listener`` after every write, in the writer's thread, while inside."""
        with self._lock:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(listener)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything done inside or, where that raises, nothing of it.

        Raises ConfigurationError where the disk is full.
        """
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException as error:
                # A full disk has ended it already.
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                    raise ConfigurationError(
                        "The stand-in hub's disk is full, and nothing of this was written: make "
                        "room, or choose another folder."
                    ) from error
                raise
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def run(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        """Execute a statement; its rows must be fetched before the next write."""
        with self._lock:
            return self._connection.execute(statement, parameters)

    def run_many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Execute a statement once for each row of parameters."""
        with self._lock:
            self._connection.executemany(statement, rows)

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._lock:
            return self._connection.execute(statement, parameters).fetchall()

    def rows_in(self, statement: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query that ends before ``in (…)``, asked in batches of keys."""
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), _MAX_PARAMETERS):
            batch = unique[start : start + _MAX_PARAMETERS]
            marks = ", ".join("?" * len(batch))
            yield from self.rows(f"{statement} in ({marks})", *batch)
