"""Series in CSV files: what is read, and one answer for each row."""

import csv
import io
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.quality.detectors import WARM_UP_POINTS, Watch, judge
from dataspoke.quality.model import Status
from dataspoke.quality.series import COLUMNS, Row, cells, judge_rows, read

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rows(text: str) -> list[Row]:
    return read(io.StringIO(text, newline=""), "loads.csv")


def csv_of(values: list[float], step: timedelta = HOUR) -> list[str]:
    return [f"{(START + i * step).isoformat()},{value!r}" for i, value in enumerate(values)]


def judged_lines(lines: list[str]) -> list[list[str]]:
    return [list(row) for row in cells(judge_rows(rows("\n".join(["timestamp,value", *lines]))))]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T12:00:00Z",
        "2026-11-24 12:00:00",
        "2026-11-24 12:00",
        "2026-11-24T14:00:00+02:00",
        "20261124T120000",
        "1795521600",
        "1795521600.0",
        "1795521600000",
        "1795521600000000",
        "1795521600000000000",
        " 2026-11-24 12:00:00 ",
    ],
)
def test_a_timestamp_is_read_as_people_write_it(text: str) -> None:
    (row,) = rows(f"timestamp,value\n{text},5\n")
    assert row.point.time == NOON
    assert row.timestamp == text


def test_eight_digits_are_a_date_in_a_column_of_dates() -> None:
    found = rows("timestamp,value\n20261123,1\n20261124,2\n")
    assert [row.point.time for row in found] == [NOON - 36 * HOUR, NOON - 12 * HOUR]
    seconds = rows("timestamp,value\n0,1\n20261124,2\n")
    assert seconds[1].point.time == datetime.fromtimestamp(20261124, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "TimeStamp,VALUE\n2026-11-24 12:00:00,7.5\n",
        "host,value,note, timestamp \nweb1,7.5,,2026-11-24 12:00:00\n",
        'timestamp;value\n"2026-11-24 12:00:00";7.5\n',
        "timestamp\tvalue\r\n2026-11-24 12:00:00\t7.5\r\n",
        '"timestamp","value"\n\n"2026-11-24 12:00:00","7.5"\n\n',
    ],
)
def test_columns_are_found_wherever_they_stand(text: str) -> None:
    (row,) = rows(text)
    assert (row.point.time, row.point.value) == (NOON, 7.5)


@pytest.mark.parametrize("text", ["", "NaN", "null", "None", "N/A", " ", "inf"])
def test_a_value_that_is_missing_is_no_observation(text: str) -> None:
    lines = csv_of([100.0] * 40)
    lines[35] = f"{lines[35].partition(',')[0]},{text}"
    answers = judged_lines(lines)
    assert answers[36][1:] == [text, "", "", "", "0.0", "0"]
    assert answers[37][3] != ""


def test_a_row_that_breaks_off_has_no_value() -> None:
    (row,) = rows("timestamp,value\n2026-11-24 12:00:00\n")
    assert math.isnan(row.point.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "loads.csv is empty; give it a header line"),
        ("2026-11-24,5\n", "line 1: there is no column timestamp among 2026-11-24, 5; name two"),
        ("timestamp,amount\n", "line 1: there is no column value among timestamp, amount"),
        ("timestamp,value,Value\n", "line 1: 2 columns are named value; keep one"),
        ("timestamp,value\n2026-11-24,5\n24/11/2026,6\n", "line 3: '24/11/2026' is not a timest"),
        ("timestamp,value\n,5\n", "line 2: '' is not a timestamp; write 2026-11-24T08:00:00"),
        ("timestamp,value\nnan,5\n", "line 2: 'nan' is not a timestamp"),
        ("timestamp,value\n20261124,5\n2026,5\n", "line 3: '2026' is not a timestamp"),
        ("timestamp,value\n1e300,5\n", "line 2: 1e+300 seconds since 1970 are no date"),
        ('timestamp,value\n\n"2026-11-24","1,5"\n', "line 3: '1,5' is not a number; write it as"),
        ("timestamp,value\n2026-11-24,five\n", "line 2: 'five' is not a number"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line_and_a_remedy(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=r"^loads\.csv") as refused:
        rows(text)
    assert said in refused.value.public_message


def test_the_detector_of_the_live_scan_judges() -> None:
    values = (100 + np.random.default_rng(1).normal(0, 2, 80)).tolist()
    values[70:73] = [500.0, 500.0, 500.0]
    found = rows("\n".join(["timestamp,value", *csv_of(values)]))
    answers = judge_rows(found)
    assert [a.judgement for a in answers] == judge([row.point for row in found], Watch())
    assert [i for i, answer in enumerate(answers) if answer.alert] == [70]
    assert [a.judgement.status for a in answers[70:74]] == [Status.FAIL] * 3 + [Status.PASS]
    written = judged_lines(csv_of(values))
    assert written[0] == list(COLUMNS)
    first = written[1]
    assert first[2:] == ["", "", "", "0.0", "0"]
    assert float(written[71][5]) > 0.999
    for cell, answer in zip(written[WARM_UP_POINTS + 1 :], answers[WARM_UP_POINTS:], strict=True):
        judgement = answer.judgement
        assert [float(text) for text in cell[2:6]] == [
            judgement.expected,
            judgement.low,
            judgement.high,
            judgement.score,
        ]


def test_a_second_stretch_out_of_range_is_a_second_alert() -> None:
    values = [100.0] * 80
    values[50] = values[60] = values[61] = 500.0
    assert [i for i, line in enumerate(judged_lines(csv_of(values))[1:]) if line[6] == "1"] == [
        50,
        60,
    ]


numbers = st.one_of(
    st.floats(-1e12, 1e12).map(repr), st.sampled_from(["", "nan", "0", "-3", "100", "100.0"])
)
moments = st.integers(0, 400).map(lambda hours: (START + hours * HOUR).isoformat(" "))


@given(st.lists(st.tuples(moments, numbers), max_size=70))
@settings(max_examples=40, deadline=None)
def test_there_is_one_row_out_for_each_row_in(table: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("timestamp", "value"), *table])
    answers = list(cells(judge_rows(rows(text.getvalue()))))
    assert [answer[:2] for answer in answers[1:]] == table
    for answer in answers[1:]:
        assert len(answer) == len(COLUMNS)
        assert 0 <= float(answer[5]) <= 1
        assert answer[6] in ("0", "1")
        expected, low, high = answer[2:5]
        assert (expected == "") == (low == "") == (high == "")
        if expected:
            assert float(low) <= float(expected) <= float(high)
            outside = not float(low) <= float(answer[1]) <= float(high)
            assert outside or answer[6] == "0"


@given(st.integers(0, 2**32), st.integers(1, 119), st.sampled_from([HOUR, 24 * HOUR]))
@settings(max_examples=8, deadline=None)
def test_what_comes_later_changes_no_earlier_row(seed: int, cut: int, step: timedelta) -> None:
    rng = np.random.default_rng(seed)
    values = 100 + 10 * np.sin(np.arange(120) * 2 * np.pi / 24) + rng.normal(0, 1, 120)
    values[rng.integers(0, 120, 3)] += 80
    lines = csv_of(values.tolist(), step)
    assert judged_lines(lines[:cut]) == judged_lines(lines)[: cut + 1]


@given(st.permutations(range(60)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_file_matters_only_to_the_order_of_the_answer(order: list[int]) -> None:
    values = [100.0 + i % 5 for i in range(60)]
    values[50] = 900.0
    lines = csv_of(values)
    sorted_answers = judged_lines(lines)
    shuffled = judged_lines([lines[i] for i in order])
    assert shuffled[1:] == [sorted_answers[1 + i] for i in order]


def test_rows_of_one_moment_are_observations_in_the_order_of_the_file() -> None:
    lines = csv_of([100.0] * 40)
    moment = lines[-1].partition(",")[0]
    twice = judged_lines([*lines, f"{moment},900.0", f"{moment},100.0"])
    once = judged_lines(lines)
    assert twice[: len(once)] == once
    assert [line[6] for line in twice[-3:]] == ["0", "1", "0"]
