"""What end-to-end tests share: a demo as a user starts it, and gateways between real sides."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dataspoke.embedded.child import free_port
from tests.support.demo import Demo, running_demo
from tests.support.federation import SECRET, Federation, HubInFront, Unsteady, running_federation
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.serving import serving
from tests.support.subgraph import SERVICE


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The bookshop, judged."""
    with running_demo(tmp_path_factory.mktemp("demo")) as started:
        yield started


@pytest.fixture(scope="session")
def federation() -> Iterator[Federation]:
    with running_federation() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(
    federation: Federation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    with running_gateway(
        tmp_path_factory.mktemp("gateway"),
        hub_url=federation.hub.url,
        subgraph_url=federation.served.url,
        hub_token=SERVICE,
        gateway_secret=SECRET,
        ready_query="{ dataspokeStatus { version } }",
        demo_token="a-token-to-show",
    ) as running:
        yield running


@pytest.fixture(scope="session")
def unsteady(
    federation: Federation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Unsteady]:
    hub = HubInFront(federation.hub.url)
    hub_port, subgraph_port = free_port(), free_port()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATASPOKE_HUB__TIMEOUT_S", "5")
        with serving(hub.app, hub_port):
            gateway = stack.enter_context(
                running_gateway(
                    tmp_path_factory.mktemp("unsteady"),
                    hub_url=f"http://127.0.0.1:{hub_port}",
                    subgraph_url=f"http://127.0.0.1:{subgraph_port}",
                    hub_token=SERVICE,
                    gateway_secret=SECRET,
                    environment="production",
                )
            )
        yield Unsteady(gateway, hub, federation, hub_port, subgraph_port)
