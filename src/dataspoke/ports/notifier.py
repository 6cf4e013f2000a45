from typing import Protocol

from dataspoke.quality.notifications.model import Notification, Target


class Notifier(Protocol):
    """One channel through which people are told.

    Raises DependencyTimeout or DependencyUnavailable (with ``retry_after`` where the receiver named
    a time) where trying again may help, and DependencyRejected where it will not; the port is
    ``notifier``. After a timeout the message may have arrived.
    """

    async def send(self, notification: Notification, target: Target) -> None:
        """Return once the receiver has taken the message.

        Sent twice under the same id, the receiver can tell that it is the same, by an
        Idempotency-Key, a Message-ID or a dedup_key; Slack has nothing of the kind.
        """
        ...
