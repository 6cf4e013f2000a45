"""GraphQL over HTTP: one operation by POST, answered as JSON or as a stream of events."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from graphql import GraphQLError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from dataspoke.errors import Unauthenticated
from dataspoke.resolvers.context import Context
from dataspoke.resolvers.services import Services
from dataspoke.schema.build import SubgraphSchema
from dataspoke.settings import SubgraphSettings
from dataspoke.subgraph import errors
from dataspoke.subgraph.auth import Caller, Identify, require_gateway

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
EVENTS = "text/event-stream"

_SINGLE = frozenset({OperationType.QUERY, OperationType.MUTATION})
_PING = timedelta(seconds=12)
# https://www.w3.org/TR/trace-context/, version 00.
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Refused(Exception):
    """A request that is not executed: an HTTP status, a code, and a message that says the fix."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request asks for."""

    query: str
    variables: dict[str, Any] | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the client reads. ``best`` is what it prefers of what there is."""

    best: str
    events: bool


class HttpEndpoint:
    """Answers requests to ``/graphql``.

    Streams follow graphql-sse in its distinct connections mode. Statuses follow the
    GraphQL-over-HTTP specification: with its own media type a request that was not executed has a
    status of 4xx and no ``data``.
    """

    def __init__(
        self,
        schema: SubgraphSchema,
        services: Services,
        identify: Identify,
        settings: SubgraphSettings,
        identity_check: timedelta,
    ) -> None:
        self._schema = schema
        self._services = services
        self._identify = identify
        self._settings = settings
        self._identity_check = identity_check

    async def __call__(self, request: Request) -> Response:
        media_type = JSON
        try:
            try:
                require_gateway(request.headers, self._settings.gateway_secret)
            except Unauthenticated as error:
                raise Refused(401, error.code, error.public_message) from None
            accepted = negotiate(request.headers.get("accept"))
            media_type = JSON if accepted.best == EVENTS else accepted.best
            operation = await self._read(request)
            if accepted.best == EVENTS:
                return self._stream(request, operation)
            return await self._answer(request, operation, accepted)
        except Refused as refused:
            return refusal(refused, media_type)
        except Exception as error:
            # Left to the server, it would be logged with the values in its message.
            message = errors.masked(errors.report(error))
            return refusal(Refused(500, errors.INTERNAL, message), media_type)

    async def _read(self, request: Request) -> Operation:
        media_type, _, parameters = request.headers.get("content-type", "").partition(";")
        charset = parameters.strip().lower()
        if media_type.strip().lower() != JSON or charset not in ("", "charset=utf-8"):
            raise Refused(
                415, errors.BAD_REQUEST, f"Send the request with Content-Type: {JSON}, in UTF-8."
            )
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, errors.BAD_REQUEST, "Send the body without a Content-Encoding.")
        limit = self._settings.max_body_bytes
        length = request.headers.get("content-length", "")
        body = bytearray()
        if not length.isdecimal() or int(length) <= limit:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return parse_operation(bytes(body))
        raise Refused(
            413,
            errors.LIMIT_EXCEEDED,
            f"The body is larger than {limit:,} bytes; send fewer variables or ask in parts.",
        )

    async def _answer(self, request: Request, operation: Operation, accepted: Accepted) -> Response:
        try:
            result = await self._schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=self._context(request, one_request=True),
                operation_name=operation.name,
                allowed_operation_types=_SINGLE,
            )
        except InvalidOperationTypeError as error:
            if accepted.events:
                return self._stream(request, operation)
            raise Refused(406, errors.BAD_REQUEST, errors.unknown_operation(error)) from None
        except CannotGetOperationTypeError as error:
            raise Refused(400, errors.BAD_REQUEST, errors.unknown_operation(error)) from None
        return Response(
            orjson.dumps(payload(result)),
            status_code=_status(result) if accepted.best == GRAPHQL else 200,
            media_type=accepted.best,
        )

    def _stream(self, request: Request, operation: Operation) -> Response:
        context = self._context(request, one_request=False)

        async def events() -> AsyncIterator[ServerSentEvent]:
            results = await self._schema.stream(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
            )
            async with aclosing(results):
                async for result in results:
                    if not isinstance(result, ExecutionResult):
                        raise TypeError("incremental delivery is not switched on")
                    data = orjson.dumps(payload(result)).decode()
                    yield ServerSentEvent(data, event="next", sep="\n")
            # Browsers drop an event without data.
            yield ServerSentEvent("", event="complete", sep="\n")

        return EventSourceResponse(
            events(),
            ping=_PING.total_seconds(),
            ping_message_factory=lambda: ServerSentEvent(comment="", sep="\n"),
        )

    def _context(self, request: Request, *, one_request: bool) -> Context:
        return Context(
            services=self._services,
            identify=Caller(self._identify, request.headers.get("authorization")),
            one_request=one_request,
            identity_check=self._identity_check,
            traceparent=_traceparent(request.headers),
        )


def _traceparent(headers: Mapping[str, str]) -> str | None:
    """Return the trace context as W3C writes it; None where it is malformed, as W3C asks."""
    given = headers.get("traceparent", "")
    return given if _TRACEPARENT.fullmatch(given) else None


def refusal(refused: Refused, media_type: str = JSON) -> Response:
    """Return the response to a request that is not executed."""
    error = {"message": refused.message, "extensions": {"code": refused.code}}
    headers = {"WWW-Authenticate": "DataSpokeGateway"} if refused.status == 401 else None
    return Response(
        orjson.dumps({"errors": [error]}),
        status_code=refused.status,
        media_type=media_type,
        headers=headers,
    )


def payload(result: ExecutionResult) -> dict[str, Any]:
    """Return a result as it is sent; ``data`` is absent where nothing was executed."""
    body: dict[str, Any] = {}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if not _is_request_error(result):
        body["data"] = result.data
    return body


def parse_operation(body: bytes) -> Operation:
    """Return the operation in a body of JSON; raises Refused where there is not exactly one."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, errors.BAD_REQUEST, f"The body is not JSON: {error}.") from None
    if isinstance(request, list):
        raise Refused(400, errors.BAD_REQUEST, "Send one operation in a request, not a list.")
    if not isinstance(request, dict):
        raise Refused(400, errors.BAD_REQUEST, "The body must be a JSON object with a query.")
    return operation_of(request)


def operation_of(request: Mapping[str, Any]) -> Operation:
    """Return the operation that a JSON object describes; raises Refused."""
    query = request.get("query")
    if not isinstance(query, str) or not query:
        raise Refused(
            400, errors.BAD_REQUEST, "query is missing; send a GraphQL document, a string."
        )
    variables = request.get("variables")
    if not isinstance(variables, dict | None):
        raise Refused(400, errors.BAD_REQUEST, "variables must be an object or null.")
    name = request.get("operationName")
    if not isinstance(name, str | None):
        raise Refused(400, errors.BAD_REQUEST, "operationName must be a string or null.")
    if not isinstance(request.get("extensions"), dict | None):
        raise Refused(400, errors.BAD_REQUEST, "extensions must be an object or null.")
    return Operation(query, variables, name)


def negotiate(accept: str | None) -> Accepted:
    """Return what to answer with; raises Refused where the client reads nothing of what there is.

    Of what a client likes equally, the first it names is taken, and application/json where it
    names none. A stream is sent only to those who name it.
    """
    qualities = _qualities(accept) if accept and accept.strip() else {"*/*": 1.0}
    named = list(qualities)
    offers = []
    for media_type in (JSON, GRAPHQL, EVENTS):
        ranges = [media_type]
        if media_type != EVENTS:
            ranges += ["application/*", "*/*"]
        match = next((one for one in ranges if one in qualities), None)
        if match is not None and qualities[match] > 0:
            offers.append((-qualities[match], named.index(match), media_type))
    if not offers:
        raise Refused(
            406, errors.BAD_REQUEST, f"Accept {GRAPHQL}, {JSON}, or {EVENTS} for subscriptions."
        )
    best = min(offers, key=lambda offer: offer[:2])[2]
    return Accepted(best, events=any(offer[2] == EVENTS for offer in offers))


def _qualities(accept: str) -> dict[str, float]:
    """Return how much a client likes each media range that it names, 0 to 1, in its order."""
    qualities: dict[str, float] = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        qualities.setdefault(media_range, quality)
    return qualities


def _is_request_error(result: ExecutionResult) -> bool:
    """Tell whether nothing was executed: document, variables or a limit stood against it."""
    return isinstance(result, PreExecutionError) or (
        result.data is None and all(error.path is None for error in result.errors or ())
    )


def _status(result: ExecutionResult) -> int:
    if not _is_request_error(result):
        return 200
    codes = {_code(error) for error in result.errors or ()}
    if errors.INTERNAL in codes:
        return 500
    return 504 if errors.TIMEOUT in codes else 400


def _code(error: GraphQLError) -> object:
    return (error.extensions or {}).get("code")
