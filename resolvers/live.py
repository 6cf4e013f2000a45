"""Streams that end with the right to see them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TypeVar

from dataspoke.resolvers.context import Context

T = TypeVar("T")


async def while_signed_in(
    context: Context, stream: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    """Yield what the stream yields for as long as the caller's token is good, and close it.

    The token is checked before every delivery, and at an interval while nothing happens; raises
    Unauthenticated once the hub no longer accepts it.
    """
    try:
        while True:
            coming = asyncio.ensure_future(anext(stream))
            try:
                while not coming.done():
                    await asyncio.wait({coming}, timeout=context.identity_check.total_seconds())
                    await context.identify()
            finally:
                if not coming.done():
                    coming.cancel()
                    with suppress(asyncio.CancelledError, StopAsyncIteration):
                        await coming
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        await stream.aclose()
