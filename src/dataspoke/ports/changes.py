"""The hub's streams of changes as a broker keeps them, for groups of workers to share."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from dataspoke.ports.hub import EventPage, Topic


class Group(StrEnum):
    """Who follows the streams, each at its own pace."""

    VECTOR_SYNC = "dataspoke-vector-sync"
    QUALITY_MONITOR = "dataspoke-quality-monitor"
    NOTIFICATION = "dataspoke-notification"


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a stream, whose changes have an order and rising offsets."""

    topic: Topic
    number: int


class Kept(NamedTuple):
    """The offsets that a partition still holds: from ``first`` on, up to before ``end``."""

    first: int
    end: int


# Returns the offset to begin at, of a partition that has come to this member.
Begin = Callable[[Partition, Kept], Awaitable[int]]


class Member(Protocol):
    """One member of a group. Which partitions it has is for the broker to say, and may change."""

    async def receive(self, limit: int) -> Sequence[tuple[Partition, EventPage]]:
        """Return the next changes of its partitions; empty where none came for a moment.

        A page's cursor is the offset after its last change, as a number. Raises
        DependencyUnavailable, DependencyTimeout or DependencyRejected where broker or schema
        registry fail, or what ``Begin`` raised: leave, and join again later.
        """
        ...

    async def acknowledge(self, partition: Partition, page: EventPage) -> None:
        """Tell the broker that a page is done, so that its tools know how far the group is.

        Where the member begins next time is nevertheless for ``Begin`` to say.
        """
        ...


class ChangeLog(Protocol):
    """The hub's streams in a broker."""

    def join(
        self, group: Group, topics: Sequence[Topic], begin: Begin
    ) -> AbstractAsyncContextManager[Member]:
        """Be a member of a group while inside; ``begin`` is asked for each partition that comes.

        Events that DataSpoke's own writes caused are left out of the pages.
        """
        ...

    async def ping(self) -> None:
        """Return where the broker answers and has the topics; raise as ``receive`` otherwise."""
        ...
