"""The HTTP face: what is read, what is answered with, the gateway's secret, and the probes."""

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from dataspoke.settings import SubgraphSettings
from dataspoke.status import Component, ComponentState
from dataspoke.subgraph.http import Refused, negotiate
from tests.support.asgi import event_stream
from tests.support.subgraph import EDITOR, Altered, Subgraph

GRAPHQL = "application/graphql-response+json"
STATUS = "{ dataspokeStatus { version } }"
# What must be in no log and no answer.
VALUE = "hunter" + str(2)
FUZZED = Subgraph()
SECRET = SubgraphSettings(gateway_secret=SecretStr("s3cret"))


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph()
    await made.put("orders", "stock")
    return made


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}, application/json;q=0.9", GRAPHQL),
        (f"application/json, {GRAPHQL}", "application/json"),
        (f"application/json;q=0.5, {GRAPHQL};q=0.8", GRAPHQL),
        (f"APPLICATION/JSON;q=0, {GRAPHQL}", GRAPHQL),
        ("text/html, */*;q=0.1", "application/json"),
        (f"{GRAPHQL}, application/json, multipart/mixed, text/event-stream", GRAPHQL),
        ("text/event-stream;q=0.5, application/json", "application/json"),
    ],
)
async def test_the_answer_is_of_the_type_that_the_client_prefers(
    subgraph: Subgraph, accept: str | None, answered: str
) -> None:
    headers = {} if accept is None else {"accept": accept}
    response = await subgraph.post({"query": STATUS}, token=EDITOR, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == answered
    assert response.json()["data"]["dataspokeStatus"]["version"]


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", "x;q=y"])
async def test_who_reads_nothing_of_it_is_told_what_there_is(
    subgraph: Subgraph, accept: str
) -> None:
    response = await subgraph.post({"query": STATUS}, headers={"accept": accept})
    assert response.status_code == 406
    assert GRAPHQL in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{", {}, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("fragment F on Query { __typename }", {}, "BAD_REQUEST"),
        (
            "query ($n: Int!) { healthLeaderboard(first: $n) { edges { cursor } } }",
            {},
            "INVALID_INPUT",
        ),
        (
            "query ($n: Int!) { healthLeaderboard(first: $n) { edges { cursor } } }",
            {"n": "x"},
            "INVALID_INPUT",
        ),
    ],
)
async def test_what_is_not_executed_has_no_data_and_its_own_status(
    subgraph: Subgraph, query: str, variables: dict[str, Any], code: str
) -> None:
    body = {"query": query, "variables": variables}
    response = await subgraph.post(body, headers={"accept": GRAPHQL})
    assert response.status_code == 400
    assert "data" not in response.json()
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": code}
    as_json = await subgraph.post(body, headers={"accept": "application/json"})
    assert as_json.status_code == (400 if code == "BAD_REQUEST" else 200)
    assert as_json.json() == response.json()


async def test_a_null_for_an_argument_that_takes_none_keeps_its_message(
    subgraph: Subgraph,
) -> None:
    query = "query ($n: Int) { healthLeaderboard(first: $n) { edges { cursor } } }"
    answer = await subgraph.ask(query, EDITOR, n=None)
    (error,) = answer["errors"]
    assert "first" in error["message"]
    assert error["extensions"] == {"code": "INVALID_INPUT"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The body is not JSON"),
        (b"{", "The body is not JSON"),
        (b'{"query": "\xff"}', "The body is not JSON"),
        (b'{"query": NaN}', "The body is not JSON"),
        (b"[" * 5000, "The body is not JSON"),
        (b"null", "must be a JSON object"),
        (b'"query"', "must be a JSON object"),
        (b'[{"query": "{ __typename }"}]', "Send one operation in a request, not a list."),
        (b"{}", "query is missing"),
        (b'{"query": ""}', "query is missing"),
        (b'{"query": 1}', "query is missing"),
        (b'{"query": "{a}", "variables": []}', "variables must be"),
        (b'{"query": "{a}", "variables": "x"}', "variables must be"),
        (b'{"query": "{a}", "operationName": 1}', "operationName must be"),
        (b'{"query": "{a}", "extensions": 1}', "extensions must be"),
    ],
)
async def test_a_body_that_cannot_be_used_is_told_why(
    subgraph: Subgraph, content: bytes, message: str
) -> None:
    response = await subgraph.post(content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert message in error["message"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/graphql"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {},
    ],
)
async def test_json_alone_is_read(subgraph: Subgraph, headers: dict[str, str]) -> None:
    response = await subgraph.post(content=b'{"query": "{ __typename }"}', headers=headers)
    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused(subgraph: Subgraph, method: str) -> None:
    response = await subgraph.post(method=method, path="/graphql?query={__typename}", content=b"")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    if method != "HEAD":
        assert "Send GraphQL by POST" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("path", ["/graphql/", "/docs", "/graphiql"])
async def test_there_is_nothing_else(subgraph: Subgraph, path: str) -> None:
    response = await subgraph.post(method="GET", path=path, headers={"accept": "text/html"})
    assert response.status_code == 404
    assert "html" not in response.text


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
TOKENS = st.sampled_from(
    [
        "{",
        "}",
        "(",
        ")",
        "query",
        "subscription",
        "fragment",
        "F",
        "on",
        "Query",
        "...F",
        "...",
        "@include(if:",
        "true)",
        "__typename",
        "dataspokeStatus",
        "version",
        "a:",
        "$n",
        "first:",
        "1",
        '"x"',
        "]",
    ]
)


@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries(
        {"query": st.text(max_size=40) | st.lists(TOKENS, max_size=20).map(" ".join) | JSON_VALUES},
        optional={
            "variables": JSON_VALUES,
            "operationName": JSON_VALUES,
            "extensions": JSON_VALUES,
        },
    ),
    st.sampled_from(["application/json", GRAPHQL]),
)
@settings(deadline=None, max_examples=150)
async def test_whatever_is_sent_is_answered_in_the_form_of_graphql(
    body: bytes | dict[str, Any], accept: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "accept": accept}
    response = await FUZZED.post(content=content, headers=headers)
    assert response.status_code < 500, response.text
    answer = response.json()
    assert "data" in answer or answer["errors"]
    for error in answer.get("errors", ()):
        assert error["message"]
        assert error["extensions"]["code"] != "INTERNAL"


@given(st.text(max_size=40) | st.lists(st.sampled_from([*"*/;,=q. ", "json", "1"])).map("".join))
async def test_any_accept_header_is_read_or_refused(accept: str) -> None:
    with suppress(Refused):
        assert negotiate(accept).best


# --- the gateway's secret ---


@pytest.mark.parametrize("header", [None, "", "wrong", "s3cret "])
async def test_who_is_not_the_gateway_is_refused(header: str | None) -> None:
    subgraph = Subgraph(SECRET)
    headers = {} if header is None else {"x-dataspoke-gateway": header}
    for accept in ("application/json", "text/event-stream"):
        response = await subgraph.post({"query": STATUS}, headers={**headers, "accept": accept})
        assert response.status_code == 401
        (error,) = response.json()["errors"]
        assert "x-dataspoke-gateway" in error["message"]
        assert "s3cret" not in response.text
        assert error["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_the_gateway_is_answered_and_told_the_schema() -> None:
    subgraph = Subgraph(SECRET)
    await subgraph.put("orders")
    headers = {"x-dataspoke-gateway": "s3cret"}
    response = await subgraph.post({"query": STATUS}, token=EDITOR, headers=headers)
    assert response.json()["data"]["dataspokeStatus"]
    told = await subgraph.post({"query": "{ _service { sdl } }"}, headers=headers)
    assert "type Dataset" in told.json()["data"]["_service"]["sdl"]


async def test_without_a_secret_the_schema_is_not_told_but_for_development() -> None:
    response = await Subgraph().post({"query": "{ _service { sdl } }"})
    assert "data" not in response.json()
    assert "schema/subgraph.graphql" in response.json()["errors"][0]["message"]
    data = await Subgraph(introspection=True).data("{ _service { sdl } }")
    assert "type Dataset" in data["_service"]["sdl"]


# --- errors ---


async def test_what_nobody_expected_is_masked_and_logged_once_without_values(
    subgraph: Subgraph, caplog: pytest.LogCaptureFixture
) -> None:
    async def scores_for(*_: object) -> Any:
        try:
            raise KeyError(VALUE)
        except KeyError as error:
            raise RuntimeError(f"cannot connect with {VALUE}") from error

    broken = subgraph.serving(health=Altered(subgraph.services.health, scores_for=scores_for))
    answer = await broken.entities("urn healthScore { value }", ["orders", "stock"])
    assert [one["healthScore"] for one in answer["data"]["_entities"]] == [None, None]
    codes = {(e["extensions"]["code"], e["extensions"]["correlationId"]) for e in answer["errors"]}
    ((code, correlation_id),) = codes
    assert code == "INTERNAL"
    for error in answer["errors"]:
        assert correlation_id in error["message"]
        assert VALUE not in str(error)
    (record,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    text = record.getMessage()
    assert correlation_id in text
    assert "builtins.RuntimeError" in text
    assert "builtins.KeyError" in text
    assert "scores_for" in text
    assert VALUE not in caplog.text
    assert record.exc_info is None


async def test_a_service_that_returns_nonsense_is_masked(
    subgraph: Subgraph, caplog: pytest.LogCaptureFixture
) -> None:
    async def status(*_: object) -> Any:
        found = await subgraph.services.operations.status(await subgraph.hub.actor(EDITOR))
        return Altered(found, indexed_documents=VALUE)

    broken = subgraph.serving(operations=Altered(subgraph.services.operations, status=status))
    answer = await broken.ask("{ dataspokeStatus { indexedDocuments } }")
    assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert VALUE not in str(answer)
    assert VALUE not in caplog.text


async def test_a_failure_before_any_field_is_masked_in_every_transport(
    subgraph: Subgraph, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream(*_: object) -> Any:
        raise RuntimeError(VALUE)
        yield

    broken = subgraph.serving(alerts=Altered(subgraph.services.alerts, stream=stream))
    body = {"query": "subscription { qualityAlerts { cursor } }"}
    headers = {"authorization": f"Bearer {EDITOR}"}
    async with event_stream(broken.app, body, headers) as events:
        _, payload = await anext(events)
        assert payload["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert await anext(events) == ("complete", None)
    assert VALUE not in str(payload) + caplog.text


async def test_errors_of_the_caller_are_not_logged(
    subgraph: Subgraph, caplog: pytest.LogCaptureFixture
) -> None:
    for query in ("{", "{ nothing }", "{ healthLeaderboard(first: 0) { edges { cursor } } }"):
        await subgraph.ask(query)
    assert not [one for one in caplog.records if one.levelno >= logging.INFO]


# --- probes ---


async def test_the_process_lives_whatever_the_store_does(subgraph: Subgraph) -> None:
    down = _with_store_down(subgraph)
    for app in (subgraph, down):
        response = await app.post(method="GET", path="/livez")
        assert (response.status_code, response.json()) == (200, {"status": "live"})


async def test_readiness_is_the_stores_and_says_why_not(subgraph: Subgraph) -> None:
    response = await subgraph.post(method="GET", path="/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    response = await _with_store_down(subgraph).post(method="GET", path="/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "component": "store",
        "reason": "No answer within 1 s.",
    }


async def test_probes_need_no_secret() -> None:
    subgraph = Subgraph(SECRET)
    for path in ("/livez", "/readyz"):
        assert (await subgraph.post(method="GET", path=path)).status_code == 200


def _with_store_down(subgraph: Subgraph) -> Subgraph:
    async def ready() -> Component:
        return Component("store", ComponentState.DEGRADED, "No answer within 1 s.")

    return subgraph.serving(operations=Altered(subgraph.services.operations, ready=ready))


async def test_two_callers_at_once_get_their_own_answers(subgraph: Subgraph) -> None:
    tokens = ["editor", "stranger"] * 6
    answers = await asyncio.gather(
        *(subgraph.entities("healthScore { value }", ["orders"], token) for token in tokens)
    )
    assert [one["data"]["_entities"][0]["healthScore"] for one in answers] == [
        {"value": 10.0},
        None,
    ] * 6
