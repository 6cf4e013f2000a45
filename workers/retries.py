"""When a failed job is tried again, and when it is given up. Pure."""

from datetime import timedelta

from dataspoke.errors import (
    AccessDenied,
    DependencyError,
    DependencyRejected,
    InvalidInput,
    NotFound,
)

_FIRST_S = 0.5
_LONGEST_S = 300.0
# To do the same again gives the same.
_FINAL = (InvalidInput, AccessDenied, NotFound, DependencyRejected)
# What a server asks for beyond this is taken for a mistake.
_LONGEST_ASKED = timedelta(hours=1)
# An outage, or a worker that was killed, is not the job's fault. With the default of 4 tries this
# bears one of some three quarters of an hour.
_PATIENCE = 5


def next_try(error: Exception, attempt: int, max_attempts: int, jitter: float) -> timedelta | None:
    """Return the time until the next try after the ``attempt``-th failed, None to give up.

    Half a second, doubled with each attempt up to five minutes, of which ``jitter`` (0 to 1) keeps
    one half to the whole, so that what failed together does not come back together. Where a
    dependency failed, five times as many tries are made, and none before the time that it asked
    for, up to an hour.
    """
    if isinstance(error, _FINAL) or attempt >= most_tries(error, max_attempts):
        return None
    longest = min(_FIRST_S * 2 ** min(attempt - 1, 20), _LONGEST_S)
    wait = timedelta(seconds=longest * (1 + jitter) / 2)
    if isinstance(error, DependencyError) and error.retry_after is not None:
        return max(wait, min(error.retry_after, _LONGEST_ASKED))
    return wait


def most_tries(error: Exception | None, max_attempts: int) -> int:
    """Return after how many tries with this error a job is given up.

    None for an attempt that ended without one: its worker died.
    """
    outside = isinstance(error, DependencyError) and error.port != "compute"
    return max_attempts * _PATIENCE if error is None or outside else max_attempts
