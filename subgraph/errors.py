"""The one renderer of errors for GraphQL: what a caller is told, and what our log keeps."""

import logging
import traceback
from collections.abc import Iterator, Sequence
from uuid import uuid4

from graphql import FieldNode, GraphQLError, GraphQLSyntaxError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from dataspoke.errors import DataSpokeError, DependencyError, InvalidInput

_log = logging.getLogger(__name__)

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
TIMEOUT = "TIMEOUT"
BAD_REQUEST = "BAD_REQUEST"
INTERNAL = "INTERNAL"


def render(errors: Sequence[GraphQLError]) -> None:
    """Turn errors into what callers may read, in place: a message and ``extensions.code``.

    Errors of DataSpoke keep their public message, errors of the request itself their own. All
    else is masked: the caller is given a correlation id, under which the log keeps the types and
    the traceback, once for each exception, and no values.
    """
    ids: dict[int, str] = {}
    for error in errors:
        # What validation found is cached, and comes here again rendered.
        if error.extensions and "code" in error.extensions:
            continue
        cause = _cause(error)
        if cause is None and _is_of_the_request(error):
            error.message, _, _ = error.message.partition(" Did you mean")
            error.extensions = {"code": _request_code(error)}
            if _has_too_many_tokens(error):
                error.message += " Ask in parts."
                error.extensions = {"code": LIMIT_EXCEEDED}
        elif isinstance(cause, DataSpokeError):
            if isinstance(cause, DependencyError) and id(cause) not in ids:
                ids[id(cause)] = ""
                _log.warning("The %s failed: %s", cause.port, cause.public_message)
            error.message = cause.public_message
            error.extensions = {"code": cause.code}
        elif isinstance(cause, (CannotGetOperationTypeError, InvalidOperationTypeError)):
            error.message = unknown_operation(cause)
            error.extensions = {"code": BAD_REQUEST}
        else:
            failure = cause or error
            if id(failure) not in ids:
                ids[id(failure)] = report(failure)
            error.message = masked(ids[id(failure)])
            error.extensions = {"code": INTERNAL, "correlationId": ids[id(failure)]}


def report(error: BaseException) -> str:
    """Log an unexpected error without its message, which may hold values; return its id."""
    correlation_id = uuid4().hex
    _log.error("Unexpected error %s\n%s", correlation_id, "\n".join(_frames(error)))
    return correlation_id


def masked(correlation_id: str) -> str:
    """Return what callers are told of an unexpected error."""
    return f"Something went wrong inside DataSpoke. Its log says more under {correlation_id}."


def unknown_operation(error: CannotGetOperationTypeError | InvalidOperationTypeError) -> str:
    """Return why no operation of a document can run here."""
    if isinstance(error, InvalidOperationTypeError):
        return (
            "Subscriptions are streamed: send them over a WebSocket (graphql-transport-ws), or "
            "with Accept: text/event-stream."
        )
    if error.operation_name is None:
        return "The document holds no operation; send a query, mutation or subscription."
    return (
        f"The document holds no operation named {error.operation_name!r}; "
        "operationName must be one of those it holds."
    )


def _cause(error: GraphQLError) -> Exception | None:
    """Return what was raised, behind however many GraphQL errors around it."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _is_of_the_request(error: GraphQLError) -> bool:
    """Tell whether the request caused an error that GraphQL itself raised.

    Within an answer that is so for arguments only: a field that cannot be serialised is our fault.
    """
    return error.path is None or not (error.nodes and isinstance(error.nodes[0], FieldNode))


def _has_too_many_tokens(error: GraphQLError) -> bool:
    return isinstance(error, GraphQLSyntaxError) and "tokens. Parsing aborted" in error.message


def _request_code(error: GraphQLError) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return PARSE_FAILED
    if error.path is not None or error.message.startswith("Variable "):
        return InvalidInput.code
    return VALIDATION_FAILED


def _frames(error: BaseException) -> Iterator[str]:
    """Yield types and places of an error and of what caused it, the last raised first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield f"{type(link).__module__}.{type(link).__qualname__} raised at"
        yield "".join(traceback.format_tb(link.__traceback__)).rstrip()
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
