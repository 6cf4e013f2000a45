"""NAB's score (Lavin and Ahmad, *Evaluating Real-time Anomaly Detection Algorithms: the Numenta
Anomaly Benchmark*, 2015).

Each labelled window may be detected once, the earlier the better; every detection outside the
windows costs, the less the closer it follows one. Points of the probationary period (the first 15
% of a series, of at most 5,000 points) are not scored. One threshold for the whole corpus is
chosen for each profile, as the benchmark lays down: the one with the highest score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PROBATION_SHARE = 0.15
_PROBATION_MOST_POINTS = 5000
# Beyond three widths of the window before it, a false detection costs the whole weight.
_FAR = 3.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What errors cost beside a true detection's 1: a false detection and a missed window."""

    name: str
    false_positive: float
    false_negative: float


STANDARD = Profile("standard", 0.11, 1.0)
REWARD_LOW_FP = Profile("low FP", 0.22, 1.0)
REWARD_LOW_FN = Profile("low FN", 0.11, 2.0)
PROFILES = (STANDARD, REWARD_LOW_FP, REWARD_LOW_FN)


@dataclass(frozen=True, slots=True)
class Scored:
    """A series' anomaly scores, shape (n,), higher for odder, and its labelled windows.

    A window is the positions of its first and last point; windows are in order and do not overlap.
    """

    scores: Floats
    windows: Sequence[tuple[int, int]]


def scaled_sigmoid(position: Floats) -> Floats:
    """Return a detection's worth by its position: -1 at a window's start, 0 at its end, rising."""
    near = np.minimum(position, _FAR)
    return np.where(position > _FAR, -1.0, 2 / (1 + np.exp(5 * near)) - 1)


def probation(points: int) -> int:
    """Return how many points at the beginning of a series are not scored."""
    return int(_PROBATION_SHARE * min(points, _PROBATION_MOST_POINTS))


def weights(points: int, windows: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], Floats]:
    """Return each point's window (-1 outside) and what a detection there is worth.

    The worth is above 0 up to 1 in a window, and between -1 and 0 outside, to be multiplied by
    the profile's weight of a false detection.
    """
    window_of = np.full(points, -1, dtype=np.int64)
    worth = np.full(points, -1.0)
    index = np.arange(points, dtype=np.float64)
    most = float(scaled_sigmoid(np.array([-1.0]))[0])
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        inside = slice(first, last + 1)
        window_of[inside] = number
        worth[inside] = scaled_sigmoid(-(last - index[inside] + 1) / width) / most
        until = windows[number + 1][0] if number + 1 < len(windows) else points
        after = slice(last + 1, until)
        worth[after] = scaled_sigmoid((index[after] - last) / max(width - 1, 1))
    return window_of, worth


def nab_score(corpus: Sequence[Scored], profile: Profile) -> tuple[float, float]:
    """Return the normalised score, 0 for detecting nothing and 100 for a perfect detector, and
    the threshold that gives it (detections are scores at or above it; infinite for none).
    """
    scores, gains = [], []
    windows = 0
    for series in corpus:
        begin = probation(len(series.scores))
        window_of, worth = weights(len(series.scores), series.windows)
        gain = np.where(window_of < 0, profile.false_positive * worth, 0.0)
        for number in range(len(series.windows)):
            inside = np.flatnonzero(window_of == number)
            inside = inside[inside >= begin]
            if not len(inside):
                continue
            windows += 1
            # As the threshold sinks, a window is worth its best detection so far.
            order = inside[np.lexsort((-worth[inside], -series.scores[inside]))]
            best = np.maximum.accumulate(worth[order])
            gain[order] = np.diff(best, prepend=-profile.false_negative)
        scores.append(series.scores[begin:])
        gains.append(gain[begin:])
    if not windows:
        raise ValueError("The corpus has no labelled window that is scored.")
    score, gain = np.concatenate(scores), np.concatenate(gains)
    order = np.argsort(-score, kind="stable")
    score, total = score[order], np.cumsum(gain[order])
    # A threshold takes all points of one score or none.
    ends = np.flatnonzero(np.diff(score, append=-np.inf))
    nothing = -profile.false_negative * windows
    raw, threshold = 0.0, np.inf
    best_end = ends[np.argmax(total[ends])]
    if total[best_end] > 0:
        raw, threshold = float(total[best_end]), float(score[best_end])
    return 100 * raw / (windows - nothing), threshold
