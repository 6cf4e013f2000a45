"""The ASGI application: ``/graphql``, ``/livez`` and ``/readyz``, and nothing else."""

from datetime import timedelta

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from strawberry.extensions import ValidationCache

from dataspoke.resolvers.services import Services
from dataspoke.schema.build import build_schema
from dataspoke.settings import SubgraphSettings
from dataspoke.status import ComponentState
from dataspoke.subgraph import errors
from dataspoke.subgraph.auth import Identify
from dataspoke.subgraph.http import JSON, HttpEndpoint, Refused, refusal
from dataspoke.subgraph.limits import limits
from dataspoke.subgraph.sockets import SocketEndpoint


def create_app(
    services: Services,
    identify: Identify,
    settings: SubgraphSettings,
    *,
    introspection: bool = False,
    identity_check: timedelta = timedelta(seconds=30),
    init_timeout: timedelta = timedelta(seconds=5),
) -> Starlette:
    """Return the application.

    ``identify`` returns whose token it is, and raises Unauthenticated (``Hub.actor``); live
    streams ask it again every ``identity_check``. A WebSocket has ``init_timeout`` to begin.
    Without ``introspection`` the schema is told only to who sends the gateway's secret, by
    ``_service``.
    """
    has_secret = bool(settings.gateway_secret.get_secret_value())
    schema = build_schema(
        max_representations=settings.max_representations,
        extensions=[
            ValidationCache,
            limits(settings, introspection=introspection, sdl=introspection or has_secret),
        ],
        on_errors=errors.render,
    )
    http = HttpEndpoint(schema, services, identify, settings, identity_check)
    sockets = SocketEndpoint(schema, services, identify, settings, identity_check, init_timeout)

    async def graphql(request: Request) -> Response:
        return await http(request)

    async def live(request: Request) -> Response:
        return Response(orjson.dumps({"status": "live"}), media_type=JSON)

    async def ready(request: Request) -> Response:
        component = await services.operations.ready()
        if component.state is ComponentState.REACHABLE:
            return Response(orjson.dumps({"status": "ready"}), media_type=JSON)
        reason = {"status": "not ready", "component": component.name, "reason": component.detail}
        return Response(orjson.dumps(reason), status_code=503, media_type=JSON)

    app = Starlette(
        routes=[
            # The bare address too: it is what scripts are given.
            *(Route(path, graphql, methods=["POST"]) for path in ("/graphql", "/")),
            *(WebSocketRoute(path, sockets.serve) for path in ("/graphql", "/")),
            Route("/livez", live),
            Route("/readyz", ready),
        ],
        exception_handlers={HTTPException: _not_served},
    )
    app.router.redirect_slashes = False
    return app


def server_config(app: Starlette, settings: SubgraphSettings) -> uvicorn.Config:
    """Return how uvicorn is to serve the application; messages are as large as bodies at most."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


async def _not_served(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = "There is nothing here; GraphQL is at /graphql."
    if status == 405:
        message = "Send GraphQL by POST; queries by GET are not answered."
    response = refusal(Refused(status, errors.BAD_REQUEST, message))
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    return response
