"""What the stand-in stores, as it hands it out."""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Topic(StrEnum):
    """The streams of the change log, by the names they have in DataHub's Kafka."""

    VERSIONED = "MetadataChangeLog_Versioned_v1"
    TIMESERIES = "MetadataChangeLog_Timeseries_v1"


@dataclass(frozen=True, slots=True)
class StoredAspect:
    """An aspect as stored; times are milliseconds since the epoch, ``actor`` is a urn.

    ``version`` is 0 for the latest. Older ones count from 1, the oldest.
    """

    urn: str
    aspect: str
    version: int
    value: dict[str, Any]
    system_metadata: dict[str, Any]
    created_ms: int
    actor: str


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A relationship that an aspect of ``source`` states, such as ``DownstreamOf``."""

    source: str
    aspect: str
    name: str
    destination: str


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the change log. ``position`` rises with every change, over all topics.

    ``value`` is None after a deletion, ``previous`` where there was nothing before; both are JSON.
    """

    position: int
    topic: str
    urn: str
    type: str
    aspect: str
    change: str
    value: str | None
    previous: str | None
    system_metadata: dict[str, Any]
    headers: dict[str, str]
    created_ms: int
    actor: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many stored aspects and points of time series a deletion removed."""

    aspects: int
    points: int


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
