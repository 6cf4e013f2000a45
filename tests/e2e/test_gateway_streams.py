"""Subscriptions through the real gateway, over WebSockets and as event streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
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

from dataspoke.quality.model import AlertState
from tests.support.federation import (
    CALLERS,
    TABLES,
    Federation,
    Unsteady,
)
from tests.support.gateway import RunningGateway, codes
from tests.support.subgraph import EDITOR, alert_of, urn
from tests.support.waiting import until, until_true

LIVE = """
subscription ($urns: [String!], $after: String) {
  qualityAlerts(urns: $urns, after: $after) {
    cursor
    alert { id state dataset { urn properties { name } } }
  }
}
"""
PATIENCE_S = 60.0


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
        metrics = await asyncio.to_thread(gateway.metrics)
        assert "dataspoke_gateway_open_subscriptions 2" in metrics
    await until(lambda: federation.sockets.count == 0, "the subgraph's sockets to close")
    await asyncio.to_thread(
        until_true,
        lambda: "dataspoke_gateway_open_subscriptions 0" in gateway.metrics(),
        "the gateway's subscriptions to end",
        PATIENCE_S,
    )


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
