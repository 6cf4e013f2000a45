"""``dataspoke notifications``: whether people can be reached."""

from pathlib import Path
from typing import Annotated

import typer

from dataspoke.cli.client import Demo, Token, Url, address_and_token, ask
from dataspoke.errors import DependencyRejected

app = typer.Typer(help="Look after notifications.", no_args_is_help=True)

_TEST = """
mutation Test($channel: String!, $address: String) {
  sendTestNotification(channel: $channel, address: $address) {
    __typename
    ... on NotificationFailure { message }
    ... on ForbiddenFailure { message }
    ... on InvalidInputFailure { message }
  }
}
"""


@app.callback()
def _commands() -> None:
    """Look after notifications."""


@app.command("test")
def send_test(
    channel: Annotated[str, typer.Argument(help="Name of the channel in the settings.")],
    address: Annotated[str | None, typer.Option(help="Where mail goes.")] = None,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Send a test message through a channel, and say whether it was taken."""
    address_of_api, bearer = address_and_token(url, token, directory, "admin")
    variables = {"channel": channel, "address": address}
    answer = ask(address_of_api, bearer, _TEST, variables)["sendTestNotification"]
    if answer["__typename"] != "TestNotificationSent":
        raise DependencyRejected("gateway", answer["message"])
    typer.echo(f"{channel} has taken the test message.")
