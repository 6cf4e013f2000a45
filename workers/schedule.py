"""What is done at certain times."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from dataspoke.ports.runs import ALL, REST
from dataspoke.ports.store import JobKind, Jobs, NewJob
from dataspoke.quality.runs import refit_job, scan_all_job
from dataspoke.quality.sla.service import CHECK_EVERY, check_job
from dataspoke.settings import ScheduleSettings
from dataspoke.workers.slots import Cron, Every, Slots

# Events get lost; what they did not tell is found after this time at the latest.
_RECONCILE_EVERY = timedelta(hours=6)
_LONGEST_PAUSE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Entry:
    """A job that is added at each of its times; ``name`` tells it from the others for ever."""

    name: str
    slots: Slots
    job: NewJob


def entries(settings: ScheduleSettings) -> Sequence[Entry]:
    """Return what these settings ask for: scans, each scope's own ones first, and the upkeep."""
    zone = ZoneInfo(settings.time_zone)
    scans = [
        Entry(f"scan:{scope}", Cron(cron, zone), scan_all_job(scope))
        for scope, cron in settings.scan_of.items()
    ]
    scan = Cron(settings.scan, zone)
    return [
        *scans,
        Entry("scan", scan, scan_all_job(REST if scans else ALL)),
        Entry("audit", scan, _alone(JobKind.AUDIT_ALL)),
        Entry("slas", Every(CHECK_EVERY), check_job()),
        Entry("reconcile", Every(_RECONCILE_EVERY), _alone(JobKind.RECONCILE)),
        Entry("refit", Cron(settings.refit, zone), refit_job()),
        Entry("retention", Cron(settings.retention, zone), _alone(JobKind.DELETE_OLD)),
    ]


class Schedule:
    """Fills the slots of the schedules: each by one worker, however many there are.

    Only the newest slot of each counts: what was missed while no worker ran is made up for once.
    """

    def __init__(self, jobs: Jobs, entries: Sequence[Entry], on_filled: Callable[[], None]) -> None:
        self._jobs = jobs
        self._entries = entries
        self._on_filled = on_filled
        self._pause = min([_LONGEST_PAUSE, *(entry.slots.gap / 4 for entry in entries)])

    async def step(self) -> None:
        """Fill the newest slots, then wait for the next turn."""
        for entry in self._entries:
            if await self._jobs.fill_slot(entry.name, entry.slots.newest, entry.job):
                self._on_filled()
        await asyncio.sleep(self._pause.total_seconds())


def _alone(kind: JobKind) -> NewJob:
    return NewJob(kind, dedupe_key=kind)
