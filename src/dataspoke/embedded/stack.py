"""Everything that DataSpoke consists of, as child processes of one: for the demo and the tests."""

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from dataspoke.embedded.child import Child, accepts_connections, free_port
from dataspoke.embedded.gateway import Gateway
from dataspoke.embedded.postgres import Postgres
from dataspoke.embedded.supervisor import Supervisor
from dataspoke.embedded.valkey import Valkey
from dataspoke.embedded.weaviate import Weaviate

_START_TIMEOUT_S = 60
_STOP_GRACE_S = 10

# Who can sign in at the stand-in hub. The viewer is kept from two things, so that the difference
# can be seen: the general ledger is hidden from them, and so are the profiles of payments.
_USERS: Mapping[str, Mapping[str, object]] = {
    "admin": {"role": "admin"},
    "service": {"role": "service"},
    "editor": {"role": "editor"},
    "viewer": {"role": "viewer", "hidden": ["*gl_postings*"], "unprofiled": ["*payments*"]},
}
_SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Paths:
    """What lies where in the folder of a stack."""

    directory: Path

    @property
    def hub(self) -> Path:
        """The stand-in hub's data."""
        return self.directory / "hub.sqlite"

    @property
    def users(self) -> Path:
        return self.directory / "users.json"

    @property
    def children(self) -> Path:
        """The processes of the last start."""
        return self.directory / "children.json"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"


class Stack:
    """PostgreSQL, Valkey, the stand-in hub, the subgraph, a worker and the gateway, on loopback.

    Data, users and logs are kept in ``directory``; a second start finds them there. ``tokens``
    holds a token for ``admin``, ``editor`` and ``viewer``.
    """

    def __init__(
        self, directory: Path, on_restart: Callable[[str], None], *, weaviate: bool = False
    ) -> None:
        """With ``weaviate`` the search index is there, otherwise in PostgreSQL."""
        self._with_weaviate = weaviate
        self.paths = Paths(directory)
        self.supervisor = Supervisor(on_restart)
        self.hub_url = f"http://127.0.0.1:{free_port()}"
        self.subgraph_url = f"http://127.0.0.1:{free_port()}"
        self.gateway_url = ""
        self._environment: dict[str, str] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._tokens = self._keep_users()

    @property
    def tokens(self) -> Mapping[str, str]:
        return {name: token for name, token in self._tokens.items() if name != _SERVICE}

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of the processes, as environment variables; complete once started."""
        return self._environment

    def start(self, gateway_port: int, ready_query: str, on_start: Callable[[str], None]) -> None:
        """Start everything in order; ``on_start`` is told the name of each before it starts.

        ``gateway_port`` is taken where it is free. The hub's data must be loaded before. Raises
        DependencyUnavailable, with the end of its log, where one does not start.
        """
        on_start("PostgreSQL")
        postgres = Postgres(self.paths.directory / "postgres")
        self._watch(postgres.child, postgres.start, lambda _: postgres.stop())
        on_start("Valkey")
        valkey = Valkey(self.paths.directory / "valkey")
        self._watch(valkey.child, valkey.start)
        self._environment = {
            "DATASPOKE_HUB__URL": self.hub_url,
            "DATASPOKE_HUB__TOKEN": self._tokens[_SERVICE],
            "DATASPOKE_STORE__URL": postgres.url,
            "DATASPOKE_REDIS__URL": valkey.url,
            "DATASPOKE_SUBGRAPH__PORT": self.subgraph_url.rpartition(":")[2],
        }
        if self._with_weaviate:
            on_start("Weaviate")
            weaviate = Weaviate(self.paths.directory / "weaviate")
            self._watch(weaviate.child, weaviate.start)
            self._environment |= weaviate.environment
        on_start("tables")
        self._run_to_end("migrations", "db", "upgrade")
        on_start("stand-in hub")
        port = self.hub_url.rpartition(":")[2]
        files = ["--data", str(self.paths.hub), "--users", str(self.paths.users)]
        self._serve(
            lambda: accepts_connections(int(port)), "stand-in-hub", "hub", *files, "--port", port
        )
        # The worker first: it has the most to do.
        on_start("worker")
        self._serve(lambda: True, "worker", "worker")
        on_start("subgraph")
        self._serve(self._subgraph_is_ready, "subgraph", "serve")
        on_start("gateway")
        gateway = Gateway(
            self.paths.directory / "gateway",
            hub_url=self.hub_url,
            hub_token=self._tokens[_SERVICE],
            subgraph_url=self.subgraph_url,
            port=gateway_port,
            ready_query=ready_query,
            demo_token=self._tokens["editor"],
        )
        self.gateway_url = gateway.url
        self._watch(gateway.child, gateway.start)

    def stop(self) -> None:
        """End everything, the last started first; what it kept stays."""
        self.supervisor.stop()
        self.paths.children.unlink(missing_ok=True)

    def _serve(self, ready: Callable[[], bool], name: str, *arguments: str) -> None:
        def start() -> Child:
            child = self._child(name, *arguments)
            child.wait_until(ready, _START_TIMEOUT_S)
            return child

        self._watch(start(), start)

    def _run_to_end(self, name: str, *arguments: str) -> None:
        child = self._child(name, *arguments)
        child.wait_for_success(_START_TIMEOUT_S)

    def _child(self, name: str, *arguments: str) -> Child:
        return Child(
            name,
            [sys.executable, "-m", "dataspoke.cli", *arguments],
            self.paths.logs / f"{name}.log",
            env=self._environment,
        )

    def _watch(
        self,
        child: Child,
        restart: Callable[[], Child],
        stop: Callable[[Child], None] = lambda child: child.stop(grace_s=_STOP_GRACE_S),
    ) -> None:
        def restarted() -> Child:
            again = restart()
            self._remember(again)
            return again

        self._remember(child)
        self.supervisor.watch(child, restarted, stop)

    def _subgraph_is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.subgraph_url}/readyz", timeout=5).status_code == 200
        return False

    def _keep_users(self) -> dict[str, str]:
        """Return each user's token, made up at the first start and kept from then on."""
        if not self.paths.users.exists():
            listed = [
                {"urn": f"urn:li:corpuser:{name}", "token": secrets.token_urlsafe(24), **rights}
                for name, rights in _USERS.items()
            ]
            write_private(self.paths.users, json.dumps(listed, indent=2))
        entries = json.loads(self.paths.users.read_text())
        return {entry["urn"].rpartition(":")[2]: entry["token"] for entry in entries}

    def _remember(self, child: Child) -> None:
        """Note the process, so that the next start can end it should this one be killed."""
        with contextlib.suppress(psutil.NoSuchProcess):
            known = _children(self.paths)
            known[child.pid] = psutil.Process(child.pid).create_time()
            self.paths.children.write_text(json.dumps(list(known.items())))


def end_leftovers(directory: Path) -> None:
    """End what an earlier stack in this folder left running, having been killed itself."""
    paths = Paths(directory)
    ended = []
    for pid, born in _children(paths).items():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(pid)
            # A pid is used again; the time of birth tells one process from another.
            if process.create_time() == born:
                process.terminate()
                ended.append(process)
    _, alive = psutil.wait_procs(ended, timeout=_STOP_GRACE_S)
    for process in alive:
        process.kill()
    paths.children.unlink(missing_ok=True)


def _children(paths: Paths) -> dict[int, float]:
    """Return the processes of the last start that may still run, with the times of their birth."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return {int(pid): float(born) for pid, born in json.loads(paths.children.read_text())}
    return {}


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    staged = path.with_name(f"{path.name}.new")
    staged.touch(mode=0o600)
    staged.write_text(text)
    staged.replace(path)
