"""What the hub says about a dataset, as plain values that judging code can read.

Pure: nothing here knows how it was fetched. Texts that the hub lacks are None; collections that
it lacks are empty. Times are timezone-aware UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Field:
    """One column. ``path`` is DataHub's fieldPath; ``description`` prefers a human's edit."""

    path: str
    native_type: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's metadata. ``platform``, ``owners``, ``tags``, ``terms`` and ``domain`` are urns.

    ``names`` maps the urns of owners, tags, terms and the domain to what people call them; a urn
    the hub has no name for is absent from it. ``removed`` marks a soft-deleted dataset.
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


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile run. Counts are None where the profiler did not report them."""

    time: datetime
    row_count: int | None = None
    column_count: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One reported change of a dataset's content, at ``time`` (its lastUpdatedTimestamp)."""

    time: datetime
    kind: str
    affected_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """Direct neighbours of a dataset, as dataset urns."""

    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()
