"""What a monitor would have alerted on, replayed over its history by the rules of a scan."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from dataspoke.catalogue import Operation, Profile, Usage
from dataspoke.quality.alerts import transition
from dataspoke.quality.detectors import (
    FALSE_ALARM_RATE,
    NO_FEEDBACK,
    NOTHING_EXCLUDED,
    WATCHES,
    Exclusions,
    judge,
)
from dataspoke.quality.metrics import Series, ages, series_of, update_times
from dataspoke.quality.model import Alert, Check, FeedbackKind, Judgement, Metric, Status

_MONTH = timedelta(days=365.25 / 12)
_DAY = timedelta(days=1)
_FRESHNESS = Check(Metric.FRESHNESS)
_LOADS = (Metric.FRESHNESS, Metric.LATE_ARRIVAL)
_FAULTS = (Status.FAIL, Status.WARN)
_NOT_JUDGED = (Status.WARMING_UP, Status.ERROR)
# Stands for what a series belongs to where it belongs to nothing.
_NO_DATASET = "urn:li:dataset:(urn:li:dataPlatform:none,none,PROD)"


@dataclass(frozen=True, slots=True)
class WouldBeAlert:
    """An alert as it would be at the end of the replay.

    ``peak`` is the judgement that was farthest out of its range while the alert was active,
    measured in widths of that range.
    """

    alert: Alert
    peak: Judgement


@dataclass(frozen=True, slots=True)
class CheckBacktest:
    """What would have come of one check.

    ``judgements`` are those of the replayed time, oldest first; ``judged`` counts the ones past the
    warm-up and ``failed`` those out of range. ``alerts`` are in the order in which they opened.
    ``alerts_per_month`` is None where nothing could be judged.

    ``silenced`` are the alerts that there would have been without people's feedback and are not
    with it, ``added`` those that there are only with it; none of both where nobody gave any.
    """

    check: Check
    judgements: tuple[Judgement, ...]
    judged: int
    failed: int
    alerts: tuple[WouldBeAlert, ...]
    alerts_per_month: float | None
    silenced: tuple[WouldBeAlert, ...] = ()
    added: tuple[WouldBeAlert, ...] = ()


@dataclass(frozen=True, slots=True)
class Backtest:
    """What would have come of a dataset's checks from ``since`` to ``until``, by their keys.

    ``alerts_per_month`` adds up those of the checks; None where nothing could be judged.
    """

    urn: str
    since: datetime
    until: datetime
    checks: tuple[CheckBacktest, ...]
    alerts_per_month: float | None


@dataclass(frozen=True, slots=True)
class _Look:
    """What a scan at ``now`` sees of a check: its newest judgement, and since when it fails."""

    now: datetime
    judgement: Judgement
    failing_since: datetime | None


def openings(judged: Sequence[Judgement]) -> list[bool]:
    """Return for each judgement of a series whether an alert opened there, or came back.

    ``judged`` is in order of time, and each is scanned as it comes.
    """
    active = False
    opened = []
    for alert in _replayed(
        _NO_DATASET, Check(Metric.ROW_COUNT), _looks((one, one.point.time) for one in judged)
    ):
        was_active, active = active, alert is not None and alert.active
        opened.append(active and not was_active)
    return opened


def replayable(
    profiles: Sequence[Profile],
    operations: Sequence[Operation],
    usage: Sequence[Usage],
    looks: Sequence[datetime],
    *,
    deprecated: bool,
) -> dict[Check, Series]:
    """Return the series of a dataset that are watched, as they stand at the last of ``looks``.

    Freshness is looked at at each of them, which are in order: it changes without anything being
    observed. Nobody owes a deprecated dataset a load.
    """
    until = looks[-1]
    found = series_of(profiles, operations, usage, until)
    freshness = found.get(_FRESHNESS)
    if freshness is not None:
        aged = ages(update_times(operations, until), looks)
        found[_FRESHNESS] = replace(
            freshness,
            points=tuple(aged.points),
            season_times=tuple(aged.begun_at),
            probes=frozenset(aged.looks),
        )
    return {
        check: series
        for check, series in found.items()
        if check.metric in WATCHES and not (deprecated and check.metric in _LOADS)
    }


def backtest(
    urn: str,
    series: Mapping[Check, Series],
    since: datetime,
    until: datetime,
    *,
    rates: Mapping[Check, float] = MappingProxyType({}),
    exclusions: Exclusions = NOTHING_EXCLUDED,
    feedback: Mapping[Check, Mapping[datetime, FeedbackKind]] = MappingProxyType({}),
) -> Backtest:
    """Return what scans of a dataset from ``since`` to ``until`` would have alerted on.

    The replay begins without any alert at ``since``; what was observed before is learned from. Each
    observation is scanned as it comes, freshness at each look. No judgement sees what came after
    it. ``rates`` holds the share of healthy points that may be called faults, for those that do not
    have the usual one. ``feedback`` is what people said of points, by check and time.
    """
    checks: list[CheckBacktest] = []
    for check in sorted(series, key=lambda one: one.key):
        said = feedback.get(check, NO_FEEDBACK)
        rate = rates.get(check, FALSE_ALARM_RATE)
        found = _replay_check(urn, check, series[check], since, until, rate, exclusions, said)
        if said:
            without = _replay_check(
                urn, check, series[check], since, until, rate, exclusions, NO_FEEDBACK
            )
            silenced, added = changed_alerts(without.alerts, found.alerts)
            found = replace(found, silenced=silenced, added=added)
        checks.append(found)
    return Backtest(urn, since, until, tuple(checks), total_per_month(checks))


def total_per_month(checks: Sequence[CheckBacktest]) -> float | None:
    """Return how many alerts a month the checks make together; None where none was judged."""
    frequencies = [c.alerts_per_month for c in checks if c.alerts_per_month is not None]
    return sum(frequencies) if frequencies else None


def changed_alerts(
    before: Sequence[WouldBeAlert], after: Sequence[WouldBeAlert]
) -> tuple[tuple[WouldBeAlert, ...], tuple[WouldBeAlert, ...]]:
    """Return the alerts that are in the first alone, and those that are in the second alone."""
    known, kept = ({one.alert.id for one in alerts} for alerts in (before, after))
    return (
        tuple(one for one in before if one.alert.id not in kept),
        tuple(one for one in after if one.alert.id not in known),
    )


def thinned(judgements: Sequence[Judgement], most: int) -> list[Judgement]:
    """Return at most ``most`` judgements for a picture, in order: the faults before all others."""
    if len(judgements) <= most:
        return list(judgements)
    faults = [i for i, one in enumerate(judgements) if one.status in _FAULTS]
    others = [i for i, one in enumerate(judgements) if one.status not in _FAULTS]
    kept = _evenly(faults, most)
    kept += _evenly(others, most - len(kept))
    return [judgements[i] for i in sorted(kept)]


def _replay_check(
    urn: str,
    check: Check,
    series: Series,
    since: datetime,
    until: datetime,
    rate: float,
    exclusions: Exclusions,
    feedback: Mapping[datetime, FeedbackKind],
) -> CheckBacktest:
    assert check.metric is not None  # noqa: S101  rules have no series
    everything = judge(
        series.points,
        WATCHES[check.metric],
        rate=rate,
        season_times=series.season_times,
        probes=series.probes,
        exclusions=exclusions,
        feedback=feedback,
    )
    # A fault is named by what its first point is compared by, as the scan names it.
    names = series.season_times or tuple(point.time for point in series.points)
    looked = [
        (judgement, names[position])
        for position, judgement in enumerate(everything)
        if since <= judgement.point.time <= until
        and (check.metric is not Metric.FRESHNESS or position in series.probes)
    ]
    replayed = tuple(judgement for judgement, _ in looked)
    judged = [one for one in replayed if one.status not in _NOT_JUDGED]
    looks = list(_looks(looked))
    alerts: dict[UUID, Alert] = {}
    peaks: dict[UUID, Judgement] = {}
    for look, alert in zip(looks, _replayed(urn, check, looks), strict=True):
        if alert is None:
            continue
        alerts[alert.id] = alert
        if alert.active and look.judgement.status in _FAULTS:
            peak = peaks.get(alert.id)
            if peak is None or _distance(look.judgement) > _distance(peak):
                peaks[alert.id] = look.judgement
    per_month = None
    if judged:
        # A single observation tells of a day.
        per_month = len(alerts) * (_MONTH / max(until - judged[0].point.time, _DAY))
    return CheckBacktest(
        check=check,
        judgements=replayed,
        judged=len(judged),
        failed=sum(one.status in _FAULTS for one in judged),
        alerts=tuple(WouldBeAlert(alert, peaks[alert.id]) for alert in alerts.values()),
        alerts_per_month=per_month,
    )


def _replayed(urn: str, check: Check, looks: Iterable[_Look]) -> Iterator[Alert | None]:
    """Yield the check's newest alert after each look, None while there has been none."""
    alert: Alert | None = None
    for look in looks:
        changed = transition(alert, urn, check, look.judgement, look.failing_since, look.now)
        alert = alert if changed is None else changed
        yield alert


def _looks(judgements: Iterable[tuple[Judgement, datetime]]) -> Iterator[_Look]:
    """Yield what scans see of judgements in order, each with what would name a fault there."""
    since: datetime | None = None
    for judgement, name in judgements:
        if judgement.status in _FAULTS:
            since = since or name
        elif judgement.status is Status.PASS:
            since = None
        yield _Look(judgement.point.time, judgement, since)


def _distance(judgement: Judgement) -> float:
    low, high, value = judgement.low, judgement.high, judgement.point.value
    if low is None or high is None:
        return 0.0
    width = high - low
    beyond = max(low - value, value - high, 0.0)
    return beyond / width if width > 0 else beyond


def _evenly(positions: Sequence[int], count: int) -> list[int]:
    if count >= len(positions):
        return list(positions)
    return [positions[i * len(positions) // count] for i in range(count)]
