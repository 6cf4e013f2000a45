"""What PostgreSQL, asyncpg and SQLAlchemy raise, in DataSpoke's words."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dataspoke.errors import (
    ConfigurationError,
    DataSpokeError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)

# SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CANCELLED = "57014"
_LOCK_NOT_AVAILABLE = "55P03"
_IDLE_IN_TRANSACTION = "25P03"
_RETRYABLE = ("08", "40", "53", "57")
_NO_ACCESS = ("28", "3D")
_UNDEFINED_TABLE = "42P01"
_UNDEFINED_COLUMN = "42703"


@contextmanager
def translated(port: str = "store") -> Iterator[None]:
    """Raise the library's errors as DataSpoke's; keep what else the body raises as it is."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error, port) from error
    except PoolTimeout as error:
        raise DependencyUnavailable(
            port, "All connections to PostgreSQL are taken; try again."
        ) from error
    except TimeoutError as error:
        raise DependencyTimeout(port, "PostgreSQL did not answer in time.") from error
    except OSError as error:
        raise DependencyUnavailable(
            port, "PostgreSQL cannot be reached; is it running at DATASPOKE_STORE__URL?"
        ) from error


def sqlstate(error: DBAPIError) -> str:
    """Return PostgreSQL's five-character code; empty where the error is not the server's."""
    return getattr(error.orig, "sqlstate", None) or ""


def _translate(error: DBAPIError, port: str) -> DataSpokeError:
    state = sqlstate(error)
    if state in (_CANCELLED, _LOCK_NOT_AVAILABLE, _IDLE_IN_TRANSACTION):
        return DependencyTimeout(port, "PostgreSQL gave up on a statement that took too long.")
    if error.connection_invalidated or state.startswith(_RETRYABLE):
        return DependencyUnavailable(port, "PostgreSQL broke off; try again.")
    if state in (_UNDEFINED_TABLE, _UNDEFINED_COLUMN):
        return ConfigurationError("The database lacks a table; run `dataspoke db upgrade`.")
    if state.startswith(_NO_ACCESS):
        return ConfigurationError(
            f"PostgreSQL refuses the login of DATASPOKE_STORE__URL: {error.orig}"
        )
    return DependencyRejected(port, "PostgreSQL refused a statement.")
