from pathlib import Path

import pytest

from dataspoke.errors import ConfigurationError, Conflict, InvalidInput
from dataspoke.localhub.proposals import Change, Proposal
from dataspoke.localhub.records import Topic
from dataspoke.localhub.storage import Storage

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
REFUNDS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.refunds,PROD)"
EDITOR = "urn:li:corpuser:editor"


@pytest.fixture
def storage():
    ticks = iter(range(1_000, 1_000_000))
    with Storage.open(clock_ms=lambda: next(ticks)) as opened:
        yield opened


def properties(name: str, urn: str = ORDERS, change: Change = Change.UPSERT) -> Proposal:
    return Proposal(urn, "datasetProperties", {"name": name}, change)


def profile(time_ms: int, rows: int, urn: str = ORDERS, **more: object) -> Proposal:
    return Proposal(urn, "datasetProfile", {"timestampMillis": time_ms, "rowCount": rows, **more})


def test_the_first_aspect_of_an_entity_brings_its_key(storage):
    storage.write([properties("orders")], EDITOR)

    aspects = storage.aspects([ORDERS, REFUNDS])

    assert set(aspects) == {ORDERS}
    assert aspects[ORDERS]["datasetKey"].value == {
        "platform": "urn:li:dataPlatform:postgres",
        "name": "shop.orders",
        "origin": "PROD",
    }
    assert storage.existing([ORDERS, REFUNDS]) == {ORDERS}
    events = storage.events(Topic.VERSIONED, after=0, limit=10)
    assert [event.aspect for event in events] == ["datasetKey", "datasetProperties"]


def test_versions_count_from_the_oldest_and_zero_is_the_latest(storage):
    for name in ("a", "b", "c"):
        storage.write([properties(name)], EDITOR)

    names = [
        storage.aspect(ORDERS, "datasetProperties", version).value["name"] for version in (0, 1, 2)
    ]

    assert names == ["c", "a", "b"]
    assert storage.aspect(ORDERS, "datasetProperties", 3) is None


def test_writing_the_same_again_makes_no_version_and_no_event(storage):
    storage.write([properties("a")], EDITOR)
    before = storage.last_position()

    storage.write(
        [Proposal(ORDERS, "datasetProperties", {"name": "a"}, system_metadata={"runId": "again"})],
        EDITOR,
    )

    assert storage.last_position() == before
    assert storage.aspect(ORDERS, "datasetProperties").system_metadata["runId"] == "again"
    assert storage.aspect(ORDERS, "datasetProperties", 1) is None


def test_events_carry_what_was_before_and_who_changed_it(storage):
    storage.write([properties("a")], EDITOR)
    start = storage.last_position()

    storage.write(
        [Proposal(ORDERS, "datasetProperties", {"name": "b"}, system_metadata={"runId": "r"},
                  headers={"h": "1"})],
        EDITOR,
    )  # fmt: skip

    (event,) = storage.events(Topic.VERSIONED, start, 10)
    assert (event.urn, event.type, event.change, event.actor) == (
        ORDERS,
        "dataset",
        "UPSERT",
        EDITOR,
    )
    assert (event.previous, event.value) == ('{"name":"a"}', '{"name":"b"}')
    assert event.system_metadata["runId"] == "r"
    assert event.headers == {"h": "1"}


def test_a_batch_is_applied_wholly_or_not_at_all(storage):
    batch = [properties("a"), Proposal(REFUNDS, "datasetProperties", {"name": 3})]

    with pytest.raises(InvalidInput, match=r"Proposal 2 of 2 .*datasetProperties\.name must be"):
        storage.write(batch, EDITOR)

    assert storage.existing([ORDERS, REFUNDS]) == set()
    assert storage.last_position() == 0


@pytest.mark.parametrize(
    ("urn", "aspect", "value", "message"),
    [
        (ORDERS, "corpUserInfo", {}, "Unknown aspect 'corpUserInfo' for entity type 'dataset'"),
        ("urn:li:dataset:(a,b)", "status", {"removed": True}, "no urn that DataHub accepts"),
        ("orders", "status", {"removed": True}, "no urn that DataHub accepts"),
        ("urn:li:table:orders", "status", {"removed": True}, "no entity type 'table'"),
        (ORDERS.replace("PROD", "NOWHERE"), "status", {"removed": True}, "datasetKey.origin"),
        (ORDERS, "datasetProperties", [], "datasetProperties must be a DatasetProperties object"),
        (ORDERS, "ownership", {"owners": [{"type": "OTHER"}]}, r"ownership\.owners\[0\] lacks"),
        (ORDERS, "datasetProfile", {"rowCount": 1}, "lacks the required field 'timestampMillis'"),
        (ORDERS, "status", {"removed": "yes"}, "status.removed must be true or false, not 'yes'"),
    ],
)
def test_what_datahub_refuses_is_refused_by_name(storage, urn, aspect, value, message):
    with pytest.raises(InvalidInput, match=message):
        storage.write([Proposal(urn, aspect, value)], EDITOR)

    assert storage.last_position() == 0


def test_fields_that_the_model_does_not_know_are_dropped(storage):
    storage.write([Proposal(ORDERS, "status", {"removed": False, "colour": "red"})], EDITOR)

    assert storage.aspect(ORDERS, "status").value == {"removed": False}


def test_create_respects_what_exists(storage):
    storage.write([properties("a", change=Change.CREATE)], EDITOR)

    with pytest.raises(Conflict):
        storage.write([properties("b", change=Change.CREATE)], EDITOR)
    with pytest.raises(Conflict):
        storage.write([Proposal(ORDERS, "status", {}, Change.CREATE_ENTITY)], EDITOR)


def test_a_new_entity_is_created_with_several_aspects(storage):
    aspects = [
        properties("a", change=Change.CREATE_ENTITY),
        Proposal(ORDERS, "status", {}, Change.CREATE_ENTITY),
    ]
    storage.write(aspects, EDITOR)

    assert set(storage.aspects([ORDERS])[ORDERS]) == {"datasetKey", "datasetProperties", "status"}
    with pytest.raises(Conflict, match="exists already"):
        storage.write(aspects, EDITOR)


def test_points_come_newest_first_within_bounds(storage):
    storage.write([profile(time_ms, time_ms * 10) for time_ms in (1, 3, 2, 4)], EDITOR)

    points = storage.points([ORDERS, REFUNDS], "datasetProfile", start_ms=2, limit=2)

    assert [point.value["rowCount"] for point in points[ORDERS]] == [40, 30]
    assert REFUNDS not in points
    assert storage.existing([ORDERS]) == {ORDERS}
    assert len(storage.events(Topic.TIMESERIES, 0, 10)) == 4


def test_a_point_of_the_same_time_and_series_replaces_the_other(storage):
    partition = {"partitionSpec": {"partition": "p1", "type": "PARTITION"}}
    storage.write([profile(1, 10), profile(1, 20), profile(1, 5, **partition)], EDITOR)

    points = storage.points([ORDERS], "datasetProfile")

    assert sorted(point.value["rowCount"] for point in points[ORDERS]) == [5, 20]


def test_soft_deletion_hides_from_lists_and_keeps_the_rest(storage):
    storage.write([properties("a"), properties("b", REFUNDS)], EDITOR)
    storage.write([Proposal(ORDERS, "status", {"removed": True})], EDITOR)

    assert storage.urns("dataset") == [REFUNDS]
    assert storage.urns("dataset", with_removed=True) == [ORDERS, REFUNDS]
    assert storage.existing([ORDERS], with_removed=False) == set()
    assert storage.aspect(ORDERS, "datasetProperties") is not None


def test_hard_deletion_removes_all_and_says_so(storage):
    upstream = {"upstreams": [{"dataset": REFUNDS, "type": "TRANSFORMED"}]}
    storage.write([properties("a"), profile(1, 2), Proposal(ORDERS, "upstreamLineage", upstream)],
                  EDITOR)  # fmt: skip
    before = storage.last_position()

    deleted = storage.delete(ORDERS, EDITOR)

    assert (deleted.aspects, deleted.points) == (3, 1)
    assert storage.aspects([ORDERS]) == {}
    assert storage.points([ORDERS], "datasetProfile") == {}
    assert storage.incoming([REFUNDS]) == []
    (event,) = storage.events(Topic.VERSIONED, before, 10)
    assert (event.aspect, event.change, event.value) == ("datasetKey", "DELETE", None)
    assert storage.delete(ORDERS, EDITOR).aspects == 0


def test_relationships_follow_the_aspect_that_states_them(storage):
    def lineage(*upstreams: str) -> Proposal:
        listed = [{"dataset": urn, "type": "TRANSFORMED"} for urn in upstreams]
        return Proposal(ORDERS, "upstreamLineage", {"upstreams": listed})

    storage.write([lineage(REFUNDS)], EDITOR)
    (edge,) = storage.incoming([REFUNDS], ["DownstreamOf"])
    assert (edge.source, edge.name, edge.destination) == (ORDERS, "DownstreamOf", REFUNDS)
    assert storage.outgoing([ORDERS]) == [edge]

    storage.write([lineage()], EDITOR)
    assert storage.incoming([REFUNDS]) == []


def test_references_are_removed_where_they_are_stated(storage):
    tag, assertion = "urn:li:tag:pii", "urn:li:assertion:a"
    tagged = {"tags": [{"tag": tag}, {"tag": "urn:li:tag:other"}]}
    column = {"fieldPath": "id", "globalTags": tagged, "nativeDataType": "int",
              "type": {"type": {"com.linkedin.schema.NumberType": {}}}}  # fmt: skip
    schema = {"schemaName": "orders", "platform": "urn:li:dataPlatform:postgres", "version": 0,
              "hash": "", "fields": [column],
              "platformSchema": {"com.linkedin.schema.OtherSchema": {"rawSchema": ""}}}  # fmt: skip
    custom = {"type": "volume", "entity": ORDERS}
    storage.write(
        [
            Proposal(ORDERS, "globalTags", tagged),
            Proposal(ORDERS, "schemaMetadata", schema),
            Proposal(assertion, "assertionInfo", {"type": "CUSTOM", "customAssertion": custom}),
        ],
        EDITOR,
    )

    assert len(storage.delete_references(tag, EDITOR)) == 2
    assert storage.aspect(ORDERS, "globalTags").value == {"tags": [{"tag": "urn:li:tag:other"}]}
    (field,) = storage.aspect(ORDERS, "schemaMetadata").value["fields"]
    assert field["globalTags"]["tags"] == [{"tag": "urn:li:tag:other"}]

    assert [edge.source for edge in storage.delete_references(ORDERS, EDITOR)] == [assertion]
    assert storage.aspect(assertion, "assertionInfo") is None
    assert storage.incoming([tag, ORDERS]) == []


def test_urns_are_paged_in_order(storage):
    storage.write([properties("x", urn) for urn in (REFUNDS, ORDERS)], EDITOR)

    first = storage.urns("dataset", limit=1)

    assert first == [ORDERS]
    assert storage.urns("dataset", after=first[-1]) == [REFUNDS]


def test_a_file_keeps_everything_and_belongs_to_one_process(tmp_path: Path):
    path = tmp_path / "hub" / "hub.db"
    with Storage.open(path) as storage:
        storage.write([properties("a"), profile(1, 2)], EDITOR)
        with pytest.raises(ConfigurationError, match="cannot use"):
            Storage.open(path)

    with Storage.open(path) as storage:
        assert storage.aspect(ORDERS, "datasetProperties").value == {"name": "a"}
        assert storage.last_position() == 3


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all, but long enough to look like a header of one" * 20)

    with pytest.raises(ConfigurationError, match=r"notes\.txt"):
        Storage.open(path)


def test_listeners_hear_of_writes_that_were_kept(storage):
    heard: list[int] = []
    with storage.notified(lambda: heard.append(storage.last_position())):
        storage.write([properties("a")], EDITOR)
        with pytest.raises(InvalidInput):
            storage.write([Proposal(ORDERS, "status", [])], EDITOR)
    storage.write([properties("b")], EDITOR)

    assert heard == [2]
