"""Loads, profiles and queries of a table, day by day, with its faults in them."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataspoke.localhub.sample import columns, usage
from dataspoke.localhub.sample.catalogue import Series, Table
from dataspoke.localhub.sample.faults import Fault, FaultKind, Label
from dataspoke.localhub.sample.usage import Usage

_PROFILED_COLUMNS = 2
# Tables are profiled in the morning, after the night's loads; a load that is late is not in it.
_PROFILE_AT = timedelta(hours=7, minutes=30)
# A stream is counted by the day, at its end.
_STREAM_AT = timedelta(hours=23, minutes=50)

_FULL_TABLE = {"partition": "FULL_TABLE_SNAPSHOT", "type": "FULL_TABLE"}


@dataclass(frozen=True, slots=True)
class Activity:
    """What DataHub is told about one table, as records, and what was wrong with it, as labels."""

    records: list[dict[str, Any]]
    labels: list[Label]


@dataclass(frozen=True, slots=True)
class _Load:
    """A load: ``day`` that it was due on, and when it came. ``due`` and ``came`` are UTC."""

    day: int
    due: datetime
    came: datetime


def simulate(
    table: Table,
    first_day: date,
    days: int,
    cut: datetime,
    faults: Sequence[Fault],
    statements: Mapping[int, list[str]],
    seed: int,
) -> Activity:
    """Return the operations, profiles and usage of ``days`` days up to ``cut``.

    ``statements`` are those about the table, by the number of the day.
    The same seed and days give the same numbers wherever on the last day the cut lies.
    """
    series = table.series
    retired = table.retired or 0
    if series is None or retired >= days:
        return Activity([], [])
    # Each table draws from its own stream of numbers: a new table leaves the others as they are.
    rng = np.random.default_rng([seed, zlib.crc32(table.urn.encode())])
    dates = [first_day + timedelta(days=day) for day in range(days)]
    rows = _rows(series, dates, rng)
    loads = _loads(series, dates, faults, rng)
    nulls = {
        column.name: _null_shares(column.name, days, faults, rng)
        for column in [c for c in table.columns if c.nullable][:_PROFILED_COLUMNS]
    }
    width = 18 * len(table.columns) * rng.uniform(0.8, 1.4)
    # Of their own numbers, so that they leave rows, loads and empty values as they are.
    others = np.random.default_rng([seed, zlib.crc32(table.urn.encode()), 1])
    shown = columns.describe(table, days, nulls, others)
    queries = usage.draw(table, dates, others)
    last = min(cut, _at(dates[-1 - retired], timedelta(hours=24)))

    times = [_at(day, _profile_time(series)) for day in dates]
    loaded_on = _latest_load(loads, times)
    observed = rows[loaded_on]
    for fault in faults:
        _distort(observed, fault)
    counts = np.maximum(np.rint(observed), 0).astype(int)

    moved = counts
    if series.kind in ("growing", "dimension"):
        moved = np.abs(np.diff(counts, prepend=counts[0] - series.daily))

    records = [
        _operation(table.urn, series, load.came, int(moved[load.day]))
        for load in loads
        if load.came <= last
    ]
    for day, moment in enumerate(times):
        if moment <= last:
            rows_now = int(counts[day])
            # A profile without a new load shows what the load before it brought.
            seen = [column.profile(rows_now, int(loaded_on[day])) for column in shown]
            records.append(_profile(table, moment, rows_now, width, seen))
    for day, counted in queries.items():
        if _at(dates[day], timedelta(0)) <= min(cut, last):
            texts = statements.get(day, [])
            records.append(_usage(table.urn, dates[day], counted, texts))
    labels = [_label(table.urn, fault, times, loads, last) for fault in faults]
    return Activity(records, [label for label in labels if label.start <= last])


def _rows(series: Series, dates: list[date], rng: np.random.Generator) -> NDArray[np.float64]:
    if series.kind == "dimension":
        per_day = series.daily or series.rows * 2e-5
        steps = rng.poisson(per_day, len(dates)) - rng.poisson(per_day * 0.2, len(dates))
        return np.asarray(series.rows + np.cumsum(steps), dtype=float)
    # Weekend and end of month are of the shop; the other days of the week differ a little too.
    week = np.concatenate([rng.uniform(0.94, 1.06, 5), series.weekend * rng.uniform(0.95, 1.05, 2)])
    season = np.array(
        [
            week[day.weekday()]
            * (series.month_end if (day + timedelta(days=2)).month != day.month else 1.0)
            for day in dates
        ]
    )
    trend = (1 + rng.uniform(-0.0004, 0.0014)) ** np.arange(len(dates))
    variation = series.variation or rng.uniform(0.02, 0.15)
    noise = rng.lognormal(-(variation**2) / 2, variation, len(dates))
    if series.kind == "growing":
        return np.asarray(series.rows + np.cumsum(series.daily * season * trend * noise))
    return np.asarray(series.rows * season * trend * noise)


def _loads(
    series: Series, dates: list[date], faults: Sequence[Fault], rng: np.random.Generator
) -> list[_Load]:
    if series.kind == "stream":
        return [
            _Load(day, _at(when, _STREAM_AT), _at(when, _STREAM_AT))
            for day, when in enumerate(dates)
        ]
    hour = rng.uniform(1.0, 5.5)
    jitter = rng.normal(0, rng.uniform(3, 12), len(dates))
    delays = {
        day: fault.size
        for fault in faults
        if fault.kind is FaultKind.LATE
        for day in range(fault.first, fault.last + 1)
    }
    loads = []
    for day, when in enumerate(dates):
        if series.weekdays_only and when.weekday() >= 5:
            continue
        due = _at(when, timedelta(hours=hour))
        delay_h = delays.get(day, 0.0)
        if delay_h == float("inf"):
            continue
        minutes = float(np.clip(jitter[day], -45, 45))
        loads.append(_Load(day, due, due + timedelta(hours=delay_h, minutes=minutes)))
    return loads


def _latest_load(loads: Sequence[_Load], times: Sequence[datetime]) -> NDArray[np.int64]:
    """Return for each time the day of the newest load that had come by then; 0 before the first."""
    latest, position = [], 0
    newest = 0
    for moment in times:
        while position < len(loads) and loads[position].came <= moment:
            newest = loads[position].day
            position += 1
        latest.append(newest)
    return np.array(latest)


def _null_shares(
    name: str, days: int, faults: Sequence[Fault], rng: np.random.Generator
) -> NDArray[np.float64]:
    usual = rng.uniform(0.002, 0.12)
    shares = usual * rng.lognormal(0, 0.06, days)
    for fault in faults:
        if fault.kind is FaultKind.NULLS and fault.field == name:
            shares[fault.first : fault.last + 1] += fault.size
    return np.clip(shares, 0, 1)


def _distort(observed: NDArray[np.float64], fault: Fault) -> None:
    days = slice(fault.first, fault.last + 1)
    if fault.kind in (FaultKind.DROP, FaultKind.SPIKE):
        observed[days] *= fault.size
    elif fault.kind is FaultKind.DRIFT:
        observed[days] *= (1 + fault.size) ** np.arange(1, fault.last - fault.first + 2)


def _label(
    urn: str, fault: Fault, times: Sequence[datetime], loads: Sequence[_Load], last: datetime
) -> Label:
    if fault.kind is not FaultKind.LATE:
        metric = "null_proportion" if fault.kind is FaultKind.NULLS else "row_count"
        end = min(times[fault.last], last)
        return Label(urn, metric, fault.kind, times[fault.first], end, fault.field)
    after = [load for load in loads if load.day >= fault.first]
    before = [load for load in loads if load.day < fault.first]
    # A load that is left out was due a whole day after the one before it.
    due = after[0].due if after and after[0].day == fault.first else None
    if due is None:
        clock = (before or after)[-1].due.timetz() if before or after else times[0].timetz()
        due = datetime.combine(times[fault.first].date(), clock)
    return Label(urn, "freshness", fault.kind, due, after[0].came if after else last)


def _profile_time(series: Series) -> timedelta:
    return _STREAM_AT if series.kind == "stream" else _PROFILE_AT


def _at(day: date, offset: timedelta) -> datetime:
    return datetime.combine(day, time(), UTC) + offset


# The SDK's to_obj() checks every value against the Avro schema, 0.2 ms a record: six seconds for
# the whole history. The same objects are built here; tests/unit/test_sample.py sends every one of
# them through the SDK's classes.
def _proposal(urn: str, aspect: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "entityType": "dataset",
        "entityUrn": urn,
        "changeType": "UPSERT",
        "aspectName": aspect,
        "aspect": {"json": value},
    }


def _operation(urn: str, series: Series, moment: datetime, rows: int) -> dict[str, Any]:
    stamp = int(moment.timestamp() * 1000)
    return _proposal(
        urn,
        "operation",
        {
            "timestampMillis": stamp,
            "partitionSpec": _FULL_TABLE,
            "operationType": "UPDATE" if series.kind == "dimension" else "INSERT",
            "lastUpdatedTimestamp": stamp,
            "numAffectedRows": rows,
            "sourceType": "DATA_PROCESS",
        },
    )


def _usage(urn: str, day: date, counted: Usage, statements: list[str]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "timestampMillis": int(_at(day, timedelta(0)).timestamp() * 1000),
        "eventGranularity": {"unit": "DAY", "multiple": 1},
        "partitionSpec": _FULL_TABLE,
        "uniqueUserCount": counted.users,
        "totalSqlQueries": counted.queries,
    }
    if statements:
        value["topSqlQueries"] = statements
    return _proposal(urn, "datasetUsageStatistics", value)


def _profile(
    table: Table, moment: datetime, rows: int, width: float, columns: list[dict[str, Any]]
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "timestampMillis": int(moment.timestamp() * 1000),
        "partitionSpec": _FULL_TABLE,
        "rowCount": rows,
        "columnCount": len(table.columns),
        "sizeInBytes": int(rows * width),
    }
    if columns:
        value["fieldProfiles"] = columns
    return _proposal(table.urn, "datasetProfile", value)
