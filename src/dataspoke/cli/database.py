"""``dataspoke db``: the tables of DataSpoke's own history."""

# The composition root is imported by the commands that need it: it takes seconds, and --help none.
import asyncio
from typing import Annotated

import typer

from dataspoke.settings import Settings

app = typer.Typer(help="Bring the database in step with this release.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Migrate DATASPOKE_STORE__URL to this release; safe to run from several machines at once."""
    from dataspoke.runtime import upgrade_database

    asyncio.run(upgrade_database(_url()))
    typer.echo("The database is in step with this release.")


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="Revision to go back to; base drops all.")],
) -> None:
    """Migrate back to an earlier revision."""
    from dataspoke.runtime import downgrade_database

    asyncio.run(downgrade_database(_url(), revision))
    typer.echo(f"The database is at {revision}.")


@app.command()
def check() -> None:
    """Tell whether the database is in step with this release; exit status 1 if not."""
    from dataspoke.runtime import check_database

    asyncio.run(check_database(_url()))
    typer.echo("The database is in step with this release.")


def _url() -> str:
    return Settings().store.url.get_secret_value()
