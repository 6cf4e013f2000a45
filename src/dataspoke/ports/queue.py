from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A job that waits for a worker. ``token`` is that of its last claim, 0 before the first.

    Two wake-ups of one job with the same token are one; after a claim it can be woken anew.
    """

    job_id: UUID
    token: int


class Queue(Protocol):
    """Wakes workers. What is to be done stands in the store; a lost wake-up is sent again."""

    async def wake(self, jobs: Sequence[WakeUp]) -> None:
        """Ask some worker to claim each job; raises DependencyUnavailable where it is down."""
        ...
