"""DataHub's models as the stand-in checks them, held against the SDK that ships them."""

from contextlib import suppress

import pytest
from datahub.emitter.serialization_helper import pre_json_transform
from datahub.metadata import schema_classes as sdk
from datahub.metadata.urns import Urn
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.localhub.models import (
    aspect_models,
    aspect_of_type,
    entity_models,
    entity_of,
    key_of,
)

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
COLUMN = f"urn:li:schemaField:({ORDERS},id)"
STAMP = sdk.AuditStampClass(time=1, actor="urn:li:corpuser:x")

ASPECTS = [
    sdk.SchemaMetadataClass(
        schemaName="orders", platform="urn:li:dataPlatform:postgres", version=0, hash="",
        platformSchema=sdk.MySqlDDLClass("create table orders"),
        fields=[sdk.SchemaFieldClass(
            fieldPath="id", nativeDataType="int",
            type=sdk.SchemaFieldDataTypeClass(sdk.NumberTypeClass()))],
    ),
    sdk.AssertionInfoClass(
        type=sdk.AssertionTypeClass.CUSTOM,
        source=sdk.AssertionSourceClass(sdk.AssertionSourceTypeClass.EXTERNAL),
        customAssertion=sdk.CustomAssertionInfoClass(type="volume", entity=ORDERS, field=COLUMN),
    ),
    sdk.AssertionRunEventClass(
        timestampMillis=1, runId="r", asserteeUrn=ORDERS, assertionUrn="urn:li:assertion:a",
        status=sdk.AssertionRunStatusClass.COMPLETE,
        result=sdk.AssertionResultClass(sdk.AssertionResultTypeClass.SUCCESS, actualAggValue=1.5),
    ),
    sdk.IncidentInfoClass(
        type=sdk.IncidentTypeClass.VOLUME, entities=[ORDERS], created=STAMP,
        status=sdk.IncidentStatusClass(sdk.IncidentStateClass.ACTIVE, STAMP),
    ),
    sdk.StructuredPropertiesClass(
        [sdk.StructuredPropertyValueAssignmentClass("urn:li:structuredProperty:q", [97.5, "x"])]
    ),
    sdk.UpstreamLineageClass([sdk.UpstreamClass(ORDERS, sdk.DatasetLineageTypeClass.VIEW)]),
    sdk.ChartInfoClass(title="t", description="d", inputs=[ORDERS],
                       lastModified=sdk.ChangeAuditStampsClass()),
    sdk.CostClass(sdk.CostTypeClass.ORG_COST_TYPE,
                  sdk.CostCostClass(costId=1.0, fieldDiscriminator="costId")),
    sdk.DatasetProfileClass(timestampMillis=1, rowCount=3, fieldProfiles=[
        sdk.DatasetFieldProfileClass(fieldPath="id", nullProportion=0.5)]),
]  # fmt: skip


@pytest.mark.parametrize("aspect", ASPECTS, ids=lambda aspect: aspect.ASPECT_NAME)
def test_what_the_sdk_writes_is_accepted_unchanged(aspect):
    sent = pre_json_transform(aspect.to_obj())

    assert aspect_models()[aspect.ASPECT_NAME].validate(sent) == sent


@pytest.mark.parametrize(
    ("aspect", "value", "message"),
    [
        ("structuredProperties", {"properties": [{"propertyUrn": "u", "values": [{"long": 1}]}]},
         r"properties\[0\]\.values\[0\] must be an object with one key out of string, double"),
        ("datasetProfile", {"timestampMillis": 1.5}, "timestampMillis must be a whole number"),
        ("datasetProfile", {"timestampMillis": True}, "timestampMillis must be a whole number"),
        ("datasetProfile", {"timestampMillis": 1, "fieldProfiles": {}}, "must be a list"),
        ("datasetProperties", {"customProperties": {"a": 1}}, r"customProperties\.a must be a st"),
        ("datasetProperties", {"customProperties": []}, "customProperties must be an object"),
        ("operation", {"timestampMillis": 1, "lastUpdatedTimestamp": 1, "operationType": "EAT"},
         "operationType must be one of OperationType's"),
        ("datasetProfile", {"timestampMillis": 1, "fieldProfiles": [
            {"fieldPath": "a", "nullProportion": "half"}]}, "nullProportion must be a number"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_by_its_place(aspect, value, message):
    with pytest.raises(InvalidInput, match=message):
        aspect_models()[aspect].validate(value)


def test_numbers_that_are_whole_pass_as_such():
    profile = aspect_models()["datasetProfile"].validate({"timestampMillis": 2.0, "rowCount": None})

    assert profile == {"timestampMillis": 2}
    assert isinstance(profile["timestampMillis"], int)


@pytest.mark.parametrize(
    ("aspect", "edges"),
    [
        (ASPECTS[1], {("Asserts", ORDERS), ("Asserts", COLUMN)}),
        (ASPECTS[3], {("IncidentOn", ORDERS)}),
        (ASPECTS[5], {("DownstreamOf", ORDERS)}),
        (sdk.SiblingsClass([ORDERS], primary=True), {("SiblingOf", ORDERS)}),
        (sdk.DomainsClass(["urn:li:domain:d"]), {("AssociatedWith", "urn:li:domain:d")}),
        (sdk.GlobalTagsClass([sdk.TagAssociationClass("urn:li:tag:t")]),
         {("TaggedWith", "urn:li:tag:t")}),
        (ASPECTS[6], {("Consumes", ORDERS)}),
        (ASPECTS[8], set()),
    ],
)  # fmt: skip
def test_relationships_are_read_from_the_annotations_of_the_model(aspect, edges):
    model = aspect_models()[aspect.ASPECT_NAME]

    assert model.edges(model.validate(pre_json_transform(aspect.to_obj()))) == edges


@pytest.mark.parametrize(
    "urn",
    [
        ORDERS,
        COLUMN,
        "urn:li:corpuser:x",
        "urn:li:dataJob:(urn:li:dataFlow:(airflow,dag,prod),task)",
        "urn:li:assertion:1",
    ],
)
def test_keys_are_those_of_the_sdk(urn):
    expected = Urn.from_string(urn).to_key_aspect().to_obj()

    assert key_of(urn) == expected
    assert entity_of(urn).key_aspect == Urn.from_string(urn).to_key_aspect().ASPECT_NAME


def test_every_aspect_of_every_entity_compiles():
    models = aspect_models()
    for model in models.values():
        with pytest.raises(InvalidInput):
            model.validate("no object")
    assert {name for entity in entity_models().values() for name in entity.aspects} <= set(models)


def test_an_unknown_type_of_aspect_is_refused():
    assert aspect_of_type("com.linkedin.common.Status") == "status"
    with pytest.raises(InvalidInput, match="no aspect of type 'Status'"):
        aspect_of_type("Status")


names = st.sampled_from(
    ["timestampMillis", "rowCount", "fieldProfiles", "fieldPath", "type", "partitionSpec",
     "partition", "string", "values", "properties", "propertyUrn", "customProperties"]
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values, aspect=st.sampled_from(
    ["datasetProfile", "structuredProperties", "datasetProperties"]))  # fmt: skip
def test_any_json_is_taken_as_it_is_or_refused(value, aspect):
    model = aspect_models()[aspect]

    # Refused, and nothing else raised, where the model does not allow it.
    with suppress(InvalidInput):
        taken = model.validate(value)
        assert model.validate(taken) == taken
        assert set(taken) <= set(value)
