"""``dataspoke jobs``: what background jobs gave up."""

import asyncio
from typing import Annotated

import typer

from dataspoke.ports.store import JobKind
from dataspoke.settings import Settings

app = typer.Typer(help="Look after background jobs.", no_args_is_help=True)


@app.command()
def revive(
    kind: Annotated[JobKind | None, typer.Argument(help="Only this kind of job.")] = None,
) -> None:
    """Try again what gave up after its last retry."""
    count = asyncio.run(_revive(kind))
    typer.echo("Nothing has given up." if count == 0 else f"Jobs that are tried again: {count}.")


async def _revive(kind: JobKind | None) -> int:
    from dataspoke.runtime import open_runtime

    async with open_runtime(Settings()) as runtime:
        return await runtime.jobs.revive(kind)
