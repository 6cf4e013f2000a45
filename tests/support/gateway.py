"""The real gateway, for tests that ask it as clients do."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dataspoke.embedded.gateway import Gateway, requests_sent
from dataspoke.embedded.node import gateway_directory, node


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers, and what it counts."""

    process: Gateway

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def graphql_url(self) -> str:
        return f"{self.url}/graphql"

    @property
    def ws_url(self) -> str:
        return self.graphql_url.replace("http://", "ws://")

    def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        token: str | None,
        **body: Any,
    ) -> dict[str, Any]:
        """Return the whole answer, errors included; ``token`` None asks as nobody."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        sent = {"query": query, "variables": dict(variables or {}), **body}
        response = httpx.post(self.graphql_url, json=sent, headers=headers, timeout=60)
        answer: dict[str, Any] = response.json()
        return answer

    def data(
        self, query: str, variables: Mapping[str, Any] | None = None, *, token: str
    ) -> dict[str, Any]:
        """Return the data of an answer that must have no errors."""
        answer = self.ask(query, variables, token=token)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def metrics(self) -> str:
        """Return what it tells Prometheus."""
        return httpx.get(f"{self.url}/metrics", timeout=30).text

    def requests(self, subgraph: str) -> int:
        """Return how many HTTP requests it has sent to a subgraph."""
        return requests_sent(self.url, subgraph)


@contextmanager
def running_gateway(
    directory: Path,
    *,
    hub_url: str,
    subgraph_url: str,
    hub_token: str = "service-token",
    **options: Any,
) -> Iterator[RunningGateway]:
    """Yield a gateway between the two; ``options`` are those of Gateway. It starts in 3 to 10 s."""
    gateway = Gateway(
        directory, hub_url=hub_url, hub_token=hub_token, subgraph_url=subgraph_url, **options
    )
    try:
        yield RunningGateway(gateway)
    finally:
        gateway.stop()


def run_script(
    script: str, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of the gateway's scripts to its end, with no settings but those given."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DATASPOKE_")}
    return subprocess.run(
        [str(node()), script, *arguments],
        cwd=gateway_directory(),
        env={**inherited, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def codes(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return code and path of each error of an answer."""
    return [
        (error["extensions"]["code"], ".".join(map(str, error.get("path", ()))))
        for error in answer.get("errors", ())
    ]
