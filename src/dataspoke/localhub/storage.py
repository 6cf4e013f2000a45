"""The stand-in's memory: aspects, time series, relationships and the log of changes."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import orjson

from dataspoke.errors import Conflict, InvalidInput
from dataspoke.localhub.database import Database
from dataspoke.localhub.models import AspectModel, aspect_model, aspect_models, entity_of, key_of
from dataspoke.localhub.patch import apply_patch
from dataspoke.localhub.proposals import Change, Proposal
from dataspoke.localhub.records import Deleted, Edge, Event, StoredAspect, Topic, now_ms

_FOREVER_MS = 2**62


class Storage:
    """Everything the stand-in knows. Safe to use from several threads; every write is atomic.

    A write is validated as DataHub validates it, and appended to the change log in the same
    transaction. Reads take many urns at once; a urn that is not there is absent from the answer.
    """

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    @classmethod
    def open(cls, path: Path | None = None, clock_ms: Callable[[], int] = now_ms) -> Self:
        """Return the storage kept in the file at ``path``; without one it lives in memory.

        Raises ConfigurationError where the file cannot be used: it is of another kind, cannot be
        written, or another process has it open.
        """
        return cls(Database.open(path), clock_ms)

    def close(self) -> None:
        """Close the file. Nothing else may be called afterwards."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def notified(self, listener: Callable[[], object]) -> AbstractContextManager[None]:
        """Call ``listener`` after every write, in the writer's thread, while inside."""
        return self._database.notified(listener)

    # --- writing ---

    def write(self, proposals: Sequence[Proposal], actor: str) -> None:
        """Apply all proposals in order, or none of them.

        Raises InvalidInput, or Conflict for a CREATE of what exists; the message names the
        proposal where there are several.
        """
        with self._database.transaction():
            for index, proposal in enumerate(proposals):
                try:
                    self._apply(proposal, actor)
                except (InvalidInput, Conflict) as error:
                    if len(proposals) == 1:
                        raise
                    raise type(error)(
                        f"Proposal {index + 1} of {len(proposals)} ({proposal.urn}, "
                        f"{proposal.aspect}): {error.public_message} None of them was applied."
                    ) from error

    def delete(self, urn: str, actor: str) -> Deleted:
        """Remove an entity wholly; deleting what does not exist removes nothing."""
        entity = entity_of(urn)
        with self._database.transaction():
            key = self.aspect(urn, entity.key_aspect)
            aspects = self._database.run("delete from aspects where urn = ?", urn).rowcount
            points = self._database.run("delete from points where urn = ?", urn).rowcount
            self._database.run("delete from edges where source = ?", urn)
            self._database.run("delete from entities where urn = ?", urn)
            if key is not None:
                previous = _dump(key.value)
                self._log(
                    Topic.VERSIONED, urn, key.aspect, Change.DELETE, None, previous, {}, {}, actor
                )
        return Deleted(aspects, points)

    def delete_points(
        self, urn: str, aspect: str, start_ms: int | None, end_ms: int | None, actor: str
    ) -> int:
        """Remove points of a time series, both bounds included; returns how many they were."""
        aspect_model(entity_of(urn), aspect)
        with self._database.transaction():
            removed = self._database.rows(
                "delete from points where urn = ? and aspect = ? and time_ms between ? and ?"
                " returning value",
                urn,
                aspect,
                start_ms or 0,
                _FOREVER_MS if end_ms is None else end_ms,
            )
            for (value,) in removed:
                self._log(Topic.TIMESERIES, urn, aspect, Change.DELETE, None, value, {}, {}, actor)
        return len(removed)

    def _apply(self, proposal: Proposal, actor: str) -> None:
        entity = entity_of(proposal.urn)
        model = aspect_model(entity, proposal.aspect)
        if proposal.change is Change.DELETE:
            if model.name == entity.key_aspect:
                self.delete(proposal.urn, actor)
            else:
                self._delete_aspect(proposal, actor)
            return
        if model.timeseries:
            self._append_point(proposal, model, actor)
        else:
            self._store(proposal, model, actor)

    def _ensure_entity(self, proposal: Proposal, actor: str) -> None:
        """Write the key aspect of an entity that is new, before its first aspect."""
        entity, now = entity_of(proposal.urn), self._clock_ms()
        known = self._database.rows("select 1 from entities where urn = ?", proposal.urn)
        if known:
            if proposal.change is Change.CREATE_ENTITY:
                raise Conflict(f"{proposal.urn} exists already.")
            return
        key = key_of(proposal.urn)
        self._database.run(
            "insert into entities (urn, type, created_ms) values (?, ?, ?)",
            proposal.urn,
            entity.name,
            now,
        )
        if proposal.aspect != entity.key_aspect:
            self._put(
                Proposal(proposal.urn, entity.key_aspect, key, Change.UPSERT,
                         proposal.system_metadata, proposal.headers),
                aspect_models()[entity.key_aspect], key, None, actor,
            )  # fmt: skip

    def _store(self, proposal: Proposal, model: AspectModel, actor: str) -> None:
        current = self.aspect(proposal.urn, proposal.aspect)
        if proposal.change is Change.CREATE and current is not None:
            raise Conflict(f"{proposal.urn} has the aspect {proposal.aspect} already.")
        value = proposal.value
        if proposal.change is Change.PATCH:
            before = None if current is None else current.value
            value = apply_patch(model, before, value, self._clock_ms())
        value = model.validate(value)
        self._ensure_entity(proposal, actor)
        self._put(proposal, model, value, current, actor)

    def _put(
        self,
        proposal: Proposal,
        model: AspectModel,
        value: dict[str, Any],
        current: StoredAspect | None,
        actor: str,
    ) -> None:
        urn, now = proposal.urn, self._clock_ms()
        metadata = _system_metadata(proposal.system_metadata, current, now)
        if current is not None and current.value == value:
            # As in DataHub: seen again, unchanged; no new version and no event.
            metadata["version"] = current.system_metadata["version"]
            self._database.run(
                "update aspects set system_metadata = ?"
                " where urn = ? and aspect = ? and version = 0",
                _dump(metadata),
                urn,
                model.name,
            )
            return
        if current is not None:
            self._database.run(
                "update aspects set version = (select max(version) + 1 from aspects"
                " where urn = ?1 and aspect = ?2) where urn = ?1 and aspect = ?2 and version = 0",
                urn,
                model.name,
            )
        self._database.run(
            "insert into aspects values (?, ?, 0, ?, ?, ?, ?)",
            urn,
            model.name,
            _dump(value),
            _dump(metadata),
            now,
            actor,
        )
        if model.name == "status":
            removed = int(bool(value.get("removed")))
            self._database.run("update entities set removed = ? where urn = ?", removed, urn)
        self._relate(urn, model, value)
        self._log(
            Topic.VERSIONED,
            urn,
            model.name,
            Change.RESTATE if proposal.change is Change.RESTATE else Change.UPSERT,
            _dump(value),
            None if current is None else _dump(current.value),
            metadata,
            proposal.headers,
            actor,
        )

    def _relate(self, urn: str, model: AspectModel, value: Mapping[str, Any]) -> None:
        self._database.run("delete from edges where source = ? and aspect = ?", urn, model.name)
        self._database.run_many(
            "insert or ignore into edges values (?, ?, ?, ?)",
            [(urn, model.name, name, destination) for name, destination in model.edges(value)],
        )

    def _append_point(self, proposal: Proposal, model: AspectModel, actor: str) -> None:
        if proposal.change is Change.PATCH:
            raise InvalidInput(f"{model.name} is a time series; it cannot be patched.")
        value = model.validate(proposal.value)
        self._ensure_entity(proposal, actor)
        metadata = _system_metadata(proposal.system_metadata, None, self._clock_ms())
        self._database.run(
            "insert or replace into points values (?, ?, ?, ?, ?, ?, ?, ?)",
            proposal.urn,
            model.name,
            value["timestampMillis"],
            _series(value),
            _dump(value),
            _dump(metadata),
            self._clock_ms(),
            actor,
        )
        self._log(
            Topic.TIMESERIES, proposal.urn, model.name, Change.UPSERT, _dump(value), None,
            metadata, proposal.headers, actor,
        )  # fmt: skip

    def _delete_aspect(self, proposal: Proposal, actor: str) -> None:
        urn, aspect = proposal.urn, proposal.aspect
        current = self.aspect(urn, aspect)
        if current is None:
            return
        self._database.run("delete from aspects where urn = ? and aspect = ?", urn, aspect)
        self._database.run("delete from edges where source = ? and aspect = ?", urn, aspect)
        if aspect == "status":
            self._database.run("update entities set removed = 0 where urn = ?", urn)
        self._log(
            Topic.VERSIONED, urn, aspect, Change.DELETE, None, _dump(current.value),
            dict(proposal.system_metadata), proposal.headers, actor,
        )  # fmt: skip

    def _log(
        self,
        topic: Topic,
        urn: str,
        aspect: str,
        change: Change,
        value: str | None,
        previous: str | None,
        system_metadata: Mapping[str, Any],
        headers: Mapping[str, str],
        actor: str,
    ) -> None:
        self._database.run(
            "insert into events (topic, urn, type, aspect, change, value, previous,"
            " system_metadata, headers, created_ms, actor)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            topic, urn, entity_of(urn).name, aspect, change, value, previous,
            _dump(system_metadata), _dump(headers), self._clock_ms(), actor,
        )  # fmt: skip

    # --- reading ---

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


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()


def _system_metadata(
    given: Mapping[str, Any], current: StoredAspect | None, now: int
) -> dict[str, Any]:
    before = {} if current is None else current.system_metadata
    metadata = {key: value for key, value in given.items() if value is not None}
    metadata.setdefault("lastObserved", now)
    metadata.setdefault("runId", "no-run-id-provided")
    metadata["lastRunId"] = before.get("runId", "no-run-id-provided")
    metadata["version"] = str(int(before.get("version", 0)) + 1)
    return metadata


def _series(value: Mapping[str, Any]) -> str:
    """Return what tells points of the same time apart; a point with the same replaces the other."""
    # A value that leaves the partition out means the default of DataHub's model.
    partition = value.get("partitionSpec") or {"partition": "FULL_TABLE_SNAPSHOT"}
    parts = [value.get("eventGranularity"), partition["partition"], value.get("messageId")]
    return hashlib.md5(orjson.dumps(parts), usedforsecurity=False).hexdigest()
