"""``dataspoke doctor``: what is reachable, which version, and what to do."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from dataspoke.embedded.node import node, version_of
from dataspoke.errors import ConfigurationError, DataSpokeError
from dataspoke.ports.hub import Topic
from dataspoke.ports.store import JobState
from dataspoke.settings import Settings, problems

if TYPE_CHECKING:
    from dataspoke.runtime import Runtime

_TIMEOUT_S = 10.0
# A worker takes a job within a second or two.
_NO_WORKER_AFTER_S = 60


class _Verdict(StrEnum):
    """WARN hinders a part and is no reason to fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class _Finding:
    what: str
    verdict: _Verdict
    detail: str


_COLOURS = {_Verdict.OK: "green", _Verdict.WARN: "yellow", _Verdict.FAIL: "red"}


def doctor(
    directory: Annotated[Path, typer.Option(help="Folder of a demo that runs here.")] = Path(
        ".dataspoke"
    ),
) -> None:
    """Tell what is reachable, in which version, and what to do; exit status 1 where it fails.

    Looks at the demo that runs here where no DATASPOKE_ variable is set.
    """
    console = Console()
    settings = Settings()
    kept = directory / "environment"
    if not any(name.startswith("DATASPOKE_") for name in os.environ) and kept.exists():
        settings = Settings(_env_file=kept)
        console.print(f"Looking at the demo in {directory}.", highlight=False)
    with console.status("Asking …"):
        findings = asyncio.run(_examine(settings))
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        table.add_row(
            finding.what,
            f"[{_COLOURS[finding.verdict]}]{finding.verdict}[/]",
            finding.detail.replace("[", r"\["),
        )
    console.print(table)
    if any(finding.verdict is _Verdict.FAIL for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> Sequence[_Finding]:
    from dataspoke.runtime import open_runtime

    findings = [_settings(settings), _node()]
    async with open_runtime(settings) as runtime:
        checks: Sequence[tuple[str, Callable[[Runtime, Settings], Awaitable[_Finding]]]] = [
            ("DataHub", _hub),
            ("account at DataHub", _account),
            ("DataHub's events", _events),
            ("PostgreSQL", _store),
            ("jobs", _jobs),
            ("search index", _index),
            ("Redis", _redis),
            ("sentence model", _model),
        ]
        findings += await asyncio.gather(
            *(_within_time(what, check(runtime, settings)) for what, check in checks)
        )
    return findings


async def _within_time(what: str, check: Awaitable[_Finding]) -> _Finding:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await check
    except TimeoutError:
        return _Finding(what, _Verdict.FAIL, f"No answer within {_TIMEOUT_S:g} s.")
    except DataSpokeError as error:
        return _Finding(what, _Verdict.FAIL, error.public_message)


def _settings(settings: Settings) -> _Finding:
    found = problems(settings)
    if found:
        return _Finding("settings", _Verdict.FAIL, "\n".join(found))
    return _Finding("settings", _Verdict.OK, settings.environment)


def _node() -> _Finding:
    try:
        program = node()
    except ConfigurationError as error:
        return _Finding("Node.js", _Verdict.WARN, error.public_message)
    return _Finding("Node.js", _Verdict.OK, f"{version_of(program)} for the gateway ({program})")


async def _hub(runtime: "Runtime", settings: Settings) -> _Finding:
    info = await runtime.hub.info()
    kind = "DataSpoke's stand-in, for demo and tests only" if info.stand_in else info.server_type
    return _Finding("DataHub", _Verdict.OK, f"{info.version} at {settings.hub.url} ({kind})")


async def _account(runtime: "Runtime", settings: Settings) -> _Finding:
    what = "account at DataHub"
    token = settings.hub.token.get_secret_value()
    if not token:
        return _Finding(
            what, _Verdict.FAIL, "DATASPOKE_HUB__TOKEN is empty: create one in DataHub."
        )
    actor = await runtime.hub.actor(token)
    if actor.can_manage:
        return _Finding(what, _Verdict.WARN, f"{actor.urn} may manage DataHub; less is enough.")
    return _Finding(what, _Verdict.OK, actor.urn)


async def _events(runtime: "Runtime", _: Settings) -> _Finding:
    for topic in Topic:
        await runtime.hub.poll(topic, None, 1, timedelta(0))
    return _Finding("DataHub's events", _Verdict.OK, "the poll API answers")


async def _store(runtime: "Runtime", _: Settings) -> _Finding:
    await runtime.store.ping()
    return _Finding("PostgreSQL", _Verdict.OK, "answers, and is in step with this release")


async def _jobs(runtime: "Runtime", _: Settings) -> _Finding:
    counts = await runtime.jobs.counts()
    age_s = counts.oldest_due_age_s or 0
    if age_s > _NO_WORKER_AFTER_S:
        detail = f"The oldest waits for {age_s:.0f} s: start a worker, `dataspoke worker`."
        return _Finding("jobs", _Verdict.FAIL, detail)
    if dead := counts.by_state[JobState.DEAD]:
        return _Finding(
            "jobs", _Verdict.WARN, f"{dead} gave up; `dataspoke jobs revive` tries them again."
        )
    waiting = counts.by_state[JobState.READY] + counts.by_state[JobState.RUNNING]
    return _Finding("jobs", _Verdict.OK, f"{waiting} open")


async def _index(runtime: "Runtime", settings: Settings) -> _Finding:
    url = settings.vectors.url
    where = "PostgreSQL" if url is None else f"Weaviate at {url}"
    count = await runtime.vectors.count()
    return _Finding("search index", _Verdict.OK, f"{count} datasets in {where}")


async def _redis(runtime: "Runtime", _: Settings) -> _Finding:
    await runtime.queue.ping()
    return _Finding("Redis", _Verdict.OK, "answers")


async def _model(runtime: "Runtime", _: Settings) -> _Finding:
    if runtime.embedder is None:
        detail = "None: search goes by words only. `make setup` fetches it."
        return _Finding("sentence model", _Verdict.WARN, detail)
    vector = await runtime.embedder.embed_question("orders by country")
    return _Finding(
        "sentence model", _Verdict.OK, f"{runtime.embedder.model}, {len(vector)} numbers"
    )
