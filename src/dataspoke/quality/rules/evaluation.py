"""Whether a rule holds of a dataset, from what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from dataspoke.catalogue import ColumnProfile, Dataset, Operation, Profile
from dataspoke.quality.model import Judgement, Point, Severity, Status
from dataspoke.quality.rules.model import (
    Column,
    Expectation,
    Freshness,
    Operator,
    Range,
    RuleSpec,
    Schema,
    SchemaVersion,
    Sql,
    Statistic,
    Volume,
    column_name,
    format_duration,
    last_slot,
)
from dataspoke.quality.rules.schemas import changes, deviations

DETECTOR = "rule"

_LONGEST_LIST = 5
_SHARES = (Statistic.NULL_SHARE, Statistic.UNIQUE_SHARE)
_HOLDS = {
    Operator.EQUAL: lambda value, threshold: value == threshold,
    Operator.NOT_EQUAL: lambda value, threshold: value != threshold,
    Operator.LESS: lambda value, threshold: value < threshold,
    Operator.LESS_OR_EQUAL: lambda value, threshold: value <= threshold,
    Operator.GREATER: lambda value, threshold: value > threshold,
    Operator.GREATER_OR_EQUAL: lambda value, threshold: value >= threshold,
}
# What DataHub calls a platform and sqlglot a dialect.
_DIALECTS = {
    "postgres": "postgres",
    "duckdb": "duckdb",
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
    "redshift": "redshift",
    "hive": "hive",
    "spark": "spark",
    "databricks": "databricks",
    "trino": "trino",
    "presto": "presto",
    "mssql": "tsql",
    "oracle": "oracle",
    "clickhouse": "clickhouse",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a dataset, each oldest first; the last schema is that of now."""

    dataset: Dataset
    profiles: Sequence[Profile] = ()
    operations: Sequence[Operation] = ()
    schemas: Sequence[SchemaVersion] = ()


def judge(spec: RuleSpec, facts: Facts, at: datetime) -> Judgement | None:
    """Return what the rule says at a time, from what was known then.

    None where the answer is not among the facts and takes a query: always for SQL, and for a
    column where the newest profile does not tell.
    """
    definition = spec.definition
    match definition:
        case Volume():
            return _volume(spec, definition, facts, at)
        case Freshness():
            return _freshness(spec, definition, facts, at)
        case Schema():
            return _schema(spec, definition, facts, at)
        case Column():
            return _column(spec, definition, facts, at)
        case Sql():
            return None


def failed(spec: RuleSpec, at: datetime, reason: str) -> Judgement:
    """Return that the rule could not be evaluated; the reason names the fix. It has no value."""
    return Judgement(Point(at, 0.0), Status.ERROR, DETECTOR, detail=f"rule {spec.name}: {reason}")


def judge_statistic(spec: RuleSpec, column: Column, row: Sequence[Any], at: datetime) -> Judgement:
    """Return what the rule says of the answer to a statistic's query (see statements)."""
    asked = column.statistic
    if asked is None:
        raise ValueError("the rule is about values, not about a statistic")
    statistic, limits = asked
    if statistic not in _SHARES:
        if row[0] is None:
            return _nothing(spec, column, at)
        return _statistic(spec, column, statistic, float(row[0]), limits, at)
    if not row[1]:
        return _nothing(spec, column, at)
    return _statistic(spec, column, statistic, row[0] / row[1], limits, at)


def judge_matching(
    spec: RuleSpec, column: Column, matching: int, values: int, at: datetime
) -> Judgement:
    """Return what the rule says where so many values are as wanted, of so many."""
    if values == 0:
        return _nothing(spec, column, at)
    least = 1.0 if column.pattern is None else column.pattern.min_share
    what = "are accepted" if column.pattern is None else f"match {column.pattern.regex}"
    share = matching / values
    detail = f"{matching:,} of {values:,} values of {column.name} {what}"
    if least < 1:
        detail += f", expected at least {least:.2%}"
    return _judged(spec, at, share, share >= least, detail, Range(min=least))


def judge_answer(
    spec: RuleSpec, expect: Expectation, rows: Sequence[Sequence[Any]], at: datetime, *, more: bool
) -> Judgement:
    """Return what the rule says of the rows of its query; ``more`` were cut off."""
    if expect.no_rows:
        count = len(rows)
        shown = f"at least {count:,}" if more else f"{count:,}"
        detail = f"the query returned {shown} {'row' if count == 1 else 'rows'}, expected none"
        return _judged(spec, at, count, count == 0, detail, Range(max=0))
    if not rows:
        return failed(spec, at, "the query returned no row; let it return one with one number")
    if len(rows) != 1 or len(rows[0]) != 1:
        shape = f"{'more than ' if more else ''}{len(rows):,} rows of {len(rows[0])} columns"
        return failed(
            spec, at, f"the query returned {shape}; let it return one row with one number"
        )
    try:
        value = float(rows[0][0])
    except (TypeError, ValueError):
        found = "null" if rows[0][0] is None else "no number"
        return failed(
            spec, at, f"the query returned {found}; let it return one number, as with COALESCE"
        )
    if value != value or value in (float("inf"), float("-inf")):
        return failed(spec, at, "the query returned a number that is not finite")
    operator, threshold = expect.operator, expect.threshold
    if operator is None or threshold is None:
        raise ValueError("the expectation compares with nothing")
    detail = f"the query returned {value:,.12g}, expected {operator} {threshold:,.12g}"
    return _judged(spec, at, value, _HOLDS[operator](value, threshold), detail)


def column_missing(column: str, columns: Sequence[str]) -> str:
    """Return why a rule on a column that is not there cannot be evaluated."""
    near = get_close_matches(column, columns, n=1)
    hint = f"; is it {near[0]}?" if near else f"; it has {_listed(sorted(columns))}"
    return f"the dataset has no column {column}{hint}"


def dialect_of(dataset: Dataset) -> str | None:
    """Return the dialect that the types of a dataset are written in; None where it is unknown."""
    return _DIALECTS.get(dataset.platform.rpartition(":")[2])


def _volume(spec: RuleSpec, volume: Volume, facts: Facts, at: datetime) -> Judgement:
    counted = [
        (run.time, run.row_count)
        for run in facts.profiles
        if run.time <= at and run.row_count is not None
    ]
    if not counted:
        return failed(spec, at, "no profile counts its rows; let DataHub's ingestion profile it")
    time, rows = counted[-1]
    if volume.rows is not None:
        detail = f"{rows:,} rows, expected {_limits(volume.rows, ',.0f')}"
        return _judged(spec, at, rows, rows in volume.rows, detail, volume.rows)
    if len(counted) == 1:
        return Judgement(
            Point(at, 0.0),
            Status.WARMING_UP,
            DETECTOR,
            detail=f"rule {spec.name}: there is no profile before that of {time:%Y-%m-%d %H:%M}",
        )
    before = counted[-2][1]
    if volume.change_rows is not None:
        change = rows - before
        detail = (
            f"{rows:,} rows after {before:,}, a change of {change:+,}, "
            f"expected {_limits(volume.change_rows, '+,.0f')}"
        )
        return _judged(spec, at, change, change in volume.change_rows, detail, volume.change_rows)
    if volume.change_percent is None:
        raise ValueError("the rule asks for nothing")
    if before == 0:
        if rows == 0:
            return _judged(spec, at, 0.0, True, "no rows, as before", volume.change_percent)
        return failed(
            spec, at, "the profile before had no row, of which there is no percentage; use rows"
        )
    percent = 100 * (rows - before) / before
    detail = (
        f"{rows:,} rows after {before:,}, a change of {percent:+.1f} %, "
        f"expected {_limits(volume.change_percent, '+,.6g')} %"
    )
    limits = volume.change_percent
    return _judged(spec, at, percent, percent in limits, detail, limits)


def _freshness(spec: RuleSpec, freshness: Freshness, facts: Facts, at: datetime) -> Judgement:
    times = [run.time for run in facts.operations if run.time <= at]
    updated = facts.dataset.last_updated
    if updated is not None and updated <= at:
        times.append(updated)
    if not times:
        return failed(
            spec, at, "DataHub knows of no update; let ingestion report operations of the dataset"
        )
    newest = max(times)
    age = at - newest
    hours = age / timedelta(hours=1)
    ago = f"last updated {hours:,.1f} hours ago"
    if freshness.within is not None:
        longest = freshness.within / timedelta(hours=1)
        detail = f"{ago}, expected within {format_duration(freshness.within)}"
        return _judged(spec, at, hours, age <= freshness.within, detail, Range(max=longest))
    if freshness.cron is None:
        raise ValueError("the rule asks for nothing")
    slot = last_slot(freshness.cron, freshness.time_zone, at - freshness.grace)
    deadline = slot + freshness.grace
    detail = f"{ago}, expected since {slot:%Y-%m-%d %H:%M} UTC"
    if freshness.grace:
        detail += f" and by {deadline:%Y-%m-%d %H:%M}"
    limits = Range(max=(at - slot) / timedelta(hours=1))
    return _judged(spec, at, hours, newest >= slot, detail, limits)


def _schema(spec: RuleSpec, schema: Schema, facts: Facts, at: datetime) -> Judgement:
    versions = [version for version in facts.schemas if version.seen_at <= at]
    if not versions or not versions[-1].columns:
        return failed(spec, at, "DataHub knows no schema of the dataset; let ingestion read it")
    actual = dict(versions[-1].columns)
    dialect = dialect_of(facts.dataset)
    found = deviations(actual, schema.columns, exact=schema.exact, dialect=dialect)
    # The one that the window begins in, and all that came into force within it.
    begin = at - schema.window
    older = [version for version in versions[:-1] if version.seen_at <= begin]
    before = older[-1:] + [version for version in versions[:-1] if version.seen_at > begin]
    found += changes(
        before,
        actual,
        any_type=schema.no_type_changes,
        breaking=schema.no_breaking_changes,
        dialect=dialect,
    )
    detail = _listed(found) if found else f"{len(actual)} columns, as expected"
    return _judged(spec, at, len(found), not found, detail, Range(max=0))


def _column(spec: RuleSpec, column: Column, facts: Facts, at: datetime) -> Judgement | None:
    versions = [version for version in facts.schemas if version.seen_at <= at]
    if versions and versions[-1].columns:
        names = [name for name, _ in versions[-1].columns]
        if column.name not in names:
            return failed(spec, at, column_missing(column.name, names))
    newest = next((run for run in reversed(facts.profiles) if run.time <= at), None)
    if newest is None:
        return None
    if newest.row_count == 0:
        return _nothing(spec, column, at)
    profiled = next((c for c in newest.columns if column_name(c.path) == column.name), None)
    if profiled is None:
        return None
    if column.statistic is not None:
        statistic, limits = column.statistic
        value: float | None = getattr(profiled, statistic)
        return None if value is None else _statistic(spec, column, statistic, value, limits, at)
    if column.accepted_values and _complete(profiled, newest):
        accepted = set(column.accepted_values)
        matching = sum(count for value, count in profiled.frequencies if value in accepted)
        return judge_matching(
            spec, column, matching, sum(count for _, count in profiled.frequencies), at
        )
    return None


def _complete(column: ColumnProfile, profile: Profile) -> bool:
    """Tell whether the frequencies are of all values, and not of the commonest alone."""
    if profile.row_count is None or column.null_count is None or not column.frequencies:
        return False
    return sum(count for _, count in column.frequencies) == profile.row_count - column.null_count


def _statistic(
    spec: RuleSpec,
    column: Column,
    statistic: Statistic,
    value: float,
    limits: Range,
    at: datetime,
) -> Judgement:
    form = ".2%" if statistic in _SHARES else ",.12g"
    name = statistic.replace("_", " ")
    detail = f"{name} of {column.name} is {value:{form}}, expected {_limits(limits, form)}"
    return _judged(spec, at, value, value in limits, detail, limits)


def _nothing(spec: RuleSpec, column: Column, at: datetime) -> Judgement:
    detail = f"rule {spec.name}: {column.name} holds no value that could be wrong"
    return Judgement(Point(at, 0.0), Status.PASS, DETECTOR, detail=detail)


def _judged(
    spec: RuleSpec,
    at: datetime,
    value: float,
    holds: bool,
    detail: str,
    limits: Range | None = None,
) -> Judgement:
    failing = Status.WARN if spec.severity is Severity.WARN else Status.FAIL
    return Judgement(
        Point(at, float(value)),
        Status.PASS if holds else failing,
        DETECTOR,
        low=None if limits is None else limits.min,
        high=None if limits is None else limits.max,
        detail=f"rule {spec.name}: {detail}",
    )


def _limits(limits: Range, form: str) -> str:
    if limits.min is None:
        return f"at most {limits.max:{form}}"
    if limits.max is None:
        return f"at least {limits.min:{form}}"
    if limits.min == limits.max:
        return f"{limits.min:{form}}"
    return f"{limits.min:{form}} to {limits.max:{form}}"


def _listed(phrases: Sequence[str]) -> str:
    shown = "; ".join(phrases[:_LONGEST_LIST])
    left = len(phrases) - _LONGEST_LIST
    return f"{shown}; and {left} more" if left > 0 else shown
