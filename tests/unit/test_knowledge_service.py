from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.catalogue import Dataset, Field, ForeignKey, Query
from dataspoke.errors import DependencyUnavailable, InvalidInput
from dataspoke.health.model import HealthScore
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.indexing import Drift, IndexService
from dataspoke.knowledge.model import (
    Join,
    SampleFilter,
    SearchFilters,
    SearchMode,
    SearchPage,
    Snapshot,
    Vocabulary,
)
from dataspoke.knowledge.search import MAX_QUESTION_CHARACTERS
from dataspoke.ports.store import JobKind
from dataspoke.ports.vectors import Entry
from tests.support.embedding import SynonymEmbedder
from tests.support.knowledge import ANY, HIVE, World, dataset, urn_of

DOWN = DependencyUnavailable("embedder", "The model is down.")


@pytest.fixture
def world() -> World:
    clock = MemoryClock()
    return World(MemoryHub(), MemoryStore(clock), MemoryVectors(), SynonymEmbedder(), clock)


def found(page: SearchPage) -> list[str]:
    return [hit.urn for hit in page.hits]


# --- keeping the index in step ---


async def test_a_requested_dataset_is_found_by_word_and_by_meaning(world: World) -> None:
    await world.put(dataset("customers", "customer_id", "email"), dataset("stock", "sku"))
    assert await world.store.index_requests(10) == []
    by_word = await world.search("email of customers")
    assert by_word.hits[0].urn == urn_of("customers")
    assert by_word.hits[0].why == (
        "name",
        "column customer_id",
        "column email",
        "similar in meaning",
    )
    by_meaning = await world.search("clients")
    assert found(by_meaning)[0] == urn_of("customers")
    assert by_meaning.mode is SearchMode.HYBRID
    assert by_meaning.notice is None


async def test_what_is_unchanged_is_not_embedded_again(world: World) -> None:
    await world.put(dataset("shop.orders", "order_id"), dataset("shop.stock", "sku"))
    assert len(world.embedder.texts) == len(set(world.embedder.texts)) == 4
    await world.put(dataset("shop.orders", "order_id"), dataset("shop.stock", "sku", "place"))
    assert len(world.embedder.texts) == 6
    tagged = replace(dataset("shop.orders", "order_id"), owners=("urn:li:corpuser:jane",))
    await world.put(tagged)
    assert len(world.embedder.texts) == 6
    assert (await world.search("place")).hits[0].urn == urn_of("shop.stock")


async def test_another_model_embeds_all_anew(world: World) -> None:
    await world.put(dataset("customers"))
    world.embedder = SynonymEmbedder("synonyms@2")
    page = await world.search("customers")
    assert found(page) == [urn_of("customers")]
    assert page.mode is SearchMode.LEXICAL
    assert page.notice is not None
    assert "not embedded" in page.notice
    await world.index.reconcile(None)
    await world.index.reindex(None)
    assert (await world.search("clients")).mode is SearchMode.HYBRID


async def test_deleted_and_removed_datasets_leave_the_index(world: World) -> None:
    await world.put(dataset("orders"), dataset("old_orders"), dataset("lost_orders"))
    world.hub.delete(urn_of("lost_orders"))
    world.hub.put(replace(dataset("old_orders"), removed=True))
    await world.reindex(urn_of("orders"), urn_of("old_orders"), urn_of("lost_orders"))
    assert await world.vectors.urns() == {urn_of("orders")}


async def test_a_request_for_something_that_is_no_dataset_is_finished(world: World) -> None:
    await world.reindex("urn:li:chart:(looker,1)")
    assert await world.store.index_requests(10) == []


async def test_many_requests_are_served_in_one_job_and_very_many_in_several(world: World) -> None:
    for number in range(1030):
        world.hub.put(dataset(f"t{number}"))
    async with world.store.transaction() as tx:
        await tx.request_index([urn_of(f"t{number}") for number in range(1030)])
    await world.wordy_index.reindex(None)
    assert len(await world.vectors.urns()) == 1024
    assert [job.kind for job in world.store.open_jobs] == [JobKind.REINDEX]
    await world.wordy_index.reindex(None)
    assert len(await world.vectors.urns()) == 1030


async def test_a_failing_hub_leaves_the_requests_and_the_index(world: World) -> None:
    await world.put(dataset("orders"))
    world.hub.failure = DependencyUnavailable("hub", "The hub is down.")
    with pytest.raises(DependencyUnavailable):
        await world.reindex(urn_of("orders"))
    assert len(await world.store.index_requests(10)) == 1
    assert await world.vectors.urns() == {urn_of("orders")}


async def test_a_failing_model_leaves_new_datasets_searchable_by_words(world: World) -> None:
    world.embedder.failure = DOWN
    await world.put(dataset("orders"))
    page = await world.search("orders")
    assert found(page) == [urn_of("orders")]
    assert page.mode is SearchMode.LEXICAL
    world.embedder.failure = None
    assert (await world.reconcile()).documents == 1
    assert (await world.search("purchases")).mode is SearchMode.HYBRID


async def test_a_slow_worker_does_not_put_back_an_older_document(world: World) -> None:
    old, new = dataset("orders", "old_column"), dataset("orders", "new_column")
    await world.put(new)
    await world.vectors.upsert(
        [Entry(document_of(Snapshot(old), Vocabulary()), None, (), None, version=0)]
    )
    await world.vectors.delete({urn_of("orders"): 0})
    stored = await world.vectors.versions([urn_of("orders")])
    assert stored[urn_of("orders")][0] == document_of(Snapshot(new), Vocabulary()).content_hash


# --- reconciling ---


async def test_reconcile_finds_what_is_missing_stale_and_gone(world: World) -> None:
    kept, changed, gone = dataset("kept"), dataset("changed"), dataset("gone")
    await world.put(kept, changed, gone)
    world.hub.put(dataset("changed", "a_new_column"))
    world.hub.put(dataset("missing"))
    world.hub.delete(gone.urn)
    async with world.store.transaction() as tx:
        scored = [HealthScore(urn, 50, (), world.clock.now()) for urn in (kept.urn, gone.urn)]
        await tx.save_health(scored)
    embedded = len(world.embedder.texts)

    await world.index.reconcile(None)
    (compare,) = (job for job in world.store.open_jobs if job.kind is JobKind.RECONCILE_DATASETS)
    drift = await world.index.reconcile_datasets(None, compare.payload["urns"])

    assert drift == Drift(compared=3, snapshots=2, documents=2)
    (request,) = await world.store.index_requests(10)
    assert request.urn == gone.urn
    requested = {request.urn for request in await world.store.index_requests(10, background=True)}
    assert requested == {changed.urn, urn_of("missing")}
    assert {job.kind for job in world.store.open_jobs} == {
        JobKind.REINDEX,
        JobKind.BACKFILL,
        JobKind.RECONCILE_DATASETS,
        JobKind.LEARN_VOCABULARY,
    }
    assert await world.store.known_datasets() == {kept.urn}
    await world.index.reindex(None)
    await world.index.backfill(None)
    assert await world.vectors.urns() == {kept.urn, changed.urn, urn_of("missing")}
    assert await world.store.snapshot_urns() == await world.vectors.urns()
    # The text of each of the two; of the columns of a table without a path there is no other.
    assert len(world.embedder.texts) == embedded + 2


async def test_reconcile_with_nothing_to_do_asks_for_nothing(world: World) -> None:
    await world.put(dataset("orders"))
    assert await world.reconcile() == Drift(compared=1)
    assert not world.store.open_jobs


async def test_a_lost_snapshot_or_document_is_made_anew(world: World) -> None:
    orders, stock = dataset("orders"), dataset("stock")
    await world.put(orders, stock)
    async with world.store.transaction() as tx:
        await tx.delete_snapshots({orders.urn: 10**6})
    await world.vectors.delete({stock.urn: 10**6})
    assert await world.reconcile() == Drift(compared=2, snapshots=1, documents=1)
    assert await world.reconcile() == Drift(compared=2)
    assert (
        await world.store.snapshot_urns() == await world.vectors.urns() == {orders.urn, stock.urn}
    )


async def test_a_backfill_is_throttled_and_does_not_hold_up_what_changes(world: World) -> None:
    for number in range(100):
        world.hub.put(dataset(f"t{number}"))
    await world.index.reconcile_datasets(None, [urn_of(f"t{number}") for number in range(100)])
    await world.put(dataset("changed"))
    assert await world.vectors.urns() == {urn_of("changed")}
    assert await world.store.waiting_index_requests() == 100

    slow = IndexService(world.hub, world.store, world.vectors, None, world.clock, 0.5)
    await slow.backfill(None)
    assert len(await world.vectors.urns()) == 65
    (rest,) = world.store.open_jobs
    assert rest.kind is JobKind.BACKFILL
    # Asked for by a change, a dataset does not wait for its turn any more.
    await world.reindex(urn_of("t99"))
    assert urn_of("t99") in await world.vectors.urns()


class BreakingHub(MemoryHub):
    """Its list of datasets breaks off after the first batch."""

    async def scroll(self, batch_size: int) -> AsyncIterator[Sequence[str]]:
        async for urns in super().scroll(1):
            yield urns
            raise DependencyUnavailable("hub", "The scroll broke off.")


class LaggingHub(MemoryHub):
    """Its list of datasets is empty, as while DataHub rebuilds its search index."""

    async def scroll(self, batch_size: int) -> AsyncIterator[Sequence[str]]:
        for urns in ():
            yield urns


async def test_half_a_list_removes_nothing(world: World) -> None:
    world.hub = BreakingHub()
    await world.put(dataset("a"), dataset("b"))
    with pytest.raises(DependencyUnavailable):
        await world.index.reconcile(None)
    assert await world.store.index_requests(10) == []
    assert len(await world.vectors.urns()) == 2


async def test_a_list_that_lags_removes_nothing(world: World) -> None:
    world.hub = LaggingHub()
    await world.put(dataset("a"), dataset("b"))
    async with world.store.transaction() as tx:
        await tx.save_health([HealthScore(urn_of("a"), 50, (), world.clock.now())])
    await world.reconcile()
    assert len(await world.vectors.urns()) == 2
    assert await world.store.known_datasets() == {urn_of("a")}


# --- searching ---


async def test_only_what_the_caller_may_see_is_found_and_the_page_is_full(world: World) -> None:
    await world.put(*(dataset(f"orders_{number:03}") for number in range(200)))
    # All of what retrieval finds first is hidden.
    hidden = {urn_of(f"orders_{number:03}"): None for number in range(195)}
    stranger = world.hub.admit("stranger", "urn:li:corpuser:stranger", rights=hidden)
    page = await world.search("orders", stranger, first=5)
    assert set(found(page)) == {urn_of(f"orders_{number}") for number in range(195, 200)}
    assert not page.has_next
    assert (await world.search("orders", stranger, first=4)).has_next


async def test_hidden_datasets_do_not_show_in_the_scores(world: World) -> None:
    await world.put(dataset("orders", "place", "amount"))
    alone = await world.search("secret orders of the place")
    await world.put(dataset("secret_orders_of_the_place"))
    rights = {urn_of("secret_orders_of_the_place"): None}
    stranger = world.hub.admit("stranger", "urn:li:corpuser:stranger", rights=rights)
    assert (await world.search("secret orders of the place", stranger)).hits == alone.hits


@pytest.mark.parametrize("first", [1, 7, 100])
async def test_pages_neither_overlap_nor_leave_out(world: World, first: int) -> None:
    await world.put(*(dataset(f"orders_{n}", *["order_id"] * (n % 7)) for n in range(90)))
    pages: list[str] = []
    after = None
    while True:
        page = await world.search("orders by clients", first=first, after=after)
        pages += found(page)
        if not page.has_next:
            break
        assert len(page.hits) == first
        after = page.cursors[-1]
    assert len(pages) == 90
    assert pages == found(await world.search("orders by clients", first=90))


async def test_filters_hold(world: World) -> None:
    marketing = "urn:li:domain:marketing"
    await world.put(dataset("orders"), replace(dataset("orders_m"), domain=marketing))
    page = await world.search("orders", filters=SearchFilters(domains=(marketing,)))
    assert found(page) == [urn_of("orders_m")]


@pytest.mark.parametrize(
    ("question", "first", "filters", "message"),
    [
        ("  ", 10, ANY, "no words"),
        ("?!", 10, ANY, "no words"),
        ("x" * (MAX_QUESTION_CHARACTERS + 1), 10, ANY, "1001 characters; at most 1000"),
        ("orders", 0, ANY, "`first` is 0"),
        ("orders", 101, ANY, "1 to 100"),
        ("orders", 10, SearchFilters(platforms=("hive",)), "platforms holds 'hive'"),
    ],
)
async def test_input_that_cannot_be_used_is_named(
    world: World, question: str, first: int, filters: SearchFilters, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        await world.search(question, first=first, filters=filters)


async def test_without_a_model_search_goes_by_words_and_says_so(world: World) -> None:
    await world.put(dataset("orders"), dataset("stock"))
    viewer = world.hub.admit("viewer", "urn:li:corpuser:viewer")
    page = await world.wordy_finder.search(viewer, "orders", ANY, 10, None)
    assert found(page) == [urn_of("orders")]
    assert page.mode is SearchMode.LEXICAL
    assert page.notice is not None
    assert "no sentence model" in page.notice


async def test_with_a_failing_model_search_goes_by_words_and_says_so(world: World) -> None:
    await world.put(*(dataset(f"orders_{number}") for number in range(3)))
    world.embedder.failure = DOWN
    page = await world.search("orders", first=2)
    assert page.mode is SearchMode.LEXICAL
    assert page.notice is not None
    assert "does not answer" in page.notice
    # The pages of one search stay in one order, though the model is back.
    world.embedder.failure = None
    rest = await world.search("orders", first=2, after=page.cursors[-1])
    assert rest.mode is SearchMode.LEXICAL
    assert sorted(found(page) + found(rest)) == [urn_of(f"orders_{n}") for n in range(3)]


async def test_a_page_by_meaning_cannot_be_followed_by_one_by_words(world: World) -> None:
    await world.put(*(dataset(f"orders_{number}") for number in range(3)))
    page = await world.search("orders", first=2)
    world.embedder.failure = DOWN
    with pytest.raises(DependencyUnavailable):
        await world.search("orders", first=2, after=page.cursors[-1])


# --- similar datasets ---


async def test_similar_datasets_are_those_of_like_meaning_that_may_be_seen(world: World) -> None:
    await world.put(
        dataset("customers", "customer_id"),
        dataset("clients", "client_id"),
        dataset("buyers", "buyer_id"),
        dataset("weather", "wind"),
    )
    hidden = {urn_of("clients"): None}
    actor = world.hub.admit("some", "urn:li:corpuser:some", rights=hidden)
    asked = [urn_of("customers"), urn_of("clients"), urn_of("nowhere")]
    similar = await world.finder.similar_to(actor, asked, 1)
    assert set(similar) == {urn_of("customers")}
    (hit,) = similar[urn_of("customers")]
    assert hit.urn == urn_of("buyers")
    assert hit.score == pytest.approx(1, abs=0.3)


async def test_similar_datasets_are_full_though_many_are_hidden(world: World) -> None:
    await world.put(*(dataset(f"orders_{number:02}") for number in range(40)))
    hidden = {urn_of(f"orders_{number:02}"): None for number in range(1, 35)}
    actor = world.hub.admit("some", "urn:li:corpuser:some", rights=hidden)
    similar = await world.finder.similar_to(actor, [urn_of("orders_00")], 5)
    assert {hit.urn for hit in similar[urn_of("orders_00")]} == {
        urn_of(f"orders_{number}") for number in range(35, 40)
    }


async def test_a_dataset_without_a_vector_has_no_similar_ones(world: World) -> None:
    world.embedder.failure = DOWN
    await world.put(dataset("orders"), dataset("sales"))
    viewer = world.hub.admit("viewer", "urn:li:corpuser:viewer")
    assert await world.finder.similar_to(viewer, [urn_of("orders")], 5) == {urn_of("orders"): ()}


async def test_a_domain_reaches_everything_that_its_datasets_are_made_from(world: World) -> None:
    raw, mart = dataset("raw"), dataset("mart")
    marketing = "urn:li:domain:marketing"
    world.hub.put(raw)
    world.hub.put(dataset("staged"), upstream=[raw.urn])
    world.hub.put(mart, upstream=[urn_of("staged")])
    await world.reindex(raw.urn, urn_of("staged"), mart.urn)
    used = SearchFilters(consumers=(marketing,))
    assert found(await world.search("raw", filters=used)) == []

    await world.put(replace(mart, domain=marketing))
    await world.index.reindex(None)
    assert found(await world.search("raw", filters=used)) == [raw.urn, urn_of("staged")]

    await world.put(mart)
    await world.index.reindex(None)
    assert found(await world.search("raw", filters=used)) == []


async def test_a_dataset_that_was_removed_softly_is_known_and_not_found(world: World) -> None:
    await world.put(dataset("orders"))
    await world.put(replace(dataset("orders"), removed=True))
    assert await world.vectors.urns() == frozenset()
    snapshot = (await world.store.snapshots([urn_of("orders")]))[urn_of("orders")]
    assert snapshot.dataset.removed
    world.hub.delete(urn_of("orders"))
    await world.reindex(urn_of("orders"))
    assert await world.store.snapshot_urns() == frozenset()


async def test_joins_are_learned_from_queries_and_foreign_keys(world: World) -> None:
    orders = Dataset(
        urn_of("shop.orders"),
        "orders",
        HIVE,
        fields=(Field("id"), Field("buyer_id"), Field("state")),
        foreign_keys=(ForeignKey(("buyer_id",), urn_of("shop.buyers"), ("id",)),),
    )
    buyers = Dataset(urn_of("shop.buyers"), "buyers", HIVE, fields=(Field("id"), Field("name")))
    statement = (
        "SELECT b.name FROM shop.orders o JOIN shop.buyers b ON o.buyer_id = b.id "
        "WHERE o.state = 'PAID'"
    )
    asked = [Query(statement, 7, world.clock.now())]
    world.hub.put(buyers)
    world.hub.put(orders, queries=asked)
    await world.reindex(orders.urn, buyers.urn)
    snapshot = (await world.store.snapshots([orders.urn]))[orders.urn]
    assert snapshot.joins == (Join(("buyer_id",), buyers.urn, ("id",), 7),)
    assert snapshot.filters == (SampleFilter("state", "state = 'PAID'", 7),)
    # That it was run more often is worth no work; that it is filtered by something else is.
    world.hub.put(orders, queries=[replace(asked[0], count=9)])
    assert await world.reconcile() == Drift(compared=2)
    world.hub.put(orders, queries=[Query(statement.replace("state", "id"), 1, world.clock.now())])
    assert await world.reconcile() == Drift(compared=2, snapshots=1, documents=1)


async def test_abbreviations_are_learned_and_what_uses_them_is_found_by_the_whole_word(
    world: World,
) -> None:
    teachers = [
        Dataset(
            urn_of(f"{schema}.staff"),
            f"{schema}.staff",
            HIVE,
            fields=(Field("dept_code", description="Code of the department"),),
        )
        for schema in ("hr", "payroll", "legal")
    ]
    await world.put(*teachers, Dataset(urn_of("x.dept_list"), "x.dept_list", HIVE))
    world.hub.terms["Net Revenue"] = "Also called earnings."
    before = await world.search("departments")
    assert urn_of("x.dept_list") not in found(before) or before.hits[0].urn != urn_of("x.dept_list")

    await world.index.learn(None)
    expansions = (await world.store.vocabulary()).expansions
    assert expansions["dept"] == ("department",)
    assert expansions["earnings"] == ("net revenue",)
    assert [job.kind for job in world.store.open_jobs] == [JobKind.RECONCILE]
    await world.reconcile()
    wordy = await world.wordy_finder.search(
        world.hub.admit("viewer", "urn:li:corpuser:viewer"), "departments", ANY, 10, None
    )
    assert urn_of("x.dept_list") in found(wordy)
    # Nothing new to learn asks for nothing.
    jobs = len(world.store.open_jobs)
    await world.index.learn(None)
    assert len(world.store.open_jobs) == jobs


class SlowEmbedder(SynonymEmbedder):
    """Does something else before it embeds for the first time."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile: Callable[[], Awaitable[None]] | None = meanwhile

    async def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().embed_documents(texts)


async def test_a_slow_backfill_does_not_bring_back_what_was_deleted(world: World) -> None:
    orders = dataset("orders")
    world.hub.put(orders)
    fast = world.index

    async def deleted_meanwhile() -> None:
        world.hub.delete(orders.urn)
        async with world.store.transaction() as tx:
            await tx.request_index([orders.urn])
        await fast.reindex(None)

    await world.index.reconcile_datasets(None, [orders.urn])
    slow = IndexService(
        world.hub, world.store, world.vectors, SlowEmbedder(deleted_meanwhile), world.clock
    )
    await slow.backfill(None)
    await fast.reindex(None)
    assert await world.vectors.urns() == frozenset()
    assert await world.store.snapshot_urns() == frozenset()
