"""The benchmark of detection, run as its reader would, with every detector."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bench.detection.__main__ import main
from bench.detection.corpus import labelled
from bench.detection.measured import run
from bench.detection.methods import METHODS

POINTS = 200
FAULT = 150


def write(path: Path, values: list[float]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        f"{start + i * timedelta(hours=12):%F %T},{value},{int(i == FAULT)}"
        for i, value in enumerate(values)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["timestamp,value,label", *rows, ""]))


@pytest.mark.parametrize("method", METHODS)
def test_a_detector_finds_a_spike_and_sees_nothing_that_comes_later(
    tmp_path: Path, method: str
) -> None:
    values = (100 + np.random.default_rng(0).normal(0, 1, POINTS)).tolist()
    values[FAULT] = 200.0
    write(tmp_path / "one" / "deep" / "a.csv", values)
    # Bustle after the fault, which a fit to the whole would take for normal.
    later = [1000.0, -1000.0] * POINTS
    write(tmp_path / "other" / "deep" / "a.csv", [*values[: FAULT + 1], *later][:POINTS])
    runs = [run(method, tmp_path / n, labelled(tmp_path / n)) for n in ("one", "other")]
    for name, (scores,) in runs[0].scores.items():
        assert scores.shape == (POINTS,)
        assert scores[FAULT] > np.median(scores)
        (after_another_future,) = runs[1].scores[name]
        assert scores[: FAULT + 1] == pytest.approx(after_another_future[: FAULT + 1])
    assert all(one.elapsed_s > 0 and one.peak_memory_mb > 20 for one in runs)


def test_a_folder_of_labelled_series_gives_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [100.0 + i % 5 for i in range(POINTS)]
    values[FAULT] = 200.0
    write(tmp_path / "a.csv", values)
    assert main(["--series", str(tmp_path), "--methods", "dataspoke"]) == 0
    shown = capsys.readouterr().out
    assert f": 1 series, {POINTS} points" in " ".join(shown.split())
    (row,) = (line for line in shown.splitlines() if line.startswith("DataSpoke, scores"))
    assert row.split()[2] == "1.000"
