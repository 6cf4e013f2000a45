"""Alerts live: over WebSockets (graphql-transport-ws) and as server-sent events (graphql-sse)."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from dataspoke.errors import DependencyUnavailable
from dataspoke.quality.model import AlertState, Metric
from dataspoke.settings import SubgraphSettings
from tests.support.asgi import Closed, Socket, event_stream, websocket
from tests.support.subgraph import EDITOR, NOW, STRANGER, VIEWER, Altered, Subgraph, alert_of, urn

FOLLOW = """
    subscription ($urns: [String!], $after: String) {
      qualityAlerts(urns: $urns, after: $after) {
        cursor alert { metric state dataset { urn quality { status } } }
      }
    }
"""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph(identity_check=timedelta(milliseconds=20))
    await made.put("orders", "payroll", "stock")
    return made


@pytest.fixture
async def socket(subgraph: Subgraph) -> AsyncIterator[Socket]:
    """A connection of the editor's."""
    async with websocket(subgraph.app) as opened:
        assert opened.subprotocol == "graphql-transport-ws"
        assert await opened.init(bearer(EDITOR)) == {"type": "connection_ack"}
        yield opened


def change(message: Any) -> tuple[str, str]:
    """Return dataset and state of a delivered change."""
    assert message["type"] == "next", message
    return described(message["payload"])


def described(payload: Any) -> tuple[str, str]:
    assert "errors" not in payload, payload
    alert = payload["data"]["qualityAlerts"]["alert"]
    return alert["dataset"]["urn"], alert["state"]


# --- WebSocket ---


async def test_a_change_is_delivered_as_it_happens_with_fields_of_its_dataset(
    subgraph: Subgraph, socket: Socket
) -> None:
    socket.subscribe("1", FOLLOW)
    await subgraph.feed.heard_by(1)
    (saved,) = await subgraph.save_alerts(alert_of("orders"))
    message = await socket.receive()
    assert message["id"] == "1"
    assert message["payload"] == {
        "data": {
            "qualityAlerts": {
                "cursor": str(saved.cursor),
                "alert": {
                    "metric": "ROW_COUNT",
                    "state": "OPEN",
                    "dataset": {"urn": urn("orders"), "quality": {"status": "PASS"}},
                },
            }
        }
    }
    await subgraph.save_alerts(alert_of("orders", state=AlertState.RESOLVED))
    assert change(await socket.receive()) == (urn("orders"), "RESOLVED")


async def test_what_was_missed_is_replayed_before_what_follows(
    subgraph: Subgraph, socket: Socket
) -> None:
    (first,) = await subgraph.save_alerts(alert_of("orders"))
    await subgraph.save_alerts(alert_of("stock"), alert_of("payroll"))
    socket.subscribe("1", FOLLOW, after=str(first.cursor))
    assert change(await socket.receive()) == (urn("stock"), "OPEN")
    assert change(await socket.receive()) == (urn("payroll"), "OPEN")
    await subgraph.save_alerts(alert_of("orders", state=AlertState.RESOLVED))
    assert change(await socket.receive()) == (urn("orders"), "RESOLVED")


async def test_without_a_cursor_the_past_stays_past(subgraph: Subgraph, socket: Socket) -> None:
    await subgraph.save_alerts(alert_of("orders"))
    socket.subscribe("1", FOLLOW)
    await subgraph.feed.heard_by(1)
    await subgraph.save_alerts(alert_of("stock"))
    assert change(await socket.receive()) == (urn("stock"), "OPEN")


async def test_a_subscription_can_be_about_some_datasets(
    subgraph: Subgraph, socket: Socket
) -> None:
    socket.subscribe("1", FOLLOW, urns=[urn("stock")], after="0")
    await subgraph.feed.heard_by(1)
    await subgraph.save_alerts(alert_of("orders"), alert_of("stock"))
    assert change(await socket.receive()) == (urn("stock"), "OPEN")


async def test_every_subscriber_is_sent_what_they_may_see(subgraph: Subgraph) -> None:
    hidden, shown = alert_of("payroll", Metric.FRESHNESS), alert_of("payroll")
    await subgraph.save_alerts(hidden, shown)

    async def first_delivered(token: str) -> Any:
        async with websocket(subgraph.app) as socket:
            await socket.init(bearer(token))
            socket.subscribe("1", FOLLOW, after="0")
            return (await socket.receive())["payload"]["data"]["qualityAlerts"]["alert"]["metric"]

    assert await first_delivered(EDITOR) == "FRESHNESS"
    assert await first_delivered(VIEWER) == "ROW_COUNT"

    async with websocket(subgraph.app) as socket:
        await socket.init(bearer(STRANGER))
        socket.subscribe("1", FOLLOW, after="0")
        await subgraph.feed.heard_by(1)
        socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}


@pytest.mark.parametrize(
    ("params", "header"),
    [
        ({"Authorization": "Bearer editor"}, None),
        ({"authorization": "bearer editor"}, None),
        (None, "Bearer editor"),
        ({}, "Bearer editor"),
        ({"authorization": None}, "Bearer editor"),
        ({"Authorization": "Bearer editor"}, "Bearer stranger"),
    ],
)
async def test_the_token_comes_from_the_parameters_or_else_the_upgrade(
    subgraph: Subgraph, params: Any, header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header}
    await subgraph.save_alerts(alert_of("orders"))
    async with websocket(subgraph.app, headers) as socket:
        await socket.init(params)
        socket.subscribe("1", FOLLOW, after="0")
        assert change(await socket.receive()) == (urn("orders"), "OPEN")


@pytest.mark.parametrize("params", [None, {"Authorization": "Bearer nobody"}])
async def test_without_a_good_token_the_operation_is_refused(
    subgraph: Subgraph, params: Any
) -> None:
    async with websocket(subgraph.app) as socket:
        await socket.init(params)
        socket.subscribe("1", FOLLOW)
        message = await socket.receive()
        assert message["payload"]["data"] is None
        assert message["payload"]["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert await socket.receive() == {"id": "1", "type": "complete"}


async def test_a_stream_ends_when_its_token_does(subgraph: Subgraph, socket: Socket) -> None:
    socket.subscribe("1", FOLLOW)
    await subgraph.feed.heard_by(1)
    await subgraph.save_alerts(alert_of("orders"))
    assert change(await socket.receive()) == (urn("orders"), "OPEN")
    subgraph.withdrawn.add(EDITOR)
    message = await socket.receive()
    assert message["payload"]["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert await socket.receive() == {"id": "1", "type": "complete"}


async def test_a_stream_ends_with_the_reason_when_the_store_fails(
    subgraph: Subgraph,
) -> None:
    async def stream(*_: object) -> AsyncGenerator[Any]:
        raise DependencyUnavailable("store", "PostgreSQL does not answer.")
        yield

    alerts = Altered(subgraph.services.alerts, stream=stream)
    async with websocket(subgraph.serving(alerts=alerts).app) as socket:
        await socket.init(bearer(EDITOR))
        socket.subscribe("1", FOLLOW)
        (error,) = (await socket.receive())["payload"]["errors"]
        assert error["message"] == "PostgreSQL does not answer."
        assert error["extensions"] == {"code": "DEPENDENCY_UNAVAILABLE"}


async def test_queries_and_mutations_are_answered_on_the_connection(
    subgraph: Subgraph, socket: Socket
) -> None:
    socket.subscribe("q", "{ healthLeaderboard(first: 1) { edges { node { score { value } } } } }")
    message = await socket.receive()
    assert message["payload"]["data"]["healthLeaderboard"]["edges"][0]["node"]["score"] == {
        "value": 10.0
    }
    assert await socket.receive() == {"id": "q", "type": "complete"}


async def test_nothing_is_remembered_between_operations_of_a_connection(
    subgraph: Subgraph, socket: Socket
) -> None:
    query = "{ dataspokeStatus { version } }"
    socket.subscribe("1", query)
    assert (await socket.receive())["payload"]["data"]["dataspokeStatus"]
    await socket.receive()
    subgraph.withdrawn.add(EDITOR)
    socket.subscribe("2", query)
    assert (await socket.receive())["payload"]["errors"][0]["extensions"] == {
        "code": "UNAUTHENTICATED"
    }


async def test_a_completed_subscription_is_over_and_its_id_is_free(
    subgraph: Subgraph, socket: Socket
) -> None:
    socket.subscribe("1", FOLLOW)
    await subgraph.feed.heard_by(1)
    socket.send({"id": "1", "type": "complete"})
    socket.send({"type": "ping"})
    assert await socket.receive() == {"type": "pong"}
    await subgraph.save_alerts(alert_of("orders"))
    socket.subscribe("1", FOLLOW, after="0")
    assert change(await socket.receive()) == (urn("orders"), "OPEN")


@pytest.mark.parametrize(
    "query", ["subscription {", "{ nothing }", "subscription { qualityAlerts { nothing } }", "#"]
)
async def test_a_bad_document_costs_only_its_operation(
    subgraph: Subgraph, socket: Socket, query: str
) -> None:
    socket.subscribe("good", FOLLOW)
    await subgraph.feed.heard_by(1)
    socket.subscribe("bad", query)
    message = await socket.receive()
    assert (message["id"], message["type"]) == ("bad", "error")
    assert message["payload"][0]["extensions"]["code"] in (
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
    )
    await subgraph.save_alerts(alert_of("orders"))
    assert change(await socket.receive()) == (urn("orders"), "OPEN")


async def test_an_unknown_operation_name_costs_only_its_operation(socket: Socket) -> None:
    payload = {"query": "query A { __typename }", "operationName": "B"}
    socket.send({"id": "1", "type": "subscribe", "payload": payload})
    message = await socket.receive()
    assert message["type"] == "error"
    assert message["payload"][0]["message"].startswith("The document holds no operation named 'B'")


async def test_a_bad_cursor_is_named(socket: Socket) -> None:
    socket.subscribe("1", FOLLOW, after="yesterday")
    (error,) = (await socket.receive())["payload"]["errors"]
    assert error["message"].startswith("after: 'yesterday' is not a cursor")
    assert error["extensions"] == {"code": "INVALID_INPUT"}


async def test_a_connection_holds_so_many_operations() -> None:
    subgraph = Subgraph(SubgraphSettings(max_subscriptions=2))
    await subgraph.put("orders")
    async with websocket(subgraph.app) as socket:
        await socket.init(bearer(EDITOR))
        for operation in ("1", "2"):
            socket.subscribe(operation, FOLLOW)
        await subgraph.feed.heard_by(2)
        socket.subscribe("3", FOLLOW)
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == ("3", "error")
        assert refused["payload"][0]["extensions"] == {"code": "LIMIT_EXCEEDED"}
        assert "runs 2 operations" in refused["payload"][0]["message"]
        socket.send({"id": "1", "type": "complete"})
        socket.subscribe("3", "{ __typename }")
        assert (await socket.receive())["payload"] == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", 4400),
        ("[]", 4400),
        ('{"type": 1}', 4400),
        ('{"type": "start"}', 4400),
        ('{"type": "subscribe"}', 4400),
        ('{"type": "subscribe", "id": ["1"], "payload": {"query": "{ __typename }"}}', 4400),
        ('{"type": "subscribe", "id": "1", "payload": "query"}', 4400),
        ('{"type": "subscribe", "id": "1", "payload": {"query": 1}}', 4400),
        ('{"type": "subscribe", "id": "1", "payload": {"query": "{a}", "variables": []}}', 4400),
        ('{"type": "subscribe", "id": "1", "payload": {"query": "{a}", "operationName": 1}}', 4400),
        ('{"type": "complete"}', 4400),
        ('{"type": "connection_init"}', 4429),
    ],
)
async def test_what_the_protocol_does_not_know_closes_the_connection(
    socket: Socket, text: str, code: int
) -> None:
    socket.send_text(text)
    with pytest.raises(Closed) as closed:
        await socket.receive()
    assert closed.value.code == code
    assert closed.value.reason


async def test_nothing_runs_before_the_connection_is_initialised(subgraph: Subgraph) -> None:
    async with websocket(subgraph.app, bearer(EDITOR)) as socket:
        socket.subscribe("1", "{ __typename }")
        with pytest.raises(Closed) as closed:
            await socket.receive()
    assert closed.value.code == 4401


async def test_an_id_in_use_cannot_be_used_again(subgraph: Subgraph, socket: Socket) -> None:
    socket.subscribe("1", FOLLOW)
    await subgraph.feed.heard_by(1)
    socket.subscribe("1", FOLLOW)
    with pytest.raises(Closed) as closed:
        await socket.receive()
    assert closed.value.code == 4409


async def test_who_does_not_initialise_is_cut_off() -> None:
    subgraph = Subgraph(init_timeout=timedelta(milliseconds=20))
    async with websocket(subgraph.app) as socket:
        with pytest.raises(Closed) as closed:
            await socket.receive()
    assert closed.value.code == 4408


@pytest.mark.parametrize("subprotocols", [(), ("graphql-ws",), ("soap",)])
async def test_other_protocols_are_refused(
    subgraph: Subgraph, subprotocols: tuple[str, ...]
) -> None:
    async with websocket(subgraph.app, subprotocols=subprotocols) as socket:
        with pytest.raises(Closed) as closed:
            await socket.receive()
    assert closed.value.code == 4406


@pytest.mark.parametrize(
    ("origin", "opened"),
    [
        (None, True),
        ("https://catalogue.example", True),
        ("https://CATALOGUE.example:443", True),
        ("https://evil.example", False),
        ("null", False),
    ],
)
async def test_pages_of_allowed_origins_may_connect(origin: str | None, opened: bool) -> None:
    subgraph = Subgraph(SubgraphSettings(allowed_origins=["https://catalogue.example"]))
    headers = {} if origin is None else {"origin": origin}
    if opened:
        async with websocket(subgraph.app, headers) as socket:
            assert await socket.init() == {"type": "connection_ack"}
        return
    with pytest.raises(Closed) as closed:
        async with websocket(subgraph.app, headers):
            pass
    assert closed.value.code == 403
    assert "DATASPOKE_SUBGRAPH__ALLOWED_ORIGINS" in closed.value.reason


@pytest.mark.parametrize(("denial", "code"), [(True, 401), (False, 4401)])
async def test_a_connection_that_is_not_the_gateways_is_never_opened(
    denial: bool, code: int
) -> None:
    subgraph = Subgraph(SubgraphSettings(gateway_secret=SecretStr("s3cret")))
    for headers in ({}, {"x-dataspoke-gateway": "S3cret"}, {"x-dataspoke-gateway": "é"}):
        with pytest.raises(Closed) as closed:
            async with websocket(subgraph.app, headers, denial=denial):
                pass
        assert closed.value.code == code
        assert "x-dataspoke-gateway" in closed.value.reason
    async with websocket(subgraph.app, {"x-dataspoke-gateway": "s3cret"}) as socket:
        assert await socket.init() == {"type": "connection_ack"}


async def test_a_client_that_goes_leaves_nothing_behind(subgraph: Subgraph) -> None:
    async with websocket(subgraph.app) as socket:
        await socket.init(bearer(EDITOR))
        socket.subscribe("1", FOLLOW)
        await subgraph.feed.heard_by(1)
        assert subgraph.feed.listeners == 1
    assert subgraph.feed.listeners == 0


# --- server-sent events ---


async def test_a_stream_of_events_replays_and_follows(subgraph: Subgraph) -> None:
    await subgraph.save_alerts(alert_of("orders"))
    body = {"query": FOLLOW, "variables": {"after": "0"}}
    async with event_stream(subgraph.app, body, bearer(EDITOR)) as events:
        name, payload = await anext(events)
        assert name == "next"
        assert described(payload) == (urn("orders"), "OPEN")
        await subgraph.save_alerts(alert_of("stock", opened_at=NOW))
        name, payload = await anext(events)
        assert described(payload) == (urn("stock"), "OPEN")
    assert subgraph.feed.listeners == 0


async def test_a_stream_of_events_ends_when_its_token_does(subgraph: Subgraph) -> None:
    async with event_stream(subgraph.app, {"query": FOLLOW}, bearer(EDITOR)) as events:
        await subgraph.feed.heard_by(1)
        subgraph.withdrawn.add(EDITOR)
        name, payload = await anext(events)
        assert name == "next"
        assert payload["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert await anext(events) == ("complete", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ __typename }", {"data": {"__typename": "Query"}}),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("#", "GRAPHQL_PARSE_FAILED"),
        ("fragment F on Query { __typename }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_any_operation_can_be_answered_as_events(
    subgraph: Subgraph, query: str, expected: Any
) -> None:
    async with event_stream(subgraph.app, {"query": query}, bearer(EDITOR)) as events:
        name, payload = await anext(events)
        assert name == "next"
        if isinstance(expected, str):
            assert "data" not in payload
            assert payload["errors"][0]["extensions"]["code"] in (expected, "BAD_REQUEST")
        else:
            assert payload == expected
        assert await anext(events) == ("complete", None)


async def test_a_client_that_reads_both_is_streamed_subscriptions_only(
    subgraph: Subgraph,
) -> None:
    # What Hive Gateway and graphql-yoga's client send with every request.
    accept = "application/graphql-response+json, application/json, text/event-stream"
    headers = {"accept": accept, **bearer(EDITOR)}
    response = await subgraph.post({"query": "{ __typename }"}, headers=headers)
    assert response.headers["content-type"] == "application/graphql-response+json"
    await subgraph.save_alerts(alert_of("orders"))
    body = {"query": FOLLOW, "variables": {"after": "0"}}
    async with event_stream(subgraph.app, body, headers) as events:
        _, payload = await anext(events)
        assert described(payload) == (urn("orders"), "OPEN")


async def test_a_client_that_reads_no_stream_is_told_how_to_follow(subgraph: Subgraph) -> None:
    response = await subgraph.post(
        {"query": FOLLOW}, headers={"accept": "application/json"}, token=EDITOR
    )
    assert response.status_code == 406
    assert "text/event-stream" in response.json()["errors"][0]["message"]
