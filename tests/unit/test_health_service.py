"""Audits and reads of metadata health, for every kind of caller."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset
from dataspoke.errors import DependencyUnavailable, InvalidInput, LeaseLost, Unauthenticated
from dataspoke.health.model import HealthScore
from dataspoke.health.service import AUDIT_BATCH, MAX_PAGE, HealthService
from dataspoke.ports.hub import Access, Actor
from dataspoke.ports.store import JobKind, Lease

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def urn(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,shop.{name},PROD)"


def dataset(name: str, **changes: object) -> Dataset:
    return Dataset(urn(name), f"shop.{name}", "urn:li:dataPlatform:postgres", **changes)  # type: ignore[arg-type]


class House:
    """The service on a hub and a store in memory."""

    def __init__(self, hub: MemoryHub | None = None) -> None:
        self.clock = MemoryClock(NOW)
        self.hub = hub or MemoryHub()
        self.store = MemoryStore(self.clock)
        self.health = HealthService(self.hub, self.store, self.clock)
        self.service = self.hub.admit("service", "urn:li:corpuser:dataspoke", can_manage=True)

    async def scored(self, values: dict[str, float]) -> None:
        """Put datasets into the hub that have these scores."""
        for name in values:
            self.hub.put(dataset(name))
        async with self.store.transaction() as tx:
            await tx.save_health(
                [HealthScore(urn(name), value, (), NOW) for name, value in values.items()]
            )


@pytest.fixture
def house() -> House:
    return House()


async def test_an_audit_of_all_becomes_jobs_of_a_bounded_size_that_cover_everything(
    house: House,
) -> None:
    names = [f"t{number:03}" for number in range(2 * AUDIT_BATCH + 7)]
    for name in names:
        house.hub.put(dataset(name))
    await house.scored({"left": 50.0})
    house.hub.delete(urn("left"))

    await house.health.audit_all(None)

    jobs = house.store.open_jobs
    assert {job.kind for job in jobs} == {JobKind.AUDIT_DATASETS}
    assert all(len(job.payload["urns"]) <= AUDIT_BATCH for job in jobs)
    audited = [one for job in jobs for one in job.payload["urns"]]
    assert sorted(audited) == sorted([urn("left"), *map(urn, names)])

    await house.health.audit_all(None)
    assert house.store.open_jobs == jobs


async def test_an_audit_saves_scores_and_asks_for_their_write_back(house: House) -> None:
    house.hub.put(dataset("orders", description="One row for each purchase.", owners=("urn:li:a",)))
    house.hub.put(dataset("empty"))

    await house.health.audit(None, [urn("orders"), urn("empty")])

    scores = await house.store.health_of([urn("orders"), urn("empty")])
    assert scores[urn("orders")].value == 64.3  # 45 of 70 points: no columns, no time of change
    assert scores[urn("empty")].value == 0
    assert scores[urn("empty")].scored_at == NOW
    (job,) = house.store.open_jobs
    assert job.kind is JobKind.WRITE_BACK_HEALTH
    assert sorted(job.payload["urns"]) == [urn("empty"), urn("orders")]


async def test_an_audit_forgets_what_has_left_the_hub(house: House) -> None:
    await house.scored({"kept": 10.0, "deleted": 20.0, "removed": 30.0})
    house.hub.delete(urn("deleted"))
    house.hub.put(dataset("removed", removed=True))

    await house.health.audit(None, [urn("kept"), urn("deleted"), urn("removed")])

    assert await house.store.known_datasets() == {urn("kept")}


async def test_a_failing_hub_leaves_the_scores_as_they_were(house: House) -> None:
    await house.scored({"orders": 42.0})
    house.hub.failure = DependencyUnavailable("hub", "DataHub does not answer.")

    for call in (
        house.health.audit(None, [urn("orders")]),
        house.health.audit_all(None),
        house.health.write_back(None, [urn("orders")]),
    ):
        with pytest.raises(DependencyUnavailable):
            await call

    assert (await house.store.health_of([urn("orders")]))[urn("orders")].value == 42.0
    assert not house.store.open_jobs


async def test_nothing_is_saved_under_a_lost_lease(house: House) -> None:
    house.hub.put(dataset("orders"))
    lost = Lease(uuid4(), 1)

    with pytest.raises(LeaseLost):
        await house.health.audit_all(lost)
    with pytest.raises(LeaseLost):
        await house.health.audit(lost, [urn("orders")])

    assert not await house.store.health_of([urn("orders")])
    assert not house.store.open_jobs


async def test_write_back_shows_the_score_and_leaves_the_quality_alone(house: House) -> None:
    await house.scored({"orders": 61.5, "deleted": 10.0, "removed": 20.0})
    house.hub.delete(urn("deleted"))
    house.hub.put(dataset("removed", removed=True))
    house.hub.put(dataset("unscored"))

    for _ in range(2):
        await house.health.write_back(
            None, [urn("orders"), urn("deleted"), urn("removed"), urn("unscored")]
        )

    # A write to a deleted dataset would bring it back.
    assert {one: score.health for one, score in house.hub.scores.items()} == {urn("orders"): 61.5}
    assert house.hub.scores[urn("orders")].quality is None


NO_RIGHTS = Access(view_profile=False, view_operations=False, edit_assertions=False)
ACTORS = {
    # who: (rights that differ from all, what they see of open, secret and never scored)
    "stranger": ({urn("open"): None, urn("secret"): None, urn("new"): None}, set()),
    # Health is of metadata: it asks for no right on profiles.
    "viewer": ({urn("open"): NO_RIGHTS, urn("secret"): None}, {urn("open")}),
    "editor": ({urn("secret"): None}, {urn("open")}),
    "service": ({}, {urn("open"), urn("secret")}),
}


@pytest.mark.parametrize("who", ACTORS)
async def test_each_actor_sees_the_scores_of_what_they_may_see(house: House, who: str) -> None:
    await house.scored({"open": 80.0, "secret": 20.0})
    house.hub.put(dataset("new"))
    rights, visible = ACTORS[who]
    actor = house.hub.admit(who, f"urn:li:corpuser:{who}", rights=rights)

    scores = await house.health.scores_for(actor, [urn("open"), urn("secret"), urn("new")])
    page = await house.health.ranking(actor, ascending=True, first=10, after=None)

    assert set(scores) == visible
    assert {score.urn for score in page.scores} == visible
    assert not page.has_next
    assert not house.store.open_jobs
    assert not house.hub.scores


async def test_somebody_the_hub_does_not_know_sees_nothing(house: House) -> None:
    await house.scored({"open": 80.0})
    anonymous = Actor("urn:li:corpuser:nobody", "made-up")

    with pytest.raises(Unauthenticated):
        await house.health.scores_for(anonymous, [urn("open")])
    with pytest.raises(Unauthenticated):
        await house.health.ranking(anonymous, ascending=True, first=1, after=None)


@settings(max_examples=60)
@given(
    values=st.lists(st.sampled_from([0.0, 33.3, 50.0, 99.9]), max_size=30),
    hidden=st.sets(st.integers(0, 29)),
    first=st.integers(1, 7),
    ascending=st.booleans(),
)
async def test_pages_are_full_and_together_they_are_the_visible_ranking(
    values: list[float], hidden: set[int], first: int, ascending: bool
) -> None:
    house = House()
    await house.scored({f"t{number:02}": value for number, value in enumerate(values)})
    actor = house.hub.admit(
        "viewer", "urn:li:corpuser:viewer", rights={urn(f"t{n:02}"): None for n in hidden}
    )
    expected = sorted(
        ((v, urn(f"t{n:02}")) for n, v in enumerate(values) if n not in hidden),
        reverse=not ascending,
    )

    seen: list[tuple[float, str]] = []
    after = None
    while True:
        page = await house.health.ranking(actor, ascending, first, after)
        seen += [(score.value, score.urn) for score in page.scores]
        assert len(page.cursors) == len(page.scores)
        assert page.has_next == (len(seen) < len(expected))
        if not page.has_next:
            break
        assert len(page.scores) == first
        after = page.cursors[-1]

    assert seen == expected


async def test_a_cursor_from_the_middle_of_a_page_goes_on_from_there(house: House) -> None:
    await house.scored({"a": 1.0, "b": 2.0, "c": 3.0})
    page = await house.health.ranking(house.service, ascending=True, first=3, after=None)

    rest = await house.health.ranking(house.service, True, 3, page.cursors[0])

    assert [score.urn for score in rest.scores] == [urn("b"), urn("c")]


class CountingHub(MemoryHub):
    """Counts how often it is asked for somebody's rights."""

    asked = 0

    async def access(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Access]:
        self.asked += 1
        return await super().access(actor, urns)


async def test_few_reads_are_made_for_somebody_who_sees_little() -> None:
    house = House(CountingHub())
    names = [f"t{number:04}" for number in range(1000)]
    await house.scored(dict.fromkeys(names, 50.0))
    actor = house.hub.admit(
        "guest", "urn:li:corpuser:guest", rights={urn(name): None for name in names[:-1]}
    )

    page = await house.health.ranking(actor, ascending=True, first=1, after=None)

    assert [score.urn for score in page.scores] == [urn(names[-1])]
    assert not page.has_next
    assert isinstance(house.hub, CountingHub)
    assert house.hub.asked < 10


@pytest.mark.parametrize("first", [0, -1, MAX_PAGE + 1])
async def test_a_page_of_no_sensible_size_is_refused(house: House, first: int) -> None:
    with pytest.raises(InvalidInput, match=f"first is {first}"):
        await house.health.ranking(house.service, ascending=True, first=first, after=None)


def _encoded(place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


@pytest.mark.parametrize(
    "after",
    [
        "",
        "no cursor",
        "ä",
        "bm8=",
        _encoded([1, 2]),
        _encoded({"value": 1}),
        _encoded([False, 1.0, urn("a")]),
        _encoded([True, "1", urn("a")]),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
async def test_what_is_no_cursor_of_this_ranking_is_refused(house: House, after: str) -> None:
    with pytest.raises(InvalidInput, match="after is"):
        await house.health.ranking(house.service, ascending=True, first=1, after=after)


async def test_a_second_audit_replaces_the_score(house: House) -> None:
    house.hub.put(dataset("orders"))
    await house.health.audit(None, [urn("orders")])
    house.hub.put(dataset("orders", domain="urn:li:domain:sales"))
    house.clock.advance(timedelta(days=1))

    await house.health.audit(None, [urn("orders")])

    scores = await house.health.scores_for(house.service, [urn("orders")])
    assert scores[urn("orders")].value == 21.4  # 15 of 70
    assert scores[urn("orders")].scored_at == NOW + timedelta(days=1)
