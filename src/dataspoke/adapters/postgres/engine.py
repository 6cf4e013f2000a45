import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from dataspoke.settings import StoreSettings

_CONNECT_TIMEOUT_S = 5
# A connection that nobody used for so long may have been dropped by something on the way.
_TRUSTED_S = 30
_USED_AT = "used_at"


def create_engine(settings: StoreSettings) -> AsyncEngine:
    """Return an engine whose statements and forgotten transactions end in bounded time.

    A process that is suspended in mid-transaction would otherwise keep its locks for good.
    """
    limit_ms = str(int(settings.statement_timeout_s * 1000))
    engine = create_async_engine(
        settings.url.get_secret_value(),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.statement_timeout_s,
        connect_args={
            "timeout": _CONNECT_TIMEOUT_S,
            # The server's own limit comes first; this is for one that is gone.
            "command_timeout": settings.statement_timeout_s + _CONNECT_TIMEOUT_S,
            "server_settings": {
                "application_name": "dataspoke",
                "statement_timeout": limit_ms,
                "idle_in_transaction_session_timeout": limit_ms,
                # Compiling a statement takes longer than any of ours runs.
                "jit": "off",
                # A walk through vectors looks at so many at once, and goes on where filters keep
                # too few of them. They come slightly out of order, which loses fewer.
                "hnsw.ef_search": "160",
                "hnsw.iterative_scan": "relaxed_order",
            },
        },
    )
    _replace_broken_connections(engine)
    return engine


def _replace_broken_connections(engine: AsyncEngine) -> None:
    """Hand out no connection that is known or likely to be broken.

    SQLAlchemy's own ``pool_pre_ping`` does so by three round trips before each use, which takes as
    long as a search by vectors.
    """

    @event.listens_for(engine.sync_engine, "checkout")
    def require_alive(connection: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:
        # The event loop learns at once that the server closed a connection.
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        now = time.monotonic()
        if now - entry.info.get(_USED_AT, now) > _TRUSTED_S:
            try:
                engine.dialect.do_ping(connection)
            except (engine.dialect.loaded_dbapi.Error, OSError) as error:
                raise DisconnectionError from error

    @event.listens_for(engine.sync_engine, "checkin")
    def note_use(_connection: object, entry: ConnectionPoolEntry) -> None:
        entry.info[_USED_AT] = time.monotonic()
