"""Streamable HTTP: ``/mcp`` for those who bring a token, ``/livez`` and ``/readyz``."""

import re
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dataspoke.mcp.gateway import Gateway
from dataspoke.mcp.server import create_server
from dataspoke.settings import McpSettings

PATH = "/mcp"

_MAX_BODY_BYTES = 1_000_000
_MAX_CONNECTIONS = 200
_SHUTDOWN_GRACE_S = 10
# RFC 6750; nothing else can stand in a header that is passed on.
_BEARER = re.compile(r"bearer +[A-Za-z0-9\-._~+/]+=* *", re.IGNORECASE)


def create_gateway(settings: McpSettings) -> Gateway:
    """Return the gateway that the application is to ask."""
    return Gateway(
        str(settings.gateway_url),
        remedy="Send another access token of DataHub in the header Authorization.",
        unreachable="Try again later.",
    )


def create_app(gateway: Gateway, settings: McpSettings) -> Starlette:
    """Return the application.

    Each request is answered by itself, in the name of the token that it brings: there are no
    sessions, so that none can be taken over, and any number of processes can serve.
    """
    server = create_server(gateway, _authorization)

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        if await gateway.ready():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "component": "gateway"}, 503)

    server.custom_route("/livez", methods=["GET"])(live)
    server.custom_route("/readyz", methods=["GET"])(ready)
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=_MAX_BODY_BYTES,
        # Agents send no Origin: whatever has one is a page of somebody else's.
        transport_security=TransportSecuritySettings(allowed_hosts=list(settings.allowed_hosts)),
    )
    app.add_middleware(_Admission)
    app.router.redirect_slashes = False
    return app


def server_config(app: Starlette, settings: McpSettings) -> uvicorn.Config:
    """Return how uvicorn is to serve the application."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_GRACE_S,
    )


def _authorization(context: Context[Any, Any]) -> str:
    return (context.headers or {}).get("authorization", "")


class _Admission:
    """Refuses what brings no bearer token, before anything is read, and all methods but POST.

    GET would open a stream of what a server says by itself, and this one never does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            authorization = Request(scope).headers.get("authorization", "")
            if not _BEARER.fullmatch(authorization):
                await _refusal(given=bool(authorization))(scope, receive, send)
                return
            if scope["method"] != "POST":
                await Response(status_code=405, headers={"allow": "POST"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(*, given: bool) -> Response:
    message = (
        "Authorization cannot be used: write it as Bearer TOKEN, with an access token of DataHub."
        if given
        else "There is no token: send the header Authorization: Bearer TOKEN with each request, "
        "with an access token of DataHub. This server has none of its own."
    )
    # As JSON-RPC says it, for clients that read the body.
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": message}}
    return JSONResponse(body, 401, {"www-authenticate": "Bearer"})
