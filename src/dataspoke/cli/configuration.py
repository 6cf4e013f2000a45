"""``dataspoke config`` and ``dataspoke schema``: what is in force, and what is served."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dataspoke.errors import ConfigurationError
from dataspoke.settings import Settings, described, problems, settings_page

config = typer.Typer(help="Look at the settings.", no_args_is_help=True)
schema = typer.Typer(help="Look at the GraphQL schema.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")]


@config.command()
def check() -> None:
    """Print every setting in force, secrets masked; exit status 1 where production refuses them."""
    settings = Settings()
    table = Table("variable", "value", "", box=None, pad_edge=False)
    for setting in described(settings):
        changed = "" if setting.value == setting.default else "set"
        table.add_row(setting.variable, setting.value, changed)
    Console().print(table)
    require_fit(settings)


@config.command()
def page(out: Out = None) -> None:
    """Print the page of all settings (docs/settings.md)."""
    _emit(settings_page(), out)


@schema.command("print")
def print_schema(out: Out = None) -> None:
    """Print the subgraph's schema as the gateway composes it (schema/subgraph.graphql)."""
    from dataspoke.schema.build import print_sdl

    _emit(print_sdl(), out)


def require_fit(settings: Settings) -> None:
    """Raise ConfigurationError, with every reason, where production refuses these settings."""
    found = problems(settings)
    if found:
        raise ConfigurationError("\n".join(["These settings are not fit for production:", *found]))


def _emit(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
