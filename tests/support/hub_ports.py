"""Hubs to hold to one contract: the one in memory, and DataHub's adapter on the stand-in."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, time, timedelta
from uuid import uuid4

from datahub.emitter.mcp import MetadataChangeProposalWrapper as Mcp
from datahub.emitter.rest_emitter import DataHubRestEmitter
from datahub.metadata import schema_classes as models

from dataspoke.adapters.datahub.hub import DataHub
from dataspoke.adapters.memory.hub import FULL_ACCESS, MemoryHub
from dataspoke.catalogue import ColumnProfile, Dataset, Field, Operation, Profile, Query, Usage
from dataspoke.ports.hub import Access, Hub, MetadataEvent, Topic
from dataspoke.settings import HubSettings
from tests.support.hub import USERS, RunningHub, running_hub

EDITOR = USERS["editor-token"].urn
OWNER_TYPE = "urn:li:ownershipType:__system__technical_owner"
STAMP = models.AuditStampClass(time=1_700_000_000_000, actor=EDITOR)


def dataset_urn(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,shop.{name},PROD)"


class HubUnderTest(ABC):
    """A hub, and what a test does to it from outside. Users are those of ``tests.support.hub``."""

    hub: Hub

    @abstractmethod
    def put(
        self,
        *datasets: Dataset,
        profiles: Sequence[Profile] = (),
        operations: Sequence[Operation] = (),
        usage: Sequence[Usage] = (),
        queries: Sequence[Query] = (),
        upstream: Sequence[str] = (),
    ) -> None:
        """Add datasets; what else is given belongs to each."""

    @abstractmethod
    def define(self, name: str, definition: str) -> None:
        """Add a glossary term."""

    @abstractmethod
    def describe(self, urn: str, text: str) -> None:
        """Change a description, as an editor who is not DataSpoke."""


class MemoryUnderTest(HubUnderTest):
    def __init__(self) -> None:
        self.hub = self._memory = MemoryHub()
        self._urns: list[str] = []

    def put(
        self,
        *datasets: Dataset,
        profiles: Sequence[Profile] = (),
        operations: Sequence[Operation] = (),
        usage: Sequence[Usage] = (),
        queries: Sequence[Query] = (),
        upstream: Sequence[str] = (),
    ) -> None:
        for dataset in datasets:
            self._memory.put(
                dataset,
                profiles=profiles,
                operations=operations,
                usage=usage,
                queries=queries,
                upstream=upstream,
            )
            self._urns.append(dataset.urn)
        for token, user in USERS.items():
            self._memory.admit(
                token,
                user.urn,
                can_manage=user.can_manage,
                rights={urn: self._rights(token, urn) for urn in self._urns},
            )

    def _rights(self, token: str, urn: str) -> Access | None:
        user = USERS[token]
        if not user.may_see(urn):
            return None
        seen = user.may_see_profile(urn)
        return (
            FULL_ACCESS
            if user.can_edit
            else Access(seen, seen, edit_assertions=False, view_usage=seen)
        )

    def define(self, name: str, definition: str) -> None:
        self._memory.terms[name] = definition

    def describe(self, urn: str, text: str) -> None:
        event = MetadataEvent(urn, "dataset", "editableDatasetProperties", "UPSERT", actor=EDITOR)
        self._memory.emit(Topic.VERSIONED, event)


class DataHubUnderTest(HubUnderTest):
    """The stand-in is written to by DataHub's own SDK."""

    def __init__(self, hub: DataHub, running: RunningHub, settings: HubSettings) -> None:
        self.hub = hub
        self.running = running
        self.settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, **settings: object) -> AsyncIterator["DataHubUnderTest"]:
        with running_hub() as running:
            options = {"url": running.url, "token": "service-token", "access_cache_s": 60}
            made = HubSettings.model_validate(options | settings)
            async with DataHub.open(made) as hub:
                yield cls(hub, running, made)

    def put(
        self,
        *datasets: Dataset,
        profiles: Sequence[Profile] = (),
        operations: Sequence[Operation] = (),
        usage: Sequence[Usage] = (),
        queries: Sequence[Query] = (),
        upstream: Sequence[str] = (),
    ) -> None:
        for dataset in datasets:
            self.emit(
                *_aspects(dataset),
                *_series(dataset.urn, profiles, operations, usage),
                *_queries(dataset.urn, queries),
                Mcp(
                    entityUrn=dataset.urn,
                    aspect=models.UpstreamLineageClass(
                        [models.UpstreamClass(urn, "TRANSFORMED") for urn in upstream]
                    ),
                ),
            )

    def define(self, name: str, definition: str) -> None:
        info = models.GlossaryTermInfoClass(definition, "INTERNAL", name=name)
        self.emit(Mcp(entityUrn=f"urn:li:glossaryTerm:{name.replace(' ', '')}", aspect=info))

    def describe(self, urn: str, text: str) -> None:
        aspect = models.EditableDatasetPropertiesClass(
            created=STAMP, lastModified=STAMP, description=text
        )
        self.emit(Mcp(entityUrn=urn, aspect=aspect))

    def emit(self, *proposals: Mcp) -> None:
        """Write as the editor."""
        with DataHubRestEmitter(self.running.url, "editor-token") as emitter:
            emitter.emit_mcps(list(proposals))


def _aspects(dataset: Dataset) -> Iterator[Mcp]:
    urn, names = dataset.urn, dataset.names
    yield Mcp(
        entityUrn=urn,
        aspect=models.DatasetPropertiesClass(
            name=dataset.name,
            description=dataset.description,
            lastModified=None
            if dataset.last_updated is None
            else models.TimeStampClass(time=_ms(dataset.last_updated)),
        ),
    )
    yield Mcp(entityUrn=urn, aspect=models.StatusClass(removed=dataset.removed))
    if dataset.fields:
        yield Mcp(entityUrn=urn, aspect=_schema(dataset))
    if dataset.owners:
        owners = [
            models.OwnerClass(owner, "CUSTOM", typeUrn=kind)
            for owner in dataset.owners
            for kind in dataset.owner_types.get(owner, (OWNER_TYPE,))
        ]
        yield Mcp(entityUrn=urn, aspect=models.OwnershipClass(owners))
    yield Mcp(entityUrn=urn, aspect=_tags(dataset.tags))
    yield Mcp(entityUrn=urn, aspect=_terms(dataset.terms))
    if dataset.domain:
        yield Mcp(entityUrn=urn, aspect=models.DomainsClass([dataset.domain]))
    if dataset.deprecated:
        aspect = models.DeprecationClass(
            deprecated=True,
            note=dataset.deprecation_note or "",
            actor=EDITOR,
            replacement=dataset.replacement,
        )
        yield Mcp(entityUrn=urn, aspect=aspect)
    for named, name in names.items():
        yield Mcp(entityUrn=named, aspect=_name(named, name))


def _schema(dataset: Dataset) -> models.SchemaMetadataClass:
    return models.SchemaMetadataClass(
        schemaName="s",
        platform=dataset.platform,
        version=0,
        hash="",
        platformSchema=models.OtherSchemaClass(""),
        fields=[_field(field) for field in dataset.fields],
        primaryKeys=list(dataset.primary_keys) or None,
        foreignKeys=[
            models.ForeignKeyConstraintClass(
                name="fk",
                foreignFields=[schema_field(key.dataset, path) for path in key.foreign_columns],
                sourceFields=[schema_field(dataset.urn, path) for path in key.columns],
                foreignDataset=key.dataset,
            )
            for key in dataset.foreign_keys
        ],
    )


def schema_field(dataset: str, path: str) -> str:
    return f"urn:li:schemaField:({dataset},{path})"


_TYPES = {"STRING": models.StringTypeClass, "NUMBER": models.NumberTypeClass}


def _field(field: Field) -> models.SchemaFieldClass:
    return models.SchemaFieldClass(
        fieldPath=field.path,
        type=models.SchemaFieldDataTypeClass(_TYPES[field.type or "STRING"]()),
        nativeDataType=field.native_type or "",
        nullable=field.nullable,
        description=field.description,
        globalTags=_tags(field.tags),
        glossaryTerms=_terms(field.terms),
    )


def _tags(urns: Iterable[str]) -> models.GlobalTagsClass:
    return models.GlobalTagsClass([models.TagAssociationClass(urn) for urn in urns])


def _terms(urns: Iterable[str]) -> models.GlossaryTermsClass:
    return models.GlossaryTermsClass(
        [models.GlossaryTermAssociationClass(urn) for urn in urns], STAMP
    )


def _name(urn: str, name: str) -> models._Aspect:
    match urn.split(":")[2]:
        case "tag":
            return models.TagPropertiesClass(name)
        case "glossaryTerm":
            return models.GlossaryTermInfoClass(name=name, definition="", termSource="INTERNAL")
        case "domain":
            return models.DomainPropertiesClass(name)
        case "corpGroup":
            return models.CorpGroupInfoClass(admins=[], members=[], groups=[], displayName=name)
        case _:
            return models.CorpUserInfoClass(active=True, displayName=name)


def _series(
    urn: str,
    profiles: Iterable[Profile],
    operations: Iterable[Operation],
    usage: Iterable[Usage],
) -> Iterator[Mcp]:
    for profile in profiles:
        yield Mcp(
            entityUrn=urn,
            aspect=models.DatasetProfileClass(
                timestampMillis=_ms(profile.time),
                rowCount=profile.row_count,
                columnCount=profile.column_count,
                sizeInBytes=profile.size_bytes,
                fieldProfiles=[_column(column) for column in profile.columns] or None,
            ),
        )
    for day in usage:
        yield Mcp(
            entityUrn=urn,
            aspect=models.DatasetUsageStatisticsClass(
                timestampMillis=_ms(day.time),
                eventGranularity=models.TimeWindowSizeClass("DAY"),
                totalSqlQueries=day.queries,
                uniqueUserCount=day.users,
            ),
        )
    for operation in operations:
        yield Mcp(
            entityUrn=urn,
            aspect=models.OperationClass(
                timestampMillis=_ms(operation.time) + 1,
                lastUpdatedTimestamp=_ms(operation.time),
                operationType=operation.kind,
                numAffectedRows=operation.affected_rows,
            ),
        )


def _queries(urn: str, queries: Iterable[Query]) -> Iterator[Mcp]:
    """Yield days on which a query was among the commonest, or the record of one at another time."""
    days: dict[datetime, list[str]] = {}
    for query in queries:
        if query.last_at.time() == time():
            for back in range(query.count):
                day = query.last_at - back * timedelta(days=1)
                days.setdefault(day, []).append(query.statement)
        else:
            assert query.count == 1
            yield from recorded_query([urn], query.statement, query.last_at)
    for day, statements in days.items():
        yield Mcp(
            entityUrn=urn,
            aspect=models.DatasetUsageStatisticsClass(
                timestampMillis=_ms(day),
                eventGranularity=models.TimeWindowSizeClass("DAY"),
                topSqlQueries=statements,
            ),
        )


def recorded_query(subjects: Iterable[str], statement: str, at: datetime) -> Iterator[Mcp]:
    """Yield the aspects of a query that a crawler saw, as DataHub's SDK writes them."""
    urn, stamp = f"urn:li:query:{uuid4()}", models.AuditStampClass(time=_ms(at), actor=EDITOR)
    yield Mcp(
        entityUrn=urn,
        aspect=models.QueryPropertiesClass(
            statement=models.QueryStatementClass(statement, "SQL"),
            source="SYSTEM",
            created=stamp,
            lastModified=stamp,
        ),
    )
    yield Mcp(
        entityUrn=urn,
        aspect=models.QuerySubjectsClass([models.QuerySubjectClass(each) for each in subjects]),
    )


def _column(column: ColumnProfile) -> models.DatasetFieldProfileClass:
    return models.DatasetFieldProfileClass(
        fieldPath=column.path,
        nullCount=column.null_count,
        nullProportion=column.null_share,
        uniqueCount=column.distinct_count,
        uniqueProportion=column.unique_share,
        min=_text(column.min),
        max=_text(column.max),
        mean=_text(column.mean),
        median=_text(column.median),
        stdev=_text(column.stdev),
        sampleValues=list(column.values) or None,
        distinctValueFrequencies=[
            models.ValueFrequencyClass(value, count) for value, count in column.frequencies
        ]
        or None,
    )


def _text(number: float | None) -> str | None:
    return None if number is None else str(number)


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
