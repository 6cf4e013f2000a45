"""From tables and a question to a text of limited length that a model writes SQL from. Pure.

Everything that could be said has a priority; what is said is as much of it as there is room for.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dataspoke.catalogue import Dataset, Field
from dataspoke.knowledge.dialects import dialect_of, identifier
from dataspoke.knowledge.lexical import stems
from dataspoke.knowledge.model import SampleFilter, Snapshot
from dataspoke.knowledge.sql_context import (
    ContextColumn,
    ContextJoin,
    ContextTable,
    ContextWarning,
    SqlContext,
    WarningKind,
)
from dataspoke.urns import dataset_name, platform_of, table_key

# No tokeniser that was tried makes more tokens of such text (MiniLM: 2.9 to 3.6 characters each).
CHARACTERS_PER_TOKEN = 2.8
_TABLE_TEXT, _COLUMN_TEXT, _WARNING_TEXT = 160, 90, 200
_LINE = 100
# What a key is called where nobody declares any.
_KEY = re.compile(r"(?i)(^|_)(id|key|code|no|number)$|(?<=[a-z])(Id|ID|Key|Code|No|Number)$")
_MAX_FILTERS = 3
_MAX_NAMED = 5
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


@dataclass(frozen=True, slots=True)
class Relevant:
    """A table that may be part of the answer. ``score`` is 0 to 1, within one question.

    ``personal`` are the paths of its columns that hold personal data.
    """

    snapshot: Snapshot
    score: float
    warnings: tuple[ContextWarning, ...] = ()
    bridging: bool = False
    personal: frozenset[str] = frozenset()


def context_of(
    question: str,
    tables: Sequence[Relevant],
    joins: Sequence[ContextJoin],
    token_budget: int,
    notice: str | None = None,
) -> SqlContext:
    """Return what fits into the budget of all that is known of these tables of one platform.

    Keys and columns that share words with the question come before others, and these before
    descriptions and filters; the least relevant table is left out first.
    """
    ordered = sorted(tables, key=lambda table: (-table.score, table.snapshot.dataset.urn))
    items = sorted(_items(question, ordered, joins), key=lambda item: -item.priority)
    fits, too_many = 0, len(items) + 1
    # A longer list makes a longer text.
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if tokens_of(_chosen(ordered, items[:middle], notice).text) <= token_budget:
            fits = middle
        else:
            too_many = middle
    return _chosen(ordered, items[:fits], notice)


def tokens_of(text: str) -> int:
    """Return how many tokens a text has, by a careful estimate."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


# --- what could be said ---


@dataclass(frozen=True, slots=True)
class _Item:
    """Something that could be said of a table; one of these, and the table alone where none is."""

    priority: float
    urn: str
    column: str | None = None
    description: bool = False
    filter: SampleFilter | None = None
    warning: ContextWarning | None = None
    join: ContextJoin | None = None


def _items(
    question: str, tables: Sequence[Relevant], joins: Sequence[ContextJoin]
) -> Iterator[_Item]:
    asked = frozenset(stems(question))
    scores = {table.snapshot.dataset.urn: table.score for table in tables}
    joined: dict[str, set[str]] = {}
    for join in joins:
        if join.left in scores and join.right in scores:
            joined.setdefault(join.left, set()).update(join.left_columns)
            joined.setdefault(join.right, set()).update(join.right_columns)
            priority = 0.97 * min(scores[join.left], scores[join.right])
            yield _Item(priority, join.left, join=join)
    presumed = {_presumed_key(table.snapshot.dataset) for table in tables}
    for table in tables:
        dataset, score = table.snapshot.dataset, table.score
        urn = dataset.urn
        yield _Item(score, urn)
        if dataset.description:
            yield _Item(0.72 * score, urn, description=True)
        for warning in table.warnings:
            # That it is not described can be seen.
            worth = 0.3 if warning.kind is WarningKind.UNDOCUMENTED else 0.96
            yield _Item(worth * score, urn, warning=warning)
        keys = {*dataset.primary_keys, *joined.get(urn, ())}
        matches = {each.path: _match(asked, each) for each in dataset.fields}
        for place, column in enumerate(dataset.fields):
            match = matches[column.path]
            worth = 0.75 - 0.1 * place / len(dataset.fields)
            if column.path in keys:
                worth = 0.98
            elif match:
                worth = 0.7 + 0.27 * match
            if column.name.casefold() in presumed:
                worth = max(worth, 0.9 if place == 0 else 0.8)
            yield _Item(worth * score, urn, column=column.path)
            if column.description:
                worth = 0.65 if match else 0.4
                yield _Item(worth * score, urn, column=column.path, description=True)
        for sample in table.snapshot.filters[:_MAX_FILTERS]:
            worth = 0.68 if matches.get(sample.column) else 0.5
            yield _Item(worth * score, urn, filter=sample)


def _presumed_key(dataset: Dataset) -> str | None:
    """Return the name of the column that most likely is the key where none is declared."""
    first = dataset.fields[0].name if dataset.fields and not dataset.primary_keys else ""
    return first.casefold() if _KEY.search(first) else None


def _match(asked: frozenset[str], column: Field) -> float:
    """Return how far the words of a column are those of the question, 0 to 1."""
    named = frozenset(stems(column.name))
    shared = len(asked & named) / len(named) if named else 0.0
    said = asked.intersection(stems(column.description or ""))
    return max(shared, min(0.5, 0.2 * len(said)))


# --- what is said ---


@dataclass(slots=True)
class _Said:
    described: bool = False
    columns: set[str] = field(default_factory=set)
    described_columns: set[str] = field(default_factory=set)
    filters: list[SampleFilter] = field(default_factory=list)
    warnings: list[ContextWarning] = field(default_factory=list)


def _chosen(tables: Sequence[Relevant], items: Iterable[_Item], notice: str | None) -> SqlContext:
    said: dict[str, _Said] = {}
    joins: list[ContextJoin] = []
    for item in items:
        about = said.setdefault(item.urn, _Said())
        if item.join is not None:
            joins.append(item.join)
        elif item.filter is not None:
            about.filters.append(item.filter)
        elif item.warning is not None:
            about.warnings.append(item.warning)
        elif item.column is None:
            about.described = about.described or item.description
        elif item.description:
            about.described_columns.add(item.column)
        else:
            about.columns.add(item.column)
    # The name of a table without a column of it is of no use.
    for table in tables:
        dataset = table.snapshot.dataset
        if dataset.fields and dataset.urn in said and not said[dataset.urn].columns:
            del said[dataset.urn]
    shown = [table for table in tables if table.snapshot.dataset.urn in said]
    platform = platform_of(shown[0].snapshot.dataset.urn) if shown else None
    dialect = dialect_of(platform) if platform else None
    chosen = tuple(_table(table, said[table.snapshot.dataset.urn]) for table in shown)
    left_out = tuple(
        table.snapshot.dataset.urn for table in tables if table.snapshot.dataset.urn not in said
    )
    kept = tuple(join for join in joins if join.left in said and join.right in said)
    text = _text(chosen, kept, left_out, platform, dialect)
    return SqlContext(platform, dialect, chosen, kept, left_out, text, tokens_of(text), notice)


def _table(table: Relevant, said: _Said) -> ContextTable:
    dataset = table.snapshot.dataset
    columns = tuple(
        ContextColumn(
            path=column.path,
            name=identifier(column.name, dataset.platform),
            type=column.native_type or column.type,
            description=_line(column.description, _COLUMN_TEXT)
            if column.path in said.described_columns
            else None,
            key=column.path in dataset.primary_keys,
            personal=column.path in table.personal,
        )
        for column in dataset.fields
        if column.path in said.columns
    )
    return ContextTable(
        urn=dataset.urn,
        name=table_sql(dataset),
        description=_line(dataset.description, _TABLE_TEXT) if said.described else None,
        columns=columns,
        left_out=len(dataset.fields) - len(columns),
        filters=tuple(said.filters),
        warnings=tuple(said.warnings),
        bridging=table.bridging,
    )


def table_sql(dataset: Dataset) -> str:
    """Return a table's name as a statement writes it, in quotes where it needs them."""
    parts = dataset_name(dataset.urn).split(".")
    return ".".join(identifier(part, dataset.platform) for part in parts)


def _line(text: str | None, most: int) -> str | None:
    """Return the first sentences of a text that fit into one line, or as much of it as does."""
    if not text or not text.strip():
        return None
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    whole = ""
    for sentence in _SENTENCE_END.split(line):
        longer = f"{whole} {sentence}".strip()
        if len(longer) > most:
            break
        whole = longer
    return whole or line[: most - 1].rpartition(" ")[0] + "…"


# --- the text ---


def _text(
    tables: Sequence[ContextTable],
    joins: Sequence[ContextJoin],
    left_out: Sequence[str],
    platform: str | None,
    dialect: str | None,
) -> str:
    if platform is None:
        return ""
    lines = [f"-- {dialect or platform.rpartition(':')[2]} SQL"]
    names = _short_names(tables)
    for table in tables:
        lines += _ddl(table)
    if joins:
        lines.append("-- Joins, and how often they were seen")
        lines += [_join(join, names, platform) for join in joins]
    if filtered := [table for table in tables if table.filters]:
        lines.append("-- Conditions seen in queries")
        lines += [
            f"-- {names[table.urn]}: {'; '.join(each.predicate for each in table.filters)}"
            for table in filtered
        ]
    if left_out:
        named = ", ".join(dataset_name(urn) for urn in left_out[:_MAX_NAMED])
        more = len(left_out) - _MAX_NAMED
        lines.append(f"-- Not shown: {named}{f' and {more} more' if more > 0 else ''}")
    return "\n".join(lines)


def _short_names(tables: Sequence[ContextTable]) -> Mapping[str, str]:
    """Return what to call each table beside its DDL: the end of its name, if no other has it."""
    last = {table.urn: table_key(table.urn) for table in tables}
    shared = Counter(last.values())
    return {
        table.urn: table.name.rpartition(".")[2] if shared[last[table.urn]] == 1 else table.name
        for table in tables
    }


def _ddl(table: ContextTable) -> Iterator[str]:
    if table.description:
        yield f"-- {table.description}"
    for warning in table.warnings:
        yield f"-- WARNING: {_line(warning.text, _WARNING_TEXT)}"
    yield f"CREATE TABLE {table.name} ("
    yield from _rows(table)
    if table.left_out:
        yield f"-- {table.left_out} more column{'s' if table.left_out > 1 else ''}"
    yield ");"


def _rows(table: ContextTable) -> Iterator[str]:
    """Yield the columns: several in a line, and one alone where there is a remark on it."""
    keys = [column.name for column in table.columns if column.key]
    # Where all of it is personal, the warning says so.
    some = not all(column.personal for column in table.columns)
    rows = [(" ".join(filter(None, (c.name, c.type))), _remark(c, some)) for c in table.columns]
    if keys:
        rows.append((f"PRIMARY KEY ({', '.join(keys)})", ""))
    line = ""
    for number, (row, remark) in enumerate(rows):
        piece = row + ("," if number < len(rows) - 1 else "")
        if line and (remark or len(line) + len(piece) > _LINE):
            yield line
            line = ""
        line = f"{line} {piece}".strip()
        if remark:
            yield f"{line} -- {remark}"
            line = ""
    if line:
        yield line


def _remark(column: ContextColumn, tell_personal: bool) -> str:
    personal = "Personal data." if column.personal and tell_personal else None
    return " ".join(filter(None, (column.description, personal)))


def _join(join: ContextJoin, names: Mapping[str, str], platform: str) -> str:
    pairs = zip(join.left_columns, join.right_columns, strict=True)
    equal = " AND ".join(
        f"{names[join.left]}.{identifier(Field(left).name, platform)}"
        f" = {names[join.right]}.{identifier(Field(right).name, platform)}"
        for left, right in pairs
    )
    return f"-- {equal} ({join.count or 'foreign key'})"
