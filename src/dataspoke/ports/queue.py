from collections.abc import Awaitable, Callable, Sequence
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


class WakeUps(Protocol):
    """The receiving end of a Queue."""

    async def receive(self, begin: Callable[[UUID], Awaitable[None]], at_once: int) -> None:
        """Call ``begin`` with each job that is woken, ``at_once`` of them, until cancelled.

        ``begin`` returns within seconds and does not raise. A wake-up may come twice, or after a
        long while. Raises DependencyUnavailable or DependencyTimeout where the queue fails.
        """
        ...
