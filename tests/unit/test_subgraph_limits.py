"""What a query may cost; every refusal names the limit and what to do."""

import asyncio
import time
from typing import Any

import pytest

from dataspoke.settings import SubgraphSettings
from tests.support.asgi import websocket
from tests.support.subgraph import EDITOR, Altered, Subgraph, urn

LEADERBOARD = "{ healthLeaderboard { edges { node { dataset { urn } } } } }"


async def refused(subgraph: Subgraph, query: str, **variables: object) -> Any:
    """Return the one error of a query that was not executed."""
    response = await subgraph.post(
        {"query": query, "variables": variables},
        token=EDITOR,
        headers={"accept": "application/graphql-response+json"},
    )
    assert response.status_code == 400, response.text
    body = response.json()
    assert "data" not in body
    (error,) = body["errors"]
    return error


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph(SubgraphSettings(max_depth=6, max_aliases=3, max_tokens=300, max_cost=2000))
    await made.put("orders")
    return made


@pytest.mark.parametrize(
    "query",
    [
        "{ healthLeaderboard { edges { node { dataset { quality { alerts { id } } } } } } }",
        """query { healthLeaderboard { ...Page } }
           fragment Page on HealthLeaderboardEntryConnection { edges { node { ... { ...Entry } } } }
           fragment Entry on HealthLeaderboardEntry { dataset { quality { alerts { id } } } }""",
    ],
)
async def test_a_query_is_so_deep(subgraph: Subgraph, query: str) -> None:
    error = await refused(subgraph, query)
    assert error["message"].startswith("The query is nested more than 6 fields deep;")
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED"}
    assert "errors" not in await subgraph.ask(query.replace("alerts { id }", "status"))


@pytest.mark.parametrize(
    "query",
    [
        "{ a: __typename b: __typename }".replace("__typename", "dataspokeStatus { v: version }"),
        """query { a: dataspokeStatus { ...V } b: dataspokeStatus { ...V } }
           fragment V on DataspokeStatus { v: version }""",
        """query A { a: dataspokeStatus { b: version } }
           query B { c: dataspokeStatus { d: version } }""",
    ],
)
async def test_a_query_has_so_many_aliases(subgraph: Subgraph, query: str) -> None:
    error = await refused(subgraph, query)
    assert error["message"].startswith("The query has more than 3 aliases")
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED"}
    fewer = "{ a: dataspokeStatus { v: version } dataspokeStatus { v: version } }"
    assert "errors" not in await subgraph.ask(fewer)


async def test_a_query_has_so_many_tokens(subgraph: Subgraph) -> None:
    error = await refused(subgraph, "{ " + "__typename " * 299 + "}")
    assert "more than 300 tokens" in error["message"]
    assert error["message"].endswith("Ask in parts.")
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED"}
    assert "errors" not in await subgraph.ask("{ " + "__typename " * 297 + "}")


@pytest.mark.parametrize(
    "query",
    [
        "{ __typename" + " @include(if: true)" * 6 + " }",
        "query" + " @live" * 6 + " { __typename }",
        "{ ..." + " @include(if: true)" * 6 + " { __typename } }",
    ],
)
async def test_a_place_has_so_many_directives(subgraph: Subgraph, query: str) -> None:
    response = await subgraph.post({"query": query}, token=EDITOR)
    messages = [error["message"] for error in response.json()["errors"]]
    assert "The query has more than 5 directives in one place; remove some." in messages


async def test_many_fields_may_have_a_directive_each(subgraph: Subgraph) -> None:
    query = "{ " + "dataspokeStatus { version @include(if: true) } " * 9 + "}"
    assert "errors" not in await subgraph.ask(query)


# Worked out by hand: a field counts one, and below a list as often as the list is long.
@pytest.mark.parametrize(
    ("query", "variables", "cost"),
    [
        ("{ dataspokeStatus { version } }", {}, 2),
        ("{ dataspokeStatus { components { name state } } }", {}, 1 + 1 + 5 * 2),
        ("{ healthLeaderboard { edges { cursor } } }", {}, 1 + 1 + 20 * 1),
        ("{ healthLeaderboard(first: 7) { edges { cursor } } }", {}, 1 + 1 + 7 * 1),
        ("query ($n: Int!) { healthLeaderboard(first: $n) { edges { cursor } } }", {"n": 8}, 10),
        ("query ($n: Int! = 9) { healthLeaderboard(first: $n) { edges { cursor } } }", {}, 11),
        (
            "query ($n: Int! = 9) { healthLeaderboard(first: $n) { ...P } }"
            "fragment P on HealthLeaderboardEntryConnection { ... { edges { cursor } } }",
            {},
            11,
        ),
        (
            "{ healthLeaderboard(first: 3) { edges { node { dataset {"
            " similarDatasets(first: 4) { score why } } } } pageInfo { endCursor } } }",
            {},
            1 + (1 + 3 * (1 + 1 + 1 + 4 * 2)) + (1 + 1),
        ),
        (
            "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Dataset { urn } } }",
            {"r": [{"__typename": "Dataset", "urn": urn("orders")}] * 30},
            1 + 30 * 1,
        ),
        (
            "{ _entities(representations: [{}, {}]) { __typename ... on Dataset {"
            " quality { results(first: 10) { value } } } } }",
            {},
            1 + 2 * (1 + 1 + 1 + 10 * 1),
        ),
        (
            "{ _service { sdl } healthLeaderboard(first: 100000) { edges { cursor } } }",
            {},
            2 + 1 + 1 + 100,
        ),
        ("subscription { qualityAlerts { alert { id } } }", {}, 3),
        ("{ __schema { types { fields { name } } } }", {}, 1),
    ],
)
async def test_the_cost_is_what_the_answer_may_hold(
    query: str, variables: dict[str, Any], cost: int
) -> None:
    body = {"query": query, "variables": variables}
    headers = {"accept": "application/json, text/event-stream;q=0.1"}
    if cost > 1:
        dear = Subgraph(SubgraphSettings(max_cost=cost - 1), introspection=True)
        (error,) = (await _first_answer(dear, body, headers))["errors"]
        assert error["message"].startswith(
            f"The answer may hold {cost} values, and {cost - 1} are allowed:"
        )
        assert error["extensions"] == {"code": "LIMIT_EXCEEDED"}
    enough = Subgraph(SubgraphSettings(max_cost=cost), introspection=True)
    answer = await _first_answer(enough, body, headers)
    assert all(
        error["extensions"]["code"] != "LIMIT_EXCEEDED" for error in answer.get("errors", ())
    )


async def _first_answer(subgraph: Subgraph, body: object, headers: dict[str, str]) -> Any:
    if "subscription" not in str(body):
        return (await subgraph.post(body, headers=headers)).json()
    async with websocket(subgraph.app) as socket:
        await socket.init()
        socket.send({"id": "1", "type": "subscribe", "payload": body})
        message = await socket.receive()
        payload = message["payload"]
        return {"errors": payload} if message["type"] == "error" else payload


async def test_fragments_cannot_make_measuring_slow() -> None:
    # Each fragment spreads the next one twice: followed one by one, that is 2^60 spreads.
    subgraph = Subgraph()
    fragments = "".join(
        f"fragment F{n} on DataspokeStatus {{ ...F{n + 1} ... {{ ...F{n + 1} }} }} "
        for n in range(60)
    )
    query = (
        "{ dataspokeStatus { ...F0 } } "
        f"{fragments} fragment F60 on DataspokeStatus {{ v: version }}"
    )
    started = time.process_time()
    error = await refused(subgraph, query)
    assert "more than 15 aliases" in error["message"]
    assert time.process_time() - started < 5


async def test_a_fragment_inside_itself_is_refused(subgraph: Subgraph) -> None:
    error = await refused(
        subgraph, "{ ...F } fragment F on Query { dataspokeStatus { version } ...F }"
    )
    assert "Cannot spread fragment" in error["message"]
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}


async def test_a_document_nested_beyond_reading_is_refused() -> None:
    subgraph = Subgraph(SubgraphSettings(max_tokens=20_000))
    error = await refused(subgraph, "{a" * 4000 + "}" * 4000)
    assert error["extensions"] == {"code": "GRAPHQL_PARSE_FAILED"}
    assert "nested too deeply" in error["message"]


async def test_variables_nested_beyond_reading_are_refused(subgraph: Subgraph) -> None:
    content = b'{"query": "query ($r: [_Any!]!) { __typename }", "variables": {"r": '
    content += b"[" * 900 + b"]" * 900 + b"}}"
    response = await subgraph.post(content=content, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400)
    assert "Traceback" not in response.text


async def test_a_body_is_so_large() -> None:
    subgraph = Subgraph(SubgraphSettings(max_body_bytes=100))
    body = {"query": "{ __typename }", "variables": {"text": "x" * 100}}
    response = await subgraph.post(body)
    assert response.status_code == 413
    (error,) = response.json()["errors"]
    assert error["message"].startswith("The body is larger than 100 bytes;")
    assert (await subgraph.post({"query": "{ __typename }"})).status_code == 200


async def test_a_body_of_unknown_length_is_read_so_far_and_no_further() -> None:
    subgraph = Subgraph(SubgraphSettings(max_body_bytes=100))
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await subgraph.app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert read == 2


async def test_a_query_runs_so_long() -> None:
    subgraph = Subgraph(SubgraphSettings(timeout_s=0.05))
    await subgraph.put("orders")
    stopped = asyncio.Event()

    async def ranking(*_: object) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    health = Altered(subgraph.services.health, ranking=ranking)
    slow = subgraph.serving(health=health)
    response = await slow.post(
        {"query": LEADERBOARD},
        token=EDITOR,
        headers={"accept": "application/graphql-response+json"},
    )
    assert response.status_code == 504
    (error,) = response.json()["errors"]
    assert error["message"] == "The query ran longer than 0.05 s and was stopped; ask for less."
    assert error["extensions"] == {"code": "TIMEOUT"}
    assert stopped.is_set()

    async with websocket(slow.app) as socket:
        await socket.init({"Authorization": f"Bearer {EDITOR}"})
        socket.subscribe("1", LEADERBOARD)
        message = await socket.receive()
        assert (message["id"], message["type"]) == ("1", "error")
        assert message["payload"][0]["extensions"] == {"code": "TIMEOUT"}


async def test_several_operations_need_a_name(subgraph: Subgraph) -> None:
    query = "query A { __typename } query B { dataspokeStatus { version } }"
    error = await refused(subgraph, query)
    assert error["message"] == "The document holds 2 operations; name one in operationName."
    response = await subgraph.post({"query": query, "operationName": "A"})
    assert response.json() == {"data": {"__typename": "Query"}}
    response = await subgraph.post({"query": query, "operationName": "C"})
    assert response.status_code == 400
    assert "no operation named 'C'" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "query", ["{ __schema { types { name } } }", '{ __type(name: "X") { name } }']
)
async def test_introspection_is_off_unless_asked_for(query: str) -> None:
    answer = await Subgraph().ask(query)
    assert "data" not in answer
    for error in answer["errors"]:
        assert "introspection has been disabled" in error["message"]
    assert "errors" not in await Subgraph(introspection=True).ask(query)


async def test_the_standard_introspection_query_is_within_the_limits() -> None:
    from graphql import build_client_schema, get_introspection_query

    data = await Subgraph(introspection=True).data(get_introspection_query())
    assert "Dataset" in build_client_schema(data).type_map


async def test_no_name_of_the_schema_is_suggested(subgraph: Subgraph) -> None:
    for query in (
        "{ dataspokeStatu { version } }",
        '{ knowledgeSearch(quer: "x", query: "x") { mode } }',
        "{ ... on Quer { __typename } }",
        "{ healthLeaderboard(order: LOWEST) { edges { cursor } } }",
        "query ($o: HealthLeaderboardOrde) { __typename }",
    ):
        answer = await subgraph.post({"query": query})
        assert answer.json()["errors"]
        assert "Did you mean" not in answer.text
    answer = await subgraph.post(
        {
            "query": "query ($o: HealthLeaderboardOrder!) { healthLeaderboard(order: $o) "
            "{ edges { cursor } } }",
            "variables": {"o": "LOWEST"},
        }
    )
    assert answer.json()["errors"][0]["extensions"] == {"code": "INVALID_INPUT"}
    assert "Did you mean" not in answer.text
