"""What the hub says about a dataset, as plain values that judging code can read.

Pure: nothing here knows how it was fetched. Texts that the hub lacks are None; collections that
it lacks are empty. Times are timezone-aware UTC.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

# DataHub's version 2 field paths carry types: [version=2.0].[type=struct].address.[type=string].zip
_PATH_TYPE = re.compile(r"\[[^\]]*\]\.?")


@dataclass(frozen=True, slots=True)
class Field:
    """One column. ``path`` is DataHub's fieldPath; ``description`` prefers a human's edit.

    ``type`` is DataHub's own word, such as STRING, NUMBER or TIME; ``native_type`` is the source's.
    """

    path: str
    native_type: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    type: str | None = None
    nullable: bool = False

    @property
    def name(self) -> str:
        """The path as people write it, without the types that DataHub puts into some."""
        return _PATH_TYPE.sub("", self.path)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns, by path, whose values stand in as many columns of another dataset, in order."""

    columns: tuple[str, ...]
    dataset: str
    foreign_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's metadata. ``platform``, ``owners``, ``tags``, ``terms`` and ``domain`` are urns.

    ``names`` maps the urns of owners, tags, terms and the domain to what people call them; a urn
    the hub has no name for is absent from it. ``owner_types`` maps each owner to the urns of the
    ownership types that they own it by. ``primary_keys`` are paths of columns. ``removed`` marks a
    soft-deleted dataset. ``deprecation_note`` is what people said when they deprecated it, and
    ``replacement`` the urn of the dataset to use instead; both are None while it is not deprecated.
    """

    urn: str
    name: str
    platform: str
    description: str | None = None
    fields: tuple[Field, ...] = ()
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    domain: str | None = None
    deprecated: bool = False
    removed: bool = False
    last_updated: datetime | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    owner_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    primary_keys: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    deprecation_note: str | None = None
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What a profile run saw of one column; None is what the profiler did not report.

    Shares are 0 to 1: ``null_share`` of all rows, ``unique_share`` is the number of distinct values
    by that of the rows that have one. ``min`` and ``max`` are None where the values are no numbers.
    ``values`` are examples and ``frequencies`` counts of distinct values, both as text: of the
    newest profile only, and often of the commonest values alone.
    """

    path: str
    null_count: int | None = None
    null_share: float | None = None
    distinct_count: int | None = None
    unique_share: float | None = None
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    median: float | None = None
    stdev: float | None = None
    values: tuple[str, ...] = ()
    frequencies: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile run. Counts are None where the profiler did not report them."""

    time: datetime
    row_count: int | None = None
    column_count: int | None = None
    size_bytes: int | None = None
    columns: tuple[ColumnProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One reported change of a dataset's content, at ``time`` (its lastUpdatedTimestamp)."""

    time: datetime
    kind: str
    affected_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """How a dataset was used on the day (UTC) that begins at ``time``.

    ``queries`` and ``users`` are None where they were not counted.
    """

    time: datetime
    queries: int | None = None
    users: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A statement about a dataset, in the dialect of its platform.

    ``count`` is on how many days it was seen, 1 or more, as hubs do not hand out how often it ran;
    ``last_at`` is when it was seen last.
    """

    statement: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Lineage:
    """Direct neighbours of a dataset, as dataset urns."""

    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """The datasets that lineage leads to, nearest first, through whatever lies between.

    ``steps`` maps their urns to the edges on the shortest way there; a job counts as any node
    does. ``complete`` is false where more lie beyond.
    """

    steps: Mapping[str, int] = field(default_factory=dict)
    complete: bool = True
