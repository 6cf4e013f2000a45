"""``dataspoke demo``: the whole of DataSpoke on this machine, on servers of its own."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax

from dataspoke.cli.client import ask
from dataspoke.embedded.child import free_port
from dataspoke.embedded.gateway import requests_sent
from dataspoke.embedded.stack import Paths, Stack, end_leftovers, write_private
from dataspoke.embedded.weaviate import program
from dataspoke.errors import ConfigurationError, Conflict, DependencyUnavailable
from dataspoke.settings import Settings

DIRECTORY = Path(".dataspoke")
GATEWAY_PORT = 4000

# What the gateway calls DataHub.
_HUB = "datahub"
_BATCH = 500
_ENDING = (signal.SIGINT, signal.SIGTERM)
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
    vectors: Annotated[
        Literal["pgvector", "weaviate"],
        typer.Option(help="Where the search index is; `make weaviate` builds the latter."),
    ] = "pgvector",
) -> None:
    """Run DataSpoke with a stand-in for DataHub and servers of its own, and ask it one question.

    Ctrl-C stops everything; the data stay for the next start.
    """
    console = Console()
    for number in _ENDING:
        signal.signal(number, _interrupt_once)
    with ExitStack() as stack:
        if smoke:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="dataspoke-smoke-"))
            directory = Path(made)
        try:
            stack.enter_context(_alone_in(directory))
            weaviate = vectors == "weaviate"
            _run(console, directory, input, port, weaviate=weaviate, stay=not smoke)
        except KeyboardInterrupt:
            if smoke:
                raise
            console.print("\nStopped. The data stay in", directory, highlight=False)


def _run(
    console: Console,
    directory: Path,
    source: Path | None,
    port: int | None,
    *,
    weaviate: bool,
    stay: bool,
) -> None:
    # The stand-in is loaded by the demo alone: other commands start without it.
    from dataspoke.cli.stand_in import fill, folder_of

    if port is not None and free_port(port) != port:
        raise ConfigurationError(
            f"Port {port} is taken: stop what listens there, or choose another."
        )
    if weaviate:
        program()  # before anything else is started
    _require_space(directory, _SPACE_TO_START)
    began = time.monotonic()
    folder = folder_of(directory, source)
    end_leftovers(folder)
    featured = fill(Paths(folder).hub, source, partial(console.print, highlight=False))
    query = _VERDICT.format(urn=json.dumps(featured))
    stack = Stack(
        folder,
        lambda name: console.print(f"{name} ended and is started again."),
        weaviate=weaviate,
    )
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
        _await_verdicts(console, stack)
        answers = _questioned(stack, query)
        addresses = {
            "gateway": stack.gateway_url,
            "subgraph": stack.subgraph_url,
            "hub": stack.hub_url,
        }
        write_private(announced, json.dumps({**addresses, "tokens": dict(stack.tokens)}, indent=2))
        _show(console, query, answers)
        seconds = time.monotonic() - began
        if not stay:
            console.print(f"All of it answers, after {seconds:.0f} s.", style="bold")
            return
        _show_addresses(console, stack, announced)
        console.print(
            f"Ready after {seconds:.0f} s. Ctrl-C stops it all; the data stay.", style="bold"
        )
        while True:
            time.sleep(0.5)
            _require_space(directory, _SPACE_TO_GO_ON)
            stack.supervisor.check()
    finally:
        announced.unlink(missing_ok=True)
        with console.status("Stopping …"):
            stack.stop()


# --- the first verdicts ---


def _await_verdicts(console: Console, stack: Stack) -> None:
    """Return when every dataset is scanned, scored and indexed, with a bar for each meanwhile."""
    progress = Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with progress:
        asyncio.run(_follow(progress, stack))


async def _follow(progress: Progress, stack: Stack) -> None:
    from dataspoke.runtime import open_runtime

    deadline = time.monotonic() + _VERDICTS_TIMEOUT_S
    # The settings that the processes have.
    os.environ.update(stack.environment)
    async with open_runtime(Settings()) as runtime:
        urns = [urn async for batch in runtime.hub.scroll(_BATCH) for urn in batch]
        scanned = progress.add_task("Quality", total=len(urns))
        scored = progress.add_task("Health", total=len(urns))
        indexed = progress.add_task("Search", total=len(urns))
        while not progress.finished:
            verdicts, scores, documents = await asyncio.gather(
                runtime.store.quality_of(urns),
                runtime.store.health_of(urns),
                runtime.vectors.urns(),
            )
            progress.update(scanned, completed=len(verdicts))
            progress.update(scored, completed=len(scores))
            progress.update(indexed, completed=len(documents.intersection(urns)))
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


def _show(console: Console, query: str, answers: _Answers) -> None:
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
        soft_wrap=True,
    )


def _show_addresses(console: Console, stack: Stack, announced: Path) -> None:
    for name, address in (
        ("Gateway", f"{stack.gateway_url}   (open it in a browser: GraphiQL with this query)"),
        ("Subgraph", f"{stack.subgraph_url}/graphql"),
        ("Hub", f"{stack.hub_url}   (a stand-in for DataHub: demo and tests only)"),
        ("Scripts", f"{announced}   (addresses and tokens)"),
        ("Try", f'{sys.argv[0]} search "what customers sent back"'),
    ):
        console.print(f"{name:<9} {address}", highlight=False, soft_wrap=True)


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


def _interrupt_once(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, and let no second one cut off the stopping of the processes."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
