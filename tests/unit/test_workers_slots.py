from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.ports.runs import ALL, REST
from dataspoke.settings import ScheduleSettings
from dataspoke.workers.schedule import entries
from dataspoke.workers.slots import Cron, Every

BERLIN = ZoneInfo("Europe/Berlin")
CRONS = ["0 8 * * *", "30 2 * * *", "*/10 * * * *", "0 3 * * 0", "15 */6 1 * *", "* * * * * *"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "now", "newest"),
    [
        ("0 8 * * *", "2026-01-15 06:59:59.999999", "2026-01-14 07:00"),
        ("0 8 * * *", "2026-01-15 07:00", "2026-01-15 07:00"),
        ("0 8 * * *", "2026-07-15 06:00", "2026-07-15 06:00"),
        ("0 3 * * 0", "2026-01-15 12:00", "2026-01-11 02:00"),
        # 02:30 is left out on this day, and made up for at 03:00.
        ("30 2 * * *", "2026-03-29 01:00", "2026-03-29 01:00"),
        ("30 2 * * *", "2026-03-29 00:59", "2026-03-28 01:30"),
        # ... and comes twice on this one.
        ("30 2 * * *", "2026-10-25 00:45", "2026-10-25 00:30"),
        ("30 2 * * *", "2026-10-25 01:45", "2026-10-25 00:30"),
    ],
)
def test_the_newest_slot_of_a_cron_in_its_zone(cron: str, now: str, newest: str) -> None:
    assert Cron(cron, BERLIN).newest(utc(now)) == utc(newest)


@given(
    st.sampled_from(CRONS),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_a_slot_is_the_newest_of_itself(cron: str, now: datetime) -> None:
    slots = Cron(cron, BERLIN)
    newest = slots.newest(now)
    assert newest <= now
    assert slots.newest(newest) == newest
    # An hour that comes twice does not hide a day: a week is the longest gap here but one month.
    assert now - newest <= timedelta(days=31, hours=2)


def test_slots_of_an_interval() -> None:
    six = Every(timedelta(hours=6))
    assert six.newest(utc("2026-01-15 11:59")) == utc("2026-01-15 06:00")
    assert six.newest(utc("2026-01-15 12:00")) == utc("2026-01-15 12:00")


def test_what_has_a_cron_of_its_own_is_not_scanned_with_the_rest() -> None:
    general = {entry.name: entry.job for entry in entries(ScheduleSettings())}
    assert general["scan"].payload["scope"] == ALL
    shop = "urn:li:domain:shop"
    scheduled = entries(ScheduleSettings(scan_of={shop: "0 * * * *"}, time_zone="Europe/Berlin"))
    parted = {entry.name: entry.job for entry in scheduled}
    assert parted["scan"].payload["scope"] == REST
    assert parted[f"scan:{shop}"].payload["scope"] == shop
    assert len({job.dedupe_key for job in parted.values()}) == len(scheduled)
