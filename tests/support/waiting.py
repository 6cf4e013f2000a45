"""Waiting for what happens elsewhere, with a deadline instead of a guess."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path


async def until(
    condition: Callable[[], bool | Awaitable[bool]], waited_for: str, deadline_s: float = 30
) -> None:
    """Return as soon as the condition holds; fails the test after ``deadline_s``."""
    deadline = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {deadline_s:g} s for {waited_for}")
        await asyncio.sleep(0.02)


def until_true(condition: Callable[[], bool], waited_for: str, deadline_s: float) -> None:
    """As ``until``, for tests that have no event loop."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {deadline_s:g} s for {waited_for}")
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Tell whether the process runs; one that ended and was not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
