"""What any store keeps of the catalogue, by the same tests for memory and PostgreSQL."""

from datetime import UTC, datetime

from dataspoke.catalogue import Dataset, Field, ForeignKey, Lineage
from dataspoke.knowledge.model import Join, SampleFilter, Snapshot, Vocabulary
from dataspoke.ports.store import Store

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


async def test_only_datasets_of_a_domain_have_one(store: Store) -> None:
    await save(store, 1, snapshot("a", domain="urn:li:domain:d"), snapshot("b"))
    asked = [urn_of("a"), urn_of("b"), urn_of("unknown")]
    assert await store.domains_of(asked) == {urn_of("a"): "urn:li:domain:d"}


async def test_the_vocabulary_is_replaced(store: Store) -> None:
    assert await store.vocabulary() == Vocabulary()
    for words in (("department",), ("department", "deputy")):
        async with store.transaction() as tx:
            await tx.save_vocabulary(Vocabulary({"dept": words}))
    assert await store.vocabulary() == Vocabulary({"dept": ("department", "deputy")})
