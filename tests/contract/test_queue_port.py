"""What any Queue does; what only the one on Redis has to stand comes after."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from dataspoke.adapters.arq import ArqQueue
from dataspoke.adapters.memory.queue import MemoryQueue
from dataspoke.embedded.valkey import Valkey
from dataspoke.errors import ConfigurationError, DependencyUnavailable
from dataspoke.ports.queue import WakeUp
from dataspoke.settings import RedisSettings
from tests.support.waiting import until


@pytest.fixture
async def queue(valkey: Valkey) -> AsyncIterator[ArqQueue]:
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
    async with ArqQueue(RedisSettings(url=valkey.url)) as made:
        yield made


class Receiver:
    """Notes what is begun; each job runs until ``end`` is set."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.end = asyncio.Event()

    async def begin(self, job_id: UUID) -> Awaitable[None] | None:
        self.begun.append(job_id)
        return self._run()

    async def _run(self) -> None:
        await self.end.wait()

    async def until(self, count: int) -> None:
        await until(lambda: len(self.begun) >= count, f"{count} wake-ups")


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(task, return_exceptions=True)


async def test_equal_wake_ups_are_one_and_a_new_token_is_another(queue: ArqQueue) -> None:
    job = uuid4()
    await queue.wake([WakeUp(job, 0), WakeUp(job, 0)])
    await queue.wake([WakeUp(job, 0), WakeUp(job, 1), WakeUp(uuid4(), 0)])
    receiver = Receiver()
    receiver.end.set()
    receiving = asyncio.create_task(queue.receive(receiver.begin, at_once=10))
    await receiver.until(3)
    # Had there been more, they would come before this one.
    await queue.wake([WakeUp(last := uuid4(), 0)])
    await receiver.until(4)
    await _cancel(receiving)
    assert receiver.begun.count(job) == 2
    assert receiver.begun[-1] == last
    assert len(receiver.begun) == 4


async def test_the_memory_queue_joins_equal_wake_ups_too() -> None:
    memory, job = MemoryQueue(), uuid4()
    await memory.wake([WakeUp(job, 0), WakeUp(job, 0), WakeUp(job, 1)])
    assert memory.sent == [WakeUp(job, 0), WakeUp(job, 1)]


async def test_no_more_are_begun_than_may_run_at_once(queue: ArqQueue) -> None:
    await queue.wake([WakeUp(uuid4(), 0) for _ in range(5)])
    receiver = Receiver()
    receiving = asyncio.create_task(queue.receive(receiver.begin, at_once=2))
    await receiver.until(2)
    # Another receiver gets what this one has no room for.
    other = Receiver()
    other.end.set()
    receiving_too = asyncio.create_task(queue.receive(other.begin, at_once=2))
    await other.until(3)
    assert len(receiver.begun) == 2
    assert not set(receiver.begun) & set(other.begun)
    await _cancel(receiving)
    await _cancel(receiving_too)


async def test_what_is_urgent_goes_before_what_came_earlier(queue: ArqQueue) -> None:
    await queue.wake([WakeUp(uuid4(), 0, urgent=False) for _ in range(20)])
    await queue.wake([WakeUp(urgent := uuid4(), 0)])
    receiver = Receiver()
    receiver.end.set()
    receiving = asyncio.create_task(queue.receive(receiver.begin, at_once=1))
    await receiver.until(21)
    await _cancel(receiving)
    assert receiver.begun[0] == urgent


async def test_what_is_begun_is_not_given_to_another_when_its_receiver_ends(
    queue: ArqQueue,
) -> None:
    await queue.wake([WakeUp(uuid4(), 0)])
    receiver = Receiver()
    receiving = asyncio.create_task(queue.receive(receiver.begin, at_once=2))
    await receiver.until(1)
    await _cancel(receiving)
    other = Receiver()
    receiving = asyncio.create_task(queue.receive(other.begin, at_once=2))
    await queue.wake([WakeUp(last := uuid4(), 0)])
    await other.until(1)
    await _cancel(receiving)
    assert other.begun == [last]


async def test_nothing_in_redis_is_pickled(queue: ArqQueue, valkey: Valkey) -> None:
    await queue.wake([WakeUp(job := uuid4(), 3)])
    async with Redis.from_url(valkey.url) as redis:
        (key,) = [key async for key in redis.scan_iter("arq:job:*")]
        assert key.decode() == f"arq:job:{job}:3"
        assert (await redis.get(key)).startswith(
            b'{"t":null,"f":"begin","a":["' + str(job).encode()
        )


async def test_a_redis_that_is_down_is_unavailable() -> None:
    async with ArqQueue(RedisSettings(url="redis://127.0.0.1:1/0")) as queue:
        with pytest.raises(DependencyUnavailable) as raised:
            await queue.wake([WakeUp(uuid4(), 0)])
        assert raised.value.port == "queue"
        with pytest.raises(DependencyUnavailable):
            await queue.receive(Receiver().begin, at_once=1)


async def test_a_wrong_password_names_the_setting(valkey: Valkey) -> None:
    url = f"redis://:wrong@127.0.0.1:{valkey.port}/0"
    async with ArqQueue(RedisSettings(url=url)) as queue:
        with pytest.raises(ConfigurationError, match="DATASPOKE_REDIS__URL"):
            await queue.wake([WakeUp(uuid4(), 0)])
