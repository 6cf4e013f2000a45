"""DataHub's GraphQL answers as the values of the catalogue. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from datahub.utilities.urns.field_paths import get_simple_field_path_from_v2_field_path

from dataspoke.catalogue import (
    ColumnProfile,
    Dataset,
    Field,
    ForeignKey,
    Operation,
    Profile,
    Query,
    Usage,
)
from dataspoke.ports.hub import Access, OpenIncident

Raw = Mapping[str, Any]

# How the partitions of profiles of a whole table begin; others cover a part of its rows.
_WHOLE_TABLE = ("FULL_TABLE_SNAPSHOT", "SAMPLE")

# Of a dataset that the caller may not view, DataHub answers urn and name, and null for these.
# It writes browse path and platform instance itself with every new dataset.
_EMPTY_WHERE_MASKED = (
    "lastIngested",
    "status",
    "browsePathV2",
    "dataPlatformInstance",
    "subTypes",
)


def is_visible(entity: Raw) -> bool:
    """Tell whether an entity exists and is more than the shell that hides it."""
    return entity.get("exists") is True and any(
        entity.get(name) is not None for name in _EMPTY_WHERE_MASKED
    )


def access_of(entity: Raw) -> Access:
    """Return what its ``privileges`` grant; what is null or absent is not granted."""
    privileges = entity.get("privileges") or {}
    return Access(
        view_profile=privileges.get("canViewDatasetProfile") is True,
        view_operations=privileges.get("canViewDatasetOperations") is True,
        edit_assertions=privileges.get("canEditAssertions") is True,
        view_usage=privileges.get("canViewDatasetUsage") is True,
    )


def dataset_of(entity: Raw) -> Dataset:
    """Return a dataset; what a person wrote in DataHub wins over what was ingested."""
    properties, edited = entity.get("properties") or {}, entity.get("editableProperties") or {}
    schema = entity.get("schemaMetadata") or {}
    names: dict[str, str] = {}
    domain = (entity.get("domain") or {}).get("domain")
    deprecation = entity.get("deprecation") or {}
    deprecated = bool(deprecation.get("deprecated"))
    return Dataset(
        urn=entity["urn"],
        name=properties.get("name") or entity["name"],
        platform=entity["platform"]["urn"],
        description=edited.get("description") or properties.get("description") or None,
        fields=_fields(entity, schema, names),
        owners=_owners(entity, names),
        tags=_labels([entity], names)[0],
        terms=_labels([entity], names)[1],
        domain=None if domain is None else _named(domain, names),
        deprecated=deprecated,
        removed=bool((entity.get("status") or {}).get("removed")),
        last_updated=_last_updated(entity),
        names=names,
        owner_types=_owner_types(entity),
        primary_keys=_primary_keys(schema),
        foreign_keys=tuple(_foreign_keys(schema)),
        deprecation_note=(deprecation.get("note") or None) if deprecated else None,
        # Null too where the account may not see it.
        replacement=(deprecation.get("replacement") or {}).get("urn") if deprecated else None,
    )


def profile_of(point: Raw) -> Profile | None:
    """Return a profile; None where it covers a part of the table, or has no time."""
    partition = (point.get("partitionSpec") or {}).get("partition") or _WHOLE_TABLE[0]
    time = _time(point["timestampMillis"])
    if time is None or not partition.startswith(_WHOLE_TABLE):
        return None
    return Profile(
        time=time,
        row_count=point.get("rowCount"),
        column_count=point.get("columnCount"),
        size_bytes=point.get("sizeInBytes"),
        columns=tuple(_column(each, point.get("rowCount")) for each in _columns_of(point)),
    )


def with_values(profile: Profile, point: Raw) -> Profile:
    """Return the profile with the values of its columns that ``point`` holds."""
    values = {each["fieldPath"]: each for each in _columns_of(point)}
    columns = []
    for column in profile.columns:
        seen = values.get(column.path) or {}
        counts = seen.get("distinctValueFrequencies") or ()
        columns.append(
            replace(
                column,
                values=tuple(seen.get("sampleValues") or ()),
                frequencies=tuple((each["value"], each["frequency"]) for each in counts),
            )
        )
    return replace(profile, columns=tuple(columns))


def usage_of(bucket: Raw) -> Usage | None:
    """Return the usage of a day; None where the bucket is none, or has no time."""
    time = _time(bucket["bucket"])
    if time is None or bucket.get("duration") not in (None, "DAY"):
        return None
    metrics = bucket.get("metrics") or {}
    return Usage(time, metrics.get("totalSqlQueries"), metrics.get("uniqueUserCount"))


def statements_of(bucket: Raw) -> Iterator[Query]:
    """Yield the commonest statements of a day; none where the bucket is none, or has no time."""
    day = usage_of(bucket)
    if day is not None:
        for statement in (bucket.get("metrics") or {}).get("topSqlQueries") or ():
            if statement:
                yield Query(statement, 1, day.time)


def recorded_query_of(entity: Raw) -> Query | None:
    """Return a statement that was recorded by itself; None where it has no text or no time."""
    properties = entity.get("properties") or {}
    statement = (properties.get("statement") or {}).get("value")
    stamps = (properties.get(name) or {} for name in ("lastModified", "created"))
    times = [time for time in (_time(stamp.get("time")) for stamp in stamps) if time is not None]
    return Query(statement, 1, max(times)) if statement and times else None


def subjects_of(entity: Raw) -> set[str]:
    """Return the urns of the datasets that a recorded statement is about."""
    # Null where the account may not see one.
    datasets = ((each or {}).get("dataset") for each in entity.get("subjects") or ())
    return {dataset["urn"] for dataset in datasets if dataset}


def merged_queries(seen: Iterable[Query]) -> list[Query]:
    """Return each statement once, the most frequent first, then by its text."""
    found: dict[str, tuple[str, set[date], datetime]] = {}
    for query in seen:
        key = " ".join(query.statement.split())
        statement, days, last_at = found.get(key, (query.statement, set(), query.last_at))
        found[key] = statement, days | {query.last_at.date()}, max(last_at, query.last_at)
    queries = [Query(statement, len(days), last_at) for statement, days, last_at in found.values()]
    return sorted(queries, key=lambda query: (-query.count, query.statement))


def operation_of(point: Raw) -> Operation | None:
    """Return an operation; None where it has no time."""
    time = _time(point["lastUpdatedTimestamp"])
    if time is None:
        return None
    kind = point["operationType"]
    if kind == "CUSTOM":
        kind = point.get("customOperationType") or kind
    return Operation(time=time, kind=kind, affected_rows=point.get("numAffectedRows"))


def open_incident_of(entity: Raw) -> OpenIncident:
    created = (entity.get("created") or {}).get("time")
    return OpenIncident(entity["urn"], entity.get("title") or "Incident", _time(created))


def _columns_of(point: Raw) -> Iterable[Raw]:
    return point.get("fieldProfiles") or ()


def _column(seen: Raw, rows: int | None) -> ColumnProfile:
    nulls, distinct = seen.get("nullCount"), seen.get("uniqueCount")
    null_share, unique_share = seen.get("nullProportion"), seen.get("uniqueProportion")
    if null_share is None and nulls is not None and rows:
        null_share = nulls / rows
    filled = None if rows is None or nulls is None else rows - nulls
    if unique_share is None and distinct is not None and filled is not None and filled > 0:
        # Where a source estimates it, there may be more distinct values than values.
        unique_share = min(1.0, distinct / filled)
    return ColumnProfile(
        path=seen["fieldPath"],
        null_count=nulls,
        null_share=null_share,
        distinct_count=distinct,
        unique_share=unique_share,
        min=_number(seen.get("min")),
        max=_number(seen.get("max")),
        mean=_number(seen.get("mean")),
        median=_number(seen.get("median")),
        stdev=_number(seen.get("stdev")),
    )


def _number(text: str | None) -> float | None:
    """Return the number that DataHub hands out as a text; None for a date, a word or no number."""
    try:
        # Python would read 1_000 as a number.
        number = math.nan if text is None or "_" in text else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _last_updated(entity: Raw) -> datetime | None:
    """Return when the content changed last, by the newest operation or the source's own word.

    Not ``lastIngested``: that moves with every write of metadata, DataSpoke's own among them.
    """
    modified = ((entity.get("properties") or {}).get("lastModified") or {}).get("time")
    times = [point["lastUpdatedTimestamp"] for point in entity.get("operations") or ()]
    return max((time for time in map(_time, [*times, modified]) if time is not None), default=None)


def _time(millis: int | None) -> datetime | None:
    """Return a time; None for what DataHub has in place of an unknown one, or beyond a date."""
    try:
        return datetime.fromtimestamp(millis / 1000, UTC) if millis and millis > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _fields(entity: Raw, schema: Raw, names: dict[str, str]) -> tuple[Field, ...]:
    edits: dict[str, list[Raw]] = {}
    edited = entity.get("editableSchemaMetadata") or {}
    for edit in edited.get("editableSchemaFieldInfo") or ():
        edits.setdefault(_simple(edit["fieldPath"]), []).append(edit)
    fields = []
    for field in schema.get("fields") or ():
        said = [*edits.get(_simple(field["fieldPath"]), ()), field]
        tags, terms = _labels(said, names)
        fields.append(
            Field(
                path=field["fieldPath"],
                native_type=field.get("nativeDataType") or None,
                description=next(
                    (each["description"] for each in said if each["description"]), None
                ),
                tags=tags,
                terms=terms,
                type=field.get("type"),
                nullable=field.get("nullable") is True,
            )
        )
    return tuple(fields)


def _primary_keys(schema: Raw) -> tuple[str, ...]:
    """Return the keys that the schema names and those that its columns say they are part of."""
    parts = (f["fieldPath"] for f in schema.get("fields") or () if f.get("isPartOfKey") is True)
    return tuple(dict.fromkeys([*(schema.get("primaryKeys") or ()), *parts]))


def _foreign_keys(schema: Raw) -> Iterator[ForeignKey]:
    for key in schema.get("foreignKeys") or ():
        # Null where the account may not see the other dataset.
        if key and (dataset := key.get("foreignDataset")):
            ways = ("sourceFields", "foreignFields")
            here, there = (tuple(f["fieldPath"] for f in key.get(way) or () if f) for way in ways)
            yield ForeignKey(here, dataset["urn"], there)


def _simple(path: str) -> str:
    # What was edited in the UI may carry the plain spelling of a path with types in it.
    return get_simple_field_path_from_v2_field_path(path)


def _labels(said: Iterable[Raw], names: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tags: dict[str, None] = {}
    terms: dict[str, None] = {}
    for each in said:
        for item in (each.get("tags") or {}).get("tags") or ():
            tags[_named(item["tag"], names)] = None
        for item in (each.get("glossaryTerms") or {}).get("terms") or ():
            terms[_named(item["term"], names)] = None
    return tuple(tags), tuple(terms)


def _owners(entity: Raw, names: dict[str, str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for item in (entity.get("ownership") or {}).get("owners") or ():
        # Null for an owner that is neither a person nor a group, or that was deleted.
        if owner := item.get("owner"):
            found[_named(owner, names)] = None
    return tuple(found)


def _owner_types(entity: Raw) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for item in (entity.get("ownership") or {}).get("owners") or ():
        if (owner := item.get("owner")) and (given := item.get("ownershipType")):
            found.setdefault(owner["urn"], {})[given["urn"]] = None
    return {owner: tuple(types) for owner, types in found.items()}


def _named(entity: Raw, names: dict[str, str]) -> str:
    """Return the urn, having noted the name of what it stands for."""
    urn: str = entity["urn"]
    edited, given = entity.get("editableProperties") or {}, entity.get("properties") or {}
    name = (
        edited.get("displayName")
        or given.get("displayName")
        or given.get("fullName")
        or given.get("name")
    )
    if name:
        names[urn] = name
    return urn
