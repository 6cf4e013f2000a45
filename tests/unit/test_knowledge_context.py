"""What a model is told of the tables that a question is about."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset, Field
from dataspoke.errors import InvalidInput
from dataspoke.knowledge.context import ContextService, warnings_of
from dataspoke.knowledge.dialects import identifier
from dataspoke.knowledge.joining import bridges, known_joins
from dataspoke.knowledge.model import (
    Hit,
    Interpretation,
    Join,
    SampleFilter,
    SearchFilters,
    SearchMode,
    SearchPage,
    Snapshot,
)
from dataspoke.knowledge.personal import words_in
from dataspoke.knowledge.prompt import Relevant, context_of, tokens_of
from dataspoke.knowledge.sql_context import ContextJoin, SqlContext, WarningKind
from dataspoke.ports.hub import Actor
from dataspoke.quality.model import (
    Alert,
    AlertState,
    Check,
    DatasetQuality,
    Dimension,
    DimensionQuality,
    Metric,
    Status,
)

SNOWFLAKE = "urn:li:dataPlatform:snowflake"
KAFKA = "urn:li:dataPlatform:kafka"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def urn(name: str, platform: str = SNOWFLAKE) -> str:
    return f"urn:li:dataset:({platform},shop.public.{name},PROD)"


def table(name: str, *columns: str | Field, platform: str = SNOWFLAKE, **facts: Any) -> Dataset:
    fields = tuple(c if isinstance(c, Field) else Field(c, "number") for c in columns)
    return Dataset(urn(name, platform), name, platform, fields=fields, **facts)


def snapshot(dataset: Dataset, *joins: Join, filters: Sequence[SampleFilter] = ()) -> Snapshot:
    return Snapshot(dataset, joins=joins, filters=tuple(filters))


def by_urn(*snapshots: Snapshot) -> Mapping[str, Snapshot]:
    return {each.dataset.urn: each for each in snapshots}


def key(other: str, column: str, count: int = 0) -> Join:
    return Join((column,), urn(other), (column,), count)


# --- joins ---


def test_a_join_that_both_sides_know_is_one():
    known = by_urn(
        snapshot(table("a"), Join(("x", "y"), urn("b"), ("q", "p"), 3), key("gone", "z")),
        snapshot(table("b"), Join(("p", "q"), urn("a"), ("y", "x"), 3), key("b", "p")),
    )

    assert known_joins(known) == [ContextJoin(urn("a"), ("x", "y"), urn("b"), ("q", "p"), 3)]


def joins(*pairs: str) -> list[ContextJoin]:
    return [ContextJoin(pair[0], ("id",), pair[1], ("id",), int(pair[2:] or 0)) for pair in pairs]


@pytest.mark.parametrize(
    ("wanted", "known", "expected"),
    [
        ("ab", joins("ab"), {}),
        ("ab", joins("ax", "xb"), {"x": 1}),
        ("ab", joins("ax", "xy", "yb"), {"x": 1, "y": 1}),
        # Too far, or not at all.
        ("ab", joins("ax", "xy", "yz", "zb"), {}),
        ("ab", joins("ax"), {}),
        # What was seen is a better way than what nobody has joined by.
        ("ab", joins("ax", "xb", "ay9", "yb9"), {"y": 1}),
        # A shorter way is better than any of that.
        ("ab", joins("ab", "ay9", "yb9"), {}),
        # A bridge that is wanted itself, before and after.
        ("abx", joins("ax", "xb"), {}),
        ("axb", joins("ax", "xb"), {}),
        ("abc", joins("ax", "xb", "xc"), {"x": 1}),
        ("abc", joins("ab", "bx", "xc"), {"x": 2}),
        ("", joins("ab"), {}),
    ],
)
def test_tables_are_tied_by_the_shortest_way(wanted, known, expected):
    assert bridges(list(wanted), known) == expected


# --- the text ---


def orders() -> Snapshot:
    return snapshot(
        table(
            "orders",
            Field("order_id", "number", "Key of the order."),
            Field("customer_id", "number", tags=("urn:li:tag:pii",)),
            Field("country_code", "varchar", "Where it goes to."),
            Field("Total Gross", "number"),
            Field("note"),
            description="One row for each order. " + "More that nobody needs to know. " * 20,
            primary_keys=("order_id",),
        ),
        key("customers", "customer_id", 4),
        filters=[SampleFilter("country_code", "country_code = 'DE'", 9)],
    )


def customers() -> Snapshot:
    return snapshot(table("customers", "customer_id", "city", "age", "since"))


def told(budget: int, question: str = "orders by country") -> SqlContext:
    tables = [
        Relevant(orders(), 1.0, personal=frozenset({"customer_id"})),
        Relevant(customers(), 0.5),
    ]
    return context_of(question, tables, known_joins(by_urn(orders(), customers())), budget)


def test_with_room_for_it_everything_is_said():
    context = told(1000)

    assert context.text == (
        "-- snowflake SQL\n"
        "-- One row for each order. More that nobody needs to know. More that nobody needs to "
        "know. More that nobody needs to know. More that nobody needs to know.\n"
        "CREATE TABLE shop.public.orders (\n"
        "order_id number, -- Key of the order.\n"
        "customer_id number, -- Personal data.\n"
        "country_code varchar, -- Where it goes to.\n"
        '"Total Gross" number, note, PRIMARY KEY (order_id)\n'
        ");\n"
        "CREATE TABLE shop.public.customers (\n"
        "customer_id number, city number, age number, since number\n"
        ");\n"
        "-- Joins, and how often they were seen\n"
        "-- customers.customer_id = orders.customer_id (4)\n"
        "-- Conditions seen in queries\n"
        "-- orders: country_code = 'DE'"
    )
    assert context.left_out == ()
    assert context.tokens == tokens_of(context.text) <= 1000
    assert [each.left_out for each in context.tables] == [0, 0]
    assert (context.platform, context.dialect) == (SNOWFLAKE, "snowflake")


def test_with_less_room_what_the_question_names_stays():
    context = told(105)
    (shown,) = context.tables

    assert shown.urn == urn("orders")
    assert context.left_out == (urn("customers"),)
    assert "Not shown: shop.public.customers" in context.text
    assert "country_code" in [column.name for column in shown.columns]
    assert "order_id" in [column.name for column in shown.columns]
    assert shown.left_out == 5 - len(shown.columns) > 0
    assert f"-- {shown.left_out} more column" in context.text


@given(st.integers(0, 400), st.integers(0, 400))
@settings(deadline=None, max_examples=60)
def test_a_budget_is_kept_and_more_of_it_tells_no_less(one, other):
    less, more = told(min(one, other)), told(max(one, other))

    assert less.tokens <= min(one, other) or not less.tables
    assert len(less.tables) <= len(more.tables)
    assert {t.urn for t in less.tables} | set(less.left_out) == {urn("orders"), urn("customers")}
    for before, after in zip(less.tables, more.tables, strict=False):
        assert {c.path for c in before.columns} <= {c.path for c in after.columns}


def test_a_table_of_which_no_column_fits_is_left_out():
    long = snapshot(table("b", Field("c" * 300)))
    tables = [Relevant(snapshot(table("a", "id")), 1.0), Relevant(long, 0.9)]

    context = context_of("anything", tables, [], 60)

    assert ([each.urn for each in context.tables], context.left_out) == ([urn("a")], (urn("b"),))


def test_tables_of_one_name_keep_their_whole_names_in_joins():
    known = by_urn(
        snapshot(table("a.t", "id"), Join(("id",), urn("b.t"), ("id",))),
        snapshot(table("b.t", "id")),
    )
    tables = [Relevant(each, 1.0) for each in known.values()]

    text = context_of("anything", tables, known_joins(known), 500).text

    assert "-- shop.public.a.t.id = shop.public.b.t.id (foreign key)" in text


def test_nothing_found_is_an_empty_text():
    context = context_of("anything", [], [], 500, "Searched by words only.")

    assert (context.text, context.tokens, context.platform) == ("", 0, None)
    assert context.notice == "Searched by words only."


def test_keys_that_nobody_declared_are_kept_before_what_nobody_asked_for():
    wide = [f"c{n:02}" for n in range(40)]
    one = snapshot(table("one", "thing_key", *wide))
    other = snapshot(table("other", *wide, "thing_key"))
    tables = [Relevant(one, 1.0), Relevant(other, 0.9)]

    shown = context_of("something else", tables, [], 170).tables

    assert ["thing_key" in [c.path for c in each.columns] for each in shown] == [True, True]
    assert all(each.left_out for each in shown)


@pytest.mark.parametrize(
    ("platform", "name", "expected"),
    [
        ("postgres", "order_id", "order_id"),
        ("postgres", "Order_ID", '"Order_ID"'),
        ("snowflake", "order_id", "order_id"),
        ("snowflake", "ORDER_ID", "ORDER_ID"),
        ("snowflake", "OrderId", '"OrderId"'),
        ("bigquery", "my col", "`my col`"),
        ("mssql", "a-b", "[a-b]"),
        ("sqlite", "Home Town", '"Home Town"'),
        ("unheard-of", "AsItIs", "AsItIs"),
    ],
)
def test_names_are_quoted_where_they_would_not_be_found_else(platform, name, expected):
    assert identifier(name, platform) == expected


# --- warnings ---


def alert(name: str = "orders") -> Alert:
    return Alert(
        UUID(int=1), urn(name), Check(Metric.ROW_COUNT), AlertState.OPEN, "key", NOW, NOW, 1.0,
        "Rows are missing.",
    )  # fmt: skip


def verdict(status: Status, *dimensions: tuple[Dimension, Status]) -> DatasetQuality:
    parts = tuple(DimensionQuality(dimension, of, 50.0) for dimension, of in dimensions)
    return DatasetQuality(urn("orders"), status, 50.0, parts, (), NOW)


@pytest.mark.parametrize(
    ("facts", "alerts", "judged", "expected"),
    [
        ({"description": "All."}, [], None, {}),
        ({}, [], None, {WarningKind.UNDOCUMENTED: "Nobody has described it."}),
        (
            {"description": "All.", "deprecated": True, "deprecation_note": "Too old."},
            [],
            None,
            {WarningKind.DEPRECATED: "Deprecated. Too old."},
        ),
        (
            {"description": "All.", "deprecated": True, "replacement": urn("new")},
            [],
            None,
            {WarningKind.DEPRECATED: "Deprecated. Use shop.public.new."},
        ),
        (
            {"description": "All."},
            [alert(), alert()],
            verdict(Status.FAIL, (Dimension.VOLUME, Status.FAIL)),
            {WarningKind.OPEN_ALERT: "Open alert: Rows are missing. 1 more alert is open."},
        ),
        (
            {"description": "All."},
            [],
            verdict(
                Status.FAIL, (Dimension.VOLUME, Status.FAIL), (Dimension.VALIDITY, Status.PASS)
            ),
            {WarningKind.FAILING: "Fails its checks of volume."},
        ),
        (
            {"description": "All.", "last_updated": NOW - timedelta(days=100)},
            [],
            None,
            {WarningKind.STALE: "Not updated since 2026-08-16."},
        ),
        # What is watched is known to be due more rarely.
        (
            {"description": "All.", "last_updated": NOW - timedelta(days=100)},
            [],
            verdict(Status.PASS, (Dimension.FRESHNESS, Status.PASS)),
            {},
        ),
        (
            {"description": "All."},
            [alert()],
            verdict(Status.FAIL, (Dimension.FRESHNESS, Status.FAIL)),
            {
                WarningKind.OPEN_ALERT: "Open alert: Rows are missing.",
                WarningKind.STALE: "Not updated when it should have been.",
            },
        ),
        (
            {"description": "All.", "personal": True},
            [],
            None,
            {WarningKind.PERSONAL_DATA: "Holds personal data."},
        ),
    ],
)
def test_warnings_say_what_is_wrong(facts, alerts, judged, expected):
    personal = "personal" in facts
    subject = snapshot(table("orders", "id", **{k: v for k, v in facts.items() if k != "personal"}))

    found = list(warnings_of(subject, alerts, judged, replaceable=True, personal=personal, now=NOW))

    assert {warning.kind: warning.text for warning in found} == expected
    assert [warning.replacement for warning in found if warning.replacement] == (
        [facts["replacement"]] if "replacement" in facts else []
    )


# --- the service ---


class Found:
    """A search that finds what it was told to."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        self.scores = scores
        self.filters = SearchFilters()

    async def search(
        self,
        actor: Actor,
        question: str,
        filters: SearchFilters,
        first: int,
        after: str | None,
        *,
        interpret: bool,
    ) -> SearchPage:
        self.filters = filters
        hits = tuple(Hit(each, score, ()) for each, score in self.scores.items())
        asked = Interpretation((), question)
        return SearchPage(hits, ("",) * len(hits), False, SearchMode.HYBRID, None, asked)


class Judged:
    def __init__(self) -> None:
        self.verdicts: dict[str, DatasetQuality] = {}
        self.alerts: dict[str, list[Alert]] = {}

    async def verdicts_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, DatasetQuality]:
        return {each: self.verdicts[each] for each in urns if each in self.verdicts}

    async def active_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Sequence[Alert]]:
        return {each: self.alerts[each] for each in urns if each in self.alerts}


class World:
    def __init__(self, scores: Mapping[str, float]) -> None:
        self.clock = MemoryClock(NOW)
        self.hub, self.store, self.judged = MemoryHub(), MemoryStore(self.clock), Judged()
        self.found = Found(scores)
        self.service = ContextService(
            self.hub, self.store, self.found, self.judged, self.judged, self.clock
        )
        self.actor = self.hub.admit("reader", "urn:li:corpuser:reader")

    async def know(self, *snapshots: Snapshot) -> None:
        for each in snapshots:
            self.hub.put(each.dataset)
        async with self.store.transaction() as tx:
            await tx.save_snapshots({each.dataset.urn: (each, 1) for each in snapshots})

    async def ask(self, platform: str | None = None, budget: int = 2000) -> SqlContext:
        return await self.service.context_for(self.actor, "a question", platform, budget)


def bridged() -> list[Snapshot]:
    return [
        snapshot(table("a", "a_id", "b_id"), key("b", "b_id", 2)),
        snapshot(table("b", "b_id", "c_id"), key("a", "b_id", 2), key("c", "c_id")),
        snapshot(table("c", "c_id"), key("b", "c_id")),
    ]


async def test_a_table_that_joins_two_others_is_added():
    world = World({urn("a"): 1.0, urn("c"): 0.8})
    await world.know(*bridged())

    context = await world.ask()

    assert [(each.urn, each.bridging) for each in context.tables] == [
        (urn("a"), False),
        (urn("c"), False),
        (urn("b"), True),
    ]
    assert {(j.left, j.right, j.count) for j in context.joins} == {
        (urn("a"), urn("b"), 2),
        (urn("b"), urn("c"), 0),
    }


async def test_nothing_is_told_of_what_the_caller_may_not_see():
    world = World({urn("a"): 1.0, urn("c"): 0.8})
    await world.know(*bridged())
    world.actor = world.hub.admit(
        "stranger", "urn:li:corpuser:stranger", rights={urn("b"): None, urn("new"): None}
    )
    old = replace(
        bridged()[0].dataset, deprecated=True, deprecation_note="Old.", replacement=urn("new")
    )
    await world.know(snapshot(old, key("b", "b_id", 2)), snapshot(table("new", "id")))

    context = await world.ask()

    assert [each.urn for each in context.tables] == [urn("a"), urn("c")]
    assert context.joins == ()
    deprecated = context.tables[0].warnings[0]
    assert (deprecated.kind, deprecated.replacement) == (WarningKind.DEPRECATED, None)
    assert "public.new" not in context.text


async def test_what_is_personal_is_said_in_the_words_of_the_installation():
    world = World({urn("a"): 1.0})
    labelled = Field("person", "number", tags=("urn:li:tag:Vertraulich",))
    await world.know(snapshot(table("a", "a_id", labelled)))
    (usual,) = (await world.ask()).tables
    world.service = ContextService(
        world.hub,
        world.store,
        world.found,
        world.judged,
        world.judged,
        world.clock,
        words_in(["streng Vertraulich"]),
    )
    (strict,) = (await world.ask()).tables

    assert [column.personal for column in usual.columns] == [False, False]
    assert [column.personal for column in strict.columns] == [False, True]
    assert WarningKind.PERSONAL_DATA in [warning.kind for warning in strict.warnings]


async def test_what_is_wrong_with_a_table_is_told_of_it():
    world = World({urn("a"): 1.0, urn("c"): 0.8})
    await world.know(*bridged())
    world.judged.alerts[urn("c")] = [alert("c")]

    context = await world.ask()

    warnings = {each.urn: [w.kind for w in each.warnings] for each in context.tables}
    assert WarningKind.OPEN_ALERT in warnings[urn("c")]
    assert WarningKind.OPEN_ALERT not in warnings[urn("a")]
    assert "-- WARNING: Open alert: Rows are missing." in context.text


async def test_all_tables_are_on_the_platform_that_has_the_best_of_those_asked_by_sql():
    kafka = urn("events", KAFKA)
    world = World({kafka: 1.0, urn("a"): 0.7, urn("c"): 0.6})
    await world.know(*bridged(), snapshot(table("events", "id", platform=KAFKA)))

    context = await world.ask()

    assert context.platform == SNOWFLAKE
    assert kafka not in [each.urn for each in context.tables]


@pytest.mark.parametrize("platform", ["snowflake", SNOWFLAKE])
async def test_a_platform_is_named_by_name_or_urn(platform):
    world = World({})

    context = await world.ask(platform)

    assert world.found.filters == SearchFilters(platforms=(SNOWFLAKE,))
    assert (context.tables, context.text) == ((), "")


async def test_removed_and_unknown_datasets_and_hardly_relevant_ones_are_left_out():
    world = World({urn("a"): 1.0, urn("c"): 0.1, urn("gone"): 0.9, urn("unknown"): 0.9})
    await world.know(*bridged(), snapshot(table("gone", "id", removed=True)))

    assert [each.urn for each in (await world.ask()).tables] == [urn("a")]


@pytest.mark.parametrize("budget", [0, 199, 32_001])
async def test_a_budget_that_holds_nothing_or_too_much_is_refused(budget):
    with pytest.raises(InvalidInput, match="tokenBudget"):
        await World({}).ask(budget=budget)
