"""``dataspoke serve``, ``worker`` and ``hub``: the processes that stay up."""

import asyncio
import json
import logging
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvicorn

from dataspoke.cli.configuration import require_fit
from dataspoke.errors import ConfigurationError
from dataspoke.settings import Settings

if TYPE_CHECKING:
    from dataspoke.localhub.access import User
    from dataspoke.localhub.storage import Storage

_SHUTDOWN_GRACE_S = 5


def log_to_stderr() -> None:
    """Write this process's log to stderr, a line for each event."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    # A line for each request that is sent says nothing that a failure does not.
    for chatty in (
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "gql",
        "arq",
        "alembic.runtime.plugins",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def serve() -> None:
    """Serve the GraphQL subgraph (DATASPOKE_SUBGRAPH__PORT)."""
    log_to_stderr()
    settings = Settings()
    require_fit(settings)
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        runner.run(_serve_subgraph(settings))


async def _serve_subgraph(settings: Settings) -> None:
    from dataspoke.resolvers.services import Services
    from dataspoke.runtime import open_runtime
    from dataspoke.subgraph.app import create_app, server_config

    async with open_runtime(settings) as runtime:
        services = Services(
            quality=runtime.quality,
            runs=runtime.runs,
            alerts=runtime.alerts,
            monitors=runtime.monitors,
            slas=runtime.slas,
            notifications=runtime.notifications,
            rules=runtime.rules,
            backtests=runtime.backtests,
            health=runtime.health,
            search=runtime.search,
            sql_contexts=runtime.sql_contexts,
            verifier=runtime.verifier,
            operations=runtime.operations,
        )
        app = create_app(
            services,
            runtime.hub.actor,
            settings.subgraph,
            introspection=settings.environment == "development",
        )
        await listen(server_config(app, settings.subgraph))


def worker() -> None:
    """Run scans, audits and indexing in the background, and follow DataHub's changes."""
    log_to_stderr()
    settings = Settings()
    require_fit(settings)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    from dataspoke.runtime import open_runtime
    from dataspoke.workers.jobs import work_table
    from dataspoke.workers.schedule import entries
    from dataspoke.workers.worker import run

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_runtime(settings, computing=True) as runtime:
        work = work_table(
            quality=runtime.quality,
            runs=runtime.runs,
            alerts=runtime.alerts,
            slas=runtime.slas,
            notifications=runtime.notifications,
            health=runtime.health,
            index=runtime.index,
            retention=runtime.retention,
        )
        await run(
            work,
            runtime.store,
            runtime.jobs,
            runtime.queue,
            runtime.wake_ups,
            runtime.hub,
            settings.worker,
            entries(settings.schedule),
            stop,
            runtime.changes,
        )


def hub(
    data: Annotated[
        Path | None, typer.Option(help="File to keep it in; in memory without one.")
    ] = None,
    load: Annotated[
        Path | None, typer.Option(help="Metadata file to load, as `datahub ingest` reads it.")
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(help="JSON list of {urn, role, token, hidden, unprofiled}."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    kafka: Annotated[
        str, typer.Option(help="Broker (host:port) to publish the change log to; none if empty.")
    ] = "",
) -> None:
    """Run the stand-in for DataHub alone: for demo and tests, never in place of a DataHub.

    Without users it makes up one for each role and prints their tokens.
    """
    from dataspoke.localhub.access import read_users
    from dataspoke.localhub.app import create_app
    from dataspoke.localhub.files import read_metadata_file
    from dataspoke.localhub.storage import Storage

    log_to_stderr()
    known = read_users(users) if users is not None else _made_up_users()
    proposals = read_metadata_file(load) if load is not None else []
    with Storage.open(data) as storage:
        storage.write(proposals, "urn:li:corpuser:datahub")
        config = uvicorn.Config(
            create_app(storage, known),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_GRACE_S,
        )
        asyncio.run(_serve_hub(config, storage, kafka))


async def _serve_hub(config: uvicorn.Config, storage: "Storage", kafka: str) -> None:
    async with AsyncExitStack() as stack:
        if kafka:
            from dataspoke.localhub.publisher import Publisher

            await stack.enter_async_context(Publisher(storage, kafka).running())
        await listen(config)


def _made_up_users() -> "Mapping[str, User]":
    from dataspoke.localhub.access import Role, User

    users = {secrets.token_urlsafe(24): User(f"urn:li:corpuser:{role}", role) for role in Role}
    typer.echo(json.dumps({user.role: token for token, user in users.items()}, indent=2))
    return users


async def listen(config: uvicorn.Config) -> None:
    """Serve until it is told to end; raises ConfigurationError where the address is taken."""
    try:
        listener = socket.create_server((config.host, config.port), backlog=config.backlog)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {config.host}:{config.port}: {error.strerror}. "
            "Stop what listens there, or choose another port."
        ) from error
    with listener:
        await uvicorn.Server(config).serve(sockets=[listener])
