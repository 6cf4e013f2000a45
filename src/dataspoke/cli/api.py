"""``dataspoke search`` and ``scan``: the API from the terminal."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dataspoke.cli.client import Demo, Token, Url, address_and_token, ask
from dataspoke.cli.runs import follow, require_worker
from dataspoke.errors import DependencyRejected
from dataspoke.urns import dataset_name

_SEARCH = """
query Search($query: String!, $filters: KnowledgeSearchFilters, $first: Int!) {
  knowledgeSearch(query: $query, filters: $filters, first: $first) {
    mode
    notice
    edges { node { score why dataset { urn quality { status } healthScore { value } } } }
  }
}
"""
_SCAN = """
mutation Scan($urns: [String!]) {
  requestScan(urns: $urns) {
    __typename
    ... on ScanRequested { jobs run { id } }
    ... on ForbiddenFailure { message }
    ... on InvalidInputFailure { message }
    ... on NotFoundFailure { message }
  }
}
"""
_STATUS = "{ dataspokeStatus { jobs { state count } oldestDueJobSeconds } }"


def search(
    question: Annotated[str, typer.Argument(help="What is looked for, in words.")],
    first: Annotated[int, typer.Option(help="How many datasets, 1 to 100.")] = 10,
    platform: Annotated[
        list[str] | None, typer.Option(help="Keep this platform, by name or urn.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Keep what has this tag, by name or urn.")
    ] = None,
    owner: Annotated[
        list[str] | None, typer.Option(help="Keep this user's, by name or urn.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="Keep this domain, by id or urn.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Find datasets by what they mean and what they are called."""
    address, bearer = address_and_token(url, token, directory, "editor")
    filters = {
        "platforms": _urns("urn:li:dataPlatform:", platform),
        "tags": _urns("urn:li:tag:", tag),
        "owners": _urns("urn:li:corpuser:", owner),
        "domains": _urns("urn:li:domain:", domain),
    }
    variables = {"query": question, "filters": filters, "first": first}
    found = ask(address, bearer, _SEARCH, variables)["knowledgeSearch"]
    hits = [edge["node"] for edge in found["edges"]]
    if as_json:
        shown = {"mode": found["mode"], "notice": found["notice"], "hits": hits}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    if found["notice"]:
        Console(stderr=True).print(found["notice"], style="yellow", highlight=False)
    if not hits:
        typer.echo("Nothing that you may see matches.")
        return
    table = Table("score", "dataset", "quality", "health", "why", box=None, pad_edge=False)
    for hit in hits:
        table.add_row(f"{hit['score']:.2f}", *_described(hit["dataset"]), ", ".join(hit["why"]))
    Console().print(table)


def _urns(prefix: str, names: list[str] | None) -> list[str]:
    return [name if name.startswith("urn:") else prefix + name for name in names or []]


def _described(dataset: dict[str, Any]) -> tuple[str, str, str]:
    quality, health = dataset["quality"], dataset["healthScore"]
    return (
        dataset_name(dataset["urn"]),
        quality["status"] if quality else "–",
        f"{health['value']:.0f}" if health else "–",
    )


def scan(
    urns: Annotated[list[str] | None, typer.Argument(help="Datasets; all without any.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = True,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Scan datasets now, and wait for the verdicts."""
    address, bearer = address_and_token(url, token, directory, "admin")
    answer = ask(address, bearer, _SCAN, {"urns": urns or None})["requestScan"]
    if answer["__typename"] != "ScanRequested":
        raise DependencyRejected("gateway", answer["message"])
    run = answer["run"]
    if wait and run is not None:
        follow(address, bearer, run["id"])
    elif wait:
        _follow_jobs(address, bearer)
    elif run is not None:
        typer.echo(f"The scan waits for a worker. Follow it: dataspoke runs watch {run['id']}")
    else:
        typer.echo(f"{answer['jobs']} scans wait for a worker.")


def _follow_jobs(url: str, token: str) -> None:
    most = 0
    with Progress(transient=True) as progress:
        task = progress.add_task("Scanning", total=None)
        while True:
            status = ask(url, token, _STATUS)["dataspokeStatus"]
            counts = {entry["state"]: entry["count"] for entry in status["jobs"]}
            left = counts["READY"] + counts["RUNNING"]
            if left == 0:
                break
            most = max(most, left)
            progress.update(task, total=most, completed=most - left)
            require_worker(status)
            time.sleep(0.5)
    dead = counts["DEAD"]
    typer.echo(
        "Scanned."
        + (
            f" {dead} jobs gave up; see the worker's log, and `dataspoke jobs revive`."
            if dead
            else ""
        )
    )
