"""The tools as a client of the protocol sees them, and the HTTP face, with a scripted gateway."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from mcp import Client
from mcp_types import CallToolResult, TextContent

from dataspoke.mcp.answers import MAX_TOKENS, tokens
from dataspoke.mcp.app import create_app
from dataspoke.mcp.gateway import Gateway
from dataspoke.mcp.server import create_server
from dataspoke.settings import McpSettings

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
NOTHING_FOUND: Mapping[str, Any] = {
    "data": {
        "knowledgeSearch": {
            "mode": "HYBRID",
            "notice": None,
            "interpretation": {"filters": []},
            "pageInfo": {"hasNextPage": False},
            "edges": [],
        }
    }
}
URL = "http://gateway.example/graphql"
TOOLS = {
    "search_datasets",
    "get_sql_context",
    "verify",
    "get_dataset",
    "get_lineage",
    "list_alerts",
}

Handler = Callable[[httpx.Request], httpx.Response]


class Scripted:
    """A gateway that answers everything with ``answer`` and remembers what it was asked."""

    def __init__(self, answer: Mapping[str, Any] = NOTHING_FOUND, status: int = 200) -> None:
        self.answer = answer
        self.status = status
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, json=self.answer)

    @property
    def variables(self) -> dict[str, Any]:
        asked: dict[str, Any] = json.loads(self.requests[-1].content)["variables"]
        return asked


def gateway_of(handler: Handler) -> Gateway:
    return Gateway(
        URL,
        remedy="Give another token.",
        unreachable="Try again later.",
        transport=httpx.MockTransport(handler),
    )


@asynccontextmanager
async def connected(handler: Handler, authorization: str = "Bearer t") -> AsyncIterator[Client]:
    async with Client(create_server(gateway_of(handler), lambda _: authorization)) as client:
        yield client


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def refusal(handler: Handler, tool: str, **arguments: Any) -> str:
    """Return the message of a call that must fail."""
    async with connected(handler) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert result.structured_content is None
    return text_of(result)


async def test_every_tool_is_described_typed_and_only_reads() -> None:
    async with connected(Scripted()) as client:
        tools = (await client.list_tools()).tools
        assert client.instructions is not None
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.title
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert not tool.annotations.destructive_hint
        assert tool.output_schema is not None
        for schema in (tool.input_schema, tool.output_schema):
            Draft202012Validator.check_schema(schema)
        assert tool.input_schema["additionalProperties"] is False
        assert "ctx" not in tool.input_schema["properties"]
        assert all(each.get("description") for each in tool.input_schema["properties"].values())
        assert {"notes", "next_cursor"} <= set(tool.output_schema["properties"])
        # It stands in every conversation.
        assert len(tool.description) + len(json.dumps(tool.input_schema)) < 5000


async def test_the_instructions_name_the_tools_that_there_are() -> None:
    async with connected(Scripted()) as client:
        said = client.instructions or ""
    for name in TOOLS:
        assert name in said


async def test_names_become_urns_and_urns_stay() -> None:
    gateway = Scripted()
    async with connected(gateway) as client:
        result = await client.call_tool(
            "search_datasets",
            {
                "question": "refunds",
                "platforms": ["snowflake", "urn:li:dataPlatform:postgres"],
                "tags": ["Tier1"],
                "terms": ["Commerce.Refund"],
                "used_by": ["marketing"],
                "owners": ["mira", "urn:li:corpGroup:sales"],
                "domains": ["sales"],
                "limit": 3,
            },
        )
    assert not result.is_error
    assert gateway.variables == {
        "question": "refunds",
        "filters": {
            "platforms": ["urn:li:dataPlatform:snowflake", "urn:li:dataPlatform:postgres"],
            "tags": ["urn:li:tag:Tier1"],
            "terms": ["urn:li:glossaryTerm:Commerce.Refund"],
            "consumers": ["urn:li:domain:marketing"],
            "owners": ["urn:li:corpuser:mira", "urn:li:corpGroup:sales"],
            "domains": ["urn:li:domain:sales"],
        },
        "first": 3,
        "after": None,
    }
    assert gateway.requests[0].headers["authorization"] == "Bearer t"
    assert result.structured_content == {
        "notes": [],
        "next_cursor": None,
        "hits": [],
        "mode": "HYBRID",
        "read_filters": [],
    }
    assert "Try other words" in text_of(result)


def sql_context(text: str) -> dict[str, Any]:
    table = {
        "name": "shop.orders",
        "dataset": {"urn": ORDERS, "quality": {"status": "FAIL"}, "healthScore": None},
    }
    found = {"text": text, "dialect": "postgres", "notice": None, "tables": [table], "leftOut": []}
    return {"data": {"sqlContext": found}}


async def test_context_for_sql_is_the_text_that_the_api_gives() -> None:
    gateway = Scripted(sql_context("CREATE TABLE shop.orders (id int);"))
    async with connected(gateway) as client:
        result = await client.call_tool("get_sql_context", {"question": "refunds per month"})
    assert gateway.variables["tokenBudget"] == 2000
    assert text_of(result).splitlines() == [
        "CREATE TABLE shop.orders (id int);",
        "Data FAIL: shop.orders",
        f"The urn of shop.orders is {ORDERS}; the others are alike.",
    ]


async def test_context_for_sql_that_turns_out_too_long_is_asked_for_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        budget = json.loads(request.content)["variables"]["tokenBudget"]
        # Three bytes a letter, as Chinese has.
        return httpx.Response(200, json=sql_context("\u8868" * int(budget * 2.8)))

    async with connected(answer) as client:
        result = await client.call_tool(
            "get_sql_context", {"question": "refunds", "max_tokens": 3000}
        )
    assert not result.is_error
    assert tokens(text_of(result)) <= MAX_TOKENS


async def test_context_for_sql_that_cannot_be_short_is_not_given() -> None:
    gateway = Scripted(sql_context("x" * 20_000))
    assert "max_tokens" in await refusal(gateway, "get_sql_context", question="refunds")


async def test_nothing_is_sent_in_place_of_a_token_that_is_missing() -> None:
    gateway = Scripted()
    async with connected(gateway, authorization="") as client:
        await client.call_tool("search_datasets", {"question": "refunds"})
    assert "authorization" not in gateway.requests[0].headers


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("search_datasets", {}, "question"),
        ("search_datasets", {"question": ""}, "question"),
        ("search_datasets", {"question": "x", "limit": 26}, "limit"),
        # A filter with a wrong name must not be a filter that lets everything pass.
        ("search_datasets", {"question": "x", "platform": "snowflake"}, "platform"),
        ("get_dataset", {"urn": "orders"}, "urn:li:dataset:(urn:li:dataPlatform:PLATFORM"),
        ("get_dataset", {"urn": ORDERS, "cursor": "x"}, "cursor"),
        ("get_lineage", {"urn": ORDERS, "direction": "SIDEWAYS"}, "direction"),
        ("get_lineage", {"urn": ORDERS, "max_hops": 3}, "max_hops"),
        ("list_alerts", {"urns": ["orders"]}, "'orders' is not a dataset urn"),
        ("verify", {}, "give sql, urns or output"),
        ("verify", {"sql": "SELECT 1", "purpose": "FUN"}, "purpose"),
        ("verify", {"output": {"name": "x", "columns": []}}, "output.columns"),
    ],
)
async def test_what_cannot_be_used_is_named_and_nothing_is_asked(
    tool: str, arguments: dict[str, Any], named: str
) -> None:
    gateway = Scripted()
    assert named in await refusal(gateway, tool, **arguments)
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("UNAUTHENTICATED", "DataHub does not accept the token.", "Give another token."),
        ("INVALID_INPUT", "`after` is not a cursor of this search.", "cursor is not a cursor"),
        ("FORBIDDEN", "You may not view this.", "You may not view this."),
        ("DEPENDENCY_UNAVAILABLE", "DataSpoke cannot be reached now.", "cannot be reached now"),
        ("GRAPHQL_VALIDATION_FAILED", 'Cannot query field "x".', "of another version"),
    ],
)
async def test_an_error_of_the_api_says_what_to_do(code: str, message: str, said: str) -> None:
    error = {"message": message, "path": ["knowledgeSearch"], "extensions": {"code": code}}
    gateway = Scripted({"data": {"knowledgeSearch": None}, "errors": [error]})
    assert said in await refusal(gateway, "search_datasets", question="x")
    gateway = Scripted({"errors": [{**error, "path": None}]})
    assert said in await refusal(gateway, "search_datasets", question="x")


def _unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused by 10.0.0.7", request=request)


def _slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow", request=request)


def _page(_: httpx.Request) -> httpx.Response:
    return httpx.Response(502, text="<html>10.0.0.7</html>")


def _list(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=[])


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (_unreachable, "The gateway cannot be reached. Try again later."),
        (_slow, "did not answer within 60 s"),
        (_page, "status 502 and no JSON"),
        (_list, "no GraphQL gateway"),
    ],
)
async def test_a_gateway_that_fails_is_told_without_its_inside(handler: Handler, said: str) -> None:
    message = await refusal(handler, "search_datasets", question="x")
    assert said in message
    assert "10.0.0.7" not in message


async def test_what_nobody_expected_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    message = await refusal(
        Scripted({"data": {"knowledgeSearch": {"edges": []}}}), "search_datasets", question="x"
    )
    assert message == "Error executing tool search_datasets"
    assert "KeyError" in caplog.text


# --- by HTTP ---

CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "search_datasets", "arguments": {"question": "refunds"}},
}


@asynccontextmanager
async def serving(handler: Handler, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(gateway_of(handler), McpSettings(**settings))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://localhost:4002",
            headers={"accept": "application/json, text/event-stream"},
        ) as client,
    ):
        yield client


async def test_each_request_is_asked_with_the_token_that_it_brings() -> None:
    gateway = Scripted()
    async with serving(gateway) as client:
        for token in ("one", "two"):
            headers = {"authorization": f"Bearer {token}"}
            answer = await client.post("/mcp", json=CALL, headers=headers)
            assert answer.status_code == 200
            assert answer.json()["result"]["structuredContent"]["hits"] == []
            assert "mcp-session-id" not in answer.headers
    sent = [request.headers["authorization"] for request in gateway.requests]
    assert sent == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "There is no token: send the header Authorization"),
        ({"authorization": ""}, "There is no token"),
        ({"authorization": "Basic YTpi"}, "write it as Bearer TOKEN"),
        ({"authorization": "Bearer a b"}, "write it as Bearer TOKEN"),
    ],
)
async def test_without_a_token_nothing_is_answered(headers: dict[str, str], said: str) -> None:
    gateway = Scripted()
    async with serving(gateway) as client:
        for method in ("POST", "GET", "DELETE"):
            answer = await client.request(method, "/mcp", json=CALL, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert said in answer.json()["error"]["message"]
    assert gateway.requests == []


TOKEN = {"authorization": "Bearer t"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:4002"}, 403),
        ({"content-type": "text/plain"}, 400),
    ],
)
async def test_a_page_of_somebody_else_cannot_ask(headers: dict[str, str], status: int) -> None:
    gateway = Scripted()
    async with serving(gateway) as client:
        answer = await client.post(
            "/mcp",
            content=json.dumps(CALL),
            headers={"content-type": "application/json", **TOKEN, **headers},
        )
    assert answer.status_code == status
    assert gateway.requests == []


async def test_hosts_are_those_of_the_settings() -> None:
    async with serving(Scripted(), allowed_hosts=["agents.example"]) as client:
        headers = {**TOKEN, "host": "agents.example"}
        assert (await client.post("/mcp", json=CALL, headers=headers)).status_code == 200
        assert (await client.post("/mcp", json=CALL, headers=TOKEN)).status_code == 421


async def test_what_is_too_large_is_not_read() -> None:
    gateway = Scripted()
    async with serving(gateway) as client:
        answer = await client.post("/mcp", content=b" " * 1_000_001, headers=TOKEN)
    assert answer.status_code == 413
    assert gateway.requests == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_no_stream_and_no_session(method: str) -> None:
    async with serving(Scripted()) as client:
        answer = await client.request(method, "/mcp", headers=TOKEN)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


async def test_probes_tell_whether_it_lives_and_whether_the_gateway_answers() -> None:
    gateway = Scripted({"data": {"__typename": "Query"}})
    async with serving(gateway) as client:
        assert (await client.get("/livez")).json() == {"status": "live"}
        assert (await client.get("/readyz")).status_code == 200
        gateway.answer = {"errors": [{"message": "no"}]}
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/")).status_code == 404
    async with serving(_unreachable) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["component"] == "gateway"
