"""Loops that outlive what they depend on."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from dataspoke.errors import DataSpokeError

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
# A step that fails after it has run for so long was well before: that is a new outage.
_WELL_AFTER_S = 10.0


async def repeat(name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Do ``step`` again and again until cancelled, as ``succeed`` does."""
    while True:
        await succeed(name, step)


async def succeed(name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Do ``step`` until it succeeds, pausing longer and longer while it fails.

    An outage is logged when it begins and when it ends; an error that is none of DataSpoke's own
    each time, as it is a fault in the code.
    """
    loop, failures = asyncio.get_running_loop(), 0
    while True:
        began = loop.time()
        try:
            await step()
        except DataSpokeError as error:
            if loop.time() - began > _WELL_AFTER_S:
                failures = 0
            if failures == 0:
                _log.warning("%s: interrupted: %s", name, error.public_message)
        except Exception:
            _log.exception("%s: failed", name)
        else:
            if failures:
                _log.info("%s: goes on", name)
            return
        failures += 1
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s * (1 + random.random()) / 2)
