"""``dataspoke notifications test`` against a subgraph that listens, and a Slack that answers."""

import ipaddress
from collections.abc import Iterator
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from dataspoke import cli
from dataspoke.adapters.notifiers.outgoing import OutgoingHttp
from dataspoke.adapters.notifiers.slack import SlackNotifier
from dataspoke.errors import DependencyRejected
from dataspoke.ports.notifier import Channels
from dataspoke.quality.notifications.model import Channel, ChannelKind
from dataspoke.settings import SlackSettings
from tests.support.receivers import HttpReceivers, http_receivers
from tests.support.serving import serving
from tests.support.subgraph import SERVICE, VIEWER, Subgraph


@pytest.fixture
def slack() -> Iterator[HttpReceivers]:
    with http_receivers() as made:
        yield made


@pytest.fixture
def url(slack: HttpReceivers) -> Iterator[str]:
    http = OutgoingHttp([ipaddress.ip_network("127.0.0.0/8")], timedelta(seconds=5))
    settings = SlackSettings(kind="slack", url=f"{slack.url}/services/T0/B0/secret")
    channels = Channels(
        {"ops": Channel("ops", ChannelKind.SLACK)}, {"ops": SlackNotifier(http, settings)}
    )
    subgraph = Subgraph(channels=channels)
    subgraph.admit()
    with serving(subgraph.app) as served:
        yield f"{served.url}/graphql"


def run(url: str, channel: str, token: str) -> Result:
    arguments = ["notifications", "test", channel, "--url", url, "--token", token]
    return CliRunner().invoke(cli.app, arguments)


def test_a_channel_is_tested_from_the_terminal(url: str, slack: HttpReceivers) -> None:
    ended = run(url, "ops", SERVICE)
    assert (ended.exit_code, ended.output) == (0, "ops has taken the test message.\n")
    (body,) = slack.slack
    assert body["text"] == "Test of DataSpoke's notifications"


@pytest.mark.parametrize(
    ("channel", "token", "words"),
    [
        ("gone", SERVICE, "There is no channel 'gone'; there are: ops."),
        ("ops", VIEWER, "needs a subscription that uses it"),
    ],
)
def test_what_cannot_be_tested_is_said(
    url: str, slack: HttpReceivers, channel: str, token: str, words: str
) -> None:
    error = run(url, channel, token).exception
    assert isinstance(error, DependencyRejected)
    assert words in error.public_message
    assert slack.slack == []


def test_what_the_receiver_answers_is_said(url: str, slack: HttpReceivers) -> None:
    slack.faults.append((404, {}))
    error = run(url, "ops", SERVICE).exception
    assert isinstance(error, DependencyRejected)
    assert error.public_message == "Slack answered HTTP 404: as told"
