"""``dataspoke detect`` as a program, on several processes."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np


def write(path: Path, points: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    values = 100 + np.random.default_rng(points).normal(0, 1, points)
    rows = [f"{start + i * timedelta(minutes=5):%F %T},{v}" for i, v in enumerate(values)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["timestamp,value", *rows, ""]))


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def detect(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dataspoke.cli", "detect", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_share_a_folder_and_give_what_one_gives(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(4):
        write(data / f"{number}" / "a.csv", 200 + 10 * number)
    (data / "bad.csv").write_text("timestamp,value\nsoon,1\n")
    for jobs in ("1", "3"):
        program = detect(data, "--out", tmp_path / jobs, "--jobs", jobs)
        said, complained = program.communicate(timeout=200)
        assert program.returncode == 1
        assert said.startswith("Series: 4, rows: 860, alerts: ")
        lines = complained.splitlines()
        assert lines[0] == "Error: 1 of 5 files were not judged:"
        assert lines[1].startswith(f"{data / 'bad.csv'}, line 2: 'soon' is not a timestamp")
    assert files(tmp_path / "1") == files(tmp_path / "3") == {f"{n}/a.csv" for n in range(4)}
    for name in files(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_text() == (tmp_path / "3" / name).read_text()


def test_an_interruption_leaves_whole_files_or_none(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write(data / "long.csv", 60_000)
    # The shortest is begun last, by whoever is free.
    for number in range(2):
        write(data / f"short{number}.csv", 100)
    program = detect(data, "--out", out, "--jobs", "2")
    deadline = time.monotonic() + 200
    while not (out / "short1.csv").exists():
        assert program.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=60)
    assert program.returncode == 130
    assert files(out) <= {"short0.csv", "short1.csv"}
    assert len((out / "short1.csv").read_text().splitlines()) == 101
