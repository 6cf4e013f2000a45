"""The stand-in answers DataHub's own command line as a DataHub does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from avrogen.dict_wrapper import DictWrapper
from datahub.emitter.serialization_helper import post_json_transform
from datahub.metadata.schema_classes import ASPECT_NAME_MAP

from dataspoke.localhub.files import read_metadata_file
from dataspoke.localhub.models import aspect_models
from tests.support.hub import RunningHub, running_hub

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"

RECORDS = [
    {
        "proposedSnapshot": {
            "com.linkedin.pegasus2avro.metadata.snapshot.DatasetSnapshot": {
                "urn": ORDERS,
                "aspects": [
                    {
                        "com.linkedin.pegasus2avro.dataset.DatasetProperties": {
                            "name": "orders",
                            "description": "One row for each order.",
                            "customProperties": {},
                            "tags": [],
                        }
                    }
                ],
            }
        }
    },
    {
        "entityType": "dataset",
        "entityUrn": ORDERS,
        "changeType": "UPSERT",
        "aspectName": "datasetProfile",
        "aspect": {"json": {"timestampMillis": 1_700_000_000_000, "rowCount": 42}},
    },
]

Datahub = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub() as running:
        yield running


@pytest.fixture(scope="module")
def datahub(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> Datahub:
    home = tmp_path_factory.mktemp("home")

    def run(*arguments: str, token: str = "editor-token") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("datahub")), *arguments],
            env={
                **os.environ,
                "HOME": str(home),
                "DATAHUB_GMS_URL": hub.url,
                "DATAHUB_GMS_TOKEN": token,
                "DATAHUB_TELEMETRY_ENABLED": "false",
            },
            cwd=home,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run


def recipe(folder: Path, path: Path) -> str:
    file = folder / "recipe.yml"
    # YAML is a superset of JSON.
    file.write_text(json.dumps({"source": {"type": "file", "config": {"path": str(path)}}}))
    return str(file)


def test_a_file_is_ingested_read_changed_and_deleted(hub, datahub, tmp_path):
    source = tmp_path / "metadata.json"
    source.write_text(json.dumps(RECORDS))

    ingested = datahub("ingest", "run", "--no-progress", "-c", recipe(tmp_path, source))
    assert ingested.returncode == 0, ingested.stdout + ingested.stderr
    assert hub.storage.aspect(ORDERS, "datasetProperties").value["name"] == "orders"
    assert hub.storage.points([ORDERS], "datasetProfile")[ORDERS][0].value["rowCount"] == 42

    domains = tmp_path / "domains.json"
    domains.write_text(json.dumps({"domains": ["urn:li:domain:sales"]}))
    put = datahub(
        "put", "--urn", ORDERS, "-a", "domains", "-d", str(domains), "--run-id", "by-hand"
    )
    assert put.returncode == 0, put.stdout + put.stderr
    assert hub.storage.aspect(ORDERS, "domains").system_metadata["runId"] == "by-hand"

    got = datahub("get", "--urn", ORDERS, "-a", "domains", "-a", "datasetProfile")
    assert got.returncode == 0, got.stdout + got.stderr
    assert json.loads(got.stdout) == {
        "domains": {"domains": ["urn:li:domain:sales"]},
        "datasetProfile": {
            "timestampMillis": 1_700_000_000_000,
            "rowCount": 42,
            # The command line fills in what its models have a default for.
            "partitionSpec": {"type": "FULL_TABLE", "partition": "FULL_TABLE_SNAPSHOT"},
        },
    }

    soft = datahub("delete", "--urn", ORDERS, "--soft", "--force")
    assert soft.returncode == 0, soft.stdout + soft.stderr
    assert hub.storage.aspect(ORDERS, "status").value == {"removed": True}

    hard = datahub("delete", "--urn", ORDERS, "--hard", "--force")
    assert hard.returncode == 0, hard.stdout + hard.stderr
    assert hub.storage.existing([ORDERS]) == set()


def test_who_may_not_write_is_told_so(hub, datahub, tmp_path):
    status = tmp_path / "status.json"
    status.write_text('{"removed": true}')

    put = datahub("put", "--urn", ORDERS, "-a", "status", "-d", str(status), token="viewer-token")

    assert put.returncode != 0
    assert "403" in put.stdout + put.stderr
    assert hub.storage.aspect(ORDERS, "status") is None


def test_datahubs_own_sample_is_ingested_as_it_is_loaded(datahub, hub, shared_data, tmp_path):
    """What arrives through the real command line is what reading the file itself gives."""
    path = shared_data / "bootstrap_mce.json"
    proposals = read_metadata_file(path)

    ingested = datahub("ingest", "run", "--no-progress", "-c", recipe(tmp_path, path))

    assert ingested.returncode == 0, ingested.stdout + ingested.stderr
    stored = hub.storage.aspects({proposal.urn for proposal in proposals})
    for urn, aspect, value in ((known.urn, known.aspect, known.value) for known in proposals):
        if aspect_models()[aspect].timeseries:
            points = hub.storage.points([urn], aspect)[urn]
            assert typed(aspect, value) in [typed(aspect, point.value) for point in points]
        else:
            assert typed(aspect, stored[urn][aspect].value) == typed(aspect, value)


def typed(aspect: str, value: dict[str, Any]) -> DictWrapper:
    """The value as the SDK reads it: defaults that the command line spells out do not count."""
    return ASPECT_NAME_MAP[aspect].from_obj(post_json_transform(value))
