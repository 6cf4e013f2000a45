"""How often the bookshop's tables are queried, and by how many people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from dataspoke.localhub.sample.catalogue import Table

# Nobody queries a topic by SQL, and hardly anybody what has been retired or is a draft.
_QUERIED = {"snowflake": 0.85, "postgres": 0.5}


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
