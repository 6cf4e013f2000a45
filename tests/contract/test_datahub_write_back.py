"""What people see in DataHub of DataSpoke's verdicts, asked as they ask: by GraphQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper as Mcp
from datahub.metadata import schema_classes as models
from datahub.specific.dataset import DatasetPatchBuilder

from dataspoke.adapters.datahub.aspects import PROPERTY_URNS, RUN_ID
from dataspoke.catalogue import Dataset
from dataspoke.errors import DependencyRejected
from dataspoke.localhub.proposals import Proposal
from dataspoke.localhub.records import Topic as Log
from dataspoke.ports.hub import Scores
from dataspoke.quality.model import Check, Judgement, Metric, Point, Result, Status
from dataspoke.urns import assertion_urn
from tests.support.hub_ports import EDITOR, DataHubUnderTest, dataset_urn

T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
ORDERS = dataset_urn("orders")
QUALITY, HEALTH = PROPERTY_URNS

DATASET = """
query($urn: String!) { dataset(urn: $urn) {
  health { type status }
  assertions(start: 0, count: 50) { total assertions {
    urn
    platform { urn }
    info { type description source { type } customAssertion { type entityUrn field { path } } }
    runEvents(status: COMPLETE, limit: 50) { total failed succeeded runEvents {
      timestampMillis runId asserteeUrn status
      result { type actualAggValue nativeResults { key value } }
    } }
  } }
  structuredProperties { properties {
    structuredProperty { urn definition { displayName cardinality valueType { urn }
                                          entityTypes { urn } } }
    values { ... on NumberValue { numberValue } ... on StringValue { stringValue } }
  } }
} }
"""


@pytest.fixture
async def opened() -> AsyncIterator[DataHubUnderTest]:
    async with DataHubUnderTest.open() as under_test:
        under_test.put(Dataset(ORDERS, "orders", "urn:li:dataPlatform:postgres"))
        yield under_test


def shown(under_test: DataHubUnderTest) -> dict[str, Any]:
    answer = httpx.post(
        f"{under_test.running.url}/api/graphql",
        json={"query": DATASET, "variables": {"urn": ORDERS}},
        headers={"Authorization": "Bearer viewer-token"},
    ).json()
    assert "errors" not in answer
    found: dict[str, Any] = answer["data"]["dataset"]
    return found


def result(
    status: Status,
    value: float,
    metric: Metric = Metric.ROW_COUNT,
    time: datetime = T0,
) -> Result:
    judgement = Judgement(Point(time, value), status, "seasonal_band", 100.25, 80.0, 120.0, 0.999)
    return Result(ORDERS, Check(metric), judgement, T0 + DAY)


def properties(under_test: DataHubUnderTest) -> dict[str, Any]:
    entries = (shown(under_test)["structuredProperties"] or {}).get("properties", [])
    return {
        entry["structuredProperty"]["urn"]: [next(iter(v.values())) for v in entry["values"]]
        for entry in entries
    }


async def test_a_failed_verdict_is_a_failed_assertion_with_what_was_expected(opened):
    await opened.hub.write_results([result(Status.FAIL, 12.0)])

    dataset = shown(opened)
    (assertion,) = dataset["assertions"]["assertions"]
    (run,) = assertion["runEvents"]["runEvents"]
    assert assertion["urn"] == assertion_urn(ORDERS, Metric.ROW_COUNT)
    assert assertion["info"]["type"] == "CUSTOM"
    assert assertion["info"]["source"] == {"type": "EXTERNAL"}
    assert assertion["info"]["customAssertion"] == {
        "type": "Volume",
        "entityUrn": ORDERS,
        "field": None,
    }
    assert "rows" in assertion["info"]["description"]
    assert assertion["platform"] == {"urn": "urn:li:dataPlatform:dataspoke"}
    assert run["timestampMillis"] == int(T0.timestamp() * 1000)
    assert (run["asserteeUrn"], run["status"]) == (ORDERS, "COMPLETE")
    assert run["result"]["type"] == "FAILURE"
    assert run["result"]["actualAggValue"] == 12.0
    assert {pair["key"]: pair["value"] for pair in run["result"]["nativeResults"]} == {
        "expected": "100.25",
        "low": "80",
        "high": "120",
        "score": "0.999",
        "detector": "seasonal_band",
    }
    assert {"type": "ASSERTIONS", "status": "FAIL"} in dataset["health"]


async def test_each_metric_has_an_assertion_and_each_point_a_run(opened):
    days = [result(Status.PASS, 100.0, time=T0 + number * DAY) for number in range(3)]
    await opened.hub.write_results([*days, result(Status.PASS, 3.5, Metric.FRESHNESS)])

    dataset = shown(opened)
    runs = {
        assertion["info"]["customAssertion"]["type"]: assertion["runEvents"]["succeeded"]
        for assertion in dataset["assertions"]["assertions"]
    }
    assert runs == {"Volume": 3, "Freshness": 1}
    assert {"type": "ASSERTIONS", "status": "PASS"} in dataset["health"]


async def test_while_warming_up_nothing_is_written(opened):
    before = opened.running.storage.last_position()
    warming = Judgement(Point(T0, 1.0), Status.WARMING_UP, "none")

    await opened.hub.write_results([Result(ORDERS, Check(Metric.ROW_COUNT), warming, T0)])
    await opened.hub.write_results([])
    await opened.hub.write_scores([Scores(ORDERS, quality=None, health=None)])
    await opened.hub.write_scores([])

    assert opened.running.storage.last_position() == before


async def test_where_write_back_is_off_nothing_is_written():
    async with DataHubUnderTest.open(write_back=False) as opened:
        before = opened.running.storage.last_position()

        await opened.hub.write_results([result(Status.FAIL, 12.0)])
        await opened.hub.write_scores([Scores(ORDERS, quality=50.0, health=50.0)])

        assert opened.running.storage.last_position() == before


async def test_to_write_the_same_again_changes_nothing(opened):
    results, scores = [result(Status.FAIL, 12.0)], [Scores(ORDERS, quality=50.0, health=71.4)]
    storage = opened.running.storage
    await opened.hub.write_results(results)
    await opened.hub.write_scores(scores)
    before = shown(opened), len(storage.events(Log.VERSIONED, 0, 1000))

    # As after a restart: nothing is remembered. Judged again later, the point is the same.
    async with type(opened.hub).open(opened.settings) as other:
        await other.write_results([replace(each, judged_at=T0 + 2 * DAY) for each in results])
        await other.write_scores(scores)

    assert (shown(opened), len(storage.events(Log.VERSIONED, 0, 1000))) == before


async def test_scores_are_numbers_beside_the_properties_of_others(opened):
    opened.emit(
        Mcp(
            entityUrn="urn:li:structuredProperty:retention",
            aspect=models.StructuredPropertyDefinitionClass(
                "retention", "urn:li:dataType:datahub.string", ["urn:li:entityType:datahub.dataset"]
            ),
        ),
        *DatasetPatchBuilder(ORDERS)
        .set_structured_property("urn:li:structuredProperty:retention", "a year")
        .build(),
    )

    await opened.hub.write_scores([Scores(ORDERS, quality=50.0, health=71.4)])
    await opened.hub.write_scores([Scores(ORDERS, quality=100.0, health=None)])

    assert properties(opened) == {
        "urn:li:structuredProperty:retention": ["a year"],
        QUALITY: [100.0],
        HEALTH: [71.4],
    }
    definitions = [
        entry["structuredProperty"]["definition"]
        for entry in shown(opened)["structuredProperties"]["properties"]
        if entry["structuredProperty"]["urn"] in PROPERTY_URNS
    ]
    for definition in definitions:
        assert definition["cardinality"] == "SINGLE"
        assert definition["valueType"] == {"urn": "urn:li:dataType:datahub.number"}
        assert definition["entityTypes"] == [{"urn": "urn:li:entityType:datahub.dataset"}]


def test_the_ids_cannot_be_mistaken_for_each_other_by_the_index():
    assert len({urn.replace(".", "_") for urn in PROPERTY_URNS}) == len(PROPERTY_URNS)
    assert not any(sign in urn for urn in PROPERTY_URNS for sign in "._")


async def test_a_dataset_that_was_deleted_is_not_brought_back_by_its_scores(opened):
    opened.running.storage.delete(ORDERS, EDITOR)
    other = dataset_urn("other")
    opened.put(Dataset(other, "other", "urn:li:dataPlatform:postgres"))

    await opened.hub.write_scores([Scores(ORDERS, 50.0, 50.0), Scores(other, 60.0, 60.0)])

    assert opened.running.storage.existing([ORDERS, other]) == {other}
    assert "structuredProperties" in opened.running.storage.aspects([other])[other]


async def test_a_definition_that_a_person_changed_stays(opened):
    changed = models.StructuredPropertyDefinitionClass(
        "dataspokeQualityScore",
        "urn:li:dataType:datahub.number",
        ["urn:li:entityType:datahub.dataset"],
        displayName="Güte",
    )
    opened.emit(Mcp(entityUrn=QUALITY, aspect=changed))

    await opened.hub.write_scores([Scores(ORDERS, quality=50.0, health=50.0)])

    names = {
        entry["structuredProperty"]["urn"]: entry["structuredProperty"]["definition"]["displayName"]
        for entry in shown(opened)["structuredProperties"]["properties"]
    }
    assert names == {QUALITY: "Güte", HEALTH: "Metadata health score"}


async def test_all_that_is_written_carries_the_run_id(opened):
    before = opened.running.storage.last_position()

    await opened.hub.write_results([result(Status.FAIL, 12.0)])
    await opened.hub.write_scores([Scores(ORDERS, quality=50.0, health=50.0)])

    written = [
        event
        for log in Log
        for event in opened.running.storage.events(log, before, 1000)
        if event.actor == "urn:li:corpuser:dataspoke"
    ]
    assert {event.aspect for event in written} == {
        "assertionKey",
        "assertionInfo",
        "assertionRunEvent",
        "dataPlatformInstance",
        "propertyDefinition",
        "structuredPropertyKey",
        "structuredProperties",
    }
    assert {event.system_metadata["runId"] for event in written} == {RUN_ID}


async def test_many_results_go_in_few_requests_and_all_arrive(opened):
    urns = [dataset_urn(f"t{number}") for number in range(120)]
    results = [replace(result(Status.PASS, 1.0), urn=urn) for urn in urns]

    await opened.hub.write_results(results)

    assertions = [assertion_urn(urn, Metric.ROW_COUNT) for urn in urns]
    assert set(opened.running.storage.existing(assertions)) == set(assertions)


async def test_many_who_write_at_once_all_get_through(opened):
    urns = [dataset_urn(f"t{number}") for number in range(24)]
    for urn in urns:
        opened.running.storage.write([Proposal(urn, "datasetProperties", {"name": urn})], EDITOR)

    await asyncio.gather(
        *(opened.hub.write_scores([Scores(urn, 50.0, 50.0)]) for urn in urns),
        *(opened.hub.write_results([replace(result(Status.PASS, 1.0), urn=u)]) for u in urns),
    )

    stored = opened.running.storage.aspects(urns)
    assert all(len(stored[urn]["structuredProperties"].value["properties"]) == 2 for urn in urns)
    assertions = {assertion_urn(urn, Metric.ROW_COUNT) for urn in urns}
    assert opened.running.storage.existing(assertions) == assertions


async def test_an_account_that_may_not_write_is_told_so():
    async with DataHubUnderTest.open(token="viewer-token") as opened:
        with pytest.raises(DependencyRejected, match="lacks a privilege"):
            await opened.hub.write_results([result(Status.FAIL, 12.0)])
        assert opened.running.storage.existing([ORDERS, EDITOR]) == set()
