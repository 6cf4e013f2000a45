"""The models behind the detectors: as good as those they stand for, and of bounded size."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.quality.detectors.calibration import Calibration
from dataspoke.quality.detectors.encoding import decode, encode
from dataspoke.quality.detectors.forest import Forest
from dataspoke.quality.detectors.novelty import features, flatness
from dataspoke.quality.detectors.prophet_forecast import Forecast, fit


def test_a_walked_forest_scores_as_pyod_does() -> None:
    from pyod.models.iforest import IForest

    rng = np.random.default_rng(2)
    rows = np.round(rng.standard_t(3, (200, 7)), 1)  # rounded: many points lie on a threshold
    forest = Forest.fit(rows)
    peer = IForest(n_estimators=32, max_samples=64, random_state=20080101, n_jobs=1).fit(rows)
    asked = np.concatenate([rows[:60], 5 * rows[:20]])
    scores = [forest.score(row) for row in asked]
    assert scores == pytest.approx(peer.decision_function(asked).tolist(), abs=1e-6)
    again = Forest.restored(decode(encode(forest.state())))
    assert [again.score(row) for row in asked] == scores
    assert len(encode(forest.state())) < 16_000


@pytest.mark.parametrize("days", [90, 800])
def test_a_stored_forecast_says_what_prophet_says(days: int) -> None:
    import pandas as pd
    from prophet import Prophet

    rng = np.random.default_rng(days)
    times_s = 1.7e9 + 86_400.0 * np.arange(days) + rng.normal(0, 900, days)
    values = np.sin(np.arange(days) * 2 * np.pi / 7) + 0.01 * np.arange(days)
    values += rng.normal(0, 0.1, days)
    forecast, fitted = fit(times_s, values)
    model = Prophet(daily_seasonality=False, yearly_seasonality=days > 730, uncertainty_samples=0)
    frame = pd.DataFrame({"ds": pd.to_datetime(times_s, unit="s"), "y": values})
    model.fit(frame, algorithm="LBFGS")
    later_s = times_s[-1] + 86_400 * np.arange(0.5, 60, 1.7)
    later = pd.DataFrame({"ds": pd.to_datetime(later_s, unit="s")})
    said = model.predict(later)["yhat"].tolist()
    assert [forecast.at(t) for t in later_s.tolist()] == pytest.approx(said, abs=1e-6)
    assert fitted == pytest.approx(model.predict(frame)["yhat"].tolist(), abs=1e-6)
    assert Forecast.restored(decode(encode(forecast.state()))) == forecast


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=80),
    st.lists(st.floats(0, 1e6), max_size=20),
    st.floats(1e-6, 0.5),
)
@settings(deadline=None)
def test_what_is_exceeded_at_a_rate_is_as_rare_as_it(
    past: list[float], later: list[float], rate: float
) -> None:
    calibration = Calibration(past)
    for one in later:
        calibration.add(one)
    assert len(calibration) == len(past) + len(later)
    limit = calibration.quantile(rate)
    assert limit >= 0
    ranks = [calibration.p_value(deviation) for deviation in (0.0, limit, 2 * limit + 1)]
    assert 1 >= ranks[0] >= ranks[1] >= ranks[2] >= 0


def test_the_tail_is_as_heavy_as_the_past_says() -> None:
    rng = np.random.default_rng(8)
    for draw, exact in (
        (rng.exponential(1, 20_000), -math.log(1e-5)),
        (rng.pareto(3, 20_000), 1e-5 ** (-1 / 3) - 1),
    ):
        assert Calibration(draw.tolist()).quantile(1e-5) == pytest.approx(exact, rel=0.4)


def test_a_long_past_is_kept_in_little_room_and_ranks_stay_right() -> None:
    draw = np.random.default_rng(7).exponential(1, 30_000)
    calibration = Calibration()
    for one in draw.tolist():
        calibration.add(one)
    assert len(calibration) == 30_000
    assert len(encode(calibration.state())) < 4_000
    for deviation in (0.1, 0.7, 2.0, 4.0, 6.0, 9.0):
        rank = (1 + np.sum(draw >= deviation)) / 30_001
        assert calibration.p_value(deviation) == pytest.approx(rank, rel=0.25, abs=0.01)
    for rate in (0.5, 0.05, 1e-3):
        exact = np.quantile(draw, 1 - rate)
        assert calibration.quantile(rate) == pytest.approx(exact, rel=0.1)


@given(st.lists(st.floats(0, 1e3), max_size=1200), st.lists(st.floats(0, 1e3), max_size=40))
@settings(max_examples=15, deadline=None)
def test_a_restored_calibration_goes_on_as_if_nothing_had_been(
    past: list[float], later: list[float]
) -> None:
    one = Calibration(past)
    other = Calibration.restored(decode(encode(one.state())))
    for deviation in later:
        one.add(deviation)
        other.add(deviation)
    assert repr(one.state()) == repr(other.state())


def test_features_tell_a_shift_a_burst_and_a_flat_line_apart() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    values[300:] += 8
    values[250:262] *= 6
    values[220:228] = values[219]
    rows = features(values, flatness(values))
    at = {
        name: rows[index - 180] for name, index in (("shift", 330), ("burst", 258), ("flat", 227))
    }
    assert at["shift"][4] > 5
    assert at["burst"][1] > 1
    assert at["flat"][1] < -1.5


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), trees), st.lists(st.floats(width=64)))
@settings(deadline=None)
def test_what_is_encoded_is_decoded(tree: dict[str, Any], numbers: list[float]) -> None:
    if any(key == "array" for key in tree):
        return
    found = decode(encode({"tree": [tree], "numbers": np.array(numbers)}))
    assert found["numbers"].tobytes() == np.array(numbers, dtype=np.float64).tobytes()
    assert repr(found["tree"]) == repr([tree])


@given(st.binary(max_size=200))
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with warnings.catch_warnings(), pytest.raises(ValueError):  # noqa: PT011  any of its kinds
        decode(data)
