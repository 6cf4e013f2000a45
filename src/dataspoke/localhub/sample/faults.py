"""What goes wrong in the bookshop, and the labels that say so."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import numpy as np

from dataspoke.localhub.sample.catalogue import Table

# A detector needs a past to judge by: no fault lies in the first weeks.
_FIRST_DAY = 45
# Enough usual days between two faults of a table for each to be a surprise again.
_GAP_DAYS = 18
# The last days are calm, so that most verdicts of a first scan are green; see RECENT.
_CALM_DAYS = 4
_SHARE = 0.35
# Half of four rows is not a fault that anybody could tell from a change.
_SMALL = 50


class FaultKind(StrEnum):
    DROP = "drop"  # rows are missing
    SPIKE = "spike"  # rows are there twice or more
    DRIFT = "drift"  # the row count walks away, day by day
    LATE = "late"  # the load comes hours late, or not at all
    NULLS = "nulls"  # one column is empty in far more rows than usual


@dataclass(frozen=True, slots=True)
class Label:
    """One fault as a detector should see it: between ``start`` and ``end``, both inclusive.

    ``metric`` is row_count, freshness or null_proportion (of ``field``). ``start`` and ``end`` are
    the times of the first and the last faulty observation; for freshness, the time at which the
    load was due and the one at which the data came (or the end of the history).
    """

    urn: str
    metric: str
    kind: FaultKind
    start: datetime
    end: datetime
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault on the days ``first`` to ``last`` of the history.

    ``size`` is the factor on the row count (drop, spike), the growth per day (drift), the delay in
    hours (late; infinite where the load is left out) or the share of nulls that is added (nulls).
    """

    kind: FaultKind
    first: int
    last: int
    size: float
    field: str | None = None


# Two tables are faulty at the end of the history, so that a first scan shows red beside green:
# the table behind the morning report lacks half its rows on the last two days (volume), and the
# best-seller list has not been loaded for three days (freshness).
RECENT = {
    "analytics.marts.fct_sales_d": (FaultKind.DROP, 2, 0.47),
    "analytics.marts.rpt_bestseller_w": (FaultKind.LATE, 3, float("inf")),
}


def plan(tables: list[Table], first_day: date, days: int, seed: int) -> dict[str, list[Fault]]:
    """Return the faults of each table that has any, by urn, in order of time.

    A history of fewer than 60 days has only the recent ones.
    """
    rng = np.random.default_rng([seed, 1])
    calm = [
        table
        for table in tables
        if table.retired is None and table.name not in RECENT and _rows(table) >= _SMALL
    ]
    faulty = rng.choice(len(calm), size=round(_SHARE * len(calm)), replace=False)
    faults: dict[str, list[Fault]] = {}
    turn = 0
    for table in (calm[index] for index in sorted(faulty)):
        first = _FIRST_DAY + int(rng.integers(0, 30))
        for _ in range(int(rng.integers(1, 4))):
            kinds = _possible(table)
            kind = kinds[turn % len(kinds)]
            if kind is FaultKind.LATE:
                first = _mid_week(first_day, first)
            fault = _draw(kind, table, first, rng)
            if fault.last > days - 1 - _CALM_DAYS:
                break
            turn += 1
            faults.setdefault(table.urn, []).append(fault)
            first = fault.last + _GAP_DAYS + int(rng.integers(0, 25))
    for table in tables:
        if table.name in RECENT:
            kind, length, size = RECENT[table.name]
            faults[table.urn] = [Fault(kind, max(days - length, 0), days - 1, size)]
    return faults


def _rows(table: Table) -> int:
    return table.series.rows if table.series else 0


def _mid_week(first_day: date, day: int) -> int:
    """Return the next day from ``day`` on that is a Wednesday to Friday within its month.

    While a load is late, the profiler sees the rows of the day before. In mid-week those two days
    are alike, so that the fault lies in freshness alone, as its label says.
    """
    while (when := first_day + timedelta(days=day)).weekday() not in (2, 3, 4) or not (
        3 <= when.day <= 26
    ):
        day += 1
    return day


def _possible(table: Table) -> list[FaultKind]:
    assert table.series is not None  # noqa: S101  only tables with a series are planned for
    kinds = [FaultKind.DROP, FaultKind.SPIKE]
    if table.series.kind in ("partition", "stream"):
        kinds.append(FaultKind.DRIFT)
    if table.series.kind != "stream":
        kinds.append(FaultKind.LATE)
    if any(column.nullable for column in table.columns):
        kinds.append(FaultKind.NULLS)
    return kinds


def _draw(kind: FaultKind, table: Table, first: int, rng: np.random.Generator) -> Fault:
    length = int(rng.integers(1, 4))
    if kind is FaultKind.DROP:
        return Fault(kind, first, first + length - 1, 1 - rng.uniform(0.30, 0.95))
    if kind is FaultKind.SPIKE:
        return Fault(kind, first, first + length - 1, rng.uniform(1.6, 6.0))
    if kind is FaultKind.DRIFT:
        per_day = rng.uniform(0.015, 0.04) * (1 if rng.random() < 0.3 else -1)
        return Fault(kind, first, first + int(rng.integers(10, 21)) - 1, per_day)
    if kind is FaultKind.LATE:
        left_out = rng.random() < 0.4
        return Fault(kind, first, first, float("inf") if left_out else rng.uniform(8, 20))
    nullable = [column.name for column in table.columns if column.nullable]
    field = nullable[int(rng.integers(0, min(2, len(nullable))))]
    return Fault(kind, first, first + length, rng.uniform(0.08, 0.7), field)
