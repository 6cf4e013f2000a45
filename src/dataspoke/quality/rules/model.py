"""The words of rules: what is asked of which datasets, when, and how grave it is.

A ``RuleSpec`` is what a person writes, in a file or by mutation; a ``Rule`` is one that is kept.
The fields of a spec are the keys of the file format. A value that cannot be used raises
ValueError with the fix, also through pydantic, which adds where it stands.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic import WithJsonSchema as AsJsonSchema

from dataspoke.catalogue import Field as CatalogueField
from dataspoke.quality.model import Check, Dimension, Judgement, Result, Severity
from dataspoke.urns import is_dataset

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_LONGEST_NAME = 200
_LONGEST_STATEMENT = 20_000


def parse_duration(value: object) -> object:
    """Return the timedelta that ``6h`` or ``1d12h`` means; what is no text passes as it is."""
    if not isinstance(value, str):
        return value
    parts = list(_DURATION.finditer(value))
    if not parts or "".join(part.group() for part in parts) != value:
        raise ValueError(f"{value!r} is not a duration; write it as 90m, 6h, 2d or 1d12h")
    try:
        return sum(
            (timedelta(**{_UNITS[part.group(2)]: float(part.group(1))}) for part in parts),
            timedelta(0),
        )
    except OverflowError:
        raise ValueError(f"{value!r} is too long a duration") from None


def format_duration(duration: timedelta) -> str:
    """Return the shortest text of a duration, such as ``36h`` or ``1h30m``."""
    left = duration.total_seconds()
    parts = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count:.0f}{unit}")
    if left or not parts:
        parts.append(f"{left:g}s")
    return "".join(parts)


def _text(value: object) -> object:
    # A file says `accepted_values: [1, true]`; a database compares what it has as text.
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    AsJsonSchema({"type": "string", "examples": ["90m", "6h", "2d"]}),
]
Clock = Annotated[
    time,
    PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str),
    AsJsonSchema({"type": "string", "examples": ["22:00"]}),
]
Scalar = Annotated[
    str,
    BeforeValidator(_text),
    AsJsonSchema({"type": ["string", "number", "boolean"]}),
]
Graveness = Annotated[Severity, BeforeValidator(_upper)]


class Kind(StrEnum):
    """What a rule is about; also its key in a file."""

    VOLUME = "volume"
    FRESHNESS = "freshness"
    SCHEMA = "schema"
    COLUMN = "column"
    SQL = "sql"


class Weekday(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class Statistic(StrEnum):
    """A number about a column; the fields of ``Column`` and of DataHub's profiles."""

    NULL_SHARE = "null_share"
    UNIQUE_SHARE = "unique_share"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"


class Operator(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``min`` to ``max``, both included; None leaves that side open."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("a range has no limit; give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}; exchange them")

    def __contains__(self, value: float) -> bool:
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


@dataclass(frozen=True, slots=True)
class Volume:
    """Limits of a dataset's rows, or of their change against the profile before the newest."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rows: Annotated[Range | None, Field(description="Limits of the number of rows.")] = None
    change_rows: Annotated[
        Range | None,
        Field(description="Limits of the change in rows since the profile before; a loss is < 0."),
    ] = None
    change_percent: Annotated[
        Range | None,
        Field(description="Limits of the change in percent of the rows of the profile before."),
    ] = None

    def __post_init__(self) -> None:
        _exactly_one(self, ("rows", "change_rows", "change_percent"), "a volume rule")


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a dataset must have been updated: within an interval, or since each slot of a cron.

    A slot is judged once ``grace`` has passed after it: an update must have come at the slot or
    later. The cron is read in ``time_zone``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    within: Annotated[Duration | None, Field(description="Longest time since the last update.")] = (
        None
    )
    cron: Annotated[
        str | None, Field(description="When an update is due, as five fields of cron.")
    ] = None
    grace: Annotated[
        Duration, Field(description="How late after a slot of the cron it may come.")
    ] = timedelta(0)
    time_zone: Annotated[str, Field(description="IANA time zone of the cron.")] = "UTC"

    def __post_init__(self) -> None:
        _exactly_one(self, ("within", "cron"), "a freshness rule")
        if self.within is not None and self.within <= timedelta(0):
            raise ValueError("within must be longer than nothing, for example 6h")
        if self.within is not None and self.grace:
            raise ValueError("grace belongs to cron; make within as long as it may take")
        if self.grace < timedelta(0):
            raise ValueError("grace cannot be negative")
        _zone(self.time_zone)
        if self.cron is not None:
            require_cron(self.cron)


@dataclass(frozen=True, slots=True)
class ExpectedColumn:
    """A column by name; any type where ``type`` is None."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """Which columns a dataset must have, and which changes of them are not allowed.

    Changes are sought among all schemas that were in force during ``window``: a change fails from
    the scan that first sees it until it is undone or has become the usual for that long.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    columns: Annotated[
        tuple[ExpectedColumn, ...], Field(description="Columns that must be there.")
    ] = ()
    exact: Annotated[bool, Field(description="Whether there may be no column besides.")] = False
    no_type_changes: Annotated[
        bool, Field(description="Whether any other type of a column fails.")
    ] = False
    no_breaking_changes: Annotated[
        bool, Field(description="Whether a column that is gone or has a narrower type fails.")
    ] = False
    window: Annotated[
        Duration, Field(description="How long a change fails before it is the usual.")
    ] = timedelta(days=7)

    def __post_init__(self) -> None:
        if not self.columns and not self.no_type_changes and not self.no_breaking_changes:
            raise ValueError(
                "a schema rule asks for nothing; give columns, no_type_changes: true or "
                "no_breaking_changes: true"
            )
        if self.exact and not self.columns:
            raise ValueError("exact needs columns; list all that there may be")
        names = [column.name for column in self.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"columns names {', '.join(twice)} more than once")
        if self.window <= timedelta(0):
            raise ValueError("window must be longer than nothing, for example 7d")


@dataclass(frozen=True, slots=True)
class Pattern:
    """The share of a column's values that must match a regular expression of its database."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    regex: Annotated[str, Field(min_length=1, max_length=1000)]
    min_share: Annotated[float, Field(ge=0, le=1)] = 1.0


@dataclass(frozen=True, slots=True)
class Column:
    """One expectation of one column. Shares are 0 to 1; null values count in null_share alone."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: Annotated[str, Field(min_length=1, description="The column, as DataHub names it.")]
    null_share: Annotated[Range | None, Field(description="Share of rows without value.")] = None
    unique_share: Annotated[
        Range | None, Field(description="Distinct values for each value; 1 where all differ.")
    ] = None
    min: Annotated[Range | None, Field(description="Limits of the least value.")] = None
    max: Annotated[Range | None, Field(description="Limits of the greatest value.")] = None
    mean: Annotated[Range | None, Field(description="Limits of the mean.")] = None
    accepted_values: Annotated[
        tuple[Scalar, ...], Field(max_length=1000, description="All values that there may be.")
    ] = ()
    pattern: Annotated[Pattern | None, Field(description="What the values must look like.")] = None
    connection: Annotated[
        str | None,
        Field(description="Connection to ask where profiles do not tell; else by the settings."),
    ] = None

    def __post_init__(self) -> None:
        names = [statistic.value for statistic in Statistic]
        _exactly_one(self, (*names, "accepted_values", "pattern"), "a column rule")

    @property
    def statistic(self) -> tuple[Statistic, Range] | None:
        """The statistic and its limits; None for accepted values and patterns."""
        for statistic in Statistic:
            limits = getattr(self, statistic)
            if limits is not None:
                return statistic, limits
        return None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a query must answer: no row, or one row of one number that compares like this."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    no_rows: Annotated[bool, Field(description="Whether the query must return nothing.")] = False
    operator: Annotated[
        Operator | None, Field(description="How the number compares with the threshold.")
    ] = None
    threshold: Annotated[float | None, Field(description="What it is compared with.")] = None

    def __post_init__(self) -> None:
        compares = self.operator is not None and self.threshold is not None
        alone = self.operator is None and self.threshold is None
        if not (self.no_rows and alone) and not (compares and not self.no_rows):
            raise ValueError("expect either no_rows: true, or an operator with a threshold")


@dataclass(frozen=True, slots=True)
class Sql:
    """One SELECT on a registered connection, and what it must answer."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    query: Annotated[str, Field(min_length=1, max_length=_LONGEST_STATEMENT)]
    expect: Expectation
    connection: Annotated[
        str | None, Field(description="Connection by name; else that of the dataset.")
    ] = None
    dimension: Annotated[
        Annotated[Dimension, BeforeValidator(_upper)],
        Field(description="The dimension of quality that this is about."),
    ] = Dimension.VALIDITY


Definition: TypeAlias = Volume | Freshness | Schema | Column | Sql


@dataclass(frozen=True, slots=True)
class Selector:
    """Datasets for which all that is given holds; of a list one is enough.

    Platforms, domains, tags and owners are urns or what stands behind the last colon of them: a
    name is a user's where an owner is meant. ``names`` are patterns with * and ? of the name in
    the dataset's urn.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    urns: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any((self.urns, self.platforms, self.domains, self.tags, self.owners, self.names)):
            raise ValueError("select names no dataset; for all of them write names: ['*']")
        if wrong := [urn for urn in self.urns if not is_dataset(urn)]:
            raise ValueError(
                f"{wrong[0]!r} is not a dataset urn; write it as "
                "urn:li:dataset:(urn:li:dataPlatform:PLATFORM,NAME,ENVIRONMENT)"
            )

    @property
    def only_urns(self) -> bool:
        others = (self.platforms, self.domains, self.tags, self.owners, self.names)
        return bool(self.urns) and not any(others)


@dataclass(frozen=True, slots=True)
class Mute:
    """A time in which a rule raises no alert; all that is given must hold.

    ``days`` and ``start`` to ``end`` are in ``time_zone``. An end that is not after the start is
    on the next day, and ``days`` then name the day of the start.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    days: tuple[Weekday, ...] = ()
    start: Clock | None = None
    end: Clock | None = None
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not (self.until or self.days or self.start is not None):
            raise ValueError(
                "a mute would last for ever; give until, days or hours, or disable the rule by "
                "enabled: false"
            )
        if (self.start is None) != (self.end is None):
            raise ValueError("hours need both start and end, for example 22:00 and 06:00")
        if self.since and self.until and self.since >= self.until:
            raise ValueError("since is not before until; exchange them")
        _zone(self.time_zone)

    def covers(self, at: datetime) -> bool:
        """Tell whether the mute is in force."""
        if self.since is not None and at < self.since:
            return False
        if self.until is not None and at >= self.until:
            return False
        local = at.astimezone(_zone(self.time_zone))
        day, hour = local, local.time()
        if self.start is not None and self.end is not None:
            if self.start < self.end:
                if not self.start <= hour < self.end:
                    return False
            elif hour < self.end:
                day = local - timedelta(days=1)
            elif hour < self.start:
                return False
        return not self.days or list(Weekday)[day.weekday()] in self.days


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule as a person writes it; exactly one of the five kinds is given."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: Annotated[str, Field(description="What the rule is known by; there is no second.")]
    select: Annotated[Selector, Field(description="The datasets that it is about.")]
    severity: Annotated[
        Graveness, Field(description="ERROR makes a dataset fail, WARN only warns.")
    ] = Severity.ERROR
    description: Annotated[str | None, Field(description="Why it is there.")] = None
    enabled: Annotated[bool, Field(description="Whether scans ask for it.")] = True
    schedule: Annotated[
        str | None,
        Field(description="When it is due, as five fields of cron; else with each scan."),
    ] = None
    time_zone: Annotated[str, Field(description="IANA time zone of the schedule.")] = "UTC"
    mutes: Annotated[tuple[Mute, ...], Field(description="When it raises no alert.")] = ()
    volume: Volume | None = None
    freshness: Freshness | None = None
    schema: Schema | None = None
    column: Column | None = None
    sql: Sql | None = None

    def __post_init__(self) -> None:
        if len(self.name) > _LONGEST_NAME or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} cannot be a rule's name; use small letters, digits, '.', '-' and "
                "'_', for example shop-orders-volume"
            )
        _exactly_one(self, tuple(Kind), f"rule {self.name}")
        _zone(self.time_zone)
        if self.schedule is not None:
            require_cron(self.schedule)

    @property
    def kind(self) -> Kind:
        return next(kind for kind in Kind if getattr(self, kind) is not None)

    @property
    def definition(self) -> Definition:
        found: Definition = getattr(self, self.kind)
        return found

    @property
    def dimension(self) -> Dimension:
        """The dimension of quality that the rule is about."""
        definition = self.definition
        if isinstance(definition, Sql):
            return definition.dimension
        if isinstance(definition, Column):
            if definition.null_share is not None:
                return Dimension.COMPLETENESS
            if definition.unique_share is not None:
                return Dimension.UNIQUENESS
            return Dimension.VALIDITY
        return {
            Kind.VOLUME: Dimension.VOLUME,
            Kind.FRESHNESS: Dimension.FRESHNESS,
            Kind.SCHEMA: Dimension.CONSISTENCY,
        }[self.kind]

    @property
    def names_connection(self) -> bool:
        """Whether the rule itself says where a query runs, or which."""
        return self.sql is not None or (
            self.column is not None and self.column.connection is not None
        )

    def muted(self, at: datetime) -> bool:
        """Tell whether the rule raises no alert at this time."""
        return any(mute.covers(at) for mute in self.mutes)

    def due(self, last: datetime, at: datetime) -> bool:
        """Tell whether the rule is to be asked at ``at``, having been asked at ``last``.

        With a schedule it is where a slot has passed since.
        """
        if self.schedule is None:
            return True
        return last_slot(self.schedule, self.time_zone, at) > last


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is kept. ``version`` rises with every change; who changed it are urns.

    ``source`` names the set of files that it is managed by, None where it is by mutations.
    """

    id: UUID
    spec: RuleSpec
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    source: str | None = None

    @property
    def check(self) -> Check:
        return Check(rule=self.id)


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The columns of a dataset as they were from ``seen_at`` on, name and native type of each."""

    urn: str
    seen_at: datetime
    columns: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, urn: str, fields: tuple[CatalogueField, ...], at: datetime) -> "SchemaVersion":
        return cls(urn, at, tuple(sorted((column_name(f.path), f.native_type) for f in fields)))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The newest result of a rule for a dataset.

    ``fresh`` is False where the rule was not due, and the result is the one before. ``continues``
    tells that it fails as the result before did, so that it is the same fault. ``muted`` ones are
    kept as any other and open no alert.
    """

    rule: Rule
    result: Result
    fresh: bool = True
    continues: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a rule would have said: of each dataset its judgements, oldest first.

    ``complete`` is False where the rule selects more datasets than were tried.
    """

    judgements: tuple[tuple[str, tuple[Judgement, ...]], ...]
    complete: bool


class Action(StrEnum):
    """What applying a file does to a rule."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Change:
    """One rule before and after files are applied; None where it is not there."""

    action: Action
    name: str
    before: RuleSpec | None
    after: RuleSpec | None


@dataclass(frozen=True, slots=True)
class RulePage:
    """Rules by name, with one opaque cursor each; ``has_next`` tells that more follow."""

    rules: tuple[Rule, ...]
    cursors: tuple[str, ...] = field(default=())
    has_next: bool = False


def plan(
    kept: tuple[Rule, ...], wanted: tuple[RuleSpec, ...], source: str, *, prune: bool
) -> tuple[Change, ...]:
    """Return what has to change so that ``wanted`` are kept, by name.

    A rule that is as wanted and managed by ``source`` already is Action.NONE. With ``prune`` what
    ``source`` manages and is not wanted is deleted; what others manage never is.
    """
    known = {rule.spec.name: rule for rule in kept}
    changes = []
    for spec in wanted:
        rule = known.get(spec.name)
        if rule is None:
            changes.append(Change(Action.CREATE, spec.name, None, spec))
        else:
            same = rule.spec == spec and rule.source == source
            action = Action.NONE if same else Action.UPDATE
            changes.append(Change(action, spec.name, rule.spec, spec))
    names = {spec.name for spec in wanted}
    if prune:
        changes += [
            Change(Action.DELETE, rule.spec.name, rule.spec, None)
            for rule in kept
            if rule.source == source and rule.spec.name not in names
        ]
    return tuple(sorted(changes, key=lambda change: change.name))


def column_name(path: str) -> str:
    """Return a column's name without the types that DataHub's newer field paths carry."""
    return ".".join(part for part in _parts(path) if part)


def last_slot(cron: str, time_zone: str, at: datetime) -> datetime:
    """Return the newest slot of a cron that is not after ``at``, in UTC."""
    # The library gives what lies strictly before.
    moment = (at + timedelta(seconds=1)).astimezone(_zone(time_zone))
    return next(CronSim(cron, moment.replace(microsecond=0), reverse=True)).astimezone(UTC)


def require_cron(cron: str) -> None:
    """Raise ValueError unless it is five fields of cron that name some time."""
    try:
        if len(cron.split()) != 5:
            raise CronSimError("it has not five fields")
        next(CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        reason = str(error) or "no time ever matches"
        raise ValueError(
            f"{cron!r} is no cron ({reason}); write it as '0 6 * * *' for daily at 06:00"
        ) from None


def _parts(path: str) -> list[str]:
    return re.sub(r"\[[^\]]*\]\.?", "", path).split(".")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; use an IANA name, as Europe/Berlin") from None


def _exactly_one(of: object, names: tuple[str, ...], what: str) -> None:
    given = [str(name) for name in names if getattr(of, name) not in (None, ())]
    if len(given) != 1:
        found = f"has {' and '.join(given)}" if given else "has none"
        raise ValueError(f"{what} takes exactly one of {', '.join(names)}, and {found}")
