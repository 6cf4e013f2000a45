"""The words of the context that a model writes SQL from: table, column, join, warning. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from dataspoke.knowledge.model import SampleFilter


class WarningKind(StrEnum):
    """What is wrong with a table, the worst first."""

    DEPRECATED = "deprecated"
    OPEN_ALERT = "open_alert"
    FAILING = "failing"
    STALE = "stale"
    PERSONAL_DATA = "personal_data"
    UNDOCUMENTED = "undocumented"


@dataclass(frozen=True, slots=True)
class ContextWarning:
    """What somebody who uses a table must know. ``replacement`` is the urn of a better one."""

    kind: WarningKind
    text: str
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class ContextColumn:
    """A column: ``name`` as SQL writes it, ``type`` as the platform does, None where unknown.

    ``description`` is one line, None where there is none or no room for it.
    """

    path: str
    name: str
    type: str | None
    description: str | None
    key: bool
    personal: bool


@dataclass(frozen=True, slots=True)
class ContextTable:
    """A table: ``name`` as SQL writes it. ``bridging`` is one that only joins others.

    ``left_out`` counts the columns that there was no room for.
    """

    urn: str
    name: str
    description: str | None
    columns: tuple[ContextColumn, ...]
    left_out: int
    filters: tuple[SampleFilter, ...]
    warnings: tuple[ContextWarning, ...]
    bridging: bool


@dataclass(frozen=True, slots=True)
class ContextJoin:
    """Columns of one table, by path, to set equal to those of another, in order.

    ``count`` tells in how many queries it was seen, 0 where it is a declared foreign key only.
    """

    left: str
    left_columns: tuple[str, ...]
    right: str
    right_columns: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class SqlContext:
    """What a model needs to answer a question in SQL, the most relevant table first.

    ``text`` is all of it, to be put into a prompt: at most as many ``tokens`` as were asked for,
    by a careful estimate. ``platform`` is the urn of the one platform that the tables are on, None
    where nothing was found; ``dialect`` is sqlglot's name of its SQL, None where that is not known.
    ``left_out`` are the urns of tables that there was no room for. ``notice`` says why the answer
    is less than it could be.
    """

    platform: str | None
    dialect: str | None
    tables: tuple[ContextTable, ...]
    joins: tuple[ContextJoin, ...]
    left_out: tuple[str, ...]
    text: str
    tokens: int
    notice: str | None
