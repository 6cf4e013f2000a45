"""What callers do with alerts and monitors, through GraphQL."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dataspoke.catalogue import Dataset, Usage
from dataspoke.quality.model import Metric
from tests.support.subgraph import (
    EDITOR,
    NOW,
    PLATFORM,
    SERVICE,
    STRANGER,
    VIEWER,
    Subgraph,
    alert_of,
    urn,
)

FAILURES = """
    ... on ForbiddenFailure { message }
    ... on NotFoundFailure { message }
    ... on ConflictFailure { message }
    ... on InvalidInputFailure { message }
"""
SHOWN = "alert { state snoozedUntil endedAt closedBy feedback }"
SNOOZE = f"""
    mutation ($id: ID!, $until: DateTime!) {{ done: snoozeAlert(id: $id, until: $until) {{
      __typename ... on AlertSnoozed {{ {SHOWN} }} {FAILURES}
    }} }}
"""
CLOSE = f"""
    mutation ($id: ID!) {{ done: closeAlert(id: $id) {{
      __typename ... on AlertClosed {{ {SHOWN} }} {FAILURES}
    }} }}
"""
ASSESS = f"""
    mutation ($id: ID!, $feedback: QualityFeedback!) {{
      done: assessAlert(id: $id, feedback: $feedback) {{
        __typename ... on AlertAssessed {{ {SHOWN} }} {FAILURES}
      }}
    }}
"""
CONFIGURE = f"""
    mutation ($monitor: QualityMonitorInput!) {{ done: configureMonitor(monitor: $monitor) {{
      __typename
      ... on MonitorConfigured {{ monitor {{
        enabled alertsPerFortnight country exclusions {{ start end }} mutedUntil version
      }} }}
      {FAILURES}
    }} }}
"""
TOMORROW = (NOW + timedelta(days=1)).isoformat()
WRITES: dict[str, tuple[str, dict[str, object]]] = {
    "snooze": (SNOOZE, {"id": str(alert_of("orders").id), "until": TOMORROW}),
    "close": (CLOSE, {"id": str(alert_of("orders").id)}),
    "assess": (ASSESS, {"id": str(alert_of("orders").id), "feedback": "REAL"}),
    "configure": (CONFIGURE, {"monitor": {"urn": urn("orders"), "version": 0}}),
}


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph()
    await made.put("orders", "payroll", failing=["orders", "payroll"])
    return made


async def did(subgraph: Subgraph, query: str, token: str = EDITOR, /, **variables: object) -> Any:
    return (await subgraph.data(query, token, **variables))["done"]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("token", "outcome"),
    [(STRANGER, "NotFoundFailure"), (VIEWER, "ForbiddenFailure"), (EDITOR, None), (SERVICE, None)],
)
async def test_only_who_may_edit_assertions_changes_anything(
    subgraph: Subgraph, write: str, token: str, outcome: str | None
) -> None:
    query, variables = WRITES[write]
    result = await did(subgraph, query, token, **variables)
    if outcome is None:
        assert "Failure" not in result["__typename"]
        (recorded,) = subgraph.store.audit_log
        assert recorded[0] == (await subgraph.hub.actor(token)).urn
    else:
        assert (result["__typename"], bool(result["message"])) == (outcome, True)
        assert not subgraph.store.audit_log


@pytest.mark.parametrize("write", WRITES)
async def test_nobody_changes_anything_without_a_token(subgraph: Subgraph, write: str) -> None:
    query, variables = WRITES[write]
    answer = await subgraph.ask(query, None, **variables)
    assert answer["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert not subgraph.store.audit_log


async def test_an_alert_is_put_off_and_ended(subgraph: Subgraph) -> None:
    alert = str(alert_of("orders").id)
    snoozed = await did(subgraph, SNOOZE, id=alert, until=TOMORROW)
    assert (snoozed["alert"]["state"], snoozed["alert"]["snoozedUntil"]) == ("SNOOZED", TOMORROW)
    closed = await did(subgraph, CLOSE, id=alert)
    assert closed["alert"] == {
        "state": "CLOSED",
        "snoozedUntil": None,
        "endedAt": NOW.isoformat(),
        "closedBy": (await subgraph.hub.actor(EDITOR)).urn,
        "feedback": None,
    }
    again = await did(subgraph, CLOSE, id=alert)
    assert again["__typename"] == "ConflictFailure"


async def test_a_time_without_zone_or_in_the_past_is_refused(subgraph: Subgraph) -> None:
    alert = str(alert_of("orders").id)
    for until, words in (("2026-11-25T08:00:00", "time zone"), (NOW.isoformat(), "at most 90")):
        refused = await did(subgraph, SNOOZE, id=alert, until=until)
        assert refused["__typename"] == "InvalidInputFailure"
        assert words in refused["message"]


async def test_what_was_no_fault_is_closed_and_remembered(subgraph: Subgraph) -> None:
    alert = alert_of("orders")
    said = await did(subgraph, ASSESS, id=str(alert.id), feedback="FALSE_POSITIVE")
    assert (said["alert"]["state"], said["alert"]["feedback"]) == ("CLOSED", "FALSE_POSITIVE")
    (kept,) = (await subgraph.store.feedback_on([alert.urn]))[alert.urn]
    assert kept.point_time == alert.observed_at


async def test_a_monitor_is_configured_and_shown(subgraph: Subgraph) -> None:
    shown = "qualityMonitor { enabled alertsPerFortnight country mutedUntil version }"
    before = await subgraph.entities(shown, ["orders"])
    assert before["data"]["_entities"][0]["qualityMonitor"]["version"] == 0
    wanted = {
        "enabled": False,
        "alertsPerFortnight": 0.5,
        "country": "DE",
        "exclusions": [{"start": NOW.isoformat(), "end": TOMORROW}],
        "mutedUntil": TOMORROW,
    }
    monitor = {"urn": urn("orders"), "version": 0, **wanted}
    configured = await did(subgraph, CONFIGURE, monitor=monitor)
    assert configured["monitor"] == {**wanted, "version": 1}
    stale = await did(subgraph, CONFIGURE, monitor=monitor)
    assert stale["__typename"] == "ConflictFailure"
    after = await subgraph.entities(shown, ["orders"], VIEWER)
    assert after["data"]["_entities"][0]["qualityMonitor"]["country"] == "DE"
    hidden = await subgraph.entities(shown, ["orders"], STRANGER)
    assert hidden["data"]["_entities"][0]["qualityMonitor"] is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"alertsPerFortnight": 0}, "alertsPerFortnight is 0"),
        ({"alertsPerFortnight": 15}, "at most 14"),
        ({"exclusions": [{"start": TOMORROW, "end": NOW.isoformat()}]}, "let it end after"),
        ({"country": "Germany"}, "country is 'Germany'"),
        ({"urn": "urn:li:corpuser:me"}, "is not a dataset urn"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    subgraph: Subgraph, wrong: dict[str, object], words: str
) -> None:
    monitor = {"urn": urn("orders"), "version": 0, **wrong}
    refused = await did(subgraph, CONFIGURE, monitor=monitor)
    assert refused["__typename"] == "InvalidInputFailure"
    assert words in refused["message"]


async def test_an_alert_names_those_it_explains_to_who_may_see_them(subgraph: Subgraph) -> None:
    cause = alert_of("orders")
    victim = alert_of("payroll", Metric.FRESHNESS)
    await subgraph.save_alerts(victim)
    alerts = await subgraph.store.active_alerts([victim.urn])
    explained = [replace(a, cause=cause.id) for a in alerts[victim.urn]]
    async with subgraph.store.transaction() as tx:
        await tx.save_alerts(explained)
    query = """
        query ($urns: [String!]) { qualityAlerts(urns: $urns) { edges { node {
          causeId victims { metric causeId dataset { urn } }
        } } } }
    """
    for token, metrics in ((EDITOR, ["ROW_COUNT", "FRESHNESS"]), (VIEWER, ["ROW_COUNT"])):
        found = await subgraph.data(query, token, urns=[urn("orders")])
        (edge,) = found["qualityAlerts"]["edges"]
        assert edge["node"]["causeId"] is None
        victims = edge["node"]["victims"]
        assert sorted(v["metric"] for v in victims) == sorted(metrics)
        assert {v["causeId"] for v in victims} == {str(cause.id)}


async def test_the_history_of_a_metric_is_shown_to_who_may_see_it(subgraph: Subgraph) -> None:
    field = """quality { history(metric: FRESHNESS) {
        check { metric } points { time value low high isAnomaly }
    } }"""
    answer = await subgraph.entities(field, ["orders", "payroll"], VIEWER)
    orders, payroll = (e["quality"]["history"] for e in answer["data"]["_entities"])
    assert orders["check"] == {"metric": "FRESHNESS"}
    assert [(p["value"], p["low"], p["high"]) for p in orders["points"]] == [(42.0, 30.0, 50.0)] * 2
    assert [p["isAnomaly"] for p in orders["points"]] == [False, True]
    assert payroll["points"] == []


@pytest.mark.parametrize("last", [0, 1001])
async def test_a_history_has_one_to_a_thousand_points(subgraph: Subgraph, last: int) -> None:
    field = f"quality {{ history(metric: ROW_COUNT, last: {last}) {{ points {{ value }} }} }}"
    answer = await subgraph.entities(field, ["orders"])
    assert answer["errors"][0]["extensions"] == {"code": "INVALID_INPUT"}


async def test_a_verdict_shows_its_dimensions(subgraph: Subgraph) -> None:
    answer = await subgraph.entities(
        "quality { score dimensions { dimension status score } }", ["orders"]
    )
    (found,) = answer["data"]["_entities"]
    assert found["quality"]["dimensions"] == [
        {"dimension": "VOLUME", "status": "FAIL", "score": 0.0}
    ]
    assert found["quality"]["score"] == 0.0


async def test_an_alert_tells_what_depends_on_its_dataset(subgraph: Subgraph) -> None:
    orders = Dataset(urn("orders"), "shop.orders", PLATFORM, owners=("urn:li:corpuser:ana",))
    usage = [Usage(NOW - timedelta(days=day), queries=10) for day in (1, 2, 40)]
    subgraph.hub.put(orders, usage=usage)
    subgraph.hub.put(Dataset(urn("mart"), "mart", PLATFORM), upstream=[urn("orders")])
    subgraph.hub.put(Dataset(urn("report"), "report", PLATFORM), upstream=[urn("mart")])
    query = """query ($urns: [String!]) { qualityAlerts(urns: $urns) { edges { node { impact {
        downstreamDatasets complete queriesLastMonth ownerUrns
    } } } } }"""
    for token, queries in ((EDITOR, 20), (VIEWER, None)):
        found = await subgraph.data(query, token, urns=[urn("orders")])
        assert found["qualityAlerts"]["edges"][0]["node"]["impact"] == {
            "downstreamDatasets": 2,
            "complete": True,
            "queriesLastMonth": queries,
            "ownerUrns": ["urn:li:corpuser:ana"],
        }
