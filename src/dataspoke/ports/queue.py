from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A job that waits for a worker. ``token`` is that of its last claim, 0 before the first.

    Two wake-ups of one job with the same token are one; after a claim it can be woken anew. What is
    ``urgent`` goes before the rest: of thousands of jobs of a run, none is.
    """

    job_id: UUID
    token: int
    urgent: bool = True


class Queue(Protocol):
    """Wakes workers. What is to be done stands in the store; a lost wake-up is sent again."""

    async def wake(self, jobs: Sequence[WakeUp]) -> None:
        """Ask some worker to claim each job; raises DependencyUnavailable where it is down."""
        ...

    async def ping(self) -> None:
        """Return where it answers; raises DependencyUnavailable or DependencyTimeout otherwise."""
        ...


# Claims the job and runs it, if there is something to run. Returns as soon as that is known, with
# what lasts as long as the job does; None where there is nothing to run. Does not raise.
Begin = Callable[[UUID], Awaitable[Awaitable[None] | None]]


class WakeUps(Protocol):
    """The receiving end of a Queue."""

    async def receive(self, begin: Begin, at_once: int) -> None:
        """Begin each job that is woken, until cancelled; take no more while ``at_once`` run.

        A wake-up may come twice, or late. What has begun goes on where this ends. Raises
        DependencyUnavailable or DependencyTimeout where the queue fails.
        """
        ...
