"""Deadlines as callers of the API set, read and try them."""

from datetime import timedelta
from typing import Any

import pytest

from dataspoke.catalogue import Dataset, Operation
from dataspoke.ports.store import JobKind
from tests.support.subgraph import EDITOR, NOW, PLATFORM, STRANGER, VIEWER, Subgraph, urn

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

SET = """
    mutation ($target: SlaTargetInput!) { setSlaTarget(target: $target) {
      __typename
      ... on SlaTargetSet {
        target { cron timeZone warnAt windowHours enabled setAt version }
      }
      ... on ForbiddenFailure { message }
      ... on NotFoundFailure { message }
      ... on ConflictFailure { message }
      ... on InvalidInputFailure { message }
    } }
"""
REMOVE = """
    mutation ($urn: String!) { removeSlaTarget(urn: $urn) {
      __typename
      ... on SlaTargetRemoved { urn }
      ... on ForbiddenFailure { message }
      ... on NotFoundFailure { message }
      ... on InvalidInputFailure { message }
    } }
"""
BACKTEST = """
    query ($target: SlaTargetInput!) { backtestSla(target: $target) {
      target { cron version setAt }
      record { deadlines missed warned hits hitRate recall leadTimeHours }
      history(first: 1) { deadline status arrivedAt warnedAt cause { arrived dataset { urn } } }
    } }
"""
READ = """
    quality { sla {
      target { cron version }
      nextDeadline status assessedAt chance expectedAt expectedEarliest expectedLatest warnedAt
      likeliestCause { lateHours arrived dataset { urn } }
      lastOutcome { deadline status arrivedAt warnedAt }
      history { deadline status }
      record { deadlines missed warned hits hitRate recall leadTimeHours }
    } }
"""


def target(name: str = "orders", **fields: object) -> dict[str, Any]:
    return {"urn": urn(name), "cron": "0 8 * * *", **fields}


def load(subgraph: Subgraph, name: str, hour: float, last: float | None, *above: str) -> None:
    """Let the hub know of forty nights' loads, twice late, and of the last at its own hour."""
    late = {11: 3.0, 27: 2.0}
    times = [
        NOW - day * DAY + timedelta(hours=hour + late.get(day, 0.0) + day % 7 / 50)
        for day in range(1, 41)
    ]
    if last is not None:
        times.append(NOW + timedelta(hours=last))
    subgraph.hub.put(
        Dataset(urn(name), f"shop.{name}", PLATFORM),
        operations=[Operation(time, "INSERT") for time in times],
        upstream=[urn(one) for one in above],
    )


@pytest.fixture
async def subgraph() -> Subgraph:
    """The stock is loaded at two and the orders, made from it, at four; today the stock is late."""
    made = Subgraph()
    await made.put("stock", "orders", "payroll")
    load(made, "stock", 2.0, None)
    load(made, "orders", 4.0, None, "stock")
    load(made, "payroll", 2.0, None)
    return made


async def answer(subgraph: Subgraph, token: str | None = EDITOR) -> Any:
    found = await subgraph.entities(READ, ["orders"], token)
    assert "errors" not in found, found["errors"]
    (dataset,) = found["data"]["_entities"]
    return None if dataset["quality"] is None else dataset["quality"]["sla"]


async def test_a_target_is_set_read_followed_and_removed(subgraph: Subgraph) -> None:
    assert await answer(subgraph) is None
    wanted = target(timeZone="Europe/Berlin", cron="0 9 * * *", warnAt=0.9, windowHours=10)
    saved = (await subgraph.data(SET, target=wanted))["setSlaTarget"]
    assert saved == {
        "__typename": "SlaTargetSet",
        "target": {
            "cron": "0 9 * * *",
            "timeZone": "Europe/Berlin",
            "warnAt": 0.9,
            "windowHours": 10.0,
            "enabled": True,
            "setAt": NOW.isoformat(),
            "version": 1,
        },
    }
    assert JobKind.CHECK_SLAS in {job.kind for job in subgraph.store.open_jobs}
    before = await answer(subgraph)
    assert before["nextDeadline"] == (NOW + 8 * HOUR).isoformat()
    assert (before["status"], before["chance"], before["assessedAt"]) == (None, None, None)
    assert (before["lastOutcome"], before["history"]) == (None, [])

    subgraph.clock.advance(5.5 * HOUR)
    await subgraph.slas.check(None)
    during = await answer(subgraph)
    assert during["status"] == "ON_TRACK"
    assert 0.1 < during["chance"] < 0.9
    assert during["assessedAt"] == (NOW + 5.5 * HOUR).isoformat()
    assert during["expectedEarliest"] < during["expectedAt"] < during["expectedLatest"]
    cause = during["likeliestCause"]
    assert cause["dataset"]["urn"] == urn("stock")
    assert not cause["arrived"]
    assert cause["lateHours"] == pytest.approx(3.44, abs=0.1)

    subgraph.clock.advance(4 * HOUR)
    await subgraph.slas.check(None)
    after = await answer(subgraph)
    missed = {"deadline": (NOW + 8 * HOUR).isoformat(), "status": "MISSED"}
    assert after["lastOutcome"] == {**missed, "arrivedAt": None, "warnedAt": None}
    assert after["history"] == [missed]
    assert after["nextDeadline"] == (NOW + DAY + 8 * HOUR).isoformat()
    assert after["record"] == {
        "deadlines": 1,
        "missed": 1,
        "warned": 0,
        "hits": 0,
        "hitRate": None,
        "recall": 0.0,
        "leadTimeHours": None,
    }
    alerts = await subgraph.data(
        "{ qualityAlerts { edges { node { severity message check { metric } } } } }"
    )
    (edge,) = alerts["qualityAlerts"]["edges"]
    assert edge["node"]["check"] == {"metric": "SLA"}
    assert edge["node"]["severity"] == "ERROR"
    assert edge["node"]["message"].startswith(
        "shop.orders: missed the deadline of 09:00 (Europe/Berlin); shop.stock is "
    )

    removed = (await subgraph.data(REMOVE, urn=urn("orders")))["removeSlaTarget"]
    assert removed == {"__typename": "SlaTargetRemoved", "urn": urn("orders")}
    assert await answer(subgraph) is None


async def test_a_target_is_tried_before_it_is_set(subgraph: Subgraph) -> None:
    subgraph.clock.advance(9 * HOUR)
    load(subgraph, "stock", 2.0, 7.0)
    found = (await subgraph.data(BACKTEST, target=target(warnAt=0.6)))["backtestSla"]
    assert found["target"] == {"cron": "0 8 * * *", "version": 0, "setAt": None}
    assert (found["record"]["missed"], found["record"]["hits"]) == (1, 1)
    assert found["record"]["recall"] == 1
    assert found["record"]["leadTimeHours"] > 0.5
    (last,) = found["history"]
    assert (last["status"], last["arrivedAt"]) == ("MISSED", None)
    assert last["cause"]["dataset"]["urn"] == urn("stock")
    assert not subgraph.store.audit_log
    assert await answer(subgraph) is None


@pytest.mark.parametrize(
    ("token", "wanted", "failure", "message"),
    [
        (VIEWER, target(), "ForbiddenFailure", "Edit Assertions"),
        (STRANGER, target(), "NotFoundFailure", "There is no dataset"),
        (EDITOR, target("nothing"), "NotFoundFailure", "There is no dataset"),
        (EDITOR, target(version=3), "ConflictFailure", "read it again"),
        (EDITOR, target(cron="at eight"), "InvalidInputFailure", "write minute, hour"),
        (EDITOR, target(timeZone="CET/9"), "InvalidInputFailure", "Europe/Berlin"),
        (EDITOR, target(warnAt=2), "InvalidInputFailure", "above 0 and at most 1"),
        (EDITOR, target(windowHours=1e300), "InvalidInputFailure", "windowHours"),
        (EDITOR, {**target(), "urn": "orders"}, "InvalidInputFailure", "is not a dataset urn"),
    ],
)
async def test_a_target_that_cannot_be_set(
    subgraph: Subgraph, token: str, wanted: dict[str, Any], failure: str, message: str
) -> None:
    result = (await subgraph.data(SET, token, target=wanted))["setSlaTarget"]
    assert result["__typename"] == failure
    assert message in result["message"]
    assert not subgraph.store.audit_log


@pytest.mark.parametrize(
    ("token", "failure"), [(VIEWER, "ForbiddenFailure"), (STRANGER, "NotFoundFailure")]
)
async def test_a_target_that_cannot_be_removed(
    subgraph: Subgraph, token: str, failure: str
) -> None:
    await subgraph.data(SET, target=target())
    refused = (await subgraph.data(REMOVE, token, urn=urn("orders")))["removeSlaTarget"]
    assert refused["__typename"] == failure
    unknown = (await subgraph.data(REMOVE, urn=urn("stock")))["removeSlaTarget"]
    assert unknown["__typename"] == "NotFoundFailure"
    assert await answer(subgraph) is not None


async def test_what_operations_tell_is_shown_to_those_who_may_see_them(subgraph: Subgraph) -> None:
    await subgraph.data(SET, target=target())
    await subgraph.data(SET, target=target("payroll"))
    for token, seen in ((EDITOR, True), (VIEWER, False)):
        found = await subgraph.entities("quality { sla { status } }", ["orders", "payroll"], token)
        orders, payroll = (one["quality"]["sla"] for one in found["data"]["_entities"])
        assert orders is not None
        assert (payroll is not None) == seen
    assert await answer(subgraph, STRANGER) is None
    refused = await subgraph.ask(BACKTEST, VIEWER, target=target("payroll"))
    assert refused["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    unseen = await subgraph.ask(BACKTEST, STRANGER, target=target())
    assert unseen["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


@pytest.mark.parametrize("token", [None, "unknown"])
async def test_changes_need_a_token(subgraph: Subgraph, token: str | None) -> None:
    for document, variables in ((SET, {"target": target()}), (REMOVE, {"urn": urn("orders")})):
        refused = await subgraph.ask(document, token, **variables)
        assert refused["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert not subgraph.store.audit_log


async def test_many_datasets_cost_as_many_calls_as_one(subgraph: Subgraph) -> None:
    counts = []
    for name in ("orders", "stock", "payroll"):
        await subgraph.data(SET, target=target(name))
    for names in (["orders"], ["orders", "stock", "payroll"]):
        subgraph.calls.clear()
        await subgraph.entities("quality { sla { status chance } }", names)
        counts.append(dict(subgraph.calls))
    assert counts[0] == counts[1]
