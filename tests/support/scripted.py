"""A real HTTP server that answers what a test tells it to, in order."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is sent as JSON, a text as it is. ``hangs`` holds it back until the server ends."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False


@dataclass(slots=True)
class ScriptedServer:
    """``requests`` holds the bodies that arrived, parsed. The last answer is given for ever."""

    url: str
    answers: Sequence[Answer]
    requests: list[Any] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def scripted_server(*answers: Answer) -> Iterator[ScriptedServer]:
    """Yield a server on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(json.loads(text))

        def do_GET(self) -> None:
            self._answer(self.path)

        def _answer(self, request: Any) -> None:
            script.requests.append(request)
            answer = script.answers[min(len(script.requests), len(script.answers)) - 1]
            if answer.hangs:
                script.ended.wait(30)
                return
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            body = text.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script = ScriptedServer(f"http://127.0.0.1:{server.server_port}", answers)
    thread = threading.Thread(
        target=server.serve_forever, args=(0.02,), name="scripted-server", daemon=True
    )
    thread.start()
    try:
        yield script
    finally:
        script.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
