"""What is kept of deadlines: targets, when to look at them, and how they stood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dataspoke.quality.sla.model import Outlook, SlaTarget


@dataclass(frozen=True, slots=True)
class NextLook:
    """When to look at a target again, None for never; void where its version has changed."""

    urn: str
    version: int
    look_at: datetime | None


class SlaReads(Protocol):
    """Mixed into the store."""

    async def sla_targets(self, urns: Sequence[str]) -> Mapping[str, SlaTarget]:
        """Return the target of each dataset that has one."""
        ...

    async def sla_targets_to_look_at(self, now: datetime, limit: int) -> Sequence[SlaTarget]:
        """Return enabled targets whose time to be looked at has come, the longest due first."""
        ...

    async def outlooks_of(self, urns: Sequence[str], limit: int) -> Mapping[str, Sequence[Outlook]]:
        """Return the outlooks on each dataset's newest ``limit`` deadlines, newest first.

        Datasets without any are absent.
        """
        ...


class SlaWrites(Protocol):
    """Mixed into the transaction."""

    async def save_sla_target(self, target: SlaTarget, look_at: datetime) -> None:
        """Replace a dataset's target; raises Conflict where its version is not the newest.

        One that is not enabled is not looked at.
        """
        ...

    async def remove_sla_targets(self, urns: Sequence[str]) -> None:
        """Remove targets with their outlooks; nothing where there are none."""
        ...

    async def plan_looks(self, looks: Sequence[NextLook]) -> None:
        """Keep when to look at targets again."""
        ...

    async def save_outlooks(self, outlooks: Sequence[Outlook]) -> None:
        """Replace what is kept of each deadline, unless that is newer."""
        ...
