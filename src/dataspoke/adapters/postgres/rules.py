"""Rules and schemas on PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Executable,
    Row,
    Text,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from dataspoke.adapters.postgres import rows
from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.tables import TIME, URN, dataset_schemas, quality_results
from dataspoke.adapters.postgres.tables import quality_rules as table
from dataspoke.errors import ConfigurationError, Conflict, InvalidInput
from dataspoke.quality.model import Check, Result
from dataspoke.quality.rules.files import as_document, from_document
from dataspoke.quality.rules.model import Rule, SchemaVersion

# Of what stands in a definition; a change that old code cannot read gets the next number.
_FORMAT = 1

_NEWEST_COLUMNS = (
    select(dataset_schemas.c.columns)
    .where(dataset_schemas.c.urn == bindparam("new_urn", type_=URN))
    .order_by(dataset_schemas.c.seen_at.desc())
    .limit(1)
    .scalar_subquery()
)
_new = select(
    bindparam("new_urn", type_=URN),
    bindparam("new_seen_at", type_=TIME),
    bindparam("new_columns", type_=JSONB),
).where(_NEWEST_COLUMNS.is_distinct_from(bindparam("new_columns", type_=JSONB)))
_SAVE_SCHEMA = (
    insert(dataset_schemas)
    .from_select(["urn", "seen_at", "columns"], _new)
    .on_conflict_do_nothing()
)


class RuleWrites:
    """On the connection of a transaction."""

    _connection: AsyncConnection

    async def save_rule(self, rule: Rule) -> Rule:
        values = _values(rule)
        statement: Executable
        if rule.version == 0:
            statement = insert(table).values(values).returning(table)
        else:
            kept = ("id", "created_at", "created_by")
            statement = (
                update(table)
                .where(table.c.id == rule.id, table.c.version == rule.version)
                .values({name: value for name, value in values.items() if name not in kept})
                .returning(table)
            )
        with translated():
            try:
                saved = (await self._connection.execute(statement)).one_or_none()
            except IntegrityError as error:
                raise Conflict(
                    f"There is a rule {rule.spec.name} already: choose another name."
                ) from error
        if saved is None:
            raise Conflict(f"Rule {rule.spec.name} has been changed meanwhile: read it again.")
        return _rule(saved)

    async def delete_rule(self, rule_id: UUID, version: int) -> None:
        statement = delete(table).where(table.c.id == rule_id, table.c.version == version)
        with translated():
            gone = await self._connection.execute(statement)
        if gone.rowcount == 0:
            raise Conflict("The rule has been changed or deleted meanwhile: read it again.")

    async def save_schemas(self, schemas: Sequence[SchemaVersion]) -> None:
        values = [
            {
                "new_urn": schema.urn,
                "new_seen_at": schema.seen_at,
                "new_columns": [list(column) for column in schema.columns],
            }
            for schema in sorted(schemas, key=lambda schema: schema.urn)
        ]
        if values:
            with translated():
                await self._connection.execute(_SAVE_SCHEMA, values)


class RuleReads:
    """On a store that runs statements."""

    async def _rows(self, statement: Executable) -> Sequence[Row[Any]]:
        raise NotImplementedError

    async def rules(self) -> Sequence[Rule]:
        return [_rule(row) for row in await self._rows(select(table).order_by(table.c.name))]

    async def rule(self, rule_id: UUID) -> Rule | None:
        found = await self._rows(select(table).where(table.c.id == rule_id))
        return _rule(found[0]) if found else None

    async def rule_results(self, rule_id: UUID, limit: int) -> Sequence[Result]:
        found = (
            select(quality_results)
            .where(
                quality_results.c.check_key == Check(rule=rule_id).key,
                # As the partial index says it: the planner does not know what the parameter is.
                text("check_key LIKE 'rule:%'"),
            )
            .order_by(quality_results.c.point_time.desc(), quality_results.c.urn.desc())
            .limit(limit)
        )
        return [rows.result(row) for row in await self._rows(found)]

    async def schemas_of(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[SchemaVersion]]:
        schemas = dataset_schemas.c
        asked = select(func.unnest(literal(list(set(urns)), ARRAY(Text))).label("urn")).subquery()
        # One short walk of the primary key for each dataset.
        begin = (
            select(func.max(dataset_schemas.c.seen_at))
            .where(schemas.urn == asked.c.urn, schemas.seen_at <= since)
            .correlate(asked)
            .scalar_subquery()
        )
        found = (
            select(dataset_schemas)
            .select_from(asked.join(dataset_schemas, schemas.urn == asked.c.urn))
            .where(or_(schemas.seen_at > since, schemas.seen_at == begin))
            .order_by(schemas.urn, schemas.seen_at)
        )
        versions: dict[str, list[SchemaVersion]] = {}
        for row in await self._rows(found):
            columns = tuple((name, kind) for name, kind in row.columns)
            versions.setdefault(row.urn, []).append(SchemaVersion(row.urn, row.seen_at, columns))
        return versions


def _values(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.spec.name,
        "enabled": rule.spec.enabled,
        "kind": rule.spec.kind,
        "severity": rule.spec.severity,
        "format": _FORMAT,
        "definition": as_document(rule.spec),
        "source": rule.source,
        "version": rule.version + 1,
        "created_at": rule.created_at,
        "created_by": rule.created_by,
        "updated_at": rule.updated_at,
        "updated_by": rule.updated_by,
    }


def _rule(row: Row[Any]) -> Rule:
    if row.format != _FORMAT:
        raise ConfigurationError(
            f"Rule {row.name} was written by a newer release of DataSpoke: upgrade this process."
        )
    try:
        spec = from_document(row.definition)
    except InvalidInput as error:
        raise ConfigurationError(
            f"Rule {row.name} cannot be read any more ({error.public_message}): write it anew."
        ) from error
    return Rule(
        id=row.id,
        spec=spec,
        version=row.version,
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        source=row.source,
    )
