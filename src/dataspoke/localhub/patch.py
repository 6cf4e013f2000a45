"""DataHub's PATCH: JSON Patch in which lists are addressed by the keys of their items.

A patch may bring the keys itself (``arrayPrimaryKeys``); else DataHub has a template for some
aspects. Either way the lists become objects nested by key, the JSON Patch is applied to these,
and they become lists again.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import jsonpatch
import jsonpointer
from avro import schema as avro

from dataspoke.errors import InvalidInput
from dataspoke.localhub import lineage_patch
from dataspoke.localhub.models import AspectModel

# Joins the names of a nested key, as in "attribution␟source".
_NESTING = "\u241f"

_OPERATIONS = frozenset({"add", "remove", "replace"})

Keys = Mapping[tuple[str, ...], Sequence[str]]

_TAGS: Keys = {("tags",): ("tag",)}
_TERMS: Keys = {("terms",): ("urn",)}
_FIELD = ("editableSchemaFieldInfo", "*")

# The lists that DataHub's templates address by key; "*" stands for every item, no keys for a list
# of strings. An outer list comes before those inside it.
_TEMPLATES: Mapping[str, Keys] = {
    "globalTags": _TAGS,
    "glossaryTerms": _TERMS,
    "ownership": {("owners",): ("owner", "type")},
    "upstreamLineage": {("upstreams",): ("dataset",)},
    "editableSchemaMetadata": {
        _FIELD[:1]: ("fieldPath",),
        **{(*_FIELD, "globalTags", *path): keys for path, keys in _TAGS.items()},
        **{(*_FIELD, "glossaryTerms", *path): keys for path, keys in _TERMS.items()},
    },
    "structuredProperties": {("properties",): ("propertyUrn",)},
    "propertyDefinition": {("entityTypes",): ()},
    "dataProductProperties": {("assets",): ("destinationUrn",)},
    "dataJobInputOutput": {
        ("inputDatasetEdges",): ("destinationUrn",),
        ("outputDatasetEdges",): ("destinationUrn",),
        ("inputDatajobEdges",): ("destinationUrn",),
        ("inputDatasets",): (),
        ("outputDatasets",): (),
        ("inputDatajobs",): (),
    },
    "chartInfo": {("inputEdges",): ("destinationUrn",)},
    "dashboardInfo": {
        ("chartEdges",): ("destinationUrn",),
        ("datasetEdges",): ("destinationUrn",),
        ("dashboards",): ("destinationUrn",),
        ("charts",): (),
        ("datasets",): (),
    },
    "formInfo": {("prompts",): ("id",)},
    "siblings": {("siblings",): ()},
    "domains": {("domains",): ()},
}


def apply_patch(
    model: AspectModel, current: Mapping[str, Any] | None, patch: Any, time_ms: int
) -> dict[str, Any]:
    """Return the aspect after a patch; ``current`` None means that there is none yet.

    The result still has to be validated. Raises InvalidInput for a patch that is malformed or
    does not fit.
    """
    operations, keys, templated = _parse(model, patch)
    # Only DataHub's templates know column lineage; untouched it may be of a shape without a tree.
    with_columns = templated and any(
        operation["path"].startswith(f"/{lineage_patch.FIELD}") for operation in operations
    )
    document = deepcopy(dict(current)) if current is not None else _default(model, time_ms)
    for path, fields in keys.items():
        for holder in _holders(document, path):
            holder[path[-1]] = _nest(holder.get(path[-1]), fields, f"{model.name}.{path[-1]}")
    if with_columns:
        columns = document.get(lineage_patch.FIELD) or []
        document[lineage_patch.FIELD] = lineage_patch.to_tree(columns)
    for operation in operations:
        _make_way(document, operation)
        try:
            document = jsonpatch.apply_patch(document, [operation], in_place=True)
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
            raise InvalidInput(
                f"The patch of {model.name} does not fit at {operation['path']!r}: {error}."
            ) from error
    try:
        for path, fields in keys.items():
            for holder in _holders(document, path):
                if isinstance(holder.get(path[-1]), dict):
                    holder[path[-1]] = list(_flatten(holder[path[-1]], fields))
        if with_columns and isinstance(document.get(lineage_patch.FIELD), dict):
            document[lineage_patch.FIELD] = lineage_patch.from_tree(document[lineage_patch.FIELD])
    except (AttributeError, TypeError) as error:
        raise InvalidInput(
            f"The patch of {model.name} puts a value where its items are told apart by key."
        ) from error
    return document


def _parse(model: AspectModel, patch: Any) -> tuple[list[dict[str, Any]], Keys, bool]:
    """Return the operations, the keys of lists, and whether the keys are those of a template."""
    body = patch if isinstance(patch, dict) else {"patch": patch}
    given = body.get("arrayPrimaryKeys") or {}
    if not isinstance(given, dict) or not all(isinstance(names, list) for names in given.values()):
        raise InvalidInput(
            f"arrayPrimaryKeys of the patch of {model.name} must map fields to lists of names."
        )
    operations = body.get("patch")
    if not isinstance(operations, list):
        raise InvalidInput(f"The patch of {model.name} must be a list of JSON Patch operations.")
    for operation in operations:
        if not isinstance(operation, dict) or operation.get("op") not in _OPERATIONS:
            raise InvalidInput(
                f"Unsupported operation {operation!r} in the patch of {model.name}; "
                "use add, remove or replace."
            )
        if not str(operation.get("path")).startswith("/"):
            raise InvalidInput(f"{operation!r} in the patch of {model.name} lacks a path.")
    if given or body.get("forceGenericPatch"):
        return operations, {(name,): names for name, names in given.items()}, False
    return operations, _TEMPLATES.get(model.name, {}), True


def _default(model: AspectModel, time_ms: int) -> dict[str, Any]:
    """Return what a patch of an absent aspect starts from: empty lists and an audit stamp."""
    blank: dict[str, Any] = {}
    for field in model.schema.fields:
        if field.has_default:
            continue
        if field.type.type == "array":
            blank[field.name] = []
        elif field.type.type == "map":
            blank[field.name] = {}
        elif isinstance(field.type, avro.RecordSchema) and field.type.name == "AuditStamp":
            blank[field.name] = {"time": time_ms, "actor": "urn:li:corpuser:__datahub_system"}
    return blank


def _make_way(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    """Create the objects that lead to the place of an operation, and for remove that place.

    JSON Patch refuses a path that is not there; DataHub lets clients name any.
    """
    *leading, last = jsonpointer.JsonPointer(operation["path"]).parts
    steps = [*leading, last] if operation["op"] == "remove" else leading
    place: Any = document
    for step in steps:
        if not isinstance(place, dict):
            return
        place = place.setdefault(step, {})


def _holders(value: Any, path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the objects that hold the list at ``path``."""
    step, *rest = path
    if not rest:
        if isinstance(value, dict):
            yield value
    elif step == "*":
        items = value.values() if isinstance(value, dict) else value
        for item in items if isinstance(items, list) or isinstance(value, dict) else ():
            yield from _holders(item, tuple(rest))
    elif isinstance(value, dict) and step in value:
        yield from _holders(value[step], tuple(rest))


def _nest(items: Any, fields: Sequence[str], where: str) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for item in _listed(items, where):
        if not fields:
            nested[str(item)] = item
            continue
        if not isinstance(item, dict):
            raise InvalidInput(f"arrayPrimaryKeys names fields of {where}, whose items have none.")
        place = nested
        for field in fields:
            place = place.setdefault(_key(item, field), {})
        place.update(item)
    return nested


def _listed(items: Any, where: str) -> list[Any]:
    if items is None:
        return []
    if not isinstance(items, list):
        raise InvalidInput(f"arrayPrimaryKeys names {where}, which is no list.")
    return items


def _key(item: Any, field: str) -> str:
    for name in field.split(_NESTING):
        item = item.get(name) if isinstance(item, dict) else None
    return "" if item is None else str(item)


def _flatten(nested: Any, fields: Sequence[str]) -> Iterator[Any]:
    if not fields:
        yield from nested.values()
        return
    field, *rest = fields
    for key, value in nested.items():
        if isinstance(value, list):
            items = value
        elif rest:
            items = list(_flatten(value, rest))
        else:
            items = [value]
        for item in items:
            # A key that only the path named is part of the item all the same.
            if isinstance(item, dict) and key and _NESTING not in field:
                item.setdefault(field, key)
            yield item
