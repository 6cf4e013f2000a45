"""The benchmark of detection: what is read, the areas by cases worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.detection.__main__ import main
from bench.detection.corpus import labelled, nab
from bench.detection.methods import deviations
from bench.detection.ranking import auc_pr, vus_pr
from dataspoke.errors import InvalidInput


def marks(points: int, *positions: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    labels = np.zeros(points, dtype=np.bool_)
    labels[list(positions)] = True
    return labels


def write(path: Path, rows: list[str], header: str = "timestamp,value,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]))
    return path


def test_average_precision_by_hand() -> None:
    # Anomalies at ranks 1 and 3: (1/1 + 2/3) / 2.
    assert auc_pr(np.array([4.0, 3.0, 2.0, 1.0]), marks(4, 0, 2)) == pytest.approx(5 / 6)


def test_without_a_buffer_the_volume_is_an_area_of_points_and_ranges() -> None:
    # The first range is found at rank 1, the second at rank 3. Recall times existence is
    # 1/3 · 1/2, then (rank 3) 2/3 · 1, then 1; precision 1, 2/3, 3/4.
    scores = np.array([9.0, 0.0, 8.0, 7.0, 6.0, 0.0])
    expected = (1 / 6) * 1 + (4 / 6 - 1 / 6) * 2 / 3 + (1 - 4 / 6) * 3 / 4
    labels = marks(6, 0, 3, 4)
    assert vus_pr(scores, labels, 0) == pytest.approx(expected)


def test_a_buffer_honours_what_is_near() -> None:
    labels = marks(40, 20)
    near, far = np.zeros(40), np.zeros(40)
    near[22], far[35] = 1.0, 1.0
    assert vus_pr(near, labels, 10) > 2 * vus_pr(far, labels, 10)
    assert vus_pr(near, labels, 0) == pytest.approx(vus_pr(far, labels, 0))


@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=30, max_size=30),
    st.sets(st.integers(0, 29), min_size=1, max_size=8),
    st.integers(0, 12),
)
def test_the_volume_is_what_trying_each_threshold_gives(
    values: list[float], anomalous: set[int], widest: int
) -> None:
    scores, labels = np.array(values), marks(30, *anomalous)
    areas = []
    for width in range(widest + 1):
        soft = [_soft(position, labels, width) for position in range(30)]
        groups = _groups(labels, width)
        area, before = 0.0, 0.0
        for threshold in sorted(set(values), reverse=True):
            found = [p for p in range(30) if scores[p] >= threshold]
            right = sum(soft[p] for p in found)
            buffers = sum(soft[p] for p in found if not labels[p])
            recall = min(right / (labels.sum() + buffers / 2), 1)
            hit = sum(any(p in group for p in found) for group in groups) / len(groups)
            area += (recall * hit - before) * right / len(found)
            before = recall * hit
        areas.append(area)
    volume = vus_pr(scores, labels, widest)
    assert volume == pytest.approx(sum(areas) / len(areas))
    assert -1e-9 <= volume <= 1 + 1e-9


def _soft(position: int, labels: np.ndarray[tuple[int], np.dtype[np.bool_]], width: int) -> float:
    """The label of a point with buffers: each range adds its own, up to 1."""
    if labels[position]:
        return 1.0
    total = 0.0
    for first, last in _ranges(labels):
        distance = max(first - position, position - last)
        if distance <= width // 2:
            total += math.sqrt(1 - distance / width)
    return min(total, 1.0)


def _ranges(labels: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for position in np.flatnonzero(labels).tolist():
        if found and found[-1][1] == position - 1:
            found[-1] = (found[-1][0], position)
        else:
            found.append((position, position))
    return found


def _groups(labels: np.ndarray[tuple[int], np.dtype[np.bool_]], width: int) -> list[set[int]]:
    reach = width // 2
    groups: list[set[int]] = []
    for first, last in _ranges(labels):
        group = set(range(first - reach, last + reach + 1))
        if groups and groups[-1] & group:
            groups[-1] |= group
        else:
            groups.append(group)
    return groups


def test_a_perfect_ranking_has_all_of_the_area_without_buffers() -> None:
    labels = marks(50, 10, 11, 12, 30)
    assert auc_pr(labels.astype(float), labels) == 1
    assert vus_pr(labels.astype(float), labels, 0) == 1


def test_labelled_series_are_read_with_their_ranges(tmp_path: Path) -> None:
    write(
        tmp_path / "deep" / "b.csv",
        [
            f"2026-01-0{day},{value},{label}"
            for day, value, label in [(1, "", 0), (2, 5, 1), (3, "", 1), (4, 7, 0), (5, 8, 1)]
        ],
    )
    write(tmp_path / "a.csv", ["1,2026-01-01,3", "0,2026-01-02,4"], "Label,Timestamp,Value")
    first, second = labelled(tmp_path)
    assert (first.name, first.windows) == ("a.csv", ((0, 0),))
    assert second.name == "deep/b.csv"
    assert second.windows == ((1, 2), (4, 4))
    assert second.values.tolist() == [5, 5, 5, 7, 8]
    assert np.flatnonzero(second.labels).tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["2026-01-01,1"], "timestamp,value", "has no column label"),
        (["2026-01-02,1,0", "2026-01-01,1,0"], "timestamp,value,label", "not in order of time"),
        (["2026-01-02,,0"], "timestamp,value,label", "has no value"),
    ],
)
def test_what_is_no_labelled_series_is_named(
    tmp_path: Path, rows: list[str], header: str, said: str
) -> None:
    write(tmp_path / "a.csv", rows, header)
    with pytest.raises(InvalidInput, match=said) as refused:
        labelled(tmp_path)
    assert "a.csv" in refused.value.public_message


def test_folders_without_series_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file named"):
        labelled(tmp_path)
    with pytest.raises(InvalidInput, match="as in NAB's repository"):
        nab(tmp_path)
    assert main(["--series", str(tmp_path)]) == 1


def test_the_rolling_z_sees_nothing_that_comes_later() -> None:
    values = 100 + np.random.default_rng(0).normal(0, 1, 200)
    changed = np.concatenate([values[:120], values[120:] * 3])
    assert np.array_equal(deviations(values, 50)[:120], deviations(changed, 50)[:120])


def test_a_rolling_z_is_a_distance_in_standard_deviations() -> None:
    values = np.array([1.0, 3.0, 1.0, 3.0, 6.0])
    assert deviations(values, 4).tolist() == [0, 0, 1, *deviations(values, 4)[3:]]
    assert deviations(values, 4)[4] == pytest.approx(4)
    assert deviations(values, 2)[4] == pytest.approx(4)
