"""What any store keeps of the catalogue, by the same tests for memory and PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime

from dataspoke.catalogue import Dataset, Field, ForeignKey, Lineage
from dataspoke.health.model import HealthScore
from dataspoke.knowledge.model import Join, SampleFilter, Signals, Snapshot, Vocabulary
from dataspoke.ports.store import Store
from dataspoke.quality.model import (
    Alert,
    AlertState,
    Check,
    DatasetQuality,
    Dimension,
    DimensionQuality,
    Judgement,
    Metric,
    Point,
    Result,
    Severity,
    Status,
)
from dataspoke.urns import deterministic_id

HIVE = "urn:li:dataPlatform:hive"


def urn_of(name: str) -> str:
    return f"urn:li:dataset:({HIVE},{name},PROD)"


def snapshot(name: str, description: str = "", domain: str | None = None) -> Snapshot:
    return Snapshot(Dataset(urn_of(name), name, HIVE, description, domain=domain))


FULL = Snapshot(
    Dataset(
        urn_of("shop.Orders"),
        # What the database's own text and jsonb would refuse.
        "a NUL \0 and half an emoji \ud83d",
        HIVE,
        fields=(Field("id", "bigint", "Key", ("urn:li:tag:PII",), type="NUMBER"), Field("buyer")),
        domain="urn:li:domain:sales",
        last_updated=datetime(2026, 11, 24, 8, tzinfo=UTC),
        names={"urn:li:domain:sales": "Sales"},
        foreign_keys=(ForeignKey(("buyer",), urn_of("shop.buyers"), ("id",)),),
    ),
    Lineage((urn_of("a"),), (urn_of("b"),)),
    (Join(("buyer",), urn_of("shop.buyers"), ("id",), 3),),
    (SampleFilter("id", "id > 0", 2),),
    ("urn:li:domain:marketing",),
)


async def save(store: Store, version: int, *snapshots: Snapshot) -> None:
    async with store.transaction() as tx:
        await tx.save_snapshots({kept.dataset.urn: (kept, version) for kept in snapshots})


async def test_a_snapshot_comes_back_as_it_was_saved(store: Store) -> None:
    await save(store, 1, FULL)
    assert await store.snapshots([FULL.dataset.urn, urn_of("unknown")]) == {FULL.dataset.urn: FULL}
    assert await store.snapshot_urns() == {FULL.dataset.urn}


async def test_an_older_snapshot_does_not_replace_a_newer_one(store: Store) -> None:
    await save(store, 2, snapshot("a", "new"))
    await save(store, 1, snapshot("a", "old"), snapshot("b", "first"))
    await save(store, 2, snapshot("b", "second"))
    kept = await store.snapshots([urn_of("a"), urn_of("b")])
    assert [kept[urn_of(name)].dataset.description for name in "ab"] == ["new", "second"]


async def test_a_snapshot_newer_than_its_removal_stays(store: Store) -> None:
    await save(store, 3, snapshot("a"), snapshot("b"), snapshot("c"))
    async with store.transaction() as tx:
        await tx.delete_snapshots({urn_of("a"): 2, urn_of("b"): 3, urn_of("unknown"): 9})
        await tx.forget([urn_of("c")])
    assert await store.snapshot_urns() == {urn_of("a")}


async def test_tables_are_found_by_their_last_component_in_any_case(store: Store) -> None:
    await save(store, 1, *map(snapshot, ("shop.Orders", "old.orders", "s3/2024/orders.csv")))
    assert await store.tables(["ORDERS", "orders.csv", "missing"]) == {
        "orders": [urn_of("old.orders"), urn_of("shop.Orders")],
        "orders.csv": [urn_of("s3/2024/orders.csv")],
    }


async def test_what_carries_a_tag_or_a_domain_is_found(store: Store) -> None:
    quoted = 'urn:li:tag:"quoted" \u00fc'
    tagged = Snapshot(
        Dataset(urn_of("b"), "b", HIVE, tags=(quoted,), owners=("urn:li:corpuser:ann",))
    )
    await save(store, 1, FULL, snapshot("a", "No urn:li:tag:PII"), tagged)
    assert await store.carriers(["urn:li:tag:PII"]) == [FULL.dataset.urn]
    assert await store.carriers(["urn:li:tag:P", "urn:li:domain:nobodys"]) == []
    assert await store.carriers(["urn:li:domain:sales", quoted]) == [urn_of("b"), FULL.dataset.urn]
    assert await store.carriers(["urn:li:corpuser:ann"]) == [urn_of("b")]


async def test_only_datasets_of_a_domain_have_one(store: Store) -> None:
    await save(store, 1, snapshot("a", domain="urn:li:domain:d"), snapshot("b"))
    asked = [urn_of("a"), urn_of("b"), urn_of("unknown")]
    assert await store.domains_of(asked) == {urn_of("a"): "urn:li:domain:d"}


NOW = datetime(2026, 11, 24, tzinfo=UTC)


def verdict(name: str, queries: float) -> DatasetQuality:
    point = Judgement(Point(NOW, queries), Status.PASS, "band")
    results = (
        Result(urn_of(name), Check(Metric.ROW_COUNT), point, NOW),
        Result(urn_of(name), Check(Metric.QUERY_COUNT), point, NOW),
    )
    dimensions = (
        DimensionQuality(Dimension.VOLUME, Status.PASS, 100),
        DimensionQuality(Dimension.FRESHNESS, Status.WARN, 50),
    )
    return DatasetQuality(urn_of(name), Status.WARN, 75, dimensions, results, NOW)


def alert(name: str, check: Check, state: AlertState, severity: Severity) -> Alert:
    key = deterministic_id(name, check.key, state)
    return Alert(key, urn_of(name), check, state, str(key), NOW, NOW, 1, "Wrong.", severity)


async def test_signals_are_what_was_judged_last(store: Store) -> None:
    nulls = Check(Metric.NULL_SHARE, "e mail")
    outdated = Snapshot(Dataset(urn_of("old"), "old", HIVE, deprecated=True))
    await save(store, 1, outdated, snapshot("known"), snapshot("full"))
    async with store.transaction() as tx:
        await tx.save_quality([verdict("full", 3.0), verdict("quiet", 0.0)])
        await tx.save_health([HealthScore(urn_of("full"), 62.5, (), NOW)])
        await tx.save_alerts(
            [
                alert("full", Check(Metric.ROW_COUNT), AlertState.OPEN, Severity.WARN),
                alert("full", nulls, AlertState.SNOOZED, Severity.ERROR),
                alert("full", Check(Metric.SIZE), AlertState.RESOLVED, Severity.ERROR),
                alert("alerted", nulls, AlertState.ACKNOWLEDGED, Severity.WARN),
            ]
        )
    names = ("full", "quiet", "alerted", "old", "known", "unknown")
    assert await store.signals([urn_of(name) for name in names]) == {
        urn_of("full"): Signals(
            health=62.5,
            freshness=Status.WARN,
            queries=3.0,
            alerts=((nulls, Severity.ERROR), (Check(Metric.ROW_COUNT), Severity.WARN)),
        ),
        urn_of("quiet"): Signals(freshness=Status.WARN, queries=0.0, alerts=()),
        urn_of("alerted"): Signals(alerts=((nulls, Severity.WARN),)),
        urn_of("old"): Signals(deprecated=True),
    }
    assert await store.signals([]) == {}


async def test_a_dataset_that_is_deprecated_no_longer_is_not_so_in_its_signals(
    store: Store,
) -> None:
    await save(store, 1, Snapshot(Dataset(urn_of("a"), "a", HIVE, deprecated=True)))
    await save(store, 2, snapshot("a"))
    assert await store.signals([urn_of("a")]) == {}


async def test_labels_are_what_the_hub_calls_things_last_and_the_end_of_a_urn_else(
    store: Store,
) -> None:
    strange = "half an emoji \ud83d"
    person, team = "urn:li:corpuser:jane@corp.com", "urn:li:corpGroup:sales"
    term, tag = "urn:li:glossaryTerm:Pay.Wage", "urn:li:tag:PII"
    first = Dataset(
        urn_of("a"),
        "a",
        HIVE,
        owners=(person, team),
        terms=(term,),
        names={person: "Jane", team: strange},
    )
    await save(store, 1, Snapshot(first), FULL)
    assert await store.labels() == {
        HIVE: "hive",
        person: "Jane",
        team: strange,
        term: "Pay.Wage",
        tag: "PII",
        "urn:li:domain:sales": "Sales",
    }
    await save(store, 2, Snapshot(replace(first, names={person: "Jane Doe"})))
    called = await store.labels()
    assert (called[person], called[team]) == ("Jane Doe", "sales")


async def test_urns_like_words_come_those_with_most_of_them_first(store: Store) -> None:
    names = ("shop.customer_orders", "shop.Orders", "crm.customers", "stock_100%", "x.o_ders")
    await save(store, 1, *map(snapshot, names))
    assert await store.urns_like(["custom", "order"], 10) == [
        urn_of("shop.customer_orders"),
        urn_of("shop.Orders"),
        urn_of("crm.customers"),
    ]
    assert await store.urns_like(["custom", "order"], 1) == [urn_of("shop.customer_orders")]
    assert await store.urns_like(["100%"], 10) == [urn_of("stock_100%")]
    assert await store.urns_like(["o_d"], 10) == [urn_of("x.o_ders")]
    assert await store.urns_like([], 10) == []


async def test_the_vocabulary_is_replaced(store: Store) -> None:
    assert await store.vocabulary() == Vocabulary()
    for words in (("department",), ("department", "deputy")):
        async with store.transaction() as tx:
            await tx.save_vocabulary(Vocabulary({"dept": words}))
    assert await store.vocabulary() == Vocabulary({"dept": ("department", "deputy")})
