from collections.abc import Sequence

from dataspoke.ports.queue import WakeUp


class MemoryQueue:
    """A Queue that keeps the wake-ups it was sent, each once, in ``sent``."""

    def __init__(self) -> None:
        self.sent: list[WakeUp] = []

    async def wake(self, jobs: Sequence[WakeUp]) -> None:
        self.sent.extend(job for job in jobs if job not in self.sent)

    async def ping(self) -> None:
        return None
