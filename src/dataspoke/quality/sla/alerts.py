"""The one alert of a deadline: a warning before it, then a fault, over with the load."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from dataspoke.quality.model import Alert, AlertState, Check, Metric, Severity
from dataspoke.quality.sla.looking import Look
from dataspoke.quality.sla.model import Outlook, SlaStatus, SlaTarget
from dataspoke.urns import dataset_name, deterministic_id

SLA = Check(Metric.SLA)


class Step(StrEnum):
    """What happens to the alert of a dataset."""

    WARN = "WARN"
    MISS = "MISS"
    RESOLVE = "RESOLVE"


@dataclass(frozen=True, slots=True)
class Move:
    """A step, and the deadline that it is about; ``alert`` is the active one, if any."""

    step: Step
    outlook: Outlook | None
    alert: Alert | None


def move(look: Look, newest: Alert | None, *, muted: bool, deprecated: bool) -> Move | None:
    """Return what a look does to a dataset's alert; None where nothing.

    ``newest`` is its newest alert, whatever its state. While one is active no other opens: a
    dataset that is not loaded for days has one alert. It ends with the first load that comes after
    it, or with the one that its deadline waits for where that is reported late. One that a person
    closed is not opened again for the same deadline. A dataset that never had a load misses none.
    """
    previous, upcoming = look.previous, look.upcoming
    missed = previous is not None and (
        previous.status is SlaStatus.MISSED and previous.arrived_at is None
    )
    if newest is not None and newest.active:
        if deprecated or _is_over(newest, look):
            return Move(Step.RESOLVE, None, newest)
        warned = newest.severity is Severity.WARN
        if previous is not None and missed and warned and _is_of(newest, previous):
            return Move(Step.MISS, previous, newest)
        return None
    if muted or deprecated or look.updated_at is None:
        return None
    met = upcoming is not None and upcoming.status is SlaStatus.MET
    if previous is not None and missed and not met and not _is_of(newest, previous):
        return Move(Step.MISS, previous, None)
    if upcoming is None or upcoming.status is not SlaStatus.AT_RISK or _is_of(newest, upcoming):
        return None
    return Move(Step.WARN, upcoming, None)


def moved(move: Move, target: SlaTarget, downstream: int, now: datetime) -> Alert | None:
    """Return the alert to save after a move; ``downstream`` is how many datasets are affected."""
    alert, outlook = move.alert, move.outlook
    if outlook is None:
        return None if alert is None else resolved(alert, now)
    told = _message(outlook, target, downstream)
    if move.step is Step.MISS:
        severity, hours = Severity.ERROR, _hours(now - outlook.deadline)
    else:
        expected = outlook.expected_at or outlook.deadline
        severity, hours = Severity.WARN, _hours(expected - outlook.deadline)
    if alert is not None:
        return replace(alert, severity=severity, value=hours, message=told)
    identity = _identity(outlook)
    return Alert(
        id=identity,
        urn=outlook.urn,
        check=SLA,
        state=AlertState.OPEN,
        dedupe_key=str(identity),
        opened_at=now,
        observed_at=now,
        value=hours,
        message=told,
        severity=severity,
        high=0.0,
    )


def resolved(alert: Alert, now: datetime) -> Alert:
    """Return the alert, ended by itself."""
    return replace(alert, state=AlertState.RESOLVED, ended_at=now, snoozed_until=None)


def _is_over(alert: Alert, look: Look) -> bool:
    about = [o for o in (look.upcoming, look.previous) if o is not None and _is_of(alert, o)]
    if any(outlook.arrived_at is not None for outlook in about):
        return True
    return look.updated_at is not None and look.updated_at > alert.opened_at


def _is_of(alert: Alert | None, outlook: Outlook) -> bool:
    return alert is not None and alert.id == _identity(outlook)


def _identity(outlook: Outlook) -> UUID:
    return deterministic_id("sla", outlook.urn, outlook.deadline.isoformat())


def _message(outlook: Outlook, target: SlaTarget, downstream: int) -> str:
    deadline = outlook.deadline.astimezone(ZoneInfo(target.time_zone))
    due = f"the deadline of {deadline:%H:%M} ({target.time_zone})"
    if outlook.status is SlaStatus.MISSED:
        told = f"{dataset_name(outlook.urn)}: missed {due}"
    else:
        # Rounded down: nothing is certain before the deadline.
        told = (
            f"{dataset_name(outlook.urn)}: {int(100 * (outlook.chance or 0))}% chance to miss {due}"
        )
    if outlook.cause is not None:
        verb = "came" if outlook.cause.arrived else "is"
        late = f"{_hours(outlook.cause.late):,.1f} hours late"
        told += f"; {dataset_name(outlook.cause.urn)} {verb} {late}"
    if downstream == 0:
        return f"{told}."
    return f"{told}. {downstream:,} dataset{'s' if downstream > 1 else ''} downstream."


def _hours(time: timedelta) -> float:
    return time / timedelta(hours=1)
