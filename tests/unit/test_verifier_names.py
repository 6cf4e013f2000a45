"""Names in SQL: what is found in the catalogue, what is not, and where nobody can know."""

from pathlib import Path

import pytest

from dataspoke.knowledge.verifier.model import Code, IssueSeverity, Verdict
from tests.support.verifier import codes, only, table, urn, verified

# What databases accept. None of it may be blocked, in its own dialect.
ACCEPTED = [
    tuple(line.split(": ", 1))
    for line in (Path(__file__).parents[1] / "support/accepted_sql.txt").read_text().splitlines()
]


@pytest.mark.parametrize(("dialect", "sql"), ACCEPTED)
def test_what_a_database_accepts_is_not_blocked(dialect: str, sql: str) -> None:
    verdict = verified(sql, dialect=dialect)
    assert [i for i in verdict.issues if i.severity is IssueSeverity.BLOCK] == []


# What is wrong in it stands between arrows.
REFUSED = [
    ("postgres", Code.UNKNOWN_COLUMN, "select →nmae← from customers"),
    ("postgres", Code.UNKNOWN_COLUMN, "select c.→amount← from customers c"),
    ("postgres", Code.UNKNOWN_COLUMN, "select id from orders where →nope← = 1"),
    ("postgres", Code.UNKNOWN_COLUMN, "select id from orders group by →nope←"),
    ("postgres", Code.UNKNOWN_COLUMN, "select id from orders order by →nope←"),
    ("postgres", Code.UNKNOWN_COLUMN, "select max(id) over (partition by →nope←) from orders"),
    (
        "postgres",
        Code.UNKNOWN_COLUMN,
        "select max(id) over w from orders window w as (order by →x←)",
    ),
    ("postgres", Code.UNKNOWN_COLUMN, "select 1 from customers join countries using (→iso←)"),
    ("postgres", Code.UNKNOWN_COLUMN, "with a as (select id from orders) select →amount← from a"),
    ("postgres", Code.UNKNOWN_COLUMN, "with a(x) as (select id from orders) select →id← from a"),
    ("postgres", Code.UNKNOWN_COLUMN, "select s.→b← from (select id as a from orders) s"),
    ("postgres", Code.UNKNOWN_COLUMN, "select 1 from (values (1)) as v(a) where →b← = 1"),
    ("postgres", Code.UNKNOWN_COLUMN, "select id from orders union select →iso← from customers"),
    (
        "postgres",
        Code.UNKNOWN_COLUMN,
        "select id from orders union select id from customers order by →x←",
    ),
    ("postgres", Code.UNKNOWN_COLUMN, "select x.→nope← from orders o, lateral (select o.id) x"),
    (
        "postgres",
        Code.UNKNOWN_COLUMN,
        "insert into orders (id, →nope←) select id, id from customers",
    ),
    ("postgres", Code.UNKNOWN_COLUMN, "update orders set →nope← = 1"),
    ("postgres", Code.UNKNOWN_COLUMN, "delete from orders where →nope← = 1"),
    (
        "postgres",
        Code.UNKNOWN_COLUMN,
        "create temp table t as select id from orders; select →x← from t",
    ),
    ("postgres", Code.UNKNOWN_COLUMN, "alter table orders drop column →nope←"),
    ("postgres", Code.UNKNOWN_COLUMN, 'select →"Nmae"← from customers'),
    (
        "snowflake",
        Code.UNKNOWN_COLUMN,
        "merge into orders t using customers s on t.id = s.id "
        "when matched then update set amount = s.→total←",
    ),
    (
        "snowflake",
        Code.UNKNOWN_COLUMN,
        "merge into orders t using customers s on t.id = s.id "
        "when not matched then insert (→nope←) values (s.id)",
    ),
    ("spark", Code.UNKNOWN_COLUMN, "select transform(tags, y -> concat(y, →z←)) from events"),
    ("sqlite", Code.UNKNOWN_COLUMN, "select →[ship date]← from orders"),
    ("bigquery", Code.UNKNOWN_ALIAS, "select →paylod←.kind from shop.public.events"),
    ("postgres", Code.UNKNOWN_ALIAS, "select →x←.id from orders o"),
    ("postgres", Code.UNKNOWN_ALIAS, "select →orders←.id from orders o"),
    ("postgres", Code.UNKNOWN_ALIAS, "select →k←.* from customers c"),
    ("postgres", Code.UNKNOWN_TABLE, "select 1 from →order_items← i"),
    ("postgres", Code.UNKNOWN_TABLE, "select 1 from →crm.orders←"),
    ("postgres", Code.UNKNOWN_TABLE, "drop table →nope←"),
    ("postgres", Code.UNKNOWN_TABLE, "drop table orders; select id from →orders←"),
    ("postgres", Code.UNKNOWN_TABLE, "insert into →nope← select id from orders"),
    (
        "postgres",
        Code.AMBIGUOUS_COLUMN,
        "select →id← from orders o join customers c on c.id = o.customer_id",
    ),
    (
        "postgres",
        Code.OUTER_COLUMN,
        "select id from orders where id in (select →amount← from customers)",
    ),
    ("postgres", Code.COLUMN_COUNT, "select id from orders union select →id, name from customers←"),
    ("postgres", Code.COLUMN_COUNT, "insert into orders (id) select →id, name from customers←"),
    ("postgres", Code.SYNTAX, "select id frm →orders← where"),
]


@pytest.mark.parametrize(("dialect", "code", "marked"), REFUSED)
def test_what_no_database_accepts_is_blocked_at_its_place(
    dialect: str, code: Code, marked: str
) -> None:
    start, end = marked.index("→"), marked.index("←") - 1
    sql = marked.replace("→", "").replace("←", "")
    found = only(verified(sql, dialect=dialect), code)
    assert found.severity is IssueSeverity.BLOCK
    assert found.place is not None
    assert sql[found.place.start : found.place.end] == sql[start:end]


def test_places_count_lines_and_columns_in_characters() -> None:
    found = only(verified("-- grüße\n\nselect id,\n\tnmae from customers"), Code.UNKNOWN_COLUMN)
    assert found.place is not None
    assert (found.place.line, found.place.column) == (4, 2)


def test_several_statements_are_each_looked_at() -> None:
    verdict = verified("select id from orders; select from where; select x from orders")
    assert codes(verdict) == [Code.SYNTAX, Code.UNKNOWN_COLUMN]


@pytest.mark.parametrize(
    ("sql", "message", "replacement"),
    [
        ("select custmer_id from orders", "Write customer_id.", "customer_id"),
        ("select customerId from orders", "Write customer_id.", "customer_id"),
        ("select o.name from orders o, customers c", "Take it from c: c.name.", None),
        ("select ordrs.id from orders", "Write orders.", "orders"),
    ],
)
def test_a_fix_names_what_was_probably_meant(
    sql: str, message: str, replacement: str | None
) -> None:
    (issue,) = verified(sql).issues
    assert issue.fix is not None
    assert (issue.fix.message, issue.fix.replacement) == (message, replacement)
    if replacement is not None and issue.fix.place is not None:
        place = issue.fix.place
        mended = sql[: place.start] + replacement + sql[place.end :]
        assert verified(mended).issues == ()


def test_evidence_says_what_the_catalogue_has() -> None:
    found = only(verified("select nmae from countries"), Code.UNKNOWN_COLUMN)
    assert found.evidence == "It has id, name, iso."
    assert (found.urn, found.column) == (urn("shop.public.countries"), "nmae")


# --- which dataset a name means ---

TWO = (table("shop.public.orders", "id int"), table("crm.public.orders", "id int, stage text"))


def test_qualifiers_choose_among_datasets_of_one_name() -> None:
    assert verified("select stage from crm.public.orders", *TWO).inputs == (
        urn("crm.public.orders"),
    )
    assert codes(verified("select stage from shop.public.orders", *TWO)) == [Code.UNKNOWN_COLUMN]


def test_defaults_choose_among_datasets_of_one_name() -> None:
    verdict = verified("select id from orders", *TWO, default_database="crm")
    assert (verdict.verdict, verdict.inputs) == (Verdict.OK, (urn("crm.public.orders"),))
    verdict = verified("use shop; select id from public.orders", *TWO, dialect="snowflake")
    assert (verdict.verdict, verdict.inputs) == (Verdict.WARN, ())


def test_columns_choose_where_nothing_else_does() -> None:
    verdict = verified("select stage from orders", *TWO)
    assert (verdict.verdict, verdict.inputs) == (Verdict.OK, (urn("crm.public.orders"),))


def test_what_stays_ambiguous_is_a_warning_with_the_candidates() -> None:
    verdict = verified("select id, o.nope from orders o", *TWO)
    assert verdict.verdict is Verdict.WARN
    found = only(verdict, Code.AMBIGUOUS_TABLE)
    assert found.evidence == "The catalogue has crm.public.orders, shop.public.orders."


def test_a_dataset_outside_the_defaults_is_taken_with_a_warning() -> None:
    verdict = verified("select stage from orders", *TWO[1:], default_schema="mart")
    assert only(verdict, Code.AMBIGUOUS_TABLE).severity is IssueSeverity.WARN
    assert verdict.inputs == (urn("crm.public.orders"),)


def test_production_goes_before_other_environments() -> None:
    one, other = table("a.t", "id int", environment="DEV"), table("a.t", "id int")
    assert verified("select id from t", one, other).inputs == (other.dataset.urn,)


def test_only_datasets_of_the_platform_are_meant() -> None:
    lake = "urn:li:dataPlatform:hive"
    both = (table("a.t", "id int"), table("a.t", "id int, day text", platform=lake))
    assert verified("select day from t", *both, platform=lake).verdict is Verdict.OK
    assert codes(verified("select day from t", *both, platform="urn:li:dataPlatform:postgres")) == [
        Code.UNKNOWN_COLUMN
    ]


@pytest.mark.parametrize("name", ["main.t", "T", '"T"', "a.t", "x.a.t", "`t`"])
def test_names_may_be_more_or_less_qualified_than_the_catalogue(name: str) -> None:
    assert verified(f"select id from {name}", table("a.t", "id int"), dialect="sqlite").inputs


# --- case ---


@pytest.mark.parametrize("dialect", ["postgres", "snowflake", "mysql", "bigquery", "oracle"])
@pytest.mark.parametrize("column", ["OrderId", "ORDERID", "orderid"])
def test_case_alone_refuses_nothing(dialect: str, column: str) -> None:
    verdict = verified(f"select {column} from t", table("a.t", "OrderId int"), dialect=dialect)
    assert verdict.verdict is Verdict.OK


def test_a_quoted_name_in_other_case_is_told() -> None:
    found = only(verified('select "ID" from orders'), Code.CASE_DIFFERS)
    assert found.severity is IssueSeverity.INFO
    assert found.fix is not None
    assert found.fix.replacement == '"id"'
    # DuckDB does not care, quoted or not.
    assert verified('select "ID" from orders', dialect="duckdb").issues == ()


def test_columns_that_differ_in_case_only_are_told_apart_by_folding() -> None:
    both = table("a.t", "id int, ID text")
    assert verified('select "ID", id from t', both).verdict is Verdict.OK
    assert codes(verified('select "Id" from t', both)) == [Code.UNKNOWN_COLUMN]
    assert verified("select Id from t", both, dialect="snowflake").verdict is Verdict.OK


# --- what cannot be known ---


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select * from my_function(3) f where f.x = 1", Code.UNKNOWN_SHAPE),
        ("select anything from unseen", Code.UNKNOWN_SHAPE),
        ("select {{ columns }} from orders", Code.TEMPLATE),
        ("call something(1)", Code.NOT_CHECKED),
    ],
)
def test_what_cannot_be_known_is_only_told(sql: str, code: Code) -> None:
    verdict = verified(sql)
    assert verdict.verdict is Verdict.OK
    assert codes(verdict) == [code]


def test_columns_beside_an_unknown_relation_are_checked_where_they_name_their_table() -> None:
    sql = "select o.nope, whatever from orders o join my_function(3) f on f.id = o.id"
    assert codes(verified(sql)) == [Code.UNKNOWN_COLUMN, Code.UNKNOWN_SHAPE]


def test_templates_of_dbt_are_read_where_they_name_a_dataset() -> None:
    sql = "{{ config(x=1) }} select nmae from {{ ref('customers') }} -- {# no {{ ref('x') }} #}"
    found = only(verified(sql), Code.UNKNOWN_COLUMN)
    assert found.place is not None
    assert sql[found.place.start : found.place.end] == "nmae"
    assert verified("select id from {{ source('public', 'orders') }}").inputs == (
        urn("shop.public.orders"),
    )


def test_a_template_that_leaves_no_sql_is_not_called_wrong() -> None:
    verdict = verified(
        "select {% if a %} id {% else %} name {% endif %} from customers where {{ x }} y"
    )
    assert verdict.verdict is Verdict.OK
    assert set(codes(verdict)) == {Code.NOT_CHECKED, Code.TEMPLATE}


@pytest.mark.parametrize(
    ("dialect", "sql", "code"),
    [
        ("postgres", "select id frm orders where", Code.SYNTAX),
        ("postgres", "select (id from orders", Code.SYNTAX),
        ("postgres", "select 'id from orders", Code.SYNTAX),
        ("postgres", "selct id from orders x y", Code.SYNTAX),
        ("tsql", "update orders set amount += 1 output deleted.amount where id = 1 (", Code.SYNTAX),
        ("tsql", "update orders set amount += 1 output deleted.amount where id = 1",
         Code.UNREADABLE),
        ("oracle", "select id from orders some vendor feature", Code.UNREADABLE),
        ("postgres", "frobnicate the orders quickly", Code.UNREADABLE),
    ],
)  # fmt: skip
def test_only_what_is_surely_wrong_is_called_so(dialect: str, sql: str, code: Code) -> None:
    (issue,) = verified(sql, dialect=dialect).issues
    assert issue.code is code
    assert "<" not in issue.message


def test_what_a_statement_makes_that_nobody_has_read_is_there() -> None:
    making = "create temporary table x on commit drop as select id from orders"
    assert codes(verified(f"{making}; select x.a from x")) == [Code.NOT_CHECKED]
    assert codes(verified("select a from x")) == [Code.UNKNOWN_TABLE]
    assert verified("select a from #x", dialect="tsql").verdict is Verdict.OK


def test_what_only_another_dialect_reads_is_a_warning() -> None:
    verdict = verified("select `id` from orders limit 1, 2", dialect="postgres")
    assert codes(verdict) == [Code.OTHER_DIALECT]
    assert verdict.verdict is Verdict.WARN
    assert verdict.dialect == "mysql"


def test_sqlite_takes_a_quoted_name_that_is_none_for_a_text() -> None:
    sql = 'select id from customers where name = "{}"'
    assert verified(sql.format("Berlin"), dialect="sqlite").issues == ()
    found = verified(sql.format("country_ids"), dialect="sqlite")
    assert codes(found) == [Code.QUOTED_AS_TEXT]
    assert codes(verified(sql.format("Berlin"), dialect="postgres")) == [Code.UNKNOWN_COLUMN]


@pytest.mark.parametrize(
    ("dialect", "sql", "seen"),
    [
        ("postgres", "select id as x from orders where x > 1", False),
        ("postgres", "select id as x from orders group by id having x > 1", False),
        ("postgres", "select id as x, x + 1 as y from orders", False),
        ("tsql", "select id as x from orders group by x", False),
        ("postgres", "select id as x from orders group by x order by x", True),
        ("sqlite", "select id as x from orders where x > 1", True),
        ("snowflake", "select id as x, x + 1 as y from orders where y > 1", True),
        ("mysql", "select id as x from orders having x > 1", True),
    ],
)
def test_names_of_the_select_list_are_seen_where_the_dialect_sees_them(
    dialect: str, sql: str, seen: bool
) -> None:
    assert codes(verified(sql, dialect=dialect)) == ([] if seen else [Code.ALIAS_NOT_VISIBLE])


def test_nested_fields_are_found_by_either_kind_of_path() -> None:
    paths = "id int, [version=2.0].[type=struct].address.[type=string].city text"
    events = table("a.events", paths)
    assert verified("select address.city, e.address.city from events e", events).issues == ()
    assert codes(verified("select e.adress.city from events e", events)) == [Code.UNKNOWN_ALIAS]
