"""A client of the protocol's own SDK against the whole of it, by stdio and by HTTP."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from dataspoke.embedded.child import free_port
from dataspoke.mcp.answers import MAX_TOKENS, tokens
from dataspoke.mcp.app import create_app, create_gateway
from dataspoke.settings import McpSettings
from tests.support.demo import PROGRAM, Demo, clean_environment
from tests.support.federation import CALLERS, TABLES, Federation, Unsteady
from tests.support.gateway import RunningGateway
from tests.support.serving import Served, serving
from tests.support.subgraph import EDITOR, urn
from tests.support.waiting import until_true

SALES = "urn:li:dataset:(urn:li:dataPlatform:snowflake,analytics.marts.fct_sales_d,PROD)"
ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.public.orders,PROD)"
WRONG_SQL = "SELECT order_id,\n       totl\nFROM shop.public.orders"
STOP_TIMEOUT_S = 30


@asynccontextmanager
async def by_stdio(demo: Demo) -> AsyncIterator[Client]:
    """Yield a client whose server finds the demo, as the other commands do."""
    parameters = StdioServerParameters(
        command=str(PROGRAM), args=["mcp", "--directory", str(demo.directory)]
    )
    log = (demo.directory / "mcp.log").open("a")
    with log:
        async with Client(stdio_client(parameters, errlog=log)) as client:
            yield client


@asynccontextmanager
async def by_http(url: str, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    """Yield a client that sends this token."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


@contextmanager
def program_by_http(gateway_url: str, log: Path) -> Iterator[str]:
    """Yield the address of ``dataspoke mcp --transport http``; it must end when it is told to."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **clean_environment(),
        "DATASPOKE_MCP__PORT": str(port),
        "DATASPOKE_MCP__GATEWAY_URL": gateway_url,
    }
    with log.open("wb") as terminal:
        process = subprocess.Popen(
            [PROGRAM, "mcp", "--transport", "http"],
            stdout=terminal,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        until_true(lambda: _ready(url) or process.poll() is not None, "server", 120)
        yield url
        process.send_signal(signal.SIGTERM)
        # As uvicorn does, it ends by the signal that it was told to end by.
        assert process.wait(STOP_TIMEOUT_S) in (0, -signal.SIGTERM), log.read_text()
    finally:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def in_process(gateway_url: str) -> Iterator[Served]:
    settings = McpSettings.model_validate({"gateway_url": gateway_url})
    with serving(create_app(create_gateway(settings), settings)) as served:
        yield served


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the structured answer of a tool; the client holds it to the tool's schema."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    assert isinstance(result.structured_content, dict)
    assert tokens(text_of(result)) <= MAX_TOKENS
    assert tokens(json.dumps(result.structured_content, ensure_ascii=False)) <= MAX_TOKENS
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return text_of(result)


async def run_each_tool(client: Client) -> None:
    """Ask the bookshop one question by each tool that there is."""
    left = {tool.name for tool in (await client.list_tools()).tools}

    async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
        left.discard(tool)
        return await answer(client, tool, **arguments)

    found = await ask("search_datasets", question="what customers sent back", limit=3)
    assert len(found["hits"]) == 3
    refunds = next(hit for hit in found["hits"] if hit["name"] == "refunds")
    assert "Money given back" in refunds["description"]
    assert refunds["quality"] == "PASS"
    assert refunds["health"] > 0
    rest = await ask(
        "search_datasets",
        question="what customers sent back",
        limit=3,
        cursor=found["next_cursor"],
    )
    urns = {hit["urn"] for hit in found["hits"] + rest["hits"]}
    assert len(urns) == 6

    context = await ask("get_sql_context", question="net revenue per day", max_tokens=800)
    assert "CREATE TABLE analytics.marts.fct_sales_d" in context["context"]
    assert context["dialect"] == "snowflake"
    sales = next(table for table in context["tables"] if table["urn"] == SALES)
    assert sales["quality"] == "FAIL"

    refused = await ask("verify", sql=WRONG_SQL, dialect="postgres")
    assert refused["verdict"] == "BLOCK"
    (unknown,) = (each for each in refused["issues"] if each["code"] == "UNKNOWN_COLUMN")
    assert (unknown["line"], unknown["column"]) == (2, 8)
    assert {each["urn"] for each in refused["inputs"]} == {ORDERS}
    failing = await ask("verify", urns=[SALES], purpose="TRAINING")
    assert failing["verdict"] == "BLOCK"
    assert "FAILING_INPUT" in {each["code"] for each in failing["issues"]}
    planned = {"name": "shop.public.orders", "columns": [{"name": "order_id"}]}
    breaking = await ask("verify", output=planned, platform="postgres")
    assert "BREAKING_CHANGE" in {each["code"] for each in breaking["issues"]}

    told = await ask("get_dataset", urn=SALES)
    assert told["dataset"]["quality"] == "FAIL"
    assert told["dimensions"]["VOLUME"] == "FAIL"
    assert "morning report" in told["dataset"]["description"]
    assert "urn:li:corpuser:mira.holt" in told["owners"]
    assert any(alert["check"] == "ROW_COUNT" for alert in told["alerts"])
    assert told["checks"][0]["status"] == "FAIL"

    upstream = await ask("get_lineage", urn=SALES)
    assert upstream["total"] == len(upstream["relatives"])
    names = {relative["name"]: relative for relative in upstream["relatives"]}
    assert names["dim_date"]["hops"] == 1
    assert names["dim_date"]["quality"] == "PASS"
    assert names["orders"]["hops"] > 1
    first = await ask("get_lineage", urn=SALES, limit=2)
    second = await ask("get_lineage", urn=SALES, limit=2, cursor=first["next_cursor"])
    assert [each["urn"] for each in first["relatives"] + second["relatives"]] == [
        each["urn"] for each in upstream["relatives"][:4]
    ]
    near = await ask("get_lineage", urn=SALES, direction="DOWNSTREAM", max_hops=1)
    assert near["relatives"]
    assert {each["hops"] for each in near["relatives"]} == {1}

    alerts = await ask("list_alerts", urns=[SALES])
    assert {alert["urn"] for alert in alerts["alerts"]} == {SALES}
    assert {alert["state"] for alert in alerts["alerts"]} <= {"OPEN", "ACKNOWLEDGED", "SNOOZED"}
    assert left == set()


async def test_an_agent_runs_each_tool_by_stdio(demo: Demo) -> None:
    async with by_stdio(demo) as client:
        assert client.instructions
        await run_each_tool(client)
        assert "search_datasets finds urns" in await refusal(
            client, "get_dataset", urn=SALES.replace("fct_", "no_")
        )


async def test_an_agent_runs_each_tool_by_http(demo: Demo, tmp_path: Path) -> None:
    with program_by_http(f"{demo.gateway}/graphql", tmp_path / "log") as url:
        async with by_http(url, demo.tokens["editor"]) as client:
            await run_each_tool(client)
        # Clients of the time before there were no sessions begin with a handshake.
        async with by_http(url, demo.tokens["viewer"], mode="legacy") as client:
            assert (await answer(client, "get_dataset", urn=SALES))["owners"]
        async with by_http(url, "stolen") as client:
            refused = await refusal(client, "get_dataset", urn=SALES)
        assert "does not accept the token" in refused
        assert "header Authorization" in refused
    log = (tmp_path / "log").read_text()
    assert demo.tokens["editor"] not in log
    assert "stolen" not in log
    assert "Traceback" not in log


def test_by_stdio_there_is_nothing_but_the_protocol_on_stdout(demo: Demo) -> None:
    messages = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {
            "jsonrpc": "2.0",
            "id": 3,
            "method": "tools/call",
            "params": {"name": "get_dataset", "arguments": {"urn": "orders"}},
        },
    ]
    with subprocess.Popen(
        [PROGRAM, "mcp", "--directory", str(demo.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in messages:
            process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(3)]
        # An agent that ends closes the pipe.
        rest, told = process.communicate(timeout=STOP_TIMEOUT_S)
    assert process.returncode == 0, told
    assert rest == ""
    assert sorted(each["id"] for each in answers) == [1, 2, 3]
    assert "get_dataset" in told


def test_by_stdio_it_ends_at_once_when_interrupted(demo: Demo) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [PROGRAM, "mcp", "--directory", str(demo.directory)],
        stdin=reading,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    ) as process:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        os.write(writing, json.dumps(ping).encode() + b"\n")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT_S) == -signal.SIGINT
    os.close(reading)
    os.close(writing)


# --- who asks ---


async def test_callers_at_once_are_each_answered_as_themselves(gateway: RunningGateway) -> None:
    with in_process(gateway.graphql_url) as served:

        async def ask(caller: str, hidden: str) -> None:
            async with by_http(served.url, caller) as client:
                found = await answer(client, "search_datasets", question="orders", limit=25)
                assert {hit["urn"] for hit in found["hits"]} == {
                    urn(table) for table in TABLES if table != hidden
                }
                refused = await refusal(client, "get_dataset", urn=urn(hidden))
                assert "you may not see it" in refused

        await asyncio.gather(*map(ask, CALLERS[:6], TABLES[:6]))


async def test_a_search_with_datahubs_fields_costs_one_request_to_the_hub(
    gateway: RunningGateway, federation: Federation
) -> None:
    with in_process(gateway.graphql_url) as served:
        async with by_http(served.url, EDITOR) as client:
            await answer(client, "search_datasets", question="orders that are warm")
            counted = federation.hub_requests()
            found = await answer(client, "search_datasets", question="all orders", limit=10)
            assert federation.hub_requests() - counted == 1
    assert len(found["hits"]) == 10
    for hit in found["hits"]:
        assert hit["description"] == f"DataHub on {hit['name']}."
        assert hit["health"] is not None


# --- one side fails ---


async def test_what_one_side_that_is_down_leaves_out_is_said(unsteady: Unsteady) -> None:
    with in_process(unsteady.gateway.graphql_url) as served:
        async with by_http(served.url, EDITOR) as client:
            with unsteady.serving(hub=False):
                found = await answer(client, "search_datasets", question="orders", limit=5)
                refused = await refusal(client, "get_dataset", urn=urn(TABLES[0]))
            assert len(found["hits"]) == 5
            assert all(hit["health"] is not None for hit in found["hits"])
            assert all(hit["description"] is None for hit in found["hits"])
            (note,) = found["notes"]
            assert note.startswith("DataHub cannot be reached now. Try again later. Missing here:")
            assert "DataHub cannot be reached now" in refused

            with unsteady.serving(subgraph=False):
                told = await answer(client, "get_dataset", urn=urn(TABLES[0]))
                refused = await refusal(client, "search_datasets", question="orders")
            assert told["dataset"]["description"] == f"DataHub on {TABLES[0]}."
            assert told["dataset"]["quality"] is None
            (note,) = told["notes"]
            assert note.startswith("DataSpoke cannot be reached now. Try again later.")
            assert "DataSpoke cannot be reached now" in refused

            with unsteady.serving():
                told = await answer(client, "get_dataset", urn=urn(TABLES[0]))
            assert told["notes"] == []
            assert told["dataset"]["quality"] == "FAIL"


async def test_a_gateway_that_is_down_is_said_without_its_address() -> None:
    port = free_port()
    with in_process(f"http://127.0.0.1:{port}/graphql") as served:
        async with by_http(served.url, EDITOR) as client:
            refused = await refusal(client, "search_datasets", question="orders")
    assert "The gateway cannot be reached" in refused
    assert str(port) not in refused
