"""``dataspoke mcp``: the tools of DataSpoke for agents, by the Model Context Protocol."""

import asyncio
import logging
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataspoke.cli.client import Demo, Token, Url, address_and_token
from dataspoke.cli.processes import listen, log_to_stderr
from dataspoke.errors import InvalidInput
from dataspoke.settings import McpSettings, Settings


class Transport(StrEnum):
    """How an agent reaches the server."""

    STDIO = "stdio"
    HTTP = "http"


def mcp(
    transport: Annotated[
        Transport,
        typer.Option(
            help="stdio for one agent that starts it; http serves many (DATASPOKE_MCP__…)."
        ),
    ] = Transport.STDIO,
    url: Url = None,
    token: Token = None,
    directory: Demo = Path(".dataspoke"),
) -> None:
    """Serve search, lineage and verdicts to agents, by the Model Context Protocol.

    --url, --token and --directory are for stdio alone: by HTTP each request brings its own token.
    """
    log_to_stderr()
    # A line for each request.
    logging.getLogger("mcp.server.streamable_http").setLevel(logging.WARNING)
    if transport is Transport.HTTP:
        if url or token:
            raise InvalidInput(
                "--url and --token are for stdio. By HTTP each request brings its own token, and "
                "DATASPOKE_MCP__GATEWAY_URL says where to ask."
            )
        asyncio.run(_serve_http(Settings().mcp))
    else:
        _serve_stdio(*address_and_token(url, token, directory, "editor"))


def _serve_stdio(url: str, token: str) -> None:
    from dataspoke.mcp.gateway import Gateway
    from dataspoke.mcp.server import create_server

    # Its thread waits for input and cannot be cancelled; there is nothing to be saved.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    authorization = f"Bearer {token}" if token else ""
    gateway = Gateway(
        url,
        remedy="Set DATASPOKE_TOKEN to an access token of DataHub where this server is configured.",
        unreachable=f"Is it running at {url}? DATASPOKE_URL names another address.",
    )
    asyncio.run(create_server(gateway, lambda _: authorization).run_stdio_async())


async def _serve_http(settings: McpSettings) -> None:
    from dataspoke.mcp.app import create_app, create_gateway, server_config

    await listen(server_config(create_app(create_gateway(settings), settings), settings))
