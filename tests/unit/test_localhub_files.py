import json
from pathlib import Path
from typing import Any

import pytest

from dataspoke.errors import InvalidInput
from dataspoke.localhub.files import read_metadata_file
from dataspoke.localhub.proposals import Change
from dataspoke.localhub.storage import Storage

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"


def mcp(name: str, value: Any, **more: Any) -> dict[str, Any]:
    return {
        "entityType": "dataset",
        "entityUrn": ORDERS,
        "changeType": "UPSERT",
        "aspectName": name,
        "aspect": {"json": value},
        **more,
    }


def mce(*aspects: dict[str, Any], **more: Any) -> dict[str, Any]:
    kind = "com.linkedin.pegasus2avro.metadata.snapshot.DatasetSnapshot"
    return {"proposedSnapshot": {kind: {"urn": ORDERS, "aspects": list(aspects)}}, **more}


STATUS = {"com.linkedin.pegasus2avro.common.Status": {"removed": False}}


@pytest.fixture
def write(tmp_path: Path):
    def write(content: Any) -> Path:
        path = tmp_path / "metadata.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_events_and_proposals_are_read_with_their_system_metadata(write):
    owner = {"owner": "urn:li:corpuser:x", "type": "DATAOWNER"}
    ownership = {"com.linkedin.pegasus2avro.common.Ownership": {
        "owners": [owner], "lastModified": {"time": 0, "actor": "urn:li:corpuser:x"}}}  # fmt: skip
    patch = {
        "value": json.dumps([{"op": "add", "path": "/description", "value": "d"}]),
        "contentType": "application/json-patch+json",
    }
    path = write([
        mce(STATUS, ownership, systemMetadata={"runId": "r", "lastObserved": 5}),
        mcp("datasetProfile", {"timestampMillis": 1, "rowCount": 2}, headers={"h": "1"}),
        mcp("datasetProperties", None, changeType="PATCH", aspect=patch),
    ])  # fmt: skip

    status, owners, profile, patched = read_metadata_file(path)

    assert (status.urn, status.aspect, status.value) == (ORDERS, "status", {"removed": False})
    assert status.system_metadata["runId"] == "r"
    assert owners.value["owners"] == [owner]
    assert (profile.value["rowCount"], profile.headers) == (2, {"h": "1"})
    assert patched.change is Change.PATCH
    with Storage.open() as storage:
        storage.write([status, owners, profile, patched], "urn:li:corpuser:loader")
        assert storage.aspect(ORDERS, "datasetProperties").value["description"] == "d"


def test_one_record_needs_no_list(write):
    (proposal,) = read_metadata_file(write(mcp("status", {"removed": True})))

    assert proposal.value == {"removed": True}


def test_usage_aggregations_are_skipped_as_datahub_skips_them(write, caplog):
    bucket = {"bucket": 0, "duration": "DAY", "resource": ORDERS, "metrics": {}}

    assert len(read_metadata_file(write([bucket, mcp("status", {"removed": True})]))) == 1
    assert ORDERS in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{nope", "is not JSON"),
        ("", "is not JSON"),
        ('"text"', "must hold a list of records"),
        ([], "holds no metadata"),
        ([3], "record 1 of 1: it must be an object"),
        ({"timestamps": []}, "record 1 of 1: it is neither a change event"),
        (
            [mcp("status", {"removed": 1}), {}],
            "record 1 of 2: status.removed must be true or false",
        ),
        ([mcp("nonsense", {})], "Unknown aspect 'nonsense'"),
        ([mcp("status", {}, entityUrn="orders")], "'orders' is no urn"),
        ([mcp("status", {}, entityType="chart")], "entityType 'chart' is not that of"),
        ([mcp("status", {}, changeType="SHAKE")], "Unknown changeType 'SHAKE'"),
        ([mcp("status", {}, aspect={"value": "{"})], "is not JSON"),
        (
            [mce(STATUS, {"com.linkedin.pegasus2avro.common.Nothing": {}})],
            "no aspect of type 'com.linkedin.common.Nothing'",
        ),
        ([{"proposedSnapshot": {}}], "record 1 of 1: it is no"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_place(write, content, message):
    path = write(content)

    with pytest.raises(InvalidInput, match=r"metadata\.json") as refused:
        read_metadata_file(path)

    assert message in refused.value.public_message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"absent\.json cannot be read: No such file"):
        read_metadata_file(tmp_path / "absent.json")
