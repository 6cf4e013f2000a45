"""Bodies, headers and errors, as DataHub's REST APIs shape them."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from dataspoke.errors import (
    Conflict,
    DataSpokeError,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
)

_STATUS: dict[type[DataSpokeError], int] = {
    InvalidInput: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    # DataHub calls a CREATE of what exists a failed precondition.
    Conflict: 412,
}


class NotJson(InvalidInput):
    """The body of a request is no JSON object or list."""


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response; None stands for an empty body."""
    body = b"" if content is None else orjson.dumps(content)
    return Response(body, status, headers, "application/json")


async def read_json(request: Request) -> Any:
    """Return the body; raises NotJson where it is no JSON object."""
    body = await _decoded(request)
    if not isinstance(body, dict):
        raise NotJson("The body of the request must be a JSON object.")
    return body


async def read_json_list(request: Request) -> list[Any]:
    """Return the body; raises NotJson where it is no JSON list."""
    body = await _decoded(request)
    if not isinstance(body, list):
        raise NotJson("The body of the request must be a JSON list.")
    return body


async def _decoded(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise NotJson(f"The body of the request is not JSON: {error}.") from error


def whole_number(asked: Mapping[str, str], name: str, default: int) -> int:
    """Return a parameter of the query that counts something; raises InvalidInput."""
    text = asked.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()):
        raise InvalidInput(f"{name} must be a whole number from 0 on, not {text!r}.")
    return int(text)


async def render_error(_: Request, error: Exception) -> Response:
    """Return an expected error in the shape that DataHub's clients read their messages from."""
    assert isinstance(error, DataSpokeError)  # noqa: S101  registered for these only
    status = 400 if isinstance(error, NotJson) else _STATUS.get(type(error), 500)
    return answer(
        {
            "exceptionClass": f"dataspoke.{type(error).__name__}",
            "message": error.public_message,
            "error": error.public_message,
            "status": status,
        },
        status,
    )


def tracing() -> dict[str, str]:
    """Return the header by which DataHub's SDK asks later whether a write has arrived.

    The trace id starts with the time in microseconds, which the SDK reads.
    """
    trace = f"{time.time_ns() // 1000:016x}{secrets.token_hex(8)}"
    return {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
