"""The command line ``dataspoke``."""

import errno
import os
import sys

import typer
from pydantic import ValidationError
from rich.console import Console

from dataspoke.cli import (
    api,
    backtest,
    configuration,
    database,
    demo,
    detect,
    doctor,
    index,
    jobs,
    mcp,
    notifications,
    processes,
    rules,
    runs,
    verify,
)
from dataspoke.errors import DataSpokeError
from dataspoke.settings import variable_of

app = typer.Typer(
    name="dataspoke",
    help="The sidecar that judges: data quality, metadata health and search for DataHub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo.demo)
app.command()(processes.serve)
app.command()(processes.worker)
app.command()(processes.hub)
app.command()(mcp.mcp)
app.command()(api.search)
app.command()(api.scan)
app.command(name="verify")(verify.verify)
app.command()(detect.detect)
app.command()(backtest.backtest)
app.command()(doctor.doctor)
app.add_typer(database.app, name="db")
app.add_typer(index.app, name="index")
app.add_typer(jobs.app, name="jobs")
app.add_typer(notifications.app, name="notifications")
app.add_typer(runs.app, name="runs")
app.add_typer(rules.app, name="rules")
app.add_typer(configuration.schema, name="schema")
app.add_typer(configuration.config, name="config")

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; an expected failure is one message on stderr and exit status 1."""
    try:
        app()
    except DataSpokeError as error:
        _fail(error.public_message)
    except ValidationError as error:
        _fail("\n".join(f"{variable_of(e['loc'])}: {e['msg']}." for e in error.errors()))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{os.strerror(error.errno)}{where}. Make room, or choose another folder.")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _fail(message: str) -> None:
    Console(stderr=True).print(
        f"Error: {message}", style="red", markup=False, highlight=False, soft_wrap=True
    )
    sys.exit(1)
