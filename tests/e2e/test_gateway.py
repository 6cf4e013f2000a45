"""The real gateway between the stand-in hub and the subgraph, asked as clients ask."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from dataspoke.embedded.child import free_port
from dataspoke.quality.model import AlertState
from tests.support.federation import (
    CALLERS,
    SECRET,
    TABLES,
    Federation,
    HubInFront,
    running_federation,
)
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.serving import serving
from tests.support.subgraph import EDITOR, SERVICE, VIEWER, alert_of, urn

VERDICT = """
query ($urn: String!) {
  dataset(urn: $urn) {
    properties { name description }
    healthScore { value }
    quality { status }
  }
}
"""
SEARCH = """
query ($query: String!) {
  knowledgeSearch(query: $query, first: 10) {
    edges { node { score dataset { urn properties { name } healthScore { value } } } }
  }
}
"""
RANKING = """
{
  me { corpUser { urn } }
  healthLeaderboard(first: 50) {
    edges { node { score { value } dataset { urn properties { name description } } } }
  }
}
"""
LIVE = """
subscription ($urns: [String!], $after: String) {
  qualityAlerts(urns: $urns, after: $after) {
    cursor
    alert { id state dataset { urn properties { name } } }
  }
}
"""
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with running_federation() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    federation: Federation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    with running_gateway(
        tmp_path_factory.mktemp("gateway"),
        hub_url=federation.hub.url,
        subgraph_url=federation.served.url,
        hub_token=SERVICE,
        gateway_secret=SECRET,
        ready_query="{ dataspokeStatus { version } }",
        demo_token="a-token-to-show",
    ) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Unsteady:
    """A gateway in production whose sides come and go, each at its address."""

    gateway: RunningGateway
    hub: HubInFront
    federation: Federation
    hub_port: int
    subgraph_port: int

    @contextmanager
    def serving(self, *, hub: bool = True, subgraph: bool = True) -> Iterator[HubInFront]:
        """Serve the sides meanwhile, the hub without faults to begin with."""
        self.hub.poison.clear()
        self.hub.seen.clear()
        self.hub.delay_s, self.hub.status = 0, None
        with ExitStack() as stack:
            if hub:
                stack.enter_context(serving(self.hub.app, self.hub_port))
            if subgraph:
                stack.enter_context(serving(self.federation.subgraph.app, self.subgraph_port))
            yield self.hub


@pytest.fixture(scope="module")
def unsteady(
    federation: Federation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Unsteady]:
    hub = HubInFront(federation.hub.url)
    hub_port, subgraph_port = free_port(), free_port()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATASPOKE_HUB__TIMEOUT_S", "5")
        with serving(hub.app, hub_port):
            gateway = stack.enter_context(
                running_gateway(
                    tmp_path_factory.mktemp("unsteady"),
                    hub_url=f"http://127.0.0.1:{hub_port}",
                    subgraph_url=f"http://127.0.0.1:{subgraph_port}",
                    hub_token=SERVICE,
                    gateway_secret=SECRET,
                    environment="production",
                )
            )
        yield Unsteady(gateway, hub, federation, hub_port, subgraph_port)


def codes(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return code and path of each error of an answer."""
    return [
        (error["extensions"]["code"], ".".join(map(str, error.get("path", ()))))
        for error in answer.get("errors", ())
    ]


# --- one graph ---


def test_one_question_brings_the_description_and_the_verdict(gateway: RunningGateway) -> None:
    dataset = gateway.data(VERDICT, {"urn": urn(TABLES[0])}, token=EDITOR)["dataset"]
    assert dataset == {
        "properties": {"name": TABLES[0], "description": f"DataHub on {TABLES[0]}."},
        "healthScore": {"value": 10.0},
        "quality": {"status": "FAIL"},
    }


def test_ten_hits_with_datahubs_fields_cost_one_request_to_the_hub(
    gateway: RunningGateway, federation: Federation
) -> None:
    for question in ("orders total", "all orders that there are"):
        counted, executed = gateway.requests("datahub"), federation.hub_requests()
        edges = gateway.data(SEARCH, {"query": question}, token=EDITOR)["knowledgeSearch"]["edges"]
        assert gateway.requests("datahub") - counted == 1
        assert federation.hub_requests() - executed == 1
        datasets = [edge["node"]["dataset"] for edge in edges]
        assert len({dataset["urn"] for dataset in datasets}) == 10
        for dataset in datasets:
            assert f"shop.{dataset['properties']['name']}," in dataset["urn"]


def test_several_lists_of_one_answer_each_get_their_own_items(gateway: RunningGateway) -> None:
    answer = gateway.data(
        """
        query ($urn: String!) {
          healthLeaderboard(first: 3, order: HIGHEST_FIRST) {
            edges { node { dataset { urn properties { name } } } }
          }
          qualityAlerts(first: 3) { edges { node { dataset { urn properties { description } } } } }
          dataset(urn: $urn) { similarDatasets(first: 2) { dataset { urn properties { name } } } }
        }
        """,
        {"urn": urn(TABLES[5])},
        token=EDITOR,
    )
    best = [edge["node"]["dataset"] for edge in answer["healthLeaderboard"]["edges"]]
    assert best == [
        {"urn": urn(table), "properties": {"name": table}} for table in reversed(TABLES[-3:])
    ]
    (alert,) = (edge["node"]["dataset"] for edge in answer["qualityAlerts"]["edges"])
    assert alert["properties"] == {"description": f"DataHub on {TABLES[0]}."}
    similar = answer["dataset"]["similarDatasets"]
    assert len(similar) == 2
    assert all(hit["dataset"]["properties"]["name"] in hit["dataset"]["urn"] for hit in similar)


def test_an_entity_that_the_hub_does_not_have_is_null_without_an_effect_on_others(
    gateway: RunningGateway, federation: Federation
) -> None:
    """DataSpoke still knows a dataset that has just been deleted in DataHub."""
    gone = "orders_gone"
    federation.served.run(federation.subgraph.put(gone))
    try:
        answer = gateway.ask(RANKING, token=EDITOR)
    finally:
        federation.subgraph.hub.delete(urn(gone))
    assert "errors" not in answer
    shown = {
        edge["node"]["dataset"]["urn"]: edge["node"]["dataset"]["properties"]
        for edge in answer["data"]["healthLeaderboard"]["edges"]
    }
    assert shown.pop(urn(gone)) is None
    assert {properties["name"] for properties in shown.values()} == set(TABLES)


def test_a_mutation_reaches_dataspoke_as_the_caller(gateway: RunningGateway) -> None:
    mutation = """
    mutation ($urns: [String!]) {
      requestScan(urns: $urns) {
        __typename ... on ScanRequested { jobs } ... on ForbiddenFailure { message }
      }
    }
    """
    as_editor = gateway.data(mutation, {"urns": [urn(TABLES[0])]}, token=EDITOR)
    assert as_editor["requestScan"] == {"__typename": "ScanRequested", "jobs": 1}
    as_viewer = gateway.data(mutation, {"urns": [urn(TABLES[0])]}, token=VIEWER)
    assert as_viewer["requestScan"]["__typename"] == "ForbiddenFailure"


# --- who asks ---


async def test_twelve_callers_at_once_each_get_their_own_answer(gateway: RunningGateway) -> None:
    """Identical requests in flight are sent once: those of different callers are not identical."""
    async with httpx.AsyncClient(timeout=60) as client:

        async def ask(caller: str) -> dict[str, Any]:
            response = await client.post(
                gateway.graphql_url,
                json={"query": RANKING},
                headers={"authorization": f"Bearer {caller}"},
            )
            answer: dict[str, Any] = response.json()
            assert "errors" not in answer, answer["errors"]
            return answer["data"]  # type: ignore[no-any-return]

        for _ in range(5):
            answers = await asyncio.gather(*(ask(caller) for caller in CALLERS for _ in range(2)))
            for number, answer in enumerate(answers):
                caller, hidden = CALLERS[number // 2], TABLES[number // 2]
                assert answer["me"]["corpUser"]["urn"] == f"urn:li:corpuser:{caller}"
                nodes = [edge["node"] for edge in answer["healthLeaderboard"]["edges"]]
                assert {node["dataset"]["urn"] for node in nodes} == {
                    urn(table) for table in TABLES if table != hidden
                }
                assert all(node["dataset"]["properties"] for node in nodes)


def test_without_a_token_nothing_but_the_schema_is_told(
    gateway: RunningGateway, federation: Federation
) -> None:
    executed = federation.hub_requests()
    answer = gateway.ask(VERDICT, {"urn": urn(TABLES[0])}, token=None)
    assert answer.get("data") is None
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert "Authorization: Bearer" in error["message"]
    assert federation.hub_requests() == executed
    told = gateway.ask("{ __schema { queryType { name } } }", token=None)
    assert told["data"]["__schema"]["queryType"]["name"] == "Query"
    hidden_in_a_fragment = "{ ...F } fragment F on Query { dataspokeStatus { version } }"
    assert codes(gateway.ask(hidden_in_a_fragment, token=None)) == [("UNAUTHENTICATED", "")]


def test_what_names_no_operation_is_refused_by_itself(gateway: RunningGateway) -> None:
    for query in (
        "query A { __typename } query B { __typename }",
        "fragment F on Query { __typename }",
    ):
        answer = gateway.ask(query, token=None)
        assert answer.get("data") is None
        assert "Unexpected error" not in json.dumps(answer)


def test_a_token_that_nobody_knows_is_refused_by_both(gateway: RunningGateway) -> None:
    answer = gateway.ask("{ me { corpUser { urn } } dataspokeStatus { version } }", token="stolen")
    assert sorted(codes(answer)) == [
        ("UNAUTHENTICATED", "dataspokeStatus"),
        ("UNAUTHENTICATED", "me"),
    ]


def test_each_side_is_told_of_the_caller_what_it_needs_and_no_more(unsteady: Unsteady) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with unsteady.serving() as hub:
        response = httpx.post(
            unsteady.gateway.graphql_url,
            json={
                "query": RANKING,
                # What the executors would take: an address to send to, and headers.
                "extensions": {
                    "endpoint": "http://127.0.0.1:9/",
                    "headers": {"authorization": "Bearer other", "x-extra": "1"},
                },
            },
            headers={
                "authorization": f"Bearer {EDITOR}",
                "traceparent": trace,
                "x-dataspoke-gateway": "forged",
                "cookie": "session=1",
            },
        )
        assert "errors" not in response.json()
        assert hub.seen
        for headers, body in hub.seen:
            assert headers["authorization"] == f"Bearer {EDITOR}"
            assert headers["traceparent"] == trace
            assert not {"x-dataspoke-gateway", "x-extra", "cookie"} & set(headers)
            assert SECRET not in json.dumps(body)
            assert "extensions" not in body


# --- one side fails ---


def test_with_the_hub_down_dataspokes_part_is_answered(unsteady: Unsteady) -> None:
    with unsteady.serving(hub=False):
        answer = unsteady.gateway.ask(RANKING, token=EDITOR)
    nodes = [edge["node"] for edge in answer["data"]["healthLeaderboard"]["edges"]]
    assert {node["dataset"]["urn"] for node in nodes} == {urn(table) for table in TABLES}
    assert all(node["score"]["value"] for node in nodes)
    assert all(node["dataset"]["properties"] is None for node in nodes)
    assert answer["data"]["me"] is None
    assert {code for code, _ in codes(answer)} == {"DEPENDENCY_UNAVAILABLE"}
    assert {error["message"] for error in answer["errors"]} == {
        "DataHub cannot be reached now. Try again later."
    }
    with unsteady.serving():
        assert "errors" not in unsteady.gateway.ask(RANKING, token=EDITOR)


def test_with_dataspoke_down_the_hubs_part_is_answered(unsteady: Unsteady) -> None:
    with unsteady.serving(subgraph=False):
        answer = unsteady.gateway.ask(VERDICT, {"urn": urn(TABLES[0])}, token=EDITOR)
    dataset = answer["data"]["dataset"]
    assert dataset["properties"]["name"] == TABLES[0]
    assert dataset["healthScore"] is None
    assert dataset["quality"] is None
    assert {code for code, _ in codes(answer)} == {"DEPENDENCY_UNAVAILABLE"}
    with unsteady.serving():
        answer = unsteady.gateway.ask(VERDICT, {"urn": urn(TABLES[0])}, token=EDITOR)
        assert "errors" not in answer


def test_a_hub_that_is_slow_costs_its_own_part_only(unsteady: Unsteady) -> None:
    with unsteady.serving() as hub:
        hub.delay_s = 60
        answer = unsteady.gateway.ask(RANKING, token=EDITOR)
    assert answer["data"]["healthLeaderboard"]["edges"]
    assert {code for code, _ in codes(answer)} == {"DEPENDENCY_TIMEOUT"}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "UNAUTHENTICATED"),
        (403, "FORBIDDEN"),
        (404, "DEPENDENCY_REJECTED"),
        (429, "DEPENDENCY_UNAVAILABLE"),
        (500, "DEPENDENCY_UNAVAILABLE"),
    ],
)
def test_what_a_failing_hub_says_stays_inside(unsteady: Unsteady, status: int, code: str) -> None:
    with unsteady.serving() as hub:
        hub.status = status
        response = httpx.post(
            unsteady.gateway.graphql_url,
            json={"query": RANKING},
            headers={"authorization": f"Bearer {EDITOR}"},
        )
    answer = response.json()
    assert answer["data"]["healthLeaderboard"]["edges"]
    assert {found for found, _ in codes(answer)} == {code}
    for told in ("secret-host-7", "127.0.0.1", str(unsteady.hub_port), "stack", "    at "):
        assert told not in response.text


def test_an_item_that_fails_its_batch_fails_alone(unsteady: Unsteady) -> None:
    with unsteady.serving() as hub:
        assert "errors" not in unsteady.gateway.ask(SEARCH, {"query": "orders"}, token=EDITOR)
        assert len(hub.seen) == 1
        hub.seen.clear()
        hub.poison.add(urn(TABLES[7]))
        answer = unsteady.gateway.ask(
            "{ healthLeaderboard { edges { node { dataset { urn properties { name } } } } } }",
            token=EDITOR,
        )
        # Twelve items: all, then halves that hold the bad one, each with its other half.
        assert len(hub.seen) <= 9
    nodes = [edge["node"]["dataset"] for edge in answer["data"]["healthLeaderboard"]["edges"]]
    names = {node["urn"]: node["properties"] and node["properties"]["name"] for node in nodes}
    assert names == {urn(table): None if table == TABLES[7] else table for table in TABLES}
    (error,) = answer["errors"]
    assert error["message"] == "An unknown error occurred."
    index = next(n for n, node in enumerate(nodes) if node["urn"] == urn(TABLES[7]))
    assert error["path"] == ["healthLeaderboard", "edges", index, "node", "dataset"]


def test_a_hub_that_fails_every_batch_is_not_flooded(unsteady: Unsteady) -> None:
    with unsteady.serving() as hub:
        hub.poison.update(urn(table) for table in TABLES)
        answer = unsteady.gateway.ask(SEARCH, {"query": "orders"}, token=EDITOR)
        assert len(hub.seen) <= 41
    assert len(answer["data"]["knowledgeSearch"]["edges"]) == 10
    assert answer["errors"]


# --- live ---


async def over_websocket(
    gateway: RunningGateway, token: str, variables: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    transport = WebsocketsTransport(
        url=gateway.ws_url, init_payload={"Authorization": f"Bearer {token}"}
    )
    async with Client(transport=transport) as session:
        async for change in session.subscribe(GraphQLRequest(LIVE, variable_values=variables)):
            yield change["qualityAlerts"]


async def over_sse(
    gateway: RunningGateway, token: str, variables: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    async with (
        httpx.AsyncClient(timeout=PATIENCE_S) as client,
        client.stream(
            "POST",
            gateway.graphql_url,
            json={"query": LIVE, "variables": variables},
            headers={"authorization": f"Bearer {token}", "accept": "text/event-stream"},
        ) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data:") and (text := line.removeprefix("data:").strip()):
                answer = json.loads(text)
                assert "errors" not in answer, answer["errors"]
                yield answer["data"]["qualityAlerts"]


def raise_alert(federation: Federation, table: str, state: AlertState) -> None:
    federation.served.run(federation.subgraph.save_alerts(alert_of(table, state=state)))


@pytest.mark.parametrize("follow", [over_websocket, over_sse])
async def test_alerts_arrive_live_with_datahubs_fields_and_are_replayed(
    gateway: RunningGateway, federation: Federation, follow: Any
) -> None:
    # A table of its own for each way.
    table = TABLES[3] if follow is over_websocket else TABLES[4]
    variables = {"urns": [urn(table)], "after": "0"}
    raise_alert(federation, table, AlertState.OPEN)
    async with asyncio.timeout(PATIENCE_S), aclosing(follow(gateway, EDITOR, variables)) as events:
        first = await anext(events)
        assert first["alert"]["state"] == "OPEN"
        assert first["alert"]["dataset"] == {"urn": urn(table), "properties": {"name": table}}
        await asyncio.to_thread(raise_alert, federation, table, AlertState.ACKNOWLEDGED)
        second = await anext(events)
        assert second["alert"]["state"] == "ACKNOWLEDGED"
        assert second["alert"]["dataset"] == first["alert"]["dataset"]
    # What happens while nobody listens is not lost.
    raise_alert(federation, table, AlertState.RESOLVED)
    missed = {**variables, "after": second["cursor"]}
    async with asyncio.timeout(PATIENCE_S), aclosing(follow(gateway, EDITOR, missed)) as events:
        third = await anext(events)
        assert (third["alert"]["state"], third["alert"]["id"]) == ("RESOLVED", first["alert"]["id"])


async def test_each_subscriber_sees_what_they_may(
    gateway: RunningGateway, federation: Federation
) -> None:
    for table in TABLES[5:8]:
        raise_alert(federation, table, AlertState.OPEN)
    wanted = {"urns": [urn(table) for table in TABLES[5:8]], "after": "0"}

    async def follow(caller: str, count: int) -> set[str]:
        async with aclosing(over_websocket(gateway, caller, wanted)) as events:
            return {(await anext(events))["alert"]["dataset"]["urn"] for _ in range(count)}

    async with asyncio.timeout(PATIENCE_S):
        seen = await asyncio.gather(
            *(follow(caller, 2) for caller in CALLERS[5:8]), follow(EDITOR, 3)
        )
    for number, urns in enumerate(seen[:3], 5):
        assert urns == {urn(table) for table in TABLES[5:8]} - {urn(TABLES[number])}
    assert seen[3] == {urn(table) for table in TABLES[5:8]}


async def test_what_nobody_follows_any_more_is_closed(
    gateway: RunningGateway, federation: Federation
) -> None:
    wanted = {"urns": [urn(TABLES[10])], "after": "0"}
    raise_alert(federation, TABLES[10], AlertState.OPEN)
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as followers:
        for follow in (over_websocket, over_sse):
            events = await followers.enter_async_context(aclosing(follow(gateway, EDITOR, wanted)))
            await anext(events)
        # Each follower has a socket of its own there.
        assert federation.sockets.count >= 2
        assert "dataspoke_gateway_open_subscriptions 2" in await asyncio.to_thread(
            metrics_of, gateway
        )
    await asyncio.to_thread(wait_until, lambda: federation.sockets.count == 0)
    await asyncio.to_thread(
        wait_until, lambda: "dataspoke_gateway_open_subscriptions 0" in metrics_of(gateway)
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def metrics_of(gateway: RunningGateway) -> str:
    return httpx.get(f"{gateway.url}/metrics", timeout=30).text


async def test_a_subscription_ends_with_an_error_when_dataspoke_goes_away(
    unsteady: Unsteady, federation: Federation
) -> None:
    """Opened again in silence it would miss, or repeat, what happened meanwhile."""
    wanted = {"urns": [urn(TABLES[11])], "after": "0"}
    raise_alert(federation, TABLES[11], AlertState.OPEN)
    async with asyncio.timeout(PATIENCE_S):
        with unsteady.serving():
            events = over_websocket(unsteady.gateway, EDITOR, wanted)
            first = await anext(events)
        with pytest.raises(TransportQueryError) as ended:
            await anext(events)
        assert "DEPENDENCY_UNAVAILABLE" in str(ended.value.errors)
        await events.aclose()
        raise_alert(federation, TABLES[11], AlertState.RESOLVED)
        missed = {**wanted, "after": first["cursor"]}
        with unsteady.serving():
            async with aclosing(over_websocket(unsteady.gateway, EDITOR, missed)) as again:
                assert (await anext(again))["alert"]["state"] == "RESOLVED"


async def test_an_upgrade_with_the_token_in_its_header_is_enough(
    gateway: RunningGateway, federation: Federation
) -> None:
    transport = WebsocketsTransport(
        url=gateway.ws_url, headers={"authorization": f"Bearer {EDITOR}"}
    )
    raise_alert(federation, TABLES[8], AlertState.OPEN)
    async with asyncio.timeout(PATIENCE_S), Client(transport=transport) as session:
        variables = {"urns": [urn(TABLES[8])], "after": "0"}
        events = session.subscribe(GraphQLRequest(LIVE, variable_values=variables))
        assert (await anext(events))["qualityAlerts"]["alert"]["state"] == "OPEN"
        await events.aclose()


@pytest.mark.parametrize("token", [None, "stolen"])
async def test_nobody_follows_without_a_good_token(
    gateway: RunningGateway, token: str | None
) -> None:
    parameters = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = WebsocketsTransport(url=gateway.ws_url, init_payload=parameters)
    async with asyncio.timeout(PATIENCE_S), Client(transport=transport) as session:
        with pytest.raises(TransportQueryError) as refused:
            await anext(session.subscribe(GraphQLRequest(LIVE)))
    assert "UNAUTHENTICATED" in str(refused.value.errors)


async def test_an_error_in_one_event_does_not_stay_for_those_after_it(
    unsteady: Unsteady, federation: Federation
) -> None:
    table = TABLES[9]
    headers = {"authorization": f"Bearer {EDITOR}", "accept": "text/event-stream"}
    body = {"query": LIVE, "variables": {"urns": [urn(table)], "after": "0"}}
    with unsteady.serving() as hub:
        hub.status = 500
        raise_alert(federation, table, AlertState.OPEN)
        async with (
            asyncio.timeout(PATIENCE_S),
            httpx.AsyncClient(timeout=PATIENCE_S) as client,
            client.stream(
                "POST", unsteady.gateway.graphql_url, json=body, headers=headers
            ) as response,
        ):
            events = (
                json.loads(line.removeprefix("data:"))
                async for line in response.aiter_lines()
                if line.startswith("data:") and line.removeprefix("data:").strip()
            )
            first = await anext(events)
            assert {code for code, _ in codes(first)} == {"DEPENDENCY_UNAVAILABLE"}
            assert first["data"]["qualityAlerts"]["alert"]["dataset"]["properties"] is None
            hub.status = None
            raise_alert(federation, table, AlertState.ACKNOWLEDGED)
            second = await anext(events)
            assert "errors" not in second
            assert second["data"]["qualityAlerts"]["alert"]["dataset"]["properties"]["name"]
            await events.aclose()


# --- limits and pages ---


def test_what_is_too_large_is_refused(gateway: RunningGateway) -> None:
    many = " ".join(f"f{number}: __typename" for number in range(1000))
    aliases = " ".join(f"a{n}: dataspokeStatus {{ version }}" for n in range(16))
    deep = "{ entity(urn: 1) " + "{ ... on Dataset " * 20 + "{ urn }" + "}" * 20 + "}"
    for query in (f"{{ {many} }}", f"{{ {aliases} }}", deep):
        answer = gateway.ask(query, token=EDITOR)
        assert "data" not in answer
        assert answer["errors"]
    large = json.dumps({"query": "{ __typename }", "variables": {"x": "y" * 1_000_001}})
    headers = {"content-type": "application/json"}
    refused = httpx.post(gateway.graphql_url, content=large, headers=headers)
    assert refused.status_code == 413
    unsaid = httpx.post(gateway.graphql_url, content=iter([b"{}"]), headers=headers)
    assert unsaid.status_code == 411
    batch = httpx.post(gateway.graphql_url, json=[{"query": "{ __typename }"}] * 2)
    assert batch.status_code == 400


async def test_a_message_that_is_too_large_is_refused(gateway: RunningGateway) -> None:
    protocol = Subprotocol("graphql-transport-ws")
    async with connect(gateway.ws_url, subprotocols=[protocol]) as socket:
        await socket.send(
            json.dumps({"type": "connection_init", "payload": {"x": "y" * 1_000_001}})
        )
        with pytest.raises(ConnectionClosedError) as closed:
            async with asyncio.timeout(PATIENCE_S):
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.MESSAGE_TOO_BIG


def test_metrics_name_subgraphs_and_nothing_of_the_callers(gateway: RunningGateway) -> None:
    gateway.data("query HowAreYou { dataspokeStatus { version } }", token=EDITOR)
    metrics = metrics_of(gateway)
    assert re.search(
        r'^dataspoke_gateway_subgraph_requests_total\{subgraph="dataspoke"\} \d+$', metrics, re.M
    )
    for unsaid in ("HowAreYou", EDITOR, "127.0.0.1"):
        assert unsaid not in metrics


def test_its_page_needs_nothing_from_elsewhere(gateway: RunningGateway) -> None:
    page = httpx.get(gateway.graphql_url, headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "{ dataspokeStatus { version } }" in page.text
    assert "Bearer a-token-to-show" in page.text
    assert not re.search(r"<(script|link)[^>]+(src|href)=[\"']?(https?:)?//", page.text)


def test_probes_answer(gateway: RunningGateway) -> None:
    assert httpx.get(f"{gateway.url}/healthcheck").status_code == 200
    assert httpx.get(f"{gateway.url}/readiness").status_code == 200


def test_in_production_there_is_no_schema_to_read_and_no_page(unsteady: Unsteady) -> None:
    with unsteady.serving():
        answer = unsteady.gateway.ask("{ __schema { types { name } } }", token=EDITOR)
        assert "data" not in answer
        assert "introspection" in answer["errors"][0]["message"].lower()
        for internal in (
            "{ _service { sdl } }",
            "{ _entities(representations: []) { __typename } }",
        ):
            assert "data" not in unsteady.gateway.ask(internal, token=EDITOR)
        mistaken = unsteady.gateway.ask("{ dataspokeStatu { version } }", token=EDITOR)
        assert "dataspokeStatus" not in json.dumps(mistaken)
        page = httpx.get(unsteady.gateway.graphql_url, headers={"accept": "text/html"})
        assert "GraphiQL" not in page.text


async def test_it_ends_in_good_time_while_it_is_followed(unsteady: Unsteady) -> None:
    raise_alert(unsteady.federation, TABLES[0], AlertState.ACKNOWLEDGED)
    wanted = {"urns": [urn(TABLES[0])], "after": "0"}
    with unsteady.serving():
        async with AsyncExitStack() as followers:
            for follow in (over_websocket, over_sse):
                events = follow(unsteady.gateway, EDITOR, wanted)
                await anext(events)
                followers.push_async_callback(_end, events)
            process = unsteady.gateway.process
            await asyncio.to_thread(process.stop)
            # Otherwise it was killed.
            assert process.child.process.returncode == 0
            assert "Stopping" in process.child.last_words()
        await asyncio.to_thread(process.start)


async def _end(events: AsyncIterator[object]) -> None:
    """Take what is left of a stream that was cut off."""
    with suppress(TransportError, httpx.TransportError):
        async for _ in events:
            pass


def test_it_starts_again_while_the_hub_is_down(unsteady: Unsteady) -> None:
    gateway = unsteady.gateway
    with unsteady.serving(hub=False):
        gateway.process.stop()
        gateway.process.start()
        assert "Going on with the supergraph composed last" in gateway.process.child.last_words()
        answer = gateway.ask("{ dataspokeStatus { version } }", token=EDITOR)
        assert answer["data"]["dataspokeStatus"]["version"]
