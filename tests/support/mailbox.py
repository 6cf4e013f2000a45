"""A channel in memory."""

from dataspoke.errors import DependencyError
from dataspoke.quality.notifications.model import Event, Notification, Target


class Mailbox:
    """Keeps what is sent, and first fails as it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[Notification, Target]] = []
        self.failures: list[DependencyError] = []

    async def send(self, notification: Notification, target: Target) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((notification, target))

    @property
    def told(self) -> list[tuple[Target, Event]]:
        return [(target, one.message.event) for one, target in self.sent]
