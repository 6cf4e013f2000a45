"""What statements tell about how tables are joined and filtered."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.catalogue import Dataset, Field, ForeignKey, Query
from dataspoke.knowledge.dialects import dialect_of
from dataspoke.knowledge.model import Join, SampleFilter
from dataspoke.knowledge.queries import (
    MAX_FILTERS,
    MAX_JOINS,
    SeenFilter,
    joins_and_filters,
    observed,
    referred,
    resolver,
    table_names,
)
from dataspoke.urns import table_key

POSTGRES = "urn:li:dataPlatform:postgres"
SNOWFLAKE = "urn:li:dataPlatform:snowflake"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def urn(name: str, platform: str = POSTGRES) -> str:
    return f"urn:li:dataset:({platform},shop.public.{name},PROD)"


def table(name: str, *columns: str, platform: str = POSTGRES, **facts: object) -> Dataset:
    fields = tuple(Field(column) for column in columns)
    return Dataset(urn(name, platform), name, platform, fields=fields, **facts)


def shop(platform: str = POSTGRES) -> Mapping[str, Dataset]:
    tables = [
        table(
            "orders", "order_id", "customer_id", "status", "placed_at", "total", platform=platform
        ),
        table("customers", "customer_id", "country", "city", platform=platform),
        table("items", "order_id", "line", "sku", "qty", platform=platform),
        table("returns", "order_id", "line", "reason", platform=platform),
        table("staff", "staff_id", "manager", platform=platform),
    ]
    return {each.urn: each for each in tables}


def by_key(datasets: Mapping[str, Dataset]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for each in sorted(datasets):
        found.setdefault(table_key(each), []).append(each)
    return found


def read(
    sql: str, datasets: Mapping[str, Dataset] | None = None, platform: str = POSTGRES
) -> tuple[set[tuple[object, ...]], Sequence[SeenFilter]]:
    datasets = shop(platform) if datasets is None else datasets
    home = urn("orders", platform)
    joins, filters = joins_and_filters(sql, platform, resolver(by_key(datasets), home), datasets)
    return {
        tuple(
            sorted(
                [
                    (table_key(join.dataset), join.columns),
                    (table_key(join.other), join.other_columns),
                ]
            )
        )
        for join in joins
    }, filters


def on(left: str, right: str) -> tuple[object, ...]:
    """Return what ``read`` does for ``"orders.a,b"`` joined with ``"items.a,b"``."""
    sides = (side.split(".") for side in (left, right))
    return tuple(sorted((name, tuple(columns.split(","))) for name, columns in sides))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "select * from orders o join customers c on c.customer_id = o.customer_id",
            {on("orders.customer_id", "customers.customer_id")},
        ),
        (
            "SELECT * FROM Orders, public.CUSTOMERS k WHERE orders.Customer_ID = K.customer_id",
            {on("orders.customer_id", "customers.customer_id")},
        ),
        (
            "select * from items i join returns r on i.order_id = r.order_id and i.line = r.line",
            {on("items.line,order_id", "returns.line,order_id")},
        ),
        (
            "select * from items join returns using (order_id, line)",
            {on("items.line,order_id", "returns.line,order_id")},
        ),
        # Only one of the tables before has the column.
        (
            "select * from orders join customers using (customer_id) join items using (order_id)",
            {
                on("orders.customer_id", "customers.customer_id"),
                on("orders.order_id", "items.order_id"),
            },
        ),
        # Unqualified: known by the columns of the tables.
        (
            "select city from orders o, customers c where status = 'paid' "
            "and o.customer_id = c.customer_id",
            {on("orders.customer_id", "customers.customer_id")},
        ),
        # What may be of both is of neither.
        ("select * from orders, items where order_id = order_id", set()),
        (
            "with paid as (select order_id as id, customer_id from orders where status = 'paid') "
            "select * from paid p join items i on i.order_id = p.id",
            {on("orders.order_id", "items.order_id")},
        ),
        (
            "with a as (select * from orders), b as (select * from a) "
            "select * from b join items on b.order_id = items.order_id",
            {on("orders.order_id", "items.order_id")},
        ),
        (
            "select * from (select o.order_id from orders o) x "
            "left join returns r on cast(r.order_id as text) = lower(x.order_id)",
            {on("orders.order_id", "returns.order_id")},
        ),
        (
            "select * from (select order_id from items union all select order_id from returns) u "
            "join orders o on o.order_id = u.order_id",
            {on("orders.order_id", "items.order_id"), on("orders.order_id", "returns.order_id")},
        ),
        (
            "select * from orders where order_id in (select order_id from returns)",
            {on("orders.order_id", "returns.order_id")},
        ),
        (
            "select * from orders where not order_id in (select order_id from returns)",
            {on("orders.order_id", "returns.order_id")},
        ),
        (
            "select * from orders o where exists "
            "(select 1 from items i where i.order_id = o.order_id)",
            {on("orders.order_id", "items.order_id")},
        ),
        (
            "select * from staff s join staff m on s.manager = m.staff_id",
            {on("staff.manager", "staff.staff_id")},
        ),
        (
            "insert into x select * from orders join items on orders.order_id = items.order_id",
            {on("orders.order_id", "items.order_id")},
        ),
        (
            "create table x as select * from orders join items on orders.order_id = items.order_id",
            {on("orders.order_id", "items.order_id")},
        ),
        # What need not hold, computed columns, and no equality.
        ("select * from orders o join items i on o.order_id = i.order_id or i.qty = 1", set()),
        ("select * from orders o join items i on o.order_id + 1 = i.order_id", set()),
        ("select * from orders o join items i on o.order_id < i.order_id", set()),
        ("select * from (select count(*) n from items) x join orders o on o.order_id = x.n", set()),
        # Names of nothing, of no table here, and what is no statement.
        ("select * from orders o join unknown u on u.order_id = o.order_id", set()),
        ("select * from orders o join items i on i.nothing = o.order_id", set()),
        ("select * from orders o join items i on (i.order_id = ...", set()),
        ("show tables", set()),
        ("", set()),
    ],
)
def test_joins_are_followed_down_to_tables(sql, expected):
    assert read(sql)[0] == expected


def test_a_name_is_of_the_dataset_nearest_to_the_statement():
    there = {
        f"urn:li:dataset:({POSTGRES},{name},{env})"
        for name, env in (
            ("shop.public.orders", "PROD"),
            ("shop.archive.orders", "PROD"),
            ("shop.public.orders", "DEV"),
            ("erp.public.orders", "PROD"),
            ("erp.a.stock", "PROD"),
            ("erp.b.stock", "PROD"),
        )
    } | {urn("orders", SNOWFLAKE)}
    tables = by_key(dict.fromkeys(there))
    resolve = resolver(tables, urn("items"))

    assert resolve(["orders"], POSTGRES) == urn("orders")
    assert resolve(["archive", "Orders"], POSTGRES) == urn("orders").replace("public", "archive")
    assert resolve(["erp", "public", "orders"], POSTGRES) == urn("orders").replace("shop", "erp")
    assert resolve(["orders"], SNOWFLAKE) == urn("orders", SNOWFLAKE)
    # Neither is nearer, and none is there.
    assert resolve(["stock"], POSTGRES) is None
    assert resolve(["other", "orders"], POSTGRES) is None
    assert resolve(["nothing"], POSTGRES) is None


@pytest.mark.parametrize(
    ("where", "predicate"),
    [
        ("o.status = 'paid'", "status = 'paid'"),
        ("o.status in ('paid', 'open')", "status IN ('paid', 'open')"),
        ("not o.status = 'paid'", "NOT status = 'paid'"),
        ("o.status is null", "status IS NULL"),
        ("(o.status = 'a' or o.status = 'b')", "status = 'a' OR status = 'b'"),
        ("o.total > 12.5", "total > 12.5"),
        ("o.placed_at >= '2026-01-01'", "placed_at >= '2026-01-01'"),
        ("o.placed_at between '2026-01-01' and '2026-02-01'",
         "placed_at BETWEEN '2026-01-01' AND '2026-02-01'"),
        # Values that identify, and those that may tell of a person.
        ("o.order_id = 17", "order_id = ?"),
        ("o.customer_id in (1, 2, 3)", "customer_id = ?"),
        ("o.status = 'jo@example.org'", "status = ?"),
        ("o.status = 'Jo Doe'", "status = ?"),
        ("o.status = '4929123456'", "status = ?"),
        ("o.status = 'a sentence that somebody wrote down'", "status = ?"),
        # More than one column, none, or nothing that can be read from.
        ("o.order_id = o.customer_id", None),
        ("1 = 1", None),
        ("o.total > (select avg(total) from orders)", None),
        ("o.status = 'a' or o.total = 1", None),
    ],
)  # fmt: skip
def test_conditions_become_filters(where, predicate):
    _, filters = read(f"select * from orders o where {where}")

    assert [(each.dataset, each.predicate) for each in filters] == (
        [] if predicate is None else [(urn("orders"), predicate)]
    )


def test_what_is_personal_keeps_its_values_to_itself():
    pii = "urn:li:tag:PII"
    labelled = Dataset(
        urn("orders"),
        "orders",
        POSTGRES,
        fields=(Field("status", tags=(pii,)), Field("channel")),
        tags=(pii,),
    )
    unlabelled = table("orders", "status", tags=(pii,))
    sql = "select * from orders where status > 'b' and channel = 'web'"

    assert [f.predicate for f in read(sql, {labelled.urn: labelled})[1]] == [
        "status > ?",
        "channel = 'web'",
    ]
    assert [f.predicate for f in read(sql, {unlabelled.urn: unlabelled})[1]] == ["status > ?"]


def test_filters_in_subqueries_count_for_their_tables():
    _, filters = read(
        "with c as (select customer_id id, country from customers where city = 'Bonn') "
        "select * from orders o join c on c.id = o.customer_id and c.country = 'DE'"
    )

    assert {(table_key(each.dataset), each.predicate) for each in filters} == {
        ("customers", "city = 'Bonn'"),
        ("customers", "country = 'DE'"),
    }


@pytest.mark.parametrize(
    ("platform", "sql"),
    [
        ("bigquery", "select * from `shop.public.orders` o join `shop`.public.items i "
         "on i.order_id = o.order_id"),
        ("snowflake", "select * from SHOP.PUBLIC.ORDERS o join shop.public.items i "
         "on i.order_id = o.order_id qualify row_number() over (order by 1) = 1"),
        ("mssql", "select top 3 * from [shop].[public].[orders] o join items i "
         "on i.order_id = o.order_id"),
        ("mysql", "select * from `orders` o join `items` i on i.order_id = o.order_id"),
        ("oracle", 'select * from ORDERS o, ITEMS i where i."ORDER_ID" = o.order_id(+)'),
        ("hive", "select * from public.orders o join items i on i.order_id = o.order_id"),
        ("unheard-of", "select * from orders o join items i on i.order_id = o.order_id"),
    ],
)  # fmt: skip
def test_each_platform_is_read_in_its_own_dialect(platform, sql):
    platform = f"urn:li:dataPlatform:{platform}"

    assert read(sql, platform=platform)[0] == {on("orders.order_id", "items.order_id")}


def test_platforms_are_known_by_name_and_by_urn():
    assert dialect_of("mssql") == dialect_of("urn:li:dataPlatform:mssql") == "tsql"
    assert dialect_of(SNOWFLAKE) == "snowflake"
    assert dialect_of("urn:li:dataPlatform:looker") is None


def look(datasets: Sequence[Dataset], queries: Sequence[Query], others: Sequence[Dataset] = ()):
    own = {each.urn: each for each in datasets}
    asked = {each.urn: queries for each in datasets}
    known = own | {each.urn: each for each in others}
    names = table_names(own, asked)
    tables = {key: urns for key, urns in by_key(known).items() if key in names}
    wanted = referred(own, asked, tables)
    return observed(own, asked, tables, {u: known[u] for u in wanted})


def test_joins_are_counted_with_both_sides_and_declared_ones_count_nothing():
    datasets = shop()
    orders, customers, items = (datasets[urn(n)] for n in ("orders", "customers", "items"))
    declared = Dataset(
        orders.urn, "orders", POSTGRES, fields=orders.fields,
        foreign_keys=(
            ForeignKey(("customer_id",), customers.urn, ("customer_id",)),
            ForeignKey(("status",), urn("states"), ("code",)),
        ),
    )  # fmt: skip
    queries = [
        Query("select 1 from orders o join customers c on o.customer_id = c.customer_id", 3, NOW),
        Query("select 2 from orders join customers using (customer_id)", 2, NOW),
        Query("select 3 from items i join orders o on o.order_id = i.order_id", 7, NOW),
    ]

    found = look([declared, customers], queries, [items])

    assert found[orders.urn].joins == (
        Join(("order_id",), items.urn, ("order_id",), 7),
        Join(("customer_id",), customers.urn, ("customer_id",), 5),
        Join(("status",), urn("states"), ("code",), 0),
    )
    assert found[customers.urn].joins == (Join(("customer_id",), orders.urn, ("customer_id",), 5),)


def test_values_of_one_question_are_shown_together():
    queries = [
        Query("select * from orders where status = 'paid'", 4, NOW),
        Query("select * from orders where status in ('open', 'paid')", 2, NOW),
        Query("select * from orders where total > 5", 3, NOW),
        Query("select 1 from orders where total > 70", 5, NOW),
    ]

    assert look([shop()[urn("orders")]], queries)[urn("orders")].filters == (
        SampleFilter("total", "total > 70", 8),
        SampleFilter("status", "status IN ('open', 'paid')", 6),
    )


def test_there_are_never_too_many():
    others = [table(f"t{n:02}", "id") for n in range(30)]
    orders = table("orders", *(f"c{n}" for n in range(30)))
    queries = [
        Query(f"select * from orders o join t{n:02} t on t.id = c{n} where c{n} > 1", n + 1, NOW)
        for n in range(30)
    ]

    found = look([orders], queries, others)[orders.urn]

    assert [join.count for join in found.joins] == list(range(30, 30 - MAX_JOINS, -1))
    assert len(found.filters) == MAX_FILTERS


WORDS = (
    "select from where join on using orders o items i ( ) * , . = ' '' and or not in with as "
    "order_id 1 ? ; union all group by case when then end insert into null"
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=25))
def test_whatever_is_written_is_read_or_left_out(words):
    joins, filters = read(" ".join(words))

    assert all(len(one[1]) == len(other[1]) for one, other in joins)
    assert all(each.column in {f.path for f in shop()[each.dataset].fields} for each in filters)
