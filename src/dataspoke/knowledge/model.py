"""The words of search: document, filters, hit."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """The searchable text of one dataset. ``content_hash`` covers all that the index depends on.

    ``title`` is the name as people write it, ``text`` all that is searched, and ``parts`` the
    pieces a hit can be explained by: part (``name``, ``description``, ``columns``, …) to text.
    """

    urn: str
    title: str
    text: str
    parts: Mapping[str, str]
    platform: str
    tags: tuple[str, ...]
    owners: tuple[str, ...]
    domain: str | None
    content_hash: str


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """Keep datasets that match one of the urns of every non-empty filter; empty means any."""

    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What retrieval found. A score is None where that way of searching did not return it.

    ``lexical`` is the text rank (larger is better, no upper bound); ``similarity`` is the cosine
    similarity, -1 to 1.
    """

    document: Document
    lexical: float | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. ``score`` is 0 to 1 within one answer; ``why`` names what matched."""

    urn: str
    score: float
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Hits in order. ``mode`` is ``hybrid``, or ``lexical`` with ``notice`` saying why."""

    hits: tuple[Hit, ...]
    has_next: bool
    mode: str
    notice: str | None
