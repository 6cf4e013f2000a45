"""Scores the detector beside its peers: on NAB, and on labelled series of any other origin.

DataSpoke's scores are those of ``dataspoke detect``, run as a user would run it. All detectors are
causal, have one setting for all series, and see no label; how each is fitted is said in
``bench.detection.methods``. NAB's scores are of the whole corpus, the areas are means over the
series that have an anomaly; points of NAB's probationary period (the first 15 %, of at most 5,000
points) count for none of them. Series a second are on one core, the imports of libraries included;
MiB are the most memory that the process held.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.detection import corpus, measured
from bench.detection.corpus import Labelled
from bench.detection.methods import METHODS, Scores
from bench.detection.nab_scoring import PROFILES, Scored, nab_score, probation
from bench.detection.ranking import auc_pr, vus_pr
from dataspoke.errors import DataSpokeError

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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.detection", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with NAB's data and labels")
    parser.add_argument(
        "--series", type=Path, help="folder of series with the columns timestamp, value and label"
    )
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), help="which to run; all"
    )
    asked = parser.parse_args(arguments)
    if asked.data is None and asked.series is None:
        parser.error("give --data, --series, or both")
    console = Console()
    try:
        if asked.data is not None:
            found = corpus.nab(asked.data)
            _compare(console, "NAB", asked.data / "data", found, asked.methods, nab=True)
        if asked.series is not None:
            found = corpus.labelled(asked.series)
            _compare(console, asked.series.name, asked.series, found, asked.methods, nab=False)
    except DataSpokeError as error:
        console.print(error.public_message, style="red", markup=False)
        return 1
    console.print(machine.described("numpy", "scipy", "prophet", "pyod"), style="dim")
    return 0


def _compare(
    console: Console,
    name: str,
    folder: Path,
    found: Sequence[Labelled],
    methods: Sequence[str],
    *,
    nab: bool,
) -> None:
    points = sum(len(one.values) for one in found)
    title = f"{name}: {len(found)} series, {points:,} points"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    profiles = PROFILES if nab else ()
    columns = [*(profile.name for profile in profiles), "AUC-PR", "VUS-PR", "series/s", "MiB"]
    table.add_column("detector", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for method in methods:
        with console.status(f"{name}: {method} …"):
            run = measured.run(method, folder, found)
            speed = len(found) / run.elapsed_s
            cost = [f"{speed:,.{0 if speed > 10 else 2}f}", f"{run.peak_memory_mb:,.0f}"]
            for detector, scores in run.scores.items():
                scored = [Scored(s, one.windows) for s, one in zip(scores, found, strict=True)]
                figures = [f"{nab_score(scored, profile)[0]:.1f}" for profile in profiles]
                areas = (
                    [f"{area:.3f}" for area in _areas(scores, found)] if _rank(scores) else ["", ""]
                )
                table.add_row(detector, *figures, *areas, *cost)
    if nab:
        table.add_row("published:", style="dim")
        for detector, published in PUBLISHED.items():
            table.add_row(detector, *(f"{score:.1f}" for score in published), style="dim")
    console.print(table)


def _rank(scores: Scores) -> bool:
    """Tell whether these are scores: an area tells nothing of alerts, which rank no point."""
    return any(np.any((one != 0) & (one != 1)) for one in scores)


def _areas(scores: Scores, found: Sequence[Labelled]) -> tuple[float, float]:
    """Return the means of AUC-PR and VUS-PR over the series that have an anomaly; NaN for none."""
    areas = []
    for one, its_scores in zip(found, scores, strict=True):
        begin = probation(len(its_scores))
        labels = one.labels[begin:]
        if labels.any():
            areas.append((auc_pr(its_scores[begin:], labels), vus_pr(its_scores[begin:], labels)))
    if not areas:
        return float("nan"), float("nan")
    precision_recall, volume = np.mean(areas, axis=0).tolist()
    return precision_recall, volume


if __name__ == "__main__":
    sys.exit(main())
