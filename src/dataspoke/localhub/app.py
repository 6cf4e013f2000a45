"""The stand-in hub as an ASGI application."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dataspoke.errors import DataSpokeError
from dataspoke.localhub.access import Access, User
from dataspoke.localhub.answers import answer, render_error
from dataspoke.localhub.events import create_events_route
from dataspoke.localhub.graphql import create_graphql_routes
from dataspoke.localhub.openapi import create_openapi_routes
from dataspoke.localhub.registry import create_registry_routes
from dataspoke.localhub.rest import create_rest_routes
from dataspoke.localhub.storage import Storage

# A client tells by it that it does not speak to a DataHub.
SERVER_TYPE = "dataspoke-stand-in"
# The release whose models and calls are answered here; clients derive what they may send from it.
DATAHUB_VERSION = "v1.7.0.1"

_log = logging.getLogger(__name__)


def create_app(storage: Storage, users: Mapping[str, User]) -> Starlette:
    """Return the stand-in hub over ``storage``; ``users`` are its users by their bearer tokens.

    The storage stays open when the application ends; it is the caller's.
    """
    access = Access(users)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        _log.warning(
            "This is DataSpoke's stand-in for DataHub, for the demo and tests only. "
            "Point DataSpoke at a DataHub for anything else."
        )
        yield

    app = Starlette(
        routes=[
            Route("/config", _config),
            Route("/health", _health),
            *create_rest_routes(storage, access),
            *create_openapi_routes(storage, access),
            create_events_route(storage, access),
            *create_graphql_routes(storage, access),
            *create_registry_routes(),
        ],
        exception_handlers={DataSpokeError: render_error},
        lifespan=lifespan,
    )
    app.add_middleware(_StandInHeader)
    return app


async def _config(_: Request) -> Response:
    return answer(
        {
            "noCode": "true",
            "retention": "true",
            "patchCapable": True,
            "statefulIngestionCapable": True,
            "supportsImpactAnalysis": False,
            "timeZone": "UTC",
            "versions": {"acryldata/datahub": {"version": DATAHUB_VERSION}},
            # serverEnv says which edition's contract holds; anything but "core" means Cloud.
            "datahub": {"serverType": SERVER_TYPE, "serverEnv": "core"},
            "telemetry": {"enabledCli": False, "enabledIngestion": False},
            "managedIngestion": {"enabled": False},
        }
    )


async def _health(_: Request) -> Response:
    return answer({"status": "UP"})


class _StandInHeader:
    """Marks every answer as the stand-in's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-DataSpoke-Stand-In"] = "demo and tests only"
            await send(message)

        await self._app(scope, receive, marked)
