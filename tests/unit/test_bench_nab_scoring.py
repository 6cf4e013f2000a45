"""NAB's score, by cases worked out by hand and by what its definition promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.detection.nab_scoring import (
    PROFILES,
    REWARD_LOW_FN,
    REWARD_LOW_FP,
    STANDARD,
    Profile,
    Scored,
    nab_score,
    probation,
    weights,
)

POINTS = 100  # of which 15 are not scored
WINDOW = (40, 49)


def at(*positions: int, windows: tuple[tuple[int, int], ...] = (WINDOW,)) -> Scored:
    scores = np.zeros(POINTS)
    scores[list(positions)] = 1.0
    return Scored(scores, windows)


def sigmoid(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)
def test_a_perfect_detector_has_100_and_a_silent_one_0(profile: Profile) -> None:
    assert nab_score([at(40)], profile)[0] == pytest.approx(100)
    score, threshold = nab_score([at()], profile)
    assert score == 0
    assert threshold == math.inf


@pytest.mark.parametrize(
    ("position", "profile", "expected"),
    [
        # Worth of the middle of the window, from -1 to 1 on a scale of (-1 - 1).
        (45, STANDARD, 100 * (sigmoid(-0.5) / sigmoid(-1) + 1) / 2),
        (45, REWARD_LOW_FN, 100 * (sigmoid(-0.5) / sigmoid(-1) + 2) / 3),
        (49, STANDARD, 100 * (sigmoid(-0.1) / sigmoid(-1) + 1) / 2),
    ],
)
def test_a_late_detection_is_worth_less(position: int, profile: Profile, expected: float) -> None:
    assert nab_score([at(position)], profile)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("false_at", "profile", "cost"),
    [
        (20, STANDARD, 0.11),  # no window before it: the whole weight
        (20, REWARD_LOW_FP, 0.22),
        (52, STANDARD, 0.11 * -sigmoid(3 / 9)),  # just after the window
        (90, STANDARD, 0.11),  # more than three widths after it
    ],
)
def test_a_false_detection_costs_by_its_distance_from_the_window_before(
    false_at: int, profile: Profile, cost: float
) -> None:
    assert nab_score([at(40, false_at)], profile)[0] == pytest.approx(100 * (2 - cost) / 2)


def test_a_window_counts_its_earliest_detection_once() -> None:
    assert nab_score([at(45, 46, 47)], STANDARD) == nab_score([at(45)], STANDARD)


def test_the_probationary_period_costs_and_earns_nothing() -> None:
    assert probation(POINTS) == 15
    assert probation(20_000) == 750
    assert nab_score([at(3, 14, 40)], STANDARD)[0] == pytest.approx(100)
    early = at(*range(15), windows=((2, 8), WINDOW))
    assert nab_score([early], STANDARD)[0] == 0


def test_one_threshold_is_chosen_for_the_corpus() -> None:
    scores = np.zeros(POINTS)
    scores[40], scores[20] = 0.9, 0.5
    other = np.zeros(POINTS)
    other[60] = 0.6
    score, threshold = nab_score([Scored(scores, (WINDOW,)), Scored(other, ())], STANDARD)
    assert threshold == 0.9
    assert score == pytest.approx(100)


def test_without_a_window_there_is_no_score() -> None:
    with pytest.raises(ValueError, match="no labelled window"):
        nab_score([at(40, windows=())], STANDARD)


@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.6, 1.0]), min_size=POINTS, max_size=POINTS),
    st.sampled_from(PROFILES),
)
def test_the_sweep_finds_what_trying_each_threshold_finds(
    values: list[float], profile: Profile
) -> None:
    windows = ((20, 29), (60, 64))
    window_of, worth = weights(POINTS, windows)
    scores = np.array(values)
    tried = [-2 * profile.false_negative]
    for threshold in (0.0, 0.3, 0.6, 1.0):
        found = np.flatnonzero(scores >= threshold)
        found = found[found >= probation(POINTS)]
        raw = profile.false_positive * float(worth[found][window_of[found] < 0].sum())
        for number in range(2):
            inside = worth[found][window_of[found] == number]
            raw += float(inside.max()) if len(inside) else -profile.false_negative
        tried.append(raw)
    expected = 100 * (max(tried) / 2 + profile.false_negative) / (1 + profile.false_negative)
    assert nab_score([Scored(scores, windows)], profile)[0] == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=POINTS, max_size=POINTS))
def test_only_the_order_of_scores_matters(values: list[float]) -> None:
    scores = np.array(values)
    score = nab_score([Scored(scores, (WINDOW,))], STANDARD)[0]
    assert 0 <= score <= 100 + 1e-9
    ranks = np.unique(scores, return_inverse=True)[1].astype(float)
    assert nab_score([Scored(ranks, (WINDOW,))], STANDARD)[0] == pytest.approx(score)
