"""GraphQL over WebSockets, by the protocol graphql-transport-ws and no other."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.types.unset import UNSET

from dataspoke.errors import Unauthenticated
from dataspoke.resolvers.context import Context
from dataspoke.resolvers.services import Services
from dataspoke.schema.build import SubgraphSchema
from dataspoke.settings import SubgraphSettings
from dataspoke.subgraph import errors
from dataspoke.subgraph.auth import Caller, Identify, require_gateway
from dataspoke.subgraph.http import Refused, operation_of, refusal


@dataclass(slots=True, eq=False)
class SocketContext(Context):
    """The context of one connection; Strawberry puts what ``connection_init`` held into it."""

    connection_params: Any = None


class _Handler(BaseGraphQLTransportWSHandler[SocketContext, None]):
    async def handle_message(self, message: Any) -> None:
        problem = _problem(message)
        if problem is not None:
            await self.handle_invalid_message(problem)
            return
        await super().handle_message(message)

    async def handle_subscribe(self, message: Any) -> None:
        limit = self.max_subscriptions_per_connection or 0
        known = message["id"] in self.operations
        if self.connection_acknowledged and not known and len(self.operations) >= limit:
            error = GraphQLError(
                f"This connection runs {limit} operations, as many as one may; complete one, or "
                "open another connection.",
                extensions={"code": errors.LIMIT_EXCEEDED},
            )
            await self.send_message(
                {"id": message["id"], "type": "error", "payload": [error.formatted]}
            )
            return
        await super().handle_subscribe(message)

    async def handle_task_exception(self, error: Exception) -> None:
        errors.report(error)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        # The library closes the connection, with all that runs on it, for one bad document.
        return None


class SocketEndpoint(GraphQL[SocketContext, None]):
    """Serves connections to ``/graphql``.

    A connection that does not come from the gateway, or from a page of another origin, is refused
    before it is opened.
    """

    graphql_transport_ws_handler_class = _Handler

    def __init__(
        self,
        schema: SubgraphSchema,
        services: Services,
        identify: Identify,
        settings: SubgraphSettings,
        identity_check: timedelta,
        init_timeout: timedelta,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=init_timeout,
            max_subscriptions_per_connection=settings.max_subscriptions,
            allowed_origins=settings.allowed_origins,
        )
        self._services = services
        self._identify = identify
        self._secret = settings.gateway_secret
        self._identity_check = identity_check

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        try:
            require_gateway(socket.headers, self._secret)
        except Unauthenticated as error:
            await _deny(socket, Refused(401, error.code, error.public_message))
            return
        try:
            await self.run(socket)
        except Exception as error:
            # Left to the server, it would be logged with the values in its message.
            errors.report(error)
            with suppress(RuntimeError):
                await socket.close(1011, "Something went wrong inside DataSpoke")

    async def get_context(self, request: Any, response: Any) -> SocketContext:
        return SocketContext(
            services=self._services,
            identify=Caller(self._identify, request.headers.get("authorization")),
            one_request=False,
            identity_check=self._identity_check,
        )

    async def on_ws_connect(self, context: SocketContext) -> Any:
        """Take the token from the parameters, where they have one.

        Whether it is good shows with each operation, as the answer of that one.
        """
        if isinstance(context.connection_params, Mapping) and isinstance(context.identify, Caller):
            for name, value in context.connection_params.items():
                if name.lower() == "authorization" and isinstance(value, str):
                    context.identify.authorization = value
        return UNSET

    async def reject_websocket(self, request: WebSocket) -> WebSocket:
        origin = request.headers.get("origin")
        message = (
            f"Pages of {origin} may not connect; add it to DATASPOKE_SUBGRAPH__ALLOWED_ORIGINS."
        )
        await _deny(request, Refused(403, "FORBIDDEN", message))
        return request

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)


async def _deny(socket: WebSocket, refused: Refused) -> None:
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        response: Response = refusal(refused)
        await socket.send_denial_response(response)
    else:
        await socket.close(4000 + refused.status, refused.message)


def _problem(message: object) -> str | None:
    """Return why a message cannot be understood; the library trips over some that cannot."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return "A message must be an object with a type"
    if message["type"] not in ("subscribe", "complete"):
        return None
    if not isinstance(message.get("id"), str) or not message["id"]:
        return "The id of an operation must be a string"
    if message["type"] == "complete":
        return None
    try:
        operation_of(message["payload"] if isinstance(message.get("payload"), dict) else {})
    except Refused as refused:
        return refused.message
    return None
