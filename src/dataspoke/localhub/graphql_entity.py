"""GraphQL fields that entities of every type share, and those of people, labels and places."""

from collections.abc import Iterable, Mapping
from typing import Any

from dataspoke.localhub.graphql_entities import Arguments, Node, Reader, field
from dataspoke.localhub.records import Edge

UNKNOWN_PLATFORM = "urn:li:dataPlatform:unknown"

_CAN_EDIT = (
    "canEditLineage", "canEditEmbed", "canEditQueries", "canEditProperties", "canEditTags",
    "canEditGlossaryTerms", "canEditDescription", "canEditLinks", "canEditDomains",
    "canEditDataProducts", "canEditOwners", "canEditIncidents", "canEditAssertions",
    "canEditAssertionOwners", "canEditDeprecation", "canEditSchemaFieldTags",
    "canEditSchemaFieldGlossaryTerms", "canEditSchemaFieldDescription",
)  # fmt: skip
_CAN_MANAGE = ("canManageChildren", "canManageEntity", "canManageAssetSummary")
_CAN_VIEW = ("canViewDatasetUsage", "canViewDatasetProfile", "canViewDatasetOperations")

# Where each type of entity keeps what the API calls its properties.
_PROPERTIES = {
    "Chart": "chartInfo",
    "Container": "containerProperties",
    "CorpGroup": "corpGroupInfo",
    "CorpUser": "corpUserInfo",
    "Dashboard": "dashboardInfo",
    "DataFlow": "dataFlowInfo",
    "DataJob": "dataJobInfo",
    "DataPlatform": "dataPlatformInfo",
    "DataProduct": "dataProductProperties",
    "Dataset": "datasetProperties",
    "Domain": "domainProperties",
    "GlossaryNode": "glossaryNodeInfo",
    "GlossaryTerm": "glossaryTermInfo",
    "Tag": "tagProperties",
}
_EDITABLE = {
    "Container": "editableContainerProperties",
    "CorpGroup": "corpGroupEditableInfo",
    "CorpUser": "corpUserEditableInfo",
    "Dataset": "editableDatasetProperties",
}


@field("Entity", "exists")
def _exists(node: Node, reader: Reader, _: Arguments) -> bool:
    return bool(reader.stored(node.urn))


@field("Entity", "status")
def _status(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    status = reader.aspect(node.urn, "status")
    return None if status is None else {"removed": bool(status.get("removed"))}


@field("Entity", "lastIngested")
def _last_ingested(node: Node, reader: Reader, _: Arguments) -> int | None:
    stored = reader.stored(node.urn).values()
    return max((aspect.system_metadata["lastObserved"] for aspect in stored), default=None)


@field("Entity", "platform")
def _platform(node: Node, reader: Reader, _: Arguments) -> Node | None:
    given = node.key.get("platform") or (reader.aspect(node.urn, "dataPlatformInstance") or {}).get(
        "platform"
    )
    tool = next(
        (node.key[name] for name in ("orchestrator", "dashboardTool") if name in node.key), None
    )
    if given is None and tool is not None:
        given = f"urn:li:dataPlatform:{tool}"
    return reader.node(given or UNKNOWN_PLATFORM)


@field("Entity", "dataPlatformInstance")
def _platform_instance(node: Node, reader: Reader, _: Arguments) -> Node | None:
    return reader.node((reader.aspect(node.urn, "dataPlatformInstance") or {}).get("instance"))


@field("DataPlatformInstance", "instanceId")
def _instance_id(node: Node, _: Reader, __: Arguments) -> str:
    return str(node.key["instance"])


@field("Entity", "properties", "info", "glossaryTermInfo")
def _properties(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    typename = node.kind.typename
    value = reader.aspect(node.urn, _PROPERTIES.get(typename, ""))
    if value is None:
        return None
    # Where nobody gave a name the last part of the id stands in.
    name = value.get("name") or value.get("title") or display_id(node)
    nodes = {key: reader.node(value.get(key)) for key in ("manager",)}
    return {**value, **nodes, "name": name, "customProperties": _pairs(value)}


@field("Entity", "editableProperties", "editableInfo")
def _editable(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, _EDITABLE.get(node.kind.typename, ""))
    return None if value is None else {**value, "platforms": None}


@field("Entity", "name", "hierarchicalName", "username")
def _name(node: Node, _: Reader, __: Arguments) -> str:
    key = node.key
    names = (key.get(part) for part in ("name", "username", "platformName"))
    return next((str(name) for name in names if name), display_id(node))


@field("Entity", "tool")
def _tool(node: Node, _: Reader, __: Arguments) -> Any:
    return node.key.get("dashboardTool") or node.key.get("notebookTool")


@field("Entity", "ownership")
def _ownership(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "ownership")
    if value is None:
        return None
    owners = value.get("owners", [])
    reader.load(owner["owner"] for owner in owners)
    return {
        "owners": [
            {
                "owner": reader.node(owner["owner"]),
                "type": owner.get("type"),
                "ownershipType": reader.node(owner.get("typeUrn") or _own_type(owner["type"])),
                "associatedUrn": node.urn,
            }
            for owner in owners
        ],
        "lastModified": value.get("lastModified") or {"time": 0},
    }


def _own_type(word: str) -> str:
    # DataHub's types of before there were entities for them.
    return f"urn:li:ownershipType:__system__{word.lower()}"


@field("Entity", "tags", "globalTags")
def _tags(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    return tags(reader, node.urn, reader.aspect(node.urn, "globalTags"))


def tags(reader: Reader, urn: str, value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a ``globalTags`` value of ``urn``, or of one of its columns, as the API shapes it."""
    if value is None:
        return None
    given = value.get("tags", [])
    reader.load(item["tag"] for item in given)
    return {
        "tags": [
            {
                "tag": reader.node(item["tag"]),
                "associatedUrn": urn,
                "context": item.get("context"),
            }
            for item in given
        ]
    }


@field("Entity", "glossaryTerms")
def _terms(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    return terms(reader, node.urn, reader.aspect(node.urn, "glossaryTerms"))


def terms(reader: Reader, urn: str, value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a ``glossaryTerms`` value of ``urn``, or of a column, as the API shapes it."""
    if value is None:
        return None
    given = value.get("terms", [])
    reader.load(item["urn"] for item in given)
    return {
        "terms": [
            {
                "term": reader.node(item["urn"]),
                "actor": reader.node(item.get("actor")),
                "associatedUrn": urn,
                "context": item.get("context"),
            }
            for item in given
        ]
    }


@field("Entity", "domain")
def _domain(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    given = (reader.aspect(node.urn, "domains") or {}).get("domains")
    return {"domain": reader.node(given[0]), "associatedUrn": node.urn} if given else None


@field("Entity", "deprecation")
def _deprecation(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "deprecation")
    if value is None:
        return None
    return {
        **value,
        "actorEntity": reader.node(value.get("actor")),
        "replacement": reader.node(value.get("replacement")),
    }


@field("Entity", "institutionalMemory")
def _institutional_memory(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "institutionalMemory")
    if value is None:
        return None
    return {
        "elements": [
            {
                "url": link["url"],
                "label": link["description"],
                "description": link["description"],
                "author": reader.node(link["createStamp"]["actor"]),
                "actor": reader.node(link["createStamp"]["actor"]),
                "created": link["createStamp"],
                "updated": link.get("updateStamp"),
                "associatedUrn": node.urn,
            }
            for link in value["elements"]
        ]
    }


@field("Entity", "structuredProperties")
def _structured_properties(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "structuredProperties")
    if value is None:
        return None
    return {
        "properties": [
            {
                "structuredProperty": reader.node(item["propertyUrn"]),
                "values": [_property_value(each) for each in item["values"]],
                "associatedUrn": node.urn,
            }
            for item in value["properties"]
        ]
    }


def _property_value(value: Mapping[str, Any]) -> dict[str, Any]:
    if "double" in value:
        return {"__typename": "NumberValue", "numberValue": value["double"]}
    return {"__typename": "StringValue", "stringValue": value["string"]}


@field("StructuredPropertyEntity", "definition")
def _definition(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "propertyDefinition")
    if value is None:
        return None
    return {
        **{key: value.get(key) for key in ("qualifiedName", "displayName", "description")},
        "cardinality": value.get("cardinality", "SINGLE"),
        "immutable": value.get("immutable", False),
        "valueType": reader.node(value["valueType"]),
        "entityTypes": [reader.node(urn) for urn in value["entityTypes"]],
    }


@field("DataTypeEntity", "info")
def _data_type(node: Node, _: Reader, __: Arguments) -> dict[str, Any]:
    name = display_id(node)
    return {"type": name.upper(), "qualifiedName": node.key["id"], "displayName": name}


@field("EntityTypeEntity", "info")
def _entity_type(node: Node, _: Reader, __: Arguments) -> dict[str, Any]:
    name = display_id(node)
    return {"type": name.upper(), "qualifiedName": node.key["id"], "displayName": name}


@field("Entity", "container")
def _container(node: Node, reader: Reader, _: Arguments) -> Node | None:
    return reader.node((reader.aspect(node.urn, "container") or {}).get("container"))


@field("Entity", "parentContainers")
def _parent_containers(node: Node, reader: Reader, _: Arguments) -> dict[str, Any]:
    parents: list[Node] = []
    parent = _container(node, reader, {})
    while parent is not None and parent not in parents:
        parents.append(parent)
        parent = _container(parent, reader, {})
    return {"count": len(parents), "containers": parents}


@field("Entity", "subTypes")
def _sub_types(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    return reader.aspect(node.urn, "subTypes")


@field("Entity", "siblings")
def _siblings(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "siblings")
    if value is None:
        return None
    return {"isPrimary": value.get("primary"), "siblings": reader.nodes(value["siblings"])}


@field("Entity", "browsePathV2")
def _browse_path(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "browsePathsV2")
    if value is None:
        return None
    path = [
        {"name": entry["id"], "entity": reader.node(entry.get("urn"))} for entry in value["path"]
    ]
    return {"path": path}


@field("Entity", "privileges")
def _privileges(node: Node, reader: Reader, _: Arguments) -> dict[str, bool]:
    user = reader.user
    return {
        **dict.fromkeys(_CAN_EDIT, user.can_edit),
        **dict.fromkeys(_CAN_MANAGE, user.can_manage),
        **dict.fromkeys(_CAN_VIEW, user.may_see_profile(node.urn)),
    }


@field("Entity", "relationships")
def _relationships(node: Node, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments["input"]
    incoming = asked["direction"] == "INCOMING"
    read = reader.storage.incoming if incoming else reader.storage.outgoing
    edges = sorted(
        read([node.urn], asked["types"] or None), key=lambda edge: (edge.name, _far(edge, incoming))
    )
    visible = [edge for edge in edges if reader.node(_far(edge, incoming)) is not None]
    start, count = asked.get("start") or 0, asked.get("count", 10)
    page = visible[start : start + count]
    return {
        "start": start,
        "count": len(page),
        "total": len(visible),
        "relationships": [
            {
                "type": edge.name,
                "direction": asked["direction"],
                "entity": reader.node(_far(edge, incoming)),
            }
            for edge in page
        ],
    }


def _far(edge: Edge, incoming: bool) -> str:
    return edge.source if incoming else edge.destination


@field("SchemaFieldEntity", "parent")
def _parent(node: Node, reader: Reader, _: Arguments) -> Node | None:
    return reader.node(node.key["parent"])


def display_id(node: Node) -> str:
    """Return the last part of an entity's id: what to show where nobody gave a name."""
    inner = node.key.get("name") or node.urn.split(":", 3)[3]
    return str(inner).rpartition(".")[2]


def pairs(entries: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return a map as the API shapes it: a list of keys and values."""
    return [{"key": key, "value": value} for key, value in entries]


def _pairs(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return pairs((value.get("customProperties") or {}).items())
