"""The feed on Redis: one channel, and one subscription to it for all listeners of a process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Self

from redis.asyncio import Redis

from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.redis_errors import KEEP_ALIVE, translated
from dataspoke.errors import DataSpokeError
from dataspoke.settings import RedisSettings

_log = logging.getLogger(__name__)

_PORT = "feed"
_CHANNEL = "dataspoke:"
_TIMEOUT_S = 3
_RECONNECT_S = 1.0


class RedisFeed:
    """The Feed port across processes, one for each name. Use it as a context, or close it.

    Hands each signal of the channel on to a MemoryFeed, which every listener of this process
    listens to. A subscription that is made, or made anew, counts as a signal: some may be lost.
    """

    def __init__(
        self,
        settings: RedisSettings,
        interval: timedelta = timedelta(seconds=2),
        name: str = "alerts",
    ) -> None:
        self._channel = _CHANNEL + name
        self._redis = Redis.from_url(
            settings.url.get_secret_value(),
            socket_connect_timeout=_TIMEOUT_S,
            # No socket_timeout, for the reason given in adapters/arq.py.
            socket_keepalive=True,
            socket_keepalive_options=KEEP_ALIVE,
        )
        self._local = MemoryFeed(interval)
        self._subscribing: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Unsubscribe and disconnect; listeners go on at their interval."""
        if self._subscribing is not None:
            self._subscribing.cancel()
            with suppress(asyncio.CancelledError):
                await self._subscribing
            self._subscribing = None
        await self._redis.aclose()

    async def signal(self) -> None:
        with translated(_PORT):
            async with asyncio.timeout(_TIMEOUT_S):
                await self._redis.publish(self._channel, b"")

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        if self._subscribing is None:
            self._subscribing = asyncio.create_task(self._stay_subscribed())
        async with self._local.listen() as turns:
            # What is signalled from here on is heard, unless Redis is down.
            await self._tried.wait()
            yield turns

    async def _stay_subscribed(self) -> None:
        down = False
        while True:
            try:
                with translated(_PORT):
                    async with self._redis.pubsub() as channel:
                        await channel.subscribe(self._channel)
                        # The first message confirms the subscription.
                        async for _ in channel.listen():
                            if down:
                                _log.info("The feed is back.")
                            down = False
                            self._tried.set()
                            await self._local.signal()
            except DataSpokeError as error:
                if not down:
                    _log.warning("Listening to the feed failed: %s", error.public_message)
                down = True
            self._tried.set()
            await asyncio.sleep(_RECONNECT_S)
