"""The series of a dataset, and the verdicts on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataspoke.catalogue import Operation, Profile
from dataspoke.quality.detectors.judging import judge
from dataspoke.quality.detectors.monitor import ADOPT_AFTER_POINTS, FALSE_ALARM_RATE
from dataspoke.quality.detectors.watches import WATCHES
from dataspoke.quality.metrics import ages, series_of, update_times
from dataspoke.quality.model import Check, Judgement, Metric, Point, Status

_HOUR = timedelta(hours=1)
# Stands where a detector's name does.
_DEPRECATED = "deprecated"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's judgements, oldest first and never empty; the last is on its present state.

    ``failing_since`` names the fault that the last judgement belongs to, None where it passes:
    the time of the first failing point for row counts, and for freshness that of the last
    update. It stays the same however often the fault is looked at.
    """

    check: Check
    judgements: tuple[Judgement, ...]
    failing_since: datetime | None


def judge_freshness(
    operations: Sequence[Operation], looks: Sequence[datetime], rate: float = FALSE_ALARM_RATE
) -> list[Judgement]:
    """Return what a scan at each of ``looks`` would have said of the freshness at that moment.

    Each is judged from the operations before it alone; looks before the first update drop out.
    """
    if not looks:
        return []
    found = ages(update_times(operations, looks[-1]), looks)
    judged = judge(
        found.points,
        WATCHES[Metric.FRESHNESS],
        rate=rate,
        season_times=found.begun_at,
        probes=frozenset(found.looks),
    )
    return [judged[position] for position in found.looks]


@dataclass(frozen=True, slots=True)
class DatasetHistory:
    """What is known of one dataset, and up to when each of its checks has been judged."""

    urn: str
    profiles: tuple[Profile, ...]
    operations: tuple[Operation, ...]
    judged_until: Mapping[Check, datetime]
    deprecated: bool = False


def judge_datasets(histories: Sequence[DatasetHistory], now: datetime) -> dict[str, list[Verdict]]:
    """Return the verdicts on each dataset, by its urn; see ``judge_dataset``."""
    return {
        history.urn: judge_dataset(
            history.profiles,
            history.operations,
            now,
            history.judged_until,
            deprecated=history.deprecated,
        )
        for history in histories
    }


def judge_dataset(
    profiles: Sequence[Profile],
    operations: Sequence[Operation],
    now: datetime,
    judged_until: Mapping[Check, datetime],
    *,
    deprecated: bool = False,
    rate: float = FALSE_ALARM_RATE,
) -> list[Verdict]:
    """Return the verdict on each metric that the dataset has points of.

    Row counts are those of its profiles. Freshness is judged at each update, by the hours since
    the one before it, and at ``now`` by the hours since the last: it passes the moment it may
    still be in time. Its season is that of the update an interval begins with, so that a Friday's
    load is not missed on Saturday. Points up to ``judged_until`` were judged before and are left
    out, except the last. Nobody owes a deprecated dataset a load: its freshness passes at any age.
    """
    verdicts = []
    counted = series_of(profiles, (), (), now).get(Check(Metric.ROW_COUNT))
    if counted:
        counts = counted.points
        new = _first_after(counts, judged_until.get(Check(Metric.ROW_COUNT)))
        # No fault lasts longer before it is the new normal.
        start = max(0, new - ADOPT_AFTER_POINTS)
        judged = judge(counts, WATCHES[Metric.ROW_COUNT], start=start, rate=rate)
        failing_since = _failing_since(judged)
        verdicts.append(
            Verdict(Check(Metric.ROW_COUNT), tuple(judged[new - start :]), failing_since)
        )
    updates = update_times(operations, now)
    if updates and deprecated:
        age = Point(now, (now - updates[-1]) / _HOUR)
        excused = Judgement(age, Status.PASS, _DEPRECATED)
        verdicts.append(Verdict(Check(Metric.FRESHNESS), (excused,), None))
    elif updates:
        found = ages(updates, [now])
        judged = judge(
            found.points,
            WATCHES[Metric.FRESHNESS],
            start=_first_after(found.points, judged_until.get(Check(Metric.FRESHNESS))),
            rate=rate,
            season_times=found.begun_at,
            probes=frozenset(found.looks),
        )
        late = judged[-1].status is Status.FAIL
        verdicts.append(
            Verdict(Check(Metric.FRESHNESS), tuple(judged), updates[-1] if late else None)
        )
    return verdicts


def _first_after(points: Sequence[Point], until: datetime | None) -> int:
    if until is None:
        return 0
    new = next((i for i, p in enumerate(points) if p.time > until), len(points))
    return min(new, len(points) - 1)


def _failing_since(judged: Sequence[Judgement]) -> datetime | None:
    since = None
    for judgement in reversed(judged):
        if judgement.status is not Status.FAIL:
            break
        since = judgement.point.time
    return since
