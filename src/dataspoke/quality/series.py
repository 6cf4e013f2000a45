"""A series as a CSV file: what is read, and what the detector says of it."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from dataspoke.errors import InvalidInput
from dataspoke.quality.backtest import openings
from dataspoke.quality.detectors import (
    DEFAULT_BUDGET,
    WARM_UP_POINTS,
    FalseAlarmBudget,
    Watch,
    judge,
)
from dataspoke.quality.model import Judgement, Point

COLUMNS = ("timestamp", "value", "expected", "low", "high", "score", "alert")

_TIME, _VALUE = COLUMNS[:2]
# In this order: what is cut by the first one that gives both columns is read so.
_DELIMITERS = ",;\t"
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds reach the year 5138 below the first, milliseconds below the second, and so on.
_UNITS_PER_S = ((1e11, 1), (1e14, 10**3), (1e17, 10**6), (1e20, 10**9))
_BASIC_DATE_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a series: both texts as they came, and what they say.

    The value of the point is NaN where the text is empty or says so.
    """

    timestamp: str
    value: str
    point: Point


def read(lines: Iterable[str], name: str) -> list[Row]:
    """Return the rows of a CSV with a header, in the order of the file.

    Needed are the columns ``timestamp`` and ``value``, in any case and at any place; others are
    ignored, and so are empty lines. Columns are parted by comma, semicolon or tab. A timestamp is
    ISO 8601 (UTC where it names no offset), a date, or a number of seconds since 1970, which from
    1e11 on is read as milliseconds, from 1e14 as microseconds and from 1e17 as nanoseconds. Eight
    digits are a date (20261124) where the first row's are one.

    Raises InvalidInput, which names ``name`` and the line, for what cannot be read.
    """
    source = iter(lines)
    header = next(source, "")
    delimiter = _delimiter(header)
    if not header.strip():
        raise InvalidInput(f"{name} is empty; give it a header line 'timestamp,value'.")
    columns = [column.strip().lower() for column in next(csv.reader([header], delimiter=delimiter))]
    at_time, at_value = (_position(columns, wanted, name) for wanted in (_TIME, _VALUE))
    parsed = csv.reader(source, delimiter=delimiter)
    rows: list[Row] = []
    basic_dates = False
    try:
        for cells in parsed:
            if not cells:
                continue
            timestamp, value = (
                cells[position] if position < len(cells) else "" for position in (at_time, at_value)
            )
            if not rows:
                basic_dates = _is_basic_date(timestamp.strip())
            point = Point(_time(timestamp.strip(), basic_dates), _number(value.strip()))
            rows.append(Row(timestamp, value, point))
    except (csv.Error, _Unreadable) as error:
        # The reader counts from behind the header.
        raise InvalidInput(f"{name}, line {parsed.line_num + 1}: {error}") from None
    return rows


@dataclass(frozen=True, slots=True)
class Answer:
    """What the detector says of a row; ``alert`` tells whether it would have opened one."""

    row: Row
    judgement: Judgement
    alert: bool


def judge_rows(rows: Sequence[Row], budget: FalseAlarmBudget = DEFAULT_BUDGET) -> list[Answer]:
    """Return an answer for each row, in the same order, as scans of a metric would have given it.

    ``budget`` is for the series: what a scan spends on all series of a dataset.

    Rows are judged in order of time, each by the ones before it; rows of one moment in the order
    in which they stand, as observations one after the other. Nothing is known of the unit: values
    may have any sign, and both directions are faults.
    """
    order = sorted(range(len(rows)), key=lambda position: rows[position].point.time)
    points = [rows[position].point for position in order]
    judged = judge(points, Watch(), rate=budget.rate([_cadence(points)]))
    opened = openings(judged)
    answers = {
        position: Answer(rows[position], judgement, alert)
        for position, judgement, alert in zip(order, judged, opened, strict=True)
    }
    return [answers[position] for position in range(len(rows))]


def _cadence(points: Sequence[Point]) -> timedelta:
    """Return the usual distance of two points, by those that no judgement comes before.

    By all points it would change with what comes later, and the ranges with it.
    """
    steps = sorted(
        later.time - earlier.time for earlier, later in pairwise(points[:WARM_UP_POINTS])
    )
    return steps[len(steps) // 2] if steps else timedelta(0)


def cells(answers: Iterable[Answer]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the header and then of each answer.

    What a judgement has no number for is empty, but its score is 0 then, so that a column of
    scores has no holes.
    """
    yield COLUMNS
    for answer in answers:
        judgement = answer.judgement
        yield (
            answer.row.timestamp,
            answer.row.value,
            *map(_text, (judgement.expected, judgement.low, judgement.high)),
            _text(judgement.score or 0.0),
            str(int(answer.alert)),
        )


class _Unreadable(Exception):
    """What is wrong with a cell, and how to mend it."""


def _delimiter(header: str) -> str:
    for delimiter in _DELIMITERS:
        columns = {column.strip().strip('"').lower() for column in header.split(delimiter)}
        if columns >= {_TIME, _VALUE}:
            return delimiter
    return _DELIMITERS[0]


def _position(columns: Sequence[str], wanted: str, name: str) -> int:
    found = [position for position, column in enumerate(columns) if column == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"{name}, line 1: {len(found)} columns are named {wanted}; keep one.")
    raise InvalidInput(
        f"{name}, line 1: there is no column {wanted} among {', '.join(columns)}; "
        "name two columns of the header line 'timestamp' and 'value'."
    )


def _is_basic_date(text: str) -> bool:
    if len(text) != _BASIC_DATE_DIGITS or not text.isdecimal() or text[:2] not in ("19", "20"):
        return False
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True


def _time(text: str, basic_dates: bool) -> datetime:
    try:
        if not basic_dates:
            return _since_epoch(float(text))
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Unreadable(
            f"{text!r} is not a timestamp; write 2026-11-24T08:00:00 or seconds since 1970."
        ) from None


def _since_epoch(number: float) -> datetime:
    if not math.isfinite(number):
        raise ValueError
    for limit, units_per_s in _UNITS_PER_S:
        if abs(number) < limit:
            try:
                return _EPOCH + timedelta(seconds=number / units_per_s)
            except OverflowError:
                break
    raise _Unreadable(f"{number:g} seconds since 1970 are no date; give seconds or milliseconds.")


def _number(text: str) -> float:
    if text.lower() in _MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise _Unreadable(
            f"{text!r} is not a number; write it as 1234.5, or leave it empty."
        ) from None


def _text(number: float | None) -> str:
    return "" if number is None else repr(float(number))
