"""``dataspoke index``: what is kept of the catalogue, held against the catalogue."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dataspoke.settings import Settings

app = typer.Typer(
    help="Look after the snapshots of datasets and the search index.", no_args_is_help=True
)

_POLL_S = 0.5
# A worker takes a job within a second or two; what stands still longer has no worker.
_NO_WORKER_AFTER_S = 30


@app.command()
def reconcile(
    wait: Annotated[
        bool, typer.Option(help="Follow the workers until all is in step again.")
    ] = True,
) -> None:
    """Compare everything that is kept with DataHub, report what differs, and have it mended.

    It can be stopped at any time: what was found is mended by the workers.
    """
    asyncio.run(_reconcile(Console(), wait=wait))


async def _reconcile(console: Console, *, wait: bool) -> None:
    from dataspoke.runtime import open_runtime

    async with open_runtime(Settings()) as runtime:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        quiet = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            comparing = progress.add_task("Comparing", total=None)
            async for drift, total in runtime.index.survey():
                progress.update(comparing, completed=drift.compared, total=total)
        console.print(
            f"Datasets in DataHub: {drift.compared}. Out of step: {drift.snapshots} snapshots in "
            f"PostgreSQL, {drift.documents} documents in the search index. "
            f"Left DataHub: {drift.gone}.",
            highlight=False,
            soft_wrap=True,
        )
        waiting = await runtime.store.waiting_index_requests()
        if not waiting or not wait:
            return
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            mending, total, since = progress.add_task("Mending", total=waiting), waiting, 0.0
            while waiting and since < _NO_WORKER_AFTER_S:
                await asyncio.sleep(_POLL_S)
                left = await runtime.store.waiting_index_requests()
                since = since + _POLL_S if left >= waiting else 0.0
                waiting, total = left, max(total, left)
                progress.update(mending, completed=total - left, total=total)
        if waiting:
            console.print(f"{waiting} still wait: no worker runs. Start one: dataspoke worker")
        else:
            console.print("All is in step.")
