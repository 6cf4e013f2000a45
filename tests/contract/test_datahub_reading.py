"""How DataHub's answers become what DataSpoke judges, and how many requests that takes."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper as Mcp
from datahub.metadata import schema_classes as models

from dataspoke.adapters.datahub.hub import DataHub
from dataspoke.catalogue import ColumnProfile, Dataset, Field, Operation, Profile, Query, Reach
from dataspoke.errors import DependencyRejected, DependencyUnavailable
from dataspoke.localhub.files import read_metadata_file
from dataspoke.localhub.proposals import Proposal
from dataspoke.ports.hub import Access, Scores
from dataspoke.settings import HubSettings
from tests.support.hub_ports import (
    EDITOR,
    STAMP,
    DataHubUnderTest,
    dataset_urn,
    recorded_query,
    schema_field,
)
from tests.support.scripted import Answer, scripted_server

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ORDERS = dataset_urn("orders")


@pytest.fixture
async def opened() -> AsyncIterator[DataHubUnderTest]:
    async with DataHubUnderTest.open() as under_test:
        yield under_test


def ms(time_: datetime) -> int:
    return int(time_.timestamp() * 1000)


def requests_of(under_test: DataHubUnderTest) -> int:
    counts = httpx.get(f"{under_test.running.url}/stand-in/requests").json()
    return int(counts["requests"])


def plain(name: str) -> Dataset:
    return Dataset(dataset_urn(name), name, "urn:li:dataPlatform:postgres")


def field(path: str, description: str | None) -> models.SchemaFieldClass:
    return models.SchemaFieldClass(
        path,
        models.SchemaFieldDataTypeClass(models.StringTypeClass()),
        "text",
        description=description,
        globalTags=models.GlobalTagsClass([models.TagAssociationClass("urn:li:tag:ingested")]),
    )


def schema(*fields: models.SchemaFieldClass) -> Mcp:
    return Mcp(
        entityUrn=ORDERS,
        aspect=models.SchemaMetadataClass(
            "s", "urn:li:dataPlatform:postgres", 0, "", models.OtherSchemaClass(""), list(fields)
        ),
    )


async def test_what_a_person_wrote_wins_over_what_was_ingested(opened):
    edits = [
        models.EditableSchemaFieldInfoClass(
            "id",
            description="edited",
            globalTags=models.GlobalTagsClass([models.TagAssociationClass("urn:li:tag:edited")]),
        ),
        models.EditableSchemaFieldInfoClass("typed", description="edited"),
        models.EditableSchemaFieldInfoClass("cleared", description=""),
        models.EditableSchemaFieldInfoClass("gone", description="of no column"),
    ]
    typed = "[version=2.0].[type=struct].[type=string].typed"
    opened.emit(
        Mcp(entityUrn=ORDERS, aspect=models.DatasetPropertiesClass(description="ingested")),
        Mcp(
            entityUrn=ORDERS,
            aspect=models.EditableDatasetPropertiesClass(STAMP, STAMP, description="edited"),
        ),
        schema(field("id", "ingested"), field(typed, "ingested"), field("cleared", "ingested")),
        Mcp(entityUrn=ORDERS, aspect=models.EditableSchemaMetadataClass(edits)),
    )

    dataset = (await opened.hub.datasets([ORDERS]))[ORDERS]

    ingested = ("urn:li:tag:ingested",)
    assert dataset.description == "edited"
    assert dataset.fields == (
        Field("id", "text", "edited", ("urn:li:tag:edited", *ingested), type="STRING"),
        Field(typed, "text", "edited", ingested, type="STRING"),
        Field("cleared", "text", "ingested", ingested, type="STRING"),
    )


async def test_people_go_by_the_name_they_chose(opened):
    person = "urn:li:corpuser:ada"
    opened.emit(
        Mcp(entityUrn=ORDERS, aspect=models.OwnershipClass([models.OwnerClass(person, "DATAOWNER"),
            models.OwnerClass(person, "STAKEHOLDER")])),
        Mcp(entityUrn=person, aspect=models.CorpUserInfoClass(True, fullName="Ada King")),
    )  # fmt: skip
    first = (await opened.hub.datasets([ORDERS]))[ORDERS]
    chosen = models.CorpUserEditableInfoClass(displayName="Lady Lovelace")
    opened.emit(Mcp(entityUrn=person, aspect=chosen))
    second = (await opened.hub.datasets([ORDERS]))[ORDERS]

    assert first.owners == second.owners == (person,)
    assert (first.names[person], second.names[person]) == ("Ada King", "Lady Lovelace")


@pytest.mark.parametrize(
    ("modified", "operation", "expected"),
    [
        (None, None, None),
        (T0, None, T0),
        (None, T0, T0),
        (T0, T0 + DAY, T0 + DAY),
        (T0 + DAY, T0, T0 + DAY),
    ],
)
async def test_the_newest_word_on_the_content_is_when_it_changed(
    opened, modified, operation, expected
):
    dataset = Dataset(ORDERS, "orders", "urn:li:dataPlatform:postgres", last_updated=modified)
    opened.put(dataset, operations=[Operation(operation, "INSERT")] if operation else [])
    # DataSpoke's own writes are metadata, and no news of the content.
    await opened.hub.write_scores([Scores(ORDERS, quality=1.0, health=2.0)])

    assert (await opened.hub.datasets([ORDERS]))[ORDERS].last_updated == expected


async def test_profiles_of_a_partition_are_not_those_of_the_table(opened):
    parts = ["FULL_TABLE_SNAPSHOT", "SAMPLE (10000 rows)", "day=2026-03-01"]
    opened.emit(
        *(
            Mcp(
                entityUrn=ORDERS,
                aspect=models.DatasetProfileClass(
                    ms(T0) + number,
                    rowCount=number,
                    partitionSpec=models.PartitionSpecClass(partition),
                ),
            )
            for number, partition in enumerate(parts)
        )
    )

    runs = (await opened.hub.profiles([ORDERS], T0))[ORDERS]

    assert [run.row_count for run in runs] == [0, 1]


async def test_an_operation_of_its_own_kind_keeps_its_name(opened):
    opened.emit(
        Mcp(entityUrn=ORDERS, aspect=models.OperationClass(ms(T0), "CUSTOM", ms(T0),
            customOperationType="COMPACT"))
    )  # fmt: skip

    assert (await opened.hub.operations([ORDERS], T0))[ORDERS] == [Operation(T0, "COMPACT")]


async def test_numbers_of_columns_are_read_and_other_words_are_not(opened):
    column = models.DatasetFieldProfileClass(
        "at", nullCount=25, uniqueCount=80, min="2026-01-01", max="nan", mean="1_000",
        median="", stdev="1.5e3",
    )  # fmt: skip
    opened.emit(
        Mcp(
            entityUrn=ORDERS,
            aspect=models.DatasetProfileClass(ms(T0), rowCount=100, fieldProfiles=[column]),
        )
    )

    (run,) = (await opened.hub.profiles([ORDERS], T0))[ORDERS]

    # More distinct values than values: a source that estimates. The shares follow from the counts.
    assert run.columns == (ColumnProfile("at", 25, 0.25, 80, 1.0, stdev=1500.0),)


async def test_columns_of_many_tables_are_read_in_answers_of_bounded_size(opened):
    shapes = {"wide": (900, 30), **{f"t{number}": (12, 40) for number in range(50)}}
    day_ms = 86_400_000
    for name, (width, days) in shapes.items():
        columns = [
            {"fieldPath": f"c{n}", "nullProportion": n / width, "min": str(n)} for n in range(width)
        ]
        profile = {"rowCount": 9, "columnCount": width, "fieldProfiles": columns}
        opened.running.storage.write(
            [
                Proposal(
                    dataset_urn(name),
                    "datasetProfile",
                    {"timestampMillis": ms(T0) + day * day_ms, **profile},
                )
                for day in range(days)
            ],
            EDITOR,
        )

    before = requests_of(opened)
    found = await opened.hub.profiles(list(map(dataset_urn, shapes)), T0)

    # Three for the tables, two for the columns of the wide one, two for those of the others.
    assert requests_of(opened) - before == 7
    for name, (width, days) in shapes.items():
        runs = found[dataset_urn(name)]
        assert [len(run.columns) for run in runs] == [width] * days
        assert {run.columns[-1].min for run in runs} == {width - 1.0}


async def test_lineage_leads_through_jobs(opened):
    job = "urn:li:dataJob:(urn:li:dataFlow:(airflow,nightly,PROD),load)"
    opened.put(plain("a"), plain("b"))
    opened.put(plain("c"), upstream=[dataset_urn("b")])
    opened.emit(
        Mcp(
            entityUrn=job,
            aspect=models.DataJobInputOutputClass([dataset_urn("a")], [dataset_urn("b")]),
        )
    )
    a, b, c = map(dataset_urn, "abc")

    before = requests_of(opened)
    below = await opened.hub.downstream([a, b], 10)

    assert below == {a: Reach({b: 2, c: 3}), b: Reach({c: 1})}
    assert requests_of(opened) - before == 2
    assert await opened.hub.upstream([c], 10) == {c: Reach({b: 1, a: 3})}


@pytest.mark.parametrize("points", [999, 1000, 1001, 2500])
async def test_a_long_series_is_read_whole(opened, points):
    times = [ms(T0) + minute * 60_000 for minute in range(points)]
    opened.running.storage.write(
        [
            Proposal(ORDERS, "datasetProfile", {"timestampMillis": at, "rowCount": number})
            for number, at in enumerate(times)
        ],
        EDITOR,
    )

    runs = (await opened.hub.profiles([ORDERS], T0))[ORDERS]

    assert [run.row_count for run in runs] == list(range(points))


async def test_points_of_one_time_are_not_lost_between_two_pages(opened):
    # The page ends amid twenty points of the same time.
    numbers = [*range(990), *([990] * 20), *range(991, 1200)]
    opened.running.storage.write(
        [
            Proposal(
                ORDERS,
                "operation",
                {
                    "timestampMillis": ms(T0) - number,
                    "lastUpdatedTimestamp": ms(T0) - number,
                    "operationType": "INSERT",
                    "numAffectedRows": index,
                    "messageId": str(index),
                },
            )
            for index, number in enumerate(numbers)
        ],
        EDITOR,
    )

    operations = (await opened.hub.operations([ORDERS], T0 - DAY))[ORDERS]

    assert sorted(op.affected_rows for op in operations) == list(range(len(numbers)))


async def test_a_scan_is_gentle(opened):
    urns = [dataset_urn(f"t{number}") for number in range(100)]
    opened.running.storage.write(
        [Proposal(urn, "datasetProperties", {"name": urn}) for urn in urns], EDITOR
    )
    hub = opened.hub
    editor = await hub.actor("editor-token")
    spent = {}
    for name, read in {
        "datasets": lambda: hub.datasets(urns),
        "access": lambda: hub.access(editor, urns),
        "profiles": lambda: hub.profiles(urns, T0),
        "operations": lambda: hub.operations(urns, T0),
        "usage": lambda: hub.usage(urns, T0),
        "queries": lambda: hub.queries(urns, T0),
        "lineage": lambda: hub.lineage(urns),
    }.items():
        before = requests_of(opened)
        assert list(await read()) == urns
        spent[name] = requests_of(opened) - before

    assert spent == {
        "datasets": 2,
        "access": 1,
        "profiles": 4,
        "operations": 4,
        "usage": 4,
        # Four for what is common, four for what was recorded.
        "queries": 8,
        "lineage": 2,
    }


async def test_many_neighbours_are_read_in_pages(opened):
    below = sorted(dataset_urn(f"t{number:04}") for number in range(1100))
    lineage = {"upstreams": [{"dataset": ORDERS, "type": "COPY"}]}
    opened.running.storage.write(
        [Proposal(ORDERS, "status", {"removed": False})]
        + [Proposal(urn, "upstreamLineage", lineage) for urn in below],
        EDITOR,
    )

    found = (await opened.hub.lineage([ORDERS]))[ORDERS]

    assert found.upstream == ()
    assert list(found.downstream) == below


async def test_a_recorded_statement_belongs_to_all_that_it_is_about(opened):
    people = dataset_urn("people")
    now = datetime.now(UTC).replace(microsecond=0)
    today = now.replace(hour=0, minute=0, second=0)
    joined = "select *  from orders\njoin people using (id)"
    opened.put(plain("people"))
    opened.put(
        plain("orders"), queries=[Query("select * from orders join people using (id)", 2, today)]
    )
    # Statements name columns among their subjects, and what somebody deleted since.
    subjects = [ORDERS, schema_field(ORDERS, "id"), people, dataset_urn("gone")]
    opened.emit(*recorded_query(subjects, joined, now))

    found = await opened.hub.queries([ORDERS, people], now - 7 * DAY)

    # The day on which it was recorded is the one on which it was common.
    assert found == {
        ORDERS: [Query("select * from orders join people using (id)", 2, now)],
        people: [Query(joined, 1, now)],
    }


async def test_many_recorded_statements_are_read_in_pages_until_they_are_too_old(opened):
    opened.put(plain("orders"))
    at = datetime.now(UTC).replace(microsecond=0)
    stamps = [{"time": ms(at - n * timedelta(minutes=1)), "actor": EDITOR} for n in range(900)]
    opened.running.storage.write(
        [
            proposal
            for number, stamp in enumerate(stamps)
            for proposal in (
                Proposal(
                    f"urn:li:query:{number}",
                    "queryProperties",
                    {
                        "statement": {"value": f"select {number}", "language": "SQL"},
                        "source": "SYSTEM",
                        "created": stamp,
                        "lastModified": stamp,
                    },
                ),
                Proposal(
                    f"urn:li:query:{number}", "querySubjects", {"subjects": [{"entity": ORDERS}]}
                ),
            )
        ],
        EDITOR,
    )

    before = requests_of(opened)
    found = (await opened.hub.queries([ORDERS], at - timedelta(minutes=450)))[ORDERS]

    assert len(found) == 451
    assert requests_of(opened) - before == 1 + 3


async def test_rights_are_asked_for_once_and_by_all_who_ask_at_once(opened):
    opened.put(plain("a"), plain("b"), plain("c"))
    hub, (a, b, c) = opened.hub, map(dataset_urn, "abc")

    before = requests_of(opened)
    actors = await asyncio.gather(*(hub.actor("viewer-token") for _ in range(20)))
    assert requests_of(opened) - before == 1
    await asyncio.gather(*(hub.access(actor, [a, b]) for actor in actors))
    assert requests_of(opened) - before == 2
    answer = await hub.access(actors[0], [c, a, dataset_urn("missing")])
    assert requests_of(opened) - before == 3
    assert list(answer) == [c, a]
    assert list(await hub.access(actors[0], [c, dataset_urn("missing"), b])) == [c, b]
    assert requests_of(opened) - before == 3


async def test_rights_are_forgotten_after_their_time():
    async with DataHubUnderTest.open(access_cache_s=0.05) as opened:
        opened.put(plain("a"))
        hub, a = opened.hub, dataset_urn("a")
        actor = await hub.actor("viewer-token")
        assert a in await hub.access(actor, [a])
        opened.running.storage.delete(a, EDITOR)

        deadline = time.monotonic() + 10
        while await hub.access(actor, [a]):
            assert time.monotonic() < deadline, "a right outlived its time"


async def test_a_caller_who_gives_up_does_not_spoil_it_for_others(opened):
    opened.put(plain("a"))
    first = asyncio.create_task(opened.hub.actor("viewer-token"))
    second = asyncio.create_task(opened.hub.actor("viewer-token"))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).urn == "urn:li:corpuser:viewer"


async def test_real_metadata_is_read_without_a_gap(opened, shared_data):
    storage = opened.running.storage
    storage.write(read_metadata_file(shared_data / "bootstrap_mce.json"), EDITOR)
    urns = storage.urns("dataset")

    listed = [urn async for batch in opened.hub.scroll(3) for urn in batch]
    datasets = await opened.hub.datasets(urns)

    assert listed == list(datasets) == urns
    for urn, aspects in storage.aspects(urns).items():
        said = {name: stored.value for name, stored in aspects.items()}
        dataset = datasets[urn]
        owners = said.get("ownership", {}).get("owners", [])
        assert list(dataset.owners) == [owner["owner"] for owner in owners]
        columns = said.get("schemaMetadata", {}).get("fields", [])
        assert [field.path for field in dataset.fields] == [c["fieldPath"] for c in columns]
        tags = said.get("globalTags", {}).get("tags", [])
        assert list(dataset.tags) == [tag["tag"] for tag in tags]


def entities(*found: object) -> Answer:
    return Answer({"data": {"entities": list(found)}})


MASKED = {
    # What DataHub answers where View Authorization hides the dataset.
    "urn": ORDERS,
    "exists": True,
    "name": "orders",
    "platform": {"urn": "urn:li:dataPlatform:postgres"},
    "lastIngested": None,
    "status": None,
    "browsePathV2": None,
    "dataPlatformInstance": None,
    "subTypes": None,
    "properties": {"name": "orders", "description": "", "lastModified": {"time": 0}},
    "privileges": {
        "canViewDatasetProfile": True,
        "canViewDatasetOperations": True,
        "canEditAssertions": True,
    },
}


async def test_a_dataset_that_is_masked_is_not_visible():
    me = {"corpUser": {"urn": "urn:li:corpuser:x"}, "platformPrivileges": {"manageIngestion": True}}
    with scripted_server(Answer({"data": {"me": me}}), entities(MASKED)) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            actor = await hub.actor("token")
            assert actor.can_manage
            assert await hub.access(actor, [ORDERS]) == {}
            assert await hub.datasets([ORDERS]) == {}


async def test_a_privilege_that_is_not_stated_is_not_granted():
    me = {"corpUser": {"urn": "urn:li:corpuser:x"}, "platformPrivileges": {"manageIngestion": None}}
    shown = {"urn": ORDERS, "exists": True, "status": {"removed": False}, "privileges": None}
    with scripted_server(Answer({"data": {"me": me}}), entities(shown)) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            actor = await hub.actor("token")
            assert not actor.can_manage
            assert await hub.access(actor, [ORDERS]) == {ORDERS: Access(False, False, False)}


FAILED = Answer({"data": {"entities": None}, "errors": [{"message": "Failed to load"}]})
BROKEN = Answer({"data": None, "errors": [{"message": "no index", "extensions": {"code": 500}}]})


async def test_a_batch_that_fails_is_read_one_by_one():
    a, b = dataset_urn("a"), dataset_urn("b")

    def neighbours(urn: str) -> Answer:
        none = {"total": 0, "relationships": []}
        return entities({"urn": urn, "exists": True, "upstream": none, "downstream": none})

    with scripted_server(FAILED, neighbours(a), neighbours(b)) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            assert list(await hub.lineage([a, b])) == [a, b]

    assert [request["variables"]["urns"] for request in server.requests] == [[a, b], [a], [b]]


async def test_a_batch_that_is_too_slow_is_read_one_by_one():
    a, b = dataset_urn("a"), dataset_urn("b")
    answers = [entities({"urn": urn, "exists": True, "points": []}) for urn in (a, b)]
    with scripted_server(Answer(hangs=True), *answers) as server:
        options = HubSettings(url=server.url, timeout_s=2, max_attempts=1)
        async with DataHub.open(options) as hub:
            assert await hub.profiles([a, b], T0) == {a: [], b: []}


async def test_a_hub_without_an_end_is_not_read_for_ever():
    points = [{"timestampMillis": ms(T0) + number} for number in range(1000)]
    page = {"total": 10**9, "relationships": [{"entity": {"urn": dataset_urn("a")}}]}
    endless = {"urn": ORDERS, "exists": True, "points": points, "upstream": page}
    none = {"total": 10**9, "relationships": []}
    with scripted_server(
        entities({**endless, "downstream": page}),
        entities({**endless, "upstream": none, "downstream": none}),
    ) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            assert (await hub.lineage([ORDERS]))[ORDERS].upstream == (dataset_urn("a"),)
            assert len(server.requests) == 2
            found = (await hub.profiles([ORDERS], T0))[ORDERS]

    # Neither of the tables nor of their columns.
    assert len(server.requests) == 110
    assert found[-1].time == T0 + timedelta(milliseconds=999)


async def test_an_account_without_the_right_to_profiles_is_told_once(caplog):
    denied = {"urn": ORDERS, "exists": True, "points": [], "privileges": {"mayView": False}}
    with scripted_server(entities(denied)) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            for _ in range(3):
                assert await hub.profiles([ORDERS], T0) == {ORDERS: []}

    assert [record.message for record in caplog.records if "View privileges" in record.message] == [
        f"DataSpoke's account may not view the profiles of {ORDERS}, and perhaps of others: "
        "give it the View privileges of datasets in DataHub's policies"
    ]


@pytest.mark.parametrize(
    ("answer", "error"), [(FAILED, DependencyRejected), (BROKEN, DependencyUnavailable)]
)
async def test_one_that_fails_by_itself_is_an_error_that_names_it(answer, error):
    with scripted_server(answer) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            with pytest.raises(error, match=r"shop\.orders"):
                await hub.datasets([ORDERS])
            # An error is not remembered as an answer.
            for _ in range(2):
                with pytest.raises(error):
                    await hub.actor("token")

    assert len(server.requests) == 3


@pytest.mark.parametrize("profile", [{"timestampMillis": 9e15}, {"timestampMillis": 0}])
async def test_a_point_without_a_real_time_is_left_out(profile):
    good = {"timestampMillis": ms(T0), "rowCount": 1}
    answer = entities({"urn": ORDERS, "exists": True, "points": [profile, good]})
    with scripted_server(answer) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            assert await hub.profiles([ORDERS], T0) == {ORDERS: [Profile(T0, 1)]}


async def test_an_answer_of_another_shape_is_refused_by_name():
    with scripted_server(entities({"urn": ORDERS, "exists": True, "points": [{}]})) as server:
        async with DataHub.open(HubSettings(url=server.url)) as hub:
            with pytest.raises(DependencyRejected, match="shape"):
                await hub.profiles([ORDERS], T0)
