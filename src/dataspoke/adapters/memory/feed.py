import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta


class MemoryFeed:
    """A Feed inside one process."""

    def __init__(self, interval: timedelta = timedelta(seconds=2)) -> None:
        self._interval = interval
        self._listeners: set[asyncio.Event] = set()

    async def signal(self) -> None:
        for listener in self._listeners:
            listener.set()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        signalled = asyncio.Event()
        self._listeners.add(signalled)
        turns = self._turns(signalled)
        try:
            yield turns
        finally:
            self._listeners.discard(signalled)
            await turns.aclose()

    async def _turns(self, signalled: asyncio.Event) -> AsyncGenerator[None]:
        while True:
            try:
                async with asyncio.timeout(self._interval.total_seconds()):
                    await signalled.wait()
            except TimeoutError:
                pass
            signalled.clear()
            yield
