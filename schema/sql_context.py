"""What a model needs to answer a question in SQL."""

from typing import Annotated

import strawberry

from dataspoke.knowledge import sql_context as model
from dataspoke.knowledge.model import SampleFilter
from dataspoke.knowledge.sql_context import WarningKind
from dataspoke.resolvers import sql_context as resolve
from dataspoke.schema.enum import describe
from dataspoke.schema.info import Info
from dataspoke.schema.reference import DatasetReference, dataset

describe(
    WarningKind,
    name="SqlContextWarningKind",
    description="What there is to know before a table is used.",
    values={
        "DEPRECATED": "It shall not be used any more.",
        "OPEN_ALERT": "Something is wrong with its data at the moment.",
        "FAILING": "It fails its checks.",
        "STALE": "It has not been updated as it should.",
        "PERSONAL_DATA": "It holds personal data.",
        "UNDOCUMENTED": "Nobody has described it.",
    },
)


@strawberry.type(description="What there is to know before a table is used.")
class SqlContextWarning:
    kind: WarningKind = strawberry.field(description="What it is about.")
    text: str = strawberry.field(description="It, in a sentence or two.")
    replacement: DatasetReference | None = strawberry.field(
        description="What to use instead; null where nothing is named."
    )

    @classmethod
    def of(cls, warning: model.ContextWarning) -> "SqlContextWarning":
        replacement = warning.replacement
        return cls(
            kind=warning.kind,
            text=warning.text,
            replacement=None if replacement is None else dataset(replacement),
        )


@strawberry.type(description="A column that a statement may use.")
class SqlContextColumn:
    path: str = strawberry.field(description="DataHub's fieldPath.")
    name: str = strawberry.field(description="Its name as SQL writes it.")
    type: str | None = strawberry.field(description="Its type; null where it is not known.")
    description: str | None = strawberry.field(
        description="What it holds, in a line; null where nobody said or there is no room."
    )
    key: bool = strawberry.field(description="Whether it is part of the primary key.")
    personal: bool = strawberry.field(description="Whether it holds personal data.")

    @classmethod
    def of(cls, column: model.ContextColumn) -> "SqlContextColumn":
        return cls(
            path=column.path,
            name=column.name,
            type=column.type,
            description=column.description,
            key=column.key,
            personal=column.personal,
        )


@strawberry.type(description="A condition that queries have set on a column.")
class SqlContextFilter:
    column: str = strawberry.field(description="The column, by its path.")
    predicate: str = strawberry.field(
        description="The condition as SQL; a value that may tell of somebody is a ?."
    )
    count: int = strawberry.field(description="In how many queries it was seen.")

    @classmethod
    def of(cls, sample: SampleFilter) -> "SqlContextFilter":
        return cls(column=sample.column, predicate=sample.predicate, count=sample.count)


@strawberry.type(description="A table that a statement may use.")
class SqlContextTable:
    dataset: DatasetReference | None = strawberry.field(description="The dataset.")
    name: str = strawberry.field(description="Its name as SQL writes it.")
    description: str | None = strawberry.field(
        description="What it holds, in a line; null where nobody said or there is no room."
    )
    columns: list[SqlContextColumn] = strawberry.field(
        description="Columns, in the table's order; those that there is room for."
    )
    columns_left_out: int = strawberry.field(description="How many columns there was no room for.")
    filters: list[SqlContextFilter] = strawberry.field(
        description="Conditions that queries have set, the most frequent first."
    )
    warnings: list[SqlContextWarning] = strawberry.field(
        description="What there is to know before it is used, the worst first."
    )
    bridging: bool = strawberry.field(
        description="Whether it is there only because it joins others."
    )

    @classmethod
    def of(cls, table: model.ContextTable) -> "SqlContextTable":
        return cls(
            dataset=dataset(table.urn),
            name=table.name,
            description=table.description,
            columns=[SqlContextColumn.of(column) for column in table.columns],
            columns_left_out=table.left_out,
            filters=[SqlContextFilter.of(sample) for sample in table.filters],
            warnings=[SqlContextWarning.of(warning) for warning in table.warnings],
            bridging=table.bridging,
        )


@strawberry.type(description="How two tables are joined.")
class SqlContextJoin:
    left: DatasetReference | None = strawberry.field(description="One of the tables.")
    left_columns: list[str] = strawberry.field(description="Its columns, by path.")
    right: DatasetReference | None = strawberry.field(description="The other one.")
    right_columns: list[str] = strawberry.field(
        description="Its columns that are equal to those, in the same order."
    )
    count: int = strawberry.field(
        description="In how many queries it was seen; 0 for a foreign key that none has used."
    )

    @classmethod
    def of(cls, join: model.ContextJoin) -> "SqlContextJoin":
        return cls(
            left=dataset(join.left),
            left_columns=list(join.left_columns),
            right=dataset(join.right),
            right_columns=list(join.right_columns),
            count=join.count,
        )


@strawberry.type(description="What a model needs to answer a question in SQL.")
class SqlContext:
    text: str = strawberry.field(
        description="All of it as a text to put into a prompt: tables as DDL with remarks, joins, "
        "conditions and warnings. Empty where nothing was found."
    )
    tokens: int = strawberry.field(
        description="How many tokens the text has, by a careful estimate (2.8 characters each)."
    )
    platform: str | None = strawberry.field(
        description="Urn of the platform that all tables are on; null where nothing was found."
    )
    dialect: str | None = strawberry.field(
        description="What sqlglot calls the SQL of that platform; null where it is not known."
    )
    tables: list[SqlContextTable] = strawberry.field(description="Tables, the most relevant first.")
    joins: list[SqlContextJoin] = strawberry.field(
        description="Joins among the tables, the most useful first."
    )
    left_out: list[DatasetReference | None] = strawberry.field(
        description="Relevant tables that there was no room for."
    )
    notice: str | None = strawberry.field(
        description="Why the answer is less than it could be; null where nothing is amiss."
    )

    @classmethod
    def of(cls, context: model.SqlContext) -> "SqlContext":
        return cls(
            text=context.text,
            tokens=context.tokens,
            platform=context.platform,
            dialect=context.dialect,
            tables=[SqlContextTable.of(table) for table in context.tables],
            joins=[SqlContextJoin.of(join) for join in context.joins],
            left_out=[dataset(urn) for urn in context.left_out],
            notice=context.notice,
        )


@strawberry.type
class SqlContextQuery:
    @strawberry.field(
        description="What a model needs to answer a question in SQL: tables and columns, how they "
        "are joined and filtered, and what is wrong with them; of what the caller may see."
    )
    async def sql_context(
        self,
        info: Info,
        question: Annotated[
            str,
            strawberry.argument(description="The question in words; at most 1,000 characters."),
        ],
        platform: Annotated[
            str | None,
            strawberry.argument(
                description="The platform to ask, by urn or name; null for the one that has the "
                "best tables."
            ),
        ] = None,
        token_budget: Annotated[
            int, strawberry.argument(description="Tokens of the text at most, 200 to 32,000.")
        ] = 2000,
    ) -> SqlContext | None:
        return SqlContext.of(
            await resolve.sql_context(info.context, question, platform, token_budget)
        )
