"""What a target would have warned of: the past replayed, look by look."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dataspoke.quality.model import Window
from dataspoke.quality.sla.deadlines import Cycle, past_cycles
from dataspoke.quality.sla.forecast import Forecast, Upstream
from dataspoke.quality.sla.looking import CYCLES, LONGEST_HISTORY, next_look, watched_from
from dataspoke.quality.sla.model import Outlook, SlaBacktest, SlaTarget, record_of

# Half a year of daily deadlines, after those that are learned from.
_JUDGED = 180


def backtest(
    target: SlaTarget,
    updates: Sequence[datetime],
    upstreams: Sequence[Upstream],
    now: datetime,
    exclusions: Sequence[Window] = (),
) -> SlaBacktest:
    """Return what the newest 180 deadlines would have come to, had the target been set before.

    Each is looked at when it would have been, with a forecast from the deadlines before it. Those
    with too few loads before them are left out.
    """
    cycles = [
        cycle
        for cycle in past_cycles(target, now, CYCLES + _JUDGED, now - LONGEST_HISTORY)
        if not any(window.start <= cycle.deadline < window.end for window in exclusions)
    ]
    outcomes = []
    for place in range(max(0, len(cycles) - _JUDGED), len(cycles)):
        before = cycles[max(0, place - CYCLES) : place]
        forecast = Forecast(target, before, updates, upstreams)
        outcome = _replayed(forecast, cycles[place], now)
        if outcome is not None:
            outcomes.append(outcome)
    outcomes.reverse()
    return SlaBacktest(target, tuple(outcomes), record_of(outcomes))


def _replayed(forecast: Forecast, cycle: Cycle, now: datetime) -> Outlook | None:
    moment, warned_at = watched_from(cycle), None
    while warned_at is None and moment < cycle.deadline:
        chance = forecast.chance(cycle, moment)
        if chance is None:
            return None
        if forecast.update(forecast.target.urn, cycle, moment) is not None:
            break
        if chance >= forecast.target.warn_at:
            warned_at = moment
        moment = next_look(cycle, moment)
    outcome = forecast.outlook(cycle, min(now, cycle.closes_at))
    if warned_at is None:
        return outcome
    return replace(outcome, warned_at=warned_at, cause=forecast.cause(cycle, warned_at))
