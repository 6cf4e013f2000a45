from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from dataspoke.catalogue import Dataset, Lineage, Operation, Profile, Query, Reach, Usage
from dataspoke.quality.model import Check, Result, Severity


@dataclass(frozen=True, slots=True)
class HubInfo:
    """What the hub says it is, from its ``/config``. ``stand_in`` is true for DataSpoke's own."""

    version: str
    server_type: str
    stand_in: bool


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller known to the hub. ``token`` is what they sent, to ask the hub in their name.

    ``groups`` are the urns of the groups that they are a member of.
    """

    urn: str
    token: str = field(repr=False)
    can_manage: bool = False
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """What an actor may do with one dataset that they may see."""

    view_profile: bool
    view_operations: bool
    edit_assertions: bool
    view_usage: bool = False


@dataclass(frozen=True, slots=True)
class Scores:
    """The latest scores of one dataset, 0 to 100; None leaves that property as it is."""

    urn: str
    quality: float | None
    health: float | None


@dataclass(frozen=True, slots=True)
class Incident:
    """What is wrong with a dataset, or was, as the hub shows it; ``id`` is that of the alert.

    ``description`` is Markdown. ``started_at`` is when the fault began, ``raised_at`` when it was
    seen. ``changed_at`` is when it was raised, raised anew or resolved last, which is what
    ``active`` tells; ``false_alarm`` is of one that was resolved because nothing was wrong, and
    ``message`` says in a few words how it ended.
    """

    id: UUID
    urn: str
    check: Check
    title: str
    description: str
    severity: Severity
    active: bool
    started_at: datetime
    raised_at: datetime
    changed_at: datetime
    false_alarm: bool = False
    message: str | None = None


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that somebody or something has raised and nobody resolved, by its own urn."""

    urn: str
    title: str
    raised_at: datetime | None


class Topic(StrEnum):
    """The streams of DataHub's metadata change log."""

    VERSIONED = "MetadataChangeLog_Versioned_v1"
    TIMESERIES = "MetadataChangeLog_Timeseries_v1"


@dataclass(frozen=True, slots=True)
class MetadataEvent:
    """One change of one aspect. ``run_id`` and ``actor`` tell who caused it, where known."""

    urn: str
    entity_type: str
    aspect: str
    change: str
    run_id: str | None = None
    actor: str | None = None


class RejectedEvent(NamedTuple):
    """What stood in a stream and is no change that can be read: its text, and what is wrong."""

    text: str
    error: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order, and the cursor to ask for what follows them.

    ``rejected`` is what could not be read among them. It never holds up a stream: keep it by
    ``Transaction.reject_event`` and go on from the cursor.
    """

    cursor: str
    events: tuple[MetadataEvent, ...]
    rejected: tuple[RejectedEvent, ...] = ()


class Hub(Protocol):
    """The DataHub that DataSpoke judges.

    Every call raises DependencyTimeout, DependencyUnavailable or DependencyRejected where the hub
    fails, after bounded retries. Reads act as DataSpoke's service account unless an actor is
    named. A dataset that does not exist is absent from a mapping, never None in it.
    """

    async def info(self) -> HubInfo: ...

    async def actor(self, token: str) -> Actor:
        """Return whose token it is; raises Unauthenticated where the hub does not accept it."""
        ...

    async def access(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Access]:
        """Return what the actor may do with each dataset; those they may not see are absent."""
        ...

    def scroll(self, batch_size: int) -> AsyncIterator[Sequence[str]]:
        """Yield the urns of all datasets in batches; raises as any call, in mid-way too."""
        ...

    async def glossary(self) -> Mapping[str, str]:
        """Return the definition of every glossary term by its name, empty where it has none."""
        ...

    async def datasets(self, urns: Sequence[str]) -> Mapping[str, Dataset]: ...

    async def profiles(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Profile]]:
        """Return each dataset's profiles from ``since`` on, oldest first, with their columns."""
        ...

    async def operations(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Operation]]:
        """Return each dataset's operations from ``since`` on, oldest first."""
        ...

    async def usage(self, urns: Sequence[str], since: datetime) -> Mapping[str, Sequence[Usage]]:
        """Return each dataset's usage of the days that begin at ``since`` or later, oldest first.

        A day that nothing was reported of is absent. The last day may still be running.
        """
        ...

    async def queries(self, urns: Sequence[str], since: datetime) -> Mapping[str, Sequence[Query]]:
        """Return the statements seen on each dataset from ``since`` on, the most frequent first.

        They are what a hub keeps: the commonest of each day, often cut short, and those that were
        recorded one by one. Each stands there once, whatever its white space.
        """
        ...

    async def lineage(self, urns: Sequence[str]) -> Mapping[str, Lineage]: ...

    async def upstream(self, urns: Sequence[str], limit: int) -> Mapping[str, Reach]:
        """Return the datasets that each one is made from, over any number of steps.

        At most ``limit`` for each, the nearest ones.
        """
        ...

    async def downstream(self, urns: Sequence[str], limit: int) -> Mapping[str, Reach]:
        """Return the datasets that are made from each one; as ``upstream`` in all else."""
        ...

    async def open_incidents(self, urns: Sequence[str]) -> Mapping[str, Sequence[OpenIncident]]:
        """Return the newest active incidents on each dataset, at most ten, whoever raised them.

        Those that DataSpoke raised are among them. Datasets without any are absent.
        """
        ...

    async def write_results(
        self, results: Sequence[Result], rules: Mapping[UUID, str] | None = None
    ) -> None:
        """Show verdicts as external assertions with a run each; safe to repeat.

        ``rules`` says what each rule demands, by its id. A result that is WARMING_UP is not
        written: DataHub would show it as a failure. One that is WARN passes and says so: DataHub
        has no warning, and would show the dataset as broken.
        """
        ...

    async def remove_checks(self, urn: str, checks: Sequence[Check]) -> None:
        """Show these checks of a dataset no longer; those not shown stay so. Safe to repeat.

        The next result of one shows it again.
        """
        ...

    async def write_incidents(self, incidents: Sequence[Incident]) -> None:
        """Raise or resolve incidents; safe to repeat and in any order.

        What a person said of one in the hub stays: its title, priority, assignees and stage, and
        that it is resolved or active where they said so after ``changed_at``. One that is not
        active and was never raised is not raised.
        """
        ...

    async def write_scores(self, scores: Sequence[Scores]) -> None:
        """Show the latest scores as structured properties; safe to repeat.

        A dataset that does not exist is left out: to write to it would bring it back.
        """
        ...

    async def poll(
        self, topic: Topic, cursor: str | None, limit: int, wait: timedelta
    ) -> EventPage:
        """Return events after ``cursor``, waiting up to ``wait`` where there are none yet.

        With no cursor it starts at the end of the stream: only what happens from now on. Events
        that DataSpoke's own writes caused are left out.
        """
        ...
