"""The schema registry that DataHub serves for its Kafka topics: Confluent's API, reading only."""

from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dataspoke.errors import NotFound
from dataspoke.localhub.answers import answer

_ROOT = "/schema-registry/api"

# Topic → the schema of its values. A topic's schema id is its place here, counted from 1.
_TOPICS = {
    "MetadataChangeProposal_v1": "MetadataChangeProposal",
    "MetadataChangeLog_Versioned_v1": "MetadataChangeLog",
    "MetadataChangeLog_Timeseries_v1": "MetadataChangeLog",
    "PlatformEvent_v1": "PlatformEvent",
    "MetadataChangeEvent_v4": "MetadataChangeEvent",
}
_SUBJECTS = [f"{topic}-value" for topic in _TOPICS]


def create_registry_routes() -> list[Route]:
    """Return the routes under ``/schema-registry/api``; as in DataHub they ask for no token."""
    return [
        Route(f"{_ROOT}/subjects", _subjects),
        Route(f"{_ROOT}/subjects/{{subject}}/versions", _versions),
        Route(f"{_ROOT}/subjects/{{subject}}/versions/{{version}}", _version),
        Route(f"{_ROOT}/schemas/ids/{{id:int}}", _by_id),
        Route(f"{_ROOT}/config", _config),
    ]


@cache
def _schema(name: str) -> str:
    return (files("datahub.metadata.schemas") / f"{name}.avsc").read_text()


async def _subjects(_: Request) -> Response:
    return answer(_SUBJECTS)


async def _versions(request: Request) -> Response:
    _id_of(request.path_params["subject"])
    return answer([1])


async def _version(request: Request) -> Response:
    subject, version = request.path_params["subject"], request.path_params["version"]
    schema_id = _id_of(subject)
    if version not in ("1", "latest"):
        raise NotFound(f"Version {version} of {subject} not found.")
    schema = _schema(list(_TOPICS.values())[schema_id - 1])
    return answer({"subject": subject, "version": 1, "id": schema_id, "schema": schema})


async def _by_id(request: Request) -> Response:
    schema_id = request.path_params["id"]
    if not 1 <= schema_id <= len(_TOPICS):
        raise NotFound(f"Schema {schema_id} not found.")
    return answer({"schema": _schema(list(_TOPICS.values())[schema_id - 1])})


async def _config(_: Request) -> Response:
    return answer({"compatibilityLevel": "NONE"})


def _id_of(subject: str) -> int:
    if subject not in _SUBJECTS:
        raise NotFound(f"Subject {subject!r} not found.")
    return _SUBJECTS.index(subject) + 1
