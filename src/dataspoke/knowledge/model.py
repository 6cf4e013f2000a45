"""The words of the knowledge base: snapshot, document, filters, candidate, hit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dataspoke.catalogue import Dataset, Lineage


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
class Join:
    """Columns of a dataset, by path, that are set equal to as many columns of another, in order.

    ``count`` tells in how many queries it was seen, 0 where it is a declared foreign key only.
    """

    columns: tuple[str, ...]
    other: str
    other_columns: tuple[str, ...]
    count: int = 0


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """A condition on one column that queries set, as SQL, and in how many it was seen."""

    column: str
    predicate: str
    count: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of one dataset without asking the hub: its metadata and its surroundings.

    ``joins`` and ``filters`` come the most frequent first. ``consumers`` are the urns of the
    domains of the datasets that are made from it.
    """

    dataset: Dataset
    lineage: Lineage = field(default_factory=Lineage)
    joins: tuple[Join, ...] = ()
    filters: tuple[SampleFilter, ...] = ()
    consumers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What people of this catalogue mean by its words.

    ``expansions`` maps a word in lower case to the words that it stands for, the likeliest first:
    an abbreviation to what it abbreviates, a glossary term to its synonyms.
    """

    expansions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns of a dataset, by path, that are embedded together as ``text``."""

    columns: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a document is filtered, counted and ranked by, besides its text; all of it urns.

    ``tags`` and ``terms`` include those of columns. ``consumers`` are the domains of datasets made
    from it, ``related`` the datasets that it is joined with, by foreign keys or in queries.
    """

    platform: str
    domain: str | None = None
    tags: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    related: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """What search knows of one dataset. ``content_hash`` covers all that the index depends on.

    ``title`` is the name as people write it, ``text`` is what is embedded, the most telling
    first, as models cut long texts; ``groups`` are embedded apart; ``parts`` is what is searched
    by words.
    """

    urn: str
    title: str
    text: str
    parts: tuple[Part, ...]
    groups: tuple[ColumnGroup, ...]
    attributes: Attributes
    content_hash: str


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """Keep datasets that match one of the urns of every non-empty filter; empty means any."""

    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()

    def admit(self, attributes: Attributes) -> bool:
        """Tell whether a document with these attributes passes."""
        return all(
            not wanted or not set(wanted).isdisjoint(has)
            for wanted, has in (
                (self.platforms, (attributes.platform,)),
                (self.tags, attributes.tags),
                (self.terms, attributes.terms),
                (self.owners, attributes.owners),
                (self.domains, (attributes.domain,)),
                (self.consumers, attributes.consumers),
            )
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """What retrieval found, with all its scores, whichever way it was found.

    ``lexical`` is the text rank (above 0, no upper bound), None where no word matches;
    ``similarity`` is the cosine similarity of the dataset's text, -1 to 1, None where there is no
    vector to compare; ``column_similarity`` is that of its best column group, and ``group`` is the
    index of that group in the document.
    """

    urn: str
    attributes: Attributes
    lexical: float | None = None
    similarity: float | None = None
    column_similarity: float | None = None
    group: int | None = None


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
