"""Search indexes in the Weaviate of the tests, each in collections of its own."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from dataspoke.adapters.weaviate import WeaviateVectors
from dataspoke.embedded.weaviate import Weaviate, program
from dataspoke.errors import ConfigurationError
from dataspoke.settings import VectorsSettings


def require_weaviate() -> None:
    """Skip the test where Weaviate is not built, except under CI, where it has to be."""
    try:
        program()
    except ConfigurationError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.public_message)


def settings_of(server: Weaviate, **others: Any) -> VectorsSettings:
    """Return settings for a part of the server that nobody else uses."""
    return VectorsSettings(
        **{
            "url": server.url,
            "grpc_port": server.grpc_port,
            "api_key": server.key,
            "collection": f"Test{uuid.uuid4().hex}",
            **others,
        }
    )


@asynccontextmanager
async def opened(server: Weaviate, **others: Any) -> AsyncIterator[WeaviateVectors]:
    """Yield an index that is empty, and remove it at the end."""
    settings = settings_of(server, **others)
    async with WeaviateVectors(settings) as vectors:
        yield vectors
    for name in collections(server, settings.collection):
        ask(server, "DELETE", f"/v1/schema/{name}")


def collections(server: Weaviate, prefix: str) -> list[str]:
    """Return the names of the collections that begin so."""
    classes = ask(server, "GET", "/v1/schema").json()["classes"]
    return [one["class"] for one in classes if one["class"].startswith(f"{prefix}_")]


def ask(server: Weaviate, method: str, path: str) -> httpx.Response:
    answer = httpx.request(
        method, f"{server.url}{path}", headers={"Authorization": f"Bearer {server.key}"}
    )
    return answer.raise_for_status()
