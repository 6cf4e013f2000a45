"""Any endpoint that takes JSON, signed as Standard Webhooks describes.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac

from dataspoke.adapters.notifiers.outgoing import OutgoingHttp, require_taken
from dataspoke.ports.clock import Clock
from dataspoke.quality.notifications import rendering
from dataspoke.quality.notifications.model import Notification, Target
from dataspoke.settings import WebhookSettings


class WebhookNotifier:
    """An endpoint. The notification's id is both ``webhook-id`` and ``Idempotency-Key``."""

    def __init__(self, http: OutgoingHttp, settings: WebhookSettings, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._url = settings.url.get_secret_value()
        encoded = settings.secret.get_secret_value().removeprefix("whsec_")
        self._key = base64.b64decode(encoded, validate=True)

    async def send(self, notification: Notification, target: Target) -> None:
        body = rendering.webhook(notification)
        key, timestamp = str(notification.id), str(int(self._clock.now().timestamp()))
        headers = (
            ("Idempotency-Key", key),
            ("webhook-id", key),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", f"v1,{self._signature(key, timestamp, body)}"),
        )
        receiver = f"The webhook {target.channel}"
        require_taken(receiver, await self._http.post(receiver, self._url, body, headers))

    def _signature(self, key: str, timestamp: str, body: bytes) -> str:
        signed = f"{key}.{timestamp}.".encode() + body
        return base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
