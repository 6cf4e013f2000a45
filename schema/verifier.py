"""The verifier: SQL, datasets or a proposed output, judged before they are used."""

from typing import Annotated

import strawberry

from dataspoke.knowledge.verifier import model
from dataspoke.knowledge.verifier.model import Code, IssueSeverity, Purpose, Verdict
from dataspoke.resolvers import verifier as resolve
from dataspoke.schema.enum import describe
from dataspoke.schema.info import Info
from dataspoke.schema.reference import DatasetReference, dataset

describe(
    Purpose,
    name="ContextPurpose",
    description="What comes of the data; issues weigh differently for each.",
    values={
        "PIPELINE": "Other datasets.",
        "REPORT": "Something that people read.",
        "TRAINING": "A trained model.",
    },
)
describe(
    Verdict,
    name="ContextVerdictStatus",
    description="Whether to go on: the worst of all issues.",
    values={
        "OK": "Nothing speaks against it.",
        "WARN": "Somebody should look at the issues first.",
        "BLOCK": "It would fail, break something, or must not be.",
    },
)
describe(
    IssueSeverity,
    name="ContextIssueSeverity",
    description="How severe an issue is for the purpose.",
    values={
        "INFO": "Good to know; leaves the verdict as it is.",
        "WARN": "For somebody to decide.",
        "BLOCK": "Must be mended first.",
    },
)
describe(
    Code,
    name="ContextIssueCode",
    description="What an issue is about.",
    values={
        "SYNTAX": "It is no SQL.",
        "UNREADABLE": "It cannot be read here, and may be right all the same.",
        "OTHER_DIALECT": "Only another dialect than the one given reads it.",
        "NOT_CHECKED": "A statement that is not looked into.",
        "TEMPLATE": "A template whose value is not known here.",
        "UNKNOWN_TABLE": "There is no such dataset, or the caller may not know that there is.",
        "UNKNOWN_ALIAS": "A column is taken from what is no table of the query.",
        "UNKNOWN_COLUMN": "The tables have no such column.",
        "OUTER_COLUMN": "A subquery yields a column of the query around it, by mistake.",
        "AMBIGUOUS_TABLE": "Several datasets may be meant, or one outside the defaults is.",
        "AMBIGUOUS_COLUMN": "Several tables of the query have the column.",
        "ALIAS_NOT_VISIBLE": "A name of the select list is used where the dialect has none.",
        "QUOTED_AS_TEXT": "What looks like a column is read as a text.",
        "CASE_DIFFERS": "A quoted name is in other case than in the catalogue.",
        "UNKNOWN_SHAPE": "The columns of something are not known here, and are not checked.",
        "COLUMN_COUNT": "Queries or targets have different numbers of columns.",
        "TYPE_MISMATCH": "Values of different kinds are compared.",
        "UNSEEN_JOIN_KEY": "Two datasets are joined by columns that they never were joined by.",
        "REMOVED_INPUT": "An input is deleted.",
        "DEPRECATED_INPUT": "An input is deprecated.",
        "STALE_INPUT": "An input is older than it should be.",
        "FAILING_INPUT": "An input has an open alert or incident.",
        "SUSPECT_INPUT": "An input has a warning or a failing check.",
        "PERSONAL_DATA": "Personal data reaches the output.",
        "CYCLE": "The output is made from what is made from it.",
        "READS_ITS_OUTPUT": "A statement reads what it writes.",
        "BREAKING_CHANGE": "Something made from the output would lose what it reads.",
        "SCHEMA_CHANGE": "The output would lose or change columns that nothing known reads.",
        "OUTPUT_NAME": "The output is named otherwise than it should be.",
        "OUTPUT_WITHOUT_OWNER": "The output has no owner.",
        "OUTPUT_WITHOUT_DESCRIPTION": "The output has no description.",
        "NEW_OUTPUT": "The output is no dataset yet.",
    },
)


@strawberry.input(description="A column of a proposed output.")
class ProposedColumnInput:
    name: str = strawberry.field(description="Its name.")
    type: str | None = strawberry.field(
        default=None, description="Its type, as the platform writes it; null where that is open."
    )


@strawberry.input(description="A dataset that is to be made or changed, with all its columns.")
class ProposedOutputInput:
    name: str = strawberry.field(description="Its name, qualified or completed by the defaults.")
    columns: list[ProposedColumnInput] = strawberry.field(
        description="Its columns, 1 to 2,000; what is there and not among them would be dropped."
    )


@strawberry.input(description="What is to be judged: SQL, datasets, an output, or several of them.")
class VerifyContextInput:
    sql: str | None = strawberry.field(
        default=None, description="Statements; templates of dbt or Jinja may stand in them."
    )
    dialect: str | None = strawberry.field(
        default=None,
        description="Their dialect, as sqlglot names it; that of the platform if null.",
    )
    urns: list[str] = strawberry.field(
        default_factory=list, description="Datasets that are to be read, at most 100."
    )
    output: ProposedOutputInput | None = strawberry.field(
        default=None, description="What is to be made; null where the SQL says it, or nothing is."
    )
    purpose: Purpose = strawberry.field(
        default=Purpose.PIPELINE, description="What it is to be used for."
    )
    platform: str | None = strawberry.field(
        default=None, description="Platform of the tables, by urn or name; null for all."
    )
    default_database: str | None = strawberry.field(
        default=None, description="Database of names that have none."
    )
    default_schema: str | None = strawberry.field(
        default=None, description="Schema of names that have none."
    )

    def as_model(self) -> model.VerifyRequest:
        output = None
        if self.output is not None:
            columns = tuple(model.ProposedColumn(c.name, c.type) for c in self.output.columns)
            output = model.ProposedOutput(self.output.name, columns)
        return model.VerifyRequest(
            sql=self.sql,
            dialect=self.dialect,
            urns=tuple(self.urns),
            output=output,
            purpose=self.purpose,
            platform=self.platform,
            default_database=self.default_database,
            default_schema=self.default_schema,
        )


@strawberry.type(description="A place in the SQL.")
class ContextPlace:
    line: int = strawberry.field(description="Its line, from 1.")
    column: int = strawberry.field(description="Its column in the line, from 1, in characters.")
    start: int = strawberry.field(description="Offset of its first character, from 0.")
    end: int = strawberry.field(description="Offset of the character behind it.")

    @classmethod
    def of(cls, place: model.Place | None) -> "ContextPlace | None":
        if place is None:
            return None
        return cls(line=place.line, column=place.column, start=place.start, end=place.end)


@strawberry.type(description="What mends an issue.")
class ContextFix:
    message: str = strawberry.field(description="What to do, in a sentence.")
    place: ContextPlace | None = strawberry.field(
        description="What to replace; null where it is more than one replacement."
    )
    replacement: str | None = strawberry.field(description="The text to put there.")

    @classmethod
    def of(cls, fix: model.Fix | None) -> "ContextFix | None":
        if fix is None:
            return None
        return cls(
            message=fix.message, place=ContextPlace.of(fix.place), replacement=fix.replacement
        )


@strawberry.type(description="Something that is wrong, or good to know.")
class ContextIssue:
    code: Code = strawberry.field(description="What it is about.")
    severity: IssueSeverity = strawberry.field(description="How severe it is for the purpose.")
    message: str = strawberry.field(description="What is wrong, in a sentence.")
    evidence: str | None = strawberry.field(description="What the catalogue says about it.")
    place: ContextPlace | None = strawberry.field(
        description="Where in the SQL; null for what stands at no one place."
    )
    fix: ContextFix | None = strawberry.field(description="What mends it; null where nobody knows.")
    dataset: DatasetReference | None = strawberry.field(
        description="The dataset that it is about; null for none."
    )
    column: str | None = strawberry.field(
        description="The column that it is about, as the catalogue or the SQL names it."
    )

    @classmethod
    def of(cls, issue: model.Issue) -> "ContextIssue":
        return cls(
            code=issue.code,
            severity=issue.severity,
            message=issue.message,
            evidence=issue.evidence,
            place=ContextPlace.of(issue.place),
            fix=ContextFix.of(issue.fix),
            dataset=None if issue.urn is None else dataset(issue.urn),
            column=issue.column,
        )


@strawberry.type(description="A healthy dataset that may be read in place of a bad input.")
class ContextAlternative:
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")
    instead_of: str = strawberry.field(
        description="Urn of the bad input, or the name in the SQL that is no dataset."
    )
    why: str = strawberry.field(description="What makes it one.")
    missing: list[str] = strawberry.field(description="Columns used that it does not have.")

    @classmethod
    def of(cls, alternative: model.Alternative) -> "ContextAlternative":
        return cls(
            dataset=dataset(alternative.urn),
            instead_of=alternative.instead_of,
            why=alternative.why,
            missing=list(alternative.missing),
        )


@strawberry.type(description="What came of a check.")
class ContextVerdict:
    verdict: Verdict = strawberry.field(description="Whether to go on.")
    issues: list[ContextIssue] = strawberry.field(description="What was found, the worst first.")
    alternatives: list[ContextAlternative] = strawberry.field(
        description="Healthy datasets in place of bad inputs."
    )
    inputs: list[DatasetReference | None] = strawberry.field(
        description="Datasets that are read, in order."
    )
    outputs: list[DatasetReference | None] = strawberry.field(
        description="Datasets that are written and exist already."
    )
    dialect: str | None = strawberry.field(
        description="The dialect that the SQL was read in; null without SQL, or for common SQL."
    )

    @classmethod
    def of(cls, verdict: model.ContextVerdict) -> "ContextVerdict":
        return cls(
            verdict=verdict.verdict,
            issues=[ContextIssue.of(issue) for issue in verdict.issues],
            alternatives=[ContextAlternative.of(each) for each in verdict.alternatives],
            inputs=[dataset(urn) for urn in verdict.inputs],
            outputs=[dataset(urn) for urn in verdict.outputs],
            dialect=verdict.dialect,
        )


@strawberry.type
class VerifierQuery:
    @strawberry.field(
        description="Whether SQL, datasets or a proposed output are fit for a purpose, by what the "
        "caller may see. The same input is answered from a cache for a minute."
    )
    async def verify_context(
        self,
        info: Info,
        input: Annotated[  # noqa: A002  it is the name of the argument
            VerifyContextInput,
            strawberry.argument(description="What is to be judged, and for what."),
        ],
    ) -> ContextVerdict | None:
        return ContextVerdict.of(await resolve.verify(info.context, input.as_model()))
