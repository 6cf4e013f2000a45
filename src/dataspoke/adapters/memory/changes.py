"""The hub's streams in memory, of one partition each."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dataspoke.errors import DependencyError
from dataspoke.ports.changes import Begin, Group, Kept, Partition
from dataspoke.ports.hub import EventPage, MetadataEvent, RejectedEvent, Topic


class MemoryChangeLog:
    """The ChangeLog port. A group has one member, who never waits: a test emits first.

    ``failure`` is raised by every call while it is set. ``forgotten`` changes of each stream are
    not kept any more.
    """

    def __init__(self) -> None:
        self.failure: DependencyError | None = None
        self.forgotten = 0
        self.acknowledged: dict[tuple[Group, Partition], str] = {}
        self._streams: dict[Topic, list[MetadataEvent | RejectedEvent]] = defaultdict(list)

    def emit(self, topic: Topic, event: MetadataEvent | RejectedEvent) -> None:
        """Append an event to a stream, or what shall pass for one that cannot be read."""
        self._streams[topic].append(event)

    @asynccontextmanager
    async def join(
        self, group: Group, topics: Sequence[Topic], begin: Begin
    ) -> AsyncIterator["_MemoryMember"]:
        await self.ping()
        places = {}
        for partition in (Partition(topic, 0) for topic in topics):
            kept = Kept(self.forgotten, len(self._streams[partition.topic]))
            places[partition] = await begin(partition, kept)
        yield _MemoryMember(self, group, places, self._streams)

    async def ping(self) -> None:
        if self.failure is not None:
            raise self.failure


class _MemoryMember:
    def __init__(
        self,
        log: MemoryChangeLog,
        group: Group,
        places: dict[Partition, int],
        streams: dict[Topic, list[MetadataEvent | RejectedEvent]],
    ) -> None:
        self._log = log
        self._group = group
        self._places = places
        self._streams = streams

    async def receive(self, limit: int) -> Sequence[tuple[Partition, EventPage]]:
        await self._log.ping()
        pages = []
        for partition, start in self._places.items():
            found = self._streams[partition.topic][start : start + limit]
            if found:
                self._places[partition] = start + len(found)
                page = EventPage(
                    cursor=str(start + len(found)),
                    events=tuple(one for one in found if isinstance(one, MetadataEvent)),
                    rejected=tuple(one for one in found if isinstance(one, RejectedEvent)),
                )
                pages.append((partition, page))
        return pages

    async def acknowledge(self, partition: Partition, page: EventPage) -> None:
        await self._log.ping()
        self._log.acknowledged[self._group, partition] = page.cursor
