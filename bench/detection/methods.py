"""The detectors that are compared. Each returns one score for each point of each series, higher for
odder, from the points before it alone, with one setting for all series."""

import csv
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.detection.corpus import Floats, Labelled
from dataspoke.errors import DependencyRejected

Scores = list[Floats]
Method = Callable[[Path, Sequence[Labelled]], Mapping[str, Scores]]

_GAUSSIAN_POINTS = 6400
_ROLLING_POINTS = 288
# What a model is fitted on before it is asked for the first time.
_FIRST_SHARE = 0.15
_TREES = 100
_INTERVAL = 0.99
_REFIT_S = 7 * 86_400.0
# More would take hours for the long series, and Prophet learns no more from it in a week.
_PROPHET_POINTS = 4000


def dataspoke(folder: Path, corpus: Sequence[Labelled]) -> dict[str, Scores]:
    """Run ``dataspoke detect`` on the folder as a user would, and read what it wrote.

    One process, so that its speed compares with the others'. Raises DependencyRejected where the
    command fails.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "dataspoke.cli", "detect", str(folder), "--out", out]
        ended = subprocess.run(
            [*command, "--jobs", "1"], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise DependencyRejected("detect", ended.stderr.strip())
        answers = [_columns(Path(out) / one.path.relative_to(folder)) for one in corpus]
    for one, (scores, _) in zip(corpus, answers, strict=True):
        if len(scores) != len(one.values):
            raise DependencyRejected(
                "detect", f"{one.name} has {len(one.values)} rows and {len(scores)} scores."
            )
    return {
        "DataSpoke, scores": [scores for scores, _ in answers],
        "DataSpoke, alerts": [alerts for _, alerts in answers],
    }


def _columns(path: Path) -> tuple[Floats, Floats]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(float(row["score"]), float(row["alert"])) for row in csv.DictReader(file)]
    scores, alerts = np.array(rows).T if rows else (np.empty(0), np.empty(0))
    return scores, alerts


def rolling_z(_: Path, corpus: Sequence[Labelled]) -> dict[str, Scores]:
    """Score by standard deviations from the mean of the points before.

    For a threshold it is the same as a Gaussian's tail probability, which only rises with it: over
    6,400 points it is NAB's Windowed Gaussian but for the windows' steps.
    """
    return {
        f"rolling z, {width:,} points": [deviations(one.values, width) for one in corpus]
        for width in (_ROLLING_POINTS, _GAUSSIAN_POINTS)
    }


def deviations(values: Floats, width: int) -> Floats:
    """Return how many standard deviations each point lies from the ``width`` points before it."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    squares = np.concatenate([[0.0], np.cumsum(values**2)])
    index = np.arange(len(values))
    begin = np.maximum(index - width, 0)
    count = np.maximum(index - begin, 1)
    mean = (total[index] - total[begin]) / count
    variance = np.maximum((squares[index] - squares[begin]) / count - mean**2, 1e-12)
    return np.where(index > 1, np.abs(values - mean) / np.sqrt(variance), 0.0)


def isolation_forest(_: Path, corpus: Sequence[Labelled]) -> dict[str, Scores]:
    """Score raw values by PyOD's IForest, fitted once on the first 15 % of a series.

    A hundred trees; what it was fitted on has a score below all others.
    """
    from pyod.models.iforest import IForest

    found = []
    for one in corpus:
        first = _first(one)
        values = one.values.reshape(-1, 1)
        scores = np.full(len(values), -1.0)
        if 0 < first < len(values):
            model = IForest(n_estimators=_TREES, random_state=0)
            model.fit(values[:first])
            scores[first:] = model.decision_function(values[first:])
        found.append(scores)
    return {"PyOD IForest, values": found}


def prophet(_: Path, corpus: Sequence[Labelled]) -> dict[str, Scores]:
    """Score by the distance from Prophet's forecast in half widths of its 99 % interval.

    First fitted on 15 % of a series, then anew for each week, to the newest 4,000 points before
    it. What it was first fitted on has the score 0.
    """
    logging.getLogger("prophet.plot").disabled = True  # it complains that plotly is missing
    import pandas as pd
    from prophet import Prophet

    # Two lines a fit; importing it sets its level.
    logging.getLogger("cmdstanpy").disabled = True
    found = []
    for one in corpus:
        scores = np.zeros(len(one.values))
        frame = pd.DataFrame({"ds": pd.to_datetime(one.times_s, unit="s"), "y": one.values})
        begin = _first(one)
        while 1 < begin < len(scores):
            end = int(np.searchsorted(one.times_s, one.times_s[begin] + _REFIT_S))
            end = max(end, begin + 1)
            model = Prophet(interval_width=_INTERVAL, uncertainty_samples=300)
            np.random.seed(0)  # Prophet draws from numpy's global generator
            model.fit(frame[max(0, begin - _PROPHET_POINTS) : begin], algorithm="LBFGS")
            said = model.predict(frame[begin:end][["ds"]])
            half = np.maximum((said["yhat_upper"] - said["yhat_lower"]).to_numpy() / 2, 1e-12)
            scores[begin:end] = np.abs(one.values[begin:end] - said["yhat"].to_numpy()) / half
            begin = end
        found.append(scores)
    return {"Prophet, 99 % interval": found}


def _first(one: Labelled) -> int:
    return int(_FIRST_SHARE * len(one.values))


# Those that run as programs of their own.
COMMANDS = frozenset({"dataspoke"})
METHODS: Mapping[str, Method] = {
    "dataspoke": dataspoke,
    "prophet": prophet,
    "iforest": isolation_forest,
    "rolling-z": rolling_z,
}
