"""What a model writes SQL from, through GraphQL."""

from typing import Any

import pytest

from dataspoke.catalogue import Dataset, Field, ForeignKey, Query
from tests.support.subgraph import EDITOR, NOW, PLATFORM, STRANGER, VIEWER, Subgraph, urn

QUERY = """
    query ($question: String!, $platform: String, $budget: Int! = 2000) {
      sqlContext(question: $question, platform: $platform, tokenBudget: $budget) {
        text tokens platform dialect notice
        tables {
          name description bridging columnsLeftOut dataset { urn quality { status } }
          columns { path name type description key personal }
          filters { column predicate count }
          warnings { kind text replacement { urn } }
        }
        joins { left { urn } leftColumns right { urn } rightColumns count }
        leftOut { urn }
      }
    }
"""


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph()
    await made.put("customers", "orders", "stock", failing=["orders"])
    orders = Dataset(
        urn("orders"),
        "shop.orders",
        PLATFORM,
        fields=(
            Field("id", "bigint", "Key of the order."),
            Field("customer_id", "bigint"),
            Field("status", "text"),
            Field("email", "text", tags=("urn:li:tag:PII",)),
        ),
        primary_keys=("id",),
        foreign_keys=(ForeignKey(("customer_id",), urn("customers"), ("id",)),),
        deprecated=True,
        deprecation_note="Too slow.",
        replacement=urn("stock"),
    )
    seen = "select * from shop.orders o join shop.customers c on c.id = o.customer_id "
    made.hub.put(
        orders,
        queries=[
            Query(f"{seen} where o.status = 'open'", 3, NOW),
            Query(f"{seen} where o.email = 'a@example.org'", 1, NOW),
        ],
    )
    async with made.store.transaction() as tx:
        await tx.request_index([urn("orders"), urn("customers"), urn("stock")])
    await made.index.reindex(None)
    made.calls.clear()
    return made


async def asked(subgraph: Subgraph, token: str = EDITOR, **variables: Any) -> Any:
    variables = {"question": "status of orders and their customers", **variables}
    return (await subgraph.data(QUERY, token, **variables))["sqlContext"]


async def test_tables_come_with_all_that_a_statement_needs(subgraph: Subgraph) -> None:
    context = await asked(subgraph)
    tables = {table["dataset"]["urn"]: table for table in context["tables"]}
    orders = tables[urn("orders")]

    assert (context["platform"], context["dialect"]) == (PLATFORM, "postgres")
    assert context["notice"] is None
    assert context["tokens"] <= 2000
    assert orders["name"] == "shop.orders"
    assert orders["dataset"]["quality"]["status"] == "FAIL"
    assert orders["columns"][0] == {
        "path": "id",
        "name": "id",
        "type": "bigint",
        "description": "Key of the order.",
        "key": True,
        "personal": False,
    }
    assert [column["personal"] for column in orders["columns"]] == [False, False, False, True]
    assert orders["filters"] == [
        {"column": "status", "predicate": "status = 'open'", "count": 3},
        {"column": "email", "predicate": "email = ?", "count": 1},
    ]
    assert [(w["kind"], w["replacement"]) for w in orders["warnings"]] == [
        ("DEPRECATED", {"urn": urn("stock")}),
        ("OPEN_ALERT", None),
        ("PERSONAL_DATA", None),
    ]
    assert context["joins"] == [
        {
            "left": {"urn": urn("customers")},
            "leftColumns": ["id"],
            "right": {"urn": urn("orders")},
            "rightColumns": ["customer_id"],
            "count": 4,
        }
    ]
    assert "a@example.org" not in context["text"]
    assert "-- customers.id = orders.customer_id (4)" in context["text"]
    assert "WARNING: Deprecated. Too slow. Use shop.stock." in context["text"]


async def test_it_takes_as_many_reads_whatever_the_number_of_tables(subgraph: Subgraph) -> None:
    answer = await subgraph.data('{ sqlContext(question: "orders and customers") { text } }')

    assert answer["sqlContext"]["text"]
    assert subgraph.calls["snapshots"] <= 2
    assert subgraph.calls["active_alerts"] == subgraph.calls["quality_of"] == 1


async def test_nobody_is_told_of_what_they_may_not_see(subgraph: Subgraph) -> None:
    nothing = await asked(subgraph, STRANGER)
    anonymous = await subgraph.ask(QUERY, None, question="orders")

    assert (nothing["tables"], nothing["text"], nothing["joins"]) == ([], "", [])
    assert anonymous["data"]["sqlContext"] is None
    assert anonymous["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_who_may_not_view_usage_is_told_of_declared_keys_only(subgraph: Subgraph) -> None:
    context = await asked(subgraph, VIEWER)

    assert [join["count"] for join in context["joins"]] == [0]
    assert [table["filters"] for table in context["tables"]] == [[]] * len(context["tables"])
    assert "orders" in context["text"]
    assert "open" not in context["text"].partition("Joins")[2]


async def test_a_platform_without_tables_and_a_small_budget(subgraph: Subgraph) -> None:
    assert (await asked(subgraph, platform="snowflake"))["tables"] == []
    small = await asked(subgraph, budget=200)

    assert small["tokens"] <= 200
    assert small["tables"]


@pytest.mark.parametrize("variables", [{"budget": 3}, {"question": " "}, {"question": "x" * 1001}])
async def test_what_cannot_be_asked_is_refused(
    subgraph: Subgraph, variables: dict[str, object]
) -> None:
    answer = await subgraph.ask(QUERY, EDITOR, **{"question": "orders", **variables})

    assert answer["data"]["sqlContext"] is None
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
