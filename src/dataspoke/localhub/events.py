"""The change log as DataHub's events API hands it out: polled, with an opaque offset."""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dataspoke.errors import Forbidden, InvalidInput
from dataspoke.localhub.access import Access
from dataspoke.localhub.answers import answer, whole_number
from dataspoke.localhub.records import Event, Topic, now_ms
from dataspoke.localhub.storage import Storage

_MAX_EVENTS = 5000
_DEFAULT_EVENTS = 100
_MAX_WAIT_S = 10
_DAY_MS = 86_400_000

_GENERIC_ASPECT = "com.linkedin.pegasus2avro.mxe.GenericAspect"
_SYSTEM_METADATA = "com.linkedin.pegasus2avro.mxe.SystemMetadata"
_AUDIT_STAMP = "com.linkedin.pegasus2avro.common.AuditStamp"


def create_events_route(storage: Storage, access: Access) -> Route:
    """Return ``GET /openapi/v1/events/poll``."""

    async def poll(request: Request) -> Response:
        user = access.user(request)
        if not user.can_read_events:
            raise Forbidden(f"{user.urn} may not read the change log; it takes a service account.")
        asked = request.query_params
        topic = asked.get("topic", "")
        limit = min(whole_number(asked, "limit", _DEFAULT_EVENTS), _MAX_EVENTS)
        wait_s = min(whole_number(asked, "pollTimeoutSeconds", _MAX_WAIT_S), _MAX_WAIT_S)
        if topic == "PlatformEvent_v1":
            # The stand-in logs changes of aspects only; nothing ever comes here.
            await asyncio.sleep(wait_s)
            return _page(topic, 0, [])
        if topic not in list(Topic):
            raise InvalidInput(f"Unsupported topic {topic!r}; use one of {', '.join(Topic)}.")
        after = await run_in_threadpool(_start, storage, topic, asked)
        events = await _wait_for_events(storage, Topic(topic), after, limit, wait_s)
        return _page(topic, events[-1].position if events else after, events)

    return Route("/openapi/v1/events/poll", poll, methods=["GET"])


async def _wait_for_events(
    storage: Storage, topic: Topic, after: int, limit: int, wait_s: int
) -> list[Event]:
    loop, written = asyncio.get_running_loop(), asyncio.Event()
    # Listening starts before the first look, so that no write falls between the two.
    with storage.notified(lambda: loop.call_soon_threadsafe(written.set)):
        deadline = loop.time() + wait_s
        while True:
            written.clear()
            events = await run_in_threadpool(storage.events, topic, after, limit)
            if events:
                return events
            try:
                async with asyncio.timeout_at(deadline):
                    await written.wait()
            except TimeoutError:
                return []


def _start(storage: Storage, topic: str, asked: Mapping[str, str]) -> int:
    last = storage.last_position()
    if offset := asked.get("offsetId"):
        # An offset of a log that was since started anew would else hide what comes next.
        return min(_decode(topic, offset), last)
    if days := whole_number(asked, "lookbackWindowDays", 0):
        return storage.last_position(before_ms=now_ms() - days * _DAY_MS)
    return last


def _page(topic: str, position: int, events: list[Event]) -> Response:
    return answer(
        {
            "offsetId": _encode(topic, position),
            "count": len(events),
            "events": [
                {
                    "contentType": "application/json",
                    "value": orjson.dumps(change_log(event)).decode(),
                }
                for event in events
            ],
        }
    )


def change_log(event: Event) -> dict[str, Any]:
    """Return a MetadataChangeLog in Avro's JSON encoding, as DataHub's endpoint renders it.

    There, a value of a union is wrapped in its type's name, and bytes are a string with one
    character for each byte.
    """
    return {
        "auditHeader": None,
        "entityType": event.type,
        "entityUrn": _tagged("string", event.urn),
        "entityKeyAspect": None,
        "changeType": event.change,
        "aspectName": _tagged("string", event.aspect),
        "aspect": _generic_aspect(event.value),
        "systemMetadata": {_SYSTEM_METADATA: _system_metadata(event.system_metadata)},
        "headers": _tagged("map", event.headers or None),
        "previousAspectValue": _generic_aspect(event.previous),
        "previousSystemMetadata": None,
        "created": {
            _AUDIT_STAMP: {
                "time": event.created_ms,
                "actor": event.actor,
                "impersonator": None,
                "message": None,
            }
        },
    }


def _generic_aspect(value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    as_bytes = value.encode().decode("latin-1")
    return {_GENERIC_ASPECT: {"value": as_bytes, "contentType": "application/json"}}


def _system_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    strings = ("runId", "lastRunId", "pipelineName", "registryName", "registryVersion", "version")
    return {
        "lastObserved": _tagged("long", metadata.get("lastObserved")),
        **{name: _tagged("string", metadata.get(name)) for name in strings},
        "properties": _tagged("map", metadata.get("properties")),
        "schemaVersion": _tagged("long", metadata.get("schemaVersion")),
        "aspectCreated": None,
        "aspectModified": None,
    }


def _tagged(name: str, value: Any) -> dict[str, Any] | None:
    return None if value is None else {name: value}


def _encode(topic: str, position: int) -> str:
    return base64.b64encode(orjson.dumps({f"{topic}-0": position})).decode()


def _decode(topic: str, offset: str) -> int:
    try:
        position = orjson.loads(base64.b64decode(offset, validate=True))[f"{topic}-0"]
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        position = None
    if not isinstance(position, int):
        raise InvalidInput(f"offsetId {offset!r} is none that this topic handed out.")
    return position
