from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.knowledge.model import Signals
from dataspoke.knowledge.trust import trust_of
from dataspoke.quality.model import Check, Metric, Severity, Status

ROWS = Check(Metric.ROW_COUNT)
GOOD = Signals(False, 100, Status.PASS, 1000, ())
BAD = Signals(True, 0, Status.FAIL, 0, ((ROWS, Severity.ERROR),))

signals = st.builds(
    Signals,
    st.booleans(),
    st.none() | st.floats(0, 100),
    st.none() | st.sampled_from(Status),
    st.none() | st.floats(0, 1e9),
    st.none()
    | st.lists(st.tuples(st.just(ROWS), st.sampled_from(Severity)), max_size=3).map(tuple),
)


def test_what_is_well_kept_is_trusted_wholly_and_what_is_bad_in_all_not_at_all() -> None:
    assert trust_of(GOOD).value == 1
    assert trust_of(BAD).value == 0


def test_what_nobody_judged_stands_between() -> None:
    unjudged = trust_of(Signals())
    assert unjudged.value == pytest.approx(0.35 + 0.5 * 0.65)
    assert [part.value for part in unjudged.parts if part.name != "deprecation"] == [None] * 4


@pytest.mark.parametrize(
    ("change", "part", "note"),
    [
        ({"alerts": ((ROWS, Severity.WARN),)}, "alerts", "1 open alert, the worst WARN"),
        (
            {"alerts": ((ROWS, Severity.ERROR), (ROWS, Severity.WARN))},
            "alerts",
            "2 open alerts, the worst ERROR",
        ),
        ({"freshness": Status.WARN}, "freshness", "loaded somewhat late"),
        ({"freshness": Status.WARMING_UP}, "freshness", "not known"),
        ({"deprecated": True}, "deprecation", "deprecated"),
        ({"health": 62.5}, "documentation", "health of the metadata 62.5 of 100"),
        ({"queries": 12.0}, "usage", "12 queries a day"),
    ],
)
def test_each_flaw_costs_trust_and_is_named(
    change: dict[str, object], part: str, note: str
) -> None:
    flawed = trust_of(replace(GOOD, **change))  # type: ignore[arg-type]
    assert flawed.value < 1
    assert {p.name: p.note for p in flawed.parts}[part] == note


def test_an_error_costs_more_than_a_warning_and_use_counts_by_its_logarithm() -> None:
    warned = trust_of(replace(GOOD, alerts=((ROWS, Severity.WARN),)))
    failed = trust_of(replace(GOOD, alerts=((ROWS, Severity.ERROR),)))
    assert failed.value < warned.value < 1
    used = [trust_of(replace(GOOD, queries=float(n))).value for n in (0, 10, 100, 1000, 10_000)]
    assert used[0] < used[1] < used[2] < used[3] == used[4]
    assert used[1] - used[0] > used[3] - used[2]


def test_an_error_or_a_deprecation_alone_is_worse_than_to_be_unjudged() -> None:
    unjudged = trust_of(Signals()).value
    assert trust_of(replace(GOOD, alerts=((ROWS, Severity.ERROR),))).value < unjudged
    assert trust_of(replace(GOOD, deprecated=True)).value < unjudged
    assert trust_of(replace(GOOD, alerts=((ROWS, Severity.WARN),))).value > unjudged


@given(signals)
def test_trust_is_the_weighted_mean_of_its_parts(known: Signals) -> None:
    trust = trust_of(known)
    assert 0 <= trust.value <= 1
    assert sum(part.weight for part in trust.parts) == pytest.approx(1)
    mean = sum(p.weight * (0.5 if p.value is None else p.value) for p in trust.parts)
    assert trust.value == pytest.approx(mean, abs=1e-4)


@given(signals)
def test_to_know_less_moves_trust_no_further_than_to_the_middle(known: Signals) -> None:
    """What a caller may not view is as unknown: it neither helps nor harms."""
    for name in ("health", "freshness", "queries", "alerts"):
        hidden = trust_of(replace(known, **{name: None}))
        part = next(
            p
            for p in hidden.parts
            if p.name == {"health": "documentation", "queries": "usage"}.get(name, name)
        )
        assert part.value is None
        assert part.note == "not known"
