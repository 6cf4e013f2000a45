"""What redis-py raises, in DataSpoke's words, and how connections notice that they are dead."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as redis

from dataspoke.errors import (
    ConfigurationError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)

# Asked for a sign of life after ten silent seconds, and given up twenty seconds later. The names
# are those of Linux; elsewhere the system's own defaults have to do.
KEEP_ALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}.items()
    if hasattr(socket, name)
}


@contextmanager
def translated(port: str) -> Iterator[None]:
    """Raise the library's errors as those of ``port``; keep what else the body raises as it is."""
    try:
        yield
    except (redis.AuthenticationError, redis.AuthorizationError) as error:
        raise ConfigurationError(
            f"Redis refuses the login of DATASPOKE_REDIS__URL: {error}"
        ) from error
    except (redis.TimeoutError, TimeoutError) as error:
        raise DependencyTimeout(port, "Redis did not answer in time.") from error
    except redis.BusyLoadingError as error:
        raise DependencyUnavailable(port, "Redis is loading its data; try again.") from error
    except (redis.ConnectionError, OSError) as error:
        raise DependencyUnavailable(
            port, "Redis cannot be reached; is it running at DATASPOKE_REDIS__URL?"
        ) from error
    except redis.RedisError as error:
        raise DependencyRejected(port, f"Redis refused a command: {error}") from error
