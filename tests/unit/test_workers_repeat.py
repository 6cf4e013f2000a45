import asyncio
import logging

import pytest

from dataspoke.errors import DependencyUnavailable
from dataspoke.workers.repeat import succeed


class Step:
    """Fails as it is told to, one after the other, and succeeds then."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.done = 0

    async def __call__(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.done += 1


async def test_an_outage_is_logged_once_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    down = DependencyUnavailable("hub", "The hub is down.")
    with caplog.at_level(logging.INFO, "dataspoke.workers.repeat"):
        await succeed("events", step := Step(down, down))
    assert step.done == 1
    assert [record.getMessage() for record in caplog.records] == [
        "events: interrupted: The hub is down.",
        "events: goes on",
    ]


async def test_a_fault_in_the_code_does_not_end_a_loop(caplog: pytest.LogCaptureFixture) -> None:
    await succeed("events", step := Step(ValueError("a bug")))
    assert step.done == 1
    assert "a bug" in caplog.text


async def test_a_cancellation_ends_it() -> None:
    repeating = asyncio.create_task(succeed("events", Step(*[ValueError()] * 100)))
    await asyncio.sleep(0)
    repeating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await repeating
