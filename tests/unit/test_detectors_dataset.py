"""A dataset judged scan by scan: with its models stored in between, or from all of its history."""

from datetime import UTC, datetime, timedelta

import numpy as np

from dataspoke.catalogue import Operation, Profile
from dataspoke.quality.detectors import DatasetHistory, Model, Verdict, judge_history
from dataspoke.quality.model import Check, Metric, Status

START = datetime(2026, 5, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
ROWS, FRESHNESS = Check(Metric.ROW_COUNT), Check(Metric.FRESHNESS)


def shop(days: int) -> tuple[list[Profile], list[Operation]]:
    rng = np.random.default_rng(3)
    week = np.array([1.0, 1.1, 1.05, 1.0, 1.2, 0.6, 0.5])
    rows = np.rint(4000 * week[np.arange(days) % 7] * np.exp(rng.normal(0, 0.05, days)))
    rows[45:48] *= 3
    profiles = [Profile(START + i * DAY, row_count=int(n)) for i, n in enumerate(rows)]
    times = [START + i * DAY + timedelta(minutes=rng.normal(-60, 8)) for i in range(days)]
    return profiles, [Operation(t, "INSERT") for i, t in enumerate(times) if i != 50]


def scan(
    day: float, until: dict[Check, datetime], models: dict[Check, Model], deprecated: bool = False
) -> dict[Check, Verdict]:
    profiles, operations = shop(58)
    now = START + day * DAY
    history = DatasetHistory(
        URN,
        tuple(p for p in profiles if p.time <= now),
        tuple(o for o in operations if o.time <= now),
        until,
        models=models,
        deprecated=deprecated,
    )
    return {verdict.check: verdict for verdict in judge_history(history, now)}


def test_a_scan_with_stored_models_says_what_one_of_the_whole_history_says() -> None:
    until: dict[Check, datetime] = {}
    models: dict[Check, Model] = {}
    faults: dict[Check, set[datetime]] = {}
    for day in (30.1, 44.1, 45.1, 46.1, 46.4, 47.1, 48.1, 50.1, 50.4, 51.1, 57.1):
        stored = scan(day, until, models)
        replayed = scan(day, until, {})
        assert stored == replayed
        for check, verdict in stored.items():
            assert verdict.model is not None
            until[check] = verdict.judgements[-1].point.time
            models[check] = verdict.model
            if verdict.failing_since:
                faults.setdefault(check, set()).add(verdict.failing_since)
    assert faults[ROWS] == {START + 45 * DAY}
    assert len(faults[FRESHNESS]) == 1


def test_a_scan_without_anything_new_says_the_same_again() -> None:
    first = scan(46.1, {}, {})
    models = {check: v.model for check, v in first.items() if v.model}
    until = {check: v.judgements[-1].point.time for check, v in first.items()}
    again = scan(46.2, until, models)
    assert again[ROWS].judgements == first[ROWS].judgements[-1:]
    assert again[ROWS].failing_since == first[ROWS].failing_since == START + 45 * DAY
    assert again[ROWS].model == first[ROWS].model


def test_a_model_of_another_version_is_made_anew() -> None:
    first = scan(40.1, {}, {})
    old = {check: Model(b"old", 0, START + 40 * DAY, None) for check in first}
    assert scan(40.1, {}, old) == first


def test_nobody_owes_a_deprecated_dataset_a_load() -> None:
    verdicts = scan(57.9, {}, {}, deprecated=True)
    assert verdicts[FRESHNESS].judgements[-1].detector == "deprecated"
    assert verdicts[FRESHNESS].judgements[-1].status is Status.PASS
    assert verdicts[ROWS].judgements[-1].score is not None
