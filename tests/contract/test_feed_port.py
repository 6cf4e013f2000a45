"""What any Feed does: the one in memory and the one on Redis, by the same tests."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.redis_feed import RedisFeed
from dataspoke.embedded.valkey import Valkey
from dataspoke.errors import DependencyUnavailable
from dataspoke.ports.feed import Feed
from dataspoke.settings import RedisSettings
from tests.support.waiting import until

LONG = timedelta(seconds=60)
SHORT = timedelta(seconds=0.2)


@pytest.fixture(params=["memory", "redis"])
async def feed(request: pytest.FixtureRequest) -> AsyncIterator[Feed]:
    """A feed that yields by itself after a minute only."""
    if request.param == "memory":
        yield MemoryFeed(LONG)
        return
    valkey: Valkey = request.getfixturevalue("valkey")
    async with RedisFeed(RedisSettings(url=valkey.url), LONG) as made:
        yield made


async def _turn(turns: AsyncIterator[None]) -> None:
    async with asyncio.timeout(10):
        await anext(turns)


async def test_a_signal_wakes_every_listener(feed: Feed) -> None:
    async with feed.listen() as first, feed.listen() as second:
        await feed.signal()
        await _turn(first)
        await _turn(second)


async def test_a_signal_before_the_turn_is_not_missed(feed: Feed) -> None:
    async with feed.listen() as turns:
        await feed.signal()
        await asyncio.sleep(0)
        await _turn(turns)
        await feed.signal()
        await _turn(turns)


async def test_one_that_stopped_listening_disturbs_nobody(feed: Feed) -> None:
    async with feed.listen() as turns:
        async with feed.listen():
            pass
        await feed.signal()
        await _turn(turns)


async def test_signals_cross_from_one_process_to_another(valkey: Valkey) -> None:
    settings = RedisSettings(url=valkey.url)
    async with (
        RedisFeed(settings, LONG) as here,
        RedisFeed(settings, LONG) as there,
        there.listen() as turns,
    ):
        await _turn(turns)  # the subscription
        await here.signal()
        await _turn(turns)


async def _subscriptions(valkey: Valkey) -> int:
    async with Redis.from_url(valkey.url) as redis:
        ((_, number),) = await redis.pubsub_numsub("dataspoke:alerts")
        return int(number)


async def test_all_listeners_share_one_connection_and_leave_none_behind(valkey: Valkey) -> None:
    settings = RedisSettings(url=valkey.url)
    async with RedisFeed(settings, LONG) as feed, feed.listen(), feed.listen():
        assert await _subscriptions(valkey) == 1

    async def none() -> bool:
        return await _subscriptions(valkey) == 0

    await until(none, "the subscription to end")


async def test_listeners_go_on_while_redis_is_down_and_hear_when_it_is_back(
    tmp_path: Path,
) -> None:
    valkey = Valkey(tmp_path)
    try:
        async with (
            RedisFeed(RedisSettings(url=valkey.url), SHORT) as feed,
            feed.listen() as turns,
        ):
            valkey.child.process.kill()
            valkey.child.process.wait()
            for _ in range(3):
                await _turn(turns)
            with pytest.raises(DependencyUnavailable) as raised:
                await feed.signal()
            assert raised.value.port == "feed"
            async with feed.listen() as late:
                await _turn(late)
            valkey.start()

            async def subscribed_again() -> bool:
                return await _subscriptions(valkey) == 1

            await until(subscribed_again, "a new subscription")
            await feed.signal()
            await _turn(turns)
    finally:
        valkey.stop()
