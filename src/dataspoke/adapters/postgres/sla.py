"""Deadlines in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from pydantic import TypeAdapter
from sqlalchemy import (
    ARRAY,
    Executable,
    Row,
    Text,
    any_,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.tables import sla_outlooks, sla_targets
from dataspoke.errors import Conflict
from dataspoke.ports.sla import NextLook
from dataspoke.quality.sla.model import Outlook, SlaTarget

_TARGET = TypeAdapter(SlaTarget)
_OUTLOOK = TypeAdapter(Outlook)

_PLAN_LOOK = (
    update(sla_targets)
    .where(
        sla_targets.c.urn == bindparam("planned_urn"),
        sla_targets.c.version == bindparam("planned_version"),
    )
    .values(look_at=bindparam("planned_for"))
)
_new_outlook = insert(sla_outlooks)
_SAVE_OUTLOOK = _new_outlook.on_conflict_do_update(
    index_elements=["urn", "deadline"],
    set_={name: _new_outlook.excluded[name] for name in ("outlook", "looked_at")},
    where=sla_outlooks.c.looked_at <= _new_outlook.excluded.looked_at,
)


class SlaReads(Protocol):
    """Mixed into the store on PostgreSQL."""

    async def _rows(self, statement: Executable) -> Sequence[Row[Any]]: ...

    async def sla_targets(self, urns: Sequence[str]) -> Mapping[str, SlaTarget]:
        found = select(sla_targets).where(
            sla_targets.c.urn == any_(literal(list(urns), ARRAY(Text)))
        )
        return {row.urn: _TARGET.validate_python(row.target) for row in await self._rows(found)}

    async def sla_targets_to_look_at(self, now: datetime, limit: int) -> Sequence[SlaTarget]:
        due = (
            select(sla_targets.c.target)
            .where(sla_targets.c.look_at <= now)
            .order_by(sla_targets.c.look_at, sla_targets.c.urn)
            .limit(limit)
        )
        return [_TARGET.validate_python(row.target) for row in await self._rows(due)]

    async def outlooks_of(self, urns: Sequence[str], limit: int) -> Mapping[str, Sequence[Outlook]]:
        # One short walk of the primary key for each dataset, however long the history.
        asked = func.unnest(literal(list(urns), ARRAY(Text)))
        dataset = asked.table_valued("urn", name="asked").render_derived()
        newest = (
            select(sla_outlooks)
            .where(sla_outlooks.c.urn == dataset.c.urn)
            .order_by(sla_outlooks.c.deadline.desc())
            .limit(limit)
            .lateral()
        )
        found = (
            select(newest)
            .select_from(dataset.join(newest, literal(True)))
            .order_by(newest.c.urn, newest.c.deadline.desc())
        )
        outlooks: dict[str, list[Outlook]] = {}
        for row in await self._rows(found):
            outlooks.setdefault(row.urn, []).append(_OUTLOOK.validate_python(row.outlook))
        return outlooks


class SlaWrites(Protocol):
    """Mixed into a transaction on PostgreSQL."""

    _connection: AsyncConnection

    async def _save(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> None: ...

    async def save_sla_target(self, target: SlaTarget, look_at: datetime) -> None:
        next_one = replace(target, version=target.version + 1)
        values = {
            "urn": target.urn,
            "target": _TARGET.dump_python(next_one, mode="json"),
            "version": next_one.version,
            "look_at": look_at if target.enabled else None,
        }
        statement: Any = insert(sla_targets).values(values).on_conflict_do_nothing()
        if target.version > 0:
            known = (sla_targets.c.urn == target.urn) & (sla_targets.c.version == target.version)
            statement = update(sla_targets).where(known).values(values)
        with translated():
            saved = await self._connection.execute(statement)
        if saved.rowcount == 0:
            raise Conflict(
                f"The SLA target of {target.urn} has been changed meanwhile: read it again."
            )

    async def remove_sla_targets(self, urns: Sequence[str]) -> None:
        for table in (sla_outlooks, sla_targets):
            gone = delete(table).where(table.c.urn == any_(literal(list(urns), ARRAY(Text))))
            with translated():
                await self._connection.execute(gone)

    async def plan_looks(self, looks: Sequence[NextLook]) -> None:
        ordered = sorted(looks, key=lambda look: look.urn)
        await self._save(
            _PLAN_LOOK,
            [
                {
                    "planned_urn": look.urn,
                    "planned_version": look.version,
                    "planned_for": look.look_at,
                }
                for look in ordered
            ],
        )

    async def save_outlooks(self, outlooks: Sequence[Outlook]) -> None:
        ordered = sorted(outlooks, key=lambda outlook: (outlook.urn, outlook.deadline))
        await self._save(
            _SAVE_OUTLOOK,
            [
                {
                    "urn": outlook.urn,
                    "deadline": outlook.deadline,
                    "outlook": _OUTLOOK.dump_python(outlook, mode="json"),
                    "looked_at": outlook.looked_at,
                }
                for outlook in ordered
            ],
        )
