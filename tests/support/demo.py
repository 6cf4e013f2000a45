"""``dataspoke demo`` run as a user runs it, and what a script can ask of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import until_true

PROGRAM = Path(sys.executable).with_name("dataspoke")
START_TIMEOUT_S = 400
STOP_TIMEOUT_S = 90


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs: its process, its folder, and what its demo.json says."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    gateway: str
    hub: str
    tokens: Mapping[str, str]

    def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, *, role: str = "editor"
    ) -> dict[str, Any]:
        """Return the whole answer of the gateway, errors included."""
        response = httpx.post(
            f"{self.gateway}/graphql",
            json={"query": query, "variables": dict(variables or {})},
            headers=self.authorization(role),
            timeout=60,
        )
        answer: dict[str, Any] = response.json()
        return answer

    def data(
        self, query: str, variables: Mapping[str, Any] | None = None, *, role: str = "editor"
    ) -> dict[str, Any]:
        """Return the data of an answer that must have no errors."""
        answer = self.ask(query, variables, role=role)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def ask_hub(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data of an answer of the stand-in hub itself, as its admin sees it."""
        response = httpx.post(
            f"{self.hub}/api/graphql",
            json={"query": query, "variables": dict(variables)},
            headers=self.authorization("admin"),
            timeout=60,
        )
        answer = response.json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def authorization(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def datahub(self, *arguments: str) -> str:
        """Run DataHub's own command line against the hub; returns what it prints."""
        return run_datahub(self.hub, self.tokens["editor"], self.directory, *arguments)

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run DataSpoke's command line, as in a second terminal beside the demo."""
        return subprocess.run(
            [PROGRAM, *arguments, "--directory", str(self.directory)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=clean_environment(),
        )


def run_datahub(hub: str, token: str, home: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [PROGRAM.with_name("datahub"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            **clean_environment(),
            "DATAHUB_GMS_URL": hub,
            "DATAHUB_GMS_TOKEN": token,
            "DATAHUB_TELEMETRY_ENABLED": "false",
            "HOME": str(home),
        },
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def clean_environment() -> dict[str, str]:
    """Return this environment without DataSpoke's settings, wide enough for tables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATASPOKE_")}
    return {**kept, "COLUMNS": "200"}


@contextmanager
def running_demo(directory: Path, *arguments: str) -> Iterator[Demo]:
    """Yield a demo that has answered its first question, and stop it as an impatient user does."""
    announced = directory / "demo.json"
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "terminal.log"
    with log.open("wb") as terminal:
        process = subprocess.Popen(
            [PROGRAM, "demo", "--directory", str(directory), *arguments],
            stdout=terminal,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
        )
        try:
            until_true(
                lambda: announced.exists() or process.poll() is not None, "demo", START_TIMEOUT_S
            )
            if process.poll() is not None:
                raise AssertionError(f"The demo ended:\n{log.read_text()[-3000:]}")
            said = json.loads(announced.read_text())
            yield Demo(process, directory, said["gateway"], said["hub"], said["tokens"])
        finally:
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)
            process.wait(STOP_TIMEOUT_S)
