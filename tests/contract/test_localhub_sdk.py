"""The stand-in answers DataHub's own SDK as a DataHub does."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from datahub.configuration.common import OperationalError
from datahub.emitter.mcp import MetadataChangeProposalWrapper as Mcp
from datahub.emitter.rest_emitter import DataHubRestEmitter, EmitMode
from datahub.errors import ItemNotFoundError
from datahub.ingestion.graph.client import DatahubClientConfig, DataHubGraph
from datahub.ingestion.graph.filters import RemovedStatusFilter
from datahub.ingestion.graph.openapi import RelationshipDirection
from datahub.metadata import schema_classes as models
from datahub.metadata.urns import DatasetUrn
from datahub.specific.dataset import DatasetPatchBuilder

from tests.support.hub import RunningHub, running_hub

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"


def dataset(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,shop.{name},PROD)"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub() as running:
        yield running


@pytest.fixture(scope="module")
def graph(hub: RunningHub) -> Iterator[DataHubGraph]:
    with DataHubGraph(DatahubClientConfig(server=hub.url, token="editor-token")) as client:
        yield client


@pytest.fixture(params=[False, True], ids=["restli", "openapi"])
def emitter(hub: RunningHub, request: pytest.FixtureRequest) -> Iterator[DataHubRestEmitter]:
    emitter = DataHubRestEmitter(hub.url, "editor-token", openapi_ingestion=request.param)
    yield emitter
    emitter.close()


def profile(time_ms: int, rows: int) -> models.DatasetProfileClass:
    return models.DatasetProfileClass(timestampMillis=time_ms, rowCount=rows)


def test_one_aspect_and_a_batch_arrive_by_either_api(emitter, graph, request):
    urn = dataset(request.node.callspec.id)
    properties = models.DatasetPropertiesClass(name="Orders", customProperties={"a": "ü"})
    tags = models.GlobalTagsClass([models.TagAssociationClass("urn:li:tag:pii")])

    emitter.emit(Mcp(entityUrn=urn, aspect=properties))
    emitter.emit_mcps([Mcp(entityUrn=urn, aspect=tags), Mcp(entityUrn=urn, aspect=profile(1, 5))])

    assert graph.get_aspect(urn, models.DatasetPropertiesClass) == properties
    assert graph.get_aspect(urn, models.GlobalTagsClass) == tags
    latest = graph.get_latest_timeseries_value(urn, models.DatasetProfileClass, {})
    assert latest is not None
    assert latest.rowCount == 5


def test_what_the_model_refuses_reaches_the_caller_with_its_reason(emitter):
    wrong = Mcp(entityUrn=ORDERS, aspect=models.CorpUserInfoClass(active=True))

    with pytest.raises(OperationalError, match="Unknown aspect 'corpUserInfo'"):
        emitter.emit(wrong)


def test_a_write_that_waits_for_its_trace_returns(emitter):
    emitter.emit_mcp(
        Mcp(entityUrn=ORDERS, aspect=models.StatusClass(removed=False)),
        emit_mode=EmitMode.ASYNC_WAIT,
    )


def test_an_old_change_event_becomes_its_aspects(hub, graph):
    urn = dataset("old")
    snapshot = models.DatasetSnapshotClass(
        urn, [models.StatusClass(removed=False), models.DatasetPropertiesClass(name="old")]
    )
    with DataHubRestEmitter(hub.url, "editor-token") as emitter:
        emitter.emit_mce(models.MetadataChangeEventClass(snapshot))

    assert graph.get_aspect(urn, models.DatasetPropertiesClass).name == "old"
    assert graph.get_aspect(urn, models.StatusClass) == models.StatusClass(removed=False)


def test_existence_is_told_by_the_key(graph):
    urn = dataset("existing")
    assert not graph.exists(urn)

    graph.emit(Mcp(entityUrn=urn, aspect=models.StatusClass(removed=False)))

    assert graph.exists(urn)
    key = graph.get_aspect(urn, models.DatasetKeyClass)
    assert (key.platform, key.name, key.origin) == (
        "urn:li:dataPlatform:postgres",
        "shop.existing",
        "PROD",
    )
    semityped = graph.get_entity_semityped(urn)
    assert set(semityped) == {"datasetKey", "status"}


@pytest.mark.parametrize("name", ["a/b", "a%2Fb", "a b", "a#b?c=d&e", "ü/é", "a+b"])
def test_any_name_survives_the_way_through_a_url(graph, name):
    urn = dataset(name)
    # Not emit(): over Rest.li the SDK spells a letter beyond ASCII in a urn as \\uXXXX there.
    graph.emit_mcps([Mcp(entityUrn=urn, aspect=models.DatasetPropertiesClass(name=name))])

    assert graph.get_aspect(urn, models.DatasetKeyClass).name == f"shop.{name}"
    assert graph.get_entity_raw(urn)["aspects"]["datasetProperties"]["value"]["name"] == name


def test_points_of_a_time_series_come_newest_first_and_filtered(graph):
    urn = dataset("series")
    for time_ms in (1_000, 3_000, 2_000):
        graph.emit(Mcp(entityUrn=urn, aspect=profile(time_ms, time_ms)))

    values = graph.get_timeseries_values(urn, models.DatasetProfileClass, filter={}, limit=2)
    assert [value.rowCount for value in values] == [3_000, 2_000]

    one = graph.get_latest_timeseries_value(
        urn, models.DatasetProfileClass, {"timestampMillis": "2000"}
    )
    assert one.rowCount == 2_000


def test_patches_add_and_remove_by_key(graph):
    urn = dataset("patched")
    steps = [
        DatasetPatchBuilder(urn)
        .add_tag(models.TagAssociationClass("urn:li:tag:a"))
        .add_tag(models.TagAssociationClass("urn:li:tag:b"))
        .add_term(models.GlossaryTermAssociationClass("urn:li:glossaryTerm:t"))
        .add_owner(models.OwnerClass("urn:li:corpuser:x", models.OwnershipTypeClass.DATAOWNER))
        .add_custom_property("k/1", "v")
        .set_description("seen")
        .set_structured_property("io.dataspoke.quality", 97.5)
        .add_upstream_lineage(models.UpstreamClass(ORDERS, models.DatasetLineageTypeClass.COPY)),
        DatasetPatchBuilder(urn)
        .remove_tag("urn:li:tag:a")
        .add_custom_property("k2", "v2")
        .set_structured_property("io.dataspoke.quality", 98.0),
    ]
    field = (
        DatasetPatchBuilder(urn).for_field("id").add_tag(models.TagAssociationClass("urn:li:tag:f"))
    )
    for mcp in [*steps[0].build(), *steps[1].build(), *field.parent().build()]:
        graph.emit(mcp)

    tags = graph.get_aspect(urn, models.GlobalTagsClass).tags
    assert [tag.tag for tag in tags] == ["urn:li:tag:b"]
    (term,) = graph.get_aspect(urn, models.GlossaryTermsClass).terms
    assert term.urn == "urn:li:glossaryTerm:t"
    (owner,) = graph.get_aspect(urn, models.OwnershipClass).owners
    assert (owner.owner, owner.type) == ("urn:li:corpuser:x", "DATAOWNER")
    properties = graph.get_aspect(urn, models.DatasetPropertiesClass)
    assert properties.description == "seen"
    assert properties.customProperties == {"k/1": "v", "k2": "v2"}
    (structured,) = graph.get_aspect(urn, models.StructuredPropertiesClass).properties
    assert structured.values == [98.0]
    (upstream,) = graph.get_aspect(urn, models.UpstreamLineageClass).upstreams
    assert upstream.dataset == ORDERS
    (column,) = graph.get_aspect(urn, models.EditableSchemaMetadataClass).editableSchemaFieldInfo
    assert column.fieldPath == "id"
    assert [tag.tag for tag in column.globalTags.tags] == ["urn:li:tag:f"]


def test_column_lineage_is_patched(graph):
    urn = dataset("columns")
    columns = [f"urn:li:schemaField:({table},id)" for table in (ORDERS, urn)]
    lineage = models.FineGrainedLineageClass(
        upstreamType=models.FineGrainedLineageUpstreamTypeClass.FIELD_SET,
        upstreams=[columns[0]],
        downstreamType=models.FineGrainedLineageDownstreamTypeClass.FIELD,
        downstreams=[columns[1]],
    )
    for mcp in DatasetPatchBuilder(urn).add_fine_grained_lineage(lineage).build():
        graph.emit(mcp)

    (found,) = graph.get_aspect(urn, models.UpstreamLineageClass).fineGrainedLineages
    assert (found.upstreams, found.downstreams) == ([columns[0]], [columns[1]])


def test_patches_arrive_by_the_openapi_too(hub, graph):
    urn = dataset("patched-openapi")
    with DataHubRestEmitter(hub.url, "editor-token", openapi_ingestion=True) as emitter:
        for tag in ("a", "b"):
            builder = DatasetPatchBuilder(urn).add_tag(
                models.TagAssociationClass(f"urn:li:tag:{tag}")
            )
            emitter.emit_mcps(builder.build())

    tags = graph.get_aspect(urn, models.GlobalTagsClass).tags
    assert [tag.tag for tag in tags] == ["urn:li:tag:a", "urn:li:tag:b"]


def test_entities_and_relationships_are_read_in_batches(graph):
    urns = [dataset(f"batch-{index}") for index in range(3)]
    for urn in urns:
        graph.emit(Mcp(entityUrn=urn, aspect=models.DatasetPropertiesClass(name=urn)))
    lineage = models.UpstreamLineageClass(
        [models.UpstreamClass(urns[1], models.DatasetLineageTypeClass.COPY)]
    )
    graph.emit(Mcp(entityUrn=urns[0], aspect=lineage))

    entities = graph.get_entities("dataset", [*urns, dataset("absent")], ["datasetProperties"])
    assert set(entities) == set(urns)
    assert entities[urns[2]]["datasetProperties"][0].name == urns[2]

    related = graph.get_related_entities(urns[1], ["DownstreamOf"], RelationshipDirection.INCOMING)
    assert [found.urn for found in related] == [urns[0]]
    scrolled = graph.scroll_relationships(
        source_urns=[urns[0]], relationship_types=["DownstreamOf"]
    )
    assert [found.destination_urn for found in scrolled.relationships] == [urns[1]]

    seen: list[str] = []
    scroll_id = None
    while True:
        page = graph.scroll_entities(entity_names=["dataset"], count=2, scroll_id=scroll_id)
        seen += page.entities
        scroll_id = page.scroll_id
        if scroll_id is None:
            break
    assert set(urns) <= set(seen)
    assert len(seen) == len(set(seen)) == page.total_count


def test_soft_and_hard_deletion(graph):
    urn = dataset("deleted")
    graph.emit(Mcp(entityUrn=urn, aspect=models.DatasetPropertiesClass(name="x")))
    graph.emit(Mcp(entityUrn=urn, aspect=profile(1_000, 1)))
    graph.emit(Mcp(entityUrn=urn, aspect=profile(2_000, 2)))

    graph.soft_delete_entity(urn)
    assert graph.get_aspect(urn, models.StatusClass).removed
    assert urn not in graph.list_all_entity_urns("dataset", 0, 1000)

    removed = graph.hard_delete_timeseries_aspect(
        urn, "datasetProfile", None, datetime.fromtimestamp(1, UTC)
    )
    assert removed == 1
    assert graph.hard_delete_entity(urn) == (3, 1)
    assert not graph.exists(urn)


def test_urns_are_found_by_filter(graph):
    urns = [
        f"urn:li:dataset:(urn:li:dataPlatform:{platform},filtered,{env})"
        for platform, env in (("mysql", "PROD"), ("mysql", "DEV"), ("hive", "PROD"))
    ]
    for urn in urns:
        graph.emit(Mcp(entityUrn=urn, aspect=models.DatasetPropertiesClass(name="filtered")))
    graph.soft_delete_entity(urns[1])

    def found(**asked: object) -> set[str]:
        return set(graph.get_urns_by_filter(entity_types=["dataset"], batch_size=1, **asked))

    assert set(urns) & found() == {urns[0], urns[2]}
    assert found(platform="mysql") == {urns[0]}
    assert found(platform="mysql", status=RemovedStatusFilter.ALL) == {urns[0], urns[1]}
    assert found(platform="mysql", status=RemovedStatusFilter.ONLY_SOFT_DELETED) == {urns[1]}
    assert found(platform="hive", env="PROD") == {urns[2]}


def test_references_are_counted_and_then_deleted(graph):
    urn, tag = dataset("referring"), "urn:li:tag:leaving"
    graph.emit(Mcp(entityUrn=urn, aspect=models.GlobalTagsClass([models.TagAssociationClass(tag)])))

    assert graph.delete_references_to_urn(tag, dry_run=True) == (
        1,
        [{"relationship": "TaggedWith", "entity": urn, "aspect": "globalTags"}],
    )
    assert graph.delete_references_to_urn(tag)[0] == 1
    assert graph.get_aspect(urn, models.GlobalTagsClass).tags == []
    assert graph.delete_references_to_urn(tag)[0] == 0


def test_the_capabilities_are_negotiable(graph):
    specs = graph.get_entity_aspect_specs()

    assert specs.supports("dataset", "datasetProfile")
    assert not specs.supports("dataset", "corpUserInfo")
    assert graph.server_config.server_type == "dataspoke-stand-in"
    assert not graph.server_config.is_datahub_cloud


@pytest.mark.filterwarnings("ignore::datahub.errors.ExperimentalWarning")
def test_the_sdks_own_entities_are_written_and_read(hub):
    # Imported here: the SDK warns about it as soon as it is.
    from datahub.sdk import DataHubClient, Dataset

    client = DataHubClient(server=hub.url, token="editor-token")
    columns = [("id", "int", "The number of the order."), ("total", "decimal", None)]
    table = Dataset(platform="postgres", name="shop.sdk", description="Orders.", schema=columns)
    client.entities.upsert(table)

    read = client.entities.get(DatasetUrn("postgres", "shop.sdk"))

    assert read.description == "Orders."
    assert [column.field_path for column in read.schema] == ["id", "total"]
    with pytest.raises(ItemNotFoundError):
        client.entities.get(DatasetUrn("postgres", "shop.absent"))


def test_versions_are_read_as_in_datahub(graph):
    urn = dataset("versions")
    for name in ("first", "second"):
        graph.emit(Mcp(entityUrn=urn, aspect=models.DatasetPropertiesClass(name=name)))

    assert graph.get_aspect(urn, models.DatasetPropertiesClass, version=1).name == "first"
    assert graph.get_aspect(urn, models.DatasetPropertiesClass).name == "second"
