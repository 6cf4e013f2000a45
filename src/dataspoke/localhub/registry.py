"""The schema registry that DataHub serves for its Kafka topics: Confluent's API, reading only."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dataspoke.errors import NotFound
from dataspoke.localhub.answers import answer
from dataspoke.localhub.records import Topic

_ROOT = "/schema-registry/api"

# Topic → the schema of its values, and the ids of its versions, oldest first.
_TOPICS: Mapping[str, tuple[str, Sequence[int]]] = {
    "MetadataChangeProposal_v1": ("MetadataChangeProposal", [1]),
    Topic.VERSIONED: ("MetadataChangeLog", [2, 6]),
    Topic.TIMESERIES: ("MetadataChangeLog", [3, 7]),
    "PlatformEvent_v1": ("PlatformEvent", [4]),
    "MetadataChangeEvent_v4": ("MetadataChangeEvent", [5]),
}
_SUBJECTS = [f"{topic}-value" for topic in _TOPICS]
# What releases of DataHub added to a type; a topic holds both shapes for as long as it keeps them.
_ADDED: Mapping[str, set[str]] = {
    "MetadataChangeLog": {"headers"},
    "SystemMetadata": {"version", "schemaVersion"},
}


def create_registry_routes() -> list[Route]:
    """Return the routes under ``/schema-registry/api``; as in DataHub they ask for no token."""
    return [
        Route(f"{_ROOT}/subjects", _subjects),
        Route(f"{_ROOT}/subjects/{{subject}}/versions", _versions),
        Route(f"{_ROOT}/subjects/{{subject}}/versions/{{version}}", _version),
        Route(f"{_ROOT}/schemas/ids/{{id:int}}", _by_id),
        Route(f"{_ROOT}/config", _config),
    ]


def schema_ids(topic: str) -> Sequence[int]:
    """Return the ids of the schemas that a topic's values may have, oldest first."""
    return _TOPICS[topic][1]


@cache
def schema_of(schema_id: int) -> str:
    """Return the Avro schema of this id; raises NotFound where there is none."""
    for name, ids in _TOPICS.values():
        if schema_id in ids:
            text = (files("datahub.metadata.schemas") / f"{name}.avsc").read_text()
            return text if schema_id == ids[-1] else json.dumps(_before(json.loads(text)))
    raise NotFound(f"Schema {schema_id} not found.")


def _before(schema: Any) -> Any:
    """Return a schema as it was before the additions."""
    if isinstance(schema, list):
        return [_before(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    added = _ADDED.get(schema.get("name", ""), set())
    kept = {
        **schema,
        "fields": [field for field in schema.get("fields", ()) if field["name"] not in added],
    }
    return {key: _before(value) for key, value in kept.items() if key in schema}


async def _subjects(_: Request) -> Response:
    return answer(_SUBJECTS)


async def _versions(request: Request) -> Response:
    return answer([n + 1 for n in range(len(_ids_of(request.path_params["subject"])))])


async def _version(request: Request) -> Response:
    subject, version = request.path_params["subject"], request.path_params["version"]
    ids = _ids_of(subject)
    number = len(ids) if version == "latest" else int(version) if version.isdecimal() else 0
    if not 1 <= number <= len(ids):
        raise NotFound(f"Version {version} of {subject} not found.")
    schema_id = ids[number - 1]
    return answer(
        {"subject": subject, "version": number, "id": schema_id, "schema": schema_of(schema_id)}
    )


async def _by_id(request: Request) -> Response:
    return answer({"schema": schema_of(request.path_params["id"])})


async def _config(_: Request) -> Response:
    return answer({"compatibilityLevel": "NONE"})


def _ids_of(subject: str) -> Sequence[int]:
    if subject not in _SUBJECTS:
        raise NotFound(f"Subject {subject!r} not found.")
    return schema_ids(subject.removesuffix("-value"))
