"""The metadata change log, as DataHub's events API and its Kafka topics hold it. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from dataspoke.adapters.datahub.aspects import RUN_ID
from dataspoke.errors import DependencyRejected
from dataspoke.ports.hub import EventPage, MetadataEvent, RejectedEvent

# What ``event_of`` raises for what is no change.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)


def page_of(answer: Any) -> EventPage:
    """Return an answer of ``/openapi/v1/events/poll`` without what DataSpoke itself changed.

    Its own changes are told by their run id, not by their actor: other programs may use the same
    account. Raises DependencyRejected where the answer has another shape.
    """
    try:
        cursor = str(answer["offsetId"])
        texts = [str(event["value"]) for event in answer["events"]]
    except (KeyError, TypeError) as error:
        raise DependencyRejected(
            "hub", f"DataHub's events API answered in an unknown shape ({error!r})."
        ) from error
    events: list[MetadataEvent] = []
    rejected: list[RejectedEvent] = []
    for text in texts:
        try:
            event = event_of(orjson.loads(text))
        except UNREADABLE as error:
            rejected.append(RejectedEvent(text, f"Not a MetadataChangeLog: {error}"))
        else:
            if not is_own(event):
                events.append(event)
    return EventPage(cursor, tuple(events), tuple(rejected))


def is_own(event: MetadataEvent) -> bool:
    """Tell whether DataSpoke itself made this change."""
    return event.run_id == RUN_ID


def event_of(log: Any) -> MetadataEvent:
    """Return a MetadataChangeLog as the port's event; raises what is in UNREADABLE."""
    system_metadata, created = _value(log.get("systemMetadata")), _value(log.get("created"))
    return MetadataEvent(
        urn=_text(log, "entityUrn"),
        entity_type=_text(log, "entityType"),
        aspect=_text(log, "aspectName"),
        change=_text(log, "changeType"),
        run_id=_optional_text(system_metadata or {}, "runId"),
        actor=_optional_text(created or {}, "actor"),
    )


def _text(record: Mapping[str, Any], name: str) -> str:
    text = _optional_text(record, name)
    if text is None:
        raise ValueError(f"it lacks {name}")
    return text


def _optional_text(record: Mapping[str, Any], name: str) -> str | None:
    value = _value(record.get(name))
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value


def _value(field: Any) -> Any:
    """Return what is in a field; Avro's JSON wraps it in its type where others are possible."""
    if isinstance(field, dict) and len(field) == 1:
        ((kind, inner),) = field.items()
        if kind == "string" or kind.startswith("com.linkedin."):
            return inner
    return field
