"""What every hub does, whichever it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from dataspoke.catalogue import (
    ColumnProfile,
    Dataset,
    Field,
    ForeignKey,
    Lineage,
    Operation,
    Profile,
    Query,
    Reach,
    Usage,
)
from dataspoke.errors import Unauthenticated
from dataspoke.ports.hub import Access, Actor, Incident, OpenIncident, Scores, Topic
from dataspoke.quality.model import Check, Judgement, Metric, Point, Result, Severity, Status
from dataspoke.urns import incident_urn
from tests.support.hub import USERS
from tests.support.hub_ports import (
    OWNER_TYPE,
    DataHubUnderTest,
    HubUnderTest,
    MemoryUnderTest,
    dataset_urn,
)

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MISSING = dataset_urn("missing")
NO_WAIT = timedelta(0)

ALL = Access(view_profile=True, view_operations=True, edit_assertions=True, view_usage=True)
READ = Access(view_profile=True, view_operations=True, edit_assertions=False, view_usage=True)
NAME_ONLY = Access(view_profile=False, view_operations=False, edit_assertions=False)


@pytest.fixture(params=["memory", "datahub"])
async def under_test(request: pytest.FixtureRequest) -> AsyncIterator[HubUnderTest]:
    if request.param == "memory":
        yield MemoryUnderTest()
        return
    async with DataHubUnderTest.open() as opened:
        yield opened


def plain(name: str, **facts: object) -> Dataset:
    return Dataset(dataset_urn(name), name, "urn:li:dataPlatform:postgres", **facts)


def described() -> Dataset:
    return Dataset(
        urn=dataset_urn("orders"),
        name="Orders",
        platform="urn:li:dataPlatform:postgres",
        description="One row for each order of the shop.",
        fields=(
            Field("id", "bigint", "Number of the order.", type="NUMBER"),
            Field(
                "email",
                "text",
                None,
                ("urn:li:tag:pii",),
                ("urn:li:glossaryTerm:Contact",),
                type="STRING",
                nullable=True,
            ),
            Field("note", type="STRING"),
        ),
        owners=("urn:li:corpuser:ada", "urn:li:corpGroup:shop", "urn:li:corpuser:unnamed"),
        tags=("urn:li:tag:gold", "urn:li:tag:unnamed"),
        terms=("urn:li:glossaryTerm:Sale",),
        domain="urn:li:domain:sales",
        deprecated=True,
        last_updated=T0,
        names={
            "urn:li:corpuser:ada": "Ada Byron",
            "urn:li:corpGroup:shop": "Shop team",
            "urn:li:tag:pii": "Personal data",
            "urn:li:tag:gold": "Gold",
            "urn:li:glossaryTerm:Contact": "Contact",
            "urn:li:glossaryTerm:Sale": "Sale ünd more",
            "urn:li:domain:sales": "Sales",
        },
        owner_types={
            "urn:li:corpuser:ada": (OWNER_TYPE, "urn:li:ownershipType:pager"),
            "urn:li:corpGroup:shop": ("urn:li:ownershipType:pager",),
            "urn:li:corpuser:unnamed": (OWNER_TYPE,),
        },
        primary_keys=("id",),
        foreign_keys=(ForeignKey(("email",), dataset_urn("people"), ("address",)),),
        deprecation_note="Use the new orders.",
        replacement=dataset_urn("orders_v2"),
    )


def result(urn: str, status: Status = Status.PASS, value: float = 5.0) -> Result:
    return Result(
        urn,
        Check(Metric.ROW_COUNT),
        Judgement(Point(T0, value), status, "band", 5.0, 4.0, 6.0, 0.5),
        T0,
    )


def incident(urn: str) -> Incident:
    return Incident(
        id=UUID(int=1),
        urn=urn,
        check=Check(Metric.ROW_COUNT),
        title="Rows are missing",
        description="Half of them.",
        severity=Severity.ERROR,
        active=True,
        started_at=T0,
        raised_at=T0,
        changed_at=T0,
    )


async def test_it_says_what_it_is(under_test):
    info = await under_test.hub.info()

    assert info.stand_in
    assert info.version


async def test_a_dataset_is_read_in_full(under_test):
    under_test.put(described())

    assert await under_test.hub.datasets([described().urn]) == {described().urn: described()}


async def test_the_glossary_is_read_whole(under_test):
    assert await under_test.hub.glossary() == {}
    under_test.define("Net Revenue", "Revenue after returns, also called net sales.")
    under_test.define("Churn", "")
    assert await under_test.hub.glossary() == {
        "Net Revenue": "Revenue after returns, also called net sales.",
        "Churn": "",
    }


async def test_a_dataset_with_next_to_nothing_is_read(under_test):
    under_test.put(plain("bare"))

    assert await under_test.hub.datasets([dataset_urn("bare")]) == {
        dataset_urn("bare"): plain("bare")
    }


async def test_what_does_not_exist_is_absent_everywhere(under_test):
    under_test.put(plain("there"))
    hub, asked = under_test.hub, [MISSING, dataset_urn("there"), "urn:li:tag:pii", "nonsense"]
    admin = await hub.actor("admin-token")

    for answer in (
        await hub.datasets(asked),
        await hub.profiles(asked, T0),
        await hub.operations(asked, T0),
        await hub.usage(asked, T0),
        await hub.queries(asked, T0),
        await hub.lineage(asked),
        await hub.upstream(asked, 5),
        await hub.downstream(asked, 5),
        await hub.access(admin, asked),
    ):
        assert list(answer) == [dataset_urn("there")]


async def test_nothing_asked_is_nothing_answered(under_test):
    under_test.put(plain("there"))
    hub = under_test.hub
    admin = await hub.actor("admin-token")

    assert await hub.datasets([]) == await hub.profiles([], T0) == await hub.lineage([]) == {}
    assert await hub.queries([], T0) == {}
    assert await hub.usage([], T0) == await hub.upstream([], 5) == await hub.downstream([], 5) == {}
    assert await hub.access(admin, []) == {}


async def test_a_removed_dataset_is_read_as_such_and_not_listed(under_test):
    under_test.put(plain("kept"), plain("removed", removed=True))

    read = await under_test.hub.datasets([dataset_urn("removed")])
    assert read[dataset_urn("removed")].removed
    assert [urns async for urns in under_test.hub.scroll(10)] == [[dataset_urn("kept")]]


@pytest.mark.parametrize(("datasets", "batches"), [(0, []), (4, [2, 2]), (5, [2, 2, 1])])
async def test_all_datasets_are_listed_once_in_batches(under_test, datasets, batches):
    names = [f"t{number}" for number in range(datasets)]
    under_test.put(*map(plain, names))

    listed = [urns async for urns in under_test.hub.scroll(2)]

    assert [len(urns) for urns in listed] == batches
    assert sorted(urn for urns in listed for urn in urns) == list(map(dataset_urn, names))


async def test_profiles_come_from_a_time_on_oldest_first(under_test):
    runs = [Profile(T0 + day * DAY, 100 + day, 3, 1024) for day in (2, 0, 1)]
    under_test.put(plain("orders"), profiles=[*runs, Profile(T0 - DAY, 1), Profile(T0 + 3 * DAY)])
    under_test.put(plain("never"))

    asked = [dataset_urn("never"), dataset_urn("orders")]
    answer = await under_test.hub.profiles(asked, T0)

    assert answer == {
        dataset_urn("never"): [],
        dataset_urn("orders"): [runs[1], runs[2], runs[0], Profile(T0 + 3 * DAY)],
    }


async def test_columns_come_with_each_profile_and_values_with_the_newest(under_test):
    email = ColumnProfile("email", 5, 0.05, 90, 0.947368)
    price = ColumnProfile(
        "price", 0, 0.0, 40, 0.4, min=-1.5, max=2e6, mean=20.0, median=12.25, stdev=0.5
    )
    seen = replace(
        email, null_share=0.25, values=("a@x", "b@x"), frequencies=(("a@x", 3), ("b@x", 1))
    )
    under_test.put(
        plain("orders"),
        profiles=[
            Profile(T0, 100, 2, columns=(email, price)),
            Profile(T0 + DAY, 100, 1, columns=(seen,)),
        ],
    )
    under_test.put(plain("bare"), profiles=[Profile(T0, 3)])

    answer = await under_test.hub.profiles([dataset_urn("orders"), dataset_urn("bare")], T0)

    assert answer == {
        dataset_urn("orders"): [
            Profile(T0, 100, 2, columns=(email, price)),
            Profile(T0 + DAY, 100, 1, columns=(seen,)),
        ],
        dataset_urn("bare"): [Profile(T0, 3)],
    }


@pytest.mark.parametrize("back", [3, 8, 30, 90, 200, 400, 700])
async def test_usage_comes_by_the_day_from_a_time_on_oldest_first(under_test, back):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - back * DAY
    days = [Usage(since + DAY, 7, 2), Usage(since, 0, 0), Usage(today, 1)]
    under_test.put(plain("orders"), usage=[*days, Usage(since - DAY, 9, 9)])
    under_test.put(plain("never"))

    answer = await under_test.hub.usage([dataset_urn("orders"), dataset_urn("never")], since)

    assert answer == {
        dataset_urn("orders"): [days[1], days[0], days[2]],
        dataset_urn("never"): [],
    }


@pytest.mark.parametrize("back", [3, 40])
async def test_queries_come_from_a_time_on_the_most_frequent_first(under_test, back):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - back * DAY
    daily, rare = "select *\nfrom orders\nwhere id = 7", "select count(*) from orders"
    once = Query("select id from orders", 1, since + DAY / 2)
    queries = [
        once,
        Query(rare, 1, since),
        Query(daily, 3, today),
        Query("select 1 from orders", 1, since - DAY),
        Query("select 2 from orders", 1, since - DAY / 2),
    ]
    under_test.put(plain("orders"), queries=queries)
    under_test.put(plain("never"))

    answer = await under_test.hub.queries([dataset_urn("orders"), dataset_urn("never")], since)

    assert answer == {
        dataset_urn("orders"): [queries[2], queries[1], once],
        dataset_urn("never"): [],
    }


async def test_operations_come_from_a_time_on_oldest_first(under_test):
    runs = [Operation(T0 + day * DAY, kind, rows) for day, kind, rows in (
        (1, "UPDATE", 7), (0, "INSERT", None))]  # fmt: skip
    under_test.put(plain("orders"), operations=[*runs, Operation(T0 - DAY, "INSERT", 1)])

    answer = await under_test.hub.operations([dataset_urn("orders")], T0)

    assert answer == {dataset_urn("orders"): [runs[1], runs[0]]}


async def test_lineage_goes_both_ways_and_one_step(under_test):
    raw, orders, report, chart = map(dataset_urn, ("raw", "orders", "report", "chart"))
    under_test.put(plain("raw"))
    under_test.put(plain("orders"), upstream=[raw])
    under_test.put(plain("report"), plain("chart"), upstream=[orders])

    assert await under_test.hub.lineage([raw, orders, report]) == {
        raw: Lineage(downstream=(orders,)),
        orders: Lineage((raw,), (chart, report)),
        report: Lineage(upstream=(orders,)),
    }


async def test_what_is_reached_is_counted_in_steps_and_nearest_first(under_test):
    raw, orders, report, chart, other = map(
        dataset_urn, ("raw", "orders", "report", "chart", "other")
    )
    under_test.put(plain("raw"))
    under_test.put(plain("orders"), upstream=[raw])
    # Two ways lead to the chart, and there is a loop.
    under_test.put(plain("report"), upstream=[orders, raw])
    under_test.put(plain("chart"), plain("other"), upstream=[report, dataset_urn("chart")])

    below = await under_test.hub.downstream([raw, orders, other], 10)
    above = await under_test.hub.upstream([raw, other], 10)

    assert below == {
        raw: Reach({orders: 1, report: 1, chart: 2, other: 2}),
        orders: Reach({report: 1, chart: 2, other: 2}),
        other: Reach(),
    }
    assert list(below[raw].steps) == [orders, report, chart, other]
    assert above == {raw: Reach(), other: Reach({chart: 1, report: 1, orders: 2, raw: 2})}


async def test_of_too_much_the_nearest_is_reached(under_test):
    names = [f"t{number}" for number in range(6)]
    under_test.put(plain(names[0]))
    for above, name in pairwise(names):
        under_test.put(plain(name), upstream=[dataset_urn(above)])
    first, *rest = map(dataset_urn, names)
    whole = {urn: number for number, urn in enumerate(rest, 1)}

    assert await under_test.hub.downstream([first], 5) == {first: Reach(whole)}
    assert await under_test.hub.downstream([first], 2) == {
        first: Reach(dict(list(whole.items())[:2]), complete=False)
    }


async def test_a_token_tells_who_asks(under_test):
    under_test.put(plain("any"))
    hub = under_test.hub

    assert await hub.actor("admin-token") == Actor(
        "urn:li:corpuser:admin", "admin-token", can_manage=True
    )
    for name in ("editor", "viewer", "restricted"):
        actor = await hub.actor(f"{name}-token")
        assert actor == Actor(f"urn:li:corpuser:{name}", f"{name}-token", can_manage=False)


@pytest.mark.parametrize(
    "token", ["unknown", "", "two words", "ünknown", "line\nbreak", "a" * 9000]
)
async def test_an_unknown_token_is_refused(under_test, token):
    under_test.put(plain("any"))

    with pytest.raises(Unauthenticated):
        await under_test.hub.actor(token)
    with pytest.raises(Unauthenticated):
        await under_test.hub.access(Actor(USERS["admin-token"].urn, token), [dataset_urn("any")])


@pytest.mark.parametrize(
    ("token", "rights"),
    [
        ("admin-token", {"plain": ALL, "payroll": ALL, "secret": ALL}),
        ("editor-token", {"plain": ALL, "payroll": ALL, "secret": ALL}),
        ("viewer-token", {"plain": READ, "payroll": READ, "secret": READ}),
        ("restricted-token", {"plain": READ, "payroll": NAME_ONLY}),
    ],
)
async def test_each_actor_has_their_own_rights(under_test, token, rights):
    under_test.put(*map(plain, ("plain", "payroll", "secret")))
    hub = under_test.hub
    # Others ask before and beside: nobody is answered with another's rights.
    others = [await hub.actor(other) for other in USERS]
    asked = [dataset_urn(name) for name in ("secret", "payroll", "plain", "missing")]
    actor = await hub.actor(token)

    answers = await asyncio.gather(*(hub.access(each, asked) for each in (*others, actor, *others)))

    assert answers[len(others)] == {dataset_urn(name): access for name, access in rights.items()}
    assert await hub.access(actor, asked) == answers[len(others)]


async def test_changes_of_others_are_polled_and_a_cursor_resumes(under_test):
    under_test.put(plain("a"), plain("b"))
    hub, a, b = under_test.hub, dataset_urn("a"), dataset_urn("b")
    start = await hub.poll(Topic.VERSIONED, None, 10, NO_WAIT)
    assert start.events == ()
    under_test.describe(a, "one")
    under_test.describe(b, "two")
    under_test.describe(a, "three")

    first = await hub.poll(Topic.VERSIONED, start.cursor, 2, NO_WAIT)
    rest = await hub.poll(Topic.VERSIONED, first.cursor, 2, NO_WAIT)
    again = await hub.poll(Topic.VERSIONED, first.cursor, 2, NO_WAIT)
    nothing = await hub.poll(Topic.VERSIONED, rest.cursor, 2, NO_WAIT)

    assert [event.urn for event in first.events] == [a, b]
    assert [event.urn for event in rest.events] == [a]
    assert again == rest
    assert nothing.events == nothing.rejected == ()
    event = rest.events[0]
    assert (event.entity_type, event.aspect, event.change, event.actor) == (
        "dataset",
        "editableDatasetProperties",
        "UPSERT",
        "urn:li:corpuser:editor",
    )


async def test_incidents_are_open_until_they_are_resolved(under_test):
    under_test.put(plain("a"), plain("b"))
    hub, a, b = under_test.hub, dataset_urn("a"), dataset_urn("b")
    second = replace(incident(a), id=UUID(int=2), title="Late", raised_at=T0 + DAY)

    assert await hub.open_incidents([a, b, MISSING]) == {}
    await hub.write_incidents([incident(a), second])
    assert await hub.open_incidents([a, b, MISSING]) == {
        a: [
            OpenIncident(incident_urn(second.id), "Late", T0 + DAY),
            OpenIncident(incident_urn(UUID(int=1)), "Rows are missing", T0),
        ]
    }
    await hub.write_incidents([replace(incident(a), active=False, changed_at=T0 + DAY)])
    (left,) = (await hub.open_incidents([a]))[a]
    assert left.title == "Late"


async def test_own_writes_do_not_come_back(under_test):
    under_test.put(plain("a"))
    hub, a = under_test.hub, dataset_urn("a")
    cursors = {topic: (await hub.poll(topic, None, 10, NO_WAIT)).cursor for topic in Topic}

    await hub.write_results([result(a), result(a, Status.FAIL, 9.0)])
    await hub.write_scores([Scores(a, quality=50.0, health=71.4)])
    await hub.write_incidents([incident(a)])
    await hub.write_incidents([replace(incident(a), active=False, changed_at=T0 + DAY)])
    await hub.remove_checks(a, [Check(Metric.ROW_COUNT), Check(Metric.SIZE)])
    under_test.describe(a, "by a person")

    seen = {topic: await hub.poll(topic, cursor, 100, NO_WAIT) for topic, cursor in cursors.items()}
    assert [event.actor for event in seen[Topic.VERSIONED].events] == ["urn:li:corpuser:editor"]
    assert seen[Topic.TIMESERIES].events == ()


async def test_scores_do_not_bring_a_dataset_into_being(under_test):
    under_test.put(plain("a"))

    await under_test.hub.write_scores(
        [Scores(MISSING, 1.0, 1.0), Scores(dataset_urn("a"), 1.0, 1.0)]
    )

    assert list(await under_test.hub.datasets([MISSING, dataset_urn("a")])) == [dataset_urn("a")]
    assert [urns async for urns in under_test.hub.scroll(10)] == [[dataset_urn("a")]]


async def test_neither_verdicts_nor_incidents_bring_a_dataset_into_being(under_test):
    await under_test.hub.write_results([result(MISSING, Status.FAIL)])
    await under_test.hub.write_incidents([incident(MISSING)])
    await under_test.hub.remove_checks(MISSING, [Check(Metric.ROW_COUNT)])

    assert await under_test.hub.datasets([MISSING]) == {}
