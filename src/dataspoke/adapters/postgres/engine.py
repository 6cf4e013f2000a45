from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dataspoke.settings import StoreSettings

_CONNECT_TIMEOUT_S = 5


def create_engine(settings: StoreSettings) -> AsyncEngine:
    """Return an engine whose statements and forgotten transactions end in bounded time.

    A process that is suspended in mid-transaction would otherwise keep its locks for good.
    """
    limit_ms = str(int(settings.statement_timeout_s * 1000))
    return create_async_engine(
        settings.url.get_secret_value(),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.statement_timeout_s,
        pool_pre_ping=True,
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
                "hnsw.ef_search": "100",
                "hnsw.iterative_scan": "relaxed_order",
            },
        },
    )
