"""``dataspoke demo``: the whole of DataSpoke on this machine, on servers of its own."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax

from dataspoke.cli.client import ask
from dataspoke.embedded.child import free_port
from dataspoke.embedded.gateway import requests_sent
from dataspoke.embedded.stack import Stack, write_private
from dataspoke.errors import ConfigurationError, Conflict, DependencyUnavailable
from dataspoke.settings import Settings

if TYPE_CHECKING:
    from dataspoke.localhub.proposals import Proposal

DIRECTORY = Path(".dataspoke")
GATEWAY_PORT = 4000

_SAMPLE = "bookshop"
# The sample's table with the most to say: half its rows are missing since yesterday.
_SAMPLE_FEATURED = "urn:li:dataset:(urn:li:dataPlatform:snowflake,analytics.marts.fct_sales_d,PROD)"
# What makes a dataset worth showing first.
_TELLING = frozenset(
    {"datasetProperties", "schemaMetadata", "ownership", "datasetProfile", "operation"}
)
# What the gateway calls DataHub.
_HUB = "datahub"
_LOADED_BY = "urn:li:corpuser:datahub"
_VERDICTS_TIMEOUT_S = 900
# Its data take some 150 MB. PostgreSQL stops at a full disk, so the demo stops before that.
_SPACE_TO_START = 300_000_000
_SPACE_TO_GO_ON = 20_000_000

_VERDICT = """\
# DataHub's description of a dataset beside DataSpoke's verdict on it.
query Verdict {{
  dataset(urn: {urn}) {{
    urn
    name
    properties {{ name description }}
    quality {{
      status
      score
      results {{ metric status value low high }}
      alerts {{ state message }}
    }}
    healthScore {{
      value
      findings {{ rule achieved action }}
    }}
  }}
}}
"""
_SEARCH = """\
query Search($query: String!) {
  knowledgeSearch(query: $query, first: 10) {
    mode
    notice
    edges { node { dataset { urn name healthScore { value } } } }
  }
}
"""


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """What is in the stand-in hub: how many datasets, and the one to show."""

    datasets: tuple[str, ...]
    featured: str
    loaded_at: datetime


def demo(
    input: Annotated[  # noqa: A002  the option's name
        Path | None,
        typer.Option(help="DataHub metadata file to judge instead of the sample bookshop."),
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="Check that all of it answers, in a folder of its own, and end."
        ),
    ] = False,
    directory: Annotated[Path, typer.Option(help="Folder of all its data.")] = DIRECTORY,
    port: Annotated[
        int | None, typer.Option(help="Port of the gateway; 4000 where it is free.")
    ] = None,
) -> None:
    """Run DataSpoke with a stand-in for DataHub and servers of its own, and ask it one question.

    Ctrl-C stops everything; the data stay for the next start.
    """
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        if smoke:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="dataspoke-smoke-"))
            directory = Path(made)
        try:
            stack.enter_context(_alone_in(directory))
            _run(console, directory, input, port, stay=not smoke)
        except KeyboardInterrupt:
            console.print("\nStopped. The data stay in", directory, highlight=False)


def _run(
    console: Console, directory: Path, source: Path | None, port: int | None, *, stay: bool
) -> None:
    if port is not None and free_port(port) != port:
        raise ConfigurationError(
            f"Port {port} is taken: stop what listens there, or choose another."
        )
    _require_space(directory, _SPACE_TO_START)
    began = time.monotonic()
    folder = directory / _folder_name(source)
    catalogue = _load(console, folder, source)
    query = _VERDICT.format(urn=json.dumps(catalogue.featured))
    stack = Stack(folder, lambda name: console.print(f"{name} ended and is started again."))
    announced = directory / "demo.json"
    announced.unlink(missing_ok=True)
    try:
        with console.status("Starting …") as status:
            stack.start(
                GATEWAY_PORT if port is None else port,
                query,
                lambda name: status.update(f"Starting {name} …"),
            )
        console.print(f"All processes run; their logs are in {stack.paths.logs}", highlight=False)
        write_private(directory / "environment", _dotenv(stack.environment))
        _await_verdicts(console, stack, catalogue)
        answers = _questioned(stack, query)
        addresses = {
            "gateway": stack.gateway_url,
            "subgraph": stack.subgraph_url,
            "hub": stack.hub_url,
        }
        write_private(announced, json.dumps({**addresses, "tokens": dict(stack.tokens)}, indent=2))
        _show(console, stack, query, answers, announced, time.monotonic() - began)
        while stay:
            time.sleep(0.5)
            _require_space(directory, _SPACE_TO_GO_ON)
            stack.supervisor.check()
    finally:
        announced.unlink(missing_ok=True)
        with console.status("Stopping …"):
            stack.stop()


# --- the catalogue ---


def _load(console: Console, folder: Path, source: Path | None) -> _Catalogue:
    """Return what the hub in ``folder`` holds, after loading it where this is the first start.

    All of it or nothing is loaded: a file that is no metadata leaves nothing behind.
    """
    from dataspoke.localhub.storage import Storage

    noted, data = folder / "catalogue.json", folder / "hub.sqlite"
    if noted.exists():
        entries = json.loads(noted.read_text())
        return _Catalogue(
            tuple(entries["datasets"]),
            entries["featured"],
            datetime.fromisoformat(entries["loaded_at"]),
        )
    with console.status("Reading the metadata …"):
        proposals = _proposals(source)
        datasets = _datasets(proposals)
    if not datasets:
        raise ConfigurationError(f"{source} holds no dataset, so there is nothing to judge.")
    featured = _SAMPLE_FEATURED if source is None else datasets[0]
    catalogue = _Catalogue(tuple(datasets), featured, datetime.now(UTC))
    with console.status(f"Loading {len(proposals):,} aspects into the stand-in hub …"):
        # Whatever is there is of a start that was cut off.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with Storage.open(data) as storage:
            storage.write(proposals, _LOADED_BY)
        note = {
            "datasets": catalogue.datasets,
            "featured": catalogue.featured,
            "loaded_at": catalogue.loaded_at.isoformat(),
        }
        write_private(noted, json.dumps(note))
    console.print(f"The stand-in hub holds {len(datasets)} datasets.", highlight=False)
    return catalogue


def _proposals(source: Path | None) -> "Sequence[Proposal]":
    from dataspoke.localhub import sample
    from dataspoke.localhub.files import read_metadata_file

    if source is not None:
        return read_metadata_file(source)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "bookshop.json"
        sample.write(sample.generate(end=datetime.now(UTC)), written)
        return read_metadata_file(written)


def _datasets(proposals: "Sequence[Proposal]") -> list[str]:
    """Return the urns of all datasets that are not removed, the most telling first."""
    found: dict[str, set[str]] = {}
    removed: dict[str, bool] = {}
    for proposal in proposals:
        if proposal.urn.startswith("urn:li:dataset:"):
            found.setdefault(proposal.urn, set()).add(proposal.aspect)
            if proposal.aspect == "status":
                removed[proposal.urn] = bool((proposal.value or {}).get("removed"))
    present = [urn for urn in found if not removed.get(urn, False)]
    return sorted(present, key=lambda urn: -len(found[urn] & _TELLING))


def _folder_name(source: Path | None) -> str:
    """Return where this input's data lie: each has a folder, so that none gets into another's."""
    if source is None:
        return _SAMPLE
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}.") from error
    return f"{source.stem}-{hashlib.sha256(content).hexdigest()[:8]}"


# --- the first verdicts ---


def _await_verdicts(console: Console, stack: Stack, catalogue: _Catalogue) -> None:
    """Return when every dataset is scanned, scored and indexed, with a bar for each meanwhile."""
    progress = Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with progress:
        asyncio.run(_follow(progress, stack, catalogue))


async def _follow(progress: Progress, stack: Stack, catalogue: _Catalogue) -> None:
    from dataspoke.runtime import open_runtime

    total = len(catalogue.datasets)
    wanted = frozenset(catalogue.datasets)
    scanned = progress.add_task("Quality", total=total)
    scored = progress.add_task("Health", total=total)
    indexed = progress.add_task("Search", total=total)
    deadline = time.monotonic() + _VERDICTS_TIMEOUT_S
    async with open_runtime(settings_of(stack.environment)) as runtime:
        while not progress.finished:
            verdicts, scores, documents = await asyncio.gather(
                runtime.store.quality_of(catalogue.datasets),
                runtime.store.health_of(catalogue.datasets),
                runtime.vectors.urns(),
            )
            progress.update(scanned, completed=len(verdicts))
            progress.update(scored, completed=len(scores))
            progress.update(indexed, completed=len(documents & wanted))
            if time.monotonic() > deadline:
                raise DependencyUnavailable(
                    "worker",
                    f"The first verdicts are not there after {_VERDICTS_TIMEOUT_S} s; "
                    f"see {stack.paths.logs / 'worker.log'}.",
                )
            _require_space(stack.paths.directory, _SPACE_TO_GO_ON)
            stack.supervisor.check()
            await asyncio.sleep(0.2)


# --- the question ---


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answer to the ready query, and what a search with DataHub's fields found and cost."""

    verdict: dict[str, Any]
    hits: int
    hub_requests: int


def _questioned(stack: Stack, query: str) -> _Answers:
    """Ask the ready query and a search; raises DependencyUnavailable where a part is missing."""
    token = stack.tokens["editor"]
    gateway = f"{stack.gateway_url}/graphql"
    answer = ask(gateway, token, query)
    dataset = answer["dataset"]
    if not dataset or not dataset["healthScore"] or not dataset["quality"]:
        raise DependencyUnavailable(
            "gateway", f"The federated answer lacks a part: {json.dumps(answer)}"
        )
    before = requests_sent(stack.gateway_url, _HUB)
    found = ask(gateway, token, _SEARCH, {"query": dataset["name"]})["knowledgeSearch"]
    hits = [edge["node"]["dataset"] for edge in found["edges"]] if found else []
    if not hits or None in hits:
        raise DependencyUnavailable(
            "gateway", f"Search does not find {dataset['name']!r}: {json.dumps(found)}"
        )
    return _Answers(answer, len(hits), requests_sent(stack.gateway_url, _HUB) - before)


def _show(
    console: Console,
    stack: Stack,
    query: str,
    answers: _Answers,
    announced: Path,
    seconds: float,
) -> None:
    console.rule("One federated question")
    console.print(Syntax(query.strip(), "graphql", background_color="default"))
    console.rule("Its answer: DataHub's and DataSpoke's part")
    text = json.dumps(answers.verdict, indent=2, ensure_ascii=False)
    console.print(Syntax(text, "json", background_color="default", word_wrap=True))
    console.rule()
    console.print(
        f"A search with DataHub's fields: {answers.hits} datasets, "
        f"{answers.hub_requests} request to the hub for all of them.",
        highlight=False,
    )
    for name, address in (
        ("Gateway", f"{stack.gateway_url}   (open it in a browser: GraphiQL with this query)"),
        ("Subgraph", f"{stack.subgraph_url}/graphql"),
        ("Hub", f"{stack.hub_url}   (a stand-in for DataHub: demo and tests only)"),
    ):
        console.print(f"{name:<9} {address}", highlight=False, soft_wrap=True)
    console.print(
        f"Tokens and addresses for scripts are in {announced}. "
        'Try: dataspoke search "customer returns"',
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"Ready after {seconds:.0f} s. Ctrl-C stops it all; the data stay.", style="bold")


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Return the settings that a process with these environment variables has."""
    nested: dict[str, Any] = {}
    for variable, value in environment.items():
        *sections, name = variable.removeprefix("DATASPOKE_").lower().split("__")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return Settings(**nested)


def _dotenv(environment: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in environment.items())


def _require_space(directory: Path, least: int) -> None:
    """Raise ConfigurationError where fewer than ``least`` bytes are free."""
    free = shutil.disk_usage(directory).free
    if free < least:
        raise ConfigurationError(
            f"{directory} has {free // 1_000_000} MB free and the demo needs "
            f"{least // 1_000_000} MB: make room, or name another folder with --directory."
        )


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold the folder while inside; raises Conflict where another demo holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Conflict(
                f"A demo runs in {directory} already (process {file.read().strip()}). "
                "Stop it, or name another folder: --directory."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
