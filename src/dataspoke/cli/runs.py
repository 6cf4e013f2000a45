"""``dataspoke runs``: scans and refits of many datasets, followed and stopped."""

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dataspoke.cli.client import Demo, Token, Url, address_and_token, ask
from dataspoke.errors import DependencyRejected, NotFound

RUN = "id kind scope state startedAt finishedAt total done failed"
_LIST = f"""
query Runs($first: Int!) {{
  qualityRuns(first: $first) {{ edges {{ node {{ {RUN} }} }} }}
}}
"""
_PROGRESS = f"""
query Progress($id: ID!) {{
  qualityRun(id: $id) {{ {RUN} }}
  dataspokeStatus {{ jobs {{ state count }} oldestDueJobSeconds }}
}}
"""
_CHANGE = """
mutation Change($id: ID!) {
  %sQualityRun(id: $id) {
    __typename
    ... on ForbiddenFailure { message }
    ... on NotFoundFailure { message }
    ... on ConflictFailure { message }
    ... on InvalidInputFailure { message }
  }
}
"""
_POLL_S = 0.5
# A worker takes a job within a second or two; what is older waits for a worker that is not there.
_NO_WORKER_AFTER_S = 30

RunId = Annotated[str, typer.Argument(help="The run's id.")]

app = typer.Typer(help="Look after scans of all datasets.", no_args_is_help=True)


@app.command("list")
def list_runs(
    first: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 20,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Show runs, newest first."""
    address, bearer = address_and_token(url, token, directory, "admin")
    found = ask(address, bearer, _LIST, {"first": first})["qualityRuns"]["edges"]
    if not found:
        typer.echo("There has been no run yet.")
        return
    table = Table("run", "kind", "scope", "state", "done", "failed", "started", box=None)
    for run in (edge["node"] for edge in found):
        total = "?" if run["total"] is None else run["total"]
        started = datetime.fromisoformat(run["startedAt"]).astimezone()
        table.add_row(
            run["id"],
            run["kind"],
            run["scope"],
            run["state"],
            f"{run['done']}/{total}",
            str(run["failed"]),
            f"{started:%Y-%m-%d %H:%M}",
        )
    Console().print(table, soft_wrap=True)


@app.command()
def watch(
    run: RunId, url: Url = None, token: Token = None, directory: Demo = Path(".dataspoke")
) -> None:
    """Follow a run to its end."""
    address, bearer = address_and_token(url, token, directory, "admin")
    follow(address, bearer, run)


@app.command()
def cancel(
    run: RunId, url: Url = None, token: Token = None, directory: Demo = Path(".dataspoke")
) -> None:
    """Stop a run; what has begun is done."""
    address, bearer = address_and_token(url, token, directory, "admin")
    _change(address, bearer, "cancel", run)
    typer.echo(f"Cancelled. Go on: dataspoke runs resume {run}")


@app.command()
def resume(
    run: RunId,
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = True,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Go on with what a run has not done, and try again what failed."""
    address, bearer = address_and_token(url, token, directory, "admin")
    _change(address, bearer, "resume", run)
    if wait:
        follow(address, bearer, run)


def follow(url: str, token: str, run_id: str) -> None:
    """Show a bar of the run until it ends.

    Raises NotFound where there is no such run, and DependencyRejected where no worker takes it up.
    Ctrl-C ends the bar, not the run.
    """
    try:
        run = _watched(url, token, run_id)
    except KeyboardInterrupt:
        Console(stderr=True).print(
            f"The run goes on. Follow it: dataspoke runs watch {run_id}\n"
            f"Stop it: dataspoke runs cancel {run_id}",
            highlight=False,
            soft_wrap=True,
        )
        raise
    typer.echo(_told(run))


def require_worker(status: Mapping[str, Any]) -> None:
    """Raise DependencyRejected where jobs wait and no worker takes them."""
    running = next(jobs["count"] for jobs in status["jobs"] if jobs["state"] == "RUNNING")
    if running == 0 and (status["oldestDueJobSeconds"] or 0) > _NO_WORKER_AFTER_S:
        raise DependencyRejected(
            "worker", "The scan waits and no worker takes it: is `dataspoke worker` up?"
        )


def _watched(url: str, token: str, run_id: str) -> Mapping[str, Any]:
    columns = (TextColumn("Scanning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=None)
        while True:
            answer = ask(url, token, _PROGRESS, {"id": run_id})
            run: Mapping[str, Any] | None = answer["qualityRun"]
            if run is None:
                raise NotFound(f"There is no run {run_id}; see `dataspoke runs list`.")
            progress.update(task, total=run["total"], completed=run["done"] + run["failed"])
            if run["state"] != "RUNNING":
                return run
            require_worker(answer["dataspokeStatus"])
            time.sleep(_POLL_S)


def _told(run: Mapping[str, Any]) -> str:
    if run["state"] == "FAILED":
        raise DependencyRejected(
            "hub",
            "It could not be found out which datasets there are; see the worker's log. "
            f"Try again: dataspoke runs resume {run['id']}",
        )
    if run["state"] == "CANCELLED":
        return (
            f"Cancelled after {run['done']} of {run['total'] or '?'} datasets. "
            f"Go on: dataspoke runs resume {run['id']}"
        )
    told = f"Scanned {run['done']} datasets."
    if run["failed"]:
        told += (
            f" {run['failed']} were given up; see the worker's log. "
            f"Try them again: dataspoke runs resume {run['id']}"
        )
    return told


def _change(url: str, token: str, change: str, run_id: str) -> None:
    outcome = ask(url, token, _CHANGE % change, {"id": run_id})[f"{change}QualityRun"]
    if "message" in outcome:
        raise DependencyRejected("gateway", outcome["message"])
