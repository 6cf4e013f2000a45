"""A stand-in hub that really listens, for tests that speak to it over HTTP."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataspoke.localhub.access import Role, User
from dataspoke.localhub.app import create_app
from dataspoke.localhub.storage import Storage
from tests.support.serving import serving

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
    with Storage.open(path) as storage, serving(create_app(storage, users)) as served:
        yield RunningHub(served.url, storage)
