"""Snapshots in PostgreSQL."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import TypeAdapter
from sqlalchemy import (
    ARRAY,
    Executable,
    Integer,
    Row,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from dataspoke.adapters.postgres.retrieval import among
from dataspoke.adapters.postgres.tables import (
    alerts,
    health_latest,
    labels,
    quality_verdicts,
    vocabularies,
)
from dataspoke.adapters.postgres.tables import snapshots as table
from dataspoke.knowledge.model import Signals, Snapshot, Vocabulary, labels_of
from dataspoke.quality.model import ACTIVE, Check, Severity, Status
from dataspoke.urns import table_key

# By the standard library's json: others refuse halves of surrogate pairs, which hubs hold.
_SNAPSHOT = TypeAdapter(Snapshot)
_VOCABULARY = TypeAdapter(Vocabulary)

_KEPT = ("version", "name", "domain", "deprecated", "content")
_new = insert(table)
_SAVE = _new.on_conflict_do_update(
    index_elements=["urn"],
    set_={name: _new.excluded[name] for name in _KEPT},
    where=table.c.version <= _new.excluded.version,
)
_DELETE = delete(table).where(
    table.c.urn == bindparam("gone"), table.c.version <= bindparam("up_to")
)
_new_labels = insert(labels).from_select(
    ["urn", "name"],
    select(
        func.unnest(bindparam("urns", type_=ARRAY(Text))),
        func.unnest(bindparam("names", type_=ARRAY(Text))),
    ),
)
_SAVE_LABELS = _new_labels.on_conflict_do_update(
    index_elements=["urn"],
    set_={"name": _new_labels.excluded.name},
    where=labels.c.name != _new_labels.excluded.name,
)
_new_vocabulary = insert(vocabularies)
_SAVE_VOCABULARY = _new_vocabulary.on_conflict_do_update(
    index_elements=["id"], set_={"content": _new_vocabulary.excluded.content}
)


class KnowledgeReads(Protocol):
    """Mixed into the store."""

    async def _rows(self, statement: Executable) -> Sequence[Row[Any]]: ...

    async def snapshots(self, urns: Sequence[str]) -> Mapping[str, Snapshot]:
        found = select(table.c.urn, table.c.content).where(among(table.c.urn, urns))
        return {
            row.urn: _SNAPSHOT.validate_python(json.loads(row.content))
            for row in await self._rows(found)
        }

    async def domains_of(self, urns: Sequence[str]) -> Mapping[str, str]:
        found = select(table.c.urn, table.c.domain).where(
            among(table.c.urn, urns), table.c.domain.is_not(None)
        )
        return {row.urn: row.domain for row in await self._rows(found)}

    async def carriers(self, urns: Sequence[str]) -> Sequence[str]:
        # As they stand in the JSON. That reads every snapshot, which is nothing beside reading
        # every dataset of the hub, and seldom needed.
        quoted = func.unnest(literal([json.dumps(urn) for urn in urns], ARRAY(Text)))
        asked = select(quoted.label("urn")).subquery()
        found = select(table.c.urn).where(
            exists().where(func.strpos(table.c.content, asked.c.urn) > 0)
        )
        return [row.urn for row in await self._rows(found.order_by(table.c.urn))]

    async def snapshot_urns(self) -> frozenset[str]:
        return frozenset(row.urn for row in await self._rows(select(table.c.urn)))

    async def tables(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        wanted = [name.casefold() for name in names]
        found: dict[str, list[str]] = {}
        ordered = select(table.c.name, table.c.urn).where(among(table.c.name, wanted))
        for row in await self._rows(ordered.order_by(table.c.urn)):
            found.setdefault(row.name, []).append(row.urn)
        return found

    async def urns_like(self, terms: Sequence[str], limit: int) -> Sequence[str]:
        if not terms:
            return []
        urn = func.lower(table.c.urn)
        holds = [func.strpos(urn, term.casefold()) > 0 for term in terms]
        held = sum((cast(each, Integer) for each in holds[1:]), cast(holds[0], Integer))
        found = select(table.c.urn).where(or_(*holds))
        best = found.order_by(held.desc(), func.length(table.c.urn), table.c.urn).limit(limit)
        return [row.urn for row in await self._rows(best)]

    async def signals(self, urns: Sequence[str]) -> Mapping[str, Signals]:
        return {row.urn: _signals(row) for row in await self._rows(_signals_of(urns))}

    async def labels(self) -> Mapping[str, str]:
        rows = await self._rows(select(labels.c.urn, labels.c.name))
        return {row.urn: json.loads(row.name) for row in rows}

    async def vocabulary(self) -> Vocabulary:
        rows = await self._rows(select(vocabularies.c.content))
        return _VOCABULARY.validate_python(json.loads(rows[0].content)) if rows else Vocabulary()


class KnowledgeWrites(Protocol):
    """Mixed into the transaction."""

    async def _save(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> None: ...

    async def save_snapshots(self, snapshots: Mapping[str, tuple[Snapshot, int]]) -> None:
        # In one order, so that two transactions with the same datasets cannot deadlock.
        await self._save(
            _SAVE,
            [
                {
                    "urn": urn,
                    "version": version,
                    "name": table_key(urn),
                    "domain": snapshot.dataset.domain,
                    "deprecated": snapshot.dataset.deprecated,
                    "content": json.dumps(_SNAPSHOT.dump_python(snapshot, mode="json")),
                }
                for urn, (snapshot, version) in sorted(snapshots.items())
            ],
        )
        called = {
            urn: json.dumps(name)
            for snapshot, _ in snapshots.values()
            for urn, name in labels_of(snapshot).items()
        }
        if called:
            ordered = sorted(called)
            names = [called[urn] for urn in ordered]
            await self._save(_SAVE_LABELS, [{"urns": ordered, "names": names}])

    async def delete_snapshots(self, versions: Mapping[str, int]) -> None:
        await self._save(
            _DELETE,
            [{"gone": urn, "up_to": version} for urn, version in sorted(versions.items())],
        )

    async def save_vocabulary(self, vocabulary: Vocabulary) -> None:
        content = json.dumps(_VOCABULARY.dump_python(vocabulary, mode="json"))
        await self._save(_SAVE_VOCABULARY, [{"id": 1, "content": content}])


def _signals_of(urns: Sequence[str]) -> Executable:
    asked = select(func.unnest(literal(list(urns), ARRAY(Text))).label("urn")).subquery()
    # The states are written into the statement: with parameters the index of active alerts could
    # not be chosen.
    active = alerts.c.state.in_(bindparam("states", ACTIVE, expanding=True, literal_execute=True))
    key = alerts.c.check_key
    ordered = aggregate_order_by(alerts.c.severity + " " + key, key, alerts.c.severity)
    of_dataset = (
        select(func.array_agg(ordered, type_=ARRAY(Text)).label("alerts"))
        .where(alerts.c.urn == asked.c.urn, active)
        .correlate(asked)
        .lateral()
    )
    return (
        select(
            asked.c.urn,
            table.c.deprecated,
            health_latest.c.value.label("health"),
            quality_verdicts.c.urn.is_not(None).label("scanned"),
            quality_verdicts.c.freshness,
            quality_verdicts.c.queries,
            of_dataset.c.alerts,
        )
        .select_from(asked)
        .outerjoin(table, table.c.urn == asked.c.urn)
        .outerjoin(health_latest, health_latest.c.urn == asked.c.urn)
        .outerjoin(quality_verdicts, quality_verdicts.c.urn == asked.c.urn)
        .outerjoin(of_dataset, true())
        .where(
            or_(
                table.c.deprecated,
                health_latest.c.urn.is_not(None),
                quality_verdicts.c.urn.is_not(None),
                of_dataset.c.alerts.is_not(None),
            )
        )
    )


def _signals(row: Row[Any]) -> Signals:
    found = [alert.split(" ", 1) for alert in row.alerts or ()]
    return Signals(
        deprecated=bool(row.deprecated),
        health=row.health,
        freshness=None if row.freshness is None else Status(row.freshness),
        queries=row.queries,
        alerts=tuple((Check.parse(key), Severity(severity)) for severity, key in found)
        if row.scanned or found
        else None,
    )
