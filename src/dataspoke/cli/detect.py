"""``dataspoke detect``: the detector of the live scan on series of your own."""

import csv
import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import pebble
import typer
from pebble import ProcessExpired
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from dataspoke.errors import DataSpokeError, InvalidInput

_SUFFIX = ".csv"
_MOST_ALARMS = 14
# Spreadsheets begin a UTF-8 file with a byte order mark.
_ENCODING = "utf-8-sig"


@dataclass(frozen=True, slots=True)
class _Task:
    """A series to judge; ``plot`` is where its picture goes, None for no picture."""

    source: Path
    target: Path
    plot: Path | None


@dataclass(frozen=True, slots=True)
class _Detected:
    rows: int
    alerts: int


def detect(
    series: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="CSV with the columns timestamp and value, or a folder of such files.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE|FOLDER", help="Where the answer goes; for a folder, a folder."),
    ],
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw each series, as PNG beside it.")
    ] = False,
    budget: Annotated[
        float, typer.Option(help="False alarms put up with in two weeks of a series, up to 14.")
    ] = 1.0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes at work; as many as cores without it.")
    ] = None,
) -> None:
    """Judge time series in CSV files as the live scan judges metrics; needs no server.

    Writes timestamp,value,expected,low,high,score,alert: a row for each row, in the same order,
    the first two as they came. Folders are taken with all folders in them, hidden ones left out,
    and keep their layout; only files named *.csv count.

    Each row is judged by the rows earlier in time alone, whatever their order in the file; rows of
    one moment are judged one after the other as they stand in it. low and high are the ends of the
    expected range, score is how unusual the value is, 0 (usual) to 1 (never seen). Rows without a
    value, and the first ones of a series, which has to be known before it can be judged, have no
    range, and the score 0. alert is 1 where a scan at that row would have raised an alert, or
    brought one back: once for each stretch of values out of range, and no more where they come and
    go within two days for the third time.

    Files that are there already are replaced, each as a whole when it is done; a series that is
    read is never replaced. A file that cannot be read does not stop the others: it is named at the
    end, with exit status 1.
    """
    if not 0 < budget <= _MOST_ALARMS:
        raise InvalidInput(f"--budget is {budget:g}; give more than 0 and at most {_MOST_ALARMS}.")
    tasks = _tasks(series, out, plot=plot)
    done, failures = _run(tasks, budget, jobs or os.cpu_count() or 1)
    if done:
        rows, alerts = sum(one.rows for one in done), sum(one.alerts for one in done)
        where = out if len(tasks) > 1 else tasks[0].target
        typer.echo(f"Series: {len(done)}, rows: {rows:,}, alerts: {alerts:,}. Written to {where}.")
    if failures and series.is_dir():
        failures = [f"{len(failures)} of {len(tasks)} files were not judged:", *failures]
    if failures:
        raise InvalidInput("\n".join(failures))


def _tasks(series: Path, out: Path, *, plot: bool) -> list[_Task]:
    """Return what is to be done, by path; raises InvalidInput where that is nothing, or harm."""
    if series.is_dir():
        if out.exists() and not out.is_dir():
            raise InvalidInput(f"{out} is no folder; --out must be one, as {series} is.")
        sources = _series_below(series, out)
        if not sources:
            raise InvalidInput(f"{series} has no file named *{_SUFFIX} in it.")
        targets = [out / source.relative_to(series) for source in sources]
    elif series.exists():
        sources = [series]
        targets = [out / series.name if out.is_dir() else out]
    else:
        raise InvalidInput(f"{series} does not exist; name a CSV file, or a folder of them.")
    read = {_identity(source) for source in sources}
    for target in targets:
        if target.exists() and _identity(target) in read:
            raise InvalidInput(f"{target} is a series to be read; choose another --out.")
        if target.exists() and not target.is_file():
            raise InvalidInput(f"{target} is no file that can be replaced; choose another --out.")
    return [
        _Task(source, target.resolve(), _picture_of(target.resolve()) if plot else None)
        for source, target in zip(sources, targets, strict=True)
    ]


def _series_below(folder: Path, out: Path) -> list[Path]:
    """Return the series in a folder without hidden ones, and without what came out of them."""
    answers = None if out.resolve() == folder.resolve() else out.resolve()
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() != _SUFFIX or not path.is_file():
            continue
        if answers is None or not path.resolve().is_relative_to(answers):
            found.append(path)
    return found


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _picture_of(target: Path) -> Path:
    return target.with_name(target.name.removesuffix(_SUFFIX) + ".png")


def _run(
    tasks: Sequence[_Task], budget: float, processes: int
) -> tuple[list[_Detected], list[str]]:
    """Return what was done, and a message for each file that could not be, by path."""
    done: list[_Detected] = []
    failures: dict[Path, str] = {}
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    console = Console(stderr=True)
    hidden = len(tasks) == 1 or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task("Judging", total=len(tasks))
        try:
            for task, outcome in _outcomes(tasks, budget, processes):
                try:
                    done.append(outcome())
                except DataSpokeError as error:
                    failures[task.source] = error.public_message
                except OSError as error:
                    failures[task.source] = f"{error.filename or task.source}: {error.strerror}."
                except ProcessExpired:
                    failures[task.source] = (
                        f"{task.source}: the process that judged it died, perhaps for lack of "
                        "memory; try it alone, or with --jobs 1."
                    )
                # One series that the detector cannot bear must not stop the others.
                except Exception as error:
                    failures[task.source] = (
                        f"{task.source}: judging it failed ({type(error).__name__}: {error}); "
                        "that is a fault of DataSpoke's, please report it with the file."
                    )
                progress.advance(bar)
        finally:
            # A process that was stopped has left its draft behind.
            for task in tasks:
                for path in (task.target, task.plot):
                    with suppress(OSError):
                        if path is not None:
                            _draft(path, os.getpid()).unlink(missing_ok=True)
    return done, [failures[task.source] for task in tasks if task.source in failures]


def _outcomes(
    tasks: Sequence[_Task], budget: float, processes: int
) -> Iterator[tuple[_Task, Callable[[], _Detected]]]:
    """Yield each task as it is done, with what returns or raises what came of it."""
    processes = min(processes, len(tasks))
    if processes == 1:
        for task in tasks:
            yield task, partial(_detect, task, budget, os.getpid())
        return
    context = multiprocessing.get_context("spawn")
    pool = pebble.ProcessPool(
        processes, initializer=_leave_interrupts_to_the_parent, context=context
    )
    try:
        # The longest first, so that none is left to run alone at the end.
        longest_first = sorted(tasks, key=lambda task: task.source.stat().st_size, reverse=True)
        running: dict[Future[_Detected], _Task] = {
            pool.schedule(_detect, args=(task, budget, os.getpid())): task for task in longest_first
        }
        for future in as_completed(running):
            yield running[future], future.result
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _detect(task: _Task, budget: float, owner: int) -> _Detected:
    """Judge one series; ``owner`` is the process that looks after drafts."""
    # Late, for numpy and scipy take half a second that --help need not.
    from dataspoke.quality import series
    from dataspoke.quality.detectors import FalseAlarmBudget

    rows = series.read(io.StringIO(_text(task.source), newline=""), str(task.source))
    answer = series.judge_rows(rows, FalseAlarmBudget(budget))
    with _draft_of(task.target, owner) as draft:
        with draft.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(series.cells(answer))
        if task.plot is not None:
            from dataspoke.cli.plots import Panel, draw

            in_order = sorted(answer, key=lambda one: one.row.point.time)
            panel = Panel(
                task.source.name,
                [one.judgement for one in in_order],
                [one.row.point for one in in_order if one.alert],
            )
            with _draft_of(task.plot, owner) as picture:
                draw(picture, [panel])
    return _Detected(len(rows), sum(one.alert for one in answer))


def _text(source: Path) -> str:
    data = source.read_bytes()
    try:
        return data.decode(_ENCODING)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{source}, line {line}: this is not text in UTF-8; save the file as CSV in UTF-8."
        ) from None


def _draft(target: Path, owner: int) -> Path:
    return target.with_name(f".{target.name}.{owner}.part")


@contextmanager
def _draft_of(target: Path, owner: int) -> Iterator[Path]:
    """Yield a path to write to: it takes the place of ``target`` if nothing is raised."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(target, owner)
    try:
        yield draft
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
