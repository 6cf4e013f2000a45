"""``dataspoke backtest`` on a hub that really answers."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dataspoke import cli
from dataspoke.errors import InvalidInput, NotFound
from dataspoke.localhub.files import read_metadata_file
from tests.support.hub import RunningHub, running_hub

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
DAYS = 50

Backtest = Callable[..., Result]


def records() -> list[dict[str, Any]]:
    """A dataset whose rows are nearly gone on one day, ten days ago."""
    first = datetime.now(UTC) - timedelta(days=DAYS - 1, hours=1)
    counts = [4000 + day % 7 for day in range(DAYS)]
    counts[DAYS - 10] = 40
    profiled = [
        {
            "entityType": "dataset",
            "entityUrn": ORDERS,
            "changeType": "UPSERT",
            "aspectName": "datasetProfile",
            "aspect": {
                "json": {
                    "timestampMillis": int((first + timedelta(days=day)).timestamp() * 1000),
                    "rowCount": count,
                }
            },
        }
        for day, count in enumerate(counts)
    ]
    named = {
        "entityType": "dataset",
        "entityUrn": ORDERS,
        "changeType": "UPSERT",
        "aspectName": "datasetProperties",
        "aspect": {"json": {"name": "orders", "customProperties": {}, "tags": []}},
    }
    return [named, *profiled]


@pytest.fixture(scope="module")
def backtest(hub: RunningHub, database_url: str) -> Backtest:
    environment = {
        "DATASPOKE_HUB__URL": hub.url,
        "DATASPOKE_HUB__TOKEN": "service-token",
        "DATASPOKE_STORE__URL": database_url,
        "DATASPOKE_EMBEDDER__KIND": "none",
        "COLUMNS": "200",
    }

    def run(*arguments: str) -> Result:
        return CliRunner(env=environment).invoke(cli.app, ["backtest", *arguments])

    return run


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    file = tmp_path_factory.mktemp("metadata") / "shop.json"
    file.write_text(json.dumps(records()))
    with running_hub() as running:
        running.storage.write(read_metadata_file(file), "urn:li:corpuser:datahub")
        yield running


def test_what_would_have_been_alerted_on_is_shown(backtest: Backtest, tmp_path: Path) -> None:
    picture = tmp_path / "new" / "orders.png"
    ended = backtest(ORDERS, "--days", "20", "--plot", str(picture))
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["check", "judged", "out", "of", "range", "alerts", "a", "month"]
    assert lines[1].split() == ["row_count", "20", "1", "(5.0%)", "1", "1.6"]
    assert "row count was 40 rows, expected 3,8" in lines[4]
    assert lines[-1].startswith("shop.orders, ")
    assert lines[-1].endswith(": 1 alerts, 1.6 a month.")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_scripts_are_given_json(backtest: Backtest) -> None:
    ended = backtest(ORDERS, "--metric", "row_count", "--json")
    shown = json.loads(ended.stdout)
    assert shown["urn"] == ORDERS
    (check,) = shown["checks"]
    assert (check["check"], check["outOfRange"]) == ("row_count", 1)
    (alert,) = check["alerts"]
    assert alert["value"] == 40
    opened, closed = (datetime.fromisoformat(alert[key]) for key in ("openedAt", "endedAt"))
    assert closed - opened == timedelta(days=1)
    assert alert["peak"] == {"time": alert["openedAt"], "value": 40}


def test_what_cannot_be_asked_for_says_why(backtest: Backtest) -> None:
    ended = backtest(ORDERS.replace("orders", "gone"))
    assert isinstance(ended.exception, NotFound)
    ended = backtest(ORDERS, "--column", "email")
    assert isinstance(ended.exception, InvalidInput)
    nothing = backtest(ORDERS, "--metric", "size")
    assert "no observation of shop.orders" in nothing.stdout
