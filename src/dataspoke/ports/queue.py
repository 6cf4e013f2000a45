from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class Queue(Protocol):
    """Wakes workers. What is to be done stands in the store; a lost wake-up is sent again."""

    async def wake(self, job_ids: Sequence[UUID]) -> None:
        """Ask some worker to claim each job; raises DependencyUnavailable where it is down."""
        ...
