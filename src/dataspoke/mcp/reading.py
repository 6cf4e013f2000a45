"""From the gateway's answers to those of the tools. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dataspoke.errors import InvalidInput, NotFound
from dataspoke.mcp.answers import (
    Alert,
    AlertsAnswer,
    Alternative,
    Check,
    Dataset,
    DatasetAnswer,
    Deadline,
    Hit,
    Issue,
    LineageAnswer,
    Relative,
    SearchAnswer,
    SqlContextAnswer,
    Table,
    ToDo,
    VerdictAnswer,
    clip,
    fitted,
)
from dataspoke.mcp.gateway import Answered, Failure
from dataspoke.urns import dataset_name, is_dataset, platform_of

# Lengths in bytes: what is longer says little more to a model.
_URN = 512
_NAME = 160
_LABEL = 80
_PARAGRAPH = 400
_MESSAGE = 320
# How many of each are shown: so many that one item always fits beside all that is said once.
_LABELS = 6
_ALERTS = 3
_NOTES = 3

# A part of trust below it is told.
_DOUBTFUL = 0.5

Node = Mapping[str, Any]


def search_answer(answered: Answered) -> SearchAnswer:
    """Return the hits of ``search_datasets`` that fit."""
    found = answered.required("knowledgeSearch")
    edges = [edge for edge in found["edges"] if (edge["node"].get("dataset") or {}).get("urn")]
    notes = notes_on(answered.failures)
    if found["notice"]:
        notes.insert(0, clip(found["notice"], _MESSAGE))

    def build(count: int) -> SearchAnswer:
        return SearchAnswer(
            hits=[_hit(edge["node"]) for edge in edges[:count]],
            mode=found["mode"],
            read_filters=[
                clip(f"{each['kind']} {each['name']} (from '{each['words']}')", _NAME)
                for each in found["interpretation"]["filters"][:_LABELS]
            ],
            notes=list(notes),
            next_cursor=_cursor(edges, count, found),
        )

    return fitted(build, len(edges))


def alerts_answer(answered: Answered) -> AlertsAnswer:
    """Return the alerts of ``list_alerts`` that fit."""
    found = answered.required("qualityAlerts")
    edges = found["edges"]

    def build(count: int) -> AlertsAnswer:
        return AlertsAnswer(
            alerts=[
                _alert(node, {}, (node.get("dataset") or {}).get("urn"))
                for node in (edge["node"] for edge in edges[:count])
            ],
            notes=notes_on(answered.failures),
            next_cursor=_cursor(edges, count, found),
        )

    return fitted(build, len(edges))


def dataset_answer(answered: Answered, urn: str, start: int) -> DatasetAnswer:
    """Return what ``get_dataset`` says of ``urn``: its items from ``start`` on that fit.

    Raises NotFound where it does not exist for the caller.
    """
    node = existing(answered, urn)
    quality, health = node.get("quality") or {}, node.get("healthScore") or {}
    rules = {rule["id"]: rule["name"] for rule in quality.get("rules") or ()}
    alerts = [_alert(alert, rules, None) for alert in quality.get("alerts") or ()]
    checks = [_check(result, rules) for result in quality.get("results") or ()]
    checks.sort(key=lambda check: (check.status == "PASS", check.check))
    to_do = [
        ToDo(
            rule=finding["rule"],
            achieved=finding["achieved"],
            action=clip(finding["action"], _MESSAGE),
        )
        for finding in health.get("findings") or ()
        if finding["action"]
    ]
    failing = [check for check in checks if check.status != "PASS"]
    # In this order they are read: what is wrong, what to do, what is as it should be.
    items = [*alerts, *failing, *to_do, *checks[len(failing) :]][start:]
    head = {
        # Its alerts are items.
        "dataset": Dataset(**_facts(node) | {"open_alerts": []}),
        "owners": _labels(entry["owner"]["urn"] for entry in _list(node, "ownership", "owners")),
        "domain": _domain(node),
        "tags": _labels(entry["tag"]["urn"] for entry in _list(node, "tags", "tags")),
        "terms": _labels(entry["term"]["urn"] for entry in _list(node, "glossaryTerms", "terms")),
        "updated_at": _updated(node),
        "quality_score": quality.get("score"),
        "dimensions": {
            each["dimension"]: each["status"] for each in quality.get("dimensions") or ()
        },
        "scanned_at": _moment(quality.get("scannedAt")),
        "deadline": _deadline(quality.get("sla")),
    }
    notes = notes_on(answered.failures)
    if (node.get("status") or {}).get("removed"):
        notes.insert(0, "It is removed (soft-deleted) in DataHub: do not use it.")

    def build(count: int) -> DatasetAnswer:
        shown = items[:count]
        return DatasetAnswer(
            **head,
            alerts=[item for item in shown if isinstance(item, Alert)],
            checks=[item for item in shown if isinstance(item, Check)],
            to_do=[item for item in shown if isinstance(item, ToDo)],
            notes=list(notes),
            next_cursor=str(start + count) if count < len(items) else None,
        )

    return fitted(build, len(items))


def lineage_answer(answered: Answered, urn: str, direction: str) -> LineageAnswer:
    """Return what ``get_lineage`` says of ``urn``.

    Raises NotFound where it does not exist for the caller.
    """
    existing(answered, urn)
    found = answered.required("searchAcrossLineage")
    results = found["searchResults"]
    notes = notes_on(answered.failures)
    if found.get("isPartial"):
        notes.append("DataHub could not walk all of the lineage in time: there may be more.")

    def build(count: int) -> LineageAnswer:
        end = found["start"] + count
        return LineageAnswer(
            urn=urn,
            direction=direction,
            total=found["total"],
            relatives=[_relative(result) for result in results[:count]],
            notes=list(notes),
            next_cursor=str(end) if end < found["total"] and results else None,
        )

    return fitted(build, len(results))


def sql_context_answer(answered: Answered) -> SqlContextAnswer:
    """Return what ``get_sql_context`` says; whether it fits is for the caller to see."""
    found = answered.required("sqlContext")
    notes = notes_on(answered.failures)
    if found["notice"]:
        notes.insert(0, clip(found["notice"], _MESSAGE))
    return SqlContextAnswer(
        context=found["text"],
        dialect=found["dialect"],
        tables=[_table(table) for table in found["tables"] if table["dataset"]],
        left_out=[each["urn"] for each in found["leftOut"] if each][:_LABELS],
        notes=notes,
    )


def verdict_answer(answered: Answered, start: int) -> VerdictAnswer:
    """Return what ``verify`` says: issues, alternatives and inputs from ``start`` on that fit."""
    found = answered.required("verifyContext")
    items = [
        *(_issue(issue) for issue in found["issues"]),
        *(_alternative(each) for each in found["alternatives"] if each["dataset"]),
        *(Dataset(**_facts(each)) for each in found["inputs"] if each),
    ][start:]
    outputs = [each["urn"] for each in found["outputs"] if each]

    def build(count: int) -> VerdictAnswer:
        shown = items[:count]
        return VerdictAnswer(
            verdict=found["verdict"],
            dialect=found["dialect"],
            issues=[item for item in shown if isinstance(item, Issue)],
            alternatives=[item for item in shown if isinstance(item, Alternative)],
            inputs=[item for item in shown if type(item) is Dataset],
            outputs=outputs[:_LABELS],
            notes=notes_on(answered.failures),
            next_cursor=str(start + count) if count < len(items) else None,
        )

    return fitted(build, len(items))


def existing(answered: Answered, urn: str) -> Node:
    """Return the root field ``dataset``; raises NotFound where it does not exist for the caller."""
    node: Node | None = answered.root("dataset")
    if node is None or node.get("exists") is False:
        raise NotFound(
            f"DataHub has no dataset {clip(urn, _URN)}, or you may not see it. "
            "search_datasets finds urns."
        )
    return node


def offset(cursor: str | None) -> int:
    """Return where to go on; raises InvalidInput for a cursor that no answer has given."""
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 9:
        raise InvalidInput(
            f"cursor {clip(cursor, _LABEL)!r} is none: pass next_cursor of the answer before, or "
            "leave it out to begin."
        )
    return int(cursor)


def notes_on(failures: Sequence[Failure]) -> list[str]:
    """Return each message of the failures once, with the fields that are missing for it."""
    missing: dict[str, dict[str, None]] = {}
    for failure in failures:
        names = [clip(part, _LABEL) for part in failure.path if isinstance(part, str)]
        fields = missing.setdefault(clip(failure.message, _MESSAGE), {})
        fields.update(dict.fromkeys(names[-1:]))
    notes = [
        f"{message} Missing here: {', '.join(list(fields)[:_LABELS])}." if fields else message
        for message, fields in missing.items()
    ]
    if len(notes) > _NOTES:
        return [*notes[:_NOTES], f"{len(notes) - _NOTES} more parts could not be answered."]
    return notes


def _cursor(edges: Sequence[Node], count: int, found: Node) -> str | None:
    """Return the cursor of the last item shown, None where nothing follows it."""
    if not count or (count == len(edges) and not found["pageInfo"]["hasNextPage"]):
        return None
    cursor: str = edges[count - 1]["cursor"]
    return cursor


def _facts(node: Node) -> dict[str, Any]:
    """Return the fields of ``Dataset``, of as much as the document asked for.

    Name and platform stand in the urn too: DataHub's fields of these may not be null, so that
    asking for them would cost the whole dataset where DataHub is down.
    """
    urn = node["urn"]
    quality = node.get("quality") or {}
    properties = node.get("properties") or {}
    described = (node.get("editableProperties") or {}).get("description") or properties.get(
        "description"
    )
    deprecation = node.get("deprecation") or {}
    return {
        "urn": urn,
        "name": clip(properties.get("name") or _name_in(urn), _NAME),
        "platform": _clipped((platform_of(urn) or "").rpartition(":")[2], _LABEL),
        "description": _clipped(described, _PARAGRAPH),
        "deprecated": clip(deprecation.get("note") or "it says no more", _MESSAGE)
        if deprecation.get("deprecated")
        else None,
        "quality": quality.get("status"),
        "open_alerts": [
            clip(alert["message"], _MESSAGE) for alert in (quality.get("alerts") or ())[:_ALERTS]
        ],
        "health": (node.get("healthScore") or {}).get("value"),
    }


def _name_in(urn: str) -> str:
    return dataset_name(urn) if is_dataset(urn) else urn


def _hit(node: Node) -> Hit:
    trust = node["trust"] or {}
    return Hit(
        **_facts(node["dataset"]),
        score=node["score"],
        why=[clip(reason, _LABEL) for reason in node["why"][:_LABELS]],
        trust=trust.get("value"),
        doubts=[
            clip(f"{part['name']}: {part['note']}", _LABEL)
            for part in trust.get("parts") or ()
            if part["value"] is not None and part["value"] < _DOUBTFUL
        ][:_LABELS],
    )


def _relative(result: Node) -> Relative:
    entity = result["entity"]
    facts = _facts(entity)
    for titled in ("dashboard", "chart", "dataJob"):
        if entity.get(titled):
            facts["name"] = clip(entity[titled]["name"], _NAME)
    return Relative(**facts, hops=result["degree"], type=entity["type"])


def _table(node: Node) -> Table:
    dataset = node["dataset"]
    return Table(
        urn=dataset["urn"],
        name=node["name"],
        quality=(dataset["quality"] or {}).get("status"),
        health=(dataset["healthScore"] or {}).get("value"),
    )


def _issue(node: Node) -> Issue:
    place, fix = node["place"] or {}, node["fix"] or {}
    return Issue(
        severity=node["severity"],
        code=node["code"],
        message=clip(node["message"], _MESSAGE),
        evidence=_clipped(node["evidence"], _MESSAGE),
        line=place.get("line"),
        column=place.get("column"),
        fix=_clipped(fix.get("message"), _MESSAGE),
        replacement=_clipped(fix.get("replacement"), _MESSAGE),
        urn=(node["dataset"] or {}).get("urn"),
        about_column=_clipped(node["column"], _NAME),
    )


def _alternative(node: Node) -> Alternative:
    return Alternative(
        **_facts(node["dataset"]),
        instead_of=clip(node["insteadOf"], _URN),
        why=clip(node["why"], _MESSAGE),
        missing=[clip(column, _LABEL) for column in node["missing"][:_LABELS]],
    )


def _alert(node: Node, rules: Mapping[str, str], urn: str | None) -> Alert:
    return Alert(
        id=node["id"],
        check=_check_name(node["check"], rules),
        severity=node["severity"],
        state=node["state"],
        message=clip(node["message"], _MESSAGE),
        opened_at=_moment(node["openedAt"]) or "",
        cause_id=node["causeId"],
        urn=urn,
    )


def _check(node: Node, rules: Mapping[str, str]) -> Check:
    return Check(
        check=_check_name(node["check"], rules),
        status=node["status"],
        value=node["value"],
        expected=node["expected"],
        low=node["low"],
        high=node["high"],
        observed_at=_moment(node["observedAt"]) or "",
        detail=_clipped(node["detail"], _MESSAGE),
    )


def _check_name(check: Node, rules: Mapping[str, str]) -> str:
    if check["ruleId"] is not None:
        return "rule " + clip(rules.get(check["ruleId"], check["ruleId"]), _NAME)
    if check["column"] is None:
        return str(check["metric"])
    return f"{check['metric']} of {clip(check['column'], _NAME)}"


def _deadline(sla: Node | None) -> Deadline | None:
    if sla is None:
        return None
    return Deadline(
        at=_moment(sla["nextDeadline"]),
        status=sla["status"],
        chance_to_miss=sla["chance"],
        expected_at=_moment(sla["expectedAt"]),
    )


def _updated(node: Node) -> str | None:
    operations = node.get("operations") or ()
    if not operations:
        return None
    seconds = operations[0]["lastUpdatedTimestamp"] / 1000
    return _moment(datetime.fromtimestamp(seconds, UTC).isoformat())


def _moment(time: str | None) -> str | None:
    """Return a time to the minute, as ``2026-11-24T07:30Z``."""
    if time is None:
        return None
    moment = datetime.fromisoformat(time).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%MZ}"


def _list(node: Node, aspect: str, items: str) -> Sequence[Node]:
    found: Sequence[Node] = (node.get(aspect) or {}).get(items) or ()
    return found


def _labels(urns: Iterable[str]) -> list[str]:
    shown = [clip(urn, _LABEL) for urn in urns]
    if len(shown) > _LABELS:
        return [*shown[:_LABELS], f"and {len(shown) - _LABELS} more"]
    return shown


def _domain(node: Node) -> str | None:
    domain = (node.get("domain") or {}).get("domain")
    if domain is None:
        return None
    return clip((domain.get("properties") or {}).get("name") or domain["urn"], _NAME)


def _clipped(text: str | None, limit: int) -> str | None:
    return clip(text, limit) if text else None
