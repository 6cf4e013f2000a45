"""What a client asks the stand-in to write."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dataspoke.errors import InvalidInput


class Change(StrEnum):
    """How a proposal changes an aspect; the values are DataHub's ``changeType``."""

    UPSERT = "UPSERT"
    CREATE = "CREATE"
    CREATE_ENTITY = "CREATE_ENTITY"
    UPDATE = "UPDATE"
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
