"""What went wrong in a call to DataHub, whichever library made it, and whether to try again."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import httpx2
import requests
from gql.transport.exceptions import TransportProtocolError
from urllib3.exceptions import ReadTimeoutError

from dataspoke.adapters.retry_after import retry_after_s
from dataspoke.errors import (
    DataSpokeError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
    Unauthenticated,
)

# Overload, a proxy without its server, a restart, and DataHub's DATABASE_TRANSACTION_CONFLICT.
_PASSING = frozenset({429, 502, 503, 504})


class Kind(Enum):
    TIMED_OUT = auto()
    UNREACHABLE = auto()
    REFUSED = auto()
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call. ``status`` and ``retry_after_s`` are known only of an answer."""

    kind: Kind
    status: int | None = None
    retry_after_s: float | None = None

    @property
    def may_pass(self) -> bool:
        """Tell whether the same call may succeed a little later."""
        return self.kind in (Kind.TIMED_OUT, Kind.UNREACHABLE) or self.status in _PASSING


def failure_of(error: BaseException) -> Failure | None:
    """Return what an error of httpx2, requests, gql or the SDK means; None for any other error."""
    for cause in _causes(error):
        match cause:
            case httpx2.HTTPStatusError() | requests.HTTPError() if cause.response is not None:
                headers = cause.response.headers
                return Failure(
                    Kind.REFUSED,
                    cause.response.status_code,
                    retry_after_s(headers.get("retry-after")),
                )
            case TimeoutError() | httpx2.TimeoutException() | requests.Timeout():
                return Failure(Kind.TIMED_OUT)
            case json.JSONDecodeError() | TransportProtocolError() | httpx2.DecodingError():
                return Failure(Kind.UNREADABLE)
            case requests.ConnectionError() if _read_timed_out(cause):
                return Failure(Kind.TIMED_OUT)
            case httpx2.HTTPError() | requests.ConnectionError():
                return Failure(Kind.UNREACHABLE)
            case _:
                continue
    return None


def _read_timed_out(error: requests.ConnectionError) -> bool:
    # Where urllib3 counts tries, requests calls a slow answer a lost connection.
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, ReadTimeoutError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from; libraries wrap what their clients raise."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def translated(failure: Failure, timeout_s: float, own_token: bool) -> DataSpokeError:
    """Return the error to raise; ``own_token`` tells that DataSpoke asked for itself."""
    match failure.kind, failure.status:
        case Kind.TIMED_OUT, _:
            return DependencyTimeout("hub", f"DataHub did not answer within {timeout_s:g} s.")
        case Kind.UNREACHABLE, _:
            return DependencyUnavailable(
                "hub", "DataHub cannot be reached; look at DATASPOKE_HUB__URL."
            )
        case Kind.UNREADABLE, _:
            return DependencyRejected(
                "hub",
                "What answered is not DataHub's GMS; look at DATASPOKE_HUB__URL.",
            )
        case _, 401 if not own_token:
            return Unauthenticated("The hub does not accept this token.")
        case _, 401:
            return DependencyRejected(
                "hub",
                "DataHub does not accept DataSpoke's token (HTTP 401); set DATASPOKE_HUB__TOKEN.",
            )
        case _, 403:
            return DependencyRejected(
                "hub", "DataHub refused (HTTP 403): the account of the token lacks a privilege."
            )
        case _, int(status) if status == 429 or status >= 500:
            return DependencyUnavailable("hub", f"DataHub is overloaded or down (HTTP {status}).")
        case _, status:
            return DependencyRejected(
                "hub", f"DataHub refused the request (HTTP {status}); look at DATASPOKE_HUB__URL."
            )
