"""The command line's processes, on real servers and without them."""

import json
import socket
import subprocess
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.embedded.child import Child, free_port
from dataspoke.embedded.postgres import Postgres
from dataspoke.ports.store import JobKind, JobState, NewJob
from dataspoke.settings import StoreSettings
from tests.support.databases import new_database
from tests.support.demo import PROGRAM, clean_environment


def _run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**clean_environment(), **settings},
    )


async def test_the_database_is_brought_in_step_and_back(postgres: Postgres) -> None:
    async with new_database(postgres.url) as url:
        store = {"DATASPOKE_STORE__URL": url}
        before = _run("db", "check", **store)
        assert before.returncode == 1
        assert "dataspoke db upgrade" in before.stderr
        assert _run("db", "upgrade", **store).returncode == 0
        assert _run("db", "check", **store).returncode == 0
        assert _run("db", "downgrade", "base", **store).returncode == 0
        assert _run("db", "check", **store).returncode == 1


async def test_what_gave_up_is_tried_again(database_url: str) -> None:
    engine = create_engine(StoreSettings(url=SecretStr(database_url)))
    jobs = PostgresJobs(engine)
    async with PostgresStore(engine).transaction() as tx:
        await tx.add_jobs([NewJob(JobKind.REINDEX), NewJob(JobKind.AUDIT_ALL)])
    for wake_up in await jobs.due(10, timedelta(0)):
        claimed = await jobs.claim(wake_up.job_id, timedelta(seconds=30))
        assert claimed is not None
        await jobs.fail(claimed.lease, "out of luck", None)
    store = {"DATASPOKE_STORE__URL": database_url, "DATASPOKE_EMBEDDER__KIND": "none"}
    assert _run("jobs", "revive", "reindex", **store).stdout == "Jobs that are tried again: 1.\n"
    assert (await jobs.counts()).by_state[JobState.DEAD] == 1
    assert _run("jobs", "revive", **store).stdout == "Jobs that are tried again: 1.\n"
    assert _run("jobs", "revive", **store).stdout == "Nothing has given up.\n"
    await engine.dispose()


def test_a_database_that_is_down_is_named() -> None:
    refused = _run("db", "check", DATASPOKE_STORE__URL="postgresql+asyncpg://x@127.0.0.1:9/x")
    assert refused.returncode == 1
    assert "DATASPOKE_STORE__URL" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_doctor_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    examined = _run(
        "doctor",
        "--directory",
        str(tmp_path),
        DATASPOKE_HUB__URL="http://127.0.0.1:9",
        DATASPOKE_HUB__MAX_ATTEMPTS="1",
        DATASPOKE_STORE__URL="postgresql+asyncpg://x@127.0.0.1:9/x",
        DATASPOKE_REDIS__URL="redis://127.0.0.1:9/0",
        DATASPOKE_EMBEDDER__KIND="none",
    )
    assert examined.returncode == 1
    by_name = {line[:18].strip(): line for line in examined.stdout.splitlines()}
    assert all("FAIL" in by_name[name] for name in ("DataHub", "PostgreSQL", "Redis"))
    assert "DATASPOKE_HUB__TOKEN is empty" in by_name["account at DataHub"]
    assert "warn" in by_name["sentence model"]
    assert "Traceback" not in examined.stderr


def test_the_stand_in_runs_alone_with_users_made_up(tmp_path: Path) -> None:
    port = free_port()
    records = tmp_path / "tea.json"
    urn = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.tea,PROD)"
    properties = {"json": {"name": "tea"}}
    records.write_text(
        json.dumps(
            [
                {
                    "entityType": "dataset",
                    "entityUrn": urn,
                    "changeType": "UPSERT",
                    "aspectName": "datasetProperties",
                    "aspect": properties,
                }
            ]
        )
    )
    hub = Child(
        "hub",
        [str(PROGRAM), "hub", "--load", str(records), "--port", str(port)],
        tmp_path / "hub.log",
    )
    try:
        hub.wait_until(lambda: _answers(port), 60)
        said = hub.log.read_text()
        tokens = json.loads(said[said.index("{") : said.index("}") + 1])
        assert "for the demo and tests only" in said
        answer = httpx.post(
            f"http://127.0.0.1:{port}/api/graphql",
            json={"query": f"{{ dataset(urn: {json.dumps(urn)}) {{ properties {{ name }} }} }}"},
            headers={"Authorization": f"Bearer {tokens['viewer']}"},
        )
        assert answer.json()["data"]["dataset"] == {"properties": {"name": "tea"}}
    finally:
        hub.stop()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/config", timeout=2).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("command", ["hub", "serve"])
def test_a_taken_port_is_named(command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["--port", port] if command == "hub" else []
        refused = _run(command, *arguments, DATASPOKE_SUBGRAPH__PORT=port)
    assert refused.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_search_without_a_gateway_says_where_it_looked(tmp_path: Path) -> None:
    refused = _run(
        "search", "orders", "--directory", str(tmp_path), "--url", "http://127.0.0.1:9/graphql"
    )
    assert refused.returncode == 1
    assert "http://127.0.0.1:9/graphql does not answer" in refused.stderr
