"""A server run as a child process: started with a log file, awaited, stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dataspoke.errors import DependencyUnavailable

_LOG_LINES_SHOWN = 12


def free_port(preferred: int = 0) -> int:
    """Return ``preferred`` where it is free on loopback, otherwise a port that is."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As servers do: a port in TIME_WAIT can be listened on.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DependencyUnavailable("server", "No port is free on 127.0.0.1.")


class Child:
    """A running server. Everything it prints goes to ``log``, of which errors show the end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        stdin: bytes = b"",
        cwd: Path | None = None,
    ) -> None:
        """Start ``command``, in a session of its own so that Ctrl-C reaches the parent alone.

        ``env`` is added to this process's environment; ``user`` is a (uid, gid) to become.
        """
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                cwd=cwd,
                user=user[0] if user else None,
                group=user[1] if user else None,
                extra_groups=[] if user else None,
            )
        assert self.process.stdin is not None  # noqa: S101  stdin=PIPE gives one
        # Where it ended at once the pipe is broken; wait_until tells why.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(stdin)
            self.process.stdin.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def last_words(self) -> str:
        """Return the last lines that this run printed."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES_SHOWN:])

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when ``ready()``; raises DependencyUnavailable, and stops the server, if not."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.running:
                raise DependencyUnavailable(self.name, self.failure("ended while starting"))
            if ready():
                return
            time.sleep(0.05)
        self.stop()
        raise DependencyUnavailable(self.name, self.failure(f"not ready after {timeout_s:g} s"))

    def wait_for_success(self, timeout_s: float) -> None:
        """Return when it has ended with status 0; raises DependencyUnavailable if not."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise DependencyUnavailable(
                self.name, self.failure(f"did not end within {timeout_s:g} s")
            ) from None
        if status != 0:
            raise DependencyUnavailable(self.name, self.failure(f"ended with status {status}"))

    def failure(self, what: str) -> str:
        """Return a message that says what happened, where the log is and how it ends."""
        words = self.last_words()
        shown = "\n".join(f"  {line}" for line in words.splitlines()) or "  (it printed nothing)"
        return f"{self.name}: {what}; its log {self.log} ends with:\n{shown}"

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM, grace_s: float = 15) -> None:
        """End the server and what it started: politely, then by force."""
        if self.running:
            self.process.send_signal(stop_signal)
            try:
                self.process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        # What is left of its group; usually nothing.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def accepts_connections(port: int) -> bool:
    """Tell whether something listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
