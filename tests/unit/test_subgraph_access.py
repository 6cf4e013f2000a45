"""Who may see and do what, field by field."""

from typing import Any

import pytest

from dataspoke.ports.store import JobKind, NewJob
from dataspoke.quality.model import AlertState, Metric
from tests.support.subgraph import EDITOR, SERVICE, STRANGER, VIEWER, Subgraph, alert_of, urn

# No token at all, and one that the hub does not know.
ANONYMOUS, UNKNOWN = None, "unknown"

SCAN = """
    mutation ($urns: [String!]) { requestScan(urns: $urns) {
      __typename
      ... on ScanRequested { jobs }
      ... on ForbiddenFailure { message }
      ... on NotFoundFailure { message }
      ... on InvalidInputFailure { message }
    } }
"""
ACKNOWLEDGE = """
    mutation ($id: ID!) { acknowledgeAlert(id: $id) {
      __typename
      ... on AlertAcknowledged { alert { state acknowledgedBy acknowledgedAt } }
      ... on ForbiddenFailure { message }
      ... on NotFoundFailure { message }
      ... on ConflictFailure { message }
      ... on InvalidInputFailure { message }
    } }
"""


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph()
    await made.put("orders", "payroll", failing=["orders", "payroll"])
    # Freshness is what operations tell: a viewer must not learn it of payroll.
    await made.save_alerts(alert_of("payroll", Metric.FRESHNESS))
    return made


@pytest.mark.parametrize("token", [ANONYMOUS, UNKNOWN])
@pytest.mark.parametrize(
    "field",
    [
        "quality { status }",
        "healthScore { value }",
        "similarDatasets { score }",
    ],
)
async def test_fields_of_a_dataset_need_a_token(
    subgraph: Subgraph, field: str, token: str | None
) -> None:
    answer = await subgraph.entities(f"urn {field}", ["orders"], token)
    (found,) = answer["data"]["_entities"]
    assert list(found.values()) == [urn("orders"), None]
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize("token", [ANONYMOUS, UNKNOWN])
@pytest.mark.parametrize(
    "field",
    [
        'knowledgeSearch(query: "orders") { mode }',
        "qualityAlerts { edges { cursor } }",
        "healthLeaderboard { edges { cursor } }",
        "dataspokeStatus { version }",
    ],
)
async def test_roots_need_a_token(subgraph: Subgraph, field: str, token: str | None) -> None:
    answer = await subgraph.ask(f"{{ {field} }}", token)
    assert list(answer["data"].values()) == [None]
    assert answer["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize("token", [ANONYMOUS, UNKNOWN])
@pytest.mark.parametrize(
    ("mutation", "variables"),
    [(SCAN, {"urns": [urn("orders")]}), (ACKNOWLEDGE, {"id": str(alert_of("orders").id)})],
)
async def test_mutations_need_a_token(
    subgraph: Subgraph, mutation: str, variables: dict[str, Any], token: str | None
) -> None:
    answer = await subgraph.ask(mutation, token, **variables)
    assert list(answer["data"].values()) == [None]
    assert answer["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert not subgraph.store.audit_log


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("Basic ZWRpdG9yOg==", "write it as Bearer TOKEN"),
        ("Bearer", "write it as Bearer TOKEN"),
        ("Bearer a b", "write it as Bearer TOKEN"),
        ("Bearer a\tb", "write it as Bearer TOKEN"),
        ("Bearer none", "does not accept"),
    ],
)
async def test_a_header_that_cannot_be_used_is_told_so(
    subgraph: Subgraph, authorization: str, message: str
) -> None:
    body = {"query": "{ dataspokeStatus { version } }"}
    response = await subgraph.post(body, headers={"authorization": authorization})
    (error,) = response.json()["errors"]
    assert message in error["message"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize("authorization", ["bearer editor", "BEARER  editor "])
async def test_the_scheme_is_read_in_any_case(subgraph: Subgraph, authorization: str) -> None:
    body = {"query": "{ dataspokeStatus { version } }"}
    response = await subgraph.post(body, headers={"authorization": authorization})
    assert response.json()["data"]["dataspokeStatus"]["version"]


@pytest.mark.parametrize(
    ("token", "metrics", "value", "neighbours"),
    [
        (STRANGER, None, None, 0),
        (VIEWER, ["ROW_COUNT"], 20.0, 1),
        (EDITOR, ["ROW_COUNT", "FRESHNESS"], 20.0, 1),
        (SERVICE, ["ROW_COUNT", "FRESHNESS"], 20.0, 1),
    ],
)
async def test_a_dataset_shows_what_the_caller_may_see(
    subgraph: Subgraph,
    token: str,
    metrics: list[str] | None,
    value: float | None,
    neighbours: int,
) -> None:
    answer = await subgraph.entities(
        """
        quality { results { metric } more: results(first: 5) { metric } alerts { metric } }
        healthScore { value } similarDatasets { score }
        """,
        ["payroll"],
        token,
    )
    assert "errors" not in answer
    (found,) = answer["data"]["_entities"]
    assert (found["healthScore"] or {}).get("value") == value
    assert len(found["similarDatasets"]) == neighbours
    if metrics is None:
        assert found["quality"] is None
        return
    for field in ("results", "more", "alerts"):
        assert {one["metric"] for one in found["quality"][field]} == set(metrics)


@pytest.mark.parametrize(
    ("token", "alerts", "ranked", "found"),
    [(STRANGER, 0, 0, 0), (VIEWER, 2, 2, 2), (EDITOR, 3, 2, 2), (SERVICE, 3, 2, 2)],
)
async def test_lists_hold_what_the_caller_may_see(
    subgraph: Subgraph, token: str, alerts: int, ranked: int, found: int
) -> None:
    data = await subgraph.data(
        """{
          qualityAlerts { edges { node { metric } } }
          healthLeaderboard { edges { cursor } }
          knowledgeSearch(query: "shop orders payroll") { edges { cursor } }
          dataspokeStatus { version }
        }""",
        token,
    )
    assert len(data["qualityAlerts"]["edges"]) == alerts
    assert len(data["healthLeaderboard"]["edges"]) == ranked
    assert len(data["knowledgeSearch"]["edges"]) == found
    assert data["dataspokeStatus"]["version"]


@pytest.mark.parametrize(
    ("token", "urns", "outcome"),
    [
        (STRANGER, [urn("orders")], "NotFoundFailure"),
        (VIEWER, [urn("orders")], "ForbiddenFailure"),
        (EDITOR, [urn("orders"), urn("payroll")], "ScanRequested"),
        (SERVICE, [urn("orders")], "ScanRequested"),
        (EDITOR, [urn("orders"), urn("unknown")], "NotFoundFailure"),
        (EDITOR, ["orders"], "InvalidInputFailure"),
        (STRANGER, None, "ForbiddenFailure"),
        (VIEWER, None, "ForbiddenFailure"),
        (EDITOR, None, "ForbiddenFailure"),
        (SERVICE, None, "ScanRequested"),
    ],
)
async def test_scans_are_for_those_who_may_edit(
    subgraph: Subgraph, token: str, urns: list[str] | None, outcome: str
) -> None:
    asked_before = len(_scans(subgraph))
    result = (await subgraph.data(SCAN, token, urns=urns))["requestScan"]
    assert result["__typename"] == outcome
    added = len(_scans(subgraph)) - asked_before
    if outcome == "ScanRequested":
        assert result["jobs"] == added == (1 if urns is None else len(urns))
    else:
        assert result["message"]
        assert added == 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",) * 2,
        ("00-anything-else-01", None),
    ],
)
async def test_a_scan_carries_on_the_trace_of_who_asked_for_it(
    subgraph: Subgraph, sent: str, kept: str | None
) -> None:
    body = {"query": SCAN, "variables": {"urns": [urn("orders")]}}
    await subgraph.post(body, token=EDITOR, headers={"traceparent": sent})
    assert [job.traceparent for job in _scans(subgraph)] == [kept]


@pytest.mark.parametrize(
    ("token", "outcome"),
    [
        (STRANGER, "NotFoundFailure"),
        (VIEWER, "ForbiddenFailure"),
        (EDITOR, "AlertAcknowledged"),
        (SERVICE, "AlertAcknowledged"),
    ],
)
async def test_alerts_are_acknowledged_by_those_who_may_edit(
    subgraph: Subgraph, token: str, outcome: str
) -> None:
    alert = alert_of("orders")
    result = (await subgraph.data(ACKNOWLEDGE, token, id=str(alert.id)))["acknowledgeAlert"]
    assert result["__typename"] == outcome
    kept = await subgraph.store.alert(alert.id)
    assert kept is not None
    if outcome == "AlertAcknowledged":
        actor = await subgraph.hub.actor(token)
        assert result["alert"]["state"] == "ACKNOWLEDGED"
        assert result["alert"]["acknowledgedBy"] == actor.urn == kept.acknowledged_by
        assert (actor.urn, "acknowledge_alert", (str(alert.id),)) in subgraph.store.audit_log
    else:
        assert result["message"]
        assert kept.state is AlertState.OPEN


@pytest.mark.parametrize(
    ("alert", "outcome"),
    [
        ("1", "InvalidInputFailure"),
        ("00000000-0000-0000-0000-000000000000", "NotFoundFailure"),
        (str(alert_of("payroll", Metric.FRESHNESS).id), "AlertAcknowledged"),
    ],
)
async def test_an_alert_that_is_none_is_a_failure_of_its_type(
    subgraph: Subgraph, alert: str, outcome: str
) -> None:
    result = (await subgraph.data(ACKNOWLEDGE, EDITOR, id=alert))["acknowledgeAlert"]
    assert result["__typename"] == outcome


async def test_an_alert_on_hidden_operations_is_not_found(subgraph: Subgraph) -> None:
    hidden = str(alert_of("payroll", Metric.FRESHNESS).id)
    result = (await subgraph.data(ACKNOWLEDGE, VIEWER, id=hidden))["acknowledgeAlert"]
    assert result["__typename"] == "NotFoundFailure"


async def test_who_comes_second_is_told_of_the_conflict(subgraph: Subgraph) -> None:
    alert = str(alert_of("orders").id)
    await subgraph.data(ACKNOWLEDGE, EDITOR, id=alert)
    again = (await subgraph.data(ACKNOWLEDGE, EDITOR, id=alert))["acknowledgeAlert"]
    assert again["__typename"] == "AlertAcknowledged"
    second = (await subgraph.data(ACKNOWLEDGE, SERVICE, id=alert))["acknowledgeAlert"]
    assert second["__typename"] == "ConflictFailure"


def _scans(subgraph: Subgraph) -> list[NewJob]:
    kinds = (JobKind.SCAN_ALL, JobKind.SCAN_DATASETS)
    return [job for job in subgraph.store.open_jobs if job.kind in kinds]
