"""What holds of every query: built from tables that are there, and then with one name changed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot.dialects.dialect import Dialect

from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.verifier.model import Code, IssueSeverity, Verdict
from dataspoke.knowledge.verifier.resolution import nearest
from tests.support.verifier import table, verified

NAMES = st.sampled_from("alpha beta gamma delta kappa sigma".split())  # noqa: SIM905
COLUMNS = st.lists(
    st.sampled_from("id code label amount day_of_x userName".split()),  # noqa: SIM905
    min_size=1,
    max_size=4,
    unique=True,
)
DIALECTS = st.sampled_from(sorted({"postgres", "mysql", "sqlite", "snowflake", "duckdb", "tsql"}))


@st.composite
def catalogues(draw: st.DrawFn) -> list[Snapshot]:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return [table(f"db.{name}", ", ".join(f"{c} int" for c in draw(COLUMNS))) for name in names]


def _columns(snapshot: Snapshot) -> list[str]:
    return [field.path for field in snapshot.dataset.fields]


@st.composite
def queries(draw: st.DrawFn, catalogue: list[Snapshot], depth: int = 2) -> tuple[str, list[str]]:
    """Return a query that is right, and the names of its columns."""
    kind = draw(st.sampled_from(("table", "join", "nested", "cte", "union", "group")))
    if depth == 0 or kind == "table":
        one = draw(st.sampled_from(catalogue))
        columns = draw(st.lists(st.sampled_from(_columns(one)), min_size=1, unique=True))
        where = draw(st.sampled_from(_columns(one)))
        return f"select {', '.join(columns)} from {one.dataset.name} where {where} > 1", columns
    inner, columns = draw(queries(catalogue, depth - 1))
    column = draw(st.sampled_from(columns))
    if kind == "nested":
        return f"select q.{column} as x from ({inner}) q order by x", ["x"]
    if kind == "cte":
        return f"with c as ({inner}) select {column}, c.{column} as y from c", [column, "y"]
    if kind == "union":
        return f"select {column} from ({inner}) l union select {column} from ({inner}) r", [column]
    if kind == "group":
        return f"select {column}, count(*) as n from ({inner}) g group by {column}", [column, "n"]
    other = draw(st.sampled_from(catalogue))
    key = draw(st.sampled_from(_columns(other)))
    sql = (
        f"select a.{column}, b.{key} as z from ({inner}) a "
        f"join {other.dataset.name} b on a.{column} = b.{key} "
        f"where exists (select 1 from {other.dataset.name} e where e.{key} = a.{column})"
    )
    return sql, [column, "z"]


@given(st.data(), DIALECTS)
def test_right_queries_pass_and_no_renamed_column_does(data: st.DataObject, dialect: str) -> None:
    catalogue = data.draw(catalogues())
    sql, _ = data.draw(queries(catalogue))
    verdict = verified(sql, *catalogue, dialect=dialect)
    assert verdict.verdict is Verdict.OK, (sql, verdict.issues)

    used = set(verdict.inputs)
    changed = data.draw(st.sampled_from([s for s in catalogue if s.dataset.urn in used]))
    fields = tuple(replace(field, path=f"new_{field.path}") for field in changed.dataset.fields)
    renamed = replace(changed, dataset=replace(changed.dataset, fields=fields))
    others = [renamed if each is changed else each for each in catalogue]
    found = verified(sql, *others, dialect=dialect)
    assert found.verdict is Verdict.BLOCK, sql
    for issue in found.issues:
        if issue.place is not None and issue.code is Code.UNKNOWN_COLUMN:
            assert sql[issue.place.start : issue.place.end] == issue.column


@given(st.data(), DIALECTS)
def test_case_and_layout_change_no_verdict(data: st.DataObject, dialect: str) -> None:
    catalogue = data.draw(catalogues())
    sql, _ = data.draw(queries(catalogue))
    spread = sql.replace(" ", "\n\t").upper()
    assert verified(spread, *catalogue, dialect=dialect).verdict is Verdict.OK


WORDS = (
    "select from where id orders o , ( ) * . ; ' \" ` {{ }} {% %} with as union join on insert "
    "into values update set delete create table case when end over :x $1 @v -- /*"
)


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(WORDS.split()), max_size=25).map(" ".join),
    st.sampled_from(sorted(filter(None, Dialect.classes))),
)
def test_no_text_is_too_odd(text: str, dialect: str) -> None:
    for issue in verified(text, dialect=dialect).issues:
        assert issue.place is None or 0 <= issue.place.start <= issue.place.end <= len(text)
        assert issue.severity in IssueSeverity


@given(st.text(max_size=20), st.lists(st.text(max_size=20)))
def test_what_is_nearest_is_one_of_the_names(wanted: str, names: list[str]) -> None:
    assert set(nearest(wanted, names)) <= set(names)


@pytest.mark.parametrize(
    ("wanted", "best"),
    [("custid", "cust_id"), ("CUSTOMER-ID", "customerId"), ("nmae", "name"), ("zzz", None)],
)
def test_names_of_other_style_or_few_other_letters_are_near(wanted: str, best: str | None) -> None:
    found = nearest(wanted, ["cust_id", "customerId", "name", "amount"])
    assert found == ([best] if best else [])
