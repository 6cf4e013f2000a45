"""The series of a dataset, from what the hub says of it. Pure.

Every point is known at its time: a series that is cut short has the same points before the cut.
What lies after ``now`` is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from dataspoke.catalogue import ColumnProfile, Operation, Profile, Usage
from dataspoke.quality.arrivals import arrivals
from dataspoke.quality.model import Check, Metric, Point

MOST_COLUMN_SERIES = 300
"""The most series of columns that are watched of one dataset; see ``column_checks``."""

UNITS: Mapping[Metric, str | None] = MappingProxyType(
    {
        Metric.ROW_COUNT: "rows",
        Metric.COLUMN_COUNT: "columns",
        Metric.SIZE: "bytes",
        Metric.NULL_SHARE: "share",
        Metric.UNIQUE_SHARE: "share",
        Metric.MEAN: None,
        Metric.MIN: None,
        Metric.MAX: None,
        Metric.STDEV: None,
        Metric.FRESHNESS: "hours",
        Metric.LATE_ARRIVAL: "hours",
        Metric.QUERY_COUNT: "queries",
        Metric.SLA: "hours",
    }
)
"""The unit of each metric; None is the unit of the column. A share is 0 to 1."""

# Operations reported this close together are one update: a load in several statements.
_ONE_UPDATE = timedelta(minutes=15)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
# Nearly every value is another: a key, whose values are names and no measure of anything.
_KEY_SHARE = 0.99

_OF_TABLES: Mapping[Metric, Callable[[Profile], float | None]] = {
    Metric.ROW_COUNT: lambda profile: profile.row_count,
    Metric.COLUMN_COUNT: lambda profile: profile.column_count,
    Metric.SIZE: lambda profile: profile.size_bytes,
}
# In the order of what they find: loads that broke, keys that are doubled, values that moved.
_OF_COLUMNS: Mapping[Metric, Callable[[ColumnProfile], float | None]] = {
    Metric.NULL_SHARE: lambda column: column.null_share,
    Metric.UNIQUE_SHARE: lambda column: column.unique_share,
    Metric.MEAN: lambda column: column.mean,
    Metric.STDEV: lambda column: column.stdev,
    Metric.MIN: lambda column: column.min,
    Metric.MAX: lambda column: column.max,
}
_OF_VALUES = frozenset({Metric.MEAN, Metric.STDEV, Metric.MIN, Metric.MAX})


@dataclass(frozen=True, slots=True)
class Series:
    """The observations of one check, oldest first and never empty, in ``unit``.

    ``season_times`` are the moments whose hour and day each point is to be compared by, None where
    these are the points' own. ``probes`` are positions of looks at what is still going on: they
    are judged, and nothing is learned from them.
    """

    points: tuple[Point, ...]
    unit: str | None
    season_times: tuple[datetime, ...] | None = None
    probes: frozenset[int] = field(default_factory=frozenset)


def series_of(
    profiles: Sequence[Profile],
    operations: Sequence[Operation],
    usage: Sequence[Usage],
    now: datetime,
) -> dict[Check, Series]:
    """Return the series of each check that there are points of, as they stand at ``now``.

    Sizes, counts, shares and values have a point with each profile that reports them.

    Freshness has a point with each update, the hours since the one before it, and one for ``now``:
    how old are the data? Its season is that of the update that the hours are counted from.

    Late arrival has a point with each update that was due, the hours from when it was due until it
    came, below 0 where it was early; and one for ``now`` while an update is overdue. Other than
    freshness it keeps to the clock: of a daily load that comes six hours late on two days,
    freshness sees a long day and then a usual one, late arrival twice six hours; and a load that
    comes after an early one is not late. It is there only for datasets with a cadence (see
    ``quality.arrivals``), and its season is that of the moment an update was due.

    The query count has a point for each day, at the day's start, from the first that was reported
    to the one before the newest: the newest may still be counted. A day in between that nothing
    was reported of had no query.
    """
    runs = sorted((p for p in profiles if p.time <= now), key=lambda profile: profile.time)
    found: dict[Check, Series] = {}
    for metric, read in _OF_TABLES.items():
        points = [Point(p.time, float(v)) for p in runs if (v := read(p)) is not None]
        if points:
            found[Check(metric)] = Series(tuple(points), UNITS[metric])
    found |= _columns(runs)
    updates = update_times(operations, now)
    if updates:
        aged = ages(updates, [now])
        found[Check(Metric.FRESHNESS)] = Series(
            tuple(aged.points),
            UNITS[Metric.FRESHNESS],
            tuple(aged.begun_at),
            frozenset(aged.looks),
        )
    if late := _lateness(updates, now):
        found[Check(Metric.LATE_ARRIVAL)] = late
    if queries := query_counts(usage, now):
        found[Check(Metric.QUERY_COUNT)] = Series(tuple(queries), UNITS[Metric.QUERY_COUNT])
    return found


def column_checks(profile: Profile) -> list[Check]:
    """Return what to watch of a dataset's columns, by its newest profile.

    At most ``MOST_COLUMN_SERIES``: first the null share of every column, then the unique share,
    and then mean, standard deviation, least and greatest value, in the order of the columns. What
    the profile does not report is not watched, nor the values of a column that looks like a key.
    """
    checks = [
        Check(metric, column.path)
        for metric, read in _OF_COLUMNS.items()
        for column in profile.columns
        if read(column) is not None
        and not (metric in _OF_VALUES and (column.unique_share or 0) >= _KEY_SHARE)
    ]
    return checks[:MOST_COLUMN_SERIES]


def _columns(runs: Sequence[Profile]) -> dict[Check, Series]:
    newest = next((run for run in reversed(runs) if run.columns), None)
    if newest is None:
        return {}
    points: dict[Check, list[Point]] = {check: [] for check in column_checks(newest)}
    wanted: dict[str, list[tuple[Callable[[ColumnProfile], float | None], list[Point]]]] = {}
    for check, kept in points.items():
        assert check.column is not None  # noqa: S101  these are checks of columns
        assert check.metric is not None  # noqa: S101
        wanted.setdefault(check.column, []).append((_OF_COLUMNS[check.metric], kept))
    for run in runs:
        for column in run.columns:
            for read, kept in wanted.get(column.path, ()):
                if (value := read(column)) is not None:
                    kept.append(Point(run.time, value))
    return {
        check: Series(tuple(kept), UNITS[check.metric])
        for check, kept in points.items()
        if check.metric
    }


def query_counts(usage: Sequence[Usage], now: datetime) -> list[Point]:
    """Return the queries of each day that is wholly counted; see ``series_of``."""
    counted = {day.time: float(day.queries) for day in usage if day.queries is not None}
    days = [time for time in sorted(counted) if time <= now]
    return [Point(time, counted.get(time, 0.0)) for time in _each_day(days[:-1], days[-1:])]


def _each_day(days: Sequence[datetime], newest: Sequence[datetime]) -> Iterator[datetime]:
    if days:
        time = days[0]
        while time < newest[0]:
            yield time
            time += _DAY


def update_times(operations: Sequence[Operation], now: datetime) -> list[datetime]:
    """Return when the dataset was updated up to ``now``, oldest first."""
    updates: list[datetime] = []
    for time in sorted(o.time for o in operations if o.time <= now):
        if updates and time - updates[-1] < _ONE_UPDATE:
            continue
        updates.append(time)
    return updates


@dataclass(frozen=True, slots=True)
class Ages:
    """Hours since the last update, at each update and at each look, in order of time.

    ``begun_at`` are the updates that the hours are counted from; ``looks`` are the positions of
    the looks, which end no interval.
    """

    points: list[Point]
    begun_at: list[datetime]
    looks: list[int]


def ages(updates: Sequence[datetime], looks: Sequence[datetime]) -> Ages:
    """Return the ages of a dataset; both arguments are in order, looks before any update drop out.

    A look at the very moment of an update sees it.
    """
    found = Ages([], [], [])
    moments = sorted([*((u, False) for u in updates), *((look, True) for look in looks)])
    last: datetime | None = None
    for moment, is_look in moments:
        if last is not None:
            if is_look:
                found.looks.append(len(found.points))
            found.points.append(Point(moment, (moment - last) / _HOUR))
            found.begun_at.append(last)
        if not is_look:
            last = moment
    return found


def _lateness(updates: Sequence[datetime], now: datetime) -> Series | None:
    known = arrivals(updates)
    points = [Point(a.came, (a.came - a.due) / _HOUR) for a in known.came]
    due = [a.due for a in known.came]
    probes: frozenset[int] = frozenset()
    if known.next_due is not None and known.next_due < now:
        probes = frozenset({len(points)})
        points.append(Point(now, (now - known.next_due) / _HOUR))
        due.append(known.next_due)
    if not points:
        return None
    return Series(tuple(points), UNITS[Metric.LATE_ARRIVAL], tuple(due), probes)
