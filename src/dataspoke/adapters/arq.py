"""The queue on arq and Redis: wake-ups that name a job, and nothing else."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import orjson
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool

from dataspoke.adapters.redis_errors import KEEP_ALIVE, translated
from dataspoke.ports.queue import Begin, WakeUp
from dataspoke.settings import RedisSettings

_PORT = "queue"
_QUEUE = "dataspoke:wake-ups"
_FUNCTION = "begin"
_CONNECT_TIMEOUT_S = 3
_ANSWER_TIMEOUT_S = 10
# Jobs have limits of their own, which are shorter.
_NO_TIMEOUT_S = 7 * 86_400
# A wake-up that came to a worker which died before it claimed the job goes to another after this.
_TAKEN_FOR_DEAD_S = 5.0
# A wake-up goes to another receiver where one dies with it; it is no try of the job.
_MOST_DELIVERIES = 100
# arq takes wake-ups in the order of their times: one that is urgent goes before what has waited for
# up to so long.
_HEAD_START = timedelta(hours=6)
# arq looks for wake-ups at this interval, and takes up to ``at_once`` each time.
_POLL_DELAY_S = 0.05


def _serialize(value: Any) -> bytes:
    # arq's default is pickle, by which who writes to Redis could run code here. It also wants to
    # write down exceptions, which nobody reads.
    return orjson.dumps(value, default=repr)


class ArqQueue:
    """The Queue and WakeUps ports. No result is kept, so that a job can be woken again at once.

    Use it as a context, or close it.
    """

    def __init__(self, settings: RedisSettings) -> None:
        pool = ConnectionPool.from_url(
            settings.url.get_secret_value(),
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            # No socket_timeout: redis-py would send by asyncio.wait_for, which can swallow a
            # cancellation before Python 3.12; a worker would not stop. A peer that is gone is
            # noticed by keep-alive.
            socket_keepalive=True,
            socket_keepalive_options=KEEP_ALIVE,
        )
        self._redis = ArqRedis(
            pool,
            job_serializer=_serialize,
            job_deserializer=orjson.loads,
            default_queue_name=_QUEUE,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def wake(self, jobs: Sequence[WakeUp]) -> None:
        with translated(_PORT):
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                for job in jobs:
                    await self._redis.enqueue_job(
                        _FUNCTION,
                        str(job.job_id),
                        _job_id=f"{job.job_id}:{job.token}",
                        _defer_by=-_HEAD_START if job.urgent else None,
                    )

    async def ping(self) -> None:
        with translated(_PORT):
            await self._redis.ping()

    async def receive(self, begin: Begin, at_once: int) -> None:
        async def received(context: dict[str, Any], job_id: str) -> None:
            running = await begin(UUID(job_id))
            if running is not None:
                # The wake-up has done its duty; without this it would come again when arq takes
                # its receiver for dead.
                await self._redis.zrem(_QUEUE, context["job_id"])
                await running

        # It says two lines for each wake-up; what became of the job is logged by who runs it.
        logging.getLogger("arq.worker").setLevel(logging.WARNING)
        worker = Worker(
            [func(received, name=_FUNCTION)],  # type: ignore[arg-type]
            queue_name=_QUEUE,
            redis_pool=self._redis,
            handle_signals=False,
            max_jobs=at_once,
            job_timeout=_NO_TIMEOUT_S,
            keep_result=0,
            max_tries=_MOST_DELIVERIES,
            poll_delay=_POLL_DELAY_S,
            job_serializer=_serialize,
            job_deserializer=orjson.loads,
        )
        worker.in_progress_timeout_s = _TAKEN_FOR_DEAD_S
        try:
            with translated(_PORT):
                await worker.async_run()
        finally:
            begun = list(worker.tasks.values())
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)
