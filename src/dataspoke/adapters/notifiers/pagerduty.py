"""PagerDuty, by its Events API v2."""

import json

from dataspoke.adapters.notifiers.outgoing import OutgoingHttp, require_taken
from dataspoke.quality.notifications import rendering
from dataspoke.quality.notifications.model import Notification, Target
from dataspoke.settings import PagerDutySettings


class PagerDutyNotifier:
    """A service of PagerDuty. The dedup_key makes a repeated event join the first.

    PagerDuty answers 202 when it has taken an event; what it makes of it comes later.
    """

    def __init__(self, http: OutgoingHttp, settings: PagerDutySettings) -> None:
        self._http = http
        self._url = str(settings.url)
        self._routing_key = settings.routing_key.get_secret_value()

    async def send(self, notification: Notification, target: Target) -> None:
        body = json.dumps(rendering.pagerduty(notification, self._routing_key)).encode()
        require_taken("PagerDuty", await self._http.post("PagerDuty", self._url, body))
