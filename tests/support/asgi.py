"""Speaks to an ASGI application in this event loop: streams and WebSockets without a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message

PATIENCE_S = 10.0


class Closed(Exception):
    """The connection was closed, or never opened; ``code`` is an HTTP status where it was not."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Exchange:
    """One run of the application: what is put is received by it, what it sends can be taken."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.ensure_future(app(scope, self._inbox.get, self._outbox.put))

    def put(self, message: Message) -> None:
        self._inbox.put_nowait(message)

    async def take(self) -> Message:
        """Return what is sent next; raises what the application raised instead."""
        taking = asyncio.ensure_future(self._outbox.get())
        done, _ = await asyncio.wait(
            {taking, self._task}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if taking in done or not self._outbox.empty():
            return await taking
        taking.cancel()
        if self._task in done:
            self._task.result()
            raise AssertionError("the application ended without sending anything more")
        raise AssertionError(f"nothing was sent within {PATIENCE_S:g} s")

    async def end(self, farewell: Message) -> None:
        """Say that the client has gone, and wait until the application has noticed."""
        self.put(farewell)
        async with asyncio.timeout(PATIENCE_S):
            await self._task


class Socket:
    """A WebSocket that speaks JSON."""

    def __init__(self, exchange: Exchange, subprotocol: str | None) -> None:
        self.subprotocol = subprotocol
        self._exchange = exchange

    def send(self, message: object) -> None:
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        self._exchange.put({"type": "websocket.receive", "text": text})

    async def receive(self) -> Any:
        """Return the next message; raises Closed."""
        message = await self._exchange.take()
        if message["type"] == "websocket.close":
            raise Closed(message["code"], message.get("reason", ""))
        return json.loads(message["text"])

    async def init(self, payload: object = None) -> Any:
        self.send({"type": "connection_init", **({} if payload is None else {"payload": payload})})
        return await self.receive()

    def subscribe(self, operation: str, query: str, **variables: object) -> None:
        payload = {"query": query, "variables": variables}
        self.send({"id": operation, "type": "subscribe", "payload": payload})


@asynccontextmanager
async def websocket(
    app: ASGIApp,
    headers: Mapping[str, str] | None = None,
    subprotocols: tuple[str, ...] = ("graphql-transport-ws",),
    denial: bool = True,
) -> AsyncIterator[Socket]:
    """Open a WebSocket at ``/graphql``; raises Closed where it is refused.

    ``denial`` says whether the server can refuse with an HTTP response.
    """
    scope = _scope("websocket", headers) | {
        "subprotocols": list(subprotocols),
        "extensions": {"websocket.http.response": {}} if denial else {},
    }
    exchange = Exchange(app, scope)
    exchange.put({"type": "websocket.connect"})
    opened = await exchange.take()
    if opened["type"] == "websocket.http.response.start":
        body = await exchange.take()
        raise Closed(opened["status"], body["body"].decode())
    if opened["type"] == "websocket.close":
        raise Closed(opened["code"], opened.get("reason", ""))
    try:
        yield Socket(exchange, opened.get("subprotocol"))
    finally:
        await exchange.end({"type": "websocket.disconnect", "code": 1000})


@asynccontextmanager
async def event_stream(
    app: ASGIApp, body: object, headers: Mapping[str, str]
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """POST to ``/graphql`` for a stream and yield its events, each with its name and JSON data."""
    content = json.dumps(body).encode()
    scope = _scope(
        "http",
        {"accept": "text/event-stream", "content-type": "application/json", **headers},
    ) | {"method": "POST"}
    exchange = Exchange(app, scope)
    exchange.put({"type": "http.request", "body": content, "more_body": False})
    start = await exchange.take()
    assert start["status"] == 200, start
    assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    events = _events(exchange)
    try:
        yield events
    finally:
        await exchange.end({"type": "http.disconnect"})


async def _events(exchange: Exchange) -> AsyncIterator[tuple[str, Any]]:
    while True:
        message = await exchange.take()
        if not message.get("more_body"):
            return
        fields = dict(
            line.split(": ", 1) for line in message["body"].decode().splitlines() if ": " in line
        )
        if "event" in fields:
            data = fields["data"]
            yield fields["event"], json.loads(data) if data else None


def _scope(kind: str, headers: Mapping[str, str] | None) -> dict[str, Any]:
    named = {"host": "subgraph", **(headers or {})}
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 4001),
    }
