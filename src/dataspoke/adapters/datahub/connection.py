"""Calls to one DataHub: GraphQL and REST, each with a timeout and bounded retries."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import httpx2
import orjson
from gql import GraphQLRequest, gql
from gql.transport.httpx import HTTPXAsyncTransport
from graphql import DocumentNode, ExecutionResult
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from dataspoke.adapters.datahub.failures import failure_of, translated
from dataspoke.settings import HubSettings

T = TypeVar("T")

_log = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.25


class Connection:
    """One hub with its clients. Raises this project's errors only, after the last attempt."""

    def __init__(self, settings: HubSettings) -> None:
        self._timeout_s = settings.timeout_s
        self._max_attempts = settings.max_attempts
        self._token = settings.token.get_secret_value()
        self.url = str(settings.url).rstrip("/")
        options: dict[str, Any] = {
            "timeout": settings.timeout_s,
            "event_hooks": {"response": [_require_success]},
        }
        self._graphql = HTTPXAsyncTransport(
            f"{self.url}/api/graphql", json_deserialize=orjson.loads, **options
        )
        self._rest = httpx2.AsyncClient(**options)

    async def open(self) -> None:
        """Prepare the clients; asks the hub nothing."""
        await self._graphql.connect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        await self._graphql.close()  # type: ignore[no-untyped-call]
        await self._rest.aclose()

    async def execute(
        self, document: str, variables: Mapping[str, Any], token: str | None = None
    ) -> ExecutionResult:
        """Return the answer to a document of this package, with the errors that are in it.

        ``token`` is whom to ask as, None for DataSpoke itself. Raises Unauthenticated where the
        hub does not accept it.
        """
        request = GraphQLRequest(parsed_document(document), variable_values=dict(variables))

        async def call() -> ExecutionResult:
            return await self._graphql.execute(
                request, extra_args={"headers": self._headers(token)}
            )

        return await self.attempt(call, self._timeout_s, own_token=token is None)

    async def get(self, path: str, params: Mapping[str, str], wait_s: float = 0) -> Any:
        """Return the JSON at a path, asked as DataSpoke itself.

        ``wait_s`` is how long the hub was asked to wait before it answers.
        """
        timeout_s = self._timeout_s + wait_s

        async def call() -> Any:
            answer = await self._rest.get(
                f"{self.url}/{path}", params=params, headers=self._headers(None), timeout=timeout_s
            )
            return orjson.loads(answer.content)

        return await self.attempt(call, timeout_s)

    async def post(self, path: str, content: Any) -> Any:
        """Return the JSON that a path answers to ``content``, asked as DataSpoke itself.

        It is tried again as any call: only for what may be done twice.
        """

        async def call() -> Any:
            answer = await self._rest.post(
                f"{self.url}/{path}", json=content, headers=self._headers(None)
            )
            return orjson.loads(answer.content)

        return await self.attempt(call, self._timeout_s)

    async def attempt(
        self, call: Callable[[], Awaitable[T]], timeout_s: float, own_token: bool = True
    ) -> T:
        """Return what ``call`` returns, tried again where that may help.

        Each try may take ``timeout_s``. Between tries it waits as long as the hub asks by
        Retry-After, at most the time of one answer, and else a random, growing time.
        """
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_may_pass),
                stop=stop_after_attempt(self._max_attempts),
                wait=self._wait_s,
                before_sleep=_tell,
                reraise=True,
            ):
                with attempt:
                    async with asyncio.timeout(timeout_s):
                        return await call()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise translated(failure, timeout_s, own_token) from error
        raise AssertionError("tenacity ends by a result or an error")

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        failure = failure_of(error) if error else None
        if failure is not None and failure.retry_after_s is not None:
            return min(failure.retry_after_s, self._timeout_s)
        return wait_random_exponential(multiplier=_FIRST_WAIT_S, max=self._timeout_s)(state)

    def _headers(self, token: str | None) -> dict[str, str]:
        asked_as = self._token if token is None else token
        return {"Authorization": f"Bearer {asked_as}"} if asked_as else {}


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    failure = failure_of(error) if error else None
    wait_s = state.next_action.sleep if state.next_action else 0
    what = failure.status or failure.kind.name.lower() if failure else error
    _log.warning("DataHub: %s at try %d; again in %.1f s", what, state.attempt_number, wait_s)


def _may_pass(error: BaseException) -> bool:
    failure = failure_of(error)
    return failure is not None and failure.may_pass


async def _require_success(answer: httpx2.Response) -> None:
    # Before gql reads the body: an error page may hold JSON that looks like an answer.
    answer.raise_for_status()


@cache
def parsed_document(name: str) -> DocumentNode:
    """Return the document that lies in this package under ``name``."""
    text = resources.files(__package__).joinpath(f"{name}.graphql").read_text()
    return gql(text).document
