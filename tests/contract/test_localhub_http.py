"""What the stand-in says to any HTTP client: who may ask, what changed, what went wrong."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from datahub.metadata.schema_classes import MetadataChangeLogClass

from dataspoke.localhub.proposals import Proposal
from tests.support.hub import RunningHub, running_hub

EDITOR = "urn:li:corpuser:editor"
VERSIONED = "MetadataChangeLog_Versioned_v1"
TIMESERIES = "MetadataChangeLog_Timeseries_v1"


def dataset(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,shop.{name},PROD)"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub() as running:
        yield running


@pytest.fixture
def client(hub: RunningHub) -> Iterator[httpx.Client]:
    with as_user(hub, "service") as opened:
        yield opened


def as_user(hub: RunningHub, name: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {name}-token"}
    return httpx.Client(base_url=hub.url, headers=headers, timeout=15)


def named(name: str, urn: str) -> Proposal:
    return Proposal(urn, "datasetProperties", {"name": name})


def poll(client: httpx.Client, **asked: Any) -> dict[str, Any]:
    answer = client.get("/openapi/v1/events/poll", params={"topic": VERSIONED, **asked})
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def events(page: dict[str, Any]) -> list[MetadataChangeLogClass]:
    return [MetadataChangeLogClass.from_obj(json.loads(event["value"])) for event in page["events"]]


def test_every_answer_says_that_it_is_the_stand_ins(hub):
    config = httpx.get(f"{hub.url}/config")

    assert config.headers["X-DataSpoke-Stand-In"]
    assert config.json()["datahub"] == {"serverType": "dataspoke-stand-in", "serverEnv": "core"}
    assert httpx.get(f"{hub.url}/nowhere").headers["X-DataSpoke-Stand-In"]


@pytest.mark.parametrize("token", [None, "Bearer", "Bearer wrong", "Basic editor-token"])
def test_without_a_known_token_there_is_no_answer(hub, token):
    headers = {} if token is None else {"Authorization": token}
    urn = dataset("orders")

    for path in (f"/entitiesV2/{urn}", f"/aspects/{urn}?aspect=status", "/openapi/v1/events/poll"):
        assert httpx.get(hub.url + path, headers=headers).status_code == 401
    for path in ("/openapi/v3/entity/dataset", "/aspects?action=ingestProposal"):
        assert httpx.post(hub.url + path, content=b"?", headers=headers).status_code == 401


def test_a_viewer_reads_and_does_not_write(hub):
    urn = dataset("viewed")
    hub.storage.write([named("viewed", urn)], EDITOR)
    with as_user(hub, "viewer") as viewer:
        assert viewer.get(f"/entitiesV2/{urn}").status_code == 200
        refused = [
            viewer.post("/aspects?action=ingestProposal", json={"proposal": {
                "entityUrn": urn, "aspectName": "status", "aspect": {"value": "{}"}}}),
            viewer.post("/openapi/v3/entity/dataset", json=[{"urn": urn, "status": {"value": {}}}]),
            viewer.delete(f"/openapi/v3/entity/dataset/{urn}"),
            viewer.post("/entities?action=delete", json={"urn": urn}),
            viewer.get("/openapi/v1/events/poll", params={"topic": VERSIONED}),
        ]  # fmt: skip

    assert [answer.status_code for answer in refused] == [403] * 5
    assert "status" not in hub.storage.aspects([urn])[urn]


def test_what_is_hidden_from_a_user_stays_hidden(hub):
    secret, payroll, plain = dataset("secret_plans"), dataset("payroll"), dataset("plain")
    lineage = {"upstreams": [{"dataset": secret, "type": "COPY"}]}
    point = {"timestampMillis": 1, "rowCount": 3}
    hub.storage.write(
        [
            named("s", secret),
            Proposal(plain, "upstreamLineage", lineage),
            Proposal(payroll, "datasetProfile", point),
            Proposal(plain, "datasetProfile", point),
        ],
        EDITOR,
    )
    with as_user(hub, "restricted") as restricted:
        assert restricted.get(f"/entitiesV2/{secret}").status_code == 403
        assert restricted.get(f"/aspects/{secret}?aspect=datasetProperties").status_code == 403
        batch = restricted.post(
            "/openapi/v3/entity/dataset/batchGet", json=[{"urn": secret}, {"urn": plain}]
        )
        assert [found["urn"] for found in batch.json()] == [plain]
        related = restricted.get(
            "/openapi/relationships/v1/", params={"urn": plain, "direction": "OUTGOING"}
        )
        assert related.json()["entities"] == []

        def values(urn: str) -> list[Any]:
            asked = {"urn": urn, "entity": "dataset", "aspect": "datasetProfile"}
            answer = restricted.post("/aspects?action=getTimeseriesAspectValues", json=asked)
            found: list[Any] = answer.json()["value"]["values"]
            return found

        assert values(payroll) == []
        assert len(values(plain)) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/aspects?action=ingestProposal", "not json", 400, "not JSON"),
        ("/aspects?action=ingestProposal", "[]", 400, "must be a JSON object"),
        ("/aspects?action=ingestProposal", "{}", 422, "lacks the object 'proposal'"),
        ("/aspects?action=dance", "{}", 422, "no action 'dance'"),
        ("/entities?action=ingest", "{}", 422, "must hold one snapshot"),
        ("/openapi/v3/entity/dataset", '[{"status": {}}]', 422, "with its 'urn'"),
        ("/entities?action=listUrns", '{"entity": "tag", "start": "x"}', 422, "start must be"),
        (
            "/aspects?action=ingestProposal",
            f'{{"proposal": {{"entityUrn": "{dataset("x")}", "aspectName": "status",'
            ' "aspect": {"value": "{}"}, "systemMetadata": {"lastObserved": "now"}}}',
            422,
            "systemMetadata.lastObserved must be a whole number",
        ),
        (
            "/openapi/v3/entity/dataset",
            f'[{{"urn": "{dataset("x")}", "status": {{"value": {{}}, "headers": {{"a": 1}}}}}}]',
            422,
            "must be an object of strings",
        ),
        ("/openapi/v3/entity/table", "[]", 422, "no entity type 'table'"),
        ("/openapi/v3/entity/tag", f'[{{"urn": "{dataset("x")}"}}]', 422, "is no tag"),
        ("/openapi/v3/entity/scroll", '{"filter": {"and": []}}', 422, "by entity type only"),
        ("/openapi/v3/entity/scroll?count=many", "{}", 422, "count must be a whole number"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(client, path, body, status, message):
    answer = client.post(path, content=body)

    assert answer.status_code == status
    assert message in answer.json()["message"]


def test_a_proposal_whose_value_is_no_json_is_refused(client):
    proposal = {
        "entityUrn": dataset("x"), "aspectName": "status",
        "aspect": {"value": "{removed", "contentType": "application/json"},
    }  # fmt: skip
    answer = client.post("/aspects?action=ingestProposal", json={"proposal": proposal})

    assert answer.status_code == 422
    assert "status" in answer.json()["message"]
    assert "not JSON" in answer.json()["message"]


def test_changes_come_out_of_the_poll_as_datahub_renders_them(hub, client):
    urn = dataset("événements")
    start = poll(client, pollTimeoutSeconds=0)
    assert start["count"] == 0
    hub.storage.write([named("první", urn)], EDITOR)
    change = Proposal(
        urn, "datasetProperties", {"name": "druhý"},
        system_metadata={"runId": "r1"}, headers={"a": "b"},
    )  # fmt: skip
    hub.storage.write([change], EDITOR)

    page = poll(client, offsetId=start["offsetId"], pollTimeoutSeconds=5)

    assert page["count"] == 3
    key, first, second = events(page)
    assert (key.aspectName, first.aspectName) == ("datasetKey", "datasetProperties")
    assert (second.entityType, second.entityUrn, second.changeType) == ("dataset", urn, "UPSERT")
    raw = json.loads(page["events"][2]["value"])
    generic = "com.linkedin.pegasus2avro.mxe.GenericAspect"
    # Avro's JSON spells bytes one character each.
    value = raw["aspect"][generic]["value"].encode("latin-1")
    assert json.loads(value) == {"name": "druhý"}
    before = raw["previousAspectValue"][generic]["value"].encode("latin-1")
    assert json.loads(before) == {"name": "první"}
    assert second.systemMetadata.runId == "r1"
    assert second.created.actor == EDITOR
    assert raw["headers"] == {"map": {"a": "b"}}
    assert poll(client, offsetId=page["offsetId"], pollTimeoutSeconds=0)["count"] == 0


def test_topics_are_apart_and_pages_follow_each_other(hub, client):
    urn = dataset("paged")
    start = poll(client, pollTimeoutSeconds=0, topic=TIMESERIES)["offsetId"]
    points = [{"timestampMillis": time_ms, "rowCount": time_ms} for time_ms in range(1, 6)]
    hub.storage.write([Proposal(urn, "datasetProfile", point) for point in points], EDITOR)

    seen: list[int] = []
    while True:
        page = poll(client, topic=TIMESERIES, offsetId=start, limit=2, pollTimeoutSeconds=0)
        if not page["count"]:
            break
        assert page["count"] <= 2
        seen += [json.loads(event.aspect.value)["rowCount"] for event in events(page)]
        start = page["offsetId"]

    assert seen == [1, 2, 3, 4, 5]


def test_looking_back_finds_what_was_before(hub, client):
    hub.storage.write([named("looked-back", dataset("looked-back"))], EDITOR)

    page = poll(client, lookbackWindowDays=1, pollTimeoutSeconds=0, limit=5000)

    assert dataset("looked-back") in [event.entityUrn for event in events(page)]


async def test_a_waiting_poll_returns_as_soon_as_something_changes(hub):
    headers = {"Authorization": "Bearer service-token"}
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=15) as client:
        asked = {"topic": VERSIONED, "pollTimeoutSeconds": 0}
        start = (await client.get("/openapi/v1/events/poll", params=asked)).json()["offsetId"]
        began = time.monotonic()
        waiting = asyncio.create_task(
            client.get("/openapi/v1/events/poll", params={
                "topic": VERSIONED, "pollTimeoutSeconds": 10, "offsetId": start})
        )  # fmt: skip
        await asyncio.sleep(0.2)
        assert not waiting.done()
        hub.storage.write([named("woken", dataset("woken"))], EDITOR)
        page = (await waiting).json()

    assert page["count"] > 0
    assert time.monotonic() - began < 5


def test_a_poll_with_nothing_to_say_ends_in_time(client):
    start = poll(client, pollTimeoutSeconds=0)["offsetId"]
    began = time.monotonic()

    assert poll(client, offsetId=start, pollTimeoutSeconds=1)["count"] == 0
    assert 0.9 < time.monotonic() - began < 5


@pytest.mark.parametrize(
    "asked",
    [
        {"topic": "Weather_v1"},
        {"topic": VERSIONED, "offsetId": "x"},
        {"topic": VERSIONED, "limit": "-1"},
    ],
)
def test_a_poll_that_cannot_be_answered_says_why(client, asked):
    answer = client.get("/openapi/v1/events/poll", params={"pollTimeoutSeconds": 0, **asked})

    assert answer.status_code == 422
    assert any(str(value) in answer.json()["message"] for value in asked.values())


def test_the_schema_registry_serves_the_schemas_of_the_topics(hub):
    root = f"{hub.url}/schema-registry/api"
    assert f"{VERSIONED}-value" in httpx.get(f"{root}/subjects").json()

    latest = httpx.get(f"{root}/subjects/{VERSIONED}-value/versions/latest").json()

    assert json.loads(latest["schema"])["name"] == "MetadataChangeLog"
    by_id = httpx.get(f"{root}/schemas/ids/{latest['id']}").json()
    assert by_id["schema"] == latest["schema"]
    assert httpx.get(f"{root}/schemas/ids/99").status_code == 404


def test_an_entity_can_be_read_and_deleted_by_the_openapi(hub, client):
    urn = dataset("openapi")
    hub.storage.write([named("openapi", urn), Proposal(urn, "status", {"removed": False})], EDITOR)

    got = client.get(f"/openapi/v3/entity/dataset/{urn}", params={"aspects": "status"})
    assert got.json() == {"urn": urn, "status": {"value": {"removed": False}}}
    client.delete(f"/openapi/v3/entity/dataset/{urn}", params={"aspects": "status"})
    assert set(hub.storage.aspects([urn])[urn]) == {"datasetKey", "datasetProperties"}
    client.delete(f"/openapi/v3/entity/dataset/{urn}")
    assert client.get(f"/openapi/v3/entity/dataset/{urn}").status_code == 404
