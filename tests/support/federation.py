"""Both sides of the gateway: the stand-in hub, and DataSpoke's subgraph that works in memory."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dataspoke.localhub.access import Role, User
from dataspoke.localhub.proposals import Proposal
from dataspoke.settings import SubgraphSettings
from tests.support.gateway import RunningGateway
from tests.support.hub import RunningHub, running_hub
from tests.support.serving import Served, serving
from tests.support.subgraph import EDITOR, SERVICE, VIEWER, Subgraph, urn

SECRET = "between-gateway-and-subgraph"
TABLES = tuple(f"orders_{number:02}" for number in range(12))
# One caller for each table, who sees all but that one.
CALLERS = tuple(f"caller-{number:02}" for number in range(len(TABLES)))


class OpenSockets:
    """Passes everything on to an application and counts the WebSockets that are open at it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        self.count += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.count -= 1


@dataclass(frozen=True, slots=True)
class Federation:
    """The two sides, with the same datasets and the same callers."""

    hub: RunningHub
    subgraph: Subgraph
    served: Served
    sockets: OpenSockets

    def hub_requests(self) -> int:
        """Return how many GraphQL operations the hub has executed, as it counts itself."""
        counted = httpx.get(f"{self.hub.url}/stand-in/requests", timeout=10).json()
        return int(counted["requests"])


@contextmanager
def running_federation() -> Iterator[Federation]:
    """Yield a hub and a subgraph with TABLES, of which the first fails its checks."""
    users = {
        SERVICE: User("urn:li:corpuser:dataspoke", Role.SERVICE),
        EDITOR: User("urn:li:corpuser:editor", Role.EDITOR),
        VIEWER: User("urn:li:corpuser:viewer", Role.VIEWER),
    }
    for caller, table in zip(CALLERS, TABLES, strict=True):
        users[caller] = User(f"urn:li:corpuser:{caller}", Role.VIEWER, hidden=(f"*{table}*",))
    subgraph = Subgraph(SubgraphSettings(gateway_secret=SECRET))  # type: ignore[arg-type]
    sockets = OpenSockets(subgraph.app)
    with running_hub(users=users) as hub, serving(sockets) as served:
        hub.storage.write(
            [
                Proposal(
                    urn(table),
                    "datasetProperties",
                    {"name": table, "description": f"DataHub on {table}."},
                )
                for table in TABLES
            ],
            "urn:li:corpuser:editor",
        )
        served.run(subgraph.put(*TABLES, failing=TABLES[:1]))
        for caller, table in zip(CALLERS, TABLES, strict=True):
            subgraph.hub.admit(caller, f"urn:li:corpuser:{caller}", rights={urn(table): None})
        yield Federation(hub, subgraph, served, sockets)


@dataclass(slots=True)
class HubInFront:
    """A hub in front of the real one, that can fail as DataHub does, and remembers what came.

    A batch of ``entities`` that holds one of ``poison`` fails as a whole. ``delay_s`` is how long
    an answer takes; ``status`` is what it answers instead, where it is set.
    """

    behind: str
    poison: set[str] = field(default_factory=set)
    delay_s: float = 0
    status: int | None = None
    seen: list[tuple[Mapping[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/api/graphql", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.seen.append((dict(request.headers), body))
        await asyncio.sleep(self.delay_s)
        if self.status is not None:
            return Response("<html>secret-host-7</html>", self.status)
        lists = [v for v in (body.get("variables") or {}).values() if isinstance(v, list)]
        if any(self.poison & set(urns) for urns in lists):
            error = {"message": "An unknown error occurred.", "path": ["_entities"]}
            return JSONResponse({"data": {"_entities": None}, "errors": [error]})
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{self.behind}/api/graphql",
                json=body,
                headers={"authorization": request.headers.get("authorization", "")},
            )
        return Response(answer.content, answer.status_code, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Unsteady:
    """A gateway in production whose sides come and go, each at its address."""

    gateway: RunningGateway
    hub: HubInFront
    federation: Federation
    hub_port: int
    subgraph_port: int

    @contextmanager
    def serving(self, *, hub: bool = True, subgraph: bool = True) -> Iterator[HubInFront]:
        """Serve the sides meanwhile, the hub without faults to begin with."""
        self.hub.poison.clear()
        self.hub.seen.clear()
        self.hub.delay_s, self.hub.status = 0, None
        with ExitStack() as stack:
            if hub:
                stack.enter_context(serving(self.hub.app, self.hub_port))
            if subgraph:
                stack.enter_context(serving(self.federation.subgraph.app, self.subgraph_port))
            yield self.hub
