"""The words of search: document, part, filters, candidate, hit."""

from dataclasses import dataclass
from enum import StrEnum


class PartKind(StrEnum):
    """Where in a dataset's metadata a piece of text stands."""

    NAME = "name"
    PATH = "path"  # the database and schema in a qualified name
    DESCRIPTION = "description"
    COLUMN = "column"
    TAG = "tag"
    TERM = "term"
    DOMAIN = "domain"
    OWNER = "owner"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a document that a hit can be explained by.

    ``label`` is what people call it (``customer_id``), ``words`` its searchable words: lower case,
    separated by one space.
    """

    kind: PartKind
    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Document:
    """What search knows of one dataset. ``content_hash`` covers all that the index depends on.

    ``title`` is the name as people write it, ``text`` is what is embedded, the most telling
    first, as models cut long texts; ``parts`` is what is searched by words.
    """

    urn: str
    title: str
    text: str
    parts: tuple[Part, ...]
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
    """What retrieval found, with both its scores.

    ``lexical`` is the text rank (above 0, no upper bound), None where no word matches;
    ``similarity`` is the cosine similarity, -1 to 1, None where there is no vector to compare.
    """

    document: Document
    lexical: float | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A dataset whose document is close in meaning; ``similarity`` is the cosine, -1 to 1."""

    urn: str
    similarity: float


class SearchMode(StrEnum):
    """What found the hits: words and meaning together, or words alone."""

    HYBRID = "hybrid"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. ``score`` is 0 to 1 within one answer; ``why`` names what matched."""

    urn: str
    score: float
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Hits in order, with one opaque cursor each; ``has_next`` tells that more follow.

    ``notice`` says why the mode is LEXICAL, and is None otherwise.
    """

    hits: tuple[Hit, ...]
    cursors: tuple[str, ...]
    has_next: bool
    mode: SearchMode
    notice: str | None
