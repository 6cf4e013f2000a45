"""How well scores put anomalous points before all others, without any threshold."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

WIDEST_BUFFER_POINTS = 100


def auc_pr(scores: Floats, labels: Marks) -> float:
    """Return the area under the precision-recall curve, as average precision, 0 to 1."""
    return float(average_precision_score(labels, scores))


def vus_pr(scores: Floats, labels: Marks, widest: int = WIDEST_BUFFER_POINTS) -> float:
    """Return the volume under the surface of precision and recall, 0 to 1; needs a label.

    Paparrizos et al., *Volume Under the Surface: A New Accuracy Evaluation Measure for Time-Series
    Anomaly Detection* (PVLDB 15, 2022): the mean of the range-based area under the
    precision-recall curve over all buffers from 0 to ``widest`` points. A buffer l widens each
    anomaly by l/2 points on either side, whose labels fall with their distance d from it as
    sqrt(1 - d/l). Recall is counted against the labels halfway between the plain ones and those
    with the buffers found, and multiplied by the share of anomalies that are found at all, as in
    the authors' code; of that code's 250 thresholds, here is one at each score instead.
    """
    positions = np.flatnonzero(labels)
    breaks = np.flatnonzero(np.diff(positions) > 1)
    firsts = positions[np.concatenate([[0], breaks + 1])]
    lasts = positions[np.concatenate([breaks, [len(positions) - 1]])]
    anomalies = list(zip(firsts.tolist(), lasts.tolist(), strict=True))
    order = np.argsort(-scores, kind="stable")
    # A threshold takes all points of one score or none.
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    rank = np.empty(len(scores), dtype=np.int64)
    rank[order] = np.arange(len(scores))
    plain = np.cumsum(labels[order])[ends]
    areas = [
        _range_area(labels, anomalies, width, order, ends, rank, plain)
        for width in range(widest + 1)
    ]
    return float(np.mean(areas))


def _range_area(
    labels: Marks,
    anomalies: Sequence[tuple[int, int]],
    width: int,
    order: NDArray[np.int64],
    ends: NDArray[np.int64],
    rank: NDArray[np.int64],
    plain: NDArray[np.int64],
) -> float:
    """Return the area for one buffer; ``plain`` counts anomalous points up to each threshold."""
    soft, segments = _widened(labels, anomalies, width)
    found = np.cumsum(soft[order])[ends]
    recall = np.minimum(found / (np.sum(labels) + (found - plain) / 2), 1)
    first_hits = np.sort([int(np.min(rank[first : last + 1])) for first, last in segments])
    existence = np.searchsorted(first_hits, ends, "right") / len(segments)
    precision = found / (ends + 1)
    return float(np.sum(np.diff(recall * existence, prepend=0.0) * precision))


def _widened(
    labels: Marks, anomalies: Sequence[tuple[int, int]], width: int
) -> tuple[Floats, list[tuple[int, int]]]:
    """Return the labels with buffers, and the anomalies with theirs, joined where these meet."""
    soft = labels.astype(np.float64)
    reach = width // 2
    count = len(labels)
    segments: list[tuple[int, int]] = []
    for first, last in anomalies:
        begin, end = max(first - reach, 0), min(last + reach, count - 1)
        soft[begin:first] += np.sqrt(1 - np.arange(first - begin, 0, -1) / max(width, 1))
        soft[last + 1 : end + 1] += np.sqrt(1 - np.arange(1, end - last + 1) / max(width, 1))
        if segments and first - reach <= segments[-1][1]:
            begin = segments.pop()[0]
        segments.append((begin, end))
    return np.minimum(soft, 1.0), segments
