"""The gateway's GraphQL API, asked in the caller's name."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import httpx

from dataspoke.errors import (
    DataSpokeError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
)

_PORT = "gateway"
_TIMEOUT_S = 60
_MAX_CONNECTIONS = 50
_OF_CALLER = {error.code: error for error in (InvalidInput, NotFound, Forbidden)}
# What a tool calls cursor is an argument ``after`` of the API.
_CURSOR = re.compile(r"^`?after`?(?= )")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """One error of an answer: a stable code, what went wrong, and where in the answer."""

    code: str
    message: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. ``data`` has a null where ``failures`` say why; both may hold something."""

    data: Mapping[str, Any]
    failures: tuple[Failure, ...]
    remedy: str

    def root(self, name: str) -> Any:
        """Return the root field; None where it is null for no error.

        Raises Unauthenticated, InvalidInput, NotFound, Forbidden, or DependencyError where it is
        null for one.
        """
        value = self.data.get(name)
        if value is not None:
            return value
        for failure in self.failures:
            if not failure.path or failure.path[0] == name:
                raise as_error(failure, self.remedy)
        return None

    def required(self, name: str) -> Any:
        """Return the root field, as ``root``; raises DependencyRejected where it is null."""
        value = self.root(name)
        if value is None:
            raise DependencyRejected(_PORT, "The gateway answered with nothing. Try again later.")
        return value


class Gateway:
    """Asks documents of this package at ``url``.

    ``remedy`` tells the caller where to put another token; ``unreachable`` is what to do where the
    gateway does not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        remedy: str,
        unreachable: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._remedy = remedy
        self._unreachable = unreachable
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT_S,
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS),
            transport=transport,
        )

    async def ask(self, name: str, variables: Mapping[str, Any], authorization: str) -> Answered:
        """Return the answer to the document ``name``; ``authorization`` is passed on, none if "".

        Raises Unauthenticated, InvalidInput, NotFound, Forbidden, or DependencyError where nothing
        was answered.
        """
        body = {"query": document(name), "variables": dict(variables)}
        answer = await self._post(body, authorization)
        failures = tuple(_failure(error) for error in answer.get("errors") or ())
        data = answer.get("data")
        if data is None:
            raise as_error(
                failures[0] if failures else Failure("", "it gave no reason"), self._remedy
            )
        return Answered(data, failures, self._remedy)

    async def ready(self) -> bool:
        """Tell whether the gateway answers at all."""
        try:
            answer = await self._post({"query": "{ __typename }"}, "")
        except DataSpokeError:
            return False
        return answer.get("data") is not None

    async def aclose(self) -> None:
        """Close what is open to the gateway."""
        await self._client.aclose()

    async def _post(self, body: Mapping[str, Any], authorization: str) -> Mapping[str, Any]:
        headers = {"authorization": authorization} if authorization else {}
        try:
            response = await self._client.post(self._url, json=body, headers=headers)
            answer = response.json()
        except httpx.TimeoutException as error:
            _log.warning("%s did not answer: %s", self._url, type(error).__name__)
            raise DependencyTimeout(
                _PORT, f"The gateway did not answer within {_TIMEOUT_S} s. Ask for less, or later."
            ) from error
        except httpx.HTTPError as error:
            _log.warning("%s cannot be asked: %s", self._url, error)
            raise DependencyUnavailable(
                _PORT, f"The gateway cannot be reached. {self._unreachable}"
            ) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            _log.warning("%s answered %d without JSON", self._url, response.status_code)
            raise DependencyRejected(
                _PORT,
                f"The gateway answered with status {response.status_code} and no JSON. "
                f"{self._unreachable}",
            ) from error
        if not isinstance(answer, dict):
            raise DependencyRejected(
                _PORT, f"What answers is no GraphQL gateway. {self._unreachable}"
            )
        return answer


@cache
def document(name: str) -> str:
    """Return the GraphQL document of this package that is called so."""
    return resources.files(__package__).joinpath(f"{name}.graphql").read_text(encoding="utf-8")


def as_error(failure: Failure, remedy: str) -> DataSpokeError:
    """Return the failure as the error that says what the caller can do about it."""
    if failure.code == Unauthenticated.code:
        return Unauthenticated(f"{failure.message} {remedy}")
    if failure.code in _OF_CALLER:
        return _OF_CALLER[failure.code](_CURSOR.sub("cursor", failure.message))
    if failure.code == "GRAPHQL_VALIDATION_FAILED":
        return DependencyRejected(
            _PORT,
            f"The gateway is of another version of DataSpoke than this server: {failure.message}",
        )
    return DependencyRejected(_PORT, failure.message)


def _failure(error: Mapping[str, Any]) -> Failure:
    return Failure(
        (error.get("extensions") or {}).get("code") or "",
        error.get("message") or "it gave no reason",
        tuple(error.get("path") or ()),
    )
