"""The stand-in's memory: aspects, time series, relationships and the log of changes."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

from dataspoke.errors import Conflict, InvalidInput
from dataspoke.localhub.database import Database
from dataspoke.localhub.models import AspectModel, aspect_model, aspect_models, entity_of, key_of
from dataspoke.localhub.patch import apply_patch
from dataspoke.localhub.proposals import Change, Proposal
from dataspoke.localhub.reading import ReadOnlyStorage
from dataspoke.localhub.records import Deleted, Edge, StoredAspect, Topic, now_ms

_FOREVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class _Write:
    """What all changes of one transaction share; ``created`` are entities new with it."""

    actor: str
    now_ms: int
    created: set[str] = field(default_factory=set)


class Storage(ReadOnlyStorage):
    """Everything the stand-in knows. Safe to use from several threads; every write is atomic.

    A write is validated as DataHub validates it, and appended to the change log in the same
    transaction.
    """

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        super().__init__(database)
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

    def write(self, proposals: Sequence[Proposal], actor: str) -> None:
        """Apply all proposals in order, or none of them.

        Raises InvalidInput, or Conflict for a CREATE of what exists; the message names the
        proposal where there are several.
        """
        with self._writing(actor) as write:
            for index, proposal in enumerate(proposals):
                try:
                    self._apply(proposal, write)
                except (InvalidInput, Conflict) as error:
                    if len(proposals) == 1:
                        raise
                    raise type(error)(
                        f"Proposal {index + 1} of {len(proposals)} ({proposal.urn}, "
                        f"{proposal.aspect}): {error.public_message} None of them was applied."
                    ) from error

    def delete(self, urn: str, actor: str) -> Deleted:
        """Remove an entity wholly; deleting what does not exist removes nothing."""
        with self._writing(actor) as write:
            return self._delete(urn, write)

    def delete_points(
        self, urn: str, aspect: str, start_ms: int | None, end_ms: int | None, actor: str
    ) -> int:
        """Remove points of a time series, both bounds included; returns how many they were."""
        aspect_model(entity_of(urn), aspect)
        with self._writing(actor) as write:
            removed = self._database.rows(
                "delete from points where urn = ? and aspect = ? and time_ms between ? and ?"
                " returning value",
                urn,
                aspect,
                start_ms or 0,
                _FOREVER_MS if end_ms is None else end_ms,
            )
            for (value,) in removed:
                self._log(Topic.TIMESERIES, urn, aspect, Change.DELETE, None, value, {}, {}, write)
        return len(removed)

    def delete_references(self, urn: str, actor: str) -> list[Edge]:
        """Remove what others state about an entity, and return what that was.

        An aspect that makes no sense without it (an assertion of a dataset) is removed wholly.
        """
        with self._writing(actor) as write:
            edges = self.incoming([urn])
            for source, aspect in sorted({(edge.source, edge.aspect) for edge in edges}):
                current, model = self.aspect(source, aspect), aspect_models()[aspect]
                if current is None:
                    continue
                left = model.without(current.value, urn)
                try:
                    self._store(Proposal(source, aspect, left), model, write)
                except InvalidInput:
                    self._delete_aspect(Proposal(source, aspect, None, Change.DELETE), write)
        return edges

    def published(self, topic: Topic) -> int:
        """Return the position of the last change that is in the broker; 0 for none."""
        rows = self._database.rows("select position from published where topic = ?", topic)
        return int(rows[0][0]) if rows else 0

    def note_published(self, topic: Topic, position: int) -> None:
        """Remember that the changes up to a position are in the broker."""
        self._database.run("insert or replace into published values (?, ?)", topic, position)

    @contextmanager
    def _writing(self, actor: str) -> Iterator[_Write]:
        with self._database.transaction():
            yield _Write(actor, self._clock_ms())

    def _apply(self, proposal: Proposal, write: _Write) -> None:
        entity = entity_of(proposal.urn)
        model = aspect_model(entity, proposal.aspect)
        if proposal.change is Change.DELETE:
            if model.name == entity.key_aspect:
                self._delete(proposal.urn, write)
            else:
                self._delete_aspect(proposal, write)
            return
        if model.timeseries:
            self._append_point(proposal, model, write)
        else:
            self._store(proposal, model, write)

    def _delete(self, urn: str, write: _Write) -> Deleted:
        key = self.aspect(urn, entity_of(urn).key_aspect)
        aspects = self._database.run("delete from aspects where urn = ?", urn).rowcount
        points = self._database.run("delete from points where urn = ?", urn).rowcount
        self._database.run("delete from edges where source = ?", urn)
        self._database.run("delete from entities where urn = ?", urn)
        if key is not None:
            previous = _dump(key.value)
            self._log(
                Topic.VERSIONED, urn, key.aspect, Change.DELETE, None, previous, {}, {}, write
            )
        return Deleted(aspects, points)

    def _ensure_entity(self, proposal: Proposal, write: _Write) -> None:
        """Write the key aspect of an entity that is new, before its first aspect."""
        entity = entity_of(proposal.urn)
        known = self._database.rows("select 1 from entities where urn = ?", proposal.urn)
        if known:
            if proposal.change is Change.CREATE_ENTITY and proposal.urn not in write.created:
                raise Conflict(f"{proposal.urn} exists already.")
            return
        key = key_of(proposal.urn)
        write.created.add(proposal.urn)
        self._database.run(
            "insert into entities (urn, type, created_ms) values (?, ?, ?)",
            proposal.urn,
            entity.name,
            write.now_ms,
        )
        if proposal.aspect != entity.key_aspect:
            self._put(
                Proposal(proposal.urn, entity.key_aspect, key, Change.UPSERT,
                         proposal.system_metadata, proposal.headers),
                aspect_models()[entity.key_aspect], key, None, write,
            )  # fmt: skip

    def _store(self, proposal: Proposal, model: AspectModel, write: _Write) -> None:
        current = self.aspect(proposal.urn, proposal.aspect)
        if proposal.change is Change.CREATE and current is not None:
            raise Conflict(f"{proposal.urn} has the aspect {proposal.aspect} already.")
        value = proposal.value
        if proposal.change is Change.PATCH:
            before = None if current is None else current.value
            value = apply_patch(model, before, value, write.now_ms)
        value = model.validate(value)
        self._ensure_entity(proposal, write)
        self._put(proposal, model, value, current, write)

    def _put(
        self,
        proposal: Proposal,
        model: AspectModel,
        value: dict[str, Any],
        current: StoredAspect | None,
        write: _Write,
    ) -> None:
        urn = proposal.urn
        metadata = _system_metadata(proposal.system_metadata, current, write.now_ms)
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
            write.now_ms,
            write.actor,
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
            write,
        )

    def _relate(self, urn: str, model: AspectModel, value: Mapping[str, Any]) -> None:
        self._database.run("delete from edges where source = ? and aspect = ?", urn, model.name)
        self._database.run_many(
            "insert or ignore into edges values (?, ?, ?, ?)",
            [(urn, model.name, name, destination) for name, destination in model.edges(value)],
        )

    def _append_point(self, proposal: Proposal, model: AspectModel, write: _Write) -> None:
        if proposal.change is Change.PATCH:
            raise InvalidInput(f"{model.name} is a time series; it cannot be patched.")
        value = model.validate(proposal.value)
        self._ensure_entity(proposal, write)
        metadata = _system_metadata(proposal.system_metadata, None, write.now_ms)
        self._database.run(
            "insert or replace into points values (?, ?, ?, ?, ?, ?, ?, ?)",
            proposal.urn,
            model.name,
            value["timestampMillis"],
            _series(value),
            _dump(value),
            _dump(metadata),
            write.now_ms,
            write.actor,
        )
        self._log(
            Topic.TIMESERIES, proposal.urn, model.name, Change.UPSERT, _dump(value), None,
            metadata, proposal.headers, write,
        )  # fmt: skip

    def _delete_aspect(self, proposal: Proposal, write: _Write) -> None:
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
            dict(proposal.system_metadata), proposal.headers, write,
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
        write: _Write,
    ) -> None:
        self._database.run(
            "insert into events (topic, urn, type, aspect, change, value, previous,"
            " system_metadata, headers, created_ms, actor)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            topic, urn, entity_of(urn).name, aspect, change, value, previous,
            _dump(system_metadata), _dump(headers), write.now_ms, write.actor,
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
