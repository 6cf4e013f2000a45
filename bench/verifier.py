"""Whether the verifier lets good SQL pass, and finds a column that is not there.

Reads questions with their SQL and the tables that it is about, in the formats of Spider (and BIRD,
whose files have the same form) or BEAVER. All tables make one catalogue; the database of a question
is its default schema. Each query is checked as it is. Then each column that it names is renamed,
one at a time: in the catalogue, as if it had changed since, and in the SQL, as if it had been
misspelt. What is not blocked then has not been caught. Beside it stands what sqlglot alone would
do: `qualify` with columns validated, which sees the tables of the question's own database only.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlglot
from rich.console import Console
from rich.table import Table
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from bench import machine
from dataspoke.catalogue import Dataset, Field, ForeignKey
from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.verifier.checking import by_name, conclude, find, read_request
from dataspoke.knowledge.verifier.judging import Rules, Surveyed
from dataspoke.knowledge.verifier.model import ContextVerdict, Verdict, VerifyRequest
from dataspoke.knowledge.verifier.relations import Analysis, Origin
from dataspoke.urns import dataset_name

# The key of a question's SQL tells the dialects that it may be in; what reads most of it counts.
_DIALECTS: Mapping[str, tuple[str, ...]] = {
    "query": ("sqlite",),
    "SQL": ("postgres", "sqlite", "mysql"),
    "sql": ("mysql", "oracle"),
}
_MARK = "_renamed"
_RULES = Rules(frozenset())

Snapshots = Mapping[str, Snapshot]


@dataclass(frozen=True, slots=True)
class Question:
    """A query and the database that it is about."""

    database: str
    sql: str


def read_tables(path: Path, platform: str) -> dict[str, Snapshot]:
    """Return a snapshot of each table; raises ValueError for a file in neither format."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        return {s.dataset.urn: s for s in _of_beaver(content, platform)}
    if isinstance(content, list):
        return {s.dataset.urn: s for database in content for s in _of_spider(database, platform)}
    raise ValueError(f"{path} is neither a list of databases nor an object of tables.")


def read_questions(path: Path) -> tuple[list[Question], str]:
    """Return the questions, and the key that their SQL stands under."""
    content = json.loads(path.read_text(encoding="utf-8"))
    # In Spider's files `sql` is a parsed form.
    key = next((k for k in _DIALECTS if content and isinstance(content[0].get(k), str)), None)
    if key is None:
        raise ValueError(f"{path} has no question with {', '.join(_DIALECTS)}.")
    return [Question(entry["db_id"], entry[key]) for entry in content], key


def dialect_of(questions: Sequence[Question], candidates: Sequence[str]) -> str:
    """Return the dialect that reads most of the queries, the first of several."""

    def unread(dialect: str) -> int:
        return sum(not _readable(question.sql, dialect) for question in questions)

    return min(candidates, key=unread) if len(candidates) > 1 else candidates[0]


def _readable(sql: str, dialect: str) -> bool:
    try:
        sqlglot.parse(sql, dialect=dialect)
    except SqlglotError:
        return False
    return True


def _urn(platform: str, database: str, table: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{database}.{table},PROD)"


def _of_spider(database: Mapping[str, Any], platform: str) -> Iterator[Snapshot]:
    urns = [_urn(platform, database["db_id"], t) for t in database["table_names_original"]]
    columns = database["column_names_original"]
    kinds = database["column_types"]
    keys: dict[int, list[ForeignKey]] = {}
    for here, there in database.get("foreign_keys", ()):
        (table, column), (other, foreign) = columns[here], columns[there]
        keys.setdefault(table, []).append(ForeignKey((column,), urns[other], (foreign,)))
    for position, urn in enumerate(urns):
        fields = tuple(
            Field(name, native_type=kind)
            for (table, name), kind in zip(columns, kinds, strict=False)
            if table == position
        )
        yield _snapshot(urn, fields, tuple(keys.get(position, ())))


def _of_beaver(tables: Mapping[str, Any], platform: str) -> Iterator[Snapshot]:
    for table in tables.values():
        urn = _urn(platform, table["db_id"], table["table_name_original"])
        pairs = zip(table["column_names_original"], table["column_types"], strict=True)
        yield _snapshot(urn, tuple(Field(name, native_type=kind) for name, kind in pairs), ())


def _snapshot(urn: str, fields: tuple[Field, ...], keys: tuple[ForeignKey, ...]) -> Snapshot:
    platform = urn.partition("(")[2].partition(",")[0]
    return Snapshot(Dataset(urn, dataset_name(urn), platform, fields=fields, foreign_keys=keys))


@dataclass(slots=True)
class Tally:
    """What came of all checks; times are in milliseconds of a core, whatever else runs."""

    refused: list[str] = field(default_factory=list)
    tried: int = 0
    missed: list[str] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)

    @property
    def caught(self) -> float:
        return 1 - len(self.missed) / self.tried if self.tried else 1.0


class Product:
    """The verifier on a catalogue."""

    def __init__(self, snapshots: Snapshots, dialect: str) -> None:
        self._snapshots = snapshots
        self._names = by_name(snapshots)
        self._dialect = dialect

    def check(
        self, question: Question, snapshots: Snapshots | None = None
    ) -> tuple[ContextVerdict, Analysis, float]:
        """Return the verdict, what the query does, and the milliseconds of a core that took."""
        held = self._snapshots if snapshots is None else snapshots
        began = time.thread_time()
        reading = read_request(
            VerifyRequest(sql=question.sql, dialect=self._dialect, default_schema=question.database)
        )
        findings = find(reading, {n: self._names.get(n, ()) for n in reading.names}, held)
        verdict = conclude(reading, findings, Surveyed(held), _RULES)
        return verdict, findings.analysis, (time.thread_time() - began) * 1000

    def run(self, questions: Sequence[Question]) -> Tally:
        tally = Tally()
        for question in questions:
            verdict, analysis, took = self.check(question)
            tally.times_ms.append(took)
            if verdict.verdict is Verdict.BLOCK:
                tally.refused.append(f"{question.database}: {question.sql}\n{_told(verdict)}")
                continue
            for column, place in analysis.used.items():
                if place is None:
                    continue
                changed = dict(self._snapshots)
                changed[column.urn] = renamed(changed[column.urn], column.path)
                self._try(tally, "catalogue", column, question, changed)
                # Within the quotes, where there are some.
                end = place.end - (not question.sql[place.end - 1].isalnum())
                end += question.sql[end] == "_" if end < len(question.sql) else 0
                sql = question.sql[:end] + _MARK + question.sql[end:]
                self._try(tally, "SQL", column, replace(question, sql=sql), None)
        return tally

    def _try(
        self,
        tally: Tally,
        where: str,
        column: Origin,
        question: Question,
        snapshots: Snapshots | None,
    ) -> None:
        verdict, _, _ = self.check(question, snapshots)
        tally.tried += 1
        if verdict.verdict is not Verdict.BLOCK:
            name = f"{dataset_name(column.urn)}.{column.path}"
            tally.missed.append(f"{name}, renamed in the {where}: {question.sql}")


class Plain:
    """sqlglot's own validation, on the tables of one database at a time."""

    def __init__(self, snapshots: Snapshots, dialect: str) -> None:
        self._dialect = dialect
        self._tables: dict[str, dict[str, dict[str, str]]] = {}
        for urn, snapshot in snapshots.items():
            database, _, table = dataset_name(urn).partition(".")
            columns = {entry.path: "TEXT" for entry in snapshot.dataset.fields}
            self._tables.setdefault(database, {})[table] = columns
        self._schemas: dict[str, MappingSchema] = {}

    def refuses(self, question: Question, without: Origin | None = None) -> bool:
        if without is None:
            if question.database not in self._schemas:
                self._schemas[question.database] = self._schema(
                    self._tables.get(question.database, {})
                )
            schema = self._schemas[question.database]
        else:
            tables = dict(self._tables[question.database])
            table = dataset_name(without.urn).partition(".")[2]
            tables[table] = {
                (name + _MARK if name == without.path else name): kind
                for name, kind in tables[table].items()
            }
            schema = self._schema(tables)
        try:
            for statement in sqlglot.parse(question.sql, dialect=self._dialect):
                if statement is not None:
                    qualify(
                        statement,
                        dialect=self._dialect,
                        schema=schema,
                        validate_qualify_columns=True,
                    )
        except SqlglotError:
            return True
        return False

    def _schema(self, tables: Mapping[str, Mapping[str, str]]) -> MappingSchema:
        schema = MappingSchema(dialect=self._dialect)
        for name, columns in tables.items():
            schema.add_table(
                sqlglot.exp.to_table(f'"{name}"', dialect="postgres"),
                dict(columns),
                match_depth=False,
            )
        return schema

    def run(self, questions: Sequence[Question], product: Product) -> Tally:
        tally = Tally()
        for question in questions:
            began = time.thread_time()
            refused = self.refuses(question)
            tally.times_ms.append((time.thread_time() - began) * 1000)
            if refused:
                tally.refused.append(question.sql)
                continue
            _, analysis, _ = product.check(question)
            for column, place in analysis.used.items():
                if place is None or not dataset_name(column.urn).startswith(question.database):
                    continue
                tally.tried += 1
                if not self.refuses(question, column):
                    tally.missed.append(f"{column.path}: {question.sql}")
        return tally


def renamed(snapshot: Snapshot, path: str) -> Snapshot:
    """Return a snapshot with one of its columns under another name."""
    fields = tuple(
        replace(entry, path=path + _MARK) if entry.path == path else entry
        for entry in snapshot.dataset.fields
    )
    return replace(snapshot, dataset=replace(snapshot.dataset, fields=fields))


def _told(verdict: ContextVerdict) -> str:
    return "\n".join(
        f"  {issue.code}: {issue.message} {issue.evidence or ''}"
        for issue in verdict.issues
        if issue.severity == "BLOCK"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.verifier", description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="tables, as JSON")
    parser.add_argument("--questions", type=Path, required=True, help="questions, as JSON")
    parser.add_argument("--dialect", help="dialect of the SQL; told by the file else")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    chosen = parser.parse_args(arguments)
    questions, key = read_questions(chosen.questions)
    dialect = chosen.dialect or dialect_of(questions, _DIALECTS[key])
    snapshots = read_tables(chosen.tables, dialect)
    product = Product(snapshots, dialect)
    ours = product.run(questions)
    plain = Plain(snapshots, dialect).run(questions, product)
    if chosen.json:
        print(json.dumps({**_figures(ours, questions), "sqlglot": _figures(plain, questions)}))
        return 0
    _print(ours, plain, questions, dialect)
    return 0


def _figures(tally: Tally, questions: Sequence[Question]) -> dict[str, float]:
    return {
        "gold_refused": len(tally.refused) / len(questions),
        "renames_caught": tally.caught,
        "p50_ms": statistics.median(tally.times_ms),
    }


def _print(ours: Tally, plain: Tally, questions: Sequence[Question], dialect: str) -> None:
    console = Console()
    for title, entries in (("Refused", ours.refused), ("Not caught", ours.missed)):
        for entry in entries:
            console.print(f"{title}: {entry}", markup=False, highlight=False, soft_wrap=True)
    table = Table(
        title=f"{len(questions):,} queries in {dialect}, {ours.tried:,} renames",
        title_justify="left",
    )
    for name in ("", "DataSpoke", "sqlglot's qualify"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("gold queries refused", *(str(len(t.refused)) for t in (ours, plain)))
    table.add_row("renames caught", *(f"{t.caught:.2%}" for t in (ours, plain)))
    for name, share in (("p50, ms of a core", 50), ("p99, ms of a core", 99)):
        table.add_row(
            name,
            *(
                f"{statistics.quantiles(t.times_ms, n=100, method='inclusive')[share - 1]:.2f}"
                for t in (ours, plain)
            ),
        )
    console.print(table)
    console.print(machine.described("sqlglot"), style="dim")


if __name__ == "__main__":
    sys.exit(main())
