from datetime import UTC, datetime


class SystemClock:
    """The Clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)
