"""How often the bookshop's tables are queried, and by how many people."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from dataspoke.localhub.sample.catalogue import Query, Table

# Nobody queries a topic by SQL, and hardly anybody what has been retired or is a draft.
_QUERIED = {"snowflake": 0.85, "postgres": 0.5}
# How many of the last days the texts of statements are there for.
_DAYS_WITH_TEXT = 28


@dataclass(frozen=True, slots=True)
class Usage:
    """One day of a table."""

    queries: int
    users: int


def draw(table: Table, dates: Sequence[date], rng: np.random.Generator) -> dict[int, Usage]:
    """Return the usage of a table by the number of the day; empty where nobody queries it."""
    if rng.random() >= _QUERIED.get(table.platform, 0):
        return {}
    usual, people = rng.lognormal(3.6, 0.9), int(rng.integers(2, 9))
    weekend = rng.uniform(0.1, 0.5)
    found = {}
    for day, when in enumerate(dates):
        expected = usual * (weekend if when.weekday() >= 5 else 1.0)
        queries = int(rng.poisson(expected * rng.lognormal(-0.01, 0.14)))
        if queries:
            found[day] = Usage(queries, min(queries, int(rng.binomial(people, 0.8)) + 1))
    return found


def statements(
    queries: Sequence[Query], dates: Sequence[date], seed: int
) -> Mapping[str, Mapping[int, list[str]]]:
    """Return by urn and number of the day the statements about a table, the most frequent first."""
    ran: dict[str, dict[int, list[tuple[int, str]]]] = {}
    for query in queries:
        # Of its own numbers, as the tables: a new query leaves the others as they are.
        rng = np.random.default_rng([seed, zlib.crc32(query.sql.encode())])
        weekdays = np.array([0.2 if day.weekday() >= 5 else 1.0 for day in dates])
        counts = rng.poisson(query.daily * weekdays)
        for day in range(max(0, len(dates) - _DAYS_WITH_TEXT), len(dates)):
            if counts[day]:
                for urn in query.reads:
                    ran.setdefault(urn, {}).setdefault(day, []).append((-counts[day], query.sql))
    return {
        urn: {day: [sql for _, sql in sorted(seen)] for day, seen in days.items()}
        for urn, days in ran.items()
    }
