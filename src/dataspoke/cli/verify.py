"""``dataspoke verify``: SQL files judged through the API, as a check before a commit."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from dataspoke.cli.client import Demo, Token, Url, address_and_token, ask
from dataspoke.errors import DataSpokeError, InvalidInput
from dataspoke.knowledge.verifier.model import Purpose

_VERIFY = """
query Verify($input: VerifyContextInput!) {
  verifyContext(input: $input) {
    verdict
    dialect
    issues {
      code severity message evidence column
      place { line column start end }
      fix { message replacement place { line column start end } }
      dataset { urn }
    }
    alternatives { dataset { urn } insteadOf why missing }
    inputs { urn }
    outputs { urn }
  }
}
"""
_STDIN = "-"
_COLOURS = {"BLOCK": "bold red", "WARN": "yellow", "INFO": "cyan", "OK": "green"}
_BLOCKED, _UNUSABLE = 1, 2
# Longer lines are shown in part, around what is meant.
_WIDTH = 100


def verify(
    files: Annotated[list[str], typer.Argument(help="Files of SQL; - is standard input.")],
    dialect: Annotated[
        str | None, typer.Option(help="Dialect, as sqlglot names it; the platform's else.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(help="Platform of the tables, by name or urn; any else.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="Database of names that have none.")] = None,
    schema: Annotated[str | None, typer.Option(help="Schema of names that have none.")] = None,
    purpose: Annotated[Purpose, typer.Option(help="What the data is for.")] = Purpose.PIPELINE,
    quiet: Annotated[bool, typer.Option("--quiet", help="Leave out what only informs.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for scripts, a line for each file.")
    ] = False,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Judge SQL before it is used; exits with 1 where it is blocked, with 2 where it cannot be."""
    try:
        texts = [(name, _text_of(name)) for name in dict.fromkeys(files)]
        address, bearer = address_and_token(url, token, directory, "editor")
        blocked = False
        for name, text in texts:
            wanted = {
                "sql": text,
                "dialect": dialect,
                "platform": platform,
                "defaultDatabase": database,
                "defaultSchema": schema,
                "purpose": purpose.name,
            }
            verdict = ask(address, bearer, _VERIFY, {"input": wanted})["verifyContext"]
            blocked = blocked or verdict["verdict"] == "BLOCK"
            if as_json:
                typer.echo(json.dumps({"file": name, **verdict}, ensure_ascii=False))
            else:
                _print(name, text, verdict, quiet)
    except DataSpokeError as error:
        # What could not be judged must not look as if it had been.
        Console(stderr=True).print(
            f"Error: {error.public_message}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(_UNUSABLE) from None
    if blocked:
        raise typer.Exit(_BLOCKED)


def _text_of(name: str) -> str:
    try:
        text = sys.stdin.read() if name == _STDIN else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is no text in UTF-8.") from None
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error.strerror}.") from None
    if not text.strip():
        raise InvalidInput(f"{name} is empty; there is no SQL to judge.")
    return text


def _print(name: str, text: str, verdict: Mapping[str, Any], quiet: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    shown = [i for i in verdict["issues"] if not (quiet and i["severity"] == "INFO")]
    for issue in shown:
        for line in _issue_lines(name, text, issue):
            console.print(line)
    for other in verdict["alternatives"]:
        urn = (other["dataset"] or {}).get("urn", "a dataset")
        lacks = f"; it lacks {', '.join(other['missing'])}" if other["missing"] else ""
        console.print(Text(f"  instead of {other['insteadOf']}: {urn} ({other['why']}{lacks})"))
    counts = Counter(issue["severity"] for issue in verdict["issues"])
    found = ", ".join(f"{counts[key]} {key}" for key in ("BLOCK", "WARN", "INFO") if counts[key])
    console.print(
        Text.assemble(
            f"{name}: ",
            (verdict["verdict"], _COLOURS[verdict["verdict"]]),
            f" ({found or 'nothing found'})",
        )
    )


def _issue_lines(name: str, text: str, issue: Mapping[str, Any]) -> Iterator[Text]:
    place = issue["place"]
    where = f"{name}:{place['line']}:{place['column']}" if place else name
    severity = issue["severity"]
    yield Text.assemble(
        f"{where}: ", (severity, _COLOURS[severity]), f" {issue['code']} {issue['message']}"
    )
    if place:
        yield from _pointed(text, place, _COLOURS[severity])
    if issue["evidence"]:
        yield Text(f"    {issue['evidence']}", style="dim")
    if issue["fix"]:
        yield Text(f"    Fix: {issue['fix']['message']}")


def _pointed(text: str, place: Mapping[str, int], colour: str) -> Iterator[Text]:
    """Yield the line of a place, and carets under what is meant of it."""
    begin = place["start"] - (place["column"] - 1)
    end = text.find("\n", begin)
    line = text[begin : len(text) if end < 0 else end].rstrip("\r")
    start = place["column"] - 1
    length = max(1, min(place["end"] - place["start"], len(line) - start))
    cut = max(0, min(start - _WIDTH // 3, len(line) - _WIDTH))
    # With tabs of one blank the carets stand where they should on every terminal.
    shown = line[cut : cut + _WIDTH].replace("\t", " ")
    blank = " " * (start - cut)
    number = f"{place['line']:>6} | "
    yield Text(f"{number}{shown}")
    yield Text(f"{' ' * (len(number) - 2)}| {blank}" + "^" * min(length, _WIDTH), style=colour)
