"""GraphQL fields of datasets: their columns, profiles, operations, usage and lineage."""

from collections.abc import Iterable, Mapping
from typing import Any

from dataspoke.localhub.graphql_entities import Arguments, Node, Reader, field
from dataspoke.localhub.graphql_entity import _properties, pairs, tags, terms
from dataspoke.localhub.models import entity_of
from dataspoke.localhub.records import now_ms

_DAY_MS = 86_400_000
_RANGE_DAYS = {"DAY": 1, "WEEK": 7, "MONTH": 31, "QUARTER": 92, "HALF_YEAR": 183, "YEAR": 366}
# In these the source is made from the destination; Produces is the other way round.
_MADE_FROM = ("DownstreamOf", "Consumes")
_MAKES = ("Produces",)


@field("Dataset", "properties")
def _dataset_properties(node: Node, reader: Reader, arguments: Arguments) -> dict[str, Any] | None:
    value = _properties(node, reader, arguments)
    if value is None:
        return None
    return {
        **value,
        "origin": node.key["origin"],
        "created": (value.get("created") or {}).get("time"),
        "createdActor": (value.get("created") or {}).get("actor"),
        "lastModified": value.get("lastModified") or {"time": 0},
        "lastModifiedActor": (value.get("lastModified") or {}).get("actor"),
    }


@field("Dataset", "description", "externalUrl")
def _absent(*_: Any) -> None:
    """Fields that DataHub keeps for old clients and leaves empty."""


@field("Dataset", "schemaMetadata")
def _schema_metadata(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "schemaMetadata")
    if value is None:
        return None
    return {
        "aspectVersion": 0,
        "datasetUrn": node.urn,
        "name": value["schemaName"],
        "platformUrn": value["platform"],
        "version": value["version"],
        "cluster": value.get("cluster"),
        "hash": value["hash"],
        "platformSchema": _platform_schema(value["platformSchema"]),
        "fields": [_schema_field(reader, node.urn, item) for item in value["fields"]],
        "primaryKeys": value.get("primaryKeys"),
        "foreignKeys": [
            {
                "name": key["name"],
                "sourceFields": reader.nodes(key["sourceFields"]),
                "foreignFields": reader.nodes(key["foreignFields"]),
                "foreignDataset": reader.node(key["foreignDataset"]),
            }
            for key in value.get("foreignKeys") or ()
        ],
        "createdAt": (value.get("created") or {}).get("time"),
    }


def _platform_schema(union: Mapping[str, Any]) -> dict[str, Any] | None:
    (schema,) = union.values()
    texts = ("tableSchema", "documentSchema", "schema", "rawSchema")
    text = next((schema[name] for name in texts if isinstance(schema.get(name), str)), None)
    return None if text is None else {"__typename": "TableSchema", "schema": text}


def _schema_field(reader: Reader, urn: str, value: Mapping[str, Any]) -> dict[str, Any]:
    (type_name,) = value["type"]["type"]
    kind = type_name.rpartition(".")[2].removesuffix("Type").upper()
    labels = tags(reader, urn, value.get("globalTags"))
    return {
        "fieldPath": value["fieldPath"],
        "jsonPath": value.get("jsonPath"),
        "label": value.get("label"),
        "nullable": value.get("nullable", False),
        "description": value.get("description"),
        "type": "STRUCT" if kind == "RECORD" else kind,
        "nativeDataType": value.get("nativeDataType"),
        "recursive": value.get("recursive", False),
        "tags": labels,
        "globalTags": labels,
        "glossaryTerms": terms(reader, urn, value.get("glossaryTerms")),
        "isPartOfKey": value.get("isPartOfKey", False),
        "isPartitioningKey": value.get("isPartitioningKey"),
        "schemaFieldEntity": reader.node(f"urn:li:schemaField:({urn},{value['fieldPath']})"),
    }


@field("Dataset", "editableSchemaMetadata")
def _editable_schema(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "editableSchemaMetadata")
    if value is None:
        return None
    return {
        "editableSchemaFieldInfo": [
            {
                "fieldPath": item["fieldPath"],
                "description": item.get("description"),
                "tags": tags(reader, node.urn, item.get("globalTags")),
                "globalTags": tags(reader, node.urn, item.get("globalTags")),
                "glossaryTerms": terms(reader, node.urn, item.get("glossaryTerms")),
            }
            for item in value["editableSchemaFieldInfo"]
        ]
    }


@field("Dataset", "viewProperties")
def _view_properties(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "viewProperties")
    if value is None:
        return None
    return {
        "materialized": value["materialized"],
        "logic": value["viewLogic"],
        "formattedLogic": value.get("formattedViewLogic"),
        "language": value["viewLanguage"],
    }


# --- time series: None to those who may not see the dataset's data ---


@field("Dataset", "datasetProfiles")
def _profiles(node: Node, reader: Reader, arguments: Arguments) -> list[dict[str, Any]] | None:
    return _points(node, reader, "datasetProfile", arguments)


@field("Dataset", "operations")
def _operations(node: Node, reader: Reader, arguments: Arguments) -> list[dict[str, Any]] | None:
    points = _points(node, reader, "operation", arguments)
    if points is None:
        return None
    return [
        {
            **point,
            "partition": (point.get("partitionSpec") or {}).get("partition"),
            "customProperties": pairs((point.get("customProperties") or {}).items()),
        }
        for point in points
    ]


@field("Dataset", "usageStats")
def _usage(node: Node, reader: Reader, arguments: Arguments) -> dict[str, Any] | None:
    days = _RANGE_DAYS.get(arguments.get("range") or "MONTH")
    start = arguments.get("startTimeMillis")
    if start is None and days is not None:
        start = now_ms() - days * _DAY_MS
    points = _points(node, reader, "datasetUsageStatistics", {"startTimeMillis": start})
    if points is None:
        return None
    # As DataHub does: what was counted by the day, and of each day the last word.
    by_day = {
        point["timestampMillis"] // _DAY_MS * _DAY_MS: point
        for point in reversed(points)
        if (point.get("eventGranularity") or {}).get("unit") in (None, "DAY")
    }
    buckets = [
        {
            "bucket": day,
            "duration": "DAY",
            "resource": node.urn,
            "metrics": {
                "uniqueUserCount": point.get("uniqueUserCount"),
                "totalSqlQueries": point.get("totalSqlQueries"),
                "topSqlQueries": point.get("topSqlQueries"),
                "users": [
                    {
                        "user": reader.node(user["user"]),
                        "count": user["count"],
                        "userEmail": user.get("userEmail"),
                    }
                    for user in point.get("userCounts") or ()
                ],
                "fields": [
                    {"fieldName": item["fieldPath"], "count": item["count"]}
                    for item in point.get("fieldCounts") or ()
                ],
            },
        }
        for day, point in sorted(by_day.items())
    ]
    queries = [bucket["metrics"]["totalSqlQueries"] or 0 for bucket in buckets]
    return {"buckets": buckets, "aggregations": {"totalSqlQueries": sum(queries)}}


def _points(
    node: Node, reader: Reader, aspect: str, arguments: Arguments
) -> list[dict[str, Any]] | None:
    if not reader.user.may_see_profile(node.urn):
        return None
    return points(reader, node.urn, aspect, arguments)


def points(reader: Reader, urn: str, aspect: str, arguments: Arguments) -> list[dict[str, Any]]:
    """Return a time series newest first, within the bounds and limit that a client asked for."""
    found = reader.storage.points(
        [urn],
        aspect,
        arguments.get("startTimeMillis"),
        arguments.get("endTimeMillis"),
        arguments.get("limit"),
    )
    return [point.value for point in found.get(urn, ())]


# --- lineage ---


@field("Entity", "lineage")
def _lineage(node: Node, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments["input"]
    neighbours = sorted(lineage(reader, [node.urn], asked["direction"]))
    found = reader.nodes(neighbours)
    if not asked.get("includeGhostEntities"):
        found = [each for each in found if reader.stored(each.urn)]
        found = [each for each in found if not reader.is_removed(each.urn)]
    start, count = asked.get("start") or 0, asked.get("count", 100)
    page = found[start : start + count]
    return {
        "start": start,
        "count": len(page),
        "total": len(found),
        "filtered": len(neighbours) - len(found),
        "relationships": [{"type": "DownstreamOf", "entity": each, "degree": 1} for each in page],
    }


def lineage(reader: Reader, urns: Iterable[str], direction: str) -> set[str]:
    """Return the direct neighbours of these urns, UPSTREAM or DOWNSTREAM; columns are left out."""
    from_here = list(urns)
    stated, stated_of = reader.storage.outgoing, reader.storage.incoming
    if direction == "UPSTREAM":
        found = {edge.destination for edge in stated(from_here, _MADE_FROM)}
        found |= {edge.source for edge in stated_of(from_here, _MAKES)}
    else:
        found = {edge.source for edge in stated_of(from_here, _MADE_FROM)}
        found |= {edge.destination for edge in stated(from_here, _MAKES)}
    return {urn for urn in found if entity_of(urn).name != "schemaField"}
