from datetime import timedelta
from typing import Protocol


class Cache(Protocol):
    """Answers kept for a short time, shared by every process.

    Never raises for an outage: a cache that is down is as one that is empty. It may forget
    anything at any time, so nothing may depend on what is in it but the time that an answer takes.
    """

    async def get(self, key: str) -> bytes | None:
        """Return what was put last, None where that is too long ago or unknown."""
        ...

    async def put(self, key: str, value: bytes, ttl: timedelta) -> None:
        """Keep ``value`` for ``ttl``, at least a millisecond, in place of what is there."""
        ...
