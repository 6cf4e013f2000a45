"""Whether rules hold, from what is known of a dataset."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.catalogue import ColumnProfile, Dataset, Operation, Profile
from dataspoke.quality.model import Judgement, Status
from dataspoke.quality.rules.evaluation import Facts, judge, judge_answer
from dataspoke.quality.rules.model import (
    Expectation,
    ExpectedColumn,
    Operator,
    SchemaVersion,
)
from dataspoke.quality.rules.schemas import changes, deviations, same_type, widens
from tests.support.rules import DAY, HOUR, NOW, counted, orders, spec, updated


def facts(
    *,
    profiles: Sequence[Profile] = (),
    operations: Sequence[Operation] = (),
    dataset: Dataset | None = None,
    schemas: Sequence[SchemaVersion] = (),
) -> Facts:
    dataset = dataset or orders()
    now = SchemaVersion.of(dataset.urn, dataset.fields, NOW)
    return Facts(dataset, profiles, operations, [*schemas, now])


def judged(body: str, known: Facts, at: datetime = NOW, more: str = "") -> Judgement:
    found = judge(spec(body, more=more), known, at)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "rows", "status", "value"),
    [
        ("rows: {min: 10}", (10,), Status.PASS, 10),
        ("rows: {min: 10}", (9,), Status.FAIL, 9),
        ("rows: {max: 10}", (10,), Status.PASS, 10),
        ("rows: {max: 10}", (11,), Status.FAIL, 11),
        ("rows: {min: 10}", (12, None), Status.PASS, 12),
        ("change_rows: {min: -5, max: 5}", (10, 5), Status.PASS, -5),
        ("change_rows: {min: -5, max: 5}", (10, 4), Status.FAIL, -6),
        ("change_rows: {min: 0}", (10, None, 11), Status.PASS, 1),
        ("change_rows: {min: 0}", (10,), Status.WARMING_UP, 0),
        ("change_percent: {min: -20, max: 50}", (100, 80), Status.PASS, -20),
        ("change_percent: {min: -20, max: 50}", (100, 151), Status.FAIL, 51),
        ("change_percent: {min: -20}", (0, 0), Status.PASS, 0),
        ("change_percent: {min: -20}", (0, 5), Status.ERROR, 0),
        ("rows: {min: 1}", (), Status.ERROR, 0),
        ("rows: {min: 1}", (None,), Status.ERROR, 0),
    ],
)
def test_volume(body: str, rows: tuple[int | None, ...], status: Status, value: float) -> None:
    profiles = counted(*rows) if rows else []
    found = judged(f"volume: {{{body}}}", facts(profiles=profiles))
    assert (found.status, found.point.value) == (status, value)
    assert found.point.time == NOW
    assert (found.detail or "").startswith("rule tried: ")


def test_the_past_is_judged_by_what_was_known_then() -> None:
    known = facts(profiles=counted(3, 2, 1), operations=updated(60, 30, 5))
    at = NOW - 30 * HOUR
    assert judged("volume: {rows: {min: 0}}", known, at).point.value == 3
    assert judged("freshness: {within: 1d}", known, at).point.value == pytest.approx(0)


def test_severity_makes_a_warning_of_a_failure() -> None:
    known = facts(profiles=counted(3))
    assert judged("volume: {rows: {min: 5}}", known, more="severity: WARN").status is Status.WARN
    assert judged("volume: {rows: {min: 1}}", known, more="severity: WARN").status is Status.PASS


# 2026-11-24 08:00 UTC is 09:00 in Berlin.
@pytest.mark.parametrize(
    ("body", "hours_ago", "status"),
    [
        ("within: 6h", [6], Status.PASS),
        ("within: 6h", [6.01, 200], Status.FAIL),
        ("cron: '0 6 * * *'", [1.9], Status.PASS),
        ("cron: '0 6 * * *'", [2], Status.PASS),
        ("cron: '0 6 * * *'", [2.1], Status.FAIL),
        # What is not late yet is not judged: yesterday's load counts.
        ("cron: '0 6 * * *', grace: 3h", [25], Status.PASS),
        ("cron: '0 6 * * *', grace: 3h", [27], Status.FAIL),
        ("cron: '0 6 * * *', grace: 2h", [25], Status.FAIL),
        ("cron: '0 6 * * *', time_zone: Europe/Berlin", [3], Status.PASS),
        ("cron: '0 6 * * *', time_zone: Europe/Berlin", [3.1], Status.FAIL),
        ("cron: '0 6 * * mon'", [20], Status.PASS),
        ("cron: '0 6 * * mon'", [30], Status.FAIL),
        ("within: 6h", [], Status.ERROR),
    ],
)
def test_freshness(body: str, hours_ago: list[float], status: Status) -> None:
    known = facts(operations=updated(*hours_ago))
    assert judged(f"freshness: {{{body}}}", known).status is status


def test_freshness_believes_the_newest_of_what_it_knows() -> None:
    touched = replace(orders(), last_updated=NOW - 2 * HOUR)
    found = judged("freshness: {within: 3h}", facts(operations=updated(9), dataset=touched))
    assert (found.status, found.point.value) == (Status.PASS, pytest.approx(2))
    later = replace(orders(), last_updated=NOW + HOUR)
    found = judged("freshness: {within: 3h}", facts(operations=updated(9), dataset=later))
    assert found.status is Status.FAIL


PROFILE = ColumnProfile(
    "state",
    null_count=2,
    null_share=0.2,
    unique_share=0.5,
    min=1.0,
    max=9.0,
    mean=5.0,
    frequencies=(("open", 5), ("paid", 3)),
)


@pytest.mark.parametrize(
    ("body", "status", "value"),
    [
        ("null_share: {max: 0.2}", Status.PASS, 0.2),
        ("null_share: {max: 0.1}", Status.FAIL, 0.2),
        ("unique_share: {min: 0.6}", Status.FAIL, 0.5),
        ("min: {min: 1}", Status.PASS, 1),
        ("max: {max: 8}", Status.FAIL, 9),
        ("mean: {min: 4, max: 6}", Status.PASS, 5),
        ("accepted_values: [open, paid]", Status.PASS, 1),
        ("accepted_values: [open]", Status.FAIL, 5 / 8),
    ],
)
def test_a_column_is_judged_from_its_profile(body: str, status: Status, value: float) -> None:
    known = facts(profiles=counted(10, 10, columns=[PROFILE]))
    found = judged(f"column: {{name: state, {body}}}", known)
    assert (found.status, found.point.value) == (status, pytest.approx(value))


@pytest.mark.parametrize(
    ("body", "profiles"),
    [
        ("pattern: {regex: x}", counted(10, columns=[PROFILE])),
        ("null_share: {max: 1}", counted(10, columns=[ColumnProfile("state")])),
        ("null_share: {max: 1}", counted(10, columns=[ColumnProfile("id", null_share=0)])),
        ("null_share: {max: 1}", []),
        # The frequencies are of the commonest values alone.
        ("accepted_values: [open, paid]", counted(99, columns=[PROFILE])),
    ],
)
def test_what_no_profile_tells_takes_a_query(body: str, profiles: list[Profile]) -> None:
    assert judge(spec(f"column: {{name: state, {body}}}"), facts(profiles=profiles), NOW) is None


def test_a_column_of_no_row_is_as_it_should_be() -> None:
    found = judged("column: {name: state, null_share: {max: 0}}", facts(profiles=counted(0)))
    assert found.status is Status.PASS


def test_a_column_that_is_not_there_is_told_by_its_neighbours() -> None:
    found = judged("column: {name: emial, null_share: {max: 0}}", facts())
    assert found.status is Status.ERROR
    assert found.detail == "rule tried: the dataset has no column emial; is it email?"
    found = judged("column: {name: zzz, null_share: {max: 0}}", facts())
    assert "it has email; id; state; total" in (found.detail or "")


def test_a_column_of_an_unknown_schema_may_be_there() -> None:
    unknown = replace(orders(), fields=())
    rule = spec("column: {name: zzz, null_share: {max: 0}}")
    assert judge(rule, facts(dataset=unknown), NOW) is None


@pytest.mark.parametrize(
    ("expected", "exact", "found"),
    [
        ([("id", "int4"), ("state", "character varying(10)")], False, []),
        ([("id", None)], False, []),
        ([("id", "bigint")], False, ["column id is INTEGER, not bigint"]),
        ([("nothing", None)], False, ["column nothing is missing"]),
        ([("id", None), ("state", None), ("email", None)], True, ["column total is not expected"]),
    ],
)
def test_columns_are_expected_by_name_and_type(
    expected: list[tuple[str, str | None]], exact: bool, found: list[str]
) -> None:
    actual = dict(SchemaVersion.of("a", orders().fields, NOW).columns)
    columns = [ExpectedColumn(name, kind) for name, kind in expected]
    assert deviations(actual, columns, exact=exact, dialect="postgres") == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("int", "bigint"),
        ("smallint", "integer"),
        ("varchar(10)", "varchar(20)"),
        ("varchar(10)", "text"),
        ("char(3)", "varchar(3)"),
        ("numeric(10,2)", "numeric(12,2)"),
        ("real", "double precision"),
        ("int", "double precision"),
        ("date", "timestamp"),
    ],
)
def test_a_wider_type_breaks_nothing_and_a_narrower_one_does(before: str, after: str) -> None:
    assert widens(before, after, "postgres")
    assert not widens(after, before, "postgres")
    assert not same_type(before, after, "postgres")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("int", "text"),
        ("bigint", "double precision"),
        ("numeric(10,2)", "numeric(10,4)"),
        ("varchar", "varchar(10)"),
        ("int", "numeric(3,0)"),
        ("frobnicated", "int"),
        ("int", None),
    ],
)
def test_what_cannot_hold_all_it_held_breaks(before: str, after: str | None) -> None:
    assert not widens(before, after, "postgres")


@given(st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_text_may_be_a_type(one: str, other: str) -> None:
    assert same_type(one, one, "postgres")
    assert same_type(one, other, "postgres") == same_type(other, one, "postgres")
    assert isinstance(widens(one, other, None), bool)


def version(day: int, **columns: str | None) -> SchemaVersion:
    return SchemaVersion(orders().urn, NOW - day * DAY, tuple(sorted(columns.items())))


def test_changes_are_sought_among_all_schemas_of_the_window() -> None:
    now = {"id": "bigint", "email": "text"}
    before = [version(9, id="int", gone="int"), version(2, id="int", email="varchar(3)")]
    found = changes(before, now, any_type=False, breaking=True, dialect="postgres")
    assert found == ["column gone is gone"]
    found = changes(before, now, any_type=True, breaking=False, dialect="postgres")
    assert found == [
        "column id was int and is bigint",
        "column email was varchar(3) and is text",
    ]
    assert changes(before[1:], now, any_type=False, breaking=True, dialect="postgres") == []


@pytest.mark.parametrize(
    ("days_ago", "status"), [(1, Status.FAIL), (2, Status.FAIL), (7, Status.PASS)]
)
def test_a_change_fails_for_its_window(days_ago: int, status: Status) -> None:
    columns = dict(SchemaVersion.of("a", orders().fields, NOW).columns)
    history = [version(30, **columns, gone="int"), version(days_ago, **columns)]
    found = judged("schema: {no_breaking_changes: true}", facts(schemas=history))
    assert found.status is status


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        (Operator.EQUAL, [False, True, False]),
        (Operator.NOT_EQUAL, [True, False, True]),
        (Operator.LESS, [True, False, False]),
        (Operator.LESS_OR_EQUAL, [True, True, False]),
        (Operator.GREATER, [False, False, True]),
        (Operator.GREATER_OR_EQUAL, [False, True, True]),
    ],
)
def test_an_answer_compares(operator: Operator, holds: list[bool]) -> None:
    rule = spec("sql: {query: x, expect: {no_rows: true}}")
    expect = Expectation(operator=operator, threshold=3)
    found = [judge_answer(rule, expect, [[n]], NOW, more=False).status for n in (2, 3, 4)]
    assert [status is Status.PASS for status in found] == holds


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "returned no row"),
        ([[1], [2]], "returned 2 rows of 1 columns; let it return one row with one number"),
        ([[1, 2]], "returned 1 rows of 2 columns"),
        ([[None]], "returned null; let it return one number, as with COALESCE"),
        ([["x"]], "returned no number"),
        ([[float("nan")]], "not finite"),
    ],
)
def test_an_answer_that_is_no_number_is_an_error(rows: list[list[Any]], reason: str) -> None:
    rule = spec("sql: {query: x, expect: {no_rows: true}}")
    expect = Expectation(operator=Operator.EQUAL, threshold=3)
    found = judge_answer(rule, expect, rows, NOW, more=False)
    assert found.status is Status.ERROR
    assert reason in (found.detail or "")


def test_rows_that_were_cut_off_are_not_counted_as_all() -> None:
    rule = spec("sql: {query: x, expect: {no_rows: true}}")
    found = judge_answer(rule, Expectation(no_rows=True), [[1], [2]], NOW, more=True)
    assert found.status is Status.FAIL
    assert "returned at least 2 rows" in (found.detail or "")


def test_freshness_is_in_hours() -> None:
    found = judged("freshness: {within: 90m}", facts(operations=updated(1)))
    assert (found.point.value, found.high) == (pytest.approx(1), pytest.approx(1.5))
    assert timedelta(hours=found.point.value) == HOUR
