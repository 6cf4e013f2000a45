"""A stand-in hub that really listens, for tests that speak to it over HTTP."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from dataspoke.localhub.access import Role, User
from dataspoke.localhub.app import create_app
from dataspoke.localhub.storage import Storage

# Named after what each may do; the tokens are what a client sends.
USERS: Mapping[str, User] = {
    "admin-token": User("urn:li:corpuser:admin", Role.ADMIN),
    "service-token": User("urn:li:corpuser:dataspoke", Role.SERVICE),
    "editor-token": User("urn:li:corpuser:editor", Role.EDITOR),
    "viewer-token": User("urn:li:corpuser:viewer", Role.VIEWER),
    # Sees nothing whose urn holds "secret", and no profile of what holds "payroll".
    "restricted-token": User(
        "urn:li:corpuser:restricted", Role.VIEWER, hidden=("*secret*",), unprofiled=("*payroll*",)
    ),
}


@dataclass(frozen=True, slots=True)
class RunningHub:
    """Where a stand-in listens, and the storage behind it."""

    url: str
    storage: Storage


@contextmanager
def running_hub(
    path: Path | None = None, users: Mapping[str, User] = USERS
) -> Iterator[RunningHub]:
    """Yield a stand-in hub served by uvicorn in a thread, on a free port of the loopback."""
    with Storage.open(path) as storage:
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(storage, users),
                host="127.0.0.1",
                port=0,
                log_level="warning",
                timeout_graceful_shutdown=1,
            )
        )
        thread = threading.Thread(target=server.run, name="stand-in-hub", daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("the stand-in hub did not start")
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield RunningHub(f"http://127.0.0.1:{port}", storage)
        finally:
            server.should_exit = True
            thread.join(timeout=15)
