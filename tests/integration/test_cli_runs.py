"""Runs from the terminal, against a subgraph that listens."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from dataspoke.ports.runs import Run
from tests.support.demo import PROGRAM, clean_environment
from tests.support.serving import Served, serving
from tests.support.subgraph import EDITOR, SERVICE, Subgraph, urn
from tests.support.waiting import until_true

TABLES = ("orders", "stock", "returns")


@dataclass
class Terminal:
    subgraph: Subgraph
    served: Served

    def start(self, *arguments: str, token: str = SERVICE) -> "subprocess.Popen[str]":
        address = ("--url", f"{self.served.url}/graphql", "--token", token)
        return subprocess.Popen(
            [PROGRAM, *arguments, *address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )

    def run(self, *arguments: str, token: str = SERVICE) -> "tuple[int, str, str]":
        return ended(self.start(*arguments, token=token))

    def newest(self) -> Run | None:
        return next(iter(self.served.run(self.subgraph.store.newest_runs(None, 1))), None)

    def begun(self) -> Run:
        """The run that the terminal has asked for, once its datasets are listed."""
        until_true(lambda: self.newest() is not None, "the run to be asked for", 60)
        run = self.newest()
        assert run is not None
        self.served.run(self.subgraph.runs.begin(None, run_id=run.id))
        return run

    def count(self, run_id: UUID, *names: str) -> None:
        async def counted() -> None:
            async with self.subgraph.store.transaction() as tx:
                await tx.count_done(run_id, [urn(name) for name in names])

        self.served.run(counted())


def ended(process: "subprocess.Popen[str]") -> "tuple[int, str, str]":
    out, err = process.communicate(timeout=60)
    return process.returncode, " ".join(out.split()), " ".join(err.split())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    subgraph = Subgraph()
    with serving(subgraph.app) as served:
        served.run(subgraph.put(*TABLES))
        yield Terminal(subgraph, served)


def test_a_scan_is_followed_to_its_end(terminal: Terminal) -> None:
    scan = terminal.start("scan")
    run = terminal.begun()
    terminal.count(run.id, *TABLES)
    assert ended(scan) == (0, "Scanned 3 datasets.", "")
    code, listed, _ = terminal.run("runs", "list")
    assert code == 0
    assert f"{run.id} REQUESTED all DONE 3/3 0" in listed


def test_ctrl_c_ends_the_bar_and_not_the_run(terminal: Terminal) -> None:
    scan = terminal.start("scan")
    run = terminal.begun()
    asked = terminal.subgraph.calls["runs"]
    # It asks again and again while it follows.
    until_true(lambda: terminal.subgraph.calls["runs"] > asked + 1, "the bar", 60)
    scan.send_signal(signal.SIGINT)
    code, _, said = ended(scan)
    assert code == 130
    assert f"dataspoke runs cancel {run.id}" in said
    found = terminal.newest()
    assert found is not None
    assert found.finished_at is None


def test_a_run_is_cancelled_and_resumed(terminal: Terminal) -> None:
    code, out, _ = terminal.run("scan", "--no-wait")
    assert code == 0
    run = terminal.begun()
    assert out.endswith(f"dataspoke runs watch {run.id}")
    terminal.count(run.id, "orders")
    code, out, _ = terminal.run("runs", "cancel", str(run.id))
    assert (code, out) == (0, f"Cancelled. Go on: dataspoke runs resume {run.id}")
    code, out, _ = terminal.run("runs", "watch", str(run.id))
    assert out.startswith("Cancelled after 1 of 3 datasets.")
    code, _, err = terminal.run("runs", "cancel", str(run.id))
    assert (code, err) == (1, f"Error: Run {run.id} has ended already.")
    resumed = terminal.start("runs", "resume", str(run.id))

    def goes_on() -> bool:
        found = terminal.newest()
        return found is not None and found.finished_at is None

    until_true(goes_on, "the run to go on", 60)
    terminal.count(run.id, *TABLES)
    assert ended(resumed)[:2] == (0, "Scanned 3 datasets.")


def test_runs_are_the_managers_to_change(terminal: Terminal) -> None:
    code, _, err = terminal.run("scan", token=EDITOR)
    assert (code, "right to manage" in err) == (1, True)
    code, _, err = terminal.run("runs", "cancel", "seven")
    assert (code, "not the id of a run" in err) == (1, True)
    code, _, err = terminal.run("runs", "watch", "00000000-0000-0000-0000-000000000000")
    assert (code, "There is no run" in err) == (1, True)
