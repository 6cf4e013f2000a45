"""SQL of rules: what is let through, and what is asked about columns."""

import sqlite3

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.quality.rules.model import Column, Pattern, Range
from dataspoke.quality.rules.statements import (
    matching_query,
    require_select,
    statistic_query,
    table_of,
)

DIALECTS = ("postgres", "duckdb", "sqlite")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1;",
        "select count(*) from a join b on a.x = b.x where b.note = 'delete from x; drop table y'",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a UNION ALL SELECT 2",
        "(SELECT 1)",
        "VALUES (1)",
        "SELECT 1 -- DROP TABLE x;",
        'SELECT "update" FROM "insert"',
    ],
)
def test_what_reads_is_let_through(sql: str, dialect: str) -> None:
    require_select(sql, dialect)


@pytest.mark.parametrize(
    ("sql", "dialect"),
    [
        *(
            (sql, dialect)
            for dialect in DIALECTS
            for sql in (
                "",
                ";",
                "-- nothing",
                "SELECT 1; SELECT 2",
                "SELECT 1; DROP TABLE x",
                "INSERT INTO x VALUES (1)",
                "UPDATE x SET a = 1",
                "DELETE FROM x",
                "WITH a AS (DELETE FROM x RETURNING *) SELECT * FROM a",
                "WITH a AS (INSERT INTO x VALUES (1) RETURNING *) SELECT * FROM a",
                "WITH a AS (UPDATE x SET b = 1 RETURNING *) SELECT * FROM a",
                "CREATE TABLE x AS SELECT 1",
                "ALTER TABLE x ADD y INT",
                "DROP TABLE x",
                "TRUNCATE TABLE x",
                "BEGIN",
                "COMMIT",
                "ROLLBACK",
                "SELECT (",
                "SELECT 'open",
                "(" * 2000 + "SELECT 1" + ")" * 2000,
            )
        ),
        *(
            (sql, "postgres")
            for sql in (
                "SELECT * INTO y FROM x",
                "SELECT * FROM x FOR UPDATE",
                "SELECT * FROM (SELECT * FROM x FOR SHARE) AS y",
                "MERGE INTO x USING y ON x.a = y.a WHEN MATCHED THEN DELETE",
                "COPY x TO '/tmp/x'",
                "COPY x TO PROGRAM 'id'",
                "CALL p()",
                "DO $$ BEGIN END $$",
                "SET ROLE admin",
                "RESET ALL",
                "LOCK TABLE x",
                "EXPLAIN ANALYZE DELETE FROM x",
                "PREPARE p AS SELECT 1",
                "EXECUTE p",
                "LISTEN x",
                "NOTIFY x",
                "VACUUM",
                "GRANT SELECT ON x TO y",
                "REFRESH MATERIALIZED VIEW x",
                "DECLARE c CURSOR FOR SELECT 1",
            )
        ),
        *(
            (sql, "duckdb")
            for sql in (
                "COPY x TO 'x.csv'",
                "EXPORT DATABASE 'x'",
                "ATTACH 'x.db' AS x",
                "INSTALL httpfs",
                "LOAD httpfs",
                "PRAGMA database_list",
                "SET memory_limit = '1GB'",
                "CHECKPOINT",
            )
        ),
        *(
            (sql, "sqlite")
            for sql in (
                "PRAGMA query_only = 0",
                "ATTACH 'x.db' AS x",
                "DETACH x",
                "REPLACE INTO x VALUES (1)",
                "VACUUM INTO 'x.db'",
                "REINDEX x",
            )
        ),
    ],
)
def test_everything_else_is_refused(sql: str, dialect: str) -> None:
    with pytest.raises(InvalidInput, match="query") as refused:
        require_select(sql, dialect)
    assert len(refused.value.public_message) < 400


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1).filter(lambda text: "\0" not in text), st.sampled_from(DIALECTS))
def test_no_name_or_value_becomes_sql(text: str, dialect: str) -> None:
    columns = [
        Column(name=text, null_share=Range(max=0)),
        Column(name=text, mean=Range(max=0)),
        Column(name="c", accepted_values=(text, "'; DROP TABLE x; --")),
    ]
    if dialect != "sqlite":
        columns.append(Column(name="c", pattern=Pattern(text)))
    for column in columns:
        build = matching_query if column.statistic is None else statistic_query
        query = build(column, (text, "x"), dialect)
        require_select(query, dialect)
        (read,) = sqlglot.parse(query, dialect=dialect)
        assert read is not None
        assert read.sql(dialect=dialect) == query
        (table,) = read.find_all(sqlglot.exp.Table)
        assert (table.db, table.name) == (text, "x")


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=10).filter(lambda text: text.isprintable()))
def test_a_value_is_compared_as_it_is(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE x (c)")
    connection.executemany("INSERT INTO x VALUES (?)", [(text,), (text + "'",), (None,)])
    query = matching_query(Column(name="c", accepted_values=(text,)), ("x",), "sqlite")
    assert connection.execute(query).fetchall() == [(1, 2)]
    connection.close()


def test_sqlite_takes_no_missing_column_for_a_text() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE x (c)")
    query = statistic_query(Column(name="d", null_share=Range(max=0)), ("x",), "sqlite")
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        connection.execute(query)
    connection.close()


def test_a_pattern_on_sqlite_names_the_way_out() -> None:
    with pytest.raises(InvalidInput, match="LIKE or GLOB"):
        matching_query(Column(name="c", pattern=Pattern("x")), ("x",), "sqlite")


@pytest.mark.parametrize(
    ("name", "instance", "dialect", "parts"),
    [
        ("db.shop.orders", "", "postgres", ("db", "shop", "orders")),
        ("prod.db.shop.orders", "prod", "postgres", ("db", "shop", "orders")),
        ("other.db.shop.orders", "", "postgres", ("db", "shop", "orders")),
        ("orders", "", "duckdb", ("orders",)),
        ("main.orders", "", "sqlite", ("orders",)),
    ],
)
def test_a_table_is_found_by_the_name_of_the_dataset(
    name: str, instance: str, dialect: str, parts: tuple[str, ...]
) -> None:
    assert table_of(name, instance, dialect) == parts
