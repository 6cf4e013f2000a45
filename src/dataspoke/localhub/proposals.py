"""What a client asks the stand-in to write."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

import orjson
from datahub.metadata.schema_classes import SystemMetadataClass

from dataspoke.errors import InvalidInput
from dataspoke.localhub.models import aspect_of_type, entity_of
from dataspoke.localhub.shapes import Check, compile_check


class Change(StrEnum):
    """How a proposal changes an aspect; the values are DataHub's ``changeType``."""

    UPSERT = "UPSERT"
    CREATE = "CREATE"
    CREATE_ENTITY = "CREATE_ENTITY"
    RESTATE = "RESTATE"
    PATCH = "PATCH"
    DELETE = "DELETE"

    @classmethod
    def parse(cls, name: str) -> "Change":
        """Return the change of that name; raises InvalidInput."""
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(cls)
            raise InvalidInput(f"Unknown changeType {name!r}; use one of {known}.") from None


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change of one aspect.

    ``value`` is the aspect in Rest.li JSON; for PATCH it is the patch (a list of JSON Patch
    operations, or an object with ``patch`` and ``arrayPrimaryKeys``), for DELETE it is None.
    ``system_metadata`` and ``headers`` are kept and come out again with the event.
    """

    urn: str
    aspect: str
    value: Any
    change: Change = Change.UPSERT
    system_metadata: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def from_mcp(mcp: Any) -> Proposal:
    """Return the proposal in a MetadataChangeProposal as the Rest.li API takes it.

    Raises InvalidInput for one that is malformed.
    """
    if not isinstance(mcp, dict):
        raise InvalidInput("A proposal must be an object.")
    urn = mcp.get("entityUrn")
    if not isinstance(urn, str):
        raise InvalidInput("A proposal must name its entity by 'entityUrn'.")
    entity = entity_of(urn)
    if mcp.get("entityType") not in (None, entity.name):
        raise InvalidInput(f"entityType {mcp['entityType']!r} is not that of {urn}.")
    change = Change.parse(mcp.get("changeType") or Change.UPSERT)
    name = mcp.get("aspectName")
    if not isinstance(name, str):
        raise InvalidInput(f"The proposal for {urn} lacks 'aspectName'.")
    return Proposal(
        urn,
        name,
        None if change is Change.DELETE else _generic_value(mcp.get("aspect"), urn, name, change),
        change,
        system_metadata(mcp.get("systemMetadata")),
        headers(mcp.get("headers")),
    )


def from_mce(event: Any) -> list[Proposal]:
    """Return the proposals in an old MetadataChangeEvent, one for each aspect of its snapshot.

    Raises InvalidInput for one that is malformed.
    """
    try:
        (snapshot,) = event["entity"]["value"].values()
        urn, aspects = snapshot["urn"], [dict(aspect) for aspect in snapshot["aspects"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInput(
            "The body must hold one snapshot: {'entity': {'value': {TYPE: {urn, aspects}}}}."
        ) from None
    if not isinstance(urn, str):
        raise InvalidInput("The snapshot must name its entity by 'urn'.")
    proposals = []
    for aspect in aspects:
        if len(aspect) != 1:
            raise InvalidInput(f"Each aspect of {urn} must be an object with one key, its type.")
        ((type_name, value),) = aspect.items()
        proposals.append(
            Proposal(
                urn,
                aspect_of_type(type_name),
                value,
                system_metadata=system_metadata(event.get("systemMetadata")),
            )
        )
    return proposals


def system_metadata(given: Any) -> dict[str, Any]:
    """Return the system metadata that a client sent; the command line sends it as a string.

    Raises InvalidInput.
    """
    if isinstance(given, str):
        given = _loads(given, "systemMetadata")
    checked: dict[str, Any] = _system_metadata_check()(given or {}, "systemMetadata")
    return checked


def headers(given: Any) -> dict[str, str]:
    """Return the headers that a client sent with a proposal; raises InvalidInput."""
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise InvalidInput("The headers of a proposal must be an object of strings.")
    return given


@cache
def _system_metadata_check() -> Check:
    return compile_check(SystemMetadataClass.RECORD_SCHEMA)


def _generic_value(aspect: Any, urn: str, name: str, change: Change) -> Any:
    value = aspect.get("value") if isinstance(aspect, dict) else None
    if not isinstance(value, str):
        raise InvalidInput(f"The proposal for {urn} lacks the value of {name}.")
    wanted = "application/json-patch+json" if change is Change.PATCH else "application/json"
    content_type = aspect.get("contentType") or wanted
    if content_type not in ("application/json", wanted):
        raise InvalidInput(
            f"The value of {name} for {urn} is {content_type!r}; {change} takes {wanted!r}."
        )
    return _loads(value, f"The value of {name} for {urn}")


def _loads(text: str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{what} is not JSON: {error}.") from error
