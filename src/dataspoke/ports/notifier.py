from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dataspoke.quality.notifications.model import Channel, Notification, Target


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


@dataclass(frozen=True, slots=True)
class Channels:
    """Every channel that the settings name, with what sends through it, by name.

    ``default`` is the one for owners who said nothing, None for not telling them. Links lead to
    the pages of ``datahub_url``.
    """

    channels: Mapping[str, Channel] = field(default_factory=dict)
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    default: str | None = None
    datahub_url: str = ""
