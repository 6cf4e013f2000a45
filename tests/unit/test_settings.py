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
    monkeypatch.setenv("DATASPOKE_WAREHOUSES__SHOP__URL", "postgresql://db/x?password=s3cret")
    monkeypatch.setenv("DATASPOKE_WAREHOUSES__FILES__URL", "file:/run/s3cret")
    shown = {setting.variable: setting.value for setting in described(Settings())}
    assert not any("s3cret" in value for value in shown.values())
    assert shown["DATASPOKE_STORE__URL"] == "postgresql+asyncpg://me:***@db/x"
    assert shown["DATASPOKE_WAREHOUSES__SHOP__URL"] == "postgresql://db/x?***"
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
        ("DATASPOKE_NOTIFICATIONS__CHANNELS__OPS__KIND", "pigeon"),
        ("DATASPOKE_NOTIFICATIONS__CHANNELS__OPS__KIND", "slack"),
        ("DATASPOKE_NOTIFICATIONS__ALLOWED_NETWORKS", '["everywhere"]'),
    ],
)
def test_an_unusable_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        Settings()


SECRET = "whsec_" + "MTIz" * 8


def test_channels_are_read_by_name_and_their_secrets_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "OPS__KIND": "slack",
        "OPS__URL": "https://hooks.slack.test/services/T0/s3cret",
        "OPS__TAGS": '["urn:li:tag:gold"]',
        "HOOK__KIND": "webhook",
        "HOOK__URL": "https://hook.test/s3cret",
        "HOOK__SECRET": SECRET,
        "HOOK__BROADCAST": "false",
        "PAGER__KIND": "pagerduty",
        "PAGER__ROUTING_KEY": "s3cret-key",
        "MAIL__KIND": "smtp",
        "MAIL__HOST": "mail.test",
        "MAIL__SENDER": "dataspoke@example.com",
        "MAIL__PASSWORD": "s3cret-word",
    }.items():
        monkeypatch.setenv(f"DATASPOKE_NOTIFICATIONS__CHANNELS__{name}", value)
    monkeypatch.setenv("DATASPOKE_NOTIFICATIONS__CHANNELS__ODD__KIND", "slack")
    monkeypatch.setenv("DATASPOKE_NOTIFICATIONS__CHANNELS__ODD__URL", "https://bücher.test/x")
    settings = Settings()
    channels = settings.notifications.channels
    assert {name: channel.kind for name, channel in channels.items()} == {
        "ops": "slack",
        "hook": "webhook",
        "pager": "pagerduty",
        "mail": "smtp",
        "odd": "slack",
    }
    odd = channels["odd"]
    assert odd.kind == "slack"
    assert odd.url.get_secret_value() == "https://xn--bcher-kva.test/x"
    assert channels["ops"].tags == ["urn:li:tag:gold"]
    assert channels["hook"].broadcast is False
    shown = {setting.variable: setting.value for setting in described(settings)}
    assert shown["DATASPOKE_NOTIFICATIONS__CHANNELS__OPS__URL"] == "***"
    assert shown["DATASPOKE_NOTIFICATIONS__CHANNELS__MAIL__PASSWORD"] == "***"
    assert shown["DATASPOKE_NOTIFICATIONS__CHANNELS__MAIL__PORT"] == "587"
    everything = repr(settings) + "".join(shown.values())
    assert "s3cret" not in everything
    assert SECRET not in everything
    monkeypatch.setenv("DATASPOKE_ENVIRONMENT", "production")
    assert any("NOTIFICATIONS__DATAHUB_URL" in line for line in problems(Settings()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"KIND": "slack", "URL": "hooks.slack.test/s3cret"},
        {"KIND": "webhook", "URL": "https://hook.test/", "SECRET": "whsec_c2hvcnQ="},
        {"KIND": "webhook", "URL": "https://hook.test/", "SECRET": "s3cret, not Base64 at all"},
        {"KIND": "smtp", "HOST": "mail.test", "SENDER": "a@b.c\nBcc: s3cret@d.e"},
    ],
)
def test_an_unusable_channel_is_refused_without_repeating_its_secret(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(f"DATASPOKE_NOTIFICATIONS__CHANNELS__OPS__{name}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert not any("s3cret" in str(error["msg"]) for error in caught.value.errors())
