"""Backtests: what a monitor would have alerted on, before anybody switches it on."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dataspoke.catalogue import Operation, Profile, Usage
from dataspoke.errors import Forbidden, InvalidInput, NotFound
from dataspoke.ports.clock import Clock
from dataspoke.ports.compute import Compute
from dataspoke.ports.hub import Access, Actor, Hub
from dataspoke.ports.store import Store
from dataspoke.quality.access import may_see
from dataspoke.quality.backtest import Backtest, backtest, replayable, total_per_month
from dataspoke.quality.detectors import Exclusions, FalseAlarmBudget, cadence, rates
from dataspoke.quality.model import Check, Feedback, FeedbackKind, MonitorSettings
from dataspoke.urns import require_dataset

MOST_DAYS = 730
MOST_ALERTS_PER_FORTNIGHT = 14
# As far back as a scan looks.
_HISTORY = timedelta(days=730)
_COMPUTING = timedelta(seconds=60)
_DAY = timedelta(days=1)
# When the daily scan runs, unless somebody wants it otherwise.
_SCAN_AT = timedelta(hours=8)


class BacktestService:
    """Replays the scans of a dataset over its history; saves nothing and alerts nobody.

    ``alerts_per_fortnight`` is the general budget, for datasets that have none of their own.
    """

    def __init__(
        self,
        hub: Hub,
        store: Store,
        compute: Compute,
        clock: Clock,
        alerts_per_fortnight: float,
    ) -> None:
        self._hub = hub
        self._store = store
        self._compute = compute
        self._clock = clock
        self._alerts_per_fortnight = alerts_per_fortnight

    async def backtest(
        self,
        actor: Actor,
        urn: str,
        check: Check | None,
        days: int,
        alerts_per_fortnight: float | None,
    ) -> Backtest:
        """Return what scans of the last ``days`` would have alerted on, as far as the actor sees.

        None for ``check`` means all that the dataset has observations of; one that it has none of
        is absent. None for ``alerts_per_fortnight`` means the budget in force. Raises NotFound for
        a dataset that the actor cannot see, Forbidden without the right to view its profiles, or
        what else the check is made from, and InvalidInput unless ``days`` is 1 to 730 and the
        budget above 0 up to 14.
        """
        access = (await self._hub.access(actor, [urn])).get(urn)
        if access is None:
            raise NotFound(f"There is no dataset {urn}.")
        _require_view(access, urn, check)
        found = await self.replay(urn, check, days, alerts_per_fortnight)
        seen = tuple(one for one in found.checks if may_see(access, one.check))
        return replace(found, checks=seen, alerts_per_month=total_per_month(seen))

    async def replay(
        self,
        urn: str,
        check: Check | None,
        days: int,
        alerts_per_fortnight: float | None,
        timeout: timedelta = _COMPUTING,
    ) -> Backtest:
        """Return the same for an operator of this installation, who may see all of it.

        Raises DependencyTimeout where computing takes longer than ``timeout``.
        """
        _require_sense(days, alerts_per_fortnight)
        now = self._clock.now()
        since, begin = now - days * _DAY, now - _HISTORY
        urns = [require_dataset(urn)]
        datasets, profiles, operations, usage, feedback, monitors = await asyncio.gather(
            self._hub.datasets(urns),
            self._hub.profiles(urns, begin),
            self._hub.operations(urns, begin),
            self._hub.usage(urns, begin),
            self._store.feedback_on(urns),
            self._store.monitors_of(urns),
        )
        if urn not in datasets or datasets[urn].removed:
            raise NotFound(f"There is no dataset {urn} in the hub.")
        monitor = monitors.get(urn, MonitorSettings(urn))
        budget = alerts_per_fortnight or monitor.alerts_per_fortnight or self._alerts_per_fortnight
        return await self._compute.run(
            timeout,
            _compute,
            replace(monitor, alerts_per_fortnight=budget),
            check,
            tuple(profiles.get(urn, ())),
            tuple(operations.get(urn, ())),
            tuple(usage.get(urn, ())),
            tuple(feedback.get(urn, ())),
            since,
            now,
            deprecated=datasets[urn].deprecated,
        )


def _compute(
    monitor: MonitorSettings,
    check: Check | None,
    profiles: Sequence[Profile],
    operations: Sequence[Operation],
    usage: Sequence[Usage],
    feedback: Sequence[Feedback],
    since: datetime,
    now: datetime,
    *,
    deprecated: bool,
) -> Backtest:
    looks = _scans(since, now)
    series = replayable(profiles, operations, usage, looks, deprecated=deprecated)
    # All of them share the budget, whichever are asked for.
    budget = FalseAlarmBudget(monitor.alerts_per_fortnight or 1)
    shared = rates(budget, {key: cadence(found) for key, found in series.items()})
    said: dict[Check, dict[datetime, FeedbackKind]] = {}
    for one in feedback:
        said.setdefault(one.check, {})[one.point_time] = one.kind
    return backtest(
        monitor.urn,
        {key: found for key, found in series.items() if check in (None, key)},
        since,
        now,
        rates=shared,
        exclusions=Exclusions(monitor.exclusions, monitor.country),
        feedback=said,
    )


def _require_sense(days: int, alerts_per_fortnight: float | None) -> None:
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"days is {days}; give 1 to {MOST_DAYS}.")
    budget = alerts_per_fortnight
    if budget is not None and not 0 < budget <= MOST_ALERTS_PER_FORTNIGHT:
        raise InvalidInput(
            f"The budget is {budget:g} alerts a fortnight; give more than 0 and at most "
            f"{MOST_ALERTS_PER_FORTNIGHT}."
        )


def _require_view(access: Access, urn: str, check: Check | None) -> None:
    if not access.view_profile:
        raise Forbidden(f"A backtest of {urn} needs the privilege View Dataset Profile.")
    if check is not None and not may_see(access, check):
        raise Forbidden(
            f"A backtest of {check.key} of {urn} needs the privilege View Dataset Operations or "
            "View Dataset Usage, whichever it is made from."
        )


def _scans(since: datetime, now: datetime) -> list[datetime]:
    """Return the moments of the daily scans between two times, and now, in order."""
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    scans = []
    scan = midnight + _SCAN_AT
    while scan < now:
        if scan >= since:
            scans.append(scan)
        scan += _DAY
    return [*scans, now]
