"""The words of the predictive SLA: target, outlook, outcome, record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

WARN_AT = 0.8
"""Chance to miss at which people are warned unless a target says otherwise.

A lower one warns earlier, and more often in vain.
"""


@dataclass(frozen=True, slots=True)
class SlaTarget:
    """When a dataset has to be loaded.

    The times of ``cron`` (five fields, as Debian's cron reads them) in ``time_zone`` are its
    deadlines. A deadline is met by the first update within ``window`` before it; None is half the
    shortest time between two deadlines. A warning goes out when the chance to miss reaches
    ``warn_at``, above 0 and at most 1. ``set_at`` is when it was last set: earlier deadlines are
    learned from and not judged. ``version`` rises with each change, 0 is not saved yet.
    """

    urn: str
    cron: str
    time_zone: str = "UTC"
    warn_at: float = WARN_AT
    window: timedelta | None = None
    enabled: bool = True
    set_at: datetime | None = None
    version: int = 0


class SlaStatus(StrEnum):
    """How it stands with one deadline; the last two are what came of it.

    WARMING_UP means that there are too few loads to tell a chance from. MISSED becomes MET where a
    load in time is reported late.
    """

    WARMING_UP = "WARMING_UP"
    ON_TRACK = "ON_TRACK"
    AT_RISK = "AT_RISK"
    MET = "MET"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class LateUpstream:
    """An upstream dataset that is later than usual; ``arrived`` where it has come by now."""

    urn: str
    late: timedelta
    arrived: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """How it stood with one deadline when it was last looked at, at ``looked_at``.

    ``chance`` is that of missing it, 0 to 1: 0 once it is met, 1 once it is missed, None while
    warming up. ``expected_at`` is the most likely time of the load, with four chances in five
    between the other two; all are None while warming up and once the load has come, at
    ``arrived_at``. ``cause`` is the upstream dataset that most likely explains the risk, None
    where none is late. ``warned_at`` is when people were told before the deadline.
    """

    urn: str
    deadline: datetime
    status: SlaStatus
    looked_at: datetime
    chance: float | None = None
    expected_at: datetime | None = None
    expected_earliest: datetime | None = None
    expected_latest: datetime | None = None
    cause: LateUpstream | None = None
    arrived_at: datetime | None = None
    warned_at: datetime | None = None

    @property
    def settled(self) -> bool:
        return self.status in (SlaStatus.MET, SlaStatus.MISSED)


@dataclass(frozen=True, slots=True)
class SlaRecord:
    """How well warnings did on deadlines that have passed.

    ``hits`` are warnings before deadlines that were then missed. ``hit_rate`` is their share of all
    warnings (precision) and ``recall`` their share of all misses; None where there were none.
    ``lead_time`` is the mean time from a hit to its deadline, None without hits.
    """

    deadlines: int
    missed: int
    warned: int
    hits: int
    lead_time: timedelta | None

    @property
    def hit_rate(self) -> float | None:
        return self.hits / self.warned if self.warned else None

    @property
    def recall(self) -> float | None:
        return self.hits / self.missed if self.missed else None


@dataclass(frozen=True, slots=True)
class Sla:
    """A target with its next deadline and how it stands; ``outlook`` is None before the first look.

    ``outcomes`` are deadlines that have passed, newest first, and ``record`` is about them.
    """

    target: SlaTarget
    next_deadline: datetime | None
    outlook: Outlook | None
    outcomes: tuple[Outlook, ...]
    record: SlaRecord


@dataclass(frozen=True, slots=True)
class SlaBacktest:
    """What a target would have warned of; ``outcomes`` are past deadlines, newest first."""

    target: SlaTarget
    outcomes: tuple[Outlook, ...]
    record: SlaRecord


def record_of(outcomes: Sequence[Outlook]) -> SlaRecord:
    """Return how well warnings did on those of the deadlines that are settled."""
    settled = [outcome for outcome in outcomes if outcome.settled]
    missed = [outcome for outcome in settled if outcome.status is SlaStatus.MISSED]
    leads = [o.deadline - o.warned_at for o in missed if o.warned_at is not None]
    return SlaRecord(
        deadlines=len(settled),
        missed=len(missed),
        warned=sum(outcome.warned_at is not None for outcome in settled),
        hits=len(leads),
        lead_time=sum(leads, timedelta(0)) / len(leads) if leads else None,
    )
