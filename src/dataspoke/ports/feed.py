from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Feed(Protocol):
    """Tells every process that something changed: alerts, or runs.

    Carries no content: the store is the truth. A lost signal costs time only, as
    readers look into the store at an interval as well.
    """

    async def signal(self) -> None:
        """Wake every listener; raises DependencyUnavailable where the feed is down."""
        ...

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Yield once for one or more signals that came since the last turn.

        Yields at an interval of a few seconds without a signal too, and while the feed is down.
        """
        ...
