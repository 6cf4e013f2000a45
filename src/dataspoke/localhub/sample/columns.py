"""What a profiler sees in the columns of the bookshop's tables."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataspoke.localhub.sample.catalogue import Column, Table

Numbers = NDArray[np.float64]

_MEASURES = ("numeric", "number", "double", "float")
# A description that ends by naming the values: "web, app, phone or till."
_NAMED = re.compile(r"(?:\w+, )*\w+ or \w+\.")


class Described(Protocol):
    """A column that is profiled."""

    def profile(self, rows: int, day: int) -> dict[str, Any]:
        """Return the column's part of the profile of a day, as DataHub spells it."""
        ...


def describe(
    table: Table, days: int, nulls: Mapping[str, Numbers], rng: np.random.Generator
) -> list[Described]:
    """Return the columns that are profiled: those of ``nulls``, which are their empty shares, the
    key, one that measures something and one whose values are named."""
    return list(_described(table, days, nulls, rng))


def _described(
    table: Table, days: int, nulls: Mapping[str, Numbers], rng: np.random.Generator
) -> Iterator[Described]:
    for name, shares in nulls.items():
        yield _Nullable(name, shares)
    filled = [column for column in table.columns if not column.nullable]
    if table.key is not None:
        yield _Key(table.key)
    measure = next((c for c in filled if c.type.partition("(")[0] in _MEASURES), None)
    if measure is not None:
        yield _measure(measure, days, rng)
    named = next((c for c in filled if c.name != table.key and _values(c)), None)
    if named is not None:
        yield _Named(named.name, _values(named), rng.dirichlet(np.full(len(_values(named)), 3)))


def _values(column: Column) -> tuple[str, ...]:
    found = _NAMED.fullmatch(column.description or "")
    return tuple(re.findall(r"\w+", found.group().replace(" or ", " "))) if found else ()


@dataclass(frozen=True, slots=True)
class _Nullable:
    name: str
    shares: Numbers

    def profile(self, rows: int, day: int) -> dict[str, Any]:
        nulls = round(rows * self.shares[day])
        return {
            "fieldPath": self.name,
            "nullCount": nulls,
            "nullProportion": round(nulls / rows, 6) if rows else 0.0,
        }


@dataclass(frozen=True, slots=True)
class _Key:
    name: str

    def profile(self, rows: int, day: int) -> dict[str, Any]:
        return {
            "fieldPath": self.name,
            "uniqueCount": rows,
            "uniqueProportion": 1.0 if rows else 0.0,
            "nullCount": 0,
            "nullProportion": 0.0,
        }


@dataclass(frozen=True, slots=True)
class _Measure:
    """Amounts in a column: their mean wanders a little, their greatest value from day to day."""

    name: str
    least: float
    means: Numbers
    spreads: Numbers
    greatest: Numbers

    def profile(self, rows: int, day: int) -> dict[str, Any]:
        return {
            "fieldPath": self.name,
            "nullCount": 0,
            "nullProportion": 0.0,
            # DataHub keeps these as texts.
            "min": f"{self.least:.2f}",
            "max": f"{self.greatest[day]:.2f}",
            "mean": f"{self.means[day]:.4f}",
            "stdev": f"{self.spreads[day]:.4f}",
        }


def _measure(column: Column, days: int, rng: np.random.Generator) -> _Measure:
    usual = rng.lognormal(2.5, 1.0)
    means = usual * rng.lognormal(0, 0.01, days)
    spreads = usual * rng.uniform(0.4, 0.9) * rng.lognormal(0, 0.02, days)
    greatest = usual * rng.uniform(6, 14) * rng.lognormal(0, 0.06, days)
    return _Measure(column.name, round(usual * 0.05, 2), means, spreads, greatest)


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    values: tuple[str, ...]
    weights: Numbers

    def profile(self, rows: int, day: int) -> dict[str, Any]:
        counts = [int(rows * weight) for weight in self.weights]
        # What rounding leaves over is the first value's.
        counts[0] += rows - sum(counts)
        seen = [(value, n) for value, n in zip(self.values, counts, strict=True) if n > 0]
        return {
            "fieldPath": self.name,
            "uniqueCount": len(seen),
            "uniqueProportion": round(len(seen) / rows, 6) if rows else 0.0,
            "nullCount": 0,
            "nullProportion": 0.0,
            "distinctValueFrequencies": [{"value": v, "frequency": n} for v, n in seen],
            "sampleValues": [value for value, _ in seen],
        }
