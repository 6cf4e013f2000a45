"""CPU work in processes that can be killed: a timeout could not stop a thread."""

import asyncio
import importlib
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any, ParamSpec, Self, TypeVar

import pebble
from pebble import ProcessExpired

from dataspoke.errors import DependencyTimeout, DependencyUnavailable

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

_PORT = "compute"
# A fresh interpreter, with nothing of the parent's threads, locks and connections.
_PROCESSES = multiprocessing.get_context("spawn")
# Starting one and importing the models, on a busy machine; also for what pebble would not notice.
_GRACE_S = 60.0
_TRIES = 2
# What pebble's own timeouts say; one that the function raises says something else.
_TIMED_OUT = ("Task timeout",)


class ProcessPool:
    """The Compute port. Each call has one of ``processes`` to itself; further ones wait for it.

    Each imports the modules of ``preload`` when it starts, so that no call waits for that. They end
    with this one, also where it is killed. Use it as a context, or close it.
    """

    def __init__(self, processes: int, preload: Sequence[str] = ()) -> None:
        # One pool for each process: pebble's processes share locks, and one that is killed may
        # take a lock, or the call of another, with it.
        self._all = [_Slot(preload) for _ in range(processes)]
        self._slots: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        for slot in self._all:
            self._slots.put_nowait(slot)

    async def __aenter__(self) -> Self:
        for slot in self._all:
            slot.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill the processes; nothing may be running any more."""
        await asyncio.gather(*(slot.stop() for slot in self._all))

    async def run(
        self, timeout: timedelta, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        slot = await self._slots.get()
        try:
            for _ in range(_TRIES):
                try:
                    return await slot.run(timeout.total_seconds(), function, args, kwargs)
                except _Died as error:
                    # It need not be the call's fault: the system kills what takes memory.
                    _log.warning("A process of the pool died: %s", error)
        finally:
            self._slots.put_nowait(slot)
        raise DependencyUnavailable(
            _PORT, f"The process that computed it died {_TRIES} times, perhaps for lack of memory."
        )


class _Died(Exception):
    """The process ended before it had an answer."""


class _Slot:
    """One process, started when it is needed and again after it ended."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._pool: pebble.ProcessPool | None = None

    def start(self) -> pebble.ProcessPool:
        """Return the pool of one process, which is ready or getting so."""
        if self._pool is None:
            self._pool = pebble.ProcessPool(
                1, initializer=_prepare, initargs=(self._preload,), context=_PROCESSES
            )
            self._pool.schedule(_prepared)
        return self._pool

    async def run(
        self,
        timeout_s: float,
        function: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> T:
        if self._pool is not None and not self._pool.active:
            await self.stop()
        pool = self.start()
        try:
            running = pool.schedule(function, args=args, kwargs=kwargs, timeout=timeout_s)
        except RuntimeError as error:
            raise _Died(str(error)) from error
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S) as grace:
                return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            await self.stop()
            raise
        except (ProcessExpired, BrokenProcessPool) as error:
            raise _Died(str(error)) from error
        except TimeoutError as error:
            if grace.expired():
                await self.stop()
            elif error.args[:1] != _TIMED_OUT:
                raise  # by the function
            raise DependencyTimeout(
                _PORT, f"A computation took longer than {timeout_s:g} s and was stopped."
            ) from error

    async def stop(self) -> None:
        """Kill the process; what it is at fails."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(pool.join)


def _prepare(preload: Sequence[str]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_await_end, args=(parent.sentinel,), daemon=True).start()
    # What libraries have to say about being imported, they say once, and not here.
    logging.disable()
    for name in preload:
        with suppress(ImportError):  # the call that needs it will say so
            importlib.import_module(name)
    logging.disable(logging.NOTSET)


def _prepared() -> None:
    """Do nothing: the first call starts the process."""


def _await_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
