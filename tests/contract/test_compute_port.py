"""What any Compute does; what only processes can do comes after."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.process_pool import ProcessPool
from dataspoke.errors import DependencyTimeout, DependencyUnavailable, InvalidInput
from dataspoke.ports.compute import Compute
from tests.support.waiting import lives, until

AMPLE = timedelta(seconds=60)
BRIEF = timedelta(seconds=0.5)


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(2) as made:
        yield made


@pytest.fixture(params=["inline", "processes"])
def compute(request: pytest.FixtureRequest) -> Compute:
    if request.param == "inline":
        return InlineCompute()
    made: ProcessPool = request.getfixturevalue("pool")
    return made


def _refuse(text: str) -> None:
    raise InvalidInput(text)


def _spin(mark: Path) -> None:
    """Never end, after having said which process this is."""
    mark.write_text(str(os.getpid()))
    while True:
        pass


def _time_out() -> None:
    raise TimeoutError("of its own")


async def _pid_in(mark: Path) -> int:
    def read() -> str:
        return mark.read_text() if mark.exists() else ""

    await until(lambda: bool(read()), "the process to say its number")
    return int(read())


async def _gone(pid: int) -> None:
    await until(lambda: not lives(pid), "the process to end")


async def test_it_returns_what_the_function_returns(compute: Compute) -> None:
    assert await compute.run(AMPLE, divmod, 7, 2) == (3, 1)
    assert await compute.run(AMPLE, sorted, [2, 3, 1], reverse=True) == [3, 2, 1]


async def test_it_raises_what_the_function_raises(compute: Compute) -> None:
    with pytest.raises(InvalidInput) as raised:
        await compute.run(AMPLE, _refuse, "no such thing")
    assert raised.value.public_message == "no such thing"
    with pytest.raises(TimeoutError, match="of its own"):
        await compute.run(AMPLE, _time_out)


async def test_a_timeout_kills_the_process_and_the_next_call_has_another(
    pool: ProcessPool, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    with pytest.raises(DependencyTimeout) as raised:
        await pool.run(BRIEF, _spin, mark)
    assert raised.value.port == "compute"
    assert not lives(int(mark.read_text()))
    assert await pool.run(AMPLE, pow, 2, 5) == 32


async def test_a_cancellation_kills_the_process(pool: ProcessPool, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    running = asyncio.create_task(pool.run(AMPLE, _spin, mark))
    pid = await _pid_in(mark)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not lives(pid)
    assert await pool.run(AMPLE, pow, 2, 5) == 32


async def test_a_call_whose_process_is_killed_is_made_again(
    pool: ProcessPool, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    running = asyncio.create_task(pool.run(AMPLE, _die_once, mark))
    assert await running == "alive"
    assert not lives(int(mark.read_text()))


def _die_once(mark: Path) -> str:
    if mark.exists():
        return "alive"
    mark.write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)
    return "unreachable"


async def test_a_call_that_kills_its_process_each_time_is_given_up(pool: ProcessPool) -> None:
    with pytest.raises(DependencyUnavailable, match="died") as raised:
        await pool.run(AMPLE, os._exit, 9)
    assert raised.value.port == "compute"
    assert await pool.run(AMPLE, pow, 2, 5) == 32


async def test_processes_killed_while_idle_are_replaced(pool: ProcessPool) -> None:
    for _ in range(3):
        pid = await pool.run(AMPLE, os.getpid)
        os.kill(pid, signal.SIGKILL)
        await _gone(pid)
        assert await pool.run(AMPLE, os.getpid) != pid


async def test_modules_are_there_before_the_first_call() -> None:
    async with ProcessPool(1, preload=["colorsys"]) as fresh:
        assert await fresh.run(AMPLE, _is_loaded, "colorsys")
        assert not await fresh.run(AMPLE, _is_loaded, "cgitb")


def _is_loaded(module: str) -> bool:
    return module in sys.modules


async def test_calls_run_side_by_side_and_the_rest_waits(pool: ProcessPool) -> None:
    await asyncio.gather(*(pool.run(AMPLE, time.sleep, 0.1) for _ in range(2)))
    began = time.monotonic()
    pids = await asyncio.gather(*(pool.run(BRIEF, _nap, 0.3) for _ in range(6)))
    assert len(set(pids)) == 2
    # Waiting does not count as running: six naps in two processes take longer than the limit.
    assert time.monotonic() - began > 0.8


def _nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


_PARENT = """
import asyncio, pathlib, sys
from datetime import timedelta
from dataspoke.adapters.process_pool import ProcessPool
from tests.contract.test_compute_port import _spin

async def main():
    await ProcessPool(1).run(timedelta(seconds=60), _spin, pathlib.Path(sys.argv[1]))

asyncio.run(main())
"""


async def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    root = Path(__file__).parents[2]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(mark), cwd=root
    )
    try:
        pid = await _pid_in(mark)
    finally:
        parent.kill()
        await parent.wait()
    await _gone(pid)
