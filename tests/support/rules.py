"""Rules and datasets for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dataspoke.catalogue import ColumnProfile, Dataset, Field, Operation, Profile
from dataspoke.quality.rules.files import read_rules
from dataspoke.quality.rules.model import RuleSpec

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def spec(
    body: str, name: str = "tried", select: str = "{names: ['*']}", more: str = ""
) -> RuleSpec:
    """Return the rule that has this body in a file."""
    found, errors = read_rules(f"name: {name}\nselect: {select}\n{more}\n{body}\n", "rule.yaml")
    assert not errors, errors
    return found[0]


def urn(name: str, platform: str = "postgres") -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},PROD)"


def orders(platform: str = "postgres", name: str = "shop.orders") -> Dataset:
    """Return the dataset of the table that tests.support.warehouses makes."""
    return Dataset(
        urn(name, platform),
        name,
        f"urn:li:dataPlatform:{platform}",
        fields=(
            Field("id", "INTEGER"),
            Field("state", "VARCHAR(10)"),
            Field("[version=2.0].[type=string].email", "VARCHAR(50)"),
            Field("total", "DOUBLE PRECISION"),
        ),
        tags=("urn:li:tag:gold",),
        owners=("urn:li:corpuser:ada",),
        domain="urn:li:domain:sales",
    )


def counted(*rows: int | None, columns: Sequence[ColumnProfile] = ()) -> list[Profile]:
    """Return a profile a day with so many rows, the newest an hour ago, with these columns."""
    last = NOW - HOUR
    days = len(rows) - 1
    return [
        Profile(last - (days - n) * DAY, count, columns=tuple(columns) if n == days else ())
        for n, count in enumerate(rows)
    ]


def updated(*hours_ago: float) -> list[Operation]:
    """Return an update so many hours ago each, oldest first."""
    return [Operation(NOW - hours * HOUR, "INSERT") for hours in sorted(hours_ago, reverse=True)]
