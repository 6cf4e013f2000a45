"""``dataspoke detect`` as a user runs it."""

import csv
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from click.testing import Result
from typer.testing import CliRunner

from dataspoke import cli
from dataspoke.errors import InvalidInput

HEADER = "timestamp,value,expected,low,high,score,alert"


def series(path: Path, values: Sequence[float] = (100.0,) * 40, *, bom: bool = False) -> Path:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [f"{start + i * timedelta(hours=1):%F %T},{value}" for i, value in enumerate(values)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["timestamp,value", *lines, ""]), "utf-8-sig" if bom else "utf-8")
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["detect", *map(str, arguments)])


def written(*arguments: str | Path) -> str:
    ended = run(*arguments)
    assert ended.exit_code == 0, ended.output
    return " ".join(ended.output.split())


def refused(*arguments: str | Path) -> str:
    """Return what the program says on stderr; it ends with status 1."""
    ended = run(*arguments)
    assert ended.exit_code == 1
    assert isinstance(ended.exception, InvalidInput)
    return ended.exception.public_message


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_file_becomes_a_file(tmp_path: Path) -> None:
    values = [100.0] * 60
    values[50] = 900.0
    source = series(tmp_path / "loads.csv", values, bom=True)
    out = tmp_path / "new" / "judged.csv"
    said = written(source, "--out", out)
    assert said == f"Series: 1, rows: 60, alerts: 1. Written to {out}."
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0] == HEADER
    assert len(lines) == 61
    assert lines[1] == "2026-01-01 00:00:00,100.0,,,,0.0,0"
    assert lines[51].startswith("2026-01-03 02:00:00,900.0,100.0,")
    assert [n for n, line in enumerate(lines[1:]) if line.endswith(",1")] == [50]
    assert files(tmp_path / "new") == {"judged.csv"}


def test_a_file_goes_into_a_folder_that_is_there(tmp_path: Path) -> None:
    source = series(tmp_path / "loads.csv")
    (tmp_path / "out").mkdir()
    written(source, "--out", tmp_path / "out")
    assert files(tmp_path / "out") == {"loads.csv"}


def test_a_series_without_rows_has_an_answer_without_rows(tmp_path: Path) -> None:
    source = tmp_path / "loads.csv"
    source.write_text("timestamp,value\n")
    written(source, "--out", tmp_path / "judged.csv")
    assert (tmp_path / "judged.csv").read_text() == HEADER + "\n"


def test_a_folder_keeps_its_layout(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a.csv", "deep/er/b.csv", "deep/C.CSV", ".hidden/x.csv", ".x.csv"):
        series(data / name)
    (data / "README.md").write_text("not a series")
    said = written(data, "--out", tmp_path / "out", "--jobs", "1")
    assert said == f"Series: 3, rows: 120, alerts: 0. Written to {tmp_path / 'out'}."
    assert files(tmp_path / "out") == {"a.csv", "deep/er/b.csv", "deep/C.CSV"}


def test_an_answer_inside_the_folder_is_no_series_the_next_time(tmp_path: Path) -> None:
    series(tmp_path / "a.csv")
    out = tmp_path / "judged"
    for _ in range(2):
        assert written(tmp_path, "--out", out, "--jobs", "1").startswith("Series: 1, rows: 40")
    assert files(out) == {"a.csv"}


def test_an_earlier_answer_is_replaced(tmp_path: Path) -> None:
    source, out = series(tmp_path / "a.csv"), tmp_path / "judged.csv"
    written(source, "--out", out)
    first = out.read_text()
    series(source, [1.0] * 50)
    written(source, "--out", out)
    assert out.read_text() != first
    assert len(out.read_text().splitlines()) == 51


def test_one_bad_file_stops_no_other_and_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    series(data / "good.csv")
    (data / "bad.csv").write_text("timestamp,value\n2026-01-01,1\nsoon,2\n")
    (data / "binary.csv").write_bytes(b"timestamp,value\n2026-01-01,1\n\xff\xfe")
    message = refused(data, "--out", tmp_path / "out", "--jobs", "1")
    assert message.splitlines() == [
        "2 of 3 files were not judged:",
        f"{data / 'bad.csv'}, line 3: 'soon' is not a timestamp; "
        "write 2026-11-24T08:00:00 or seconds since 1970.",
        f"{data / 'binary.csv'}, line 3: this is not text in UTF-8; save the file as CSV in UTF-8.",
    ]
    assert files(tmp_path / "out") == {"good.csv"}


def test_a_bad_file_leaves_the_earlier_answer_as_it_was(tmp_path: Path) -> None:
    source, out = tmp_path / "bad.csv", tmp_path / "judged.csv"
    source.write_text("timestamp,value\n2026-01-01,x\n")
    out.write_text("precious")
    assert refused(source, "--out", out).startswith(f"{source}, line 2: 'x' is not a number")
    assert out.read_text() == "precious"
    assert files(tmp_path) == {"bad.csv", "judged.csv"}


def test_a_series_that_is_read_is_never_replaced(tmp_path: Path) -> None:
    source = series(tmp_path / "in" / "a.csv")
    before = source.read_text()
    (tmp_path / "link.csv").symlink_to(source)
    assert "is a series to be read; choose another --out" in refused(source, "--out", source)
    assert "is a series to be read" in refused(source, "--out", tmp_path / "link.csv")
    assert "is a series to be read" in refused(source.parent, "--out", source.parent)
    assert source.read_text() == before


def test_what_cannot_be_asked_for_says_why(tmp_path: Path) -> None:
    source = series(tmp_path / "in" / "a.csv")
    (tmp_path / "empty").mkdir()
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere} does not exist; name a CSV file" in refused(nowhere, "--out", tmp_path)
    assert "has no file named *.csv" in refused(tmp_path / "empty", "--out", tmp_path / "out")
    assert f"{source} is no folder; --out must be one" in refused(source.parent, "--out", source)
    assert "is no file that can be replaced" in refused(source, "--out", "/dev/null")
    blocked = source / "deeper.csv"
    assert str(source) in refused(series(tmp_path / "b.csv"), "--out", blocked)


def test_a_smaller_budget_makes_no_more_alerts(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    source = series(tmp_path / "a.csv", rng.normal(100, 5, 120).tolist())

    def wide(budget: str) -> float:
        written(source, "--out", tmp_path / "judged.csv", "--budget", budget)
        with (tmp_path / "judged.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        return float(last["high"]) - float(last["low"])

    assert wide("0.01") > wide("1") > wide("14")
    assert "--budget is 0; give more than 0" in refused(source, "--out", tmp_path, "--budget", "0")


def test_a_picture_lies_beside_the_answer(tmp_path: Path) -> None:
    values = [100.0] * 60
    values[50] = 900.0
    source = series(tmp_path / "loads.csv", [*values, float("nan")])
    written(source, "--out", tmp_path / "out" / "loads.csv", "--plot")
    assert files(tmp_path / "out") == {"loads.csv", "loads.png"}
    picture = (tmp_path / "out" / "loads.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 1000
    assert height > 300
