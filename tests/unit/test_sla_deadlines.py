"""Deadlines in time zones, and which load is whose."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.quality.sla.deadlines import next_cycle, past_cycles, require_sense, window_of
from dataspoke.quality.sla.model import SlaTarget

URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def target(cron: str = "0 8 * * *", zone: str = "UTC", **changes: object) -> SlaTarget:
    return SlaTarget(URN, cron, zone, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cron", "zone", "now", "expected"),
    [
        ("0 8 * * *", "UTC", "2026-03-01T08:00", "2026-03-02T08:00"),
        ("0 8 * * *", "UTC", "2026-03-01T07:59:59", "2026-03-01T08:00"),
        # Berlin's clocks go forward on 29 March and back on 25 October.
        ("0 8 * * *", "Europe/Berlin", "2026-03-28T00:00", "2026-03-28T07:00"),
        ("0 8 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T06:00"),
        ("0 8 * * *", "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T07:00"),
        # An hour that is left out is made up for after the gap; one that comes twice counts once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
        ("0 9 * * 1-5", "America/New_York", "2026-05-01T13:00", "2026-05-04T13:00"),
        ("0 6 L * *", "UTC", "2026-02-01T00:00", "2026-02-28T06:00"),
    ],
)
def test_the_next_deadline(cron: str, zone: str, now: str, expected: str) -> None:
    cycle = next_cycle(target(cron, zone), at(now))
    assert cycle is not None
    assert cycle.deadline == at(expected)


def test_past_deadlines_end_with_the_one_that_is_now() -> None:
    cycles = past_cycles(target(), at("2026-03-04T08:00"), 3, LONG_AGO)
    assert [cycle.deadline.day for cycle in cycles] == [2, 3, 4]
    assert [cycle.closes_at for cycle in cycles[:2]] == [cycle.opens_at for cycle in cycles[1:]]
    kept = past_cycles(target(), at("2026-03-04T08:00"), 3, at("2026-03-03T00:00"))
    assert [cycle.deadline.day for cycle in kept] == [3, 4]


@given(
    st.sampled_from(["0 8 * * *", "0 8 * * 1-5", "0 */6 * * *", "0 7 1,15 * *", "30 2 * * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_forwards_and_backwards_agree_and_cycles_join(cron: str, zone: str, now: datetime) -> None:
    wanted = target(cron, zone)
    following = next_cycle(wanted, now)
    assert following is not None
    past = past_cycles(wanted, now, 5, LONG_AGO)
    assert all(cycle.deadline <= now for cycle in past)
    assert past_cycles(wanted, following.deadline, 6, LONG_AGO)[:-1] == past
    whole = [*past, following]
    for earlier, later in pairwise(whole):
        assert earlier.deadline < later.deadline
        assert earlier.opens_at < earlier.deadline <= earlier.closes_at
        assert earlier.closes_at == later.opens_at


def test_a_load_belongs_to_one_deadline() -> None:
    first, second = past_cycles(target(), at("2026-03-02T23:00"), 2, LONG_AGO)
    updates = [at("2026-03-01T05:00"), at("2026-03-01T06:00"), at("2026-03-01T20:00:01")]
    assert window_of(target()) == 12 * HOUR
    assert first.arrival(updates, at("2026-03-05T00:00")) == updates[0]
    assert first.arrival(updates, at("2026-03-01T04:00")) is None
    assert second.arrival(updates, at("2026-03-05T00:00")) == updates[2]
    late = [at("2026-03-01T20:00")]
    assert first.arrival(late, at("2026-03-05T00:00")) == late[0]
    assert second.arrival(late, at("2026-03-05T00:00")) is None


def test_a_weekend_does_not_widen_the_window_of_monday() -> None:
    monday = next_cycle(target("0 8 * * 1-5"), at("2026-03-01T00:00"))
    assert monday is not None
    assert monday.opens_at == at("2026-03-01T20:00")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (target("0 8 * *"), "five fields"),
        (target("0 0 8 * * *"), "five fields"),
        (target("0 25 * * *"), "Bad hour"),
        (target("0 8 31 2 *"), "Bad day-of-month"),
        (target("*/30 * * * *"), "30 minutes apart"),
        (target(zone="Mars/Olympus"), "Mars/Olympus"),
        (target(zone="../etc/passwd"), "time"),
        (target(zone=""), "IANA"),
        (target(warn_at=0), "warnAt is 0"),
        (target(warn_at=1.1), "warnAt is 1.1"),
        (target(warn_at=float("nan")), "warnAt is nan"),
        (target(window=timedelta(0)), "windowHours is 0"),
        (target(window=25 * HOUR), "24 hours between two deadlines"),
        (SlaTarget("urn:li:chart:1", "0 8 * * *"), "is not a dataset urn"),
    ],
)
def test_what_cannot_be_meant_is_told_so(wanted: SlaTarget, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        require_sense(wanted)


def test_what_can_be_meant_passes() -> None:
    require_sense(target("0 8 * * mon-fri", "Europe/Berlin", window=24 * HOUR, warn_at=1))
    require_sense(target("0 0 29 2 *"))
