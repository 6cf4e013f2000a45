"""What changes of metadata ask for. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from dataspoke.ports.changes import Group
from dataspoke.ports.hub import MetadataEvent, RejectedEvent
from dataspoke.urns import is_dataset

# What a dataset's document and its health are made of. Whether it was written or deleted makes no
# difference: the dataset is read anew.
_DESCRIBING = frozenset(
    {
        "datasetKey",
        "datasetProperties",
        "deprecation",
        "domains",
        "editableDatasetProperties",
        "editableSchemaMetadata",
        "globalTags",
        "glossaryTerms",
        "ownership",
        "schemaMetadata",
        "status",
        "upstreamLineage",
    }
)
# A dataset that comes, goes or comes back takes its verdicts along; a deprecated one may be late.
_STANDING = frozenset({"datasetKey", "deprecation", "status"})
_MEASURING = frozenset({"datasetProfile", "datasetUsageStatistics", "operation"})
# The names that stand in documents of datasets.
_NAMING: Mapping[str, frozenset[str]] = {
    "corpGroup": frozenset({"corpGroupInfo", "corpGroupEditableInfo"}),
    "corpuser": frozenset({"corpUserInfo", "corpUserEditableInfo"}),
    "domain": frozenset({"domainProperties"}),
    "glossaryTerm": frozenset({"glossaryTermInfo"}),
    "tag": frozenset({"tagProperties"}),
}
_DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Plan:
    """Datasets whose document, health or quality may be out of step, each once and in order.

    ``renamed`` are owners, tags, terms and domains that may be called otherwise now, which stands
    in the documents of all that carry them. ``rejected`` are events that cannot be acted on.
    """

    index: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()
    scan: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    rejected: tuple[RejectedEvent, ...] = ()


def plan(events: Sequence[MetadataEvent]) -> Plan:
    """Return what these changes ask for; most ask for nothing."""
    described: set[str] = set()
    measured: set[str] = set()
    renamed: set[str] = set()
    rejected = []
    for event in events:
        if event.entity_type == "dataset":
            if event.aspect not in _DESCRIBING | _MEASURING:
                continue
            if not is_dataset(event.urn):
                rejected.append(RejectedEvent(as_text(event), "Its urn is not that of a dataset."))
                continue
            if event.aspect in _DESCRIBING:
                described.add(event.urn)
            if event.aspect in _MEASURING | _STANDING:
                measured.add(event.urn)
        elif event.aspect in _NAMING.get(event.entity_type, ()) or (
            event.entity_type in _NAMING and event.change == _DELETE
        ):
            renamed.add(event.urn)
    in_order = tuple(sorted(described))
    return Plan(
        in_order, in_order, tuple(sorted(measured)), tuple(sorted(renamed)), tuple(rejected)
    )


def share(planned: Plan, group: Group) -> Plan:
    """Return what of a plan is a group's to do; together the groups do all of it."""
    match group:
        case Group.VECTOR_SYNC:
            return replace(planned, audit=(), scan=())
        case Group.QUALITY_MONITOR:
            return replace(planned, index=(), audit=(), renamed=())
        case Group.NOTIFICATION:
            return replace(planned, index=(), scan=(), renamed=())


def as_text(event: MetadataEvent) -> str:
    """Return the event as JSON in ASCII, whatever characters are in it."""
    return json.dumps(asdict(event), sort_keys=True)
