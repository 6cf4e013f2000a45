"""Questions with SQL, and the tables that they are about, in the forms of Spider, BIRD and BEAVER.

All databases of a file become datasets of one platform, named ``database.table``.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from dataspoke.catalogue import Dataset, Field, ForeignKey
from dataspoke.urns import dataset_name

PLATFORM = "urn:li:dataPlatform:sqlite"
# BEAVER joins the names of a database and of a table with this.
_SEPARATOR = "#sep#"
_TYPE = re.compile(r"\w+(?: ?\([\d, ]+\))?")
# Nobody says in which SQL a file is written.
_DIALECTS = ("sqlite", "postgres", "mysql", "oracle")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the SQL that answers it, and the datasets that this reads, by urn."""

    text: str
    database: str
    sql: str
    tables: frozenset[str]


def urn_of(database: str, table: str) -> str:
    return f"urn:li:dataset:({PLATFORM},{database}.{table},PROD)"


def read_tables(path: Path) -> list[Dataset]:
    """Return the tables of a file in Spider's or BEAVER's form."""
    content = json.loads(path.read_text("utf-8"))
    if isinstance(content, dict):
        return [_beaver_table(entry) for entry in content.values()]
    return [dataset for database in content for dataset in _spider_tables(database)]


def _beaver_table(entry: Mapping[str, Any]) -> Dataset:
    columns = zip(entry["column_names_original"], entry["column_types"], strict=True)
    return _dataset(
        entry["db_id"],
        entry["table_name_original"],
        [_field(name, kind) for name, kind in columns],
        entry.get("primary_key") or (),
        [
            ForeignKey(
                (key["column_name"],),
                urn_of(*key["referenced_table_name"].split(_SEPARATOR)),
                (key["referenced_column_name"],),
            )
            for key in entry.get("foreign_key") or ()
            if _SEPARATOR in (key["referenced_table_name"] or "")
        ],
    )


def _spider_tables(database: Mapping[str, Any]) -> Iterator[Dataset]:
    names, tables = database["column_names_original"], database["table_names_original"]
    # BIRD's keys may be of several columns.
    keys = {
        column
        for key in database["primary_keys"]
        for column in (key if isinstance(key, list) else [key])
    }
    for number, table in enumerate(tables):
        own = [place for place, (of, _) in enumerate(names) if of == number]
        yield _dataset(
            database["db_id"],
            table,
            [_field(names[place][1], database["column_types"][place]) for place in own],
            [names[place][1] for place in own if place in keys],
            [
                ForeignKey(
                    (names[here][1],),
                    urn_of(database["db_id"], tables[names[there][0]]),
                    (names[there][1],),
                )
                for here, there in database["foreign_keys"]
                if here in own
            ],
        )


def _field(name: str, kind: str) -> Field:
    match = _TYPE.match(kind)
    return Field(name, native_type=match.group() if match else None)


def _dataset(
    database: str,
    table: str,
    fields: Sequence[Field],
    primary_keys: Sequence[str],
    foreign_keys: Sequence[ForeignKey],
) -> Dataset:
    return Dataset(
        urn=urn_of(database, table),
        name=table,
        platform=PLATFORM,
        fields=tuple(fields),
        primary_keys=tuple(primary_keys),
        foreign_keys=tuple(foreign_keys),
    )


def read_questions(path: Path, datasets: Sequence[Dataset]) -> list[Question]:
    """Return the questions of a file in the form of Spider, BIRD or BEAVER."""
    known = {dataset_name(each.urn).casefold(): each.urn for each in datasets}
    questions = []
    for entry in json.loads(path.read_text("utf-8")):
        database = entry["db_id"]
        sql = entry.get("sql") if "gold_tables" in entry else entry.get("query") or entry["SQL"]
        if "gold_tables" in entry:
            names = [name.replace(_SEPARATOR, ".") for name in entry["gold_tables"]]
        else:
            names = [f"{database}.{table}" for table in _tables_of(sql)]
        tables = frozenset(known[n.casefold()] for n in names if n.casefold() in known)
        questions.append(Question(entry["question"], database, sql, tables))
    return questions


def parsed(sql: str) -> exp.Query | None:
    """Return a statement in the first dialect that it can be read in; None where it is in none."""
    for dialect in _DIALECTS:
        try:
            tree = sqlglot.parse_one(sql, dialect=dialect)
        except SqlglotError:
            continue
        if isinstance(tree, exp.Query):
            return tree
    return None


def _tables_of(sql: str) -> frozenset[str]:
    tree = parsed(sql)
    return frozenset(table.name for table in tree.find_all(exp.Table)) if tree else frozenset()


def columns_of(question: Question, datasets: Mapping[str, Dataset]) -> frozenset[tuple[str, str]]:
    """Return the columns that the SQL reads, by urn and path; none where it cannot be read."""
    tree = parsed(question.sql)
    if tree is None:
        return frozenset()
    spelled = {
        dataset_name(urn).rpartition(".")[2].casefold(): datasets[urn] for urn in question.tables
    }
    schema = {
        name: {field.path.casefold(): "text" for field in dataset.fields}
        for name, dataset in spelled.items()
    }
    try:
        for name in tree.find_all(exp.Identifier):
            name.set("this", name.this.casefold())
        qualified = qualify(tree, schema=schema, validate_qualify_columns=False, expand_stars=False)
        scopes = traverse_scope(qualified)
    except SqlglotError:
        return frozenset()
    found = set()
    for scope in scopes:
        for column in scope.columns:
            source = scope.sources.get(column.table)
            dataset = spelled.get(source.name) if isinstance(source, exp.Table) else None
            for field in dataset.fields if dataset else ():
                if dataset and field.path.casefold() == column.name:
                    found.add((dataset.urn, field.path))
    return frozenset(found)
