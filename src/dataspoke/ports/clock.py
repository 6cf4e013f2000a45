from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time now; injected, so that a test can set it."""

    def now(self) -> datetime:
        """Return the present as timezone-aware UTC."""
        ...
