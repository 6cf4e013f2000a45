"""What people see in DataHub of DataSpoke's verdicts, asked as they ask: by GraphQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper as Mcp
from datahub.metadata import schema_classes as models
from datahub.specific.dataset import DatasetPatchBuilder

from dataspoke.adapters.datahub.aspects import PROPERTY_URNS, RUN_ID
from dataspoke.adapters.datahub.hub import DataHub
from dataspoke.catalogue import Dataset
from dataspoke.errors import DependencyRejected
from dataspoke.localhub.proposals import Proposal
from dataspoke.localhub.records import Topic as Log
from dataspoke.ports.hub import Incident, Scores
from dataspoke.quality.model import Check, Judgement, Metric, Point, Result, Severity, Status
from dataspoke.settings import HubSettings
from dataspoke.urns import assertion_urn, incident_urn
from tests.support.hub_ports import EDITOR, DataHubUnderTest, dataset_urn
from tests.support.scripted import Answer, scripted_server

T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
ORDERS = dataset_urn("orders")
QUALITY, HEALTH = PROPERTY_URNS
RULE = UUID(int=7)

DATASET = """
query($urn: String!) { dataset(urn: $urn) {
  health { type status }
  incidents(start: 0, count: 50) { total incidents {
    urn incidentType customType title description priority startedAt
    created { time } source { type source { urn } } entity { urn }
    assignees { ... on CorpUser { urn } }
    status { state stage message lastUpdated { time actor } }
  } }
  assertions(start: 0, count: 50) { total assertions {
    urn
    platform { urn }
    info { type description source { type } customAssertion { type entityUrn field { path } } }
    runEvents(status: COMPLETE, limit: 50) { total failed succeeded runEvents {
      timestampMillis runId asserteeUrn status
      result { type actualAggValue nativeResults { key value }
               error { type properties { key value } } }
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


def ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


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
    column: str | None = None,
) -> Result:
    judgement = Judgement(Point(time, value), status, "seasonal_band", 100.25, 80.0, 120.0, 0.999)
    return Result(ORDERS, Check(metric, column), judgement, T0 + DAY)


def raised(**facts: Any) -> Incident:
    return replace(
        Incident(
            id=uuid5(NAMESPACE_URL, "alert"),
            urn=ORDERS,
            check=Check(Metric.NULL_SHARE, "email"),
            title="shop.orders.email: null share was 40.0%",
            description="Seen *today*.",
            severity=Severity.ERROR,
            active=True,
            started_at=T0,
            raised_at=T0 + HOUR,
            changed_at=T0 + HOUR,
        ),
        **facts,
    )


RESOLVED = {
    "active": False,
    "changed_at": T0 + 5 * HOUR,
    "message": "The check passes again.",
}


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
    assert "number of rows" in assertion["info"]["description"]
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


async def test_a_check_of_a_column_stands_at_the_column(opened):
    await opened.hub.write_results([result(Status.PASS, 0.02, Metric.NULL_SHARE, column="email")])

    (assertion,) = shown(opened)["assertions"]["assertions"]
    assert assertion["urn"] == assertion_urn(ORDERS, "null_share:email")
    assert assertion["info"]["customAssertion"] == {
        "type": "Column",
        "entityUrn": ORDERS,
        "field": {"path": "email"},
    }
    assert "of email" in assertion["info"]["description"]


@pytest.mark.parametrize("metric", Metric)
async def test_every_metric_can_be_shown(opened, metric):
    await opened.hub.write_results([result(Status.PASS, 1.0, metric)])
    await opened.hub.write_incidents([raised(check=Check(metric))])

    dataset = shown(opened)
    assert dataset["assertions"]["total"] == dataset["incidents"]["total"] == 1


async def test_a_warning_passes_and_says_so(opened):
    """Any run but a success would turn the dataset red."""
    await opened.hub.write_results([result(Status.WARN, 12.0)])

    dataset = shown(opened)
    (run,) = dataset["assertions"]["assertions"][0]["runEvents"]["runEvents"]
    assert run["result"]["type"] == "SUCCESS"
    assert {"key": "severity", "value": "WARN"} in run["result"]["nativeResults"]
    assert {"type": "ASSERTIONS", "status": "PASS"} in dataset["health"]


async def test_a_rule_that_cannot_be_evaluated_is_an_error_and_says_why(opened):
    broken = Judgement(Point(T0, 0.0), Status.ERROR, "rule", detail="There is no column emial.")
    await opened.hub.write_results(
        [Result(ORDERS, Check(rule=RULE), broken, T0)], {RULE: "email is filled."}
    )

    (assertion,) = shown(opened)["assertions"]["assertions"]
    (run,) = assertion["runEvents"]["runEvents"]
    assert assertion["info"]["description"] == "email is filled."
    assert assertion["info"]["customAssertion"]["type"] == "Rule"
    assert run["result"]["type"] == "ERROR"
    assert run["result"]["actualAggValue"] is None
    assert run["result"]["error"] == {
        "type": "UNKNOWN_ERROR",
        "properties": [{"key": "message", "value": "There is no column emial."}],
    }


async def test_a_rule_that_says_something_else_is_described_anew(opened):
    verdict = Judgement(Point(T0, 0.0), Status.PASS, "rule", detail="No value is empty.")
    results = [Result(ORDERS, Check(rule=RULE), verdict, T0)]
    for demand in ("email is filled.", "email is filled and unique."):
        await opened.hub.write_results(results, {RULE: demand})

    (assertion,) = shown(opened)["assertions"]["assertions"]
    (run,) = assertion["runEvents"]["runEvents"]
    assert assertion["info"]["description"] == "email is filled and unique."
    assert {"key": "detail", "value": "No value is empty."} in run["result"]["nativeResults"]
    assert run["result"]["actualAggValue"] is None


async def test_what_an_assertion_is_about_is_written_once(opened):
    storage = opened.running.storage
    for day in range(3):
        await opened.hub.write_results([result(Status.PASS, 1.0, time=T0 + day * DAY)])

    runs, described = (
        storage.events(Log.TIMESERIES, 0, 1000),
        storage.events(Log.VERSIONED, 0, 1000),
    )
    assert len([event for event in runs if event.type == "assertion"]) == 3
    assert sorted(event.aspect for event in described if event.type == "assertion") == [
        "assertionInfo",
        "assertionKey",
        "dataPlatformInstance",
        "status",
    ]


async def test_a_check_that_is_removed_is_not_shown_until_its_next_result(opened):
    kept = result(Status.PASS, 3.5, Metric.FRESHNESS)
    gone = result(Status.FAIL, 12.0)
    await opened.hub.write_results([kept, gone])

    for _ in range(2):
        await opened.hub.remove_checks(ORDERS, [gone.check, Check(Metric.SIZE)])

    dataset = shown(opened)
    assert [each["urn"] for each in dataset["assertions"]["assertions"]] == [
        assertion_urn(ORDERS, "freshness")
    ]
    assert {"type": "ASSERTIONS", "status": "PASS"} in dataset["health"]
    assert not opened.running.storage.existing([assertion_urn(ORDERS, "size")])
    await opened.hub.write_results([gone])
    assert shown(opened)["assertions"]["total"] == 2


async def test_an_incident_says_what_is_wrong_and_points_to_the_assertion(opened):
    check = Check(Metric.NULL_SHARE, "email")
    await opened.hub.write_results([result(Status.FAIL, 0.4, Metric.NULL_SHARE, column="email")])

    await opened.hub.write_incidents([raised()])

    dataset = shown(opened)
    assert dataset["incidents"]["incidents"] == [
        {
            "urn": incident_urn(raised().id),
            "incidentType": "FIELD",
            "customType": None,
            "title": "shop.orders.email: null share was 40.0%",
            "description": "Seen *today*.",
            "priority": "HIGH",
            "startedAt": ms(T0),
            "created": {"time": ms(T0 + HOUR)},
            "source": {
                "type": "ASSERTION_FAILURE",
                "source": {"urn": assertion_urn(ORDERS, check.key)},
            },
            "entity": {"urn": ORDERS},
            "assignees": [],
            "status": {
                "state": "ACTIVE",
                "stage": None,
                "message": None,
                "lastUpdated": {"time": ms(T0 + HOUR), "actor": "urn:li:corpuser:dataspoke"},
            },
        }
    ]
    assert {"type": "INCIDENTS", "status": "FAIL"} in dataset["health"]


async def test_an_incident_that_is_resolved_turns_the_dataset_green(opened):
    await opened.hub.write_incidents([raised()])
    await opened.hub.write_incidents([raised(**RESOLVED)])

    dataset = shown(opened)
    (incident,) = dataset["incidents"]["incidents"]
    assert incident["status"] == {
        "state": "RESOLVED",
        "stage": "FIXED",
        "message": "The check passes again.",
        "lastUpdated": {"time": ms(T0 + 5 * HOUR), "actor": "urn:li:corpuser:dataspoke"},
    }
    assert {"type": "INCIDENTS", "status": "PASS"} in dataset["health"]
    await opened.hub.write_incidents([raised(changed_at=T0 + 9 * HOUR)])
    (incident,) = shown(opened)["incidents"]["incidents"]
    assert (incident["status"]["state"], incident["status"]["stage"]) == ("ACTIVE", None)


async def test_a_false_alarm_asked_for_no_action(opened):
    await opened.hub.write_incidents([raised()])
    await opened.hub.write_incidents([raised(**RESOLVED, false_alarm=True)])

    (incident,) = shown(opened)["incidents"]["incidents"]
    assert incident["status"]["stage"] == "NO_ACTION_REQUIRED"


async def test_what_ended_before_it_was_shown_is_not_raised(opened):
    await opened.hub.write_incidents([raised(**RESOLVED), raised()])
    assert shown(opened)["incidents"]["total"] == 0


async def test_incidents_may_be_written_again_and_in_any_order(opened):
    storage = opened.running.storage
    await opened.hub.write_incidents([raised()])
    await opened.hub.write_incidents([raised(**RESOLVED), raised()])
    assert shown(opened)["incidents"]["incidents"][0]["status"]["state"] == "RESOLVED"
    before = shown(opened), len(storage.events(Log.VERSIONED, 0, 1000))

    async with type(opened.hub).open(opened.settings) as other:
        await other.write_incidents([raised(**RESOLVED), raised()])

    assert (shown(opened), len(storage.events(Log.VERSIONED, 0, 1000))) == before


async def test_what_a_person_said_of_an_incident_stays(opened):
    await opened.hub.write_incidents([raised()])
    urn = incident_urn(raised().id)
    said = dict(opened.running.storage.aspects([urn])[urn]["incidentInfo"].value)
    said |= {
        "title": "Newsletter form is broken",
        "priority": 0,
        "assignees": [{"actor": EDITOR, "assignedAt": {"time": ms(T0), "actor": EDITOR}}],
        "status": {**said["status"], "stage": "INVESTIGATION"},
    }
    opened.running.storage.write([Proposal(urn, "incidentInfo", said)], EDITOR)

    await opened.hub.write_incidents([raised()])
    (incident,) = shown(opened)["incidents"]["incidents"]
    assert incident["status"]["stage"] == "INVESTIGATION"
    await opened.hub.write_incidents([raised(**RESOLVED)])

    (incident,) = shown(opened)["incidents"]["incidents"]
    assert incident["title"] == "Newsletter form is broken"
    assert incident["priority"] == "CRITICAL"
    assert incident["assignees"] == [{"urn": EDITOR}]
    assert incident["status"]["state"] == "RESOLVED"


async def test_a_person_who_resolves_an_incident_later_has_the_last_word(opened):
    await opened.hub.write_incidents([raised()])
    urn = incident_urn(raised().id)
    said = dict(opened.running.storage.aspects([urn])[urn]["incidentInfo"].value)
    stamp = {"time": ms(T0 + 3 * HOUR), "actor": EDITOR}
    said["status"] = {"state": "RESOLVED", "lastUpdated": stamp}
    opened.running.storage.write([Proposal(urn, "incidentInfo", said)], EDITOR)

    await opened.hub.write_incidents([raised()])
    assert shown(opened)["incidents"]["incidents"][0]["status"]["state"] == "RESOLVED"
    # It is back: that is news.
    await opened.hub.write_incidents([raised(changed_at=T0 + 4 * HOUR)])
    assert shown(opened)["incidents"]["incidents"][0]["status"]["state"] == "ACTIVE"


@pytest.mark.parametrize("answer", [{"elements": []}, [{"incidentInfo": {}}], [7]])
async def test_an_entity_api_that_answers_something_else_is_refused_by_name(answer):
    with scripted_server(Answer(answer)) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            with pytest.raises(DependencyRejected, match="entity API"):
                await hub.write_incidents([raised()])


async def test_while_warming_up_nothing_is_written(opened):
    before = opened.running.storage.last_position()
    warming = Judgement(Point(T0, 1.0), Status.WARMING_UP, "none")

    await opened.hub.write_results([Result(ORDERS, Check(Metric.ROW_COUNT), warming, T0)])
    await opened.hub.write_results([])
    await opened.hub.write_scores([Scores(ORDERS, quality=None, health=None)])
    await opened.hub.write_scores([])
    await opened.hub.write_incidents([])
    await opened.hub.remove_checks(ORDERS, [Check(Metric.ROW_COUNT)])

    assert opened.running.storage.last_position() == before


async def test_where_write_back_is_off_nothing_is_written():
    async with DataHubUnderTest.open(write_back=False) as opened:
        before = opened.running.storage.last_position()

        await opened.hub.write_results([result(Status.FAIL, 12.0)])
        await opened.hub.write_scores([Scores(ORDERS, quality=50.0, health=50.0)])
        await opened.hub.write_incidents([raised()])
        await opened.hub.remove_checks(ORDERS, [Check(Metric.ROW_COUNT)])

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
    await opened.hub.write_incidents([raised()])
    await opened.hub.write_incidents([raised(**RESOLVED)])
    await opened.hub.remove_checks(ORDERS, [Check(Metric.ROW_COUNT)])

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
        "incidentInfo",
        "incidentKey",
        "status",
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
