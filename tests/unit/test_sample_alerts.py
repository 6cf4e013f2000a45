"""A tenth of the usual rows raises one alert, on whichever healthy table of the bookshop it is."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset, Profile
from dataspoke.localhub.sample import catalogue, generate
from dataspoke.localhub.sample.faults import RECENT
from dataspoke.quality.detectors import WARM_UP_POINTS
from dataspoke.quality.model import AlertState, Check, Metric
from tests.support.quality import quality_service

END = date(2026, 11, 24)
# Two tables are faulty at the end of every sample, on purpose.
TABLES = {
    table.urn: table.series.kind
    for table in catalogue.load().tables
    if table.series is not None and table.retired is None and table.name not in RECENT
}


def histories(days: int) -> Mapping[str, list[Profile]]:
    """Return the profiles of each table that nothing is wrong with for a week at the end."""
    sample = generate(end=END, days=days)
    faulty = {label.urn for label in sample.labels if label.end.date() > END - timedelta(days=7)}
    profiles: dict[str, list[Profile]] = defaultdict(list)
    for record in sample.records:
        if record["aspectName"] == "datasetProfile" and record["entityUrn"] not in faulty:
            value = record["aspect"]["json"]
            time = datetime.fromtimestamp(value["timestampMillis"] / 1000, UTC)
            profiles[record["entityUrn"]].append(Profile(time, value["rowCount"]))
    return profiles


@pytest.fixture(scope="module")
def short() -> Mapping[str, list[Profile]]:
    # Below sixty points no fit of Prophet is paid for.
    return histories(55)


@pytest.fixture(scope="module")
def whole() -> Mapping[str, list[Profile]]:
    return histories(180)


async def check(urn: str, profiles: list[Profile]) -> None:
    assert len(profiles) > WARM_UP_POINTS
    clock = MemoryClock(profiles[-1].time + timedelta(minutes=1))
    hub, store = MemoryHub(), MemoryStore(clock)
    quality = quality_service(hub, store, MemoryFeed(), InlineCompute(), clock)
    dataset = Dataset(urn, "a table", "urn:li:dataPlatform:postgres")
    hub.put(dataset, profiles=profiles)
    await quality.scan(None, [urn])
    assert not await store.active_alerts([urn])

    clock.advance(timedelta(days=1))
    rows = profiles[-1].row_count
    assert rows is not None
    tenth = Profile(profiles[-1].time + timedelta(days=1), rows // 10)
    hub.put(dataset, profiles=[*profiles, tenth])
    for _ in range(2):
        await quality.scan(None, [urn])

    changes = await store.alert_changes(0, None, 100)
    assert [(c.alert.check, c.alert.state) for c in changes] == [
        (Check(Metric.ROW_COUNT), AlertState.OPEN)
    ]
    assert changes[0].alert.value == rows // 10


@pytest.mark.parametrize("urn", TABLES, ids=lambda urn: urn.split(",")[1])
async def test_a_tenth_of_the_rows_raises_one_alert(
    urn: str, short: Mapping[str, list[Profile]]
) -> None:
    await check(urn, short[urn])


@pytest.mark.parametrize("kind", sorted(set(TABLES.values())))
async def test_after_half_a_year_too(kind: str, whole: Mapping[str, list[Profile]]) -> None:
    urn = next(urn for urn, its_kind in TABLES.items() if its_kind == kind and urn in whole)
    await check(urn, whole[urn])
