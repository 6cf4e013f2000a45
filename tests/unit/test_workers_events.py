import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.ports.hub import MetadataEvent
from dataspoke.workers.events import Plan, as_text, plan

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)"
ITEMS = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.items,PROD)"


def change(urn: str, aspect: str, kind: str = "UPSERT") -> MetadataEvent:
    return MetadataEvent(urn, urn.split(":")[2], aspect, kind)


@pytest.mark.parametrize(
    "aspect",
    ["schemaMetadata", "editableDatasetProperties", "ownership", "domains", "globalTags"],
)
def test_a_described_dataset_is_indexed_and_audited(aspect: str) -> None:
    assert plan([change(ORDERS, aspect)]) == Plan(index=(ORDERS,), audit=(ORDERS,))


@pytest.mark.parametrize("aspect", ["datasetProfile", "datasetUsageStatistics", "operation"])
def test_a_measured_dataset_is_scanned(aspect: str) -> None:
    assert plan([change(ORDERS, aspect)]) == Plan(scan=(ORDERS,))


@pytest.mark.parametrize(
    ("aspect", "kind"),
    [
        ("datasetKey", "UPSERT"),
        ("datasetKey", "DELETE"),
        ("deprecation", "UPSERT"),
        ("status", "UPSERT"),
    ],
)
def test_a_dataset_that_comes_or_goes_is_looked_at_wholly(aspect: str, kind: str) -> None:
    assert plan([change(ORDERS, aspect, kind)]) == Plan((ORDERS,), (ORDERS,), (ORDERS,))


@pytest.mark.parametrize(
    "event",
    [
        change("urn:li:tag:PII", "tagProperties"),
        change("urn:li:glossaryTerm:revenue", "glossaryTermInfo"),
        change("urn:li:domain:shop", "domainProperties"),
        change("urn:li:corpuser:ann", "corpUserEditableInfo"),
        change("urn:li:corpGroup:buyers", "corpGroupInfo"),
        change("urn:li:tag:PII", "tagKey", "DELETE"),
    ],
)
def test_a_changed_name_concerns_all_that_carry_it(event: MetadataEvent) -> None:
    assert plan([event, event]) == Plan(renamed=(event.urn,))


@pytest.mark.parametrize(
    "event",
    [
        change(ORDERS, "usageFeatures"),
        change(ORDERS, "structuredProperties"),
        change("urn:li:assertion:1", "assertionInfo"),
        change("urn:li:tag:PII", "ownership"),
        change("urn:li:dataJob:(urn:li:dataFlow:(airflow,a,PROD),b)", "status"),
    ],
)
def test_the_rest_asks_for_nothing(event: MetadataEvent) -> None:
    assert plan([event]) == Plan()


def test_many_changes_of_a_dataset_are_one() -> None:
    events = [change(ORDERS, "ownership"), change(ITEMS, "status"), change(ORDERS, "globalTags")]
    assert plan(events * 3) == Plan((ITEMS, ORDERS), (ITEMS, ORDERS), (ITEMS,))


def test_what_is_no_dataset_urn_is_kept_aside() -> None:
    broken = MetadataEvent("urn:li:dataset:\0", "dataset", "ownership", "UPSERT")
    planned = plan([change(ORDERS, "operation"), broken])
    assert planned.scan == (ORDERS,)
    ((text, error),) = planned.rejected
    assert json.loads(text)["urn"] == "urn:li:dataset:\0"
    assert "urn" in error


@given(st.builds(MetadataEvent, st.text(), st.text() | st.just("dataset"), st.text(), st.text()))
def test_any_event_can_be_planned_and_written_down(event: MetadataEvent) -> None:
    plan([event])
    assert json.loads(as_text(event))["urn"] == event.urn
    assert as_text(event).isascii()
