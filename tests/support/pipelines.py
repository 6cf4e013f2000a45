"""Three tables that are loaded each night, one from the other: raw, staging and the mart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

RAW, STAGING, MART = "raw_orders", "staged_orders", "orders"
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """When each table was loaded, by its name, and what delayed the mart most, by the day."""

    loads: Mapping[str, Sequence[datetime]]
    causes: Mapping[int, str] = field(default_factory=dict)


def pipeline(
    seed: int,
    days: int,
    *,
    faults: float = 0.0,
    late: Mapping[tuple[str, int], float] | None = None,
    starts: Mapping[str, float] | None = None,
) -> Pipeline:
    """Return some nights of a pipeline; raw data come at about two, the mart at a quarter to four.

    Each table is late with the probability ``faults``, by some hours (log-normal, median three);
    ``late`` adds hours to a table on a day. ``starts`` holds the hour before which a table is not
    loaded, for those that go by the clock; the others are loaded when what they wait for is there.
    """
    random = np.random.default_rng(seed)
    loads: dict[str, list[datetime]] = {RAW: [], STAGING: [], MART: []}
    causes: dict[int, str] = {}
    for day in range(days):
        hour, worst = 2.0, 0.0
        for name, takes, jitter in ((RAW, 0.0, 0.1), (STAGING, 0.75, 0.1), (MART, 1.0, 0.15)):
            hour = max(hour + takes, (starts or {}).get(name, 0.0)) + random.normal(0, jitter)
            delay = random.lognormal(np.log(3.0), 0.6) if random.random() < faults else 0.0
            delay += (late or {}).get((name, day), 0.0)
            if delay > worst:
                worst, causes[day] = delay, name
            hour += delay
            loads[name].append(FIRST + day * DAY + timedelta(hours=float(hour)))
    return Pipeline({name: sorted(times) for name, times in loads.items()}, causes)
