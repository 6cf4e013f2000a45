"""Rules: what must hold of which datasets."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import strawberry
from strawberry.types.unset import UNSET

from dataspoke.quality.model import Dimension, Judgement, Result, Severity, Status
from dataspoke.quality.rules import model
from dataspoke.quality.rules.files import write_rules
from dataspoke.quality.rules.model import Action, Kind
from dataspoke.resolvers import rules as resolve
from dataspoke.schema.connection import After, Connection, First, edges, page_info
from dataspoke.schema.enum import describe
from dataspoke.schema.failure import (
    ConflictFailure,
    ForbiddenFailure,
    InvalidInputFailure,
    NotFoundFailure,
)
from dataspoke.schema.info import Info
from dataspoke.schema.reference import DatasetReference, dataset

if TYPE_CHECKING:
    from dataspoke.schema.quality import QualityResult

describe(
    Kind,
    name="QualityRuleKind",
    description="What a rule is about.",
    values={
        "VOLUME": "How many rows there are, or how that changed.",
        "FRESHNESS": "When the dataset was last updated.",
        "SCHEMA": "Which columns there are and of what types.",
        "COLUMN": "What is in a column.",
        "SQL": "What a query answers.",
    },
)
describe(
    Action,
    name="QualityRuleAction",
    description="What applying rules does to one of them.",
    values={
        "CREATE": "It is new.",
        "UPDATE": "It is changed, or managed by this source from now on.",
        "DELETE": "It is removed: the source managed it and holds it no more.",
        "NONE": "It is as wanted.",
    },
)

_DURATION = "as 90m, 6h, 2d or 1d12h"
_ZONE = "IANA time zone"
_MIN, _MAX = "The least allowed; null for no limit.", "The most allowed; null for no limit."
_URNS = "Urns of datasets."
_PLATFORMS = "Platforms, by urn or name."
_DOMAINS = "Domains, by urn or id."
_TAGS = "Tags, by urn or name."
_OWNERS = "Owners, by urn; a name is a user's."
_NAMES = "Patterns of the name in the urn, with * and ?."
_DAYS = "Days of the week, from mon to sun; every day where empty."
_START, _END = "Begin of the hours of each day, as 22:00.", "End of the hours, as 06:00."
_SINCE, _UNTIL = "Not before this time.", "Not from this time on."
_ROWS = "Limits of the number of rows."
_CHANGE_ROWS = "Limits of the change in rows since the profile before; a loss is negative."
_CHANGE_PERCENT = "Limits of the change in percent of the rows of the profile before."
_WITHIN = f"Longest time since the last update, {_DURATION}."
_CRON = "When an update is due, as five fields of cron."
_GRACE = f"How late after a slot of the cron it may come, {_DURATION}."
_COLUMNS = "Columns that must be there."
_EXACT = "Whether there may be no column besides."
_NO_TYPE_CHANGES = "Whether any other type of a column fails."
_NO_BREAKING_CHANGES = "Whether a column that is gone or has a narrower type fails."
_WINDOW = f"How long a change fails before it is the usual, {_DURATION}."
_COLUMN_NAME = "Name of the column."
_COLUMN_TYPE = "Native type; null for any."
_NULL_SHARE = "Limits of the share of rows without value, 0 to 1."
_UNIQUE_SHARE = "Limits of the distinct values for each value; 1 where all differ."
_LEAST, _GREATEST, _MEAN = (
    f"Limits of the {which}." for which in ("least value", "greatest value", "mean")
)
_ACCEPTED = "All values that there may be, as text; at most 1,000."
_PATTERN = "What the values must look like."
_REGEX = "A regular expression as the database knows it, found anywhere in the value."
_MIN_SHARE = "Share of the values that must match, 0 to 1."
_ASKED = "Connection that is asked; null for that of the dataset, by the settings."
_QUERY = "One SELECT that only reads."
_NO_ROWS = "Whether the query must return nothing."
_OPERATOR = "How the one number that it returns compares: one of = != < <= > >=."
_THRESHOLD = "What the number is compared with."
_ABOUT = "What the query tells about."
_NAME = "What the rule is known by: small letters, digits, '.', '-' and '_'."
_SEVERITY = "ERROR makes a dataset fail, WARN only warns."
_WHY = "Why it is there; null where nobody said."
_ENABLED = "Whether scans ask for it."
_SCHEDULE = "When it is due, as five fields of cron; null for each scan."
_MUTES = "When it opens no alert."
_SELECT = "The datasets that it is about."


@strawberry.type(description="Numbers from one to another, both included.")
class QualityRange:
    min: float | None = strawberry.field(description=_MIN)
    max: float | None = strawberry.field(description=_MAX)

    @classmethod
    def of(cls, limits: model.Range | None) -> "QualityRange | None":
        return None if limits is None else cls(min=limits.min, max=limits.max)


@strawberry.type(description="Datasets for which all that is given holds; of a list one is enough.")
class QualityRuleSelector:
    urns: list[str] = strawberry.field(description=_URNS)
    platforms: list[str] = strawberry.field(description=_PLATFORMS)
    domains: list[str] = strawberry.field(description=_DOMAINS)
    tags: list[str] = strawberry.field(description=_TAGS)
    owners: list[str] = strawberry.field(description=_OWNERS)
    names: list[str] = strawberry.field(description=_NAMES)

    @classmethod
    def of(cls, select: model.Selector) -> "QualityRuleSelector":
        return cls(
            urns=list(select.urns),
            platforms=list(select.platforms),
            domains=list(select.domains),
            tags=list(select.tags),
            owners=list(select.owners),
            names=list(select.names),
        )


@strawberry.type(description="A time in which a rule opens no alert; all that is given holds.")
class QualityRuleMute:
    since: datetime | None = strawberry.field(description=_SINCE)
    until: datetime | None = strawberry.field(description=_UNTIL)
    days: list[str] = strawberry.field(description=_DAYS)
    start: str | None = strawberry.field(description=_START)
    end: str | None = strawberry.field(description=_END)
    time_zone: str = strawberry.field(description=f"{_ZONE} of days and hours.")

    @classmethod
    def of(cls, mute: model.Mute) -> "QualityRuleMute":
        return cls(
            since=mute.since,
            until=mute.until,
            days=[str(day) for day in mute.days],
            start=None if mute.start is None else f"{mute.start:%H:%M}",
            end=None if mute.end is None else f"{mute.end:%H:%M}",
            time_zone=mute.time_zone,
        )


@strawberry.type(description="Limits of a dataset's rows. Exactly one is given.")
class QualityVolumeRule:
    rows: QualityRange | None = strawberry.field(description=_ROWS)
    change_rows: QualityRange | None = strawberry.field(description=_CHANGE_ROWS)
    change_percent: QualityRange | None = strawberry.field(description=_CHANGE_PERCENT)


@strawberry.type(description="When a dataset must have been updated: in an interval, or by cron.")
class QualityFreshnessRule:
    within: str | None = strawberry.field(description=_WITHIN)
    cron: str | None = strawberry.field(description=_CRON)
    grace: str = strawberry.field(description=_GRACE)
    time_zone: str = strawberry.field(description=f"{_ZONE} of the cron.")


@strawberry.type(description="A column that must be there.")
class QualityExpectedColumn:
    name: str = strawberry.field(description=_COLUMN_NAME)
    type: str | None = strawberry.field(description=_COLUMN_TYPE)


@strawberry.type(description="Which columns there must be, and which changes are not allowed.")
class QualitySchemaRule:
    columns: list[QualityExpectedColumn] = strawberry.field(description=_COLUMNS)
    exact: bool = strawberry.field(description=_EXACT)
    no_type_changes: bool = strawberry.field(description=_NO_TYPE_CHANGES)
    no_breaking_changes: bool = strawberry.field(description=_NO_BREAKING_CHANGES)
    window: str = strawberry.field(description=_WINDOW)


@strawberry.type(description="A regular expression and how many values must match it.")
class QualityPattern:
    regex: str = strawberry.field(description=_REGEX)
    min_share: float = strawberry.field(description=_MIN_SHARE)


@strawberry.type(description="One expectation of one column.")
class QualityColumnRule:
    name: str = strawberry.field(description=_COLUMN_NAME)
    null_share: QualityRange | None = strawberry.field(description=_NULL_SHARE)
    unique_share: QualityRange | None = strawberry.field(description=_UNIQUE_SHARE)
    min: QualityRange | None = strawberry.field(description=_LEAST)
    max: QualityRange | None = strawberry.field(description=_GREATEST)
    mean: QualityRange | None = strawberry.field(description=_MEAN)
    accepted_values: list[str] = strawberry.field(description=_ACCEPTED)
    pattern: QualityPattern | None = strawberry.field(description=_PATTERN)
    connection: str | None = strawberry.field(description=_ASKED)


@strawberry.type(description="What a query must answer: nothing, or one row with one number.")
class QualityExpectation:
    no_rows: bool = strawberry.field(description=_NO_ROWS)
    operator: str | None = strawberry.field(description=_OPERATOR)
    threshold: float | None = strawberry.field(description=_THRESHOLD)


@strawberry.type(description="A query and what it must answer.")
class QualitySqlRule:
    query: str = strawberry.field(description=_QUERY)
    expect: QualityExpectation = strawberry.field(description="What it must answer.")
    connection: str | None = strawberry.field(description=_ASKED)
    dimension: Dimension = strawberry.field(description=_ABOUT)


QualityRuleDefinition: TypeAlias = Annotated[
    QualityVolumeRule
    | QualityFreshnessRule
    | QualitySchemaRule
    | QualityColumnRule
    | QualitySqlRule,
    strawberry.union("QualityRuleDefinition", description="What a rule asks for, by its kind."),
]


def _definition(definition: model.Definition) -> Any:
    match definition:
        case model.Volume():
            return QualityVolumeRule(
                rows=QualityRange.of(definition.rows),
                change_rows=QualityRange.of(definition.change_rows),
                change_percent=QualityRange.of(definition.change_percent),
            )
        case model.Freshness():
            within = definition.within
            return QualityFreshnessRule(
                within=None if within is None else model.format_duration(within),
                cron=definition.cron,
                grace=model.format_duration(definition.grace),
                time_zone=definition.time_zone,
            )
        case model.Schema():
            return QualitySchemaRule(
                columns=[
                    QualityExpectedColumn(name=c.name, type=c.type) for c in definition.columns
                ],
                exact=definition.exact,
                no_type_changes=definition.no_type_changes,
                no_breaking_changes=definition.no_breaking_changes,
                window=model.format_duration(definition.window),
            )
        case model.Column():
            pattern = definition.pattern
            return QualityColumnRule(
                name=definition.name,
                null_share=QualityRange.of(definition.null_share),
                unique_share=QualityRange.of(definition.unique_share),
                min=QualityRange.of(definition.min),
                max=QualityRange.of(definition.max),
                mean=QualityRange.of(definition.mean),
                accepted_values=list(definition.accepted_values),
                pattern=None
                if pattern is None
                else QualityPattern(regex=pattern.regex, min_share=pattern.min_share),
                connection=definition.connection,
            )
        case model.Sql():
            expect = definition.expect
            return QualitySqlRule(
                query=definition.query,
                expect=QualityExpectation(
                    no_rows=expect.no_rows,
                    operator=None if expect.operator is None else str(expect.operator),
                    threshold=expect.threshold,
                ),
                connection=definition.connection,
                dimension=definition.dimension,
            )


@strawberry.type(description="What a rule said of a dataset.")
class QualityRuleResult:
    found: strawberry.Private[Result]

    @strawberry.field(description="The dataset.")
    def dataset(self) -> DatasetReference | None:
        return dataset(self.found.urn)

    @strawberry.field(description="What it said.")
    def result(
        self,
    ) -> Annotated["QualityResult", strawberry.lazy("dataspoke.schema.quality")]:
        # A result of a dataset has its rules, and a rule has its results.
        from dataspoke.schema.quality import QualityResult

        return QualityResult.of(self.found)


@strawberry.type(description="What must hold of datasets.")
class QualityRule:
    rule: strawberry.Private[model.Rule]

    id: strawberry.ID = strawberry.field(description="Identifies the rule, also in checks.")
    name: str = strawberry.field(description="What it is known by; there is no second.")
    description: str | None = strawberry.field(description=_WHY)
    kind: Kind = strawberry.field(description="What it is about.")
    dimension: Dimension = strawberry.field(description="What it tells about.")
    severity: Severity = strawberry.field(description=_SEVERITY)
    enabled: bool = strawberry.field(description=_ENABLED)
    select: QualityRuleSelector = strawberry.field(
        description="The datasets that it is about, of those named those the caller may see."
    )
    schedule: str | None = strawberry.field(description=_SCHEDULE)
    time_zone: str = strawberry.field(description=f"{_ZONE} of the schedule.")
    mutes: list[QualityRuleMute] = strawberry.field(description=_MUTES)
    definition: QualityRuleDefinition = strawberry.field(description="What it asks for.")
    source: str | None = strawberry.field(
        description="The set of files that manages it; null where mutations do."
    )
    version: int = strawberry.field(description="Rises with each change.")
    created_at: datetime = strawberry.field(description="When it was created.")
    created_by: str = strawberry.field(description="DataHub's urn of the user who created it.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")
    updated_by: str = strawberry.field(description="DataHub's urn of the user who changed it.")

    @strawberry.field(description="The rule as it stands in a file for `dataspoke rules apply`.")
    def yaml(self) -> str:
        return write_rules([self.rule.spec])

    @strawberry.field(
        description="Its newest results, newest first, on datasets whose profile the caller may "
        "view."
    )
    async def results(self, info: Info, first: First = 20) -> list[QualityRuleResult] | None:
        found = await resolve.results(info.context, self.rule, first)
        return [QualityRuleResult(found=result) for result in found]

    @classmethod
    def of(cls, rule: model.Rule) -> "QualityRule":
        spec = rule.spec
        return cls(
            rule=rule,
            id=strawberry.ID(str(rule.id)),
            name=spec.name,
            description=spec.description,
            kind=spec.kind,
            dimension=spec.dimension,
            severity=spec.severity,
            enabled=spec.enabled,
            select=QualityRuleSelector.of(spec.select),
            schedule=spec.schedule,
            time_zone=spec.time_zone,
            mutes=[QualityRuleMute.of(mute) for mute in spec.mutes],
            definition=_definition(spec.definition),
            source=rule.source,
            version=rule.version,
            created_at=rule.created_at,
            created_by=rule.created_by,
            updated_at=rule.updated_at,
            updated_by=rule.updated_by,
        )


@strawberry.input(description="Numbers from one to another, both included.")
class QualityRangeInput:
    min: float | None = strawberry.field(default=None, description=_MIN)
    max: float | None = strawberry.field(default=None, description=_MAX)


@strawberry.input(
    description="Datasets for which all that is given holds; of a list one is enough."
)
class QualityRuleSelectorInput:
    urns: list[str] = strawberry.field(default_factory=list, description=_URNS)
    platforms: list[str] = strawberry.field(default_factory=list, description=_PLATFORMS)
    domains: list[str] = strawberry.field(default_factory=list, description=_DOMAINS)
    tags: list[str] = strawberry.field(default_factory=list, description=_TAGS)
    owners: list[str] = strawberry.field(default_factory=list, description=_OWNERS)
    names: list[str] = strawberry.field(
        default_factory=list, description=f"{_NAMES} For all datasets: *."
    )


@strawberry.input(description="A time in which a rule opens no alert; all that is given holds.")
class QualityRuleMuteInput:
    since: datetime | None = strawberry.field(default=None, description=_SINCE)
    until: datetime | None = strawberry.field(default=None, description=_UNTIL)
    days: list[str] = strawberry.field(default_factory=list, description=_DAYS)
    start: str | None = strawberry.field(default=None, description=_START)
    end: str | None = strawberry.field(default=None, description=_END)
    time_zone: str = strawberry.field(default="UTC", description=f"{_ZONE} of days and hours.")


@strawberry.input(description="Limits of a dataset's rows; give exactly one.")
class QualityVolumeRuleInput:
    rows: QualityRangeInput | None = strawberry.field(default=None, description=_ROWS)
    change_rows: QualityRangeInput | None = strawberry.field(default=None, description=_CHANGE_ROWS)
    change_percent: QualityRangeInput | None = strawberry.field(
        default=None, description=_CHANGE_PERCENT
    )


@strawberry.input(
    description="When a dataset must have been updated; give exactly one of within and cron."
)
class QualityFreshnessRuleInput:
    within: str | None = strawberry.field(default=None, description=_WITHIN)
    cron: str | None = strawberry.field(default=None, description=_CRON)
    grace: str | None = strawberry.field(default=None, description=_GRACE)
    time_zone: str = strawberry.field(default="UTC", description=f"{_ZONE} of the cron.")


@strawberry.input(description="A column that must be there.")
class QualityExpectedColumnInput:
    name: str = strawberry.field(description=_COLUMN_NAME)
    type: str | None = strawberry.field(default=None, description=_COLUMN_TYPE)


@strawberry.input(description="Which columns there must be, and which changes are not allowed.")
class QualitySchemaRuleInput:
    columns: list[QualityExpectedColumnInput] = strawberry.field(
        default_factory=list, description=_COLUMNS
    )
    exact: bool = strawberry.field(default=False, description=_EXACT)
    no_type_changes: bool = strawberry.field(default=False, description=_NO_TYPE_CHANGES)
    no_breaking_changes: bool = strawberry.field(default=False, description=_NO_BREAKING_CHANGES)
    window: str | None = strawberry.field(default=None, description=f"{_WINDOW} null for 7d.")


@strawberry.input(description="A regular expression and how many values must match it.")
class QualityPatternInput:
    regex: str = strawberry.field(description=_REGEX)
    min_share: float = strawberry.field(default=1.0, description=_MIN_SHARE)


@strawberry.input(description="One expectation of one column; give exactly one beside the name.")
class QualityColumnRuleInput:
    name: str = strawberry.field(description=_COLUMN_NAME)
    null_share: QualityRangeInput | None = strawberry.field(default=None, description=_NULL_SHARE)
    unique_share: QualityRangeInput | None = strawberry.field(
        default=None, description=_UNIQUE_SHARE
    )
    min: QualityRangeInput | None = strawberry.field(default=None, description=_LEAST)
    max: QualityRangeInput | None = strawberry.field(default=None, description=_GREATEST)
    mean: QualityRangeInput | None = strawberry.field(default=None, description=_MEAN)
    accepted_values: list[str] = strawberry.field(default_factory=list, description=_ACCEPTED)
    pattern: QualityPatternInput | None = strawberry.field(default=None, description=_PATTERN)
    connection: str | None = strawberry.field(default=None, description=_ASKED)


@strawberry.input(description="What a query must answer: no_rows, or an operator with a threshold.")
class QualityExpectationInput:
    no_rows: bool = strawberry.field(default=False, description=_NO_ROWS)
    operator: str | None = strawberry.field(default=None, description=_OPERATOR)
    threshold: float | None = strawberry.field(default=None, description=_THRESHOLD)


@strawberry.input(description="A query and what it must answer.")
class QualitySqlRuleInput:
    query: str = strawberry.field(description=_QUERY)
    expect: QualityExpectationInput = strawberry.field(description="What it must answer.")
    connection: str | None = strawberry.field(default=None, description=_ASKED)
    dimension: Dimension = strawberry.field(default=Dimension.VALIDITY, description=_ABOUT)


@strawberry.input(one_of=True, description="What a rule asks for: exactly one kind.")
class QualityRuleDefinitionInput:
    volume: QualityVolumeRuleInput | None = strawberry.field(
        default=UNSET, description="How many rows there must be."
    )
    freshness: QualityFreshnessRuleInput | None = strawberry.field(
        default=UNSET, description="When the dataset must have been updated."
    )
    schema: QualitySchemaRuleInput | None = strawberry.field(
        default=UNSET, description="Which columns there must be."
    )
    column: QualityColumnRuleInput | None = strawberry.field(
        default=UNSET, description="What must be in a column."
    )
    sql: QualitySqlRuleInput | None = strawberry.field(
        default=UNSET, description="What a query must answer."
    )


@strawberry.input(description="What must hold of which datasets.")
class QualityRuleInput:
    name: str = strawberry.field(description=_NAME)
    select: QualityRuleSelectorInput = strawberry.field(description=_SELECT)
    definition: QualityRuleDefinitionInput = strawberry.field(description="What it asks for.")
    severity: Severity = strawberry.field(default=Severity.ERROR, description=_SEVERITY)
    description: str | None = strawberry.field(default=None, description=_WHY)
    enabled: bool = strawberry.field(default=True, description=_ENABLED)
    schedule: str | None = strawberry.field(default=None, description=_SCHEDULE)
    time_zone: str = strawberry.field(default="UTC", description=f"{_ZONE} of the schedule.")
    mutes: list[QualityRuleMuteInput] = strawberry.field(default_factory=list, description=_MUTES)

    def as_document(self) -> Mapping[str, Any]:
        """Return the rule as it stands in a file."""
        document: dict[str, Any] = _given(strawberry.asdict(self))
        definition: dict[str, Any] = document.pop("definition")
        return {**document, **definition}


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        items = {key: _given(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not None}
    if isinstance(value, list):
        return [_given(item) for item in value]
    return None if value is UNSET else value


@strawberry.type(description="What a rule would have said of a dataset at one time.")
class QualityRuleTrial:
    time: datetime = strawberry.field(description="When that was.")
    status: Status = strawberry.field(description="The verdict.")
    value: float = strawberry.field(description="What was observed, in the rule's unit.")
    detail: str | None = strawberry.field(description="What it found, in a sentence.")

    @classmethod
    def of(cls, judgement: Judgement) -> "QualityRuleTrial":
        return cls(
            time=judgement.point.time,
            status=judgement.status,
            value=judgement.point.value,
            detail=judgement.detail,
        )


@strawberry.type(description="What a rule would have said of a dataset.")
class QualityRuleTrialOfDataset:
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")
    failing: int = strawberry.field(description="How often it would have failed or warned.")
    trials: list[QualityRuleTrial] = strawberry.field(description="Each time, oldest first.")


@strawberry.type(description="What a rule would have said, had it been there.")
class QualityRuleDryRun:
    datasets: list[QualityRuleTrialOfDataset] = strawberry.field(
        description="Up to twenty datasets that it selects and the caller may see."
    )
    complete: bool = strawberry.field(description="Whether those are all that it selects.")

    @classmethod
    def of(cls, run: model.DryRun) -> "QualityRuleDryRun":
        failing = (Status.FAIL, Status.WARN)
        return cls(
            datasets=[
                QualityRuleTrialOfDataset(
                    dataset=dataset(urn),
                    failing=sum(judgement.status in failing for judgement in judgements),
                    trials=[QualityRuleTrial.of(judgement) for judgement in judgements],
                )
                for urn, judgements in run.judgements
            ],
            complete=run.complete,
        )


@strawberry.type(description="One rule before and after rules are applied.")
class QualityRuleChange:
    name: str = strawberry.field(description="The rule.")
    action: Action = strawberry.field(description="What is done to it.")
    before: str | None = strawberry.field(
        description="The rule as YAML as it was; null where it is new."
    )
    after: str | None = strawberry.field(
        description="The rule as YAML as it is to be; null where it is deleted."
    )

    @classmethod
    def of(cls, change: model.Change) -> "QualityRuleChange":
        return cls(
            name=change.name,
            action=change.action,
            before=None if change.before is None else write_rules([change.before]),
            after=None if change.after is None else write_rules([change.after]),
        )


@strawberry.type(description="The rule is kept; the next scan asks it.")
class QualityRuleSaved:
    rule: QualityRule = strawberry.field(description="The rule as it is now.")


@strawberry.type(description="The rule is gone, and its alerts are closed.")
class QualityRuleDeleted:
    rule: QualityRule = strawberry.field(description="The rule as it was.")


@strawberry.type(description="All rules are as wanted, or would be.")
class QualityRulesApplied:
    changes: list[QualityRuleChange] = strawberry.field(description="Each rule, by name.")


SaveQualityRuleResult: TypeAlias = Annotated[
    QualityRuleSaved | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("SaveQualityRuleResult", description="What came of keeping a rule."),
]
DeleteQualityRuleResult: TypeAlias = Annotated[
    QualityRuleDeleted | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("DeleteQualityRuleResult", description="What came of removing a rule."),
]
ApplyQualityRulesResult: TypeAlias = Annotated[
    QualityRulesApplied
    | ForbiddenFailure
    | NotFoundFailure
    | ConflictFailure
    | InvalidInputFailure,
    strawberry.union("ApplyQualityRulesResult", description="What came of applying rules."),
]

_Id: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="The rule's id.")]
_Wanted: TypeAlias = Annotated[QualityRuleInput, strawberry.argument(description="The rule.")]


@strawberry.type
class RuleQuery:
    @strawberry.field(
        description="Rules by name: all for those who may manage DataHub, else those that name "
        "datasets whose profile the caller may view."
    )
    async def quality_rules(
        self,
        info: Info,
        kinds: Annotated[
            list[Kind] | None, strawberry.argument(description="Kinds to keep; null for all.")
        ] = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[QualityRule] | None:
        page = await resolve.listed(info.context, kinds, first, after)
        return Connection(
            edges=edges(page.rules, page.cursors, QualityRule.of),
            page_info=page_info(page.cursors, has_next=page.has_next, after=after),
        )

    @strawberry.field(description="A rule; null where the caller may not see it.")
    async def quality_rule(
        self,
        info: Info,
        id: _Id,  # noqa: A002
    ) -> QualityRule | None:
        found = await resolve.rule(info.context, id)
        return None if found is None else QualityRule.of(found)

    @strawberry.field(
        description="What a rule would have said of the past: each profile at its time, freshness "
        "once a day, a schema where it changed; a query sees the present alone. Needs the same "
        "rights as creating the rule."
    )
    async def dry_run_quality_rule(
        self,
        info: Info,
        rule: _Wanted,
        days: Annotated[int, strawberry.argument(description="How far back, 1 to 365.")] = 30,
    ) -> QualityRuleDryRun | None:
        return QualityRuleDryRun.of(await resolve.dry_run(info.context, rule.as_document(), days))


@strawberry.type
class RuleMutation:
    @strawberry.mutation(
        description="Keeps a new rule. The caller must be allowed to edit the assertions of every "
        "dataset that it names; to manage DataHub where it selects by anything else, or names a "
        "connection."
    )
    async def create_quality_rule(self, info: Info, rule: _Wanted) -> SaveQualityRuleResult | None:
        saved = await resolve.create(info.context, rule.as_document())
        return QualityRuleSaved(rule=QualityRule.of(saved))

    @strawberry.mutation(
        description="Replaces a rule. The caller must be allowed to create both what it was and "
        "what it is to be. Alerts on datasets that it no longer selects are closed."
    )
    async def update_quality_rule(
        self,
        info: Info,
        id: _Id,  # noqa: A002
        version: Annotated[int, strawberry.argument(description="The version that was read.")],
        rule: _Wanted,
    ) -> SaveQualityRuleResult | None:
        saved = await resolve.update(info.context, id, version, rule.as_document())
        return QualityRuleSaved(rule=QualityRule.of(saved))

    @strawberry.mutation(
        description="Removes a rule and closes its alerts; its results stay. The caller must be "
        "allowed to create it."
    )
    async def delete_quality_rule(
        self,
        info: Info,
        id: _Id,  # noqa: A002
    ) -> DeleteQualityRuleResult | None:
        gone = await resolve.delete(info.context, id)
        return QualityRuleDeleted(rule=QualityRule.of(gone))

    @strawberry.mutation(
        description="Makes rules be as wanted, all or none; they are the same by name. The caller "
        "must be allowed to create each that is named or deleted."
    )
    async def apply_quality_rules(
        self,
        info: Info,
        rules: Annotated[
            list[QualityRuleInput], strawberry.argument(description="The rules, at most 2,000.")
        ],
        source: Annotated[
            str, strawberry.argument(description="Names the set of files that they stand in.")
        ],
        prune: Annotated[
            bool,
            strawberry.argument(description="Delete what the source manages and holds no more."),
        ] = False,
        dry_run: Annotated[
            bool, strawberry.argument(description="Only tell what would change.")
        ] = False,
    ) -> ApplyQualityRulesResult | None:
        documents = [rule.as_document() for rule in rules]
        changes = await resolve.apply(info.context, documents, source, prune=prune, dry_run=dry_run)
        return QualityRulesApplied(changes=[QualityRuleChange.of(change) for change in changes])
