"""Deadlines in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from dataspoke.errors import Conflict
from dataspoke.ports.sla import NextLook
from dataspoke.quality.sla.model import Outlook, SlaTarget


@dataclass
class SlaTable:
    """What is kept; the values are immutable, so that a copy need not be deep."""

    targets: dict[str, SlaTarget] = field(default_factory=dict)
    look_at: dict[str, datetime | None] = field(default_factory=dict)
    outlooks: dict[tuple[str, datetime], Outlook] = field(default_factory=dict)

    def copy(self) -> "SlaTable":
        return SlaTable(dict(self.targets), dict(self.look_at), dict(self.outlooks))


class SlaReads(Protocol):
    """Mixed into the store in memory."""

    @property
    def _sla(self) -> SlaTable: ...

    async def sla_targets(self, urns: Sequence[str]) -> Mapping[str, SlaTarget]:
        targets = self._sla.targets
        return {urn: targets[urn] for urn in urns if urn in targets}

    async def sla_targets_to_look_at(self, now: datetime, limit: int) -> Sequence[SlaTarget]:
        due = sorted(
            (look_at, urn)
            for urn, look_at in self._sla.look_at.items()
            if look_at is not None and look_at <= now
        )
        return [self._sla.targets[urn] for _, urn in due[:limit]]

    async def outlooks_of(self, urns: Sequence[str], limit: int) -> Mapping[str, Sequence[Outlook]]:
        newest: dict[str, list[Outlook]] = {}
        for (urn, _), outlook in sorted(self._sla.outlooks.items(), reverse=True):
            if urn in urns and len(newest.get(urn, ())) < limit:
                newest.setdefault(urn, []).append(outlook)
        return newest


class SlaWrites(Protocol):
    """Mixed into a transaction in memory."""

    _sla: SlaTable

    async def save_sla_target(self, target: SlaTarget, look_at: datetime) -> None:
        known = self._sla.targets.get(target.urn)
        if target.version != (0 if known is None else known.version):
            raise Conflict(
                f"The SLA target of {target.urn} has been changed meanwhile: read it again."
            )
        self._sla.targets[target.urn] = replace(target, version=target.version + 1)
        self._sla.look_at[target.urn] = look_at if target.enabled else None

    async def remove_sla_targets(self, urns: Sequence[str]) -> None:
        for urn in urns:
            self._sla.targets.pop(urn, None)
            self._sla.look_at.pop(urn, None)
        for key in [key for key in self._sla.outlooks if key[0] in urns]:
            del self._sla.outlooks[key]

    async def plan_looks(self, looks: Sequence[NextLook]) -> None:
        for look in looks:
            known = self._sla.targets.get(look.urn)
            if known is not None and known.version == look.version:
                self._sla.look_at[look.urn] = look.look_at

    async def save_outlooks(self, outlooks: Sequence[Outlook]) -> None:
        for outlook in outlooks:
            key = (outlook.urn, outlook.deadline)
            known = self._sla.outlooks.get(key)
            if known is None or known.looked_at <= outlook.looked_at:
                self._sla.outlooks[key] = outlook
