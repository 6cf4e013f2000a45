"""Watches child processes: starts again what ends by itself, and ends all of them together."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from dataspoke.embedded.child import Child
from dataspoke.errors import DependencyUnavailable

_MOST_RESTARTS = 5
_WINDOW_S = 60.0


@dataclass(slots=True)
class _Service:
    restart: Callable[[], Child]
    stop: Callable[[Child], None]
    child: Child
    restarts: deque[float] = field(default_factory=deque)


class Supervisor:
    """A group of servers. ``on_restart`` is told the name of each that had to be started again."""

    def __init__(self, on_restart: Callable[[str], None]) -> None:
        self._services: list[_Service] = []
        self._on_restart = on_restart

    def watch(
        self,
        child: Child,
        restart: Callable[[], Child],
        stop: Callable[[Child], None] = Child.stop,
    ) -> None:
        """Watch ``child`` from now on; ``restart`` starts it anew and returns when it is ready."""
        self._services.append(_Service(restart, stop, child))

    def check(self) -> None:
        """Start again what has ended.

        Raises DependencyUnavailable, with the end of its log, where one keeps ending.
        """
        now = time.monotonic()
        for service in self._services:
            if service.child.running:
                continue
            while service.restarts and now - service.restarts[0] > _WINDOW_S:
                service.restarts.popleft()
            if len(service.restarts) >= _MOST_RESTARTS:
                name = service.child.name
                raise DependencyUnavailable(name, service.child.failure("keeps ending"))
            service.restarts.append(now)
            self._on_restart(service.child.name)
            service.child = service.restart()

    def stop(self) -> None:
        """End all servers, the last one started first."""
        while self._services:
            service = self._services.pop()
            service.stop(service.child)
