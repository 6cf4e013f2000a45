"""Isolation Forest (Liu, Ting and Zhou, *Isolation Forest*, 2008): fitted by PyOD, walked here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Half the usual number of trees, each from a quarter of the usual sample: a hundredth of a
# second's fit more would buy nothing on the labelled series tried, and the state stays small.
_TREES = 32
_SAMPLE = 64
_SEED = 20080101
_EULER = 0.5772156649015329


class Forest:
    """A fitted forest as flat arrays, for one row at a time.

    scikit-learn takes milliseconds to be asked for a single row, most of them checks. Its
    ``decision_function`` is reproduced here to within rounding: the unusual has the larger score.
    """

    def __init__(
        self,
        feature: NDArray[np.int8],
        number: NDArray[np.float32],
        right: NDArray[np.int16],
        roots: NDArray[np.int32],
        normaliser: float,
        offset: float,
    ) -> None:
        self._feature = feature  # -1 in a leaf
        self._number = number  # the threshold of a split, the path's length of a leaf
        self._right = right  # how far on the right child is; the left one is the next node
        self._roots = roots
        self._normaliser = normaliser
        self._offset = offset

    @classmethod
    def fit(cls, rows: Floats) -> "Forest":
        """Return a forest of these rows, shape (n, features) with n of at least 2."""
        # Late, for the import takes seconds.
        from pyod.models.iforest import IForest

        sample = min(_SAMPLE, len(rows))
        model = IForest(n_estimators=_TREES, max_samples=sample, random_state=_SEED, n_jobs=1)
        model.fit(rows)
        trees = [estimator.tree_ for estimator in model.detector_.estimators_]
        sizes = [tree.node_count for tree in trees]
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
        feature, number, right = [], [], []
        for tree in trees:
            here = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            length = tree.compute_node_depths() - 1 + _average_path(tree.n_node_samples)
            feature.append(np.where(leaf, -1, tree.feature).astype(np.int8))
            number.append(np.where(leaf, length, _rounded_down(tree.threshold)).astype(np.float32))
            right.append(np.where(leaf, 0, tree.children_right - here).astype(np.int16))
        normaliser = float(len(trees) * _average_path(np.array([sample]))[0])
        return cls(
            np.concatenate(feature),
            np.concatenate(number),
            np.concatenate(right),
            roots,
            normaliser,
            float(model.detector_.offset_),
        )

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants."""
        return {
            "feature": self._feature,
            "number": self._number,
            "right": self._right,
            "roots": self._roots,
            "normaliser": self._normaliser,
            "offset": self._offset,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Forest":
        return cls(**state)

    def score(self, row: Floats) -> float:
        """Return how easily this row is isolated, shape (features,): above 0 is unusual."""
        row = row.astype(np.float32)
        node = self._roots
        while True:
            feature = self._feature[node]
            inner = feature >= 0
            if not inner.any():
                break
            left = row[feature] <= self._number[node]
            node = np.where(inner, node + np.where(left, 1, self._right[node]), node)
        length = float(np.sum(self._number[node], dtype=np.float64))
        return float(2.0 ** (-length / self._normaliser)) + self._offset


def _average_path(samples: NDArray[np.int64]) -> Floats:
    """Return the mean length of an unsuccessful search among so many, from the paper's eq. 1."""
    count = np.maximum(samples, 3).astype(np.float64)
    usual = 2 * (np.log(count - 1) + _EULER) - 2 * (count - 1) / count
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, usual))


def _rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """Return thresholds that part single-precision numbers just as these do."""
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf), dtype=np.float32)
    return np.where(nearest.astype(np.float64) > thresholds, below, nearest)
