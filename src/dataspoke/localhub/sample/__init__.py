"""An imaginary bookshop's metadata, in the format of the ``datahub`` file source.

For the demo, the tests and the benchmark: some eighty datasets on three platforms, half a year of
daily loads and profiles, and faults whose labels say where and when they are.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from dataspoke.localhub.sample import activity, catalogue, faults, usage
from dataspoke.localhub.sample.faults import FaultKind, Label

__all__ = ["FaultKind", "Label", "Sample", "generate", "write"]

DEFAULT_SEED = 20261124


@dataclass(frozen=True, slots=True)
class Sample:
    """Metadata and what is wrong with it.

    ``records`` are the JSON objects of a file that ``datahub ingest`` reads: first the catalogue,
    then operations, profiles and usage, each dataset's in order of time.
    """

    records: list[dict[str, Any]]
    labels: tuple[Label, ...]


def generate(*, end: date, seed: int = DEFAULT_SEED, days: int = 180) -> Sample:
    """Return the bookshop with ``days`` days of history; the same arguments give the same sample.

    ``end`` as a date is the last day, with all of it; as an aware datetime it is the last moment,
    so that nothing in a demo lies in the future. Raises ValueError where ``days`` is below 1 or
    ``end`` is a datetime without a time zone.
    """
    if days < 1:
        raise ValueError(f"days is {days}; at least 1 is needed.")
    if isinstance(end, datetime):
        if end.tzinfo is None:
            raise ValueError(f"end is {end}, without a time zone; use an aware datetime.")
        cut = end.astimezone(UTC)
    else:
        cut = datetime.combine(end, time.max, UTC)
    first_day = cut.date() - timedelta(days=days - 1)
    shop = catalogue.load()
    planned = faults.plan([table for table in shop.tables if table.series], first_day, days, seed)

    dates = [first_day + timedelta(days=day) for day in range(days)]
    described_at, last_day = (
        int(datetime.combine(day, time(), UTC).timestamp() * 1000) for day in (dates[0], dates[-1])
    )
    records = [
        dict(proposal.to_obj(simplified_structure=True))
        for proposal in catalogue.proposals(shop, described_at, last_day)
    ]
    statements = usage.statements(shop.queries, dates, seed)
    labels: list[Label] = []
    for table in shop.tables:
        done = activity.simulate(
            table,
            first_day,
            days,
            cut,
            planned.get(table.urn, ()),
            statements.get(table.urn, {}),
            seed,
        )
        records += done.records
        labels += done.labels
    return Sample(records, tuple(labels))


def write(sample: Sample, path: Path, labels: Path | None = None) -> None:
    """Write the records to ``path`` for ``datahub ingest``, and the labels to their own file."""
    with path.open("w", encoding="utf-8") as file:
        # One record a line: the file can be searched and compared.
        file.write("[\n")
        file.write(",\n".join(json.dumps(r, separators=(",", ":")) for r in sample.records))
        file.write("\n]\n")
    if labels is not None:
        rows = [asdict(label) for label in sample.labels]
        labels.write_text(json.dumps(rows, default=datetime.isoformat, indent=1) + "\n", "utf-8")
