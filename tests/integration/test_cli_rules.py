"""Rules as files, applied by the command line to an API that listens."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dataspoke import cli
from dataspoke.errors import DataSpokeError
from dataspoke.quality.rules.files import read_rules
from tests.support.serving import Served, serving
from tests.support.subgraph import EDITOR, SERVICE, Subgraph

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "rules.md"
FIRST = "name: first\nselect: {names: ['*']}\nvolume: {rows: {min: 1}}\n"
SECOND = "name: second\nselect: {names: ['*']}\nfreshness: {within: 6h}\n"


class Terminal:
    """The command line, on the API of this subgraph, as one caller or another."""

    def __init__(self, served: Served, subgraph: Subgraph, directory: Path) -> None:
        self.served = served
        self.subgraph = subgraph
        self.files = directory / "rules"
        self.files.mkdir()
        (self.files / "nested").mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.files / name
        path.write_text(text)
        return path

    def run(self, command: str, *arguments: str, token: str = SERVICE, status: int = 0) -> str:
        ended = self.ended(command, *arguments, token=token)
        assert ended.exit_code == status, (ended.output, ended.exception)
        return ended.output

    def fails(self, command: str, *arguments: str, token: str = SERVICE) -> str:
        """Return what it says when it cannot do as asked."""
        ended = self.ended(command, *arguments, token=token)
        assert isinstance(ended.exception, DataSpokeError), ended.output
        return ended.exception.public_message

    def ended(self, command: str, *arguments: str, token: str) -> Result:
        where = ("--url", f"{self.served.url}/graphql", "--token", token)
        return CliRunner().invoke(cli.app, ["rules", command, *arguments, *where])

    def kept(self) -> list[str]:
        rules = self.served.run(self.subgraph.store.rules())
        return [rule.spec.name for rule in rules]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    subgraph = Subgraph()
    with serving(subgraph.app) as served:
        served.run(subgraph.put("orders"))
        yield Terminal(served, subgraph, tmp_path)


def test_files_are_applied_once_and_shown_before(terminal: Terminal) -> None:
    terminal.write("first.yaml", FIRST)
    terminal.write("nested/second.yml", SECOND)
    terminal.write("notes.txt", "no rules")
    folder = str(terminal.files)

    shown = terminal.run("diff", folder, "--exit-code", status=1)
    assert "+++ first as in the files" in shown
    assert "+name: second" in shown
    assert "2 created, 0 updated, 0 deleted, 0 unchanged." in shown
    assert terminal.kept() == []

    shown = terminal.run("apply", folder)
    assert shown == (
        "created first\ncreated second\n2 created, 0 updated, 0 deleted, 0 unchanged.\n"
    )
    assert terminal.kept() == ["first", "second"]
    unchanged = "0 created, 0 updated, 0 deleted, 2 unchanged.\n"
    assert terminal.run("apply", folder, "--prune") == unchanged
    assert terminal.run("diff", folder, "--exit-code") == unchanged


def test_a_change_is_shown_line_by_line(terminal: Terminal) -> None:
    path = terminal.write("first.yaml", FIRST)
    terminal.run("apply", str(path))
    path.write_text(FIRST.replace("min: 1", "min: 2"))
    shown = terminal.run("diff", str(path)).splitlines()
    assert "-    min: 1" in shown
    assert "+    min: 2" in shown
    assert "updated first" in terminal.run("apply", str(path))


def test_what_files_hold_no_more_is_deleted_where_asked(terminal: Terminal) -> None:
    first, second = terminal.write("first.yaml", FIRST), terminal.write("second.yaml", SECOND)
    terminal.run("apply", str(first), "--set", "one")
    terminal.run("apply", str(second), "--set", "other")
    first.write_text(FIRST.replace("first", "third"))
    terminal.run("apply", str(first), "--set", "one")
    assert terminal.kept() == ["first", "second", "third"]
    shown = terminal.run("diff", str(first), "--set", "one", "--prune")
    assert "+++ nothing" in shown
    assert "deleted first" in terminal.run("apply", str(first), "--set", "one", "--prune")
    assert terminal.kept() == ["second", "third"]
    taken = terminal.run("diff", str(second), "--set", "one")
    assert "second is managed by this set from now on" in taken


def test_nothing_is_written_where_anything_is_wrong(terminal: Terminal) -> None:
    terminal.write("first.yaml", FIRST)
    terminal.write("second.yaml", SECOND.replace("6h", "6 h"))
    terminal.write("third.yaml", "- a: [")
    terminal.write("fourth.yaml", FIRST)
    (terminal.files / "fifth.yaml").write_bytes(b"name: \xff")
    said = terminal.fails("apply", str(terminal.files))
    assert "second.yaml:3:13: freshness.within: '6 h' is not a duration; write it as" in said
    assert "third.yaml:1:7: this is no YAML" in said
    assert "fourth.yaml: rule first stands in" in said
    assert "fifth.yaml: this is no text in UTF-8." in said
    assert terminal.kept() == []


def test_what_the_api_refuses_changes_nothing(terminal: Terminal) -> None:
    terminal.write("first.yaml", FIRST)
    connection = "column: {name: c, min: {min: 1}, connection: nowhere}"
    terminal.write("second.yaml", f"name: second\nselect: {{names: ['*']}}\n{connection}\n")
    said = terminal.fails("apply", str(terminal.files))
    assert "Nothing is changed. Rule second: There is no connection 'nowhere'" in said
    said = terminal.fails("apply", str(terminal.files / "first.yaml"), token=EDITOR)
    assert "needs the right to manage" in said
    assert terminal.kept() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.yaml"], "There is no file or folder missing.yaml."),
        (["{}"], "holds no file that ends in .yaml or .yml."),
        (["{}/empty.yaml"], "there is no rule."),
    ],
)
def test_files_that_are_not_there_are_named(
    terminal: Terminal, arguments: list[str], said: str
) -> None:
    if "empty" in arguments[0]:
        terminal.write("empty.yaml", "# later\n")
    named = [argument.format(terminal.files) for argument in arguments]
    assert said in terminal.fails("apply", *named, "--prune")


def test_several_paths_need_a_name(terminal: Terminal) -> None:
    first, second = terminal.write("first.yaml", FIRST), terminal.write("second.yaml", SECOND)
    assert "name the set by --set" in terminal.fails("apply", str(first), str(second))
    terminal.run("apply", str(first), str(second), "--set", "both")
    assert terminal.kept() == ["first", "second"]


def test_the_documented_rules_are_exported_as_they_were_applied(
    terminal: Terminal, tmp_path: Path
) -> None:
    documented = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    # The connection of the documentation is not registered here.
    text = "---\n".join(documented).replace("  connection: shop\n", "")
    specs, errors = read_rules(text, "rules.md")
    assert errors == ()
    assert {spec.kind for spec in specs} == {"volume", "freshness", "schema", "column", "sql"}
    path = terminal.write("documented.yaml", text)
    terminal.run("apply", str(path))

    exported, _ = read_rules(terminal.run("export"), "exported")
    assert sorted(exported, key=str) == sorted(specs, key=str)
    terminal.run("export", "--out", str(tmp_path / "one.yaml"))
    assert read_rules((tmp_path / "one.yaml").read_text(), "one")[0] == exported
    folder = tmp_path / "each"
    folder.mkdir()
    terminal.run("export", "--out", str(folder))
    assert {file.stem for file in folder.iterdir()} == {spec.name for spec in specs}
    again = terminal.run("diff", str(folder), "--set", path.name, "--exit-code", "--prune")
    assert again == f"0 created, 0 updated, 0 deleted, {len(specs)} unchanged.\n"


def test_many_rules_are_exported_page_by_page(terminal: Terminal) -> None:
    text = "---\n".join(FIRST.replace("first", f"rule-{number:03}") for number in range(230))
    path = terminal.write("many.yaml", text)
    assert "230 created" in terminal.run("apply", str(path))
    exported, _ = read_rules(terminal.run("export"), "exported")
    assert len(exported) == 230
