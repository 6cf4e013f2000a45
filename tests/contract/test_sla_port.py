"""What any store keeps of deadlines: the one in memory and the one on PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dataspoke.errors import Conflict
from dataspoke.ports.sla import NextLook
from dataspoke.ports.store import Store
from dataspoke.quality.sla.model import LateUpstream, Outlook, SlaStatus, SlaTarget

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def target(urn: str = "a", **changes: object) -> SlaTarget:
    whole = SlaTarget(
        urn, "0 8 * * 1-5", "Europe/Berlin", warn_at=0.8, window=6 * HOUR, set_at=NOON
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def outlook(urn: str = "a", day: int = 0, **changes: object) -> Outlook:
    whole = Outlook(
        urn,
        NOON + day * DAY,
        SlaStatus.AT_RISK,
        NOON + day * DAY - HOUR,
        chance=0.82,
        expected_at=NOON + day * DAY + HOUR,
        expected_earliest=NOON + day * DAY,
        expected_latest=NOON + day * DAY + 3 * HOUR,
        cause=LateUpstream("raw", timedelta(hours=2.1), arrived=False),
        warned_at=NOON + day * DAY - HOUR,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


async def save(store: Store, *targets: SlaTarget, look_at: datetime = NOON) -> None:
    async with store.transaction() as tx:
        for one in targets:
            await tx.save_sla_target(one, look_at)


async def due(store: Store, now: datetime = NOON, limit: int = 10) -> list[str]:
    return [one.urn for one in await store.sla_targets_to_look_at(now, limit)]


async def test_targets_and_outlooks_come_back_as_they_were_saved(store: Store) -> None:
    plain = SlaTarget("b", "0 6 * * *")
    await save(store, target(), plain)
    bare = Outlook("b", NOON, SlaStatus.WARMING_UP, NOON - HOUR)
    async with store.transaction() as tx:
        await tx.save_outlooks([outlook(), bare])
    assert await store.sla_targets(["a", "b", "c"]) == {
        "a": target(version=1),
        "b": replace(plain, version=1),
    }
    assert await store.outlooks_of(["a", "b", "c"], 5) == {"a": [outlook()], "b": [bare]}


async def test_a_target_is_changed_from_the_newest_only(store: Store) -> None:
    await save(store, target())
    later = target(cron="0 9 * * *", version=1)
    await save(store, later)
    assert (await store.sla_targets(["a"]))["a"] == replace(later, version=2)
    for stale in (target(), target(version=1), target(version=3), target("new", version=1)):
        with pytest.raises(Conflict, match="read it again"):
            await save(store, stale)
    assert set(await store.sla_targets(["a", "new"])) == {"a"}


async def test_the_longest_due_are_looked_at_first(store: Store) -> None:
    await save(store, target("late"), look_at=NOON + HOUR)
    await save(store, target("b"), target("a"))
    await save(store, target("off", enabled=False))
    await save(store, target("first"), look_at=NOON - HOUR)
    assert await due(store) == ["first", "a", "b"]
    assert await due(store, limit=2) == ["first", "a"]
    assert await due(store, NOON + HOUR) == ["first", "a", "b", "late"]


async def test_a_look_is_planned_for_the_version_that_was_looked_at(store: Store) -> None:
    await save(store, target("a"), target("b"), target("c"))
    await save(store, target("c", version=1))
    async with store.transaction() as tx:
        await tx.plan_looks(
            [
                NextLook("a", 1, NOON + DAY),
                NextLook("b", 1, None),
                NextLook("c", 1, NOON + DAY),
                NextLook("gone", 1, NOON),
            ]
        )
    assert await due(store) == ["c"]
    assert await due(store, NOON + DAY) == ["c", "a"]


async def test_outlooks_are_read_newest_first_and_as_many_as_asked(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.save_outlooks([outlook("a", day) for day in range(4)])
        await tx.save_outlooks([outlook("b", day) for day in range(2)])
    assert await store.outlooks_of(["a", "b"], 3) == {
        "a": [outlook("a", day) for day in (3, 2, 1)],
        "b": [outlook("b", day) for day in (1, 0)],
    }


async def test_an_older_look_does_not_replace_a_newer_one(store: Store) -> None:
    newer = outlook(looked_at=NOON, status=SlaStatus.MISSED)
    async with store.transaction() as tx:
        await tx.save_outlooks([newer])
        await tx.save_outlooks([outlook(looked_at=NOON - HOUR)])
    assert await store.outlooks_of(["a"], 1) == {"a": [newer]}


async def test_what_is_removed_or_has_left_takes_its_outlooks_along(store: Store) -> None:
    await save(store, target("a"), target("b"), target("c"))
    async with store.transaction() as tx:
        await tx.save_outlooks([outlook(urn) for urn in "abc"])
        await tx.remove_sla_targets(["a", "none"])
        await tx.forget(["b"])
    assert set(await store.sla_targets(["a", "b", "c"])) == {"c"}
    assert set(await store.outlooks_of(["a", "b", "c"], 5)) == {"c"}
    assert await due(store) == ["c"]


async def test_what_is_not_committed_is_not_kept(store: Store) -> None:
    await save(store, target("b"))
    both = (target("a"), target("b"))
    with pytest.raises(Conflict):
        await save(store, *both)
    assert set(await store.sla_targets(["a", "b"])) == {"b"}
