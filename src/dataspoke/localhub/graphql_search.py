"""Search at the stand-in: words anywhere in names, descriptions and columns, and filters.

Far simpler than DataHub's: every word must occur, nothing is ranked beyond name before text, and
nothing is indexed.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from dataspoke.errors import InvalidInput
from dataspoke.localhub.graphql_dataset import lineage
from dataspoke.localhub.graphql_entities import (
    Arguments,
    Node,
    Reader,
    field,
    kinds,
    names_by_entity_type,
)
from dataspoke.localhub.graphql_entity import _platform

_DEFAULT_COUNT = 10
_MAX_COUNT = 10_000
_MAX_HOPS = 20

# What a search without types looks through.
_SEARCHABLE = (
    "dataset", "dashboard", "chart", "dataFlow", "dataJob", "container", "domain", "dataProduct",
    "glossaryTerm", "glossaryNode", "tag", "corpuser", "corpGroup", "mlModel", "mlModelGroup",
    "mlFeature", "mlFeatureTable", "mlPrimaryKey", "notebook",
)  # fmt: skip


@field("Query", "scrollAcrossEntities")
def _scroll(_: Any, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments["input"]
    # By urn, so that what is written meanwhile is neither skipped nor seen twice.
    found = sorted(_find(reader, asked), key=lambda node: node.urn)
    after = _decode(asked.get("scrollId"))
    rest = [node for node in found if node.urn > after]
    page = rest[: _count(asked)]
    return {
        "nextScrollId": _encode(page[-1].urn) if len(page) < len(rest) else None,
        "count": len(page),
        "total": len(found),
        "searchResults": _results(page),
        "facets": [],
    }


@field("Query", "searchAcrossEntities")
def _search_across(_: Any, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    return _page(reader, arguments["input"])


@field("Query", "search")
def _search(_: Any, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments["input"]
    return _page(reader, {**asked, "types": [asked["type"]]})


def _page(reader: Reader, asked: Arguments) -> dict[str, Any]:
    words = _words(asked["query"])
    found = sorted(
        _find(reader, asked),
        key=lambda node: (-sum(word in node.urn.lower() for word in words), node.urn),
    )
    start = asked.get("start") or 0
    page = found[start : start + _count(asked)]
    return {
        "start": start,
        "count": len(page),
        "total": len(found),
        "searchResults": _results(page),
        "facets": [],
    }


@field("Query", "searchAcrossLineage")
def _search_lineage(_: Any, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments["input"]
    found = list(_reachable(reader, asked))
    start = asked.get("start") or 0
    page = found[start : start + _count(asked)]
    return {
        "start": start,
        "count": len(page),
        "total": len(found),
        "searchResults": [_hop(node, degree) for degree, node in page],
        "facets": [],
    }


@field("Query", "scrollAcrossLineage")
def _scroll_lineage(_: Any, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments["input"]
    found = sorted(_reachable(reader, asked), key=lambda hop: hop[1].urn)
    after = _decode(asked.get("scrollId"))
    rest = [hop for hop in found if hop[1].urn > after]
    page = rest[: _count(asked)]
    return {
        "nextScrollId": _encode(page[-1][1].urn) if len(page) < len(rest) else None,
        "count": len(page),
        "total": len(found),
        "searchResults": [_hop(node, degree) for degree, node in page],
        "facets": [],
    }


def _hop(node: Node, degree: int) -> dict[str, Any]:
    return {
        "entity": node,
        "matchedFields": [],
        "paths": [],
        "degree": degree,
        "degrees": [degree],
        "explored": True,
        "truncatedChildren": False,
        "ignoredAsHop": False,
    }


def _reachable(reader: Reader, asked: Arguments) -> Iterator[tuple[int, Node]]:
    """Yield (hops, entity) from the urn that was asked for, nearest first."""
    seen = frontier = {asked["urn"]}
    for degree in range(1, _MAX_HOPS + 1):
        frontier = lineage(reader, frontier, asked["direction"]) - seen
        if not frontier:
            return
        seen = seen | frontier
        nodes = [node for node in reader.nodes(sorted(frontier)) if reader.stored(node.urn)]
        hops = str(degree) if degree < 3 else "3+"
        for node in _matching(reader, nodes, asked, {"degree": [hops]}):
            yield degree, node


def _find(reader: Reader, asked: Arguments) -> list[Node]:
    types = asked.get("types")
    names = _SEARCHABLE if not types else [_name_of(entity_type) for entity_type in types]
    urns = [
        urn
        for name in names
        if name in kinds()
        for urn in reader.storage.urns(name, with_removed=True)
    ]
    return _matching(reader, reader.nodes(urns), asked, {})


def _name_of(entity_type: str) -> str:
    # Types that DataHub's API knows and its released models do not: nothing is stored of them.
    return names_by_entity_type().get(entity_type, "")


def _matching(
    reader: Reader, nodes: Sequence[Node], asked: Arguments, extra: Mapping[str, list[str]]
) -> list[Node]:
    types = asked.get("types")
    words = _words(asked.get("query") or "*")
    filters = _alternatives(asked)
    about_removed = any(rule["field"] == "removed" for rules in filters for rule in rules)
    if (asked.get("searchFlags") or {}).get("includeSoftDeleted"):
        about_removed = True
    return [
        node
        for node in nodes
        if (not types or node.type in types)
        and (about_removed or not reader.is_removed(node.urn))
        and (not words or _contains(_text(reader, node), words))
        and any(all(_holds(reader, node, rule, extra) for rule in rules) for rules in filters)
    ]


def _words(query: str) -> list[str]:
    return re.findall(r"[^\W_]+", query.lower())


def _contains(text: str, words: Iterable[str]) -> bool:
    return all(word in text for word in words)


def _text(reader: Reader, node: Node) -> str:
    parts: list[str] = [node.urn]
    for aspect in reader.stored(node.urn).values():
        value = aspect.value
        parts += [str(value[key]) for key in _TEXTS if isinstance(value.get(key), str)]
        if aspect.aspect == "schemaMetadata":
            for column in value["fields"]:
                parts += [column["fieldPath"], column.get("description") or ""]
    return "\n".join(parts).lower()


_TEXTS = ("name", "title", "description", "definition", "displayName", "fullName")


# --- filters ---


def _alternatives(asked: Arguments) -> list[list[Arguments]]:
    """Return the filters as alternatives of rules that must all hold."""
    plain = list(asked.get("filters") or ())
    either = [list(group.get("and") or ()) for group in asked.get("orFilters") or ()]
    return [[*plain, *rules] for rules in either] or [plain]


def _holds(reader: Reader, node: Node, rule: Arguments, extra: Mapping[str, list[str]]) -> bool:
    name = rule["field"].removesuffix(".keyword")
    has = extra[name] if name in extra else _values(reader, node, name)
    condition = rule.get("condition") or "EQUAL"
    if condition == "EXISTS":
        matches = bool(has)
    else:
        test = _CONDITIONS.get(condition)
        if test is None:
            raise InvalidInput(f"The stand-in has no filter condition {condition}.")
        matches = any(test(value, wanted) for value in has for wanted in rule.get("values") or ())
    return matches != bool(rule.get("negated"))


_CONDITIONS: Mapping[str, Callable[[str, str], bool]] = {
    "EQUAL": lambda value, wanted: value == wanted,
    "IN": lambda value, wanted: value == wanted,
    "IEQUAL": lambda value, wanted: value.lower() == wanted.lower(),
    "CONTAIN": lambda value, wanted: wanted.lower() in value.lower(),
    "START_WITH": lambda value, wanted: value.lower().startswith(wanted.lower()),
    "END_WITH": lambda value, wanted: value.lower().endswith(wanted.lower()),
}


def _values(reader: Reader, node: Node, name: str) -> list[str]:
    """Return what an entity has for a field of the search index; unknown fields have nothing."""
    match name:
        case "urn":
            return [node.urn]
        case "_entityType":
            return [node.type]
        case "removed":
            return [str(reader.is_removed(node.urn)).lower()]
        case "platform":
            platform = _platform(node, reader, {})
            return [] if platform is None else [platform.urn]
        case "origin":
            return [node.key["origin"]] if "origin" in node.key else []
        case "tags":
            return _listed(reader, node, "globalTags", "tags", "tag")
        case "glossaryTerms":
            return _listed(reader, node, "glossaryTerms", "terms", "urn")
        case "owners":
            return _listed(reader, node, "ownership", "owners", "owner")
        case "domains":
            return list((reader.aspect(node.urn, "domains") or {}).get("domains", ()))
        case "container":
            container = (reader.aspect(node.urn, "container") or {}).get("container")
            return [container] if container else []
        case "typeNames":
            return list((reader.aspect(node.urn, "subTypes") or {}).get("typeNames", ()))
        case "entities":
            return _listed(reader, node, "querySubjects", "subjects", "entity")
        case "source":
            source = (reader.aspect(node.urn, "queryProperties") or {}).get("source")
            return [source] if source else []
        case "name":
            value = reader.aspect(node.urn, "datasetProperties") or {}
            return [value.get("name") or node.key.get("name") or ""]
        case "customProperties":
            value = reader.aspect(node.urn, "datasetProperties") or {}
            return [f"{key}={item}" for key, item in value.get("customProperties", {}).items()]
        case _ if name.startswith("structuredProperties."):
            wanted = f"urn:li:structuredProperty:{name.removeprefix('structuredProperties.')}"
            entries = (reader.aspect(node.urn, "structuredProperties") or {}).get("properties", ())
            return [
                str(item)
                for entry in entries
                if entry["propertyUrn"] == wanted
                for value in entry["values"]
                for item in value.values()
            ]
        case _:
            return []


def _listed(reader: Reader, node: Node, aspect: str, items: str, key: str) -> list[str]:
    return [item[key] for item in (reader.aspect(node.urn, aspect) or {}).get(items, ())]


def _results(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    return [{"entity": node, "matchedFields": [], "insights": []} for node in nodes]


def _count(asked: Arguments) -> int:
    count = asked.get("count")
    count = _DEFAULT_COUNT if count is None else count
    if not 0 <= count <= _MAX_COUNT:
        raise InvalidInput(f"count must be 0 to {_MAX_COUNT}, not {count}.")
    return int(count)


def _encode(urn: str) -> str:
    return base64.urlsafe_b64encode(urn.encode()).decode()


def _decode(scroll_id: str | None) -> str:
    try:
        return base64.b64decode(scroll_id or "", altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidInput(f"scrollId {scroll_id!r} is none that this hub handed out.") from None
