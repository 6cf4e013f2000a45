"""The OpenAPI calls of DataHub's SDK: entities, relationships, specifications and traces."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dataspoke.errors import InvalidInput, NotFound
from dataspoke.localhub.access import Access, User
from dataspoke.localhub.answers import answer, read_json, read_json_list, tracing, whole_number
from dataspoke.localhub.models import (
    EntityModel,
    aspect_model,
    entity_model,
    entity_models,
    entity_of,
)
from dataspoke.localhub.proposals import Change, Proposal, headers, system_metadata
from dataspoke.localhub.records import Edge, StoredAspect
from dataspoke.localhub.storage import Storage

_V3 = "/openapi/v3/entity"

Item = TypeVar("Item")


def create_openapi_routes(storage: Storage, access: Access) -> list[Route]:
    """Return the routes under ``/openapi`` except the events."""
    openapi = _OpenApi(storage, access)
    return [
        Route(f"{_V3}/scroll", openapi.scroll, methods=["POST"]),
        Route(f"{_V3}/{{type}}/batchGet", openapi.batch_get, methods=["POST"]),
        Route(f"{_V3}/{{type}}", openapi.write, methods=["POST"]),
        Route(f"{_V3}/{{type}}", openapi.patch, methods=["PATCH"]),
        Route(f"{_V3}/{{type}}/{{urn:path}}", openapi.get, methods=["GET"]),
        Route(f"{_V3}/{{type}}/{{urn:path}}", openapi.delete, methods=["DELETE"]),
        Route("/openapi/v3/relationship/scroll", openapi.scroll_relationships, methods=["POST"]),
        Route("/openapi/relationships/v1/", openapi.relationships, methods=["GET"]),
        Route(
            "/openapi/v1/registry/models/entity/specifications",
            openapi.specifications,
            methods=["GET"],
        ),
        Route("/openapi/v1/trace/write/{trace}", openapi.trace, methods=["POST"]),
    ]


class _OpenApi:
    def __init__(self, storage: Storage, access: Access) -> None:
        self._storage = storage
        self._access = access

    async def write(self, request: Request) -> Response:
        asked = request.query_params
        change = Change.UPSERT
        if asked.get("createIfEntityNotExists") == "true":
            change = Change.CREATE_ENTITY
        elif asked.get("createIfNotExists") == "true":
            change = Change.CREATE
        return await self._write(request, change)

    async def patch(self, request: Request) -> Response:
        return await self._write(request, Change.PATCH)

    async def _write(self, request: Request, change: Change) -> Response:
        user = self._access.editor(request)
        entity = entity_model(request.path_params["type"])
        proposals = [
            proposal
            for item in await read_json_list(request)
            for proposal in _proposals(entity, item, change)
        ]
        for proposal in proposals:
            self._access.require_visible(user, proposal.urn)
        await run_in_threadpool(self._storage.write, proposals, user.urn)
        written: dict[str, set[str]] = {}
        for proposal in proposals:
            written.setdefault(proposal.urn, set()).add(proposal.aspect)
        stored = await run_in_threadpool(self._storage.aspects, written)
        body = [
            _entity(
                urn,
                {name: found for name, found in stored.get(urn, {}).items() if name in names},
                _asks_metadata(request),
            )
            for urn, names in written.items()
        ]
        return answer(body, headers=tracing())

    async def get(self, request: Request) -> Response:
        user, urn = self._access.user(request), request.path_params["urn"]
        entity = self._entity_of(request, user, urn)
        names = request.query_params.getlist("aspects") or None
        for name in names or ():
            aspect_model(entity, name)
        stored = await run_in_threadpool(self._storage.aspects, [urn], names)
        if urn not in stored:
            raise NotFound(f"{urn} does not exist, or has none of these aspects.")
        return answer(_entity(urn, stored[urn], _asks_metadata(request)))

    async def delete(self, request: Request) -> Response:
        user, urn = self._access.editor(request), request.path_params["urn"]
        entity = self._entity_of(request, user, urn)
        names = request.query_params.getlist("aspects")
        if names:
            proposals = [
                Proposal(urn, aspect_model(entity, name).name, None, Change.DELETE)
                for name in names
            ]
            await run_in_threadpool(self._storage.write, proposals, user.urn)
        else:
            await run_in_threadpool(self._storage.delete, urn, user.urn)
        return answer(None)

    async def batch_get(self, request: Request) -> Response:
        user = self._access.user(request)
        entity = entity_model(request.path_params["type"])
        wanted: dict[str, set[str]] = {}
        for item in await read_json_list(request):
            urn = _urn(entity, item)
            wanted[urn] = {aspect_model(entity, name).name for name in item if name != "urn"}
        stored = await run_in_threadpool(
            self._storage.aspects, [urn for urn in wanted if user.may_see(urn)]
        )
        body = [
            _entity(
                urn,
                {name: found for name, found in stored[urn].items() if not names or name in names},
                _asks_metadata(request),
            )
            for urn, names in wanted.items()
            if urn in stored
        ]
        return answer(body)

    async def scroll(self, request: Request) -> Response:
        user, asked = self._access.user(request), request.query_params
        body = await read_json(request)
        if asked.get("query", "*") != "*" or body.get("filter"):
            raise InvalidInput("The stand-in hub scrolls by entity type only; search by GraphQL.")
        types = body.get("entities") or sorted(entity_models())
        with_removed = asked.get("includeSoftDelete") == "true"

        def known() -> list[str]:
            found = (self._storage.urns(entity_model(name).name, with_removed=with_removed)
                     for name in types)  # fmt: skip
            return sorted(urn for urns in found for urn in urns if user.may_see(urn))

        urns = await run_in_threadpool(known)
        page, scroll_id = _page(urns, asked)
        # No list of aspects asks for the urns alone, an empty one for all aspects.
        aspects: Mapping[str, Mapping[str, StoredAspect]] = {}
        if (names := body.get("aspects")) is not None:
            aspects = await run_in_threadpool(self._storage.aspects, page, names or None)
        entities = [_entity(urn, aspects.get(urn, {}), _asks_metadata(request)) for urn in page]
        return answer({"scrollId": scroll_id, "entities": entities, "totalCount": len(urns)})

    async def relationships(self, request: Request) -> Response:
        user, asked = self._access.user(request), request.query_params
        urn = asked.get("urn", "")
        self._access.require_visible(user, urn)
        entity_of(urn)
        incoming = _direction(asked.get("direction")) == "INCOMING"
        read = self._storage.incoming if incoming else self._storage.outgoing
        edges = await run_in_threadpool(read, [urn], asked.getlist("relationshipTypes") or None)
        related = sorted(
            {(edge.source if incoming else edge.destination, edge.name) for edge in edges}
        )
        visible = [(other, name) for other, name in related if user.may_see(other)]
        start = whole_number(asked, "start", 0)
        page = visible[start : start + whole_number(asked, "count", 200)]
        return answer(
            {
                "start": start,
                "count": len(page),
                "total": len(visible),
                "entities": [{"urn": other, "relationshipType": name} for other, name in page],
            }
        )

    async def scroll_relationships(self, request: Request) -> Response:
        user, asked = self._access.user(request), request.query_params
        body = await read_json(request)
        sources = _filtered_urns(body.get("sourceFilter"))
        destinations = _filtered_urns(body.get("destinationFilter"))
        names = asked.getlist("relationshipTypes") or None
        if sources is not None:
            edges = await run_in_threadpool(self._storage.outgoing, sources, names)
        elif destinations is not None:
            edges = await run_in_threadpool(self._storage.incoming, destinations, names)
        else:
            edges = await run_in_threadpool(self._storage.edges, names)
        source_types = set(asked.getlist("sourceTypes"))
        destination_types = set(asked.getlist("destinationTypes"))
        kept = sorted(
            edge
            for edge in edges
            if (destinations is None or edge.destination in destinations)
            and (not source_types or _type(edge.source) in source_types)
            and (not destination_types or _type(edge.destination) in destination_types)
            and user.may_see(edge.source)
            and user.may_see(edge.destination)
        )
        page, scroll_id = _page(kept, asked)
        return answer({"scrollId": scroll_id, "results": [_relationship(edge) for edge in page]})

    async def specifications(self, request: Request) -> Response:
        self._access.user(request)
        models = sorted(entity_models().values(), key=lambda model: model.name)
        start = whole_number(request.query_params, "start", 0)
        page = models[start : start + whole_number(request.query_params, "count", 20)]
        elements = [
            {
                "name": model.name,
                "keyAspectName": model.key_aspect,
                "aspectSpecs": [
                    {"aspectAnnotation": {"name": name}} for name in sorted(model.aspects)
                ],
            }
            for model in page
        ]
        total = len(models)
        return answer({"start": start, "count": len(page), "total": total, "elements": elements})

    async def trace(self, request: Request) -> Response:
        self._access.user(request)
        asked = await read_json(request)
        # A write is either refused or everywhere when it is answered; a trace has nothing to add.
        arrived = {"writeStatus": "ACTIVE_STATE"}
        status = {"success": True, "primaryStorage": arrived, "searchStorage": arrived}
        return answer({urn: dict.fromkeys(names, status) for urn, names in asked.items()})

    def _entity_of(self, request: Request, user: User, urn: str) -> EntityModel:
        entity = entity_of(urn)
        if entity.name != request.path_params["type"]:
            raise InvalidInput(f"{urn} is no {request.path_params['type']}.")
        self._access.require_visible(user, urn)
        return entity


def _proposals(entity: EntityModel, item: Any, change: Change) -> Iterable[Proposal]:
    urn = _urn(entity, item)
    for name, aspect in item.items():
        if name == "urn":
            continue
        if not isinstance(aspect, dict) or "value" not in aspect:
            raise InvalidInput(f"{name} of {urn} must be an object with a 'value'.")
        yield Proposal(
            urn,
            name,
            aspect["value"],
            change,
            system_metadata(aspect.get("systemMetadata")),
            headers(aspect.get("headers")),
        )


def _urn(entity: EntityModel, item: Any) -> str:
    urn = item.get("urn") if isinstance(item, dict) else None
    if not isinstance(urn, str):
        raise InvalidInput("Each entity must be an object with its 'urn'.")
    if entity_of(urn) != entity:
        raise InvalidInput(f"{urn} is no {entity.name}.")
    return urn


def _entity(urn: str, aspects: Mapping[str, StoredAspect], with_metadata: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"urn": urn}
    for name, stored in aspects.items():
        body[name] = {"value": stored.value}
        if with_metadata:
            body[name]["systemMetadata"] = stored.system_metadata
    return body


def _relationship(edge: Edge) -> dict[str, Any]:
    return {
        "relationshipType": edge.name,
        "source": {"urn": edge.source, "entityType": _type(edge.source)},
        "destination": {"urn": edge.destination, "entityType": _type(edge.destination)},
    }


def _type(urn: str) -> str:
    return urn.split(":", 3)[2]


def _asks_metadata(request: Request) -> bool:
    return request.query_params.get("systemMetadata") == "true"


def _direction(text: str | None) -> str:
    if text not in ("INCOMING", "OUTGOING"):
        raise InvalidInput(f"direction must be INCOMING or OUTGOING, not {text!r}.")
    return text


def _filtered_urns(condition: Any) -> set[str] | None:
    """Return the urns a filter asks for; None for no filter. It takes urns only."""
    if condition is None:
        return None
    try:
        rules = [rule for clause in condition["and"] for rule in clause["criteria"]]
        if rules and all(rule["field"] == "urn" for rule in rules):
            return {urn for rule in rules for urn in rule["values"]}
    except (KeyError, TypeError):
        pass
    raise InvalidInput("The stand-in hub filters relationships by urn only.")


def _page(items: list[Item], asked: Mapping[str, str]) -> tuple[list[Item], str | None]:
    start, count = whole_number(asked, "scrollId", 0), whole_number(asked, "count", 10)
    end = start + count
    return items[start:end], str(end) if end < len(items) else None
