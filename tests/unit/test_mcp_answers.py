"""What agents are given: it is bounded whatever the catalogue holds, and says what it lacks."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.errors import DependencyRejected, InvalidInput, NotFound
from dataspoke.mcp import reading
from dataspoke.mcp.answers import MAX_TOKENS, Answer, clip, number, tokens
from dataspoke.mcp.gateway import Answered, Failure

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
DOWN = Failure("DEPENDENCY_UNAVAILABLE", "DataSpoke cannot be reached now. Try again later.")


def answered(data: Mapping[str, Any], *failures: Failure) -> Answered:
    return Answered(data, failures, "Give another token.")


def dataset(**changed: Any) -> dict[str, Any]:
    return {
        "urn": ORDERS,
        "exists": True,
        "status": {"removed": False},
        "deprecation": None,
        "properties": {"name": "orders", "description": "One row per order."},
        "editableProperties": None,
        "ownership": {"owners": [{"owner": {"urn": "urn:li:corpuser:mira"}}]},
        "domain": {"domain": {"urn": "urn:li:domain:sales", "properties": {"name": "Sales"}}},
        "tags": {"tags": [{"tag": {"urn": "urn:li:tag:Tier1"}}]},
        "glossaryTerms": None,
        "operations": [{"lastUpdatedTimestamp": 1764000000000}],
        "quality": quality(),
        "healthScore": {
            "value": 62.5,
            "scoredAt": "2026-11-24T08:00:00+00:00",
            "findings": [
                {"rule": "OWNER", "achieved": 1.0, "action": None},
                {"rule": "DESCRIPTION", "achieved": 0.5, "action": "Describe three columns."},
            ],
        },
        **changed,
    }


def quality(**changed: Any) -> dict[str, Any]:
    return {
        "status": "FAIL",
        "score": 50.0,
        "scannedAt": "2026-11-24T08:00:00+00:00",
        "dimensions": [{"dimension": "VOLUME", "status": "FAIL", "score": 0.0}],
        "sla": {
            "nextDeadline": "2026-11-25T08:00:00+00:00",
            "status": "AT_RISK",
            "chance": 0.83,
            "expectedAt": "2026-11-25T09:10:00+00:00",
        },
        "alerts": [alert()],
        "results": [
            result(status="PASS", check={"metric": "MEAN", "column": "total", "ruleId": None}),
            result(),
            result(
                status="WARN",
                check={"metric": None, "column": None, "ruleId": "r1"},
                detail="3 rows of orders without a customer.",
            ),
        ],
        "rules": [{"id": "r1", "name": "orders-have-customers"}],
        **changed,
    }


def alert(**changed: Any) -> dict[str, Any]:
    return {
        "id": "a1",
        "check": {"metric": "ROW_COUNT", "column": None, "ruleId": None},
        "severity": "ERROR",
        "state": "OPEN",
        "message": "shop.orders: row count was 50 rows, expected 80–120 rows.",
        "openedAt": "2026-11-24T08:00:01+00:00",
        "causeId": "a0",
        **changed,
    }


def result(**changed: Any) -> dict[str, Any]:
    return {
        "check": {"metric": "ROW_COUNT", "column": None, "ruleId": None},
        "status": "FAIL",
        "value": 50.0,
        "expected": 100.0,
        "low": 80.0,
        "high": 120.0,
        "observedAt": "2026-11-24T07:00:00+00:00",
        "detail": None,
        **changed,
    }


def edge(number: int, **changed: Any) -> dict[str, Any]:
    found = dataset(
        urn=f"urn:li:dataset:(urn:li:dataPlatform:postgres,shop.t{number},PROD)", **changed
    )
    return {"cursor": f"c{number}", "node": hit(found)}


def hit(found: Mapping[str, Any], why: Sequence[str] = ("name",), **trust: Any) -> dict[str, Any]:
    return {"score": 0.5, "why": list(why), "trust": trust or None, "dataset": found}


def search(
    *edges: Mapping[str, Any],
    more: bool = False,
    notice: str | None = None,
    filters: Sequence[Mapping[str, Any]] = (),
) -> Any:
    return {
        "knowledgeSearch": {
            "mode": "HYBRID",
            "notice": notice,
            "interpretation": {"filters": filters},
            "pageInfo": {"hasNextPage": more},
            "edges": edges,
        }
    }


# --- how long ---

# Marks that JSON doubles, and characters of many bytes, are what makes answers long.
TEXTS = st.one_of(
    st.text(max_size=50),
    st.builds(lambda text, times: text * times, st.text(max_size=20), st.integers(0, 300)),
    st.sampled_from(['"\\' * 1500, "\U0001f600" * 1000, "word " * 1000]),
)
SHORT_URNS = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=400)


@given(TEXTS, st.integers(3, 500))
def test_what_is_clipped_is_one_line_of_that_many_bytes(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped.encode()) <= limit
    assert clipped.isprintable()
    if len(text.encode()) <= limit and text.isprintable():
        assert clipped == " ".join(text.split())


def assert_bounded(answer: Answer) -> None:
    assert tokens(answer.text()) <= MAX_TOKENS
    assert tokens(answer.model_dump_json()) <= MAX_TOKENS


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_catalogue_makes_an_answer_too_long_for_a_model(data: st.DataObject) -> None:
    def some(most: int) -> int:
        return data.draw(st.integers(0, most))

    text, name = data.draw(TEXTS), data.draw(SHORT_URNS)
    urn = f"urn:li:dataset:(urn:li:dataPlatform:postgres,{name}x,PROD)"
    labels = [{"tag": {"urn": f"urn:li:tag:{text}"}}] * some(40)
    node = dataset(
        urn=urn,
        properties={"name": text, "description": text},
        tags={"tags": labels},
        deprecation={"deprecated": True, "note": text},
        quality=quality(
            alerts=[alert(message=text)] * some(30),
            results=[result(detail=text, status=data.draw(st.sampled_from(["PASS", "FAIL"])))]
            * some(60),
        ),
    )
    failures = [Failure("X", f"{number} {text}", ("dataset", text)) for number in range(some(9))]
    hits = [
        {
            "cursor": "c",
            "node": hit(
                node,
                [text] * some(30),
                value=0.5,
                parts=[{"name": "alerts", "value": 0.1, "note": text}] * some(9),
            ),
        }
    ] * some(50)
    read = [{"kind": "TAG", "name": text, "words": text}] * some(9)
    relatives = [{"degree": 1, "entity": {**node, "type": "DATASET"}}] * some(50)
    walked = {"start": 0, "total": 500, "isPartial": True, "searchResults": relatives}
    found = answered(
        {
            "dataset": node,
            "searchAcrossLineage": walked,
            **search(*hits, notice=text, filters=read),
        },
        *failures,
    )
    assert_bounded(reading.dataset_answer(found, urn, 0))
    assert_bounded(reading.lineage_answer(found, urn, "UPSTREAM"))
    assert_bounded(reading.search_answer(found))


def test_reading_on_by_the_cursor_shows_every_item_once() -> None:
    results = [
        result(check={"metric": "MEAN", "column": f"column_{number:03}", "ruleId": None})
        for number in range(300)
    ]
    found = answered({"dataset": dataset(quality=quality(results=results))})
    seen, cursor = [], None
    for _ in range(100):
        answer = reading.dataset_answer(found, ORDERS, reading.offset(cursor))
        assert_bounded(answer)
        seen += [each.id for each in answer.alerts] + [each.check for each in answer.checks]
        seen += [each.rule for each in answer.to_do]
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 302
    assert seen[0] == "a1"


def test_what_is_cut_from_a_page_of_hits_follows_behind_its_last_one() -> None:
    long = "words " * 200
    edges = [edge(n, properties={"name": long, "description": long}) for n in range(25)]
    answer = reading.search_answer(answered(search(*edges)))
    shown = len(answer.hits)
    assert 0 < shown < 25
    assert answer.next_cursor == f"c{shown - 1}"
    assert f"{shown} of the 25" in answer.notes[-1]
    assert f'cursor "c{shown - 1}"' in answer.text()


@pytest.mark.parametrize(("more", "cursor"), [(False, None), (True, "c1")])
def test_a_whole_page_ends_where_the_api_says(more: bool, cursor: str | None) -> None:
    answer = reading.search_answer(answered(search(edge(0), edge(1), more=more)))
    assert answer.next_cursor == cursor
    assert answer.notes == []


@pytest.mark.parametrize("cursor", ["-1", "x", "²", "1" * 20, ""])
def test_a_cursor_that_is_none_is_named(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        reading.offset(cursor)


# --- what it says ---


def test_a_dataset_is_told_with_what_is_wrong_first() -> None:
    answer = reading.dataset_answer(answered({"dataset": dataset()}), ORDERS, 0)
    assert answer.text().splitlines() == [
        "orders · postgres · data FAIL · documentation 62/100",
        ORDERS,
        "One row per order.",
        "owners: urn:li:corpuser:mira; domain: Sales; tags: urn:li:tag:Tier1; "
        "data changed: 2025-11-24T16:00Z",
        "Data 50/100: VOLUME FAIL (scanned 2026-11-24T08:00Z)",
        "Deadline 2026-11-25T08:00Z, AT_RISK, chance to miss 83%, load expected 2026-11-25T09:10Z",
        "Open alerts:",
        "- ERROR OPEN since 2026-11-24T08:00Z: shop.orders: row count was 50 rows, expected "
        "80–120 rows. (alert a1, caused by alert a0)",
        "Checks that do not pass:",
        "- FAIL ROW_COUNT: 50, expected 80 to 120",
        "- WARN rule orders-have-customers: 3 rows of orders without a customer.",
        "Checks that pass: MEAN of total",
        "Documentation to do:",
        "- Describe three columns.",
    ]
    assert answer.notes == []


def test_what_was_never_judged_is_not_called_good() -> None:
    node = dataset(quality=None, healthScore=None)
    answer = reading.dataset_answer(answered({"dataset": node}), ORDERS, 0)
    assert answer.dataset.quality is None
    assert "data not judged" in answer.text()
    assert "PASS" not in answer.text()


def test_what_people_wrote_goes_before_what_was_generated() -> None:
    node = dataset(editableProperties={"description": "Written by hand."})
    answer = reading.dataset_answer(answered({"dataset": node}), ORDERS, 0)
    assert answer.dataset.description == "Written by hand."


def test_a_removed_and_deprecated_dataset_is_called_so() -> None:
    node = dataset(
        status={"removed": True}, deprecation={"deprecated": True, "note": "Use orders_v2."}
    )
    text = reading.dataset_answer(answered({"dataset": node}), ORDERS, 0).text()
    assert "DEPRECATED: Use orders_v2." in text
    assert "do not use it" in text


@pytest.mark.parametrize("node", [None, dataset(exists=False)])
def test_a_dataset_that_does_not_exist_is_named_with_the_way_to_find_one(node: Any) -> None:
    with pytest.raises(NotFound, match=r"shop\.orders.*search_datasets"):
        reading.dataset_answer(answered({"dataset": node}), ORDERS, 0)


def test_one_side_that_is_down_is_said_once_with_what_is_missing() -> None:
    down = [
        Failure(DOWN.code, DOWN.message, ("knowledgeSearch", "edges", number, "node", field))
        for number in range(10)
        for field in ("quality", "healthScore")
    ]
    node = search(edge(0, quality=None, healthScore=None))
    answer = reading.search_answer(answered(node, *down))
    assert answer.notes == [f"{DOWN.message} Missing here: quality, healthScore."]
    assert f"Note: {DOWN.message}" in answer.text()


def test_a_hit_says_what_speaks_against_it_and_a_page_how_it_was_understood() -> None:
    parts = [
        {"name": "freshness", "value": 0.1, "note": "last updated 9 days ago"},
        {"name": "usage", "value": None, "note": "not known"},
        {"name": "documentation", "value": 0.9, "note": "documented"},
    ]
    found = {"cursor": "c", "node": hit(dataset(), value=0.62, parts=parts)}
    filters = [{"kind": "TAG", "name": "PII", "words": "PII tables"}]
    answer = reading.search_answer(answered(search(found, filters=filters)))
    assert answer.read_filters == ["TAG PII (from 'PII tables')"]
    assert answer.hits[0].trust == 0.62
    assert answer.hits[0].doubts == ["freshness: last updated 9 days ago"]
    assert "  doubts: freshness: last updated 9 days ago" in answer.text().splitlines()


def test_a_notice_of_search_is_passed_on() -> None:
    answer = reading.search_answer(answered(search(notice="Search goes by words only.")))
    assert answer.notes == ["Search goes by words only."]
    assert answer.text().startswith("No dataset that you may see answers this.")


def test_an_answer_that_is_null_for_an_error_raises_it() -> None:
    with pytest.raises(DependencyRejected, match="DataSpoke cannot be reached now"):
        reading.search_answer(answered({"knowledgeSearch": None}, DOWN))


def test_lineage_names_what_is_no_dataset_too() -> None:
    dashboard = {
        "urn": "urn:li:dashboard:(looker,1)",
        "type": "DASHBOARD",
        "dashboard": {"name": "Morning report"},
    }
    results = [
        {"degree": 1, "entity": {**dataset(), "type": "DATASET"}},
        {"degree": 2, "entity": dashboard},
    ]
    walked = {"start": 0, "total": 7, "isPartial": None, "searchResults": results}
    found = answered({"dataset": dataset(), "searchAcrossLineage": walked})
    answer = reading.lineage_answer(found, ORDERS, "DOWNSTREAM")
    assert answer.next_cursor == "2"
    assert "- 2 · DASHBOARD Morning report" in answer.text()
    assert "open alert: shop.orders: row count was 50" in answer.text()


def test_a_verdict_has_issues_with_place_and_fix_then_alternatives() -> None:
    verdict = {
        "verdict": "BLOCK",
        "dialect": "postgres",
        "issues": [
            {
                "code": "UNKNOWN_COLUMN",
                "severity": "BLOCK",
                "message": "shop.orders has no column totl.",
                "evidence": "Its columns are id, total.",
                "place": {"line": 2, "column": 8},
                "fix": {"message": "Write total.", "replacement": "total"},
                "dataset": {"urn": ORDERS},
                "column": "totl",
            }
        ],
        "alternatives": [
            {
                "insteadOf": ORDERS,
                "why": "It has the same columns and passes its checks.",
                "missing": ["note"],
                "dataset": dataset(quality={"status": "PASS", "alerts": []}),
            }
        ],
        "inputs": [dataset()],
        "outputs": [],
    }
    answer = reading.verdict_answer(answered({"verifyContext": verdict}), 0)
    lines = answer.text().splitlines()
    assert lines[0].startswith("BLOCK: do not go on")
    assert lines[1] == (
        "- BLOCK UNKNOWN_COLUMN at line 2, column 8: shop.orders has no column totl. "
        "Evidence: Its columns are id, total. Fix: Write total. Put: total"
    )
    assert lines[2].startswith(f"- Instead of {ORDERS}: orders · postgres · data PASS")
    assert lines[4].endswith("It lacks note.")
    assert lines[6].startswith("- orders · postgres · data FAIL")
    assert answer.next_cursor is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (4879, "4,879"),
        (12513.6, "12,513.6"),
        (0.03125, "0.03125"),
        (1e20, "1e+20"),
        (-8760, "-8,760"),
    ],
)
def test_numbers_are_for_people(value: float, shown: str) -> None:
    assert number(value) == shown
