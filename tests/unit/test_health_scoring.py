from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.catalogue import Dataset, Field
from dataspoke.health.model import Finding, HealthScore
from dataspoke.health.scoring import FRESH_FOR, RULES, describes, score

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ABOUT = "One row for each parcel that left the warehouse."

texts = st.sampled_from([None, "", "TODO", "n/a", "shop.orders", "Orders", ABOUT]) | st.text()
words = st.lists(st.sampled_from(["urn:li:tag:PII", "urn:li:tag:Tier1"]), max_size=2).map(tuple)
fields = st.builds(
    Field,
    path=st.sampled_from(["id", "order_id", "placedAt", "total gross"]) | st.text(min_size=1),
    description=texts,
    tags=words,
    terms=words,
)
datasets = st.builds(
    Dataset,
    urn=st.just("urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"),
    name=st.sampled_from(["shop.orders", "Orders"]),
    platform=st.just("urn:li:dataPlatform:postgres"),
    description=texts,
    fields=st.lists(fields, max_size=6).map(tuple),
    owners=words,
    tags=words,
    terms=words,
    domain=st.none() | st.just("urn:li:domain:sales"),
    deprecated=st.booleans(),
    last_updated=st.none() | st.timedeltas(timedelta(0), timedelta(400)).map(lambda ago: NOW - ago),
)


def obey(dataset: Dataset, finding: Finding) -> Dataset:
    """Do what the finding's action asks for."""
    assert finding.action is not None
    match finding.rule:
        case "description":
            return replace(dataset, description=ABOUT)
        case "owner":
            return replace(dataset, owners=("urn:li:corpuser:ada",))
        case "domain":
            return replace(dataset, domain="urn:li:domain:logistics")
        case "labels":
            return replace(dataset, tags=("urn:li:tag:PII",))
        case "described_fields":
            missing = next(f for f in dataset.fields if not describes(f.description, f.path))
            done = replace(missing, description=ABOUT)
            return replace(
                dataset, fields=tuple(done if f is missing else f for f in dataset.fields)
            )
        case "freshness":
            return replace(dataset, last_updated=NOW)
    raise AssertionError(f"no test knows how to obey {finding.rule}")


def finding(scored: HealthScore, rule: str) -> Finding | None:
    return next((f for f in scored.findings if f.rule == rule), None)


def dataset(**changes: object) -> Dataset:
    whole = Dataset(
        urn="urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)",
        name="shop.orders",
        platform="urn:li:dataPlatform:postgres",
        description=ABOUT,
        fields=(
            Field("id", description="Number on the slip."),
            Field("city", description="Where."),
        ),
        owners=("urn:li:corpuser:ada",),
        tags=("urn:li:tag:PII",),
        domain="urn:li:domain:sales",
        last_updated=NOW,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_the_weights_are_points_of_a_hundred_and_every_name_is_its_own() -> None:
    assert sum(rule.weight for rule in RULES) == 100
    assert len({rule.name for rule in RULES}) == len(RULES)


@given(datasets)
def test_the_value_is_the_weighted_share_of_the_rules_that_apply(given_one: Dataset) -> None:
    scored = score(given_one, NOW)
    assert 0 <= scored.value <= 100
    assert all(0 <= f.achieved <= 1 for f in scored.findings)
    assert all((f.action is None) == (f.achieved == 1) for f in scored.findings)
    possible = sum(f.weight for f in scored.findings)
    achieved = sum(f.weight * f.achieved for f in scored.findings)
    assert scored.value == pytest.approx(100 * achieved / possible, abs=0.051)
    assert scored == score(given_one, NOW)


@given(datasets, st.data())
def test_doing_what_an_action_asks_raises_the_score(
    given_one: Dataset, data: st.DataObject
) -> None:
    before = score(given_one, NOW)
    open_findings = [f for f in before.findings if f.action]
    if not open_findings:
        assert before.value == 100
        return
    after = score(obey(given_one, data.draw(st.sampled_from(open_findings))), NOW)
    assert after.value > before.value


@given(datasets)
def test_all_actions_together_lead_to_a_hundred(given_one: Dataset) -> None:
    steps = 0
    while actions := [f for f in score(given_one, NOW).findings if f.action]:
        given_one = obey(given_one, actions[0])
        steps += 1
        assert steps <= 20
    assert score(given_one, NOW).value == 100


@given(datasets)
def test_to_deprecate_a_dataset_never_lowers_its_score(given_one: Dataset) -> None:
    # The action of a stale dataset proposes it.
    stale = replace(given_one, deprecated=False, last_updated=NOW - FRESH_FOR - timedelta(days=1))
    assert score(replace(stale, deprecated=True), NOW).value >= score(stale, NOW).value


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, 100.0),
        ({"description": None}, 75.0),
        ({"name": "orders", "description": "Postgres table shop.orders (PROD)"}, 75.0),
        ({"owners": ()}, 80.0),
        ({"domain": None}, 85.0),
        ({"tags": ()}, 90.0),
        ({"tags": (), "terms": ("urn:li:glossaryTerm:Order",)}, 100.0),
        (
            {"tags": (), "fields": (Field("id", description="Number.", tags=("urn:li:tag:PII",)),)},
            100.0,
        ),
        ({"last_updated": NOW - FRESH_FOR}, 100.0),
        ({"last_updated": NOW - FRESH_FOR - timedelta(seconds=1)}, 90.0),
        ({"fields": (Field("id", description="Number on the slip."), Field("city"))}, 90.0),
        ({"fields": (Field("id", description="id"), Field("city", description="TODO"))}, 80.0),
        # Rules that do not apply leave the sum: 75 of 100 points become 55 of 80, 65 of 90.
        ({"description": None, "fields": ()}, 68.8),
        ({"description": None, "last_updated": None}, 72.2),
        (
            {"description": None, "deprecated": True, "last_updated": NOW - timedelta(days=900)},
            72.2,
        ),
        (
            {"description": "-", "fields": (), "owners": (), "tags": (), "domain": None}
            | {"last_updated": None},
            0.0,
        ),
    ],
)
def test_each_rule_costs_its_weight(changes: dict[str, object], value: float) -> None:
    assert score(dataset(**changes), NOW).value == value


@pytest.mark.parametrize(
    ("text", "name", "says_something"),
    [
        (None, "shop.orders", False),
        ("", "shop.orders", False),
        ("  \n", "shop.orders", False),
        ("…", "shop.orders", False),
        ("TODO", "shop.orders", False),
        ("todo: ask Ada what this is", "shop.orders", False),
        ("TBD.", "shop.orders", False),
        ("N/A", "shop.orders", False),
        ("n.a.", "shop.orders", False),
        ("-", "shop.orders", False),
        ("No description", "shop.orders", False),
        ("orders", "shop.orders", False),
        ("shop.orders", "shop.orders", False),
        ("SHOP_ORDERS", "shop.orders", False),
        ("This table contains all orders of the shop.", "shop.orders", False),
        ("The table", "shop.orders", False),
        ("placed at", "placedAt", False),
        ("stg_erp__stock_lvl", "analytics.stg.stg_erp__stock_lvl", False),
        ("Orders that were paid.", "shop.orders", True),
        ("Key of the order", "order_id", True),
        ("Bestellungen", "shop.orders", True),
        ("注文の一覧", "shop.orders", True),
        ("3", "rank", True),
        ("Todos of the team, one per row", "team.tasks", True),
    ],
)
def test_a_placeholder_or_the_name_again_is_no_description(
    text: str | None, name: str, says_something: bool
) -> None:
    assert describes(text, name) is says_something


def test_the_action_names_the_column_to_begin_with() -> None:
    columns = (Field("a", description="First letter."), Field("b"), Field("c", description="n/a"))
    found = finding(score(dataset(fields=columns), NOW), "described_fields")
    assert found == Finding(
        "described_fields", 20, pytest.approx(1 / 3), "Describe 2 more columns, b first."
    )
    found = finding(score(dataset(fields=columns[:2]), NOW), "described_fields")
    assert found is not None
    assert found.action == "Describe b."


def test_a_stale_dataset_is_told_since_when() -> None:
    found = finding(score(dataset(last_updated=datetime(2026, 3, 1, tzinfo=UTC)), NOW), "freshness")
    assert found is not None
    assert found.action is not None
    assert "2026-03-01" in found.action
