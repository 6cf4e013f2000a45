"""Relations of columns, and what a script does with datasets: plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dataspoke.knowledge.verifier.families import Family
from dataspoke.knowledge.verifier.model import Code, Fix, Place
from dataspoke.knowledge.verifier.resolution import TableName


class Origin(NamedTuple):
    """A column of a dataset, by its path in the catalogue."""

    urn: str
    path: str


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression yields: the columns that its values come from, and its family.

    ``column`` is set where it is one column as it is.
    """

    origins: frozenset[Origin] = frozenset()
    family: Family | None = None
    column: Origin | None = None


NOTHING = Value()


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of a relation; ``name`` is empty where it has none of its own."""

    name: str
    value: Value = NOTHING
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """Columns in order; ``open`` where there may be others. ``urn`` is of a dataset as it is."""

    columns: tuple[OutputColumn, ...] = ()
    open: bool = False
    urn: str | None = None
    index: Mapping[str, tuple[OutputColumn, ...]] = field(
        init=False, default_factory=dict, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        index: dict[str, tuple[OutputColumn, ...]] = {}
        for column in self.columns:
            if column.name:
                key = column.name.casefold()
                index[key] = (*index.get(key, ()), column)
        object.__setattr__(self, "index", index)

    def renamed(self, names: Sequence[str]) -> "Relation":
        """Return it with other names for its first columns, as an alias with a list gives them."""
        if not names:
            return self
        if self.open or len(names) > len(self.columns):
            return Relation(tuple(OutputColumn(name) for name in names), open=False)
        columns = [
            replace(column, name=names[position]) if position < len(names) else column
            for position, column in enumerate(self.columns)
        ]
        return Relation(tuple(columns), urn=None)


OPEN = Relation(open=True)


def either(one: Value, other: Value) -> Value:
    return Value(
        one.origins | other.origins,
        one.family if one.family is other.family else None,
        one.column,
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a name or its use, before the purpose is looked at."""

    code: Code
    message: str
    evidence: str | None = None
    place: Place | None = None
    fix: Fix | None = None
    urn: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True)
class JoinUse:
    """Two columns that are set equal."""

    left: Origin
    right: Origin
    place: Place | None

    def turned(self) -> "JoinUse":
        return JoinUse(self.right, self.left, self.place)


@dataclass(frozen=True, slots=True)
class Output:
    """What a statement writes. ``columns`` are those it has afterwards, None where it keeps what it
    has or nobody can tell; ``filled`` are the values written; ``reads`` the datasets read for it.

    ``created`` is its last component as the database would keep it. ``dropped`` are columns that it
    loses; it is ``gone`` where it is removed as a whole.
    """

    name: TableName
    created: str
    urn: str | None
    place: Place | None
    kind: str
    columns: tuple[OutputColumn, ...] | None = None
    filled: tuple[OutputColumn, ...] = ()
    reads: frozenset[str] = frozenset()
    dropped: tuple[str, ...] = ()
    gone: bool = False
    temporary: bool = False


@dataclass(slots=True)
class Analysis:
    """What a script does. ``unknown`` are names of tables that are no dataset, with their places
    and the columns asked of them."""

    inputs: dict[str, Place | None] = field(default_factory=dict)
    used: dict[Origin, Place | None] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    results: list[OutputColumn] = field(default_factory=list)
    joins: list[JoinUse] = field(default_factory=list)
    findings: dict[Finding, None] = field(default_factory=dict)
    unknown: dict[TableName, Place | None] = field(default_factory=dict)


@dataclass(slots=True)
class Scope:
    """What names can mean at one place.

    ``outer`` is the query around it, for correlation. ``aliases`` are names of the select list, and
    ``blind`` is the clause that the database does not see them in, None where it does. ``merged``
    are columns that a join made one. ``reads`` are the datasets that its values come from.
    """

    ctes: Mapping[str, Relation]
    outer: "Scope | None" = None
    sources: list[tuple[str, Relation]] = field(default_factory=list)
    aliases: dict[str, Value] = field(default_factory=dict)
    blind: str | None = None
    merged: dict[str, Value] = field(default_factory=dict)
    reads: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        return any(relation.open for _, relation in self.sources)

    def named(self, name: str) -> list[Relation]:
        key = name.casefold()
        return [relation for alias, relation in self.sources if alias.casefold() == key]
