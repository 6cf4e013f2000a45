"""The bookshop's catalogue: read from bookshop.toml, written as DataHub aspects."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, get_args

import datahub.metadata.schema_classes as aspects
from datahub.emitter.mce_builder import (
    make_data_platform_urn,
    make_dataset_urn,
    make_domain_urn,
    make_group_urn,
    make_schema_field_urn,
    make_tag_urn,
    make_term_urn,
    make_user_urn,
)
from datahub.emitter.mcp import MetadataChangeProposalWrapper

SeriesKind = Literal["growing", "partition", "dimension", "stream"]

_COLUMN = re.compile(
    r"(?P<name>\w+) (?P<type>[\w(),]+)(?P<nullable>\?)?"
    r"(?P<marks>(?: [#~][\w.-]+)*)(?: : (?P<about>.+))?"
)
_TYPES: dict[str, type] = {
    "array": aspects.ArrayTypeClass,
    "boolean": aspects.BooleanTypeClass,
    "date": aspects.DateTypeClass,
    "timestamptz": aspects.TimeTypeClass,
    "timestamp_ntz": aspects.TimeTypeClass,
    **dict.fromkeys(
        ("bigint", "integer", "smallint", "numeric", "number", "long", "int", "double", "float"),
        aspects.NumberTypeClass,
    ),
    **dict.fromkeys(("char", "varchar", "text", "string", "uuid"), aspects.StringTypeClass),
}
_SYSTEM = "urn:li:corpuser:datahub"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    nullable: bool
    description: str | None
    tags: tuple[str, ...]
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """How a table's row count behaves; the kinds are explained in bookshop.toml.

    ``variation`` is the noise's coefficient of variation; None draws one between 2 and 15 %.
    """

    kind: SeriesKind
    rows: int
    daily: int = 0
    weekend: float = 1.0
    month_end: float = 1.0
    weekdays_only: bool = False
    variation: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One dataset. ``retired`` is days since its last load, None while it is in use.

    ``key`` is the column that tells rows apart, None where that is not said.
    """

    urn: str
    platform: str
    name: str
    description: str | None
    owners: tuple[str, ...]
    domain: str | None
    terms: tuple[str, ...]
    tags: tuple[str, ...]
    upstreams: tuple[str, ...]
    deprecated: str | None
    replacement: str | None
    retired: int | None
    series: Series | None
    columns: tuple[Column, ...]
    key: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """A statement about some tables, and how often it runs on a day of the week."""

    sql: str
    reads: tuple[str, ...]
    daily: float


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What bookshop.toml says; each mapping goes from the id to names and texts."""

    users: dict[str, list[str]]
    groups: dict[str, list[str]]
    domains: dict[str, list[str]]
    nodes: dict[str, str]
    terms: dict[str, str]
    tags: dict[str, list[str]]
    tables: tuple[Table, ...]
    queries: tuple[Query, ...]


def load() -> Catalogue:
    """Return the bookshop as its file describes it; raises ValueError where a line is malformed."""
    text = resources.files(__package__).joinpath("bookshop.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    return Catalogue(
        users=content["users"],
        groups=content["groups"],
        domains=content["domains"],
        nodes=content["nodes"],
        terms=content["terms"],
        tags=content["tags"],
        tables=tuple(_table(entry) for entry in content["dataset"]),
        queries=tuple(_query(entry) for entry in content["query"]),
    )


def _table(entry: dict[str, Any]) -> Table:
    platform, _, name = entry["id"].partition(":")
    return Table(
        urn=_dataset_urn(entry["id"]),
        platform=platform,
        name=name,
        description=entry.get("about"),
        owners=tuple(_owner_urn(owner) for owner in entry["owners"]),
        domain=entry.get("domain"),
        terms=tuple(entry.get("terms", ())),
        tags=tuple(entry.get("tags", ())),
        upstreams=tuple(_dataset_urn(upstream) for upstream in entry.get("from", ())),
        deprecated=entry.get("deprecated"),
        replacement=_dataset_urn(entry["replacement"]) if "replacement" in entry else None,
        retired=entry.get("retired"),
        series=_series(entry["series"]) if "series" in entry else None,
        columns=tuple(_column(line) for line in entry["columns"].strip().splitlines()),
        key=entry.get("key"),
    )


def _query(entry: dict[str, Any]) -> Query:
    reads = tuple(_dataset_urn(dataset) for dataset in entry["reads"])
    return Query(entry["sql"].strip(), reads, entry["day"])


def _series(entry: dict[str, Any]) -> Series:
    if entry["kind"] not in get_args(SeriesKind):
        raise ValueError(f"{entry['kind']!r} is no kind of series")
    return Series(**entry)


def _column(line: str) -> Column:
    match = _COLUMN.fullmatch(line)
    if match is None:
        raise ValueError(f"{line!r} is not NAME TYPE[?] [#Tag]… [~Term]… [: description]")
    marks = match["marks"].split()
    return Column(
        name=match["name"],
        type=match["type"],
        nullable=match["nullable"] is not None,
        description=match["about"],
        tags=tuple(mark[1:] for mark in marks if mark.startswith("#")),
        terms=tuple(mark[1:] for mark in marks if mark.startswith("~")),
    )


def _dataset_urn(dataset_id: str) -> str:
    platform, _, name = dataset_id.partition(":")
    return make_dataset_urn(platform, name, "PROD")


def _owner_urn(owner: str) -> str:
    return make_group_urn(owner[1:]) if owner.startswith("@") else make_user_urn(owner)


def proposals(
    catalogue: Catalogue, time_ms: int, last_day_ms: int
) -> Iterator[MetadataChangeProposalWrapper]:
    """Yield the aspects of every entity, referenced ones before those that need them.

    The entities are as of ``time_ms``; queries ran on the last day too.
    """
    yield from _people(catalogue)
    yield from _vocabulary(catalogue)
    keys = {table.key: table for table in catalogue.tables if table.key is not None}
    for table in catalogue.tables:
        for aspect in _aspects(table, keys, time_ms):
            yield MetadataChangeProposalWrapper(entityUrn=table.urn, aspect=aspect)
    for query in catalogue.queries:
        # As DataHub's SDK names them: by what they say.
        urn = f"urn:li:query:{hashlib.sha256(query.sql.encode()).hexdigest()}"
        for aspect in _recorded(query, time_ms, last_day_ms):
            yield MetadataChangeProposalWrapper(entityUrn=urn, aspect=aspect)


def _recorded(query: Query, time_ms: int, last_day_ms: int) -> Iterator[Any]:
    yield aspects.QueryPropertiesClass(
        statement=aspects.QueryStatementClass(
            value=query.sql, language=aspects.QueryLanguageClass.SQL
        ),
        source=aspects.QuerySourceClass.SYSTEM,
        created=aspects.AuditStampClass(time=time_ms, actor=_SYSTEM),
        lastModified=aspects.AuditStampClass(time=last_day_ms, actor=_SYSTEM),
    )
    yield aspects.QuerySubjectsClass(
        subjects=[aspects.QuerySubjectClass(entity=urn) for urn in query.reads]
    )


def _people(catalogue: Catalogue) -> Iterator[MetadataChangeProposalWrapper]:
    for name, (title, about) in catalogue.groups.items():
        # Membership is said once, by the user's groupMembership, as DataHub wants it.
        yield MetadataChangeProposalWrapper(
            entityUrn=make_group_urn(name),
            aspect=aspects.CorpGroupInfoClass(
                admins=[],
                members=[],
                groups=[],
                displayName=title,
                description=about,
                email=f"{name}@marlowe-finch.example",
            ),
        )
    for name, (full_name, title, group) in catalogue.users.items():
        urn = make_user_urn(name)
        yield MetadataChangeProposalWrapper(
            entityUrn=urn,
            aspect=aspects.CorpUserInfoClass(
                active=True,
                displayName=full_name,
                fullName=full_name,
                title=title,
                email=f"{name}@marlowe-finch.example",
            ),
        )
        yield MetadataChangeProposalWrapper(
            entityUrn=urn, aspect=aspects.GroupMembershipClass(groups=[make_group_urn(group)])
        )


def _vocabulary(catalogue: Catalogue) -> Iterator[MetadataChangeProposalWrapper]:
    for domain, (name, about) in catalogue.domains.items():
        yield MetadataChangeProposalWrapper(
            entityUrn=make_domain_urn(domain),
            aspect=aspects.DomainPropertiesClass(name=name, description=about),
        )
    for node, definition in catalogue.nodes.items():
        yield MetadataChangeProposalWrapper(
            entityUrn=_node_urn(node),
            aspect=aspects.GlossaryNodeInfoClass(name=node, definition=definition),
        )
    for term, definition in catalogue.terms.items():
        node, _, name = term.partition(".")
        yield MetadataChangeProposalWrapper(
            entityUrn=make_term_urn(term),
            aspect=aspects.GlossaryTermInfoClass(
                name=name, definition=definition, termSource="INTERNAL", parentNode=_node_urn(node)
            ),
        )
    for tag, (about, colour) in catalogue.tags.items():
        yield MetadataChangeProposalWrapper(
            entityUrn=make_tag_urn(tag),
            aspect=aspects.TagPropertiesClass(name=tag, description=about, colorHex=colour),
        )


def _node_urn(node: str) -> str:
    return f"urn:li:glossaryNode:{node}"


def _aspects(table: Table, keys: Mapping[str, Table], time_ms: int) -> Iterator[Any]:
    stamp = aspects.AuditStampClass(time=time_ms, actor=_SYSTEM)
    yield aspects.DatasetPropertiesClass(
        name=table.name.rpartition(".")[2] if table.platform != "kafka" else table.name,
        qualifiedName=table.name,
        description=table.description,
    )
    yield aspects.SubTypesClass(typeNames=["Topic" if table.platform == "kafka" else "Table"])
    yield aspects.StatusClass(removed=False)
    if table.columns:
        yield _schema(table, keys, stamp)
    if table.owners:
        yield aspects.OwnershipClass(
            owners=[
                aspects.OwnerClass(
                    owner=owner,
                    type=aspects.OwnershipTypeClass.TECHNICAL_OWNER
                    if position
                    else aspects.OwnershipTypeClass.BUSINESS_OWNER,
                )
                for position, owner in enumerate(table.owners)
            ],
            lastModified=stamp,
        )
    if table.domain:
        yield aspects.DomainsClass(domains=[make_domain_urn(table.domain)])
    if table.terms:
        yield _terms(table.terms, stamp)
    if table.tags:
        yield _tags(table.tags)
    if table.upstreams:
        yield aspects.UpstreamLineageClass(
            upstreams=[
                aspects.UpstreamClass(
                    dataset=upstream,
                    type=aspects.DatasetLineageTypeClass.TRANSFORMED,
                    auditStamp=stamp,
                )
                for upstream in table.upstreams
            ]
        )
    if table.deprecated:
        yield aspects.DeprecationClass(
            deprecated=True,
            note=table.deprecated,
            actor=_SYSTEM,
            replacement=table.replacement,
        )


def _schema(
    table: Table, keys: Mapping[str, Table], stamp: aspects.AuditStampClass
) -> aspects.SchemaMetadataClass:
    referred = [
        (column.name, keys[column.name])
        for column in table.columns
        if column.name in keys and table.platform == keys[column.name].platform
    ]
    return aspects.SchemaMetadataClass(
        schemaName=table.name,
        platform=make_data_platform_urn(table.platform),
        version=0,
        hash="",
        platformSchema=aspects.KafkaSchemaClass(documentSchema="")
        if table.platform == "kafka"
        else aspects.OtherSchemaClass(rawSchema=""),
        fields=[
            aspects.SchemaFieldClass(
                fieldPath=column.name,
                type=aspects.SchemaFieldDataTypeClass(
                    type=_TYPES[column.type.partition("(")[0]](),
                ),
                nativeDataType=column.type,
                nullable=column.nullable,
                description=column.description,
                globalTags=_tags(column.tags) if column.tags else None,
                glossaryTerms=_terms(column.terms, stamp) if column.terms else None,
            )
            for column in table.columns
        ],
        primaryKeys=None if table.key is None else [table.key],
        foreignKeys=[
            aspects.ForeignKeyConstraintClass(
                name=f"{name}_fkey",
                foreignFields=[make_schema_field_urn(other.urn, name)],
                sourceFields=[make_schema_field_urn(table.urn, name)],
                foreignDataset=other.urn,
            )
            for name, other in referred
            if other is not table
        ]
        or None,
    )


def _tags(tags: tuple[str, ...]) -> aspects.GlobalTagsClass:
    return aspects.GlobalTagsClass(
        tags=[aspects.TagAssociationClass(tag=make_tag_urn(tag)) for tag in tags]
    )


def _terms(terms: tuple[str, ...], stamp: aspects.AuditStampClass) -> aspects.GlossaryTermsClass:
    return aspects.GlossaryTermsClass(
        terms=[aspects.GlossaryTermAssociationClass(urn=make_term_urn(term)) for term in terms],
        auditStamp=stamp,
    )
