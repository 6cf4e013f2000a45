"""Every error that DataSpoke raises on purpose.

::

    DataSpokeError
    ├── InvalidInput            the caller sent something that cannot be used
    ├── AccessDenied
    │   ├── Unauthenticated     no token, or one the hub does not accept
    │   └── Forbidden           a known caller without the privilege
    ├── NotFound
    ├── Conflict                the thing changed meanwhile, or is taken
    │   └── LeaseLost           another worker has taken over this job
    ├── ConfigurationError      a setting is missing or unusable
    └── DependencyError         an outside system failed; names the port
        ├── DependencyTimeout
        ├── DependencyUnavailable
        └── DependencyRejected  it answered and refused

Adapters translate the errors of their libraries into these. Two places render them: the subgraph
(to ``extensions.code``) and the worker (to a retry or a dead letter).
"""

from datetime import timedelta
from typing import ClassVar


class DataSpokeError(Exception):
    """An expected failure. ``public_message`` is safe to show to any caller; ``code`` is stable."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, public_message: str) -> None:
        super().__init__(public_message)
        self.public_message = public_message


class InvalidInput(DataSpokeError):
    """The input cannot be used; the message names the input and how to mend it."""

    code = "INVALID_INPUT"


class AccessDenied(DataSpokeError):
    """The caller may not do this."""

    code = "ACCESS_DENIED"


class Unauthenticated(AccessDenied):
    """There is no token, or the hub does not accept it."""

    code = "UNAUTHENTICATED"


class Forbidden(AccessDenied):
    """The caller is known and lacks a privilege; the message names it."""

    code = "FORBIDDEN"


class NotFound(DataSpokeError):
    """The thing does not exist, or the caller may not know that it does."""

    code = "NOT_FOUND"


class Conflict(DataSpokeError):
    """The thing changed meanwhile, or the name is taken."""

    code = "CONFLICT"


class LeaseLost(Conflict):
    """The job's lease ran out and another worker claimed it; nothing of this attempt was saved."""

    code = "LEASE_LOST"


class ConfigurationError(DataSpokeError):
    """A setting is missing or unusable; the message names the setting and the fix."""

    code = "CONFIGURATION"


class DependencyError(DataSpokeError):
    """What DataSpoke depends on failed.

    ``port`` names it: hub, store, vectors, queue, embedder, feed, compute or notifier.
    ``retry_after`` is how long it asked to be left alone; None where it named no time.
    """

    code = "DEPENDENCY"

    def __init__(
        self, port: str, public_message: str, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(public_message)
        self.port = port
        self.retry_after = retry_after


class DependencyTimeout(DependencyError):
    """It did not answer in time; trying again may help."""

    code = "DEPENDENCY_TIMEOUT"


class DependencyUnavailable(DependencyError):
    """It could not be reached, or said that it is overloaded; trying again may help."""

    code = "DEPENDENCY_UNAVAILABLE"


class DependencyRejected(DependencyError):
    """It answered and refused the request; trying the same again will not help."""

    code = "DEPENDENCY_REJECTED"
