"""Runs through the API: asked for, listed, cancelled, resumed and followed."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dataspoke.ports.runs import Run, RunKind
from tests.support.asgi import websocket
from tests.support.subgraph import EDITOR, SERVICE, STRANGER, VIEWER, Subgraph, urn

RUN = "id kind scope state startedAt finishedAt total done failed requestedBy"
SCAN = f"mutation {{ requestScan {{ ... on ScanRequested {{ jobs run {{ {RUN} }} }} }} }}"
LIST = f"""
    query ($first: Int!, $after: String) {{
      qualityRuns(first: $first, after: $after) {{
        edges {{ cursor node {{ {RUN} }} }} pageInfo {{ hasNextPage endCursor }}
      }}
    }}
"""
ONE = f"query ($id: ID!) {{ qualityRun(id: $id) {{ {RUN} }} }}"
CANCEL = """
    mutation ($id: ID!) { cancelQualityRun(id: $id) { __typename
      ... on QualityRunCancelled { run { state finishedAt } }
      ... on ForbiddenFailure { message } ... on NotFoundFailure { message }
      ... on ConflictFailure { message } ... on InvalidInputFailure { message } } }
"""
RESUME = CANCEL.replace("cancel", "resume").replace("Cancelled", "Resumed")
FOLLOW = "subscription ($id: ID!) { qualityRunProgress(id: $id) { state total done } }"
NO_RUN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph(identity_check=timedelta(milliseconds=20))
    await made.put("orders", "stock")
    return made


async def requested(subgraph: Subgraph) -> Any:
    return (await subgraph.data(SCAN, SERVICE))["requestScan"]["run"]


async def begun(subgraph: Subgraph, scope: str) -> Run:
    async with subgraph.store.transaction() as tx:
        return await tx.begin_run(RunKind.SCHEDULED, scope, None)


async def test_a_scan_of_all_can_be_looked_up(subgraph: Subgraph) -> None:
    run = await requested(subgraph)
    assert (run["kind"], run["scope"], run["state"], run["total"], run["requestedBy"]) == (
        "REQUESTED",
        "all",
        "RUNNING",
        None,
        "urn:li:corpuser:dataspoke",
    )
    await subgraph.runs.begin(None, run_id=UUID(run["id"]))
    for token in (EDITOR, VIEWER, STRANGER):
        found = (await subgraph.data(ONE, token, id=run["id"]))["qualityRun"]
        assert found == {**run, "total": 2}
    assert (await subgraph.data(ONE, EDITOR, id=NO_RUN))["qualityRun"] is None
    refused = await subgraph.ask(ONE, None, id=run["id"])
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_runs_are_listed_in_pages(subgraph: Subgraph) -> None:
    runs = []
    for number in range(5):
        subgraph.clock.advance(timedelta(minutes=1))
        runs.append(await begun(subgraph, f"urn:li:domain:{number}"))
    listed: list[str] = []
    after = None
    while True:
        page = (await subgraph.data(LIST, EDITOR, first=2, after=after))["qualityRuns"]
        listed += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert listed == [str(run.id) for run in reversed(runs)]
    for wrong in ({"first": 2, "after": "here"}, {"first": 0}, {"first": 101}):
        answer = await subgraph.ask(LIST, EDITOR, **wrong)
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def test_a_run_is_cancelled_and_resumed(subgraph: Subgraph) -> None:
    run = await requested(subgraph)
    cancelled = (await subgraph.data(CANCEL, SERVICE, id=run["id"]))["cancelQualityRun"]
    assert cancelled["run"]["state"] == "CANCELLED"
    assert cancelled["run"]["finishedAt"] is not None
    again = (await subgraph.data(CANCEL, SERVICE, id=run["id"]))["cancelQualityRun"]
    assert again["__typename"] == "ConflictFailure"
    resumed = (await subgraph.data(RESUME, SERVICE, id=run["id"]))["resumeQualityRun"]
    assert resumed["run"] == {"state": "RUNNING", "finishedAt": None}


@pytest.mark.parametrize(
    ("token", "run", "failure"),
    [
        (EDITOR, NO_RUN, "ForbiddenFailure"),
        (STRANGER, NO_RUN, "ForbiddenFailure"),
        (SERVICE, NO_RUN, "NotFoundFailure"),
        (SERVICE, "seven", "InvalidInputFailure"),
    ],
)
async def test_what_cannot_be_changed_is_told_in_types(
    subgraph: Subgraph, token: str, run: str, failure: str
) -> None:
    for mutation in (CANCEL, RESUME):
        (outcome,) = (await subgraph.data(mutation, token, id=run)).values()
        assert outcome["__typename"] == failure
        assert outcome["message"]


async def test_a_run_is_followed_to_its_end(subgraph: Subgraph) -> None:
    run = await requested(subgraph)
    run_id = UUID(run["id"])
    async with websocket(subgraph.app) as socket:
        await socket.init({"Authorization": f"Bearer {EDITOR}"})
        socket.subscribe("1", FOLLOW, id=run["id"])
        await subgraph.run_feed.heard_by(1)
        seen = [(await socket.receive())["payload"]["data"]["qualityRunProgress"]]
        await subgraph.runs.begin(None, run_id=run_id)
        for name in ("orders", "stock"):
            async with subgraph.store.transaction() as tx:
                await tx.count_done(run_id, [urn(name)])
            await subgraph.run_feed.signal()
        while (message := await socket.receive())["type"] == "next":
            seen.append(message["payload"]["data"]["qualityRunProgress"])
    assert message == {"id": "1", "type": "complete"}
    assert seen[0] == {"state": "RUNNING", "total": None, "done": 0}
    assert seen[-1] == {"state": "DONE", "total": 2, "done": 2}


async def test_an_unknown_run_cannot_be_followed(subgraph: Subgraph) -> None:
    async with websocket(subgraph.app) as socket:
        await socket.init({"Authorization": f"Bearer {EDITOR}"})
        socket.subscribe("1", FOLLOW, id=NO_RUN)
        message = await socket.receive()
    assert "There is no run" in str(message)
