"""The command line: what it prints, and how it says what is wrong."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataspoke import cli
from dataspoke.cli.client import address_and_token
from dataspoke.schema.build import print_sdl
from dataspoke.settings import settings_page

COMMANDS = {
    "backtest",
    "config",
    "db",
    "demo",
    "detect",
    "doctor",
    "hub",
    "jobs",
    "mcp",
    "notifications",
    "runs",
    "rules",
    "scan",
    "schema",
    "search",
    "serve",
    "verify",
    "worker",
}


def _run(*arguments: str) -> str:
    ended = CliRunner().invoke(cli.app, arguments)
    assert ended.exit_code == 0, ended.output
    return ended.output


def _fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> str:
    """Run the program itself; returns what it says on stderr when it ends with status 1."""
    monkeypatch.setattr("sys.argv", ["dataspoke", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    return " ".join(capsys.readouterr().err.split())


def test_help_names_every_command() -> None:
    shown = _run("--help")
    assert {name for name in COMMANDS if name in shown} == COMMANDS


def test_the_schema_is_printed_as_checked_in(tmp_path: Path) -> None:
    assert _run("schema", "print") == print_sdl()
    _run("schema", "print", "--out", str(tmp_path / "sdl"))
    assert (tmp_path / "sdl").read_text() == print_sdl()


def test_the_page_of_settings_is_printed() -> None:
    assert _run("config", "page") == settings_page()


def test_settings_in_force_are_shown_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASPOKE_HUB__TOKEN", "s3cret")
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["config", "check"]).output
    assert "s3cret" not in shown
    line = next(line for line in shown.splitlines() if "DATASPOKE_HUB__TOKEN" in line)
    assert line.split() == ["DATASPOKE_HUB__TOKEN", "***", "set"]


@pytest.mark.parametrize("command", [["config", "check"], ["serve"], ["worker"]])
def test_production_does_not_start_with_defaults_of_development(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("DATASPOKE_ENVIRONMENT", "production")
    said = _fails(capsys, monkeypatch, *command)
    assert "not fit for production" in said
    assert "DATASPOKE_HUB__TOKEN is empty" in said


def test_a_setting_that_cannot_be_is_named_by_its_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASPOKE_WORKER__CONCURRENCY", "many")
    said = _fails(capsys, monkeypatch, "config", "check")
    assert said.startswith("Error: DATASPOKE_WORKER__CONCURRENCY: Input should be a valid integer")


def test_a_users_file_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    users = tmp_path / "users.json"
    users.write_text("{}")
    said = _fails(capsys, monkeypatch, "hub", "--users", str(users))
    assert "is no list of users" in said


def test_the_demo_that_runs_here_is_asked_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = "http://127.0.0.1:4000/graphql"
    assert address_and_token(None, None, tmp_path, "editor") == (usual, "")
    (tmp_path / "demo.json").write_text(
        json.dumps({"gateway": "http://127.0.0.1:7", "tokens": {"editor": "e", "admin": "a"}})
    )
    demo = "http://127.0.0.1:7/graphql"
    assert address_and_token(None, None, tmp_path, "admin") == (demo, "a")
    assert address_and_token(None, "mine", tmp_path, "admin") == (demo, "mine")
    # The demo's token is for the demo alone.
    assert address_and_token("http://x/graphql", None, tmp_path, "admin") == (
        "http://x/graphql",
        "",
    )
    monkeypatch.setenv("DATASPOKE_URL", "http://y/graphql")
    monkeypatch.setenv("DATASPOKE_TOKEN", "t")
    assert address_and_token(None, None, tmp_path, "editor") == ("http://y/graphql", "t")


def test_agents_by_http_bring_their_own_tokens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _fails(capsys, monkeypatch, "mcp", "--transport", "http", "--token", "mine")
    assert "each request brings its own token" in said
    assert "DATASPOKE_MCP__GATEWAY_URL" in said
