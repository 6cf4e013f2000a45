"""Deleting what was kept long enough."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol


class Retention(Protocol):
    """Each call deletes at most ``limit`` rows, commits, and returns how many there were.

    Ages are counted by the store's clock. What is needed to judge stays at any age.
    """

    async def delete_results(self, urns: Sequence[str], older_than: timedelta, limit: int) -> int:
        """Delete results of these datasets by their point's time, but the newest of each check.

        That one says up to where the series has been judged.
        """
        ...

    async def delete_health_scores(
        self, urns: Sequence[str], older_than: timedelta, limit: int
    ) -> int:
        """Delete these datasets' earlier scores; the latest is kept apart."""
        ...

    async def delete_alerts(self, older_than: timedelta, limit: int) -> int:
        """Delete alerts that ended so long ago, unless they explain one that has not."""
        ...

    async def delete_runs(self, older_than: timedelta, limit: int) -> int:
        """Delete runs that ended so long ago."""
        ...

    async def delete_jobs(self, older_than: timedelta, limit: int) -> int:
        """Delete jobs that were done so long ago; the dead letters stay."""
        ...

    async def delete_slots(self, older_than: timedelta, limit: int) -> int:
        """Delete slots of schedules but the newest of each, which is not to be filled again."""
        ...

    async def delete_rejected_events(self, older_than: timedelta, limit: int) -> int: ...
