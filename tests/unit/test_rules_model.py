"""When rules are due and muted, which datasets they select, and what files change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.quality.model import Dimension
from dataspoke.quality.rules.model import (
    Action,
    Mute,
    Rule,
    RuleSpec,
    Selector,
    column_name,
    format_duration,
    last_slot,
    parse_duration,
    plan,
)
from dataspoke.quality.rules.selectors import matches
from tests.support.rules import DAY, HOUR, NOW, orders, spec, urn


@given(
    st.timedeltas(timedelta(0), timedelta(days=4000)).map(
        lambda d: timedelta(seconds=d // timedelta(seconds=1))
    )
)
def test_a_duration_reads_as_it_is_written(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["", "6", "h", "6h 3m", "-1h", "1y", "1h1", "6H"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        parse_duration(text)


def test_a_slot_follows_the_clock_of_its_time_zone() -> None:
    summer = datetime(2026, 7, 1, 4, 0, tzinfo=UTC)
    winter = datetime(2026, 1, 1, 5, 0, tzinfo=UTC)
    for at in (summer, winter):
        assert last_slot("0 6 * * *", "Europe/Berlin", at) == at
        before = last_slot("0 6 * * *", "Europe/Berlin", at - timedelta(seconds=1))
        assert before == at - DAY


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
def test_no_slot_lies_between_the_last_and_now(at: datetime) -> None:
    slot = last_slot("17 * * * *", "America/St_Johns", at)
    assert slot <= at < slot + HOUR


def test_a_rule_is_due_once_for_each_slot() -> None:
    daily = spec("volume: {rows: {min: 1}}", more='schedule: "0 6 * * *"')
    assert not daily.due(NOW - HOUR, NOW)
    assert daily.due(NOW - 3 * HOUR, NOW)
    assert not daily.due(NOW.replace(hour=6), NOW)
    assert replace(daily, schedule=None).due(NOW, NOW)


@pytest.mark.parametrize(
    ("mute", "quiet", "loud"),
    [
        (Mute(since=NOW, until=NOW + DAY), [NOW, NOW + 23 * HOUR], [NOW - HOUR, NOW + DAY]),
        (Mute(until=NOW), [NOW - DAY], [NOW]),
    ],
)
def test_a_mute_covers_its_time(mute: Mute, quiet: list[datetime], loud: list[datetime]) -> None:
    assert all(mute.covers(at) for at in quiet)
    assert not any(mute.covers(at) for at in loud)


def test_a_mute_of_weekly_hours_follows_the_clock_of_its_time_zone() -> None:
    muted = spec(
        "volume: {rows: {min: 1}}",
        more="mutes: [{days: [fri], start: '22:00', end: '06:00', time_zone: Europe/Berlin}]",
    )
    friday = datetime(2026, 11, 27, 21, tzinfo=UTC)  # 22:00 in Berlin
    for hours, quiet in ((-1, False), (0, True), (7, True), (8, False), (24, False), (-24, False)):
        assert muted.muted(friday + hours * HOUR) is quiet, hours


@pytest.mark.parametrize(
    ("select", "selected"),
    [
        (Selector(names=("shop.*",)), True),
        (Selector(names=("shop.ord?rs",)), True),
        (Selector(names=("shop",)), False),
        (Selector(names=("other", "*orders")), True),
        (Selector(urns=(urn("shop.orders"),)), True),
        (Selector(urns=(urn("shop.other"),)), False),
        (Selector(platforms=("postgres",)), True),
        (Selector(platforms=("urn:li:dataPlatform:postgres",), tags=("gold",)), True),
        (Selector(platforms=("postgres",), tags=("silver",)), False),
        (Selector(tags=("silver", "urn:li:tag:gold")), True),
        (Selector(owners=("ada",)), True),
        (Selector(owners=("urn:li:corpGroup:ada",)), False),
        (Selector(domains=("sales",)), True),
        (Selector(domains=("sales",), names=("x",)), False),
    ],
)
def test_all_that_is_given_must_hold_and_of_a_list_one(select: Selector, selected: bool) -> None:
    assert matches(select, orders()) is selected


def test_a_dataset_without_a_domain_is_in_none() -> None:
    assert not matches(Selector(domains=("sales",)), replace(orders(), domain=None))


@pytest.mark.parametrize(
    ("body", "dimension"),
    [
        ("volume: {rows: {min: 1}}", Dimension.VOLUME),
        ("freshness: {within: 1h}", Dimension.FRESHNESS),
        ("schema: {no_type_changes: true}", Dimension.CONSISTENCY),
        ("column: {name: c, null_share: {max: 0}}", Dimension.COMPLETENESS),
        ("column: {name: c, unique_share: {min: 1}}", Dimension.UNIQUENESS),
        ("column: {name: c, pattern: {regex: x}}", Dimension.VALIDITY),
        ("sql: {query: SELECT 1, expect: {no_rows: true}}", Dimension.VALIDITY),
        ("sql: {query: x, expect: {no_rows: true}, dimension: consistency}", Dimension.CONSISTENCY),
    ],
)
def test_each_kind_has_its_dimension(body: str, dimension: Dimension) -> None:
    assert spec(body).dimension is dimension


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("email", "email"),
        ("[version=2.0].[type=string].email", "email"),
        ("[version=2.0].[key=True].[type=struct].a.[type=int].b", "a.b"),
    ],
)
def test_a_column_is_named_without_its_types(path: str, name: str) -> None:
    assert column_name(path) == name


def kept(wanted: RuleSpec, source: str | None) -> Rule:
    return Rule(uuid4(), wanted, 1, NOW, "a", NOW, "a", source)


def test_applying_files_twice_changes_nothing_the_second_time() -> None:
    old, other, stranger, by_hand = (
        spec("volume: {rows: {min: 1}}", name) for name in ("old", "other", "stranger", "hand")
    )
    new = spec("volume: {rows: {min: 1}}", "new")
    changed = replace(other, description="changed")
    there = (kept(old, "set"), kept(other, "set"), kept(stranger, "else"), kept(by_hand, None))
    wanted = (new, changed)
    changes = plan(there, wanted, "set", prune=True)
    assert [(c.name, c.action) for c in changes] == [
        ("new", Action.CREATE),
        ("old", Action.DELETE),
        ("other", Action.UPDATE),
    ]
    assert Action.DELETE not in {c.action for c in plan(there, wanted, "set", prune=False)}
    after = (kept(new, "set"), kept(changed, "set"), *there[2:])
    again = plan(after, wanted, "set", prune=True)
    assert {change.action for change in again} == {Action.NONE}
    taken = plan(after, (*wanted, by_hand), "set", prune=True)
    assert [c.name for c in taken if c.action is Action.UPDATE] == ["hand"]
