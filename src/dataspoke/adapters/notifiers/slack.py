"""Slack, by an incoming webhook."""

import json

from dataspoke.adapters.notifiers.outgoing import OutgoingHttp, require_taken
from dataspoke.quality.notifications import rendering
from dataspoke.quality.notifications.model import Notification, Target
from dataspoke.settings import SlackSettings


class SlackNotifier:
    """The channel of one incoming webhook.

    Slack knows no idempotency key: a message whose sender died before it could note its success is
    posted twice.
    """

    def __init__(self, http: OutgoingHttp, settings: SlackSettings) -> None:
        self._http = http
        self._url = settings.url.get_secret_value()

    async def send(self, notification: Notification, target: Target) -> None:
        body = json.dumps(rendering.slack(notification.message)).encode()
        require_taken("Slack", await self._http.post("Slack", self._url, body))
