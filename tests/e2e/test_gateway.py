"""The real gateway between the stand-in hub and the subgraph, asked as clients ask."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from tests.support.federation import (
    CALLERS,
    SECRET,
    TABLES,
    Federation,
    Unsteady,
)
from tests.support.gateway import RunningGateway, codes
from tests.support.subgraph import EDITOR, VIEWER, urn

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
EXPLAINED = """
query ($query: String!, $after: String) {
  knowledgeSearch(query: $query, first: 5, after: $after) {
    mode
    interpretation { text filters { kind name urns } }
    edges { node {
      score why matches { kind label } matchedColumns trust { value parts { name value note } }
      lineage { upstream { status dataset { urn } } }
      dataset { urn properties { name description } quality { status } healthScore { value } }
    } }
    facets { platforms { name count } }
    pageInfo { endCursor }
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


def test_a_search_that_explains_itself_costs_one_request_to_the_hub(
    gateway: RunningGateway, federation: Federation
) -> None:
    seen: list[str] = []
    after = None
    for _ in range(2):
        counted, executed = gateway.requests("datahub"), federation.hub_requests()
        asked = {"query": "orders total in postgres", "after": after}
        found = gateway.data(EXPLAINED, asked, token=EDITOR)["knowledgeSearch"]
        assert gateway.requests("datahub") - counted == 1
        assert federation.hub_requests() - executed == 1
        assert found["mode"] == "HYBRID"
        assert found["interpretation"] == {
            "text": "orders total",
            "filters": [
                {
                    "kind": "PLATFORM",
                    "name": "postgres",
                    "urns": ["urn:li:dataPlatform:postgres"],
                }
            ],
        }
        assert found["facets"] == {"platforms": [{"name": "postgres", "count": len(TABLES)}]}
        for node in (edge["node"] for edge in found["edges"]):
            name = node["dataset"]["properties"]["name"]
            assert node["dataset"]["properties"]["description"] == f"DataHub on {name}."
            failing = name == TABLES[0]
            assert node["dataset"]["quality"]["status"] == ("FAIL" if failing else "PASS")
            alerts = next(part for part in node["trust"]["parts"] if part["name"] == "alerts")
            assert alerts["value"] == (0 if failing else 1)
            assert node["matchedColumns"] == [f"{name}_total"]
            assert node["lineage"] == {"upstream": []}
        seen += [edge["node"]["dataset"]["urn"] for edge in found["edges"]]
        after = found["pageInfo"]["endCursor"]
    assert len(set(seen)) == 10


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


def test_metrics_name_subgraphs_and_nothing_of_the_callers(gateway: RunningGateway) -> None:
    gateway.data("query HowAreYou { dataspokeStatus { version } }", token=EDITOR)
    metrics = gateway.metrics()
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


def test_it_starts_again_while_the_hub_is_down(unsteady: Unsteady) -> None:
    gateway = unsteady.gateway
    with unsteady.serving(hub=False):
        gateway.process.stop()
        gateway.process.start()
        assert "Going on with the supergraph composed last" in gateway.process.child.last_words()
        answer = gateway.ask("{ dataspokeStatus { version } }", token=EDITOR)
        assert answer["data"]["dataspokeStatus"]["version"]
