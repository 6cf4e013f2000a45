"""Weaviate, built once from its Go module as no wheel brings it, and run on loopback.

``python -m dataspoke.embedded.weaviate`` builds it; a running one is named by
DATASPOKE_VECTORS__URL instead.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from dataspoke.embedded.child import Child, free_port
from dataspoke.errors import ConfigurationError, DependencyUnavailable

VERSION = "1.35.2"
# For BM25 to be right about what has just been written: see docs/weaviate.md.
TUNING = {
    "BLOCKMAX_WAND_PER_SEGMENT_LIMIT": "300",
    "PERSISTENCE_MEMTABLES_FLUSH_DIRTY_AFTER_SECONDS": "5",
}
_MODULE = f"github.com/weaviate/weaviate/cmd/weaviate-server@v{VERSION}"
_PROGRAM = "weaviate-server"
# On two cores six minutes, with 1.8 GB of modules to fetch before.
_BUILD_TIMEOUT_S = 3600
_START_TIMEOUT_S = 60
_USER = "dataspoke"

Progress = Callable[[str], None]


def default_directory() -> Path:
    """Return the program's folder under the user's cache, so that every checkout shares it."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "dataspoke" / f"weaviate-{VERSION}"


def program(directory: Path | None = None) -> Path:
    """Return the built server; raises ConfigurationError where there is none."""
    path = (directory or default_directory()) / _PROGRAM
    if not os.access(path, os.X_OK):
        raise ConfigurationError(
            f"There is no Weaviate in {path.parent}. Build it with `make weaviate`, or give the "
            "address of a running one as DATASPOKE_VECTORS__URL."
        )
    return path


def build(directory: Path, progress: Progress) -> None:
    """Put the server into ``directory``, or leave it as it is where it is there.

    Raises DependencyUnavailable where Go is missing or cannot build it; nothing half-built is
    ever seen in ``directory``.
    """
    try:
        progress(f"Weaviate {VERSION} is there: {program(directory)}")
    except ConfigurationError:
        pass
    else:
        return
    go = shutil.which("go")
    if go is None:
        raise DependencyUnavailable(
            "vectors",
            f"Weaviate {VERSION} is not built, as Go is not installed: get it from "
            "https://go.dev/dl/ and run `make weaviate`, or give the address of a running one as "
            "DATASPOKE_VECTORS__URL. Search works without it, in PostgreSQL.",
        )
    progress(f"Building Weaviate {VERSION} (some minutes, once) …")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".building-") as folder:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": folder}
        try:
            ended = subprocess.run(
                [go, "install", "-ldflags", "-s -w", _MODULE],
                # Elsewhere than here: a go.mod above would be taken for its own.
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_BUILD_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DependencyUnavailable(
                "vectors", f"Weaviate {VERSION} was not built: {error}."
            ) from error
        built = Path(folder) / _PROGRAM
        if ended.returncode != 0 or not built.exists():
            said = "\n".join(ended.stderr.strip().splitlines()[-3:])
            raise DependencyUnavailable(
                "vectors", f"Weaviate {VERSION} was not built. Go said:\n{said}"
            )
        built.replace(directory / _PROGRAM)
    progress(f"Weaviate {VERSION} is built: {directory / _PROGRAM}")


class Weaviate:
    """One Weaviate on loopback, with its data in ``directory`` and a key made for them.

    HTTP and the cluster's gossip listen on loopback only. Weaviate binds gRPC and the cluster's
    data to every address of the machine; both refuse whoever has no key.
    """

    def __init__(self, directory: Path) -> None:
        """Start it; raises DependencyUnavailable where it does not start.

        Raises ConfigurationError where it is not built.
        """
        self._program = program()
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.key = self._keep_key()
        self._end_leftover()
        self.port, self.grpc_port, self._gossip, self._raft = _distinct_ports()
        self.child = self.start()

    def start(self) -> Child:
        """Start it, again where it has ended, under the same address; returns when it is ready."""
        environment = {
            "PERSISTENCE_DATA_PATH": str(self._directory.resolve() / "data"),
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
            "AUTHENTICATION_APIKEY_ENABLED": "true",
            "AUTHENTICATION_APIKEY_ALLOWED_KEYS": self.key,
            "AUTHENTICATION_APIKEY_USERS": _USER,
            "DEFAULT_VECTORIZER_MODULE": "none",
            "ENABLE_MODULES": "",
            "DISABLE_TELEMETRY": "true",
            "GO_PROFILING_DISABLE": "true",
            **TUNING,
            "GRPC_PORT": str(self.grpc_port),
            "LOG_LEVEL": "warning",
            # A cluster of one. It would take the machine's first address, be that IPv6 or none.
            "CLUSTER_HOSTNAME": "node1",
            "CLUSTER_IN_LOCALHOST": "true",
            "CLUSTER_BIND_ADDR": "127.0.0.1",
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "CLUSTER_ADVERTISE_PORT": str(self._gossip),
            "CLUSTER_GOSSIP_BIND_PORT": str(self._gossip),
            "CLUSTER_DATA_BIND_PORT": str(self._gossip + 1),
            "CLUSTER_BASIC_AUTH_USERNAME": _USER,
            "CLUSTER_BASIC_AUTH_PASSWORD": self.key,
            "RAFT_ADDR": "127.0.0.1",
            "RAFT_PORT": str(self._raft),
            "RAFT_INTERNAL_RPC_PORT": str(self._raft + 1),
            "RAFT_BOOTSTRAP_EXPECT": "1",
            # No peer has to be waited for.
            "RAFT_TIMEOUTS_MULTIPLIER": "1",
        }
        self.child = Child(
            "weaviate",
            [
                *(str(self._program), "--scheme", "http"),
                *("--host", "127.0.0.1", "--port", str(self.port)),
            ],
            self._directory / "weaviate.log",
            env=environment,
        )
        pid = self._directory / "weaviate.pid"
        pid.write_text(f"{self.child.pid} {psutil.Process(self.child.pid).create_time()}")
        self.child.wait_until(self._ready, timeout_s=_START_TIMEOUT_S)
        return self.child

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The settings by which DataSpoke uses this server, as environment variables."""
        return {
            "DATASPOKE_VECTORS__URL": self.url,
            "DATASPOKE_VECTORS__GRPC_PORT": str(self.grpc_port),
            "DATASPOKE_VECTORS__API_KEY": self.key,
        }

    def stop(self) -> None:
        """End it, once what it holds in memory is written."""
        self.child.stop(signal.SIGTERM)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/.well-known/ready", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def _keep_key(self) -> str:
        path = self._directory / "weaviate.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(24))
        return path.read_text().strip()

    def _end_leftover(self) -> None:
        """End a server that an earlier, killed run left behind on the same data."""
        try:
            pid, born = (self._directory / "weaviate.pid").read_text().split()
            process = psutil.Process(int(pid))
            # A pid is used again; the time of birth tells one process from another.
            if process.create_time() == float(born):
                process.terminate()
                process.wait(_START_TIMEOUT_S)
        except (FileNotFoundError, ValueError, psutil.Error):
            return


def _distinct_ports() -> tuple[int, int, int, int]:
    """Return free ports for HTTP, gRPC, gossip and raft; those after the last two are free too.

    Members of a cluster take each other's second port to be the one after the first.
    """
    while True:
        http, grpc, gossip, raft = (free_port() for _ in range(4))
        following = [gossip + 1, raft + 1]
        distinct = len({http, grpc, gossip, raft, *following}) == 6
        if distinct and all(free_port(port) == port for port in following):
            return http, grpc, gossip, raft


def main() -> int:
    """Build the server; says what is missing, which is an error only where CI is set."""
    try:
        build(default_directory(), lambda line: print(line, flush=True))  # noqa: T201
    except DependencyUnavailable as error:
        print(error.public_message, file=sys.stderr)  # noqa: T201
        return 1 if os.environ.get("CI") == "true" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
