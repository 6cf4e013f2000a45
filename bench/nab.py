"""Scores the detector on the Numenta Anomaly Benchmark: one setting, causal, no label seen."""

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import machine
from bench.nab_scoring import PROFILES, Scored, nab_score
from dataspoke.quality.detectors import Watch, judge
from dataspoke.quality.model import Judgement, Point, Status

Floats = NDArray[np.float64]

# NAB's own scoreboard, from its repository: standard, reward low FP, reward low FN.
PUBLISHED = {
    "Numenta HTM": (70.5, 62.6, 75.2),
    "Earthgecko Skyline": (58.2, 46.2, 63.9),
    "KNN-CAD": (58.0, 43.4, 64.8),
    "Random Cut Forest": (51.7, 38.4, 59.7),
    "Twitter ADVec": (47.1, 33.6, 53.5),
    "Windowed Gaussian": (39.6, 20.9, 47.4),
    "Bayesian Changepoint": (17.7, 3.2, 32.2),
}
_GAUSSIAN_POINTS = 6400
_ROLLING_POINTS = 288


@dataclass(frozen=True, slots=True)
class Series:
    """A series of the corpus; ``windows`` are positions of first and last points."""

    name: str
    points: list[Point]
    windows: list[tuple[int, int]]


def corpus(root: Path) -> list[Series]:
    """Return the series under ``root``/data with the windows of ``root``/labels, by name.

    Raises FileNotFoundError where it is not laid out as NAB's repository.
    """
    labels = json.loads((root / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    found = []
    for name, windows in sorted(labels.items()):
        with (root / "data" / name).open(encoding="utf-8", newline="") as file:
            rows = [(_time(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
        position: dict[datetime, int] = {}
        for index, (moment, _) in enumerate(rows):
            position.setdefault(moment, index)
        found.append(
            Series(
                name,
                [Point(moment, value) for moment, value in rows],
                [(position[_time(first)], position[_time(last)]) for first, last in windows],
            )
        )
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def detector_scores(judged: Sequence[Judgement]) -> Floats:
    """Return the score that the product shows for each point, 0 while warming up."""
    return np.array([judgement.score or 0.0 for judgement in judged])


def alert_scores(judged: Sequence[Judgement]) -> Floats:
    """Return 1 where an alert opens, which is the first of failing points in a row, else 0."""
    failing = np.array([judgement.status is Status.FAIL for judgement in judged], dtype=bool)
    before = np.concatenate([[False], failing[:-1]])
    return (failing & ~before).astype(np.float64)


def rolling_z(values: Floats, width: int) -> Floats:
    """Return how many standard deviations each point lies from the ``width`` points before it.

    For a threshold it is the same as the Gaussian's tail probability, which only rises with it.
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    squares = np.concatenate([[0.0], np.cumsum(values**2)])
    index = np.arange(len(values))
    begin = np.maximum(index - width, 0)
    count = np.maximum(index - begin, 1)
    mean = (total[index] - total[begin]) / count
    variance = np.maximum((squares[index] - squares[begin]) / count - mean**2, 1e-12)
    deviations = np.abs(values - mean) / np.sqrt(variance)
    return np.where(index > 1, deviations, 0.0).astype(np.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.nab", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with NAB's data and labels"
    )
    root = parser.parse_args(arguments).data
    console = Console()
    try:
        series = corpus(root)
    except FileNotFoundError as error:
        console.print(
            f"{error.filename} is missing: --data wants a folder with data/ and labels/ "
            "as in NAB's repository.",
            style="red",
        )
        return 1

    points = sum(len(one.points) for one in series)
    began = time.perf_counter()
    judged = [
        judge(one.points, Watch())
        for one in track(series, "Judging", console=console, transient=True)
    ]
    judging_s = time.perf_counter() - began

    values = [np.array([point.value for point in one.points]) for one in series]
    rows: dict[str, list[Floats]] = {
        "DataSpoke, score": [detector_scores(one) for one in judged],
        "DataSpoke, alerts as raised": [alert_scores(one) for one in judged],
        f"Gaussian over {_GAUSSIAN_POINTS:,} points": [
            rolling_z(one, _GAUSSIAN_POINTS) for one in values
        ],
        f"rolling z over {_ROLLING_POINTS} points": [
            rolling_z(one, _ROLLING_POINTS) for one in values
        ],
    }
    table = Table(title=f"NAB: {len(series)} series, {points:,} points", title_justify="left")
    table.add_column("detector")
    for profile in PROFILES:
        table.add_column(profile.name, justify="right")
    for name, scores in rows.items():
        scored = [Scored(s, one.windows) for s, one in zip(scores, series, strict=True)]
        table.add_row(name, *(f"{nab_score(scored, profile)[0]:.1f}" for profile in PROFILES))
    table.add_section()
    for name, published in PUBLISHED.items():
        table.add_row(f"{name} (published)", *(f"{score:.1f}" for score in published), style="dim")
    console.print(table)
    console.print(
        f"Judged in {judging_s:,.0f} s, {points / judging_s:,.0f} points a second on one core; "
        f"peak memory {machine.peak_memory_mb():,.0f} MiB."
    )
    console.print(machine.described("numpy", "prophet"), style="dim")
    return 0


if __name__ == "__main__":
    sys.exit(main())
