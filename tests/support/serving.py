"""ASGI applications that really listen, for tests that speak to them over the network."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """Where an application listens, and the event loop that it runs in."""

    url: str
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns in the application's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)


@contextmanager
def serving(app: ASGIApp, port: int = 0) -> Iterator[Served]:
    """Serve ``app`` by uvicorn in a thread of its own; on a free port of the loopback where 0."""
    configuration = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(configuration)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=loop.run_until_complete, args=(server.serve(),), name="served", daemon=True
    )
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"{app} did not start")
            time.sleep(0.01)
        listening = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{listening}", loop)
    finally:
        server.should_exit = True
        thread.join(timeout=15)
        loop.close()
