"""Settings: their page, their masks, and what production refuses."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dataspoke.settings import Settings, described, problems, settings_page

ROOT = Path(__file__).parents[2]


def test_the_page_says_what_the_code_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), "run `make docs`"


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASPOKE_HUB__TOKEN", "s3cret-token")
    monkeypatch.setenv("DATASPOKE_STORE__URL", "postgresql+asyncpg://me:s3cret-word@db/x")
    monkeypatch.setenv("DATASPOKE_REDIS__URL", "redis://:s3cret-word@cache:6379/0")
    shown = {setting.variable: setting.value for setting in described(Settings())}
    assert not any("s3cret" in value for value in shown.values())
    assert shown["DATASPOKE_STORE__URL"] == "postgresql+asyncpg://me:***@db/x"
    assert shown["DATASPOKE_REDIS__URL"] == "redis://:***@cache:6379/0"
    assert "s3cret" not in repr(Settings())


def test_production_refuses_the_defaults_of_development(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(Settings()) == []
    monkeypatch.setenv("DATASPOKE_ENVIRONMENT", "production")
    named = [line.split()[0] for line in problems(Settings())]
    assert named == [
        "DATASPOKE_HUB__TOKEN",
        "DATASPOKE_STORE__URL",
        "DATASPOKE_REDIS__URL",
        "DATASPOKE_SUBGRAPH__GATEWAY_SECRET",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATASPOKE_HUB__TIMEOUT_S", "0"),
        ("DATASPOKE_HUB__URL", "not an address"),
        ("DATASPOKE_HUB__UNKNOWN", "1"),
        ("DATASPOKE_WORKER__CONCURRENCY", "many"),
    ],
)
def test_an_unusable_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        Settings()
