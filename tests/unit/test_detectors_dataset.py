"""A dataset judged scan by scan: with its models stored in between, or from all of its history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from dataspoke.catalogue import ColumnProfile, Operation, Profile
from dataspoke.quality.detectors import DatasetHistory, Verdict, basis_of, judge_dataset
from dataspoke.quality.model import (
    Check,
    Feedback,
    FeedbackKind,
    Metric,
    MonitorSettings,
    Result,
    Status,
    Window,
)

START = datetime(2026, 5, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
ROWS, FRESHNESS = Check(Metric.ROW_COUNT), Check(Metric.FRESHNESS)
LATE = Check(Metric.LATE_ARRIVAL)


def shop(days: int) -> tuple[list[Profile], list[Operation]]:
    rng = np.random.default_rng(3)
    week = np.array([1.0, 1.1, 1.05, 1.0, 1.2, 0.6, 0.5])
    rows = np.rint(4000 * week[np.arange(days) % 7] * np.exp(rng.normal(0, 0.05, days)))
    rows[45:48] *= 3
    profiles = [Profile(START + i * DAY, row_count=int(n)) for i, n in enumerate(rows)]
    times = [START + i * DAY + timedelta(minutes=rng.normal(-60, 8)) for i in range(days)]
    return profiles, [Operation(t, "INSERT") for i, t in enumerate(times) if i != 50]


def scan(
    day: float, before: dict[Check, Verdict], *, since_day: float = 0, deprecated: bool = False
) -> dict[Check, Verdict]:
    """Return the verdicts at a day, with what the scan before left, on profiles from another on."""
    profiles, operations = shop(58)
    now = START + day * DAY
    history = DatasetHistory(
        URN,
        tuple(p for p in profiles if START + since_day * DAY <= p.time <= now),
        tuple(o for o in operations if o.time <= now),
        deprecated=deprecated,
        previous=tuple(Result(URN, check, v.judgements[-1], now) for check, v in before.items()),
        models={check: v.model for check, v in before.items() if v.model},
        judged_until={check: v.judgements[-1].point.time for check, v in before.items()},
    )
    return {verdict.check: verdict for verdict in judge_dataset(history, now)}


def going_on(before: dict[Check, Verdict], found: dict[Check, Verdict]) -> dict[Check, Verdict]:
    """Return what the store holds after a scan: the model of the one before where none is new."""
    return {
        check: replace(v, model=v.model or (before[check].model if check in before else None))
        for check, v in found.items()
    }


def test_a_scan_with_stored_models_says_what_one_of_the_whole_history_says() -> None:
    stored: dict[Check, Verdict] = {}
    faults: dict[Check, set[datetime]] = {}
    last = 0.0
    for day in (30.1, 44.1, 45.1, 46.1, 46.4, 47.1, 48.1, 50.1, 50.4, 51.1, 57.1):
        found = scan(day, stored, since_day=last - 2)
        replayed = scan(day, {c: replace(v, model=None) for c, v in stored.items()})
        assert set(found) == set(replayed) == {ROWS, FRESHNESS, LATE}
        stored = going_on(stored, found)
        for check, verdict in stored.items():
            assert verdict.judgements == replayed[check].judgements
            assert verdict.failing_since == replayed[check].failing_since
            model, anew = verdict.model, replayed[check].model
            assert model is not None
            assert anew is not None
            assert model.state == anew.state
            if verdict.failing_since:
                faults.setdefault(check, set()).add(verdict.failing_since)
        last = day
    assert faults[ROWS] == {START + 45 * DAY}
    assert len(faults[FRESHNESS]) == 1


def test_a_scan_without_anything_new_says_the_same_again() -> None:
    first = scan(46.1, {})
    for since_day in (0, 46.05):
        again = scan(46.2, first, since_day=since_day)
        assert again[ROWS].judgements == first[ROWS].judgements[-1:]
        assert again[ROWS].failing_since == first[ROWS].failing_since == START + 45 * DAY
        assert again[ROWS].model is None


def test_a_model_that_cannot_be_read_or_was_made_otherwise_is_made_anew() -> None:
    first = scan(40.1, {})
    for change in ({"state": b"old"}, {"basis": "another"}):
        old = {c: replace(v, model=replace(v.model, **change)) for c, v in first.items() if v.model}  # type: ignore[arg-type]
        found = scan(40.1, old)
        for check, verdict in found.items():
            assert verdict.judgements[-1] == first[check].judgements[-1]
            assert verdict.model == first[check].model


def test_what_is_said_and_left_out_is_the_basis_of_models() -> None:
    said = Feedback(URN, ROWS, START, FeedbackKind.REAL, "urn:li:corpuser:x", START)
    excluded = MonitorSettings(URN, exclusions=(Window(START, START + DAY),))
    bases = [
        basis_of(None, []),
        basis_of(None, [said]),
        basis_of(None, [replace(said, kind=FeedbackKind.FALSE_POSITIVE)]),
        basis_of(excluded, []),
        basis_of(MonitorSettings(URN, country="DE"), []),
    ]
    assert len(set(bases)) == len(bases)
    # Budgets and mutes change what is told, not what is learned.
    same = MonitorSettings(URN, alerts_per_fortnight=3, muted_until=START, version=4)
    assert basis_of(same, []) == bases[0]
    assert basis_of(excluded, []) == basis_of(replace(excluded, version=7), [])


def test_nobody_owes_a_deprecated_dataset_a_load() -> None:
    before = scan(57.1, {})
    verdicts = scan(57.9, before, deprecated=True)
    assert set(verdicts) == {ROWS, FRESHNESS}
    assert verdicts[FRESHNESS].judgements[-1].detector == "deprecated"
    assert verdicts[FRESHNESS].judgements[-1].status is Status.PASS
    assert verdicts[ROWS].judgements[-1].score is not None


def test_a_column_that_is_gone_is_forgotten_and_one_without_news_is_not() -> None:
    def profile(day: float, *names: str) -> Profile:
        columns = tuple(ColumnProfile(name, null_share=0.0) for name in names)
        return Profile(START + day * DAY, row_count=10, columns=columns)

    both = DatasetHistory(URN, tuple(profile(day, "a", "b") for day in range(40)))
    first = judge_dataset(both, START + 40 * DAY)
    previous = tuple(Result(URN, v.check, v.judgements[-1], START) for v in first)
    models = {v.check: v.model for v in first if v.model}
    quiet = DatasetHistory(URN, previous=previous, models=models)
    assert {v.check for v in judge_dataset(quiet, START + 41 * DAY)} == {v.check for v in first}
    narrower = replace(quiet, profiles=(profile(41, "a"),))
    kept = {v.check.column for v in judge_dataset(narrower, START + 42 * DAY)}
    assert kept == {None, "a"}
