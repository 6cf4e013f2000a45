"""The words of the verifier: purpose, code, place, issue, fix, alternative, verdict."""

from dataclasses import dataclass
from enum import StrEnum


class Purpose(StrEnum):
    """What comes of the data: other datasets, something that people read, or a trained model."""

    PIPELINE = "pipeline"
    REPORT = "report"
    TRAINING = "training"


class IssueSeverity(StrEnum):
    """BLOCK must not be run, WARN is for somebody to decide, INFO is worth to know."""

    INFO = "INFO"
    WARN = "WARN"
    BLOCK = "BLOCK"


class Verdict(StrEnum):
    """The worst of all issues; what only informs leaves it OK."""

    OK = "OK"
    WARN = "WARN"
    BLOCK = "BLOCK"


class Code(StrEnum):
    """What an issue is about. How severe each is for which purpose stands in ``policy``."""

    # The text.
    SYNTAX = "SYNTAX"
    UNREADABLE = "UNREADABLE"
    OTHER_DIALECT = "OTHER_DIALECT"
    NOT_CHECKED = "NOT_CHECKED"
    TEMPLATE = "TEMPLATE"
    # Its names.
    UNKNOWN_TABLE = "UNKNOWN_TABLE"
    UNKNOWN_ALIAS = "UNKNOWN_ALIAS"
    UNKNOWN_COLUMN = "UNKNOWN_COLUMN"
    OUTER_COLUMN = "OUTER_COLUMN"
    AMBIGUOUS_TABLE = "AMBIGUOUS_TABLE"
    AMBIGUOUS_COLUMN = "AMBIGUOUS_COLUMN"
    ALIAS_NOT_VISIBLE = "ALIAS_NOT_VISIBLE"
    QUOTED_AS_TEXT = "QUOTED_AS_TEXT"
    CASE_DIFFERS = "CASE_DIFFERS"
    UNKNOWN_SHAPE = "UNKNOWN_SHAPE"
    # What it does with them.
    COLUMN_COUNT = "COLUMN_COUNT"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    UNSEEN_JOIN_KEY = "UNSEEN_JOIN_KEY"
    # Its inputs.
    REMOVED_INPUT = "REMOVED_INPUT"
    DEPRECATED_INPUT = "DEPRECATED_INPUT"
    STALE_INPUT = "STALE_INPUT"
    FAILING_INPUT = "FAILING_INPUT"
    SUSPECT_INPUT = "SUSPECT_INPUT"
    PERSONAL_DATA = "PERSONAL_DATA"
    # Its outputs.
    CYCLE = "CYCLE"
    READS_ITS_OUTPUT = "READS_ITS_OUTPUT"
    BREAKING_CHANGE = "BREAKING_CHANGE"
    SCHEMA_CHANGE = "SCHEMA_CHANGE"
    OUTPUT_NAME = "OUTPUT_NAME"
    OUTPUT_WITHOUT_OWNER = "OUTPUT_WITHOUT_OWNER"
    OUTPUT_WITHOUT_DESCRIPTION = "OUTPUT_WITHOUT_DESCRIPTION"
    NEW_OUTPUT = "NEW_OUTPUT"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in the SQL: ``line`` and ``column`` count from 1; ``start`` and ``end`` are offsets in
    characters, the latter of what follows."""

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fix:
    """What mends an issue: a sentence, and the text to put at ``place``, None where it is not one
    replacement."""

    message: str
    place: Place | None = None
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong. ``evidence`` is what the catalogue says; ``urn`` and ``column`` are the
    dataset and the path of the column that it is about; None where there is no such thing."""

    code: Code
    severity: IssueSeverity
    message: str
    evidence: str | None = None
    place: Place | None = None
    fix: Fix | None = None
    urn: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """A healthy dataset that may stand in for ``instead_of``: the urn of a bad input, or the name
    in the SQL that is none. ``why`` says what makes it one; ``missing`` are the columns used that
    it lacks."""

    urn: str
    instead_of: str
    why: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContextVerdict:
    """What came of a check: issues with the worst first, and the datasets read and written.

    ``outputs`` holds those that exist. ``dialect`` is the one that the SQL was read in, None where
    there was no SQL.
    """

    verdict: Verdict
    issues: tuple[Issue, ...]
    alternatives: tuple[Alternative, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dialect: str | None


@dataclass(frozen=True, slots=True)
class ProposedColumn:
    """A column to be made; ``type`` is a native type of the platform, None where it is open."""

    name: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class ProposedOutput:
    """A dataset to be made or changed: its name, as qualified as need be, and all its columns."""

    name: str
    columns: tuple[ProposedColumn, ...]


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What to check: SQL, datasets to be read, a proposed output, or several of them.

    ``dialect`` is sqlglot's name, None for that of the platform; ``platform`` is an urn, None for
    all. The defaults complete names in the SQL that are not qualified.
    """

    sql: str | None = None
    dialect: str | None = None
    urns: tuple[str, ...] = ()
    output: ProposedOutput | None = None
    purpose: Purpose = Purpose.PIPELINE
    platform: str | None = None
    default_database: str | None = None
    default_schema: str | None = None
