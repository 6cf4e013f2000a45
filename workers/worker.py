"""The background process: everything that DataSpoke does without being asked."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial

from dataspoke.errors import DependencyRejected
from dataspoke.ports.changes import ChangeLog, Group
from dataspoke.ports.hub import Hub, Topic
from dataspoke.ports.queue import Queue, WakeUps
from dataspoke.ports.store import JobKind, Jobs, Store
from dataspoke.settings import WorkerSettings
from dataspoke.workers.consumer import EventConsumer, GroupConsumer
from dataspoke.workers.jobs import Work
from dataspoke.workers.relay import Relay
from dataspoke.workers.repeat import repeat, succeed
from dataspoke.workers.runner import Runner
from dataspoke.workers.schedule import Entry, Schedule

_log = logging.getLogger(__name__)

# What starts containers kills after 10 s, if not later.
_GRACE = timedelta(seconds=5)
# A worker beside others may get no partition at all.
_JOINING_S = 10


async def run(
    work: Mapping[JobKind, Work],
    store: Store,
    jobs: Jobs,
    queue: Queue,
    wake_ups: WakeUps,
    hub: Hub,
    settings: WorkerSettings,
    schedule: Sequence[Entry],
    stop: asyncio.Event,
    changes: ChangeLog | None = None,
) -> None:
    """Run jobs, follow the hub's events and keep the schedules until ``stop`` is set.

    The hub is polled for its events where there is no ``changes``. While store, queue, hub or
    broker are down it waits and goes on afterwards. At the end running jobs get a few seconds; what
    is not done by then is given back for another worker.
    """
    relay = Relay(jobs, queue)
    runner = Runner(jobs, work, settings, relay.hurry)
    consumer = EventConsumer(
        hub, store, timedelta(seconds=settings.poll_wait_s), on_jobs=relay.hurry
    )
    clock = Schedule(jobs, schedule, relay.hurry)

    async def begin() -> None:
        try:
            await consumer.begin()
        except DependencyRejected as error:
            # Full scans have to do until the hub hands out its events.
            _log.error("The hub refuses its events: %s", error.public_message)

    async def poll_and_scan() -> None:
        # The starting points in the streams come before the first full scan, so that no change
        # falls between the two.
        await succeed("beginning of events", begin)
        async with asyncio.TaskGroup() as loops:
            for topic in Topic:
                loops.create_task(repeat(topic, partial(consumer.step, topic)))
            loops.create_task(repeat("schedule", clock.step))

    async def follow_and_scan(log: ChangeLog) -> None:
        members = [GroupConsumer(group, log, store, relay.hurry) for group in Group]
        async with asyncio.TaskGroup() as loops:
            for member in members:
                loops.create_task(repeat(member.group, member.step))
            # What a beginning asks for and the first full scan are then the same jobs.
            with suppress(TimeoutError):
                async with asyncio.timeout(_JOINING_S):
                    for member in members:
                        await member.has_begun.wait()
            loops.create_task(repeat("schedule", clock.step))

    receive = partial(wake_ups.receive, runner.begin, settings.concurrency)
    _log.info("The worker runs up to %d jobs at a time.", settings.concurrency)
    try:
        async with asyncio.TaskGroup() as loops:
            started = [
                loops.create_task(repeat("wake-ups", receive)),
                loops.create_task(repeat("relay", relay.step)),
                loops.create_task(follow_and_scan(changes) if changes else poll_and_scan()),
            ]
            await stop.wait()
            for loop in started:
                loop.cancel()
    finally:
        await runner.stop(_GRACE)
    _log.info("The worker has stopped.")
