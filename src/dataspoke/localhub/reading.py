"""What can be asked of the stand-in's storage."""

from collections.abc import Iterable
from typing import Any

import orjson

from dataspoke.localhub.database import Database
from dataspoke.localhub.records import Edge, Event, StoredAspect, Topic

_FOREVER_MS = 2**62


class ReadOnlyStorage:
    """Everything the stand-in knows, for reading. Safe to use from several threads.

    Reads take many urns at once; a urn that is not there is absent from the answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def aspect(self, urn: str, aspect: str, version: int = 0) -> StoredAspect | None:
        """Return one version of an aspect; None where there is none such."""
        rows = self._database.rows(
            "select * from aspects where urn = ? and aspect = ? and version = ?",
            urn,
            aspect,
            version,
        )
        return _stored(rows[0]) if rows else None

    def aspects(
        self, urns: Iterable[str], names: Iterable[str] | None = None
    ) -> dict[str, dict[str, StoredAspect]]:
        """Return the latest aspects by urn and name; ``names`` None means all of them."""
        found: dict[str, dict[str, StoredAspect]] = {}
        wanted = None if names is None else frozenset(names)
        for row in self._database.rows_in("select * from aspects where version = 0 and urn", urns):
            if wanted is None or row[1] in wanted:
                found.setdefault(row[0], {})[row[1]] = _stored(row)
        return found

    def points(
        self,
        urns: Iterable[str],
        aspect: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> dict[str, list[StoredAspect]]:
        """Return points of a time series by urn, newest first, at most ``limit`` for each urn.

        Both bounds are included.
        """
        found: dict[str, list[StoredAspect]] = {}
        for urn in urns:
            rows = self._database.rows(
                "select urn, aspect, 0, value, system_metadata, created_ms, actor from points"
                " where urn = ? and aspect = ? and time_ms between ? and ?"
                " order by time_ms desc, created_ms desc limit ?",
                urn,
                aspect,
                start_ms or 0,
                _FOREVER_MS if end_ms is None else end_ms,
                -1 if limit is None else limit,
            )
            if rows:
                found[urn] = [_stored(row) for row in rows]
        return found

    def existing(self, urns: Iterable[str], with_removed: bool = True) -> set[str]:
        """Return those urns that exist; ``with_removed`` counts soft-deleted ones."""
        rows = self._database.rows_in("select urn, removed from entities where urn", urns)
        return {urn for urn, removed in rows if with_removed or not removed}

    def urns(
        self,
        entity_type: str,
        after: str = "",
        limit: int | None = None,
        with_removed: bool = False,
    ) -> list[str]:
        """Return urns of one type that sort after ``after``, in order."""
        rows = self._database.rows(
            "select urn from entities where type = ? and urn > ? and removed <= ?"
            " order by urn limit ?",
            entity_type,
            after,
            int(with_removed),
            -1 if limit is None else limit,
        )
        return [urn for (urn,) in rows]

    def outgoing(self, urns: Iterable[str], names: Iterable[str] | None = None) -> list[Edge]:
        """Return the relationships that these urns state; ``names`` None means all kinds."""
        return self._edges("select * from edges where source", urns, names)

    def incoming(self, urns: Iterable[str], names: Iterable[str] | None = None) -> list[Edge]:
        """Return the relationships that others state to these urns."""
        return self._edges("select * from edges where destination", urns, names)

    def edges(self, names: Iterable[str] | None = None) -> list[Edge]:
        """Return all relationships; ``names`` None means all kinds."""
        return _of_kinds(names, self._database.rows("select * from edges"))

    def events(self, topic: Topic, after: int, limit: int) -> list[Event]:
        """Return changes after a position, oldest first."""
        rows = self._database.rows(
            "select * from events where topic = ? and position > ? order by position limit ?",
            topic,
            after,
            limit,
        )
        return [_event(row) for row in rows]

    def last_position(self, before_ms: int | None = None) -> int:
        """Return the position of the last change (before a time, where given); 0 for none."""
        ((last,),) = self._database.rows(
            "select max(position) from events where created_ms < ?",
            _FOREVER_MS if before_ms is None else before_ms,
        )
        return last or 0

    def _edges(
        self, statement: str, urns: Iterable[str], names: Iterable[str] | None
    ) -> list[Edge]:
        return _of_kinds(names, self._database.rows_in(statement, urns))


def _of_kinds(names: Iterable[str] | None, rows: Iterable[tuple[Any, ...]]) -> list[Edge]:
    wanted = None if names is None else frozenset(names)
    return [edge for edge in (Edge(*row) for row in rows) if wanted is None or edge.name in wanted]


def _stored(row: tuple[Any, ...]) -> StoredAspect:
    urn, aspect, version, value, system_metadata, created_ms, actor = row
    return StoredAspect(
        urn, aspect, version, orjson.loads(value), orjson.loads(system_metadata), created_ms, actor
    )


def _event(row: tuple[Any, ...]) -> Event:
    *change, system_metadata, headers, created_ms, actor = row
    position, topic, urn, entity_type, aspect, kind, value, previous = change
    return Event(
        position, topic, urn, entity_type, aspect, kind, value, previous,
        orjson.loads(system_metadata), orjson.loads(headers), created_ms, actor,
    )  # fmt: skip
