from datetime import datetime, timedelta

from dataspoke.ports.clock import Clock


class MemoryCache:
    """A Cache inside one process; it holds all that was put and has not run out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[bytes, datetime]] = {}

    async def get(self, key: str) -> bytes | None:
        value, end = self._kept.get(key, (None, None))
        if end is None or end <= self._clock.now():
            self._kept.pop(key, None)
            return None
        return value

    async def put(self, key: str, value: bytes, ttl: timedelta) -> None:
        self._kept[key] = (value, self._clock.now() + ttl)
