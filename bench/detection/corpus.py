"""Labelled series, as the benchmark reads them."""

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataspoke.errors import InvalidInput
from dataspoke.quality import series

Floats = NDArray[np.float64]

_LABEL = "label"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series in order of time; ``windows`` are positions of first and last anomalous points.

    ``path`` is its file, ``name`` that from the corpus' folder on. ``times_s`` and ``values`` have
    a shape of (n,); a value that is missing is the one before it, the first ones the first known.
    """

    name: str
    path: Path
    times_s: Floats
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each point is anomalous, shape (n,)."""
        marked = np.zeros(len(self.values), dtype=np.bool_)
        for first, last in self.windows:
            marked[first : last + 1] = True
        return marked


def nab(root: Path) -> list[Labelled]:
    """Return the series under ``root``/data with the windows of ``root``/labels, by name.

    Raises InvalidInput where it is not laid out as NAB's repository.
    """
    windows_file = root / "labels" / "combined_windows.json"
    if not windows_file.is_file():
        raise InvalidInput(
            f"{windows_file} is missing: --data wants a folder with data/ and labels/ as in NAB's "
            "repository."
        )
    labels = json.loads(windows_file.read_text(encoding="utf-8"))
    found = []
    for name, windows in sorted(labels.items()):
        path = root / "data" / name
        times_s, values = _columns(path)
        position: dict[float, int] = {}
        for index, moment in enumerate(times_s.tolist()):
            position.setdefault(moment, index)
        bounds = tuple((position[_stamp(first)], position[_stamp(last)]) for first, last in windows)
        found.append(Labelled(name, path, times_s, values, bounds))
    return found


def labelled(folder: Path) -> list[Labelled]:
    """Return the series below a folder, by name.

    Each is a file named *.csv with the columns timestamp, value and label, 1 for an anomalous
    point and 0 for any other; the rows are in order of time. Raises InvalidInput, naming the file,
    where that is not so, and where the folder has no such file.
    """
    found = []
    for path in sorted(folder.rglob("*.csv")):
        times_s, values = _columns(path)
        marks = _marks(path)
        if len(marks) != len(values):
            raise InvalidInput(f"{path}: {len(values)} values have {len(marks)} labels.")
        if np.any(np.diff(times_s) < 0):
            raise InvalidInput(f"{path}: the rows are not in order of time; sort them.")
        edges = np.flatnonzero(np.diff(np.concatenate([[0], marks, [0]])))
        windows = tuple((int(a), int(b) - 1) for a, b in edges.reshape(-1, 2))
        found.append(Labelled(str(path.relative_to(folder)), path, times_s, values, windows))
    if not found:
        raise InvalidInput(f"{folder} has no file named *.csv: --series wants labelled series.")
    return found


def _columns(path: Path) -> tuple[Floats, Floats]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        points = [row.point for row in series.read(file, str(path))]
    times_s = np.array([point.time.timestamp() for point in points])
    values = np.array([point.value for point in points])
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        raise InvalidInput(f"{path} has no value.")
    latest = np.searchsorted(known, np.arange(len(values)), "right") - 1
    return times_s, values[known[np.maximum(latest, 0)]]


def _marks(path: Path) -> NDArray[np.int64]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        names = {name.strip().lower(): name for name in rows.fieldnames or ()}
        if _LABEL not in names:
            raise InvalidInput(f"{path} has no column {_LABEL}: 1 for an anomalous point, else 0.")
        return np.array([int(float(row[names[_LABEL]] or 0) > 0) for row in rows], dtype=np.int64)


def _stamp(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
