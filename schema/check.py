"""What is checked on a dataset, and what a check can say."""

import strawberry

from dataspoke.quality import model
from dataspoke.quality.model import Dimension, Metric, Severity, Status
from dataspoke.schema.enum import describe

describe(
    Metric,
    name="QualityMetric",
    description="What is watched on a dataset, or on one of its columns.",
    values={
        "ROW_COUNT": "Rows in the dataset, from its profiles.",
        "COLUMN_COUNT": "Columns of the dataset, from its profiles.",
        "SIZE": "Bytes that the dataset takes, from its profiles.",
        "NULL_SHARE": "Share of a column that is null, 0 to 1.",
        "UNIQUE_SHARE": "Share of distinct values in a column, 0 to 1.",
        "MEAN": "Mean of a column.",
        "MIN": "Least value of a column.",
        "MAX": "Largest value of a column.",
        "STDEV": "Standard deviation of a column.",
        "FRESHNESS": "Hours since the dataset was last updated, from its operations.",
        "LATE_ARRIVAL": "Hours from when an update was to be expected to when it came.",
        "QUERY_COUNT": "Queries of the dataset in a day, from its usage.",
        "SLA": "Hours past its deadline at which the dataset is expected to be loaded.",
    },
)
describe(
    Status,
    name="QualityStatus",
    description="A verdict.",
    values={
        "PASS": "As expected.",
        "WARN": "Not as expected, by a check of severity WARN.",
        "FAIL": "Not as expected.",
        "WARMING_UP": "There is too little history to judge.",
        "ERROR": "The rule could not be evaluated.",
    },
)
describe(
    Severity,
    name="QualitySeverity",
    description="How bad it is where a check fails.",
    values={"WARN": "Worth a look.", "ERROR": "A fault."},
)
describe(
    Dimension,
    name="QualityDimension",
    description="What a check tells about.",
    values={
        "COMPLETENESS": "Values that should be there are there.",
        "FRESHNESS": "The data are as new as they should be.",
        "VOLUME": "There are as many data as there should be.",
        "VALIDITY": "Values are of the kind and range they should be.",
        "UNIQUENESS": "Nothing is there twice that should be there once.",
        "CONSISTENCY": "The dataset has the form that others rely on.",
    },
)


@strawberry.type(
    description="What is checked on a dataset: a metric, of the whole or of a column, or a rule."
)
class QualityCheck:
    metric: Metric | None = strawberry.field(description="The metric; null for a rule.")
    column: str | None = strawberry.field(
        description="The column whose metric it is; null for the whole dataset and for a rule."
    )
    rule_id: strawberry.ID | None = strawberry.field(description="The rule; null for a metric.")

    @classmethod
    def of(cls, check: model.Check) -> "QualityCheck":
        rule = None if check.rule is None else strawberry.ID(str(check.rule))
        return cls(metric=check.metric, column=check.column, rule_id=rule)
