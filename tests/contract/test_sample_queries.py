"""What the bookshop's people ask of its tables is read as a hub hands it out."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.knowledge.indexing import IndexService
from dataspoke.knowledge.model import Snapshot
from dataspoke.localhub import sample
from dataspoke.localhub.files import read_metadata_file
from tests.support.hub_ports import EDITOR, DataHubUnderTest


def urn(name: str, platform: str = "snowflake") -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},PROD)"


SALES, DATES = urn("analytics.marts.fct_sales_d"), urn("analytics.marts.dim_date")
RETURNS = urn("analytics.marts.fct_returns_d")
ORDERS = urn("shop.public.orders", "postgres")
CUSTOMERS = urn("shop.public.customers", "postgres")


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Snapshot]]:
    now = datetime.now(UTC)
    path = tmp_path_factory.mktemp("shop") / "shop.json"
    sample.write(sample.generate(end=now, days=10), Path(path))
    async with DataHubUnderTest.open() as under_test:
        under_test.running.storage.write(read_metadata_file(path), EDITOR)
        clock = MemoryClock(now)
        store = MemoryStore(clock)
        index = IndexService(under_test.hub, store, MemoryVectors(), None, clock)
        urns = [each async for batch in under_test.hub.scroll(100) for each in batch]
        async with store.transaction() as tx:
            await tx.request_index(urns)
        while await store.index_requests(1):
            await index.reindex(None)
        yield dict(await store.snapshots(urns))


def test_joins_are_seen_in_whatever_way_they_are_written(shop):
    joined = {(join.columns, join.other, join.other_columns) for join in shop[SALES].joins}

    # By JOIN … ON, by a comma and WHERE, and in a CTE by two columns.
    assert (("date_key",), DATES, ("date_key",)) in joined
    assert (("book_sk", "date_key"), RETURNS, ("book_sk", "date_key")) in joined
    assert max(join.count for each in shop.values() for join in each.joins) > 5


def test_filters_are_seen_and_tell_of_nobody(shop):
    sales = {sample_filter.predicate for sample_filter in shop[SALES].filters}
    customers = {sample_filter.predicate for sample_filter in shop[CUSTOMERS].filters}

    assert "channel IN ('phone', 'till', 'web')" in sales
    assert customers == {"email = ?"}
    assert "example.org" not in repr(shop)


def test_keys_that_are_declared_are_there_with_and_without_queries(shop):
    joins = {join.other: join.count for join in shop[ORDERS].joins}

    assert joins[CUSTOMERS] > 0
    assert joins[urn("shop.public.vouchers", "postgres")] == 0


def test_what_is_deprecated_names_what_to_use(shop):
    old = shop[urn("analytics.marts.rev_by_store_old")].dataset

    assert old.deprecated
    assert old.replacement == SALES
    assert old.deprecation_note == "Use fct_sales_d with channel = 'till'."
    assert old.last_updated is None or old.last_updated < datetime.now(UTC) - timedelta(days=1)
