"""What any Cache does: the one in memory and the one on Redis, by the same tests."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from dataspoke.adapters.memory.cache import MemoryCache
from dataspoke.adapters.redis_cache import RedisCache
from dataspoke.adapters.system_clock import SystemClock
from dataspoke.embedded.valkey import Valkey
from dataspoke.ports.cache import Cache
from dataspoke.settings import RedisSettings
from tests.support.waiting import until

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache(SystemClock())
        return
    valkey: Valkey = request.getfixturevalue("valkey")
    async with RedisCache(RedisSettings(url=valkey.url)) as made:
        yield made


async def test_what_was_put_is_there_byte_for_byte(cache: Cache) -> None:
    await cache.put("a", bytes(range(256)), MINUTE)
    await cache.put("b: é\n", b"", MINUTE)

    assert await cache.get("a") == bytes(range(256))
    assert await cache.get("b: é\n") == b""


async def test_what_was_never_put_is_none(cache: Cache) -> None:
    assert await cache.get("never") is None


async def test_the_last_value_counts(cache: Cache) -> None:
    await cache.put("twice", b"old", MINUTE)
    await cache.put("twice", b"new", MINUTE)

    assert await cache.get("twice") == b"new"


async def test_a_value_runs_out_after_its_time_and_not_before(cache: Cache) -> None:
    started = time.monotonic()
    await cache.put("short", b"value", timedelta(milliseconds=300))
    await cache.put("long", b"value", MINUTE)

    async def gone() -> bool:
        return await cache.get("short") is None

    await until(gone, "the value to run out")
    assert time.monotonic() - started >= 0.3
    assert await cache.get("long") == b"value"


async def test_processes_share_it(valkey: Valkey) -> None:
    settings = RedisSettings(url=valkey.url)
    async with RedisCache(settings) as here, RedisCache(settings) as there:
        await here.put("shared", b"value", MINUTE)

        assert await there.get("shared") == b"value"


async def test_one_that_is_down_is_as_an_empty_one_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    valkey = Valkey(tmp_path)
    try:
        async with RedisCache(RedisSettings(url=valkey.url)) as cache:
            await cache.put("key", b"before", MINUTE)
            valkey.child.process.kill()
            valkey.child.process.wait()
            started = time.monotonic()
            for _ in range(100):
                assert await cache.get("key") is None
                await cache.put("key", b"lost", MINUTE)
            # Not each of the two hundred waits for a server that does not answer.
            assert time.monotonic() - started < 5
            assert [record.message for record in caplog.records].count(
                "Nothing is cached: Redis cannot be reached; is it running at DATASPOKE_REDIS__URL?"
            ) == 1
            valkey.start()

            async def kept() -> bool:
                await cache.put("key", b"after", MINUTE)
                return await cache.get("key") == b"after"

            await until(kept, "the cache to be back")
    finally:
        valkey.stop()
