"""The Rest.li calls of DataHub's SDK and command line."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dataspoke.errors import InvalidInput, NotFound
from dataspoke.localhub.access import Access
from dataspoke.localhub.answers import answer, read_json, tracing, whole_number
from dataspoke.localhub.models import aspect_model, aspect_models, entity_model, entity_of, key_of
from dataspoke.localhub.proposals import Proposal, from_mce, from_mcp
from dataspoke.localhub.records import StoredAspect
from dataspoke.localhub.storage import Storage


def create_rest_routes(storage: Storage, access: Access) -> list[Route]:
    """Return the routes under ``/aspects``, ``/entities`` and ``/entitiesV2``."""
    rest = _Rest(storage, access)
    return [
        Route("/aspects", rest.aspects_action, methods=["POST"]),
        Route("/aspects/", rest.aspects_action, methods=["POST"]),
        Route("/aspects/{urn:path}", rest.get_aspect, methods=["GET"]),
        Route("/entities", rest.entities_action, methods=["POST"]),
        Route("/entities/", rest.entities_action, methods=["POST"]),
        Route("/entitiesV2/{urn:path}", rest.get_entity, methods=["GET"]),
    ]


class _Rest:
    def __init__(self, storage: Storage, access: Access) -> None:
        self._storage = storage
        self._access = access

    async def aspects_action(self, request: Request) -> Response:
        self._access.user(request)
        body = await read_json(request)
        match request.query_params.get("action"):
            case "ingestProposal":
                proposal = from_mcp(_object(body, "proposal"))
                await self._write(request, [proposal])
                return answer({"value": proposal.urn}, headers=tracing())
            case "ingestProposalBatch":
                proposals = [from_mcp(item) for item in _list(body, "proposals")]
                await self._write(request, proposals)
                return answer({"value": "success"}, headers=tracing())
            case "getTimeseriesAspectValues":
                return await self._timeseries(request, body)
            case action:
                raise _unknown_action("aspects", action)

    async def entities_action(self, request: Request) -> Response:
        self._access.user(request)
        body = await read_json(request)
        match request.query_params.get("action"):
            case "ingest":
                await self._write(request, from_mce(body))
                return answer(None)
            case "delete":
                return await self._delete(request, body)
            case "deleteReferences":
                return await self._delete_references(request, body)
            case "listUrns":
                return await self._list_urns(request, body)
            case action:
                raise _unknown_action("entities", action)

    async def get_aspect(self, request: Request) -> Response:
        user, urn = self._access.user(request), request.path_params["urn"]
        self._access.require_visible(user, urn)
        name = request.query_params.get("aspect", "")
        version = whole_number(request.query_params, "version", 0)
        model = aspect_model(entity_of(urn), name)
        found = await run_in_threadpool(self._storage.aspect, urn, name, version)
        if found is None:
            raise NotFound(f"{urn} has no aspect {name} of version {version}.")
        return answer(
            {
                "aspect": {model.restli_name: found.value},
                "version": version,
                "systemMetadata": found.system_metadata,
            }
        )

    async def get_entity(self, request: Request) -> Response:
        user, urn = self._access.user(request), request.path_params["urn"]
        self._access.require_visible(user, urn)
        entity = entity_of(urn)
        names = _restli_list(request.query_params.get("aspects"))
        for name in names or ():
            aspect_model(entity, name)
        stored = await run_in_threadpool(self._storage.aspects, [urn], names)
        aspects = {name: _envelope(found) for name, found in stored.get(urn, {}).items()}
        if not aspects and names is None:
            # DataHub answers for any urn: the key is read off the urn itself.
            key = {"name": entity.key_aspect, "type": "VERSIONED", "version": 0}
            aspects[entity.key_aspect] = {**key, "value": key_of(urn)}
        return answer({"urn": urn, "entityName": entity.name, "aspects": aspects})

    async def _write(self, request: Request, proposals: list[Proposal]) -> None:
        user = self._access.editor(request)
        for proposal in proposals:
            self._access.require_visible(user, proposal.urn)
        await run_in_threadpool(self._storage.write, proposals, user.urn)

    async def _delete(self, request: Request, body: Mapping[str, Any]) -> Response:
        user, urn = self._access.editor(request), _text(body, "urn")
        self._access.require_visible(user, urn)
        aspect = body.get("aspectName")
        if aspect is None:
            deleted = await run_in_threadpool(self._storage.delete, urn, user.urn)
            rows, points = deleted.aspects, deleted.points
        else:
            rows = 0
            points = await run_in_threadpool(
                self._storage.delete_points,
                urn,
                aspect,
                _count(body, "startTimeMillis"),
                _count(body, "endTimeMillis"),
                user.urn,
            )
        return answer({"value": {"urn": urn, "rows": rows, "timeseriesRows": points}})

    async def _delete_references(self, request: Request, body: Mapping[str, Any]) -> Response:
        user, urn = self._access.editor(request), _text(body, "urn")
        entity_of(urn)
        self._access.require_visible(user, urn)
        if body.get("dryRun"):
            edges = await run_in_threadpool(self._storage.incoming, [urn])
        else:
            edges = await run_in_threadpool(self._storage.delete_references, urn, user.urn)
        # The command line prints the values in this order.
        related = [
            {"relationship": edge.name, "entity": edge.source, "aspect": edge.aspect}
            for edge in edges
            if user.may_see(edge.source)
        ]
        return answer({"value": {"total": len(edges), "relatedAspects": related[:10]}})

    async def _list_urns(self, request: Request, body: Mapping[str, Any]) -> Response:
        user = self._access.user(request)
        entity = entity_model(_text(body, "entity"))
        start, count = _count(body, "start") or 0, _count(body, "count")
        known = await run_in_threadpool(self._storage.urns, entity.name)
        urns = [urn for urn in known if user.may_see(urn)]
        page = urns[start:][:count]
        value = {"start": start, "count": len(page), "total": len(urns), "entities": page}
        return answer({"value": value})

    async def _timeseries(self, request: Request, body: Mapping[str, Any]) -> Response:
        user, urn = self._access.user(request), _text(body, "urn")
        self._access.require_visible(user, urn)
        model = aspect_model(entity_of(urn), _text(body, "aspect"))
        limit = 1 if body.get("latestValue") else _count(body, "limit")
        points: list[StoredAspect] = []
        if user.may_see_profile(urn):
            found = await run_in_threadpool(
                self._storage.points,
                [urn],
                model.name,
                _count(body, "startTimeMillis"),
                _count(body, "endTimeMillis"),
            )
            points = [point for point in found.get(urn, []) if _matches(point, body.get("filter"))][
                :limit
            ]
        values = [
            {
                "aspect": {
                    "value": orjson.dumps(point.value).decode(),
                    "contentType": "application/json",
                },
                "systemMetadata": point.system_metadata,
            }
            for point in points
        ]
        value = {"entityName": entity_of(urn).name, "aspectName": model.name, "values": values}
        return answer({"value": {**value, "limit": limit or len(values)}})


def _envelope(stored: StoredAspect) -> dict[str, Any]:
    timeseries = aspect_models()[stored.aspect].timeseries
    return {
        "name": stored.aspect,
        "type": "TIMESERIES" if timeseries else "VERSIONED",
        "version": stored.version,
        "value": stored.value,
        "created": {"time": stored.created_ms, "actor": stored.actor},
        "systemMetadata": stored.system_metadata,
    }


def _matches(point: StoredAspect, condition: Any) -> bool:
    """Tell whether a point meets a filter: any of ``or``, of which all of ``and`` must hold."""
    if not condition:
        return True
    try:
        clauses = condition.get("or") or [{"and": condition.get("criteria") or []}]
        return any(all(_meets(point, rule) for rule in clause["and"]) for clause in clauses)
    except (AttributeError, KeyError, TypeError):
        raise InvalidInput("A filter must be {'or': [{'and': [{field, values}]}]}.") from None


def _meets(point: StoredAspect, rule: Mapping[str, Any]) -> bool:
    if rule.get("condition", "EQUAL") != "EQUAL" or rule.get("negated"):
        raise InvalidInput("The stand-in hub filters time series by EQUAL only.")
    value: Any = point.value
    for name in str(rule.get("field")).split("."):
        value = value.get(name) if isinstance(value, dict) else None
    wanted = rule.get("values") or [rule.get("value")]
    return value is not None and str(value) in {str(item) for item in wanted}


def _restli_list(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [name for name in text.removeprefix("List(").removesuffix(")").split(",") if name]


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise InvalidInput(f"The body lacks the object {name!r}.")
    return value


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list):
        raise InvalidInput(f"The body lacks the list {name!r}.")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise InvalidInput(f"The body lacks the string {name!r}.")
    return value


def _count(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or value < 0):
        raise InvalidInput(f"{name} must be a whole number from 0 on, not {value!r}.")
    return value


def _unknown_action(resource: str, action: str | None) -> InvalidInput:
    return InvalidInput(f"The stand-in hub has no action {action!r} on /{resource}.")
