"""``dataspoke rules``: rules as files, applied through the API in the caller's name."""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from dataspoke.cli.client import Demo, Token, Url, address_and_token, ask
from dataspoke.errors import DependencyRejected, InvalidInput
from dataspoke.quality.rules.files import as_document, json_schema, read_rules
from dataspoke.quality.rules.model import Kind, RuleSpec

app = typer.Typer(help="Keep rules as files.", no_args_is_help=True)

_APPLY = """
mutation Apply(
  $rules: [QualityRuleInput!]!, $source: String!, $prune: Boolean!, $dryRun: Boolean!
) {
  applyQualityRules(rules: $rules, source: $source, prune: $prune, dryRun: $dryRun) {
    __typename
    ... on QualityRulesApplied { changes { name action before after } }
    ... on ForbiddenFailure { message }
    ... on NotFoundFailure { message }
    ... on ConflictFailure { message }
    ... on InvalidInputFailure { message }
  }
}
"""
_RULES = """
query Rules($after: String) {
  qualityRules(first: 100, after: $after) {
    edges { node { name yaml } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
_DONE = {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted", "NONE": "unchanged"}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}

Paths = Annotated[
    list[Path], typer.Argument(help="Files of rules, or folders that are read as a whole.")
]
Source = Annotated[
    str | None,
    typer.Option("--set", help="Names these files as a set; the name of the file or folder else."),
]
Prune = Annotated[bool, typer.Option(help="Delete rules of this set that the files hold no more.")]


@app.command()
def apply(
    paths: Paths,
    source: Source = None,
    prune: Prune = False,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Make the rules be as in the files: all of them, or none where anything is wrong."""
    changes = _applied(
        paths, source, prune, False, address_and_token(url, token, directory, "admin")
    )
    for change in changes:
        if change["action"] != "NONE":
            typer.echo(f"{_DONE[change['action']]} {change['name']}")
    typer.echo(_summary(changes))


@app.command()
def diff(
    paths: Paths,
    source: Source = None,
    prune: Prune = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with status 1 where something would change.")
    ] = False,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Show what applying the files would change."""
    changes = _applied(
        paths, source, prune, True, address_and_token(url, token, directory, "admin")
    )
    console = Console(highlight=False, soft_wrap=True)
    for change in changes:
        for line in _difference(change):
            console.print(Text(line, style=_COLOURS.get(line[:1], "")))
    typer.echo(_summary(changes))
    if exit_code and any(change["action"] != "NONE" for change in changes):
        raise typer.Exit(1)


@app.command()
def export(
    out: Annotated[
        Path | None,
        typer.Option(help="Write to this file, or to one file each in this folder."),
    ] = None,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Print the rules that you may see, as files hold them."""
    rules = dict(_exported(*address_and_token(url, token, directory, "admin")))
    if out is None:
        typer.echo("---\n".join(rules.values()), nl=False)
    elif out.is_dir():
        for name, text in rules.items():
            (out / f"{name}.yaml").write_text(text)
    else:
        out.write_text("---\n".join(rules.values()))


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="Write to this file instead.")] = None,
) -> None:
    """Print the JSON schema of the files, for editors."""
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)


def _applied(
    paths: Sequence[Path], source: str | None, prune: bool, dry_run: bool, where: tuple[str, str]
) -> list[dict[str, Any]]:
    specs = _read(paths)
    variables = {
        "rules": [_as_input(spec) for spec in specs],
        "source": source or _source(paths),
        "prune": prune,
        "dryRun": dry_run,
    }
    answer = ask(*where, _APPLY, variables)["applyQualityRules"]
    if answer["__typename"] != "QualityRulesApplied":
        raise DependencyRejected("gateway", f"Nothing is changed. {answer['message']}")
    changes: list[dict[str, Any]] = answer["changes"]
    return changes


def _read(paths: Sequence[Path]) -> list[RuleSpec]:
    """Return the rules of all files; raises InvalidInput with everything that is wrong in any."""
    specs: list[RuleSpec] = []
    errors: list[str] = []
    files: dict[str, Path] = {}
    for path in _files(paths):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            errors.append(f"{path}: this is no text in UTF-8.")
            continue
        found, wrong = read_rules(text, str(path))
        errors += wrong
        for spec in found:
            if spec.name in files:
                errors.append(f"{path}: rule {spec.name} stands in {files[spec.name]} already.")
            files[spec.name] = path
        specs += found
    if not specs and not errors:
        errors.append(f"{', '.join(map(str, paths))}: there is no rule.")
    if errors:
        raise InvalidInput("\n".join(["The files cannot be applied; nothing is changed.", *errors]))
    return specs


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in dict.fromkeys(paths):
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml"))
            if not found:
                raise InvalidInput(f"{path} holds no file that ends in .yaml or .yml.")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise InvalidInput(f"There is no file or folder {path}.")


def _source(paths: Sequence[Path]) -> str:
    if len(paths) > 1:
        raise InvalidInput("Several paths have no name in common: name the set by --set.")
    return paths[0].resolve().name


def _as_input(spec: RuleSpec) -> Mapping[str, Any]:
    """Return the rule as the API takes it: kinds below ``definition``, keys in camel case."""
    document = as_document(spec)
    definition = {kind.value: document.pop(kind) for kind in Kind if kind in document}
    wanted: Mapping[str, Any] = _camel({**document, "definition": definition})
    return wanted


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            re.sub(r"_(\w)", lambda match: match[1].upper(), key): _camel(item)
            for key, item in value.items()
        }
    return [_camel(item) for item in value] if isinstance(value, list) else value


def _difference(change: Mapping[str, Any]) -> list[str]:
    if change["action"] == "NONE":
        return []
    before, after = change["before"] or "", change["after"] or ""
    name = change["name"]
    if before == after:
        return [f"  {name} is managed by this set from now on"]
    return list(
        difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"{name} as it is" if before else "nothing",
            f"{name} as in the files" if after else "nothing",
            lineterm="",
        )
    )


def _summary(changes: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(change["action"] for change in changes)
    return ", ".join(f"{counts[action]} {word}" for action, word in _DONE.items()) + "."


def _exported(url: str, token: str) -> Iterator[tuple[str, str]]:
    after = None
    while True:
        page = ask(url, token, _RULES, {"after": after})["qualityRules"]
        for edge in page["edges"]:
            yield edge["node"]["name"], edge["node"]["yaml"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]
