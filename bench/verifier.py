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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlglot
from rich.console import Console
from rich.table import Table
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from bench import machine
from bench.questions import Question, dialect_of, read_questions, read_tables
from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.verifier.checking import by_name, conclude, find, read_request
from dataspoke.knowledge.verifier.judging import Rules, Surveyed
from dataspoke.knowledge.verifier.model import ContextVerdict, Verdict, VerifyRequest
from dataspoke.knowledge.verifier.relations import Analysis, Origin
from dataspoke.urns import dataset_name

_MARK = "_renamed"
_RULES = Rules(frozenset())

Snapshots = Mapping[str, Snapshot]


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
    dialect = chosen.dialect or dialect_of(chosen.questions)
    tables = read_tables(chosen.tables, dialect)
    questions = [q for q in read_questions(chosen.questions, tables) if q.sql]
    snapshots = {table.urn: Snapshot(table) for table in tables}
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
