"""The bookshop's file is what DataHub's own command line ingests."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from datahub.ingestion.graph.client import DatahubClientConfig, DataHubGraph
from datahub.metadata import schema_classes as models

from dataspoke.localhub import sample
from tests.support.hub import running_hub

END = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)
SALES = "urn:li:dataset:(urn:li:dataPlatform:snowflake,analytics.marts.fct_sales_d,PROD)"


@pytest.fixture(scope="module")
def shop() -> sample.Sample:
    return sample.generate(end=END, days=10)


def test_datahub_ingest_takes_every_record(shop: sample.Sample, tmp_path: Path) -> None:
    sent: dict[str, list[int]] = defaultdict(list)
    for record in shop.records:
        rows = sent[record["entityUrn"]]
        if record["aspectName"] == "datasetProfile":
            rows.append(record["aspect"]["json"]["rowCount"])
    sample.write(shop, tmp_path / "shop.json")
    with running_hub() as hub:
        recipe = {
            "source": {"type": "file", "config": {"path": str(tmp_path / "shop.json")}},
            "sink": {"type": "datahub-rest", "config": {"server": hub.url, "token": "admin-token"}},
        }
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        done = subprocess.run(
            [
                Path(sys.executable).with_name("datahub"),
                *("ingest", "run", "--config", tmp_path / "recipe.yaml"),
                *("--report-to", tmp_path / "report.json"),
            ],
            cwd=tmp_path,
            # Its own home: no configuration, cache or telemetry of whoever runs the tests.
            env=os.environ | {"HOME": str(tmp_path), "DATAHUB_TELEMETRY_ENABLED": "false"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads((tmp_path / "report.json").read_text())
        # The sink's own count is taken before its last batch: what arrived is asked of the hub.
        assert report["source"]["report"]["events_produced"] == len(shop.records)
        for side in ("source", "sink"):
            assert not report[side]["report"]["failures"]
            assert not report[side]["report"]["warnings"]

        with DataHubGraph(DatahubClientConfig(server=hub.url, token="admin-token")) as graph:
            ownership = graph.get_aspect(SALES, models.OwnershipClass)
            assert ownership is not None
            assert [owner.owner for owner in ownership.owners] == [
                "urn:li:corpuser:mira.holt",
                "urn:li:corpGroup:sales-analytics",
            ]
            for urn, rows in sent.items():
                if not urn.startswith("urn:li:dataset:"):
                    assert graph.exists(urn)
                    continue
                properties = graph.get_aspect(urn, models.DatasetPropertiesClass)
                assert properties is not None
                assert f",{properties.qualifiedName}," in urn
                profiles = graph.get_timeseries_values(
                    urn, models.DatasetProfileClass, filter={}, limit=100
                )
                assert [profile.rowCount for profile in reversed(profiles)] == rows
