"""Rules as text: what reads as which rule, and what is said of one that is wrong."""

import json
from datetime import UTC, datetime, time, timedelta

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.quality.model import Dimension, Severity
from dataspoke.quality.rules.files import (
    as_document,
    from_document,
    json_schema,
    read_rules,
    write_rules,
)
from dataspoke.quality.rules.model import (
    Column,
    Expectation,
    ExpectedColumn,
    Freshness,
    Mute,
    Operator,
    Pattern,
    Range,
    RuleSpec,
    Schema,
    Selector,
    Sql,
    Volume,
    Weekday,
)

_VALIDATOR = jsonschema.Draft202012Validator(json_schema())

_numbers = st.floats(-1e9, 1e9, allow_nan=False).map(lambda n: n + 0.0)
_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_words = st.text(_characters, min_size=1, max_size=12)
_durations = st.integers(1, 400_000).map(lambda seconds: timedelta(seconds=seconds))
_zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])
_crons = st.sampled_from(["0 6 * * *", "*/15 * * * 1-5", "30 23 1 * *"])


@st.composite
def _ranges(draw: st.DrawFn) -> Range:
    low, high = sorted((draw(_numbers), draw(_numbers)))
    return draw(st.sampled_from([Range(low, high), Range(min=low), Range(max=high)]))


_volumes = st.one_of(
    st.builds(Volume, rows=_ranges()),
    st.builds(Volume, change_rows=_ranges()),
    st.builds(Volume, change_percent=_ranges()),
)
_freshness = st.one_of(
    st.builds(Freshness, within=_durations),
    st.builds(Freshness, cron=_crons, grace=_durations, time_zone=_zones),
)
_schemas = st.builds(
    Schema,
    columns=st.lists(
        st.builds(ExpectedColumn, name=_words, type=st.none() | _words),
        min_size=1,
        unique_by=lambda column: column.name,
    ).map(tuple),
    exact=st.booleans(),
    no_type_changes=st.booleans(),
    no_breaking_changes=st.booleans(),
    window=_durations,
)
_columns = st.one_of(
    *(
        st.builds(Column, name=_words, **{statistic: _ranges()})
        for statistic in ("null_share", "unique_share", "min", "max", "mean")
    ),
    st.builds(Column, name=_words, accepted_values=st.lists(_words, min_size=1).map(tuple)),
    st.builds(
        Column,
        name=_words,
        pattern=st.builds(Pattern, regex=_words, min_share=st.floats(0, 1)),
        connection=st.none() | _words,
    ),
)
_queries = st.builds(
    Sql,
    query=_words,
    expect=st.one_of(
        st.just(Expectation(no_rows=True)),
        st.builds(Expectation, operator=st.sampled_from(Operator), threshold=_numbers),
    ),
    connection=st.none() | _words,
    dimension=st.sampled_from(Dimension),
)
_moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
_mutes = st.one_of(
    st.builds(Mute, since=_moments, days=st.just((Weekday.SAT,))),
    st.builds(
        Mute,
        until=_moments,
        days=st.lists(st.sampled_from(Weekday), unique=True).map(tuple),
        start=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
        end=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
        time_zone=_zones,
    ),
)
_specs = st.one_of(
    *(
        st.builds(
            RuleSpec,
            name=st.from_regex(r"\A[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?\Z"),
            select=st.builds(
                Selector,
                names=st.lists(_words, min_size=1).map(tuple),
                tags=st.lists(_words).map(tuple),
            ),
            severity=st.sampled_from(Severity),
            description=st.none() | _words,
            enabled=st.booleans(),
            schedule=st.none() | _crons,
            time_zone=_zones,
            mutes=st.lists(_mutes, max_size=2).map(tuple),
            **{kind: definitions},
        )
        for kind, definitions in {
            "volume": _volumes,
            "freshness": _freshness,
            "schema": _schemas,
            "column": _columns,
            "sql": _queries,
        }.items()
    )
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_specs, min_size=1, max_size=2))
def test_what_is_written_reads_as_the_same(specs: list[RuleSpec]) -> None:
    found, errors = read_rules(write_rules(specs), "written.yaml")
    assert errors == ()
    assert found == tuple(specs)


@settings(max_examples=40, deadline=None)
@given(_specs)
def test_what_is_stored_reads_as_the_same(spec: RuleSpec) -> None:
    stored = json.loads(json.dumps(as_document(spec)))
    assert from_document(stored) == spec
    _VALIDATOR.validate(stored)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (
            "accepted_values: [no, 22:00, 1, 1.5, true, 010, '7']",
            ("no", "22:00", "1", "1.5", "true", "10", "7"),
        ),
        ("accepted_values: [off, 1_000, 0x10]", ("off", "1_000", "0x10")),
    ],
)
def test_values_are_read_as_yaml_1_2(body: str, value: tuple[str, ...]) -> None:
    found, errors = read_rules(f"name: a\nselect: {{names: [x]}}\ncolumn: {{name: c, {body}}}", "f")
    assert errors == ()
    assert found[0].column is not None
    assert found[0].column.accepted_values == value


def test_a_list_and_documents_are_read_alike() -> None:
    one = "name: {}\nselect: {{names: [x]}}\nvolume: {{rows: {{min: 1}}}}\n"
    listed = "".join("- " + one.format(name).replace("\n", "\n  ").rstrip() + "\n" for name in "ab")
    parted = "---\n".join(one.format(name) for name in "ab")
    assert read_rules(listed, "f") == read_rules(parted, "f")
    assert [spec.name for spec in read_rules(parted, "f")[0]] == ["a", "b"]
    assert read_rules("# nothing\n", "f") == ((), ())


GOOD = "name: a\nselect: {names: ['*']}\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [", "f.yaml:1:5: this is no YAML"),
        ("- 1", "f.yaml:1:3: a rule is a mapping"),
        (GOOD, "f.yaml:1:1: rule a takes exactly one of volume, freshness, schema, column, sql"),
        (GOOD + "name: b", "f.yaml:3:1: name is given twice"),
        (GOOD + "volume: {rows: {min: 1}}\nfoo: 1", "f.yaml:4:1: foo: there is no such key"),
        (GOOD + "volume: {rows: {mni: 1}}", "f.yaml:3:17: volume.rows.mni: there is no such key"),
        (
            GOOD + "volume: {rows: {min: x}}",
            "f.yaml:3:17: volume.rows.min: input should be a valid",
        ),
        (
            GOOD + "volume: {rows: {min: 2, max: 1}}",
            "f.yaml:3:10: volume.rows: min 2 is above max 1",
        ),
        (GOOD + "volume: {rows: {}}", "f.yaml:3:10: volume.rows: a range has no limit"),
        (GOOD + "volume: {rows: {min: .inf}}", "volume.rows.min: input should be a"),
        (GOOD + "freshness: {within: 6 h}", "freshness.within: '6 h' is not a duration; write"),
        (GOOD + "freshness: {within: 0h}", "freshness: within must be longer than nothing"),
        (GOOD + "freshness: {within: 1h, grace: 1h}", "grace belongs to cron"),
        (GOOD + "freshness: {cron: '61 * * * *'}", "'61 * * * *' is no cron (Bad minute); write"),
        (GOOD + "freshness: {cron: '0 0 31 2 *'}", "is no cron"),
        (GOOD + "freshness: {cron: '* * * * * *'}", "it has not five fields"),
        (GOOD + "freshness: {cron: '0 6 * * *', time_zone: Mars}", "'Mars' is no time zone"),
        (GOOD + "schema: {exact: true}", "a schema rule asks for nothing"),
        (GOOD + "schema: {columns: [{name: a}, {name: a}]}", "columns names a more than once"),
        (GOOD + "column: {null_share: {max: 0}}", "f.yaml:3:1: column: name is missing; give it."),
        (GOOD + "column: {name: c}", "a column rule takes exactly one of null_share"),
        (GOOD + "column: {name: c, min: {min: 1}, max: {max: 1}}", "and has min and max"),
        (
            GOOD + "sql: {query: SELECT 1, expect: {operator: '=>', threshold: 1}}",
            "sql.expect.operator",
        ),
        (
            GOOD + "sql: {query: SELECT 1, expect: {}}",
            "expect either no_rows: true, or an operator",
        ),
        (GOOD + "mutes: [{}]\nvolume: {rows: {min: 1}}", "mutes[0]: a mute would last for ever"),
        (
            GOOD + "mutes: [{start: '22:00'}]\nvolume: {rows: {min: 1}}",
            "hours need both start and end",
        ),
        (GOOD + "mutes: [{since: '2026-01-01T00:00Z'}]\nvolume: {}", "would last for ever"),
        (GOOD + "mutes: [{since: 2026-01-01T00:00}]", "mutes[0].since: input should have timezone"),
        ("name: a\nselect: {}\nvolume: {rows: {min: 1}}", "select: select names no dataset"),
        (
            "name: a\nselect: {urns: [x]}\nvolume: {rows: {min: 1}}",
            "'x' is not a dataset urn; write",
        ),
        (
            "name: A b\nselect: {names: [x]}\nvolume: {rows: {min: 1}}",
            "'A b' cannot be a rule's name",
        ),
        ("a: &a {b: *a}", "an alias stands in what it stands for"),
    ],
)
def test_an_error_names_file_line_key_and_fix(text: str, error: str) -> None:
    found, errors = read_rules(text, "f.yaml")
    assert found == ()
    assert any(error in line for line in errors), errors
    assert all(line.startswith("f.yaml:") for line in errors)


def test_all_errors_of_a_file_are_told_and_good_rules_are_read() -> None:
    good = GOOD + "volume: {rows: {min: 1}}\n"
    found, errors = read_rules(f"{good}---\n{GOOD}volume: {{x: 1}}\n---\n{GOOD}sql: 3\n", "f.yaml")
    assert [spec.name for spec in found] == ["a"]
    assert [line.split(": ")[0] for line in errors] == ["f.yaml:7:10", "f.yaml:11:1"]


def test_a_document_that_is_wrong_is_told_as_an_input() -> None:
    with pytest.raises(InvalidInput, match=r"volume\.rows: min 2 is above max 1"):
        from_document(
            {"name": "a", "select": {"names": ["x"]}, "volume": {"rows": {"min": 2, "max": 1}}}
        )


@pytest.mark.parametrize("text", ["a\0b", "\ud83d"])
def test_what_no_database_keeps_is_refused(text: str) -> None:
    rule = {"name": "a", "select": {"names": ["x", text]}, "volume": {"rows": {"min": 1}}}
    with pytest.raises(InvalidInput, match="no database keeps"):
        from_document(rule)


def test_the_schema_refuses_two_kinds_and_none() -> None:
    rule = {"name": "a", "select": {"names": ["x"]}}
    assert not _VALIDATOR.is_valid(rule)
    assert _VALIDATOR.is_valid([{**rule, "volume": {"rows": {"min": 1}}}])
    both = {**rule, "volume": {"rows": {"min": 1}}, "freshness": {"within": "1h"}}
    assert not _VALIDATOR.is_valid(both)
