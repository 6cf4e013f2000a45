"""What the verifier says of types, joins, inputs, personal data and outputs, by purpose."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataspoke.catalogue import ForeignKey
from dataspoke.knowledge.model import Join
from dataspoke.knowledge.verifier.judging import Rules, Trouble, convention, styled
from dataspoke.knowledge.verifier.model import (
    Code,
    IssueSeverity,
    ProposedColumn,
    ProposedOutput,
    Purpose,
    Verdict,
)
from dataspoke.knowledge.verifier.policy import severity
from tests.support.verifier import PERSONAL, SHOP, codes, only, table, urn, verified

ORDERS, CUSTOMERS = urn("shop.public.orders"), urn("shop.public.customers")
OWNED: Mapping[str, Any] = {"owners": ("urn:li:corpuser:a",), "description": "What it is."}


# --- types ---


@pytest.mark.parametrize(
    ("dialect", "condition", "told"),
    [
        ("postgres", "o.id = c.name", True),
        ("postgres", "o.placed_at = c.id", True),
        ("postgres", "o.id = cast(c.name as int)", False),
        ("postgres", "o.id = c.id", False),
        ("postgres", "o.placed_at > c.born", False),
        ("postgres", "o.placed_at > '2024-01-01'", False),
        ("postgres", "o.placed_at > 2024", True),
        ("postgres", "o.amount = '12'", False),
        ("postgres", "o.amount = 'many'", True),
        ("postgres", "o.id in (select name from customers)", True),
        ("postgres", "o.id between 1 and c.name", True),
        ("postgres", "upper(c.name) = o.id", True),
        ("postgres", "my_function(o.id) = c.name", False),
        ("sqlite", "o.id = c.name", False),
        ("mysql", "o.id = c.name", False),
        ("sqlite", "o.placed_at = c.id", True),
    ],
)
def test_values_of_other_kinds_are_not_to_be_compared(
    dialect: str, condition: str, told: bool
) -> None:
    sql = f"select 1 from orders o, customers c where {condition}"
    verdict = verified(sql, dialect=dialect)
    assert codes(verdict) == ([Code.TYPE_MISMATCH] if told else [])
    assert verdict.verdict is (Verdict.WARN if told else Verdict.OK)


def test_a_mismatch_shows_both_types() -> None:
    found = only(
        verified("select 1 from orders o join customers c on o.id = c.name"), Code.TYPE_MISMATCH
    )
    assert found.evidence == "id is int; name is text."


# --- joins ---

JOINED = (
    table(
        "a.orders",
        "id int, customer int, shipper int",
        joins=(Join(("customer",), urn("a.customers"), ("id",), 41),),
    ),
    table("a.customers", "id int, parent int"),
    table("a.shippers", "id int"),
)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select 1 from orders o join customers c on c.id = o.customer", False),
        ("select 1 from orders o join customers c on c.id = o.id", True),
        ("select 1 from orders o, customers c where o.shipper = c.parent", True),
        ("select 1 from customers c where c.parent in (select id from orders)", True),
        ("select 1 from customers c join orders o using (id)", True),
        # Through what stands between.
        ("with k as (select id as x from customers) select 1 from orders join k on x = id", True),
        ("with k as (select id as x from customers) select 1 from orders join k on x = customer",
         False),
        # Nobody knows how these two are joined, and a self-join is no join of two.
        ("select 1 from orders o join shippers s on s.id = o.id", False),
        ("select 1 from customers c join customers p on p.id = c.parent", False),
        # One key that is known is enough.
        ("select 1 from orders o join customers c on c.id = o.customer and c.parent = o.id", False),
    ],
)  # fmt: skip
def test_a_key_that_was_never_joined_by_is_a_warning(sql: str, told: bool) -> None:
    assert codes(verified(sql, *JOINED)) == ([Code.UNSEEN_JOIN_KEY] if told else [])


def test_the_usual_key_is_the_fix() -> None:
    sql = "select 1 from customers c join orders o on o.id = c.id"
    found = only(verified(sql, *JOINED), Code.UNSEEN_JOIN_KEY)
    assert found.evidence == "They are joined by id = customer, in 41 queries."
    assert found.fix is not None
    assert found.fix.message.startswith("Join a.customers.id with a.orders.customer")


def test_foreign_keys_count_as_keys() -> None:
    key = ForeignKey(("shipper",), urn("a.shippers"), ("id",))
    both = (table("a.orders", "id int, shipper int", foreign_keys=(key,)), JOINED[2])
    sql = "select 1 from orders o join shippers s on s.id = o.{}"
    assert codes(verified(sql.format("shipper"), *both)) == []
    assert codes(verified(sql.format("id"), *both)) == [Code.UNSEEN_JOIN_KEY]


# --- inputs ---


def test_a_deprecated_input_names_its_note_and_its_replacement() -> None:
    old = table(
        "a.old",
        "id int",
        deprecated=True,
        deprecation_note="Ends in May.",
        replacement=urn("a.new"),
    )
    verdict = verified("select id from old", old, table("a.new", "id int"))
    found = only(verdict, Code.DEPRECATED_INPUT)
    assert found.evidence == "The catalogue says: Ends in May."
    assert found.fix is not None
    assert (found.fix.message, found.fix.replacement) == ("Read a.new instead.", "a.new")
    hidden = verified("select id from old", old, surveyed={"visible": frozenset()})
    assert only(hidden, Code.DEPRECATED_INPUT).fix is None


def test_a_deleted_input_blocks() -> None:
    verdict = verified("select id from old", table("a.old", "id int", removed=True))
    assert codes(verdict) == [Code.REMOVED_INPUT]
    assert verdict.verdict is Verdict.BLOCK


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("code", [Code.STALE_INPUT, Code.FAILING_INPUT, Code.SUSPECT_INPUT])
def test_what_is_amiss_with_an_input_weighs_by_purpose(code: Code, purpose: Purpose) -> None:
    troubles = {ORDERS: (Trouble(code, "it was 10.", "Alert since then."),)}
    sql = "select 1 from customers c, orders o"
    verdict = verified(sql, surveyed={"troubles": troubles}, purpose=purpose)
    (issue,) = verdict.issues
    assert issue.severity is severity(code, purpose)
    assert issue.message == "shop.public.orders: it was 10."
    assert issue.place is not None
    assert sql[issue.place.start : issue.place.end] == "orders"
    by_urn = verified(None, surveyed={"troubles": troubles}, urns=(ORDERS,), purpose=purpose)
    assert [(i.code, i.place) for i in by_urn.issues] == [(code, None)]


def test_urns_that_are_not_there_block() -> None:
    verdict = verified(None, urns=(ORDERS, urn("shop.public.nope")))
    assert codes(verdict) == [Code.UNKNOWN_TABLE]
    assert verdict.inputs == (ORDERS,)


# --- personal data ---


@pytest.mark.parametrize(
    ("sql", "reaches"),
    [
        ("select email from customers", "email"),
        ("select lower(c.email) as m from customers c", "m"),
        ("select * from customers", "email"),
        ("with x as (select email as y from customers) select z.y from x z", "y"),
        ("select name from customers union select email from customers", "name"),
        ("select max(email) from customers", "the result"),
        ("select case when id > 1 then email else '' end as e from customers", "e"),
        ("select (select email from customers limit 1) as e from orders", "e"),
        ("create table mart.x as select email as e from customers", "mart.x.e"),
        ("create temp table x as select email as e from customers; select e from x", "e"),
        ("insert into countries (name) select email from customers", "countries.name"),
        ("select count(email) from customers", None),
        ("select count(distinct email) from customers", None),
        ("select id from customers where email like '%x'", None),
        ("select case when email = '' then 1 else 2 end from customers", None),
        ("select email is null from customers", None),
        ("create temp table x as select email as e from customers; select 1 from x", None),
    ],
)
def test_personal_data_is_followed_to_the_output(sql: str, reaches: str | None) -> None:
    told = [i for i in verified(sql).issues if i.code is Code.PERSONAL_DATA]
    if reaches is None:
        assert told == []
        return
    (issue,) = told
    assert issue.message == f"shop.public.customers.email is marked PII and reaches {reaches}."
    assert (issue.urn, issue.column) == (CUSTOMERS, "email")


@pytest.mark.parametrize(
    ("purpose", "verdict"),
    [
        (Purpose.PIPELINE, Verdict.WARN),
        (Purpose.REPORT, Verdict.WARN),
        (Purpose.TRAINING, Verdict.BLOCK),
    ],
)
def test_no_model_is_trained_on_personal_data(purpose: Purpose, verdict: Verdict) -> None:
    assert verified("select email from customers", purpose=purpose).verdict is verdict
    assert verified(None, urns=(CUSTOMERS,), purpose=purpose).verdict is verdict


@pytest.mark.parametrize(
    ("mark", "personal"),
    [
        ("urn:li:tag:PII", True),
        ("urn:li:tag:pii_email", True),
        ("urn:li:glossaryTerm:Classification.PersonalData", True),
        ("urn:li:tag:Pipeline", False),
        ("urn:li:tag:impersonal", False),
    ],
)
def test_words_of_tags_and_terms_mark_personal_data(mark: str, personal: bool) -> None:
    by_column = table("a.t", "x text", tags={"x": (mark,)})
    whole = table("a.t", "x text", terms=(mark,))
    named = table("a.t", "x text", tags={"x": ("urn:li:tag:3f",)}, names={"urn:li:tag:3f": mark})
    for each in (by_column, whole, named):
        found = codes(verified("select x from t", each))
        assert found == ([Code.PERSONAL_DATA] if personal else [])


def test_a_marked_column_leaves_the_others_of_a_marked_dataset_alone() -> None:
    both = table("a.t", "x text, y text", tags={"x": (PERSONAL,)}, terms=(PERSONAL,))
    assert codes(verified("select y from t", both)) == []


# --- outputs ---


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("insert into orders select * from customers", True),
        ("create or replace view orders as select * from customers", True),
        ("with x as (select * from customers) insert into orders select * from x", True),
        ("create temp table x as select * from customers; insert into orders select * from x",
         True),
        ("merge into orders o using customers c on c.id = o.id when matched then delete", True),
        ("insert into orders select * from countries", False),
    ],
)  # fmt: skip
def test_an_output_must_not_feed_its_input(sql: str, told: bool) -> None:
    survey = {"downstream": {ORDERS: frozenset({CUSTOMERS})}}
    verdict = verified(sql, surveyed=survey)
    assert (Code.CYCLE in codes(verdict)) is told


def test_a_statement_that_reads_what_it_writes_is_told() -> None:
    sql = "insert into orders select * from orders where id > (select max(id) from orders)"
    assert only(verified(sql), Code.READS_ITS_OUTPUT).severity is IssueSeverity.WARN
    assert Code.READS_ITS_OUTPUT not in codes(verified("update orders set amount = amount + 1"))


def _consumed(*consumers: str) -> tuple[Any, ...]:
    whole = table("a.t", "id int, name text, day date", downstream=consumers, **OWNED)
    return whole, table("a.source", "id int, name text, day text"), table("b.report", "id int")


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("create or replace table t as select id, name, day::date as day from source", []),
        ("create or replace table t as select id, name from source", ["day"]),
        ("create or replace table t as select id, name, day from source", ["day"]),
        ("create or replace table t as select * from source", ["day"]),
        ("create or replace view t as select 1 as id, 'x' as name, current_date as day", []),
        ("create table t (id int, name text)", ["day"]),
        ("create table t (id text, name text, day date)", ["id"]),
        ("alter table t drop column name", ["name"]),
        ("alter table t rename column name to title", ["name"]),
        ("alter table t add column title text", []),
        ("drop table t", [None]),
        ("drop table t; create table t as select id, name, day::date as day from source", []),
        ("insert into t select id, name, day::date from source", []),
    ],
)
def test_what_consumers_read_must_stay(sql: str, columns: Sequence[str | None]) -> None:
    breaking = verified(sql, *_consumed(urn("b.report")))
    assert [i.column for i in breaking.issues if i.code is Code.BREAKING_CHANGE] == columns
    assert (breaking.verdict is Verdict.BLOCK) is bool(columns)
    for issue in breaking.issues:
        assert "b.report is made from it." in (issue.evidence or "")
    nobody = verified(sql, *_consumed())
    assert [i.column for i in nobody.issues if i.code is Code.SCHEMA_CHANGE] == columns
    assert nobody.verdict is Verdict.OK


def test_consumers_that_nobody_may_see_are_none() -> None:
    hidden = verified("drop table t", *_consumed(urn("c.hidden")))
    assert codes(hidden) == [Code.SCHEMA_CHANGE]


def test_a_proposed_output_is_compared_with_what_is_there() -> None:
    proposed = ProposedOutput("a.t", (ProposedColumn("ID", "bigint"), ProposedColumn("day", "int")))
    verdict = verified(None, *_consumed(urn("b.report")), output=proposed)
    assert [(i.code, i.column) for i in verdict.issues] == [
        (Code.BREAKING_CHANGE, "name"),
        (Code.BREAKING_CHANGE, "day"),
    ]
    assert verdict.outputs == (urn("a.t"),)


def test_an_output_needs_an_owner_and_a_description() -> None:
    verdict = verified("insert into orders select * from orders", purpose=Purpose.REPORT)
    assert {Code.OUTPUT_WITHOUT_OWNER, Code.OUTPUT_WITHOUT_DESCRIPTION} <= set(codes(verdict))
    assert verdict.verdict is Verdict.OK
    owned = verified("insert into t values (1, 'a', null)", *_consumed())
    assert codes(owned) == []


def test_a_new_output_is_named_as_its_neighbours() -> None:
    names = ["dim_day", "dim_customer", "fct_order", "fct_item", "orders"]
    survey = {"neighbours": {"mart.FctReturn": names, "mart.fct_return": names}}
    sql = "create table mart.{} as select 1 as a"
    bad = verified(sql.format('"FctReturn"'), surveyed=survey)
    found = only(bad, Code.OUTPUT_NAME)
    assert found.fix is not None
    assert found.fix.message == "Name it fct_return."
    assert codes(verified(sql.format("fct_return"), surveyed=survey)) == [Code.NEW_OUTPUT]
    # PostgreSQL folds it to small letters itself.
    folded = {"neighbours": {"mart.FCT_RETURN": names}}
    assert codes(verified(sql.format("FCT_RETURN"), surveyed=folded)) == [Code.NEW_OUTPUT]


def test_a_pattern_goes_before_the_neighbours() -> None:
    rules = Rules(frozenset(), re.compile("(dim|fct)_.*"))
    sql = "create table mart.{} as select 1 as a"
    assert codes(verified(sql.format("fct_x"), rules=rules)) == [Code.NEW_OUTPUT]
    assert codes(verified(sql.format("x"), rules=rules)) == [Code.OUTPUT_NAME, Code.NEW_OUTPUT]


@pytest.mark.parametrize(
    ("names", "style"),
    [
        (["a_b", "c_d", "e", "f", "g"], "lower_snake_case"),
        (["A_B", "C_D", "E", "F", "G"], "UPPER_SNAKE_CASE"),
        (["aB", "cD", "eF", "gH", "iJ"], "camelCase"),
        (["AbCd", "CdEf", "Efg", "Ghi", "Ijk"], "PascalCase"),
        (["a-b", "c-d", "e-f", "g-h", "i-j"], "kebab-case"),
        (["a_b", "CD", "eF", "Gh", "i-j"], None),
        (["a_b", "c_d", "e_f", "g_h"], None),
    ],
)
def test_a_convention_is_what_most_of_five_names_have(
    names: Sequence[str], style: str | None
) -> None:
    assert convention(names) == style
    if style is not None:
        assert convention([styled(name, style) for name in names]) == style


def test_every_code_weighs_something_for_every_purpose() -> None:
    assert {severity(code, purpose) for code in Code for purpose in Purpose} == set(IssueSeverity)


def test_issues_come_worst_first_and_once() -> None:
    verdict = verified("select nope, email from customers; select nope, email from customers")
    assert [i.severity for i in verdict.issues] == ["BLOCK", "BLOCK", "WARN"]
    assert len(SHOP) == 5


def test_the_page_shows_what_every_issue_weighs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "verifier.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \|[^|]*\| (\w+) \| (\w+) \| (\w+) \|$", page, re.MULTILINE)
    assert {code: tuple(weights) for code, *weights in rows} == {
        code.value: tuple(severity(code, purpose).value for purpose in Purpose) for code in Code
    }
