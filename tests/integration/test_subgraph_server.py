"""The subgraph behind a real server, over real sockets."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from pydantic import SecretStr

from dataspoke.quality.model import AlertState
from dataspoke.settings import SubgraphSettings
from dataspoke.subgraph.app import server_config
from tests.support.subgraph import EDITOR, Subgraph, alert_of, urn

SECRET = {"x-dataspoke-gateway": "s3cret"}
FOLLOW = """
    subscription ($after: String) {
      qualityAlerts(after: $after) { cursor alert { state dataset { urn healthScore { value } } } }
    }
"""


@dataclass(frozen=True, slots=True)
class Served:
    """The subgraph, and the server that serves it at a port."""

    subgraph: Subgraph
    port: int
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    def connect(self, **options: Any) -> websockets.connect:
        headers = options.pop("headers", SECRET)
        return websockets.connect(
            f"ws://127.0.0.1:{self.port}/graphql",
            subprotocols=options.pop("subprotocols", ["graphql-transport-ws"]),
            additional_headers=headers,
            proxy=None,
            **options,
        )


@asynccontextmanager
async def serving(subgraph: Subgraph, settings: SubgraphSettings) -> AsyncIterator[Served]:
    server = uvicorn.Server(server_config(subgraph.app, settings))
    # Who connects before the server runs is kept waiting by the socket.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        running = asyncio.ensure_future(server.serve(sockets=[listening]))
        try:
            yield Served(subgraph, port, server)
        finally:
            server.should_exit = True
            async with asyncio.timeout(30):
                await running


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    settings = SubgraphSettings(port=0, gateway_secret=SecretStr("s3cret"), max_body_bytes=20_000)
    subgraph = Subgraph(settings, identity_check=timedelta(milliseconds=50))
    await subgraph.put("orders", "stock")
    async with serving(subgraph, settings) as running:
        yield running


async def test_a_query_is_answered(served: Served) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.post(
            served.url,
            json={"query": "{ healthLeaderboard { edges { node { score { value } } } } }"},
            headers={**SECRET, "authorization": f"Bearer {EDITOR}"},
        )
    edges = response.json()["data"]["healthLeaderboard"]["edges"]
    assert [edge["node"]["score"]["value"] for edge in edges] == [10.0, 20.0]
    assert "server" not in response.headers


async def test_a_body_sent_in_pieces_is_held_to_its_size(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"query": "{ __typename }", "variables": {"x": "'
        for _ in range(100):
            yield b"x" * 1000
        yield b'"}}'

    async with httpx.AsyncClient() as client:
        response = await client.post(
            served.url, content=pieces(), headers={**SECRET, "content-type": "application/json"}
        )
    assert response.status_code == 413


async def test_alerts_are_followed_over_a_websocket_and_nothing_is_lost(served: Served) -> None:
    async with served.connect() as connection:
        assert connection.subprotocol == "graphql-transport-ws"
        await begin(connection)
        await subscribe(connection)
        await served.subgraph.feed.heard_by(1)
        await served.subgraph.save_alerts(alert_of("orders"))
        first = await next_change(connection)
    assert first["alert"] == {
        "state": "OPEN",
        "dataset": {"urn": urn("orders"), "healthScore": {"value": 10.0}},
    }
    await served.subgraph.save_alerts(alert_of("stock"))
    async with served.connect() as connection:
        await begin(connection)
        await subscribe(connection, after=first["cursor"])
        assert (await next_change(connection))["alert"]["dataset"]["urn"] == urn("stock")
        await served.subgraph.save_alerts(alert_of("orders", state=AlertState.RESOLVED))
        assert (await next_change(connection))["alert"]["state"] == "RESOLVED"
        served.subgraph.withdrawn.add(EDITOR)
        message = json.loads(await connection.recv())
        assert message["payload"]["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_alerts_are_followed_as_events_and_nothing_is_lost(served: Served) -> None:
    await served.subgraph.save_alerts(alert_of("orders"))
    headers = {**SECRET, "authorization": f"Bearer {EDITOR}", "accept": "text/event-stream"}
    body = {"query": FOLLOW, "variables": {"after": "0"}}
    async with (
        httpx.AsyncClient(timeout=10) as client,
        client.stream("POST", served.url, json=body, headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        events = sent(response)
        name, payload = await anext(events)
        assert name == "next"
        assert payload["data"]["qualityAlerts"]["alert"]["dataset"]["urn"] == urn("orders")
        await served.subgraph.save_alerts(alert_of("stock"))
        _, payload = await anext(events)
        assert payload["data"]["qualityAlerts"]["alert"]["dataset"]["urn"] == urn("stock")
        served.subgraph.withdrawn.add(EDITOR)
        _, payload = await anext(events)
        assert payload["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert await anext(events) == ("complete", None)


async def test_a_connection_that_is_not_the_gateways_is_refused_with_the_reason(
    served: Served,
) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with served.connect(headers={}):
            pass
    assert refused.value.response.status_code == 401
    assert b"x-dataspoke-gateway" in refused.value.response.body


async def test_a_page_of_another_origin_is_refused_with_the_reason(served: Served) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with served.connect(origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    assert b"ALLOWED_ORIGINS" in refused.value.response.body


async def test_a_message_is_held_to_the_size_of_a_body(served: Served) -> None:
    async with served.connect() as connection:
        await begin(connection)
        await connection.send("x" * 20_001)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_a_server_that_stops_ends_its_streams_at_once(served: Served) -> None:
    headers = {**SECRET, "authorization": f"Bearer {EDITOR}", "accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(timeout=10) as client,
        served.connect() as connection,
        client.stream("POST", served.url, json={"query": FOLLOW}, headers=headers) as response,
    ):
        await begin(connection)
        await subscribe(connection)
        await served.subgraph.feed.heard_by(2)
        served.server.should_exit = True
        async with asyncio.timeout(5):
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await connection.recv()
            with contextlib.suppress(httpx.RemoteProtocolError):
                async for _ in response.aiter_lines():
                    pass
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert served.subgraph.feed.listeners == 0


async def begin(connection: Any) -> None:
    payload = {"Authorization": f"Bearer {EDITOR}"}
    await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
    assert json.loads(await connection.recv()) == {"type": "connection_ack"}


async def subscribe(connection: Any, **variables: object) -> None:
    payload = {"query": FOLLOW, "variables": variables}
    await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))


async def next_change(connection: Any) -> Any:
    async with asyncio.timeout(10):
        message = json.loads(await connection.recv())
    assert message["type"] == "next", message
    return message["payload"]["data"]["qualityAlerts"]


async def sent(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield name, json.loads(data) if data else None
