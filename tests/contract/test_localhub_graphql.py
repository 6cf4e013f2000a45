"""What the stand-in's GraphQL answers about incidents, usage and keys, as DataHub's does."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dataspoke.localhub.proposals import Proposal
from tests.support.hub import RunningHub, running_hub

EDITOR = "urn:li:corpuser:editor"
ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
PEOPLE = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.people,PROD)"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# A midnight.
T0 = 1_772_323_200_000


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub() as running:
        yield running


def asked(hub: RunningHub, fields: str, user: str = "viewer") -> Any:
    answer = httpx.post(
        f"{hub.url}/api/graphql",
        json={"query": f'{{ dataset(urn: "{ORDERS}") {{ {fields} }} }}'},
        headers={"Authorization": f"Bearer {user}-token"},
    ).json()
    assert "errors" not in answer
    return answer["data"]["dataset"]


def incident(name: str, state: str, at: int, **facts: Any) -> Proposal:
    stamp = {"time": at, "actor": EDITOR}
    info = {
        "type": "VOLUME",
        "title": name,
        "entities": [ORDERS],
        "status": {"state": state, "lastUpdated": stamp, **facts.pop("status", {})},
        "created": stamp,
        **facts,
    }
    return Proposal(f"urn:li:incident:{name}", "incidentInfo", info)


@pytest.fixture(scope="module")
def incidents(hub: RunningHub) -> None:
    assignee = {"actor": EDITOR, "assignedAt": {"time": T0, "actor": EDITOR}}
    hub.storage.write(
        [
            incident("old", "ACTIVE", T0, priority=0, assignees=[assignee]),
            incident("new", "ACTIVE", T0 + 2, priority=3, status={"stage": "TRIAGE"}),
            incident("past", "RESOLVED", T0 + 1),
        ],
        EDITOR,
    )


@pytest.mark.usefixtures("incidents")
@pytest.mark.parametrize(
    ("filters", "titles"),
    [
        ("", ["new", "past", "old"]),
        ("(state: ACTIVE)", ["new", "old"]),
        ("(state: RESOLVED)", ["past"]),
        ("(priority: CRITICAL)", ["old"]),
        ("(priority: LOW)", ["new"]),
        ("(stage: TRIAGE)", ["new"]),
        (f'(assigneeUrns: ["{EDITOR}"])', ["old"]),
        ("(start: 1, count: 1)", ["past"]),
    ],
)
def test_incidents_are_listed_newest_first_by_what_is_asked(hub, filters, titles):
    found = asked(hub, f"incidents{filters} {{ total incidents {{ title }} }}")["incidents"]

    assert [each["title"] for each in found["incidents"]] == titles


@pytest.mark.usefixtures("incidents")
def test_health_names_the_newest_active_incident(hub):
    fields = (
        "health { type status message causes activeIncidentHealthDetails "
        "{ latestIncidentUrn latestIncidentTitle lastActivityAt count } }"
    )

    assert asked(hub, fields)["health"] == [
        {
            "type": "INCIDENTS",
            "status": "FAIL",
            "message": "2 active incident(s)",
            "causes": ["ACTIVE_INCIDENTS"],
            "activeIncidentHealthDetails": {
                "latestIncidentUrn": "urn:li:incident:new",
                "latestIncidentTitle": "new",
                "lastActivityAt": T0 + 2,
                "count": 2,
            },
        }
    ]


def test_usage_is_counted_by_the_day_and_the_last_word_of_a_day_counts(hub):
    def usage(at: int, queries: int, unit: str, message: str) -> Proposal:
        return Proposal(
            ORDERS,
            "datasetUsageStatistics",
            {
                "timestampMillis": at,
                "eventGranularity": {"unit": unit, "multiple": 1},
                "totalSqlQueries": queries,
                "uniqueUserCount": 1,
                "messageId": message,
            },
        )

    hub.storage.write(
        [
            usage(T0, 5, "DAY", "first"),
            usage(T0 + HOUR_MS, 900, "HOUR", "hourly"),
            usage(T0 + HOUR_MS, 7, "DAY", "again"),
            usage(T0 + DAY_MS, 2, "DAY", "next"),
        ],
        EDITOR,
    )
    fields = (
        "usageStats(range: ALL) { aggregations { totalSqlQueries } "
        "buckets { bucket duration metrics { totalSqlQueries uniqueUserCount } } }"
    )

    stats = asked(hub, fields)["usageStats"]

    assert stats["aggregations"] == {"totalSqlQueries": 9}
    assert [(each["bucket"], each["duration"]) for each in stats["buckets"]] == [
        (T0, "DAY"),
        (T0 + DAY_MS, "DAY"),
    ]
    assert [each["metrics"]["totalSqlQueries"] for each in stats["buckets"]] == [7, 2]


def test_keys_and_ownership_types_are_those_of_datahub(hub):
    column = {
        "fieldPath": "person",
        "type": {"type": {"com.linkedin.schema.NumberType": {}}},
        "nativeDataType": "bigint",
    }
    schema = {
        "schemaName": "s",
        "platform": "urn:li:dataPlatform:postgres",
        "version": 0,
        "hash": "",
        "platformSchema": {"com.linkedin.schema.OtherSchema": {"rawSchema": ""}},
        "fields": [column],
        "primaryKeys": ["person"],
        "foreignKeys": [
            {
                "name": "fk",
                "foreignFields": [f"urn:li:schemaField:({PEOPLE},id)"],
                "sourceFields": [f"urn:li:schemaField:({ORDERS},person)"],
                "foreignDataset": PEOPLE,
            }
        ],
    }
    owners = [{"owner": EDITOR, "type": "TECHNICAL_OWNER"}]
    hub.storage.write(
        [
            Proposal(ORDERS, "schemaMetadata", schema),
            Proposal(ORDERS, "ownership", {"owners": owners}),
        ],
        EDITOR,
    )
    fields = (
        "schemaMetadata { primaryKeys foreignKeys { name sourceFields { fieldPath } "
        "foreignFields { fieldPath } foreignDataset { urn } } } "
        "ownership { owners { ownershipType { urn } } }"
    )

    dataset = asked(hub, fields)

    assert dataset["schemaMetadata"] == {
        "primaryKeys": ["person"],
        "foreignKeys": [
            {
                "name": "fk",
                "sourceFields": [{"fieldPath": "person"}],
                "foreignFields": [{"fieldPath": "id"}],
                "foreignDataset": {"urn": PEOPLE},
            }
        ],
    }
    assert dataset["ownership"]["owners"] == [
        {"ownershipType": {"urn": "urn:li:ownershipType:__system__technical_owner"}}
    ]
