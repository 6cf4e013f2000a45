"""SQL files judged by the command line, through an API that listens."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from dataspoke import cli
from tests.support.serving import serving
from tests.support.subgraph import EDITOR, Subgraph, alert_of

ROOT = Path(__file__).parents[2]


class Terminal:
    """The command line, in a folder of its own, on the API of a subgraph."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def write(self, name: str, sql: str) -> str:
        (self.folder / name).write_text(sql, encoding="utf-8")
        return name

    def run(self, *arguments: str, text: str | None = None, token: str = EDITOR) -> Result:
        where = ("--url", f"{self.url}/graphql", "--token", token)
        return CliRunner().invoke(cli.app, ["verify", *arguments, *where], input=text)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.chdir(tmp_path)
    subgraph = Subgraph()
    with serving(subgraph.app) as served:
        served.run(subgraph.put("orders", "customers"))
        served.run(subgraph.save_alerts(alert_of("customers")))
        yield Terminal(served.url, tmp_path)


def test_what_is_right_ends_with_0(terminal: Terminal) -> None:
    ended = terminal.run(terminal.write("a.sql", "select id from shop.orders"))
    assert (ended.exit_code, ended.output) == (0, "a.sql: OK (nothing found)\n")


def test_a_warning_ends_with_0(terminal: Terminal) -> None:
    ended = terminal.run(terminal.write("a.sql", "select id from shop.customers"))
    assert ended.exit_code == 0
    assert "a.sql:1:16: WARN FAILING_INPUT shop.customers: row_count was 10" in ended.output
    assert ended.output.endswith("a.sql: WARN (1 WARN)\n")


def test_what_is_wrong_is_pointed_at_and_ends_with_1(terminal: Terminal) -> None:
    good = terminal.write("good.sql", "select id from shop.orders")
    bad = terminal.write("bad.sql", "select id,\n\torder_totals\nfrom shop.orders")
    ended = terminal.run(bad, good, "--dialect", "postgres")
    assert ended.exit_code == 1
    assert ended.output.splitlines() == [
        "bad.sql:2:2: BLOCK UNKNOWN_COLUMN There is no column order_totals in shop.orders.",
        "     2 |  order_totals",
        "       |  ^^^^^^^^^^^^",
        "    It has id, orders_total.",
        "    Fix: Write orders_total.",
        "bad.sql: BLOCK (1 BLOCK)",
        "good.sql: OK (nothing found)",
    ]


def test_standard_input_is_a_file(terminal: Terminal) -> None:
    ended = terminal.run("-", "--schema", "shop", text="select nope from orders")
    assert ended.exit_code == 1
    assert ended.output.startswith("-:1:8: BLOCK UNKNOWN_COLUMN")


def test_json_is_a_line_for_each_file(terminal: Terminal) -> None:
    one = terminal.write("one.sql", "select id from shop.orders")
    two = terminal.write("two.sql", "select x from shop.orders")
    ended = terminal.run(one, two, "--json", "--purpose", "training")
    assert ended.exit_code == 1
    first, second = map(json.loads, ended.output.splitlines())
    assert (first["file"], first["verdict"], first["issues"]) == ("one.sql", "OK", [])
    assert second["issues"][0]["place"] == {"line": 1, "column": 8, "start": 7, "end": 8}


def test_what_only_informs_can_be_left_out(terminal: Terminal) -> None:
    new = terminal.write("new.sql", "create table shop.x as select id from shop.orders")
    assert "NEW_OUTPUT" in terminal.run(new).output
    assert terminal.run(new, "--quiet").output == "new.sql: OK (1 INFO)\n"


def test_long_lines_are_shown_around_what_is_meant(terminal: Terminal) -> None:
    sql = f"select {', '.join(['id'] * 200)}, nope from shop.orders"
    lines = terminal.run(terminal.write("a.sql", sql)).output.splitlines()
    assert len(lines[1]) < 120
    column = lines[2].index("^")
    assert lines[1][column : column + 4] == "nope"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["absent.sql"], "absent.sql cannot be read"),
        (["empty.sql"], "empty.sql is empty"),
        (["bytes.sql"], "bytes.sql is no text in UTF-8"),
        (["good.sql", "--dialect", "klingon"], "dialect 'klingon' is not known"),
        (["good.sql", "--purpose", "fun"], "fun"),
        ([], "files"),
    ],
)
def test_what_cannot_be_judged_ends_with_2(
    terminal: Terminal, arguments: list[str], says: str
) -> None:
    terminal.write("good.sql", "select id from shop.orders")
    terminal.write("empty.sql", "  \n")
    (terminal.folder / "bytes.sql").write_bytes(b"\xff\xfe")
    ended = terminal.run(*arguments)
    assert ended.exit_code == 2
    assert says in " ".join(ended.output.split())


def test_no_answer_and_no_token_end_with_2(terminal: Terminal) -> None:
    good = terminal.write("good.sql", "select id from shop.orders")
    assert terminal.run(good, token="nobody").exit_code == 2
    nowhere = ["verify", good, "--url", "http://127.0.0.1:9/graphql"]
    assert CliRunner().invoke(cli.app, nowhere).exit_code == 2


def test_the_hook_runs_the_command() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    command, *rest = hook["entry"].split()
    assert command == "dataspoke"
    assert CliRunner().invoke(cli.app, [*rest, "--help"]).exit_code == 0
