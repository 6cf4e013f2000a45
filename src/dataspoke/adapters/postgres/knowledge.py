"""Snapshots in PostgreSQL."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import TypeAdapter
from sqlalchemy import Executable, Row, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from dataspoke.adapters.postgres.retrieval import among
from dataspoke.adapters.postgres.tables import snapshots as table
from dataspoke.adapters.postgres.tables import vocabularies
from dataspoke.knowledge.model import Snapshot, Vocabulary
from dataspoke.urns import table_key

# By the standard library's json: others refuse halves of surrogate pairs, which hubs hold.
_SNAPSHOT = TypeAdapter(Snapshot)
_VOCABULARY = TypeAdapter(Vocabulary)

_new = insert(table)
_SAVE = _new.on_conflict_do_update(
    index_elements=["urn"],
    set_={name: _new.excluded[name] for name in ("version", "name", "domain", "content")},
    where=table.c.version <= _new.excluded.version,
)
_DELETE = delete(table).where(
    table.c.urn == bindparam("gone"), table.c.version <= bindparam("up_to")
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

    async def snapshot_urns(self) -> frozenset[str]:
        return frozenset(row.urn for row in await self._rows(select(table.c.urn)))

    async def tables(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        wanted = [name.casefold() for name in names]
        found: dict[str, list[str]] = {}
        ordered = select(table.c.name, table.c.urn).where(among(table.c.name, wanted))
        for row in await self._rows(ordered.order_by(table.c.urn)):
            found.setdefault(row.name, []).append(row.urn)
        return found

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
                    "content": json.dumps(_SNAPSHOT.dump_python(snapshot, mode="json")),
                }
                for urn, (snapshot, version) in sorted(snapshots.items())
            ],
        )

    async def delete_snapshots(self, versions: Mapping[str, int]) -> None:
        await self._save(
            _DELETE,
            [{"gone": urn, "up_to": version} for urn, version in sorted(versions.items())],
        )

    async def save_vocabulary(self, vocabulary: Vocabulary) -> None:
        content = json.dumps(_VOCABULARY.dump_python(vocabulary, mode="json"))
        await self._save(_SAVE_VOCABULARY, [{"id": 1, "content": content}])
