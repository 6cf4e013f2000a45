"""The cache on Redis."""

import asyncio
import logging
from datetime import timedelta
from typing import Self

from redis.asyncio import Redis

from dataspoke.adapters.redis_errors import KEEP_ALIVE, translated
from dataspoke.errors import DataSpokeError
from dataspoke.settings import RedisSettings

_log = logging.getLogger(__name__)

_PREFIX = "dataspoke:cache:"
# A cache that is slower than the work it saves is of no use.
_TIMEOUT_S = 0.25
# After a failure nobody waits for Redis for so long.
_PAUSE_S = 1.0


class RedisCache:
    """The Cache port across processes. Use it as a context, or close it.

    An outage is logged once and costs one caller a quarter of a second each second at most.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._redis = Redis.from_url(
            settings.url.get_secret_value(),
            socket_connect_timeout=_TIMEOUT_S,
            socket_keepalive=True,
            socket_keepalive_options=KEEP_ALIVE,
        )
        self._down = False
        self._paused_until = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    async def get(self, key: str) -> bytes | None:
        if self._is_paused():
            return None
        try:
            with translated("cache"):
                async with asyncio.timeout(_TIMEOUT_S):
                    value: bytes | None = await self._redis.get(_PREFIX + key)
        except DataSpokeError as error:
            self._failed(error)
            return None
        self._answered()
        return value

    async def put(self, key: str, value: bytes, ttl: timedelta) -> None:
        if self._is_paused():
            return
        try:
            with translated("cache"):
                async with asyncio.timeout(_TIMEOUT_S):
                    await self._redis.set(_PREFIX + key, value, px=ttl)
        except DataSpokeError as error:
            self._failed(error)
        else:
            self._answered()

    def _is_paused(self) -> bool:
        return asyncio.get_running_loop().time() < self._paused_until

    def _failed(self, error: DataSpokeError) -> None:
        self._paused_until = asyncio.get_running_loop().time() + _PAUSE_S
        if not self._down:
            _log.warning("Nothing is cached: %s", error.public_message)
        self._down = True

    def _answered(self) -> None:
        if self._down:
            _log.info("The cache is back.")
        self._down = False
