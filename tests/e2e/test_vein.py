"""The vein from DataHub's metadata to a federated verdict, through every real process."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from gql import Client, GraphQLRequest
from gql.transport.websockets import WebsocketsTransport

from dataspoke.embedded.gateway import requests_sent
from tests.support.demo import Demo
from tests.support.waiting import until_true

SALES = "urn:li:dataset:(urn:li:dataPlatform:snowflake,analytics.marts.fct_sales_d,PROD)"
ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.public.orders,PROD)"
LEDGER = "urn:li:dataset:(urn:li:dataPlatform:postgres,erp.fin.gl_postings,PROD)"
PAYMENTS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.public.payments,PROD)"
HOUR_MS = 3_600_000

VERDICT = """
query ($urn: String!) {
  dataset(urn: $urn) {
    properties { name description }
    healthScore { value findings { rule action } }
    quality { status results { metric status value low high } alerts { message causeId } }
  }
}
"""
TEN = """
query ($query: String!) {
  knowledgeSearch(query: $query, first: 10) {
    edges { node { why dataset { urn name platform { urn } properties { description } } } }
  }
}
"""
ALERTS = """
query ($urns: [String!]) {
  qualityAlerts(urns: $urns, first: 100) { edges { node { id state metric message } } }
}
"""
LIVE = """
subscription ($urns: [String!]) {
  qualityAlerts(urns: $urns, after: "0") {
    alert { id state metric dataset { urn properties { name } } }
  }
}
"""
ASSERTIONS = """
query ($urn: String!) {
  dataset(urn: $urn) {
    assertions(start: 0, count: 20) {
      assertions {
        info { type description }
        runEvents(status: COMPLETE, limit: 1) { runEvents { result { type actualAggValue } } }
      }
    }
  }
}
"""


def test_one_question_brings_the_description_and_the_verdict(demo: Demo) -> None:
    dataset = demo.data(VERDICT, {"urn": SALES})["dataset"]
    assert dataset["properties"]["name"] == "fct_sales_d"
    assert 0 < dataset["healthScore"]["value"] <= 100
    # The bookshop's morning report lacks half its rows since yesterday.
    assert dataset["quality"]["status"] == "FAIL"
    rows = next(r for r in dataset["quality"]["results"] if r["metric"] == "ROW_COUNT")
    assert rows["value"] < rows["low"]


def test_the_rows_that_are_missing_explain_what_fell_with_them(demo: Demo) -> None:
    def causes() -> list[str]:
        quality = demo.data(VERDICT, {"urn": SALES})["dataset"]["quality"]
        return [a["message"] for a in quality["alerts"] if a["causeId"] is None]

    # Alerts are grouped some time after they are raised, so that a cause upstream is found first.
    until_true(lambda: len(causes()) == 1, "the alerts to be grouped", 90)
    assert "row count" in causes()[0]


def test_ten_hits_with_datahubs_fields_cost_one_request_to_the_hub(demo: Demo) -> None:
    demo.data(TEN, {"query": "orders"})
    before = requests_sent(demo.gateway, "datahub")
    edges = demo.data(TEN, {"query": "customers and what they bought"})["knowledgeSearch"]["edges"]
    assert requests_sent(demo.gateway, "datahub") - before == 1
    datasets = [edge["node"]["dataset"] for edge in edges]
    assert len({dataset["urn"] for dataset in datasets}) == 10
    assert all(dataset["name"] and dataset["platform"]["urn"] for dataset in datasets)


def test_a_dataset_ingested_by_datahubs_own_command_line_is_found_within_five_seconds(
    demo: Demo, tmp_path: Path
) -> None:
    urn = "urn:li:dataset:(urn:li:dataPlatform:snowflake,lab.zeppelin_flights,PROD)"
    records = tmp_path / "new.json"
    records.write_text(
        json.dumps(
            [
                {
                    "entityType": "dataset",
                    "entityUrn": urn,
                    "changeType": "UPSERT",
                    "aspectName": "datasetProperties",
                    "aspect": {"json": {"name": "zeppelin_flights", "description": "Airships."}},
                }
            ]
        )
    )
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(
        json.dumps(
            {
                "source": {"type": "file", "config": {"path": str(records)}},
                "sink": {
                    "type": "datahub-rest",
                    "config": {"server": demo.hub, "token": demo.tokens["editor"]},
                },
            }
        )
    )
    demo.datahub("ingest", "-c", str(recipe))
    ingested = time.monotonic()

    def found() -> bool:
        edges = demo.data(TEN, {"query": "zeppelin flights"})["knowledgeSearch"]["edges"]
        return any(edge["node"]["dataset"]["urn"] == urn for edge in edges)

    until_true(found, "the new dataset", 5)
    print(f"found {time.monotonic() - ingested:.2f} s after `datahub ingest` ended")


async def test_a_profile_with_a_tenth_of_the_rows_raises_one_alert(demo: Demo) -> None:
    healthy = await asyncio.to_thread(demo.data, VERDICT, {"urn": ORDERS})
    assert healthy["dataset"]["quality"]["status"] == "PASS"
    usual = next(
        r["value"] for r in healthy["dataset"]["quality"]["results"] if r["metric"] == "ROW_COUNT"
    )
    transport = WebsocketsTransport(
        url=demo.gateway.replace("http", "ws") + "/graphql",
        init_payload=demo.authorization("viewer"),
    )
    async with Client(transport=transport) as session:
        received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def listen() -> None:
            live = GraphQLRequest(LIVE, variable_values={"urns": [ORDERS]})
            async for change in session.subscribe(live):
                received.put_nowait(change["qualityAlerts"]["alert"])

        listening = asyncio.create_task(listen())
        await asyncio.to_thread(_put_profile, demo, ORDERS, int(usual / 10))
        waiting = asyncio.ensure_future(received.get())
        await asyncio.wait({listening, waiting}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert not listening.done(), listening.result()
        alert = waiting.result()
        assert (alert["state"], alert["metric"]) == ("OPEN", "ROW_COUNT")
        assert alert["dataset"] == {"urn": ORDERS, "properties": {"name": "orders"}}
        listening.cancel()

    listed = await asyncio.to_thread(demo.data, ALERTS, {"urns": [ORDERS]})
    assert [edge["node"]["id"] for edge in listed["qualityAlerts"]["edges"]] == [alert["id"]]
    assert received.empty()
    await asyncio.to_thread(
        until_true, lambda: _failed_assertions(demo, ORDERS) == 1, "the failed assertion", 20
    )


def _put_profile(demo: Demo, urn: str, rows: int) -> None:
    aspect = demo.directory / "profile.json"
    aspect.write_text(json.dumps({"timestampMillis": int(time.time() * 1000), "rowCount": rows}))
    demo.datahub("put", "--urn", urn, "--aspect", "datasetProfile", "-d", str(aspect))


def _failed_assertions(demo: Demo, urn: str) -> int:
    dataset = demo.ask_hub(ASSERTIONS, {"urn": urn})["dataset"]
    runs = [
        run
        for assertion in dataset["assertions"]["assertions"]
        for run in assertion["runEvents"]["runEvents"]
    ]
    return sum(run["result"]["type"] == "FAILURE" for run in runs)


@pytest.mark.parametrize(
    ("role", "urn", "health", "quality"),
    [
        ("editor", LEDGER, True, True),
        ("viewer", LEDGER, False, False),
        ("editor", PAYMENTS, True, True),
        ("viewer", PAYMENTS, True, False),
    ],
)
def test_each_caller_sees_what_datahub_lets_them_see(
    demo: Demo, role: str, urn: str, health: bool, quality: bool
) -> None:
    dataset = demo.ask(VERDICT, {"urn": urn}, role=role)["data"]["dataset"]
    seen = dataset or {"healthScore": None, "quality": None}
    assert (seen["healthScore"] is not None, seen["quality"] is not None) == (health, quality)


def test_without_a_token_nothing_is_told(demo: Demo) -> None:
    response = httpx.post(
        f"{demo.gateway}/graphql", json={"query": "{ dataspokeStatus { version } }"}, timeout=30
    )
    answer = response.json()
    assert (answer.get("data") or {}).get("dataspokeStatus") is None
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_search_from_the_terminal(demo: Demo) -> None:
    shown = demo.cli("search", "what customers sent back")
    assert shown.returncode == 0, shown.stderr
    assert "returns" in shown.stdout
    as_json = demo.cli("search", "what customers sent back", "--platform", "kafka", "--json")
    answer = json.loads(as_json.stdout)
    assert answer["mode"] == "HYBRID"
    assert all("dataPlatform:kafka" in hit["dataset"]["urn"] for hit in answer["hits"])


def test_a_scan_from_the_terminal(demo: Demo) -> None:
    scanned = demo.cli("scan")
    assert scanned.returncode == 0, scanned.stderr
    said = re.fullmatch(r"Scanned (\d+) datasets\.", scanned.stdout.strip())
    assert said, scanned.stdout
    assert int(said[1]) > 10
    listed = demo.cli("runs", "list").stdout
    assert f"{said[1]}/{said[1]}" in listed
    assert {"SCHEDULED", "REQUESTED", "DONE"} <= set(listed.split())


def test_the_doctor_finds_everything_well(demo: Demo) -> None:
    examined = demo.cli("doctor")
    assert examined.returncode == 0, examined.stdout
    assert "stand-in" in examined.stdout
    assert "FAIL" not in examined.stdout


def test_a_second_demo_in_the_same_folder_is_refused(demo: Demo) -> None:
    second = demo.cli("demo")
    assert second.returncode == 1
    assert "runs in" in second.stderr
