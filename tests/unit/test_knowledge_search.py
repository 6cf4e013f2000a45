"""What a search answers: filters that it reads, trust, reasons, facets; and when parts are down."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.catalogue import Dataset, Field
from dataspoke.errors import (
    DependencyError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
    InvalidInput,
)
from dataspoke.health.model import HealthScore
from dataspoke.knowledge.model import (
    Attributes,
    Candidate,
    Document,
    FacetCount,
    FilterKind,
    Match,
    PartKind,
    SearchFilters,
    SearchMode,
    SearchPage,
    TypeChange,
)
from dataspoke.ports.hub import Access, Actor
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
from dataspoke.settings import SearchSettings
from dataspoke.urns import deterministic_id
from tests.support.embedding import SynonymEmbedder
from tests.support.knowledge import ANY, HIVE, World, dataset, urn_of

PII, GOLD = "urn:li:tag:PII", "urn:li:tag:gold"
MARKETING, FINANCE = "urn:li:domain:1f3a", "urn:li:domain:finance"
JANE = "urn:li:corpuser:jane"
SNOWFLAKE = "urn:li:dataPlatform:snowflake"
ROWS = Check(Metric.ROW_COUNT)


class Vectors(MemoryVectors):
    """Counts searches; while ``failure`` is set, every one raises it."""

    def __init__(self) -> None:
        super().__init__()
        self.searches = 0
        self.failure: DependencyError | None = None

    async def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        self.searches += 1
        if self.failure is not None:
            raise self.failure
        return await super().search(text, vector, model, filters, limit)


@pytest.fixture
def vectors() -> Vectors:
    return Vectors()


@pytest.fixture
def world(vectors: Vectors) -> World:
    clock = MemoryClock()
    return World(MemoryHub(), MemoryStore(clock), vectors, SynonymEmbedder(), clock)


def found(page: SearchPage) -> list[str]:
    return [hit.urn for hit in page.hits]


def alert(name: str, check: Check = ROWS, severity: Severity = Severity.ERROR) -> Alert:
    now = MemoryClock().now()
    key = deterministic_id(name, check.key)
    return Alert(
        key, urn_of(name), check, AlertState.OPEN, str(key), now, now, 1, "Wrong.", severity
    )


def verdict(name: str, freshness: Status = Status.PASS, queries: float = 100) -> DatasetQuality:
    now = MemoryClock().now()
    judgement = Judgement(Point(now, queries), Status.PASS, "band")
    return DatasetQuality(
        urn_of(name),
        freshness,
        100,
        (DimensionQuality(Dimension.FRESHNESS, freshness, 100),),
        (Result(urn_of(name), Check(Metric.QUERY_COUNT), judgement, now),),
        now,
    )


async def judge(
    world: World, *verdicts: DatasetQuality, alerts: Sequence[Alert] = (), health: float = 80
) -> None:
    async with world.store.transaction() as tx:
        await tx.save_quality(verdicts)
        await tx.save_alerts(alerts)
        scores = [HealthScore(v.urn, health, (), world.clock.now()) for v in verdicts]
        await tx.save_health(scores)


# --- filters read out of the question ---


async def warehouse(world: World) -> None:
    """Customers are PII and used by marketing; visits are used by it; orders are gold."""
    names = {PII: "PII", GOLD: "gold", MARKETING: "Marketing", JANE: "Jane Doe"}
    await world.put(
        replace(dataset("raw.customers", "email"), tags=(PII,), names=names),
        replace(dataset("raw.payments", "iban"), tags=(PII,), names=names, owners=(JANE,)),
        dataset("raw.visits", "page"),
        replace(dataset("orders", "total"), tags=(GOLD,), names=names),
    )
    campaign = replace(dataset("mart.campaigns"), domain=MARKETING, names=names)
    world.hub.put(campaign, upstream=[urn_of("raw.customers"), urn_of("raw.visits")])
    await world.reindex(campaign.urn, urn_of("raw.customers"), urn_of("raw.visits"))
    await world.index.reindex(None)


async def test_a_question_of_filters_alone_lists_what_passes_them(world: World) -> None:
    await warehouse(world)
    page = await world.search("PII tables used by marketing")
    assert found(page) == [urn_of("raw.customers")]
    assert page.interpretation.text == ""
    assert [(f.kind, f.urns, f.name, f.words) for f in page.interpretation.filters] == [
        (FilterKind.TAG, (PII,), "PII", "PII"),
        (FilterKind.CONSUMER, (MARKETING,), "Marketing", "used by marketing"),
    ]
    assert "tag PII" in page.hits[0].why
    assert page.notice is None


async def test_what_is_listed_comes_the_most_trusted_first_and_in_pages(world: World) -> None:
    names = {PII: "PII"}
    datasets = [replace(dataset(f"t{n:02}"), tags=(PII,), names=names) for n in range(30)]
    await world.put(*datasets, dataset("other"))
    for number in range(30):
        await judge(world, verdict(f"t{number:02}", queries=(number * 7) % 30))
    pages, after = [], None
    while True:
        page = await world.search("all tables tagged PII", first=7, after=after)
        pages += page.hits
        if not page.has_next:
            break
        after = page.cursors[-1]
    assert len({hit.urn for hit in pages}) == len(pages) == 30
    assert [hit.score for hit in pages] == sorted((hit.score for hit in pages), reverse=True)
    assert [hit.score for hit in pages] == [hit.trust.value for hit in pages if hit.trust]


async def test_what_is_left_of_the_question_is_searched_for(world: World) -> None:
    await warehouse(world)
    page = await world.search("emails of clients tagged PII")
    assert page.interpretation.text == "emails of clients"
    assert found(page) == [urn_of("raw.customers")]
    owned = await world.search("ibans owned by jane")
    assert found(owned) == [urn_of("raw.payments")]


async def test_the_caller_may_have_the_question_taken_as_words(world: World) -> None:
    await warehouse(world)
    viewer = world.hub.admit("viewer", "urn:li:corpuser:viewer")
    page = await world.finder.search(viewer, "orders tagged PII", ANY, 10, None, interpret=False)
    assert page.interpretation.filters == ()
    assert page.interpretation.text == "orders tagged PII"
    assert found(page)[0] == urn_of("orders")


async def test_filters_of_the_caller_stay_beside_those_that_are_read(world: World) -> None:
    await warehouse(world)
    page = await world.search("tables used by marketing", filters=SearchFilters(tags=(PII,)))
    assert found(page) == [urn_of("raw.customers")]
    orders = await world.search("orders tagged PII", filters=SearchFilters(tags=(GOLD,)))
    assert found(orders) == [urn_of("orders")]
    assert orders.interpretation.filters == ()


async def test_where_nothing_passes_what_was_read_it_says_so(world: World) -> None:
    await warehouse(world)
    page = await world.search("tagged gold and used by marketing")
    assert not page.hits
    assert page.notice is not None
    assert "interpret: false" in page.notice


async def test_a_cursor_of_another_interpretation_is_refused(world: World) -> None:
    await warehouse(world)
    viewer = world.hub.admit("viewer", "urn:li:corpuser:viewer")
    page = await world.search("tagged PII", first=1)
    with pytest.raises(InvalidInput, match="other filters"):
        await world.finder.search(viewer, "tagged PII", ANY, 1, page.cursors[-1], interpret=False)


# --- trust ---


def twins() -> tuple[Dataset, Dataset]:
    """Two datasets that differ in nothing but their environment."""
    first = dataset("shop.orders", "total")
    return replace(first, urn=first.urn.replace("PROD", "DEV")), first


async def test_among_equals_trust_decides(world: World) -> None:
    dev, prod = twins()
    await world.put(dev, prod)
    assert found(await world.search("orders total")) == [dev.urn, prod.urn]
    await judge(world, verdict("shop.orders"))
    world.clock.advance(timedelta(minutes=1))
    assert found(await world.search("orders total")) == [prod.urn, dev.urn]
    await judge(world, alerts=[alert("shop.orders")])
    world.clock.advance(timedelta(minutes=1))
    page = await world.search("orders total")
    assert found(page) == [dev.urn, prod.urn]
    worse = page.hits[1].trust
    assert worse is not None
    notes = {part.name: part.note for part in worse.parts}
    assert notes["alerts"] == "1 open alert, the worst ERROR"


async def test_a_clearly_better_match_wins_over_a_trusted_one(world: World) -> None:
    await world.put(
        replace(dataset("shop.orders", "order_id", "total"), deprecated=True),
        dataset("weather", "wind", "orders_of_magnitude"),
    )
    await judge(world, verdict("weather"))
    assert found(await world.search("orders total"))[0] == urn_of("shop.orders")


async def test_without_a_weight_trust_is_shown_and_moves_nothing(world: World) -> None:
    world.settings = SearchSettings(trust_weight=0)
    dev, prod = twins()
    await world.put(dev, prod)
    await judge(world, verdict("shop.orders"))
    page = await world.search("orders total")
    assert found(page) == [dev.urn, prod.urn]
    assert page.hits[0].score == page.hits[1].score
    trust = [hit.trust.value for hit in page.hits if hit.trust]
    assert trust[0] < trust[1]


async def test_where_nothing_was_judged_trust_changes_no_order(world: World) -> None:
    await world.put(*(dataset(f"orders_{n}", *["total"] * (n % 3)) for n in range(20)))
    with_trust = await world.search("orders total", first=20)
    world.settings = SearchSettings(trust_weight=0, cache_s=0)
    assert found(await world.search("orders total", first=20)) == found(with_trust)


NO_PROFILE = Access(view_profile=False, view_operations=True, edit_assertions=False)
NO_USAGE = Access(view_profile=True, view_operations=True, edit_assertions=False)
NO_OPERATIONS = Access(True, False, edit_assertions=False, view_usage=True)


@pytest.mark.parametrize(
    ("access", "unknown"),
    [
        (NO_PROFILE, {"alerts", "freshness", "usage"}),
        (NO_USAGE, {"usage"}),
        (NO_OPERATIONS, {"freshness"}),
    ],
)
async def test_what_a_caller_may_not_view_shows_in_no_score(
    world: World, access: Access, unknown: set[str]
) -> None:
    world.settings = SearchSettings(cache_s=0)
    names = ("a.orders", "b.orders", "c.orders")
    await world.put(*(dataset(name, "total") for name in names))
    rights = dict.fromkeys(map(urn_of, names), access)
    some = world.hub.admit("some", "urn:li:corpuser:some", rights=rights)
    late = Check(Metric.FRESHNESS)
    await judge(world, verdict("a.orders"), verdict("b.orders"), alerts=[alert("b.orders", ROWS)])
    before = await world.search("orders", some)
    hidden: dict[str, dict[str, Status | float]] = {
        "usage": {"queries": 5000.0},
        "freshness": {"freshness": Status.FAIL},
    }
    for change in (hidden[name] for name in unknown if name in hidden):
        await judge(world, verdict("a.orders", **change))  # type: ignore[arg-type]
    if access is NO_PROFILE:
        await judge(world, alerts=[alert("a.orders"), alert("c.orders")])
    if access is NO_OPERATIONS:
        await judge(world, alerts=[alert("a.orders", late)])
    assert (await world.search("orders", some)).hits == before.hits
    for hit in before.hits:
        assert hit.trust is not None
        parts = {part.name: part.value for part in hit.trust.parts}
        assert all(parts[name] is None for name in unknown)
    everything = world.hub.admit("all", "urn:li:corpuser:all")
    assert (await world.search("orders", everything)).hits != before.hits


# --- why, facets ---


async def test_a_hit_says_what_matched(world: World) -> None:
    await world.put(
        replace(
            dataset("shop.customers", "customer_id", "email"),
            tags=(PII,),
            names={PII: "PII"},
        )
    )
    (hit,) = (await world.search("customer PII")).hits
    assert hit.matches == (
        Match(PartKind.NAME, "customers"),
        Match(PartKind.COLUMN, "customer_id"),
        Match(PartKind.TAG, "PII"),
    )
    assert hit.why[0] == "name"


async def test_a_match_names_no_other_dataset(world: World) -> None:
    """It may be one that the caller may not see."""
    world.hub.put(dataset("salaries"))
    world.hub.put(dataset("mart"), upstream=[urn_of("salaries")])
    await world.reindex(urn_of("salaries"), urn_of("mart"))
    some = world.hub.admit("some", "urn:li:corpuser:some", rights={urn_of("salaries"): None})
    (hit,) = (await world.search("salaries", some)).hits
    assert hit.urn == urn_of("mart")
    assert hit.matches == (Match(PartKind.UPSTREAM, None),)
    assert not any("salaries" in reason for reason in hit.why)


async def test_facets_count_what_the_caller_may_see_on_every_page(world: World) -> None:
    names = {PII: "Personal", FINANCE: "Finance"}
    await world.put(
        replace(dataset("orders_1"), tags=(PII,), names=names, domain=FINANCE),
        replace(dataset("orders_2"), tags=(PII, GOLD), names=names),
        replace(dataset("orders_3"), owners=(JANE,)),
        replace(dataset("orders_4"), tags=(GOLD,)),
    )
    actor = world.hub.admit("some", "urn:li:corpuser:some", rights={urn_of("orders_4"): None})
    finder = world.finder

    async def page(after: str | None, *, facets: bool = True) -> SearchPage:
        return await finder.search(actor, "orders", ANY, 2, after, facets=facets)

    first = await page(None)
    assert first.facets is not None
    assert first.facets.tags == (FacetCount(PII, "Personal", 2), FacetCount(GOLD, "gold", 1))
    assert first.facets.domains == (FacetCount(FINANCE, "Finance", 1),)
    assert first.facets.owners == (FacetCount(JANE, "jane", 1),)
    assert first.facets.platforms == (FacetCount(HIVE, "hive", 3),)
    assert first.facets.terms == ()
    assert (await page(first.cursors[-1])).facets == first.facets
    assert (await page(None, facets=False)).facets is None


# --- without the index ---


DOWN = DependencyUnavailable("vectors", "Weaviate cannot be reached.")


@pytest.mark.parametrize("failure", [DOWN, DependencyTimeout("vectors", "Too slow.")])
async def test_without_the_index_names_are_searched_and_it_says_so(
    world: World, vectors: Vectors, failure: DependencyError
) -> None:
    await world.put(
        dataset("shop.customer_orders"),
        replace(dataset("shop.orders"), tags=(GOLD,)),
        dataset("crm.customers"),
        dataset("weather"),
        replace(dataset("old_orders"), removed=True),
    )
    hidden = {urn_of("crm.customers"): None}
    some = world.hub.admit("some", "urn:li:corpuser:some", rights=hidden)
    vectors.failure = failure
    page = await world.search("customer orders", some)
    assert page.mode is SearchMode.NAMES
    assert page.notice is not None
    assert "index does not answer" in page.notice
    assert found(page) == [urn_of("shop.customer_orders"), urn_of("shop.orders")]
    assert page.hits[0].why[0] == "name"
    gold = await world.search("customer orders", filters=SearchFilters(tags=(GOLD,)))
    assert found(gold) == [urn_of("shop.orders")]
    assert found(await world.search("orders tagged gold")) == [urn_of("shop.orders")]


async def test_pages_by_names_go_on_by_names_though_the_index_is_back(
    world: World, vectors: Vectors
) -> None:
    await world.put(*(dataset(f"orders_{number}") for number in range(5)))
    vectors.failure = DOWN
    page = await world.search("orders", first=3)
    vectors.failure = None
    rest = await world.search("orders", first=3, after=page.cursors[-1])
    assert rest.mode is SearchMode.NAMES
    assert sorted(found(page) + found(rest)) == [urn_of(f"orders_{n}") for n in range(5)]
    assert (await world.search("orders", first=3)).mode is SearchMode.HYBRID


async def test_a_page_by_the_index_cannot_go_on_without_it(world: World, vectors: Vectors) -> None:
    await world.put(*(dataset(f"orders_{number}") for number in range(5)))
    page = await world.search("orders", first=3)
    vectors.failure = DOWN
    with pytest.raises(DependencyUnavailable):
        await world.search("orders", first=3, after=page.cursors[-1])


async def test_an_index_that_refuses_is_an_error(world: World, vectors: Vectors) -> None:
    vectors.failure = DependencyRejected("vectors", "No such collection.")
    with pytest.raises(DependencyRejected):
        await world.search("orders")


# --- what is kept ---


async def test_the_same_question_is_answered_once_for_each_caller(
    world: World, vectors: Vectors
) -> None:
    await warehouse(world)
    finder = world.finder
    one, other = (world.hub.admit(name, f"urn:li:corpuser:{name}") for name in ("one", "other"))

    async def ask(actor: Actor, facets: bool = True) -> SearchPage:
        return await finder.search(actor, "PII orders", ANY, 2, None, facets=facets)

    first = await ask(one)
    assert vectors.searches == 1
    assert await ask(one) == first
    assert vectors.searches == 1
    await ask(other)
    assert vectors.searches == 2
    await ask(one, facets=False)
    assert vectors.searches == 3
    world.clock.advance(timedelta(seconds=11))
    await ask(one)
    assert vectors.searches == 4


async def test_a_change_of_the_index_shows_at_once(world: World) -> None:
    await world.put(dataset("orders"))
    assert found(await world.search("orders")) == [urn_of("orders")]
    await world.put(dataset("more_orders"))
    assert set(found(await world.search("orders"))) == {urn_of("orders"), urn_of("more_orders")}
    world.hub.delete(urn_of("orders"))
    await world.reindex(urn_of("orders"))
    assert found(await world.search("orders")) == [urn_of("more_orders")]


async def test_a_right_that_is_withdrawn_counts_at_once(world: World) -> None:
    await world.put(dataset("orders"), dataset("secret_orders"))
    actor = world.hub.admit("some", "urn:li:corpuser:some")
    assert len((await world.search("orders", actor)).hits) == 2
    rights = {urn_of("secret_orders"): None}
    actor = world.hub.admit("some", "urn:li:corpuser:some", rights=rights)
    assert found(await world.search("orders", actor)) == [urn_of("orders")]


async def test_an_answer_that_is_less_than_it_could_be_is_not_kept(
    world: World, vectors: Vectors
) -> None:
    await world.put(dataset("orders"))
    vectors.failure = DOWN
    assert (await world.search("orders")).mode is SearchMode.NAMES
    vectors.failure = None
    world.embedder.failure = DependencyUnavailable("embedder", "Down.")
    assert (await world.search("orders")).mode is SearchMode.LEXICAL
    world.embedder.failure = None
    assert (await world.search("orders")).mode is SearchMode.HYBRID


async def test_what_is_kept_by_another_release_is_not_read(world: World) -> None:
    await world.put(dataset("orders"))
    before = await world.search("orders")

    async def get(key: str) -> bytes | None:
        return b'["", {"hits": 7}]'

    world.cache.get = get  # type: ignore[method-assign]
    assert await world.search("orders") == before


# --- lineage, differences ---


async def test_lineage_shows_neighbours_that_may_be_seen(world: World) -> None:
    names = ("raw", "orders", "mart", "secret")
    for name in names:
        world.hub.put(dataset(name))
    world.hub.put(dataset("orders"), upstream=[urn_of("raw")])
    world.hub.put(dataset("mart"), upstream=[urn_of("orders")])
    world.hub.put(dataset("secret"), upstream=[urn_of("orders")])
    await world.reindex(*map(urn_of, names))
    some = world.hub.admit("some", "urn:li:corpuser:some", rights={urn_of("secret"): None})
    asked = [urn_of("orders"), urn_of("secret"), urn_of("unknown")]
    lineage = await world.finder.lineage_of(some, asked)
    assert set(lineage) == {urn_of("orders")}
    assert lineage[urn_of("orders")].upstream == (urn_of("raw"),)
    assert lineage[urn_of("orders")].downstream == (urn_of("mart"),)
    assert lineage[urn_of("orders")].complete


async def test_lineage_of_a_hub_is_cut_and_says_so(world: World) -> None:
    world.hub.put(dataset("raw"))
    for number in range(60):
        world.hub.put(dataset(f"t{number:02}"), upstream=[urn_of("raw")])
    await world.reindex(urn_of("raw"))
    viewer = world.hub.admit("viewer", "urn:li:corpuser:viewer")
    lineage = (await world.finder.lineage_of(viewer, [urn_of("raw")]))[urn_of("raw")]
    assert len(lineage.downstream) == 50
    assert not lineage.complete


async def test_the_difference_of_two_datasets(world: World) -> None:
    here = Dataset(
        urn_of("orders"),
        "orders",
        HIVE,
        fields=(
            Field("ID", "int"),
            Field("total", "decimal"),
            Field("city"),
            Field("note", "text"),
        ),
        owners=(JANE,),
        deprecated=True,
    )
    there = Dataset(
        f"urn:li:dataset:({SNOWFLAKE},orders_v2,PROD)",
        "orders_v2",
        SNOWFLAKE,
        fields=(Field("id", "INT"), Field("total", "float"), Field("city", "text"), Field("tax")),
        owners=(JANE,),
    )
    await world.put(here, there, dataset("secret"))
    some = world.hub.admit("some", "urn:li:corpuser:some", rights={urn_of("secret"): None})
    pairs = [(here.urn, there.urn), (here.urn, urn_of("secret")), (here.urn, here.urn)]
    differences = await world.finder.differences(some, pairs)
    assert set(differences) == {(here.urn, there.urn), (here.urn, here.urn)}
    difference = differences[here.urn, there.urn]
    assert difference.shared == ("ID", "total", "city")
    assert difference.only_here == ("note",)
    assert difference.only_there == ("tax",)
    assert difference.types == (TypeChange("total", "decimal", "float"),)
    assert (difference.same_platform, difference.same_domain) == (False, True)
    assert difference.same_owners
    assert difference.healthier == there.urn
    assert differences[here.urn, here.urn].healthier is None


# --- pages ---


class Scored(MemoryVectors):
    """Holds nothing but scores, and gives the best by each, as the port says."""

    def __init__(self, scores: Mapping[str, tuple[float | None, float]]) -> None:
        super().__init__()
        self.depths: Counter[int] = Counter()
        self._scores = scores

    async def search(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        model: str | None,
        filters: SearchFilters,
        limit: int,
    ) -> Sequence[Candidate]:
        self.depths[limit] += 1
        by_words = [urn for urn, (rank, _) in self._scores.items() if rank is not None]
        by_words.sort(key=lambda urn: (-(self._scores[urn][0] or 0), urn))
        by_sense = sorted(self._scores, key=lambda urn: (-self._scores[urn][1], urn))
        best = {*by_words[:limit], *by_sense[:limit]}
        return [Candidate(urn, Attributes(HIVE), *self._scores[urn]) for urn in sorted(best)]

    async def documents(self, urns: Sequence[str]) -> Mapping[str, Document]:
        return {urn: Document(urn, urn, "", (), (), Attributes(HIVE), "") for urn in urns}


@property_settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 450),
    st.integers(10, 100),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
async def test_pages_neither_overlap_nor_miss_and_are_full(
    count: int, first: int, visible_share: float, trust_weight: float, seed: int
) -> None:
    dice = np.random.default_rng(seed)
    urns = [urn_of(f"s{n % 9}.t{n:03}") for n in range(count)]
    scores = {
        urn: (float(dice.integers(1, 30)) if dice.random() < 0.4 else None, float(dice.random()))
        for urn in urns
    }
    clock, hub, settings = MemoryClock(), MemoryHub(), SearchSettings(trust_weight=trust_weight)
    world = World(hub, MemoryStore(clock), Scored(scores), SynonymEmbedder(), clock, settings)
    for urn in urns:
        hub.put(Dataset(urn, urn, HIVE))
    hidden = [urn for urn in urns if dice.random() > visible_share]
    actor = hub.admit("some", "urn:li:corpuser:some", rights=dict.fromkeys(hidden))
    async with world.store.transaction() as tx:
        judged = [urn for urn in urns if dice.random() < 0.5]
        await tx.save_health(
            [HealthScore(urn, float(dice.random() * 100), (), clock.now()) for urn in judged]
        )
    finder = world.finder
    seen: list[str] = []
    after, last = None, 1.0
    while True:
        page = await finder.search(actor, "orders", ANY, first, after)
        seen += found(page)
        for hit in page.hits:
            assert hit.score <= last
            last = hit.score
        if not page.has_next:
            break
        assert len(page.hits) == first
        after = page.cursors[-1]
    assert len(seen) == len(set(seen))
    assert set(seen) == set(urns) - set(hidden)


async def test_who_sees_little_gets_a_full_page_from_far_below() -> None:
    urns = [urn_of(f"t{n:04}") for n in range(3000)]
    scores = {urn: (None, 1 - n / 4000) for n, urn in enumerate(urns)}
    clock, hub, vectors = MemoryClock(), MemoryHub(), Scored(scores)
    world = World(hub, MemoryStore(clock), vectors, SynonymEmbedder(), clock)
    for urn in urns:
        hub.put(Dataset(urn, urn, HIVE))
    actor = hub.admit("some", "urn:li:corpuser:some", rights=dict.fromkeys(urns[:2990]))
    page = await world.search("orders", actor, first=9)
    assert found(page) == urns[2990:2999]
    assert page.has_next
    assert vectors.depths == {70: 1, 400: 1, 1600: 1, 6400: 1}


async def test_where_the_deepest_look_does_not_fill_a_page_it_says_so() -> None:
    urns = [urn_of(f"t{n:04}") for n in range(6500)]
    scores = {urn: (None, 1 - n / 7000) for n, urn in enumerate(urns)}
    clock, hub = MemoryClock(), MemoryHub()
    world = World(hub, MemoryStore(clock), Scored(scores), SynonymEmbedder(), clock)
    for urn in urns:
        hub.put(Dataset(urn, urn, HIVE))
    actor = hub.admit("some", "urn:li:corpuser:some", rights=dict.fromkeys(urns[:6450]))
    page = await world.search("orders", actor)
    assert not page.hits
    assert page.notice is not None
    assert "best 6,400" in page.notice
