"""Questions with SQL, and the tables that they are about, in the forms of Spider, BIRD and BEAVER.

BIRD's files have Spider's form, with the query under ``SQL``. All databases of a file become
datasets of one platform, named ``database.table``. Names written by people (Spider's
``table_names`` and ``column_names``) become descriptions where their words differ from the names
in the database.
"""

import json
import re
from collections import defaultdict
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
from dataspoke.knowledge.lexical import split_words
from dataspoke.urns import dataset_name

# BEAVER joins the names of a database and of a table with this.
_SEPARATOR = "#sep#"
_TYPE = re.compile(r"\w+(?: ?\([\d, ]+\))?")
# Where the SQL of a question stands, and what it may be written in: nobody says. In Spider's files
# ``sql`` is a parsed form, so that ``query`` comes first.
_DIALECTS: Mapping[str, tuple[str, ...]] = {
    "query": ("sqlite",),
    "SQL": ("postgres", "sqlite", "mysql"),
    "sql": ("mysql", "oracle"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the SQL that answers it, and the datasets that answer it, by urn.

    ``sql`` is empty where the file has none, ``dialects`` are those that it may be in. There are no
    ``tables`` where they cannot be told.
    """

    text: str
    database: str
    sql: str
    dialects: tuple[str, ...]
    tables: frozenset[str]

    def parsed(self) -> exp.Expr | None:
        """Return the SQL in the first dialect that it can be read in; None where it is in none."""
        for dialect in self.dialects:
            try:
                return sqlglot.parse_one(self.sql, dialect=dialect)
            except SqlglotError:
                continue
        return None


def read_tables(path: Path, platform: str) -> list[Dataset]:
    """Return a dataset of a platform, by its name, for each table of a file.

    Raises ValueError for a file in neither form.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    urn = f"urn:li:dataPlatform:{platform}"
    if isinstance(content, dict):
        return list(_of_beaver(content, urn))
    if isinstance(content, list):
        return [dataset for database in content for dataset in _of_spider(database, urn)]
    raise ValueError(f"{path} is neither a list of databases nor an object of tables.")


def _urn(platform: str, database: str, table: str) -> str:
    return f"urn:li:dataset:({platform},{database}.{table},PROD)"


def _of_spider(database: Mapping[str, Any], platform: str) -> Iterator[Dataset]:
    names, columns = database["table_names_original"], database["column_names_original"]
    urns = [_urn(platform, database["db_id"], name) for name in names]
    fields: dict[int, list[Field]] = defaultdict(list)
    written = database.get("column_names", columns)
    # The first column is ``*``, of no table; some files have no type for it.
    kinds = database["column_types"]
    kinds = [*[""] * (len(columns) - len(kinds)), *kinds]
    for (table, name), (_, words), kind in zip(columns, written, kinds, strict=True):
        fields[table].append(_field(name, kind, _description(name, words)))
    primary: dict[int, list[str]] = defaultdict(list)
    for key in database.get("primary_keys", ()):
        # BIRD's may be of several columns.
        for place in key if isinstance(key, list) else [key]:
            primary[columns[place][0]].append(columns[place][1])
    foreign: dict[int, list[ForeignKey]] = defaultdict(list)
    for here, there in database.get("foreign_keys", ()):
        (table, column), (other, referred) = columns[here], columns[there]
        foreign[table].append(ForeignKey((column,), urns[other], (referred,)))
    for number, words in enumerate(database.get("table_names", names)):
        yield Dataset(
            urns[number],
            names[number],
            platform,
            description=_description(names[number], words),
            fields=tuple(fields[number]),
            primary_keys=tuple(primary[number]),
            foreign_keys=tuple(foreign[number]),
        )


def _of_beaver(tables: Mapping[str, Mapping[str, Any]], platform: str) -> Iterator[Dataset]:
    urns = {
        name: _urn(platform, table["db_id"], table["table_name_original"])
        for name, table in tables.items()
    }
    for name, table in tables.items():
        columns = table["column_names_original"]
        kinds = table.get("column_types") or [""] * len(columns)
        yield Dataset(
            urns[name],
            table["table_name_original"],
            platform,
            fields=tuple(
                _field(column, kind, None) for column, kind in zip(columns, kinds, strict=True)
            ),
            primary_keys=tuple(table.get("primary_key") or ()),
            foreign_keys=tuple(
                ForeignKey(
                    (key["column_name"],),
                    urns[key["referenced_table_name"]],
                    (key["referenced_column_name"],),
                )
                for key in table.get("foreign_key") or ()
                if key["referenced_table_name"] in urns
            ),
        )


def _field(name: str, kind: str, description: str | None) -> Field:
    match = _TYPE.match(kind)
    return Field(name, native_type=match.group() if match else None, description=description)


def _description(name: str, words: str) -> str | None:
    return None if split_words(name) == split_words(words) else words


def read_questions(path: Path, datasets: Sequence[Dataset]) -> list[Question]:
    """Return the questions of a file, in order; tables that the catalogue lacks answer none."""
    known = {dataset_name(each.urn).casefold(): each.urn for each in datasets}
    found = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        database, key = entry["db_id"], _key(entry)
        sql = entry[key] if key is not None else ""
        dialects = _DIALECTS[key] if key is not None else ()
        question = Question(entry["question"], database, sql, dialects, frozenset())
        if "gold_tables" in entry:
            names = [name.replace(_SEPARATOR, ".") for name in entry["gold_tables"]]
        else:
            names = [f"{database}.{table}" for table in _read(question.parsed())]
        tables = frozenset(known[n.casefold()] for n in names if n.casefold() in known)
        found.append(Question(question.text, database, sql, dialects, tables))
    return found


def _key(entry: Mapping[str, Any]) -> str | None:
    return next((key for key in _DIALECTS if isinstance(entry.get(key), str)), None)


def _read(tree: exp.Expr | None) -> frozenset[str]:
    """Return the tables that a query reads, without common table expressions."""
    if tree is None:
        return frozenset()
    inner = {each.alias_or_name.casefold() for each in tree.find_all(exp.CTE)}
    named = {table.name for table in tree.find_all(exp.Table)}
    return frozenset(name for name in named if name.casefold() not in inner)


def dialect_of(path: Path) -> str:
    """Return the dialect that reads most of the queries of a file, the first of several.

    Raises ValueError where no question has one.
    """
    questions = [each for each in read_questions(path, ()) if each.sql]
    if not questions:
        raise ValueError(f"{path} has no question with {', '.join(_DIALECTS)}.")

    def unread(dialect: str) -> int:
        return sum(not _readable(question.sql, dialect) for question in questions)

    candidates = questions[0].dialects
    return min(candidates, key=unread) if len(candidates) > 1 else candidates[0]


def _readable(sql: str, dialect: str) -> bool:
    try:
        sqlglot.parse(sql, dialect=dialect)
    except SqlglotError:
        return False
    return True


def columns_of(question: Question, datasets: Mapping[str, Dataset]) -> frozenset[tuple[str, str]]:
    """Return the columns that the SQL reads, by urn and path; none where it cannot be read."""
    tree = question.parsed()
    if not isinstance(tree, exp.Query):
        return frozenset()
    spelled = {
        dataset_name(urn).rpartition(".")[2].casefold(): datasets[urn] for urn in question.tables
    }
    schema: dict[str, object] = {
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
