"""From the statements that people run to how tables are joined and filtered. Pure.

A statement is read once, whoever it is about; what it calls its tables is found out afterwards.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dataspoke.catalogue import Dataset, Field, Query
from dataspoke.knowledge.dialects import identifier
from dataspoke.knowledge.model import Join, SampleFilter
from dataspoke.knowledge.personal import PERSONAL_WORDS, personal_columns
from dataspoke.knowledge.statements import PLACEHOLDER, Column, Condition, Statement, read_statement
from dataspoke.urns import dataset_name, is_dataset, platform_of

# Joins and filters that are kept of one dataset, and values that are kept of one filter.
MAX_JOINS = MAX_FILTERS = 20
_MAX_VALUES = 5
# The commonest statements about a dataset: reading one takes a millisecond or more.
_MAX_STATEMENTS = 50
# Columns that identify somebody or something: a value of theirs is an example of nothing.
_IDENTIFYING = re.compile(
    r"(^|_)(id|uuid|guid|key|email|e_?mail|phone|mobile|fax|iban|ssn|name|address|street|ip)$"
)

# Returns the urn of the dataset that a platform's statement names by these parts, None for none.
Resolve = Callable[[Sequence[str], str], str | None]


@dataclass(frozen=True, slots=True)
class SeenJoin:
    """Columns of a dataset that a statement sets equal to as many columns of another, in order."""

    dataset: str
    columns: tuple[str, ...]
    other: str
    other_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeenFilter:
    """A condition on one column of a dataset.

    ``shape`` has ``?`` for every value, ``predicate`` has those that may be kept. ``values`` are
    the texts of one that compares for equality, as SQL; empty for any other.
    """

    dataset: str
    column: str
    shape: str
    predicate: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """How a dataset is joined and filtered, the most frequent first."""

    joins: tuple[Join, ...] = ()
    filters: tuple[SampleFilter, ...] = ()


def table_names(
    datasets: Mapping[str, Dataset], queries: Mapping[str, Sequence[Query]]
) -> frozenset[str]:
    """Return the last components of the names of all tables that these datasets' queries read."""
    return frozenset(
        parts[-1].casefold()
        for urn, dataset in datasets.items()
        for query in queries.get(urn, ())[:_MAX_STATEMENTS]
        for parts in read_statement(query.statement, dataset.platform).tables
    )


def resolver(tables: Mapping[str, Sequence[str]], home: str) -> Resolve:
    """Return how a statement about the dataset ``home`` finds the tables that it names.

    ``tables`` are the datasets by the last component of their name, in lower case. A name stands
    for the datasets of the platform whose names end with it, in any case; of several for the one
    that lies nearest to ``home``, and for none where two are as near.
    """
    surroundings = _surroundings(home)

    def resolve(parts: Sequence[str], platform: str) -> str | None:
        wanted = [part.casefold() for part in parts]
        found = [
            urn
            for urn in tables.get(wanted[-1], ())
            if platform_of(urn) == platform
            and dataset_name(urn).casefold().split(".")[-len(wanted) :] == wanted
        ]
        ranked = sorted((_shared(_surroundings(urn), surroundings), urn) for urn in found)
        if len(ranked) > 1 and ranked[-1][0] == ranked[-2][0]:
            return None
        return ranked[-1][1] if ranked else None

    return resolve


def _surroundings(urn: str) -> tuple[str, ...]:
    """Return the environment and the path of a dataset."""
    if not is_dataset(urn):
        return ()
    return (urn.rpartition(",")[2], *dataset_name(urn).casefold().split(".")[:-1])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    same = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        same += 1
    return same


def referred(
    datasets: Mapping[str, Dataset],
    queries: Mapping[str, Sequence[Query]],
    tables: Mapping[str, Sequence[str]],
) -> frozenset[str]:
    """Return the other datasets that statements about these name."""
    found: set[str] = set()
    for urn, dataset in datasets.items():
        resolve = resolver(tables, urn)
        for query in queries.get(urn, ())[:_MAX_STATEMENTS]:
            for parts in read_statement(query.statement, dataset.platform).tables:
                found.add(resolve(parts, dataset.platform) or urn)
    return frozenset(found - datasets.keys())


def observed(
    datasets: Mapping[str, Dataset],
    queries: Mapping[str, Sequence[Query]],
    tables: Mapping[str, Sequence[str]],
    others: Mapping[str, Dataset],
    personal_words: frozenset[str] = PERSONAL_WORDS,
) -> Mapping[str, Observed]:
    """Return how each dataset is joined and filtered, by its queries and its foreign keys.

    ``tables`` are those that ``table_names`` asks for, the datasets among them or not, and
    ``others`` are the datasets of ``referred``: without one its columns are spelled as statements
    do. What is declared only counts 0. ``personal_words`` mark the labels of personal data.
    """
    named = {key: list(urns) for key, urns in tables.items()}
    for urn in datasets:
        key = dataset_name(urn).rpartition(".")[2].casefold()
        if urn not in named.setdefault(key, []):
            named[key].append(urn)
    known = {**others, **datasets}
    return {
        urn: _observed_of(
            dataset, queries.get(urn, ()), resolver(named, urn), known, personal_words
        )
        for urn, dataset in datasets.items()
    }


def _observed_of(
    dataset: Dataset,
    queries: Sequence[Query],
    resolve: Resolve,
    known: Mapping[str, Dataset],
    personal_words: frozenset[str],
) -> Observed:
    joins: Counter[Join] = Counter()
    filters: dict[tuple[str, str], _Filter] = {}
    for query in queries[:_MAX_STATEMENTS]:
        seen_joins, seen_filters = joins_and_filters(
            query.statement, dataset.platform, resolve, known, personal_words
        )
        # A statement that joins two tables twice in one way has done so once.
        for join in {each for seen in seen_joins for each in _sides(seen, dataset.urn)}:
            joins[join] += query.count
        for seen in dict.fromkeys(seen_filters):
            if seen.dataset == dataset.urn:
                merged = filters.setdefault((seen.column, seen.shape), _Filter())
                merged.add(seen, query.count)
    for key in dataset.foreign_keys:
        if key.columns and len(key.columns) == len(key.foreign_columns):
            here, there = _in_order(zip(key.columns, key.foreign_columns, strict=True))
            joins[Join(here, key.dataset, there)] += 0
    counted = [
        Join(join.columns, join.other, join.other_columns, count) for join, count in joins.items()
    ]
    samples = [
        SampleFilter(column, merged.predicate(dataset.platform), merged.count)
        for (column, _), merged in filters.items()
    ]
    return Observed(
        tuple(sorted(counted, key=lambda j: (-j.count, j.other, j.columns))[:MAX_JOINS]),
        tuple(sorted(samples, key=lambda f: (-f.count, f.column, f.predicate))[:MAX_FILTERS]),
    )


def _sides(seen: SeenJoin, urn: str) -> Iterator[Join]:
    if seen.dataset == urn:
        yield Join(seen.columns, seen.other, seen.other_columns)
    if seen.other == urn and seen.dataset != urn:
        here, there = _in_order(zip(seen.other_columns, seen.columns, strict=True))
        yield Join(here, seen.dataset, there)


def _in_order(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of both sides, in the order of the first."""
    ordered = sorted(pairs)
    return tuple(here for here, _ in ordered), tuple(there for _, there in ordered)


@dataclass(slots=True)
class _Filter:
    """Filters of one shape on one column, with the values that they had."""

    count: int = 0
    predicates: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)

    def add(self, seen: SeenFilter, count: int) -> None:
        self.count += count
        self.predicates[seen.predicate, seen.column] += count
        for value in seen.values:
            self.values[value] += count

    def predicate(self, platform: str) -> str:
        """Return the commonest predicate; one for all values where they are compared with =."""
        ((predicate, column), _), *more = self.predicates.most_common()
        if not more or not self.values:
            return predicate
        commonest = sorted(value for value, _ in self.values.most_common(_MAX_VALUES))
        return f"{identifier(Field(column).name, platform)} IN ({', '.join(commonest)})"


def joins_and_filters(
    statement: str,
    platform: str,
    resolve: Resolve,
    datasets: Mapping[str, Dataset],
    personal_words: frozenset[str] = PERSONAL_WORDS,
) -> tuple[Sequence[SeenJoin], Sequence[SeenFilter]]:
    """Return which datasets a statement joins on which columns, and the conditions that it sets.

    Aliases, CTEs and subqueries are followed down to tables; joins are equalities that must hold,
    in ON, USING, WHERE, or as IN over a subquery. Columns are spelled as ``datasets`` have them.
    Of what cannot be read nothing is returned. Values of personal columns, of columns that
    identify, and those that look as if they tell of somebody are ``?``.
    """
    read = read_statement(statement, platform)
    urns = [resolve(parts, platform) for parts in read.tables]
    columns = _Columns(urns, datasets, personal_words)
    pairs: dict[tuple[int, int, int], set[tuple[str, str]]] = {}
    for scope, one, other in read.equalities:
        left, right = columns.find(one), columns.find(other)
        if left is None or right is None or left[0] == right[0]:
            continue
        (first, here), (second, there) = sorted([left, right])
        pairs.setdefault((scope, first, second), set()).add((here, there))
    joins = []
    for (_, first, second), equal in pairs.items():
        dataset, joined = urns[first], urns[second]
        if dataset is not None and joined is not None:
            own, others = _in_order(equal)
            joins.append(SeenJoin(dataset, own, joined, others))
    return joins, list(_filters(read, columns, platform))


def _filters(
    read: Statement,
    columns: "_Columns",
    platform: str,
) -> Iterator[SeenFilter]:
    for condition in read.conditions:
        found = columns.find(condition.column)
        urn = None if found is None else columns.urns[found[0]]
        if found is None or urn is None:
            continue
        kept = condition.harmless and columns.may_show(urn, found[1], condition)
        name = identifier(Field(found[1]).name, platform)
        yield SeenFilter(
            urn,
            found[1],
            condition.shape.replace(PLACEHOLDER, name),
            (condition.text if kept else condition.shape).replace(PLACEHOLDER, name),
            condition.values if kept else (),
        )


@dataclass(slots=True)
class _Columns:
    """Columns of the tables of a statement as their datasets spell them."""

    urns: Sequence[str | None]
    datasets: Mapping[str, Dataset]
    personal_words: frozenset[str]
    _paths: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _personal: dict[str, frozenset[str]] = field(default_factory=dict)

    def find(self, column: Column) -> tuple[int, str] | None:
        """Return the table that a column is of and its path.

        None where that is not known, or it may be of several tables.
        """
        found = []
        for table in column.tables:
            urn = self.urns[table]
            if urn is None:
                return None
            if urn not in self.datasets:
                if len(column.tables) > 1:
                    return None
                return table, column.name
            if path := self._spelled(urn).get(column.name.casefold()):
                found.append((table, path))
        return found[0] if len(found) == 1 else None

    def may_show(self, urn: str, path: str, condition: Condition) -> bool:
        """Tell whether the values that a column is compared with may be kept as examples."""
        dataset = self.datasets.get(urn)
        if dataset is None:
            return False
        if urn not in self._personal:
            self._personal[urn] = personal_columns(dataset, self.personal_words)
        if path in self._personal[urn]:
            return False
        if condition.compares_order:
            return True
        referring = {column for key in dataset.foreign_keys for column in key.columns}
        identifying = path in dataset.primary_keys or path in referring
        return not identifying and _IDENTIFYING.search(path.lower()) is None

    def _spelled(self, urn: str) -> Mapping[str, str]:
        if urn not in self._paths:
            fields = self.datasets[urn].fields
            self._paths[urn] = {each.name.casefold(): each.path for each in fields}
        return self._paths[urn]
