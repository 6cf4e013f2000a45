"""``dataspoke db``: the tables of DataSpoke's own history."""

import asyncio
from typing import Annotated

import typer

from dataspoke import runtime
from dataspoke.settings import Settings

app = typer.Typer(help="Bring the database in step with this release.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Migrate DATASPOKE_STORE__URL to this release; safe to run from several machines at once."""
    asyncio.run(runtime.upgrade_database(_url()))
    typer.echo("The database is in step with this release.")


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="Revision to go back to; base drops all.")],
) -> None:
    """Migrate back to an earlier revision."""
    asyncio.run(runtime.downgrade_database(_url(), revision))
    typer.echo(f"The database is at {revision}.")


@app.command()
def check() -> None:
    """Tell whether the database is in step with this release; exit status 1 if not."""
    asyncio.run(runtime.check_database(_url()))
    typer.echo("The database is in step with this release.")


def _url() -> str:
    return Settings().store.url.get_secret_value()
