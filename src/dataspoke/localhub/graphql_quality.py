"""GraphQL fields of assertions, incidents and health."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dataspoke.localhub.graphql_dataset import points
from dataspoke.localhub.graphql_entities import Arguments, Node, Reader, field
from dataspoke.localhub.graphql_entity import pairs

# DataHub keeps a number and shows a word.
_PRIORITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")


@field("Dataset", "assertions")
def _assertions(node: Node, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    found = _assertions_of(reader, node.urn, bool(arguments.get("includeSoftDeleted")))
    start, count = arguments.get("start") or 0, arguments.get("count", 200)
    page = found[start : start + count]
    return {"start": start, "count": len(page), "total": len(found), "assertions": page}


def _assertions_of(reader: Reader, urn: str, with_removed: bool = False) -> list[Node]:
    nodes = reader.nodes(reader.sources(urn, "Asserts", "assertion"))
    return [node for node in nodes if with_removed or not reader.is_removed(node.urn)]


@field("Assertion", "info")
def _info(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    value = reader.aspect(node.urn, "assertionInfo")
    if value is None:
        return None
    dataset, custom = value.get("datasetAssertion"), value.get("customAssertion")
    return {
        "type": value["type"],
        "description": value.get("description"),
        "externalUrl": value.get("externalUrl"),
        "source": value.get("source"),
        "lastUpdated": value.get("lastUpdated"),
        "datasetAssertion": None if dataset is None else _dataset_assertion(dataset),
        "customAssertion": None if custom is None else _custom_assertion(custom),
    }


def _dataset_assertion(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "datasetUrn": value["dataset"],
        "scope": value["scope"],
        "fields": [_field_reference(urn) for urn in value.get("fields") or ()],
        "aggregation": value.get("aggregation"),
        "operator": value["operator"],
        "parameters": value.get("parameters"),
        "nativeType": value.get("nativeType"),
        "nativeParameters": pairs((value.get("nativeParameters") or {}).items()),
        "logic": value.get("logic"),
    }


def _custom_assertion(value: Mapping[str, Any]) -> dict[str, Any]:
    column = value.get("field")
    return {
        "type": value["type"],
        "entityUrn": value["entity"],
        "field": None if column is None else _field_reference(column),
        "logic": value.get("logic"),
    }


def _field_reference(urn: str) -> dict[str, str]:
    return {"urn": urn, "path": urn.removesuffix(")").rpartition(",")[2]}


@field("Assertion", "runEvents")
def _run_events(node: Node, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    asked = arguments.get("status")
    events = [
        event
        for event in points(reader, node.urn, "assertionRunEvent", {**arguments, "limit": None})
        if asked is None or event["status"] == asked
    ][: arguments.get("limit")]
    counts = Counter((event.get("result") or {}).get("type") for event in events)
    return {
        "total": len(events),
        "failed": counts["FAILURE"],
        "succeeded": counts["SUCCESS"],
        "errored": counts["ERROR"],
        "runEvents": [_run_event(event) for event in events],
    }


def _run_event(value: Mapping[str, Any]) -> dict[str, Any]:
    result = value.get("result")
    if result is not None:
        native, error = result.get("nativeResults") or {}, result.get("error")
        if error is not None:
            error = {**error, "properties": pairs((error.get("properties") or {}).items())}
        result = {**result, "nativeResults": pairs(native.items()), "error": error}
    return {
        **value,
        "lastObservedMillis": None,
        "runtimeContext": pairs((value.get("runtimeContext") or {}).items()),
        "result": result,
    }


@field("Dataset", "incidents")
def _incidents(node: Node, reader: Reader, arguments: Arguments) -> dict[str, Any]:
    found = _incidents_of(reader, node.urn, arguments)
    start, count = arguments.get("start") or 0, arguments.get("count", 10)
    page = found[start : start + count]
    return {"start": start, "count": len(page), "total": len(found), "incidents": page}


def _incidents_of(reader: Reader, urn: str, asked: Arguments) -> list[Node]:
    """Return the incidents that have what is asked for, the newest first."""
    nodes = reader.nodes(reader.sources(urn, "IncidentOn", "incident"))
    found = [node for node in nodes if _matches(reader, node, asked)]
    return sorted(found, key=lambda node: -_incident(reader, node)["created"]["time"])


def _matches(reader: Reader, node: Node, asked: Arguments) -> bool:
    status = _incident(reader, node)["status"]
    assignees = {each.urn for each in _incident_assignees(node, reader, {})}
    wanted = asked.get("assigneeUrns")
    return (
        asked.get("state") in (None, status["state"])
        and asked.get("stage") in (None, status.get("stage"))
        and asked.get("priority") in (None, _incident_priority(node, reader, {}))
        and (not wanted or not assignees.isdisjoint(wanted))
    )


def _incident(reader: Reader, node: Node) -> dict[str, Any]:
    return reader.aspect(node.urn, "incidentInfo") or {"status": {"state": None}, "entities": []}


@field("Incident", "incidentType")
def _incident_type(node: Node, reader: Reader, _: Arguments) -> Any:
    return _incident(reader, node).get("type")


@field("Incident", "status", "incidentStatus")
def _incident_status(node: Node, reader: Reader, _: Arguments) -> Any:
    return _incident(reader, node)["status"]


@field("Incident", "entity")
def _incident_entity(node: Node, reader: Reader, _: Arguments) -> Node | None:
    return next(iter(reader.nodes(_incident(reader, node)["entities"])), None)


@field("Incident", "source")
def _incident_source(node: Node, reader: Reader, _: Arguments) -> dict[str, Any] | None:
    source = _incident(reader, node).get("source")
    if source is None:
        return None
    return {"type": source["type"], "source": reader.node(source.get("sourceUrn"))}


def _of_incident(name: str) -> None:
    field("Incident", name)(lambda node, reader, _: _incident(reader, node).get(name))


for _name in ("title", "description", "customType", "created", "startedAt"):
    _of_incident(_name)


@field("Incident", "priority")
def _incident_priority(node: Node, reader: Reader, _: Arguments) -> str | None:
    number = _incident(reader, node).get("priority")
    return None if number is None else _PRIORITIES[number]


@field("Incident", "assignees")
def _incident_assignees(node: Node, reader: Reader, _: Arguments) -> list[Node]:
    assignees = _incident(reader, node).get("assignees") or ()
    return reader.nodes(each["actor"] for each in assignees)


@field("Dataset", "health")
def _health(node: Node, reader: Reader, _: Arguments) -> list[dict[str, Any]]:
    """Assertions and incidents; any latest run other than SUCCESS turns the first red."""
    healths: list[dict[str, Any]] = []
    latest = {
        assertion.urn: runs[0]
        for assertion in _assertions_of(reader, node.urn)
        if (runs := points(reader, assertion.urn, "assertionRunEvent", {"limit": 1}))
    }
    failing = [urn for urn, run in latest.items() if _outcome(run) != "SUCCESS"]
    if latest:
        healths.append(
            {
                "type": "ASSERTIONS",
                "status": "FAIL" if failing else "PASS",
                "message": f"{len(failing)} of {len(latest)} assertions are failing"
                if failing
                else "All assertions are passing",
                "causes": failing,
                "reportedAt": max(run["timestampMillis"] for run in latest.values()),
            }
        )
    active = _incidents_of(reader, node.urn, {"state": "ACTIVE"})
    healths.append(
        {
            "type": "INCIDENTS",
            "status": "FAIL" if active else "PASS",
            "message": f"{len(active)} active incident(s)" if active else None,
            "causes": ["ACTIVE_INCIDENTS"] if active else [],
            "activeIncidentHealthDetails": _newest_of(reader, active),
        }
    )
    return healths


def _newest_of(reader: Reader, active: Sequence[Node]) -> dict[str, Any] | None:
    if not active:
        return None
    updated = [_incident(reader, node)["status"]["lastUpdated"]["time"] for node in active]
    return {
        "latestIncidentUrn": active[0].urn,
        "latestIncidentTitle": _incident(reader, active[0]).get("title"),
        "lastActivityAt": max(updated),
        "count": len(active),
    }


def _outcome(run: Mapping[str, Any]) -> str | None:
    return (run.get("result") or {}).get("type")
