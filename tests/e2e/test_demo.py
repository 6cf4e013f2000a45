"""``dataspoke demo`` as a program: checks itself, resumes, stops, refuses what it cannot use."""

import json
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.demo import PROGRAM, clean_environment, running_demo

ONE_DATASET = [
    {
        "entityType": "dataset",
        "entityUrn": "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.tea,PROD)",
        "changeType": "UPSERT",
        "aspectName": "datasetProperties",
        "aspect": {"json": {"name": "tea", "description": "Kinds of tea on the shelf."}},
    }
]


def _demo(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "demo", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=clean_environment(),
    )


@pytest.mark.parametrize("name", ["bootstrap_mce.json", "demo-profiles.json"])
def test_it_checks_itself_on_datahubs_own_samples(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    checked = _demo("--smoke", "--input", str(shared_data / name), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert '"healthScore"' in checked.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"hello": "world"}]', "record 1 of 1"),
        ("not json at all", "is not JSON"),
        ('{"entityType": "dataset"}', "neither a change event"),
        ("[]", "holds no metadata"),
    ],
)
def test_a_file_that_is_no_metadata_is_refused_and_leaves_nothing(
    tmp_path: Path, content: str, message: str
) -> None:
    source = tmp_path / "broken.json"
    source.write_text(content)
    for arguments in (["--smoke"], []):
        refused = _demo(*arguments, "--input", str(source), cwd=tmp_path)
        assert refused.returncode == 1
        assert message in refused.stderr.replace("\n", " ")
        assert "Traceback" not in refused.stderr
    left = {path.name for path in tmp_path.rglob("*")} - {"broken.json", ".dataspoke", "lock"}
    assert left == set()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = _demo("--port", port, cwd=tmp_path)
    assert refused.returncode == 1
    assert f"Port {port} is taken" in refused.stderr


def test_it_resumes_with_its_data_and_leaves_no_process(tmp_path: Path) -> None:
    source = tmp_path / "tea.json"
    source.write_text(json.dumps(ONE_DATASET))
    directory = tmp_path / "kept"
    query = '{ knowledgeSearch(query: "tea") { edges { node { dataset { urn } } } } }'
    with running_demo(directory, "--input", str(source)) as first:
        found = first.data(query)
        tokens = dict(first.tokens)
        children = psutil.Process(first.process.pid).children(recursive=True)
        assert len(children) >= 6
        users = next(directory.rglob("users.json"))
        assert users.stat().st_mode & 0o077 == 0
    assert first.process.returncode == 0
    assert [child for child in children if child.is_running()] == []
    assert not (directory / "demo.json").exists()
    with running_demo(directory, "--input", str(source)) as second:
        assert second.data(query) == found
        assert dict(second.tokens) == tokens
        # Killed, it leaves its children; the next start ends them.
        orphans = psutil.Process(second.process.pid).children(recursive=True)
        second.process.kill()
        second.process.wait()
        (directory / "demo.json").unlink()
        with running_demo(directory, "--input", str(source)) as third:
            assert third.data(query) == found
            assert [child for child in orphans if child.is_running()] == []
