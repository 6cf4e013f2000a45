"""Backtests through GraphQL."""

from datetime import timedelta

import pytest

from dataspoke.catalogue import Dataset, Profile
from tests.support.subgraph import EDITOR, NOW, PLATFORM, STRANGER, VIEWER, Subgraph, urn

BACKTEST = """
    query ($urn: String!, $metric: QualityMetric, $column: String, $days: Int!, $most: Int!) {
      backtestMonitor(urn: $urn, metric: $metric, column: $column, days: $days) {
        since until alertsPerMonth
        checks {
          check { metric column } judged outOfRange alertsPerMonth
          alerts {
            message openedAt endedAt reopened value expected low high score
            peak { time value isAnomaly }
          }
          points(most: $most) { time value expected low high isAnomaly }
        }
      }
    }
"""
DAY = timedelta(days=1)


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph()
    await made.put("orders", "payroll")
    rows = [4000 + day % 7 for day in range(50)]
    rows[40] = 12
    history = [Profile(NOW - (49 - day) * DAY, count) for day, count in enumerate(rows)]
    made.hub.put(Dataset(urn("orders"), "shop.orders", PLATFORM), profiles=history)
    return made


async def test_a_backtest_shows_alerts_and_what_a_picture_needs(subgraph: Subgraph) -> None:
    before = dict(subgraph.calls)
    data = await subgraph.data(BACKTEST, VIEWER, urn=urn("orders"), days=20, most=1000)
    found = data["backtestMonitor"]
    assert (found["since"], found["until"]) == ((NOW - 20 * DAY).isoformat(), NOW.isoformat())
    (check,) = found["checks"]
    assert check["check"] == {"metric": "ROW_COUNT", "column": None}
    assert (check["judged"], check["outOfRange"]) == (21, 1)
    assert found["alertsPerMonth"] == check["alertsPerMonth"] == pytest.approx(1.52, abs=0.01)
    (alert,) = check["alerts"]
    assert alert["openedAt"] == (NOW - 9 * DAY).isoformat()
    assert alert["endedAt"] == (NOW - 8 * DAY).isoformat()
    assert (alert["value"], alert["reopened"]) == (12, 0)
    assert 3000 < alert["low"] < alert["expected"] < alert["high"] < 5000
    assert alert["peak"] == {"time": alert["openedAt"], "value": 12, "isAnomaly": True}
    assert "row count was 12 rows" in alert["message"]
    points = check["points"]
    assert len(points) == 21
    assert [point["value"] for point in points if point["isAnomaly"]] == [12]
    assert subgraph.calls["transaction"] == before.get("transaction", 0)


async def test_a_picture_is_given_no_more_than_it_asks_for(subgraph: Subgraph) -> None:
    data = await subgraph.data(BACKTEST, EDITOR, urn=urn("orders"), days=20, most=5)
    (check,) = data["backtestMonitor"]["checks"]
    assert len(check["points"]) == 5
    assert any(point["isAnomaly"] for point in check["points"])


@pytest.mark.parametrize(
    ("token", "asked", "code", "said"),
    [
        (None, {}, "UNAUTHENTICATED", ""),
        (STRANGER, {}, "NOT_FOUND", "There is no dataset"),
        (EDITOR, {"urn": "orders"}, "INVALID_INPUT", "is not a dataset urn"),
        (EDITOR, {"days": 0}, "INVALID_INPUT", "days is 0; give 1 to 730"),
        (EDITOR, {"most": 0}, "INVALID_INPUT", "most must be 1 to 1000; it is 0"),
        (EDITOR, {"column": "email"}, "INVALID_INPUT", "name the column's metric"),
        (
            VIEWER,
            {"urn": urn("payroll"), "metric": "FRESHNESS"},
            "FORBIDDEN",
            "needs the privilege View Dataset Operations",
        ),
    ],
)
async def test_what_cannot_be_answered_says_why(
    subgraph: Subgraph, token: str | None, asked: dict[str, object], code: str, said: str
) -> None:
    variables = {"urn": urn("orders"), "days": 20, "most": 10} | asked
    answer = await subgraph.ask(BACKTEST, token, **variables)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == code
    assert said in error["message"]
