"""GraphQL fields of recorded queries: statements, and the datasets that they are about."""

from typing import Any

from dataspoke.localhub.graphql_entities import Arguments, Node, Reader, field
from dataspoke.localhub.graphql_search import _matching
from dataspoke.localhub.models import entity_of, key_of

_DEFAULT_COUNT = 100
# What lists can be sorted by, and where in a query's properties it stands.
_SORTED_BY = {"createdAt": "created", "lastModifiedAt": "lastModified"}


@field("Query", "listQueries")
def _list_queries(_: Any, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments["input"]
    wanted = [
        {"field": name, "values": [value]}
        for name, value in (("entities", asked.get("datasetUrn")), ("source", asked.get("source")))
        if value is not None
    ]
    search = {"query": asked.get("query"), "orFilters": asked.get("orFilters"), "filters": wanted}
    nodes = reader.nodes(reader.storage.urns("query"))
    found = [node for node in _matching(reader, nodes, search, {}) if _value(reader, node)]
    criterion = (asked.get("sortInput") or {}).get("sortCriterion") or {}
    stamp = _SORTED_BY.get(criterion.get("field", ""), "created")
    found.sort(
        key=lambda node: (_value(reader, node)[stamp]["time"], node.urn),
        reverse=criterion.get("sortOrder") != "ASCENDING",
    )
    start, count = asked.get("start") or 0, asked.get("count")
    page = found[start : start + (_DEFAULT_COUNT if count is None else count)]
    return {"start": start, "count": len(page), "total": len(found), "queries": page}


def _value(reader: Reader, node: Node) -> dict[str, Any]:
    return reader.aspect(node.urn, "queryProperties") or {}


@field("QueryEntity", "properties")
def _properties(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = _value(reader, node)
    if not value:
        return None
    created = value["created"]
    return {
        **value,
        # GraphQL has no word for another language.
        "statement": {"value": value["statement"]["value"], "language": "SQL"},
        "createdOn": {"time": created["time"], "actor": reader.node(created["actor"])},
        "origin": reader.node(value.get("origin")),
        "customProperties": None,
    }


@field("QueryEntity", "subjects")
def _subjects(node: Node, reader: Reader, _: Arguments) -> list[dict[str, Any]]:
    found = []
    for urn in (each["entity"] for each in _subject_list(reader, node)):
        column = entity_of(urn).name == "schemaField"
        dataset = reader.node(key_of(urn)["parent"] if column else urn)
        if dataset is not None and dataset.kind.typename == "Dataset":
            found.append({"dataset": dataset, "schemaField": reader.node(urn) if column else None})
    return found


def _subject_list(reader: Reader, node: Node) -> list[dict[str, Any]]:
    return list((reader.aspect(node.urn, "querySubjects") or {}).get("subjects", ()))
