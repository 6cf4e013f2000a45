"""The words of the knowledge base: snapshot, document, filters, candidate, hit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dataspoke.catalogue import Dataset, Lineage
from dataspoke.quality.model import Check, Severity, Status


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
    JOIN = "join"  # the name of a dataset that it is joined with
    FILTER = "filter"  # a condition that queries set
    UPSTREAM = "upstream"  # the name of a dataset that it is made from


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


def labels_of(snapshot: Snapshot) -> Mapping[str, str]:
    """Return what people call the tags, terms, owners, domain and platform of a dataset, by urn.

    Those of columns included; the end of its urn where the hub has no name for it.
    """
    dataset = snapshot.dataset
    urns = {dataset.platform, *dataset.tags, *dataset.terms, *dataset.owners}
    urns.update(*(column.tags for column in dataset.fields))
    urns.update(*(column.terms for column in dataset.fields))
    if dataset.domain is not None:
        urns.add(dataset.domain)
    return {urn: dataset.names.get(urn) or urn.split(":", 3)[-1] for urn in urns}


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
    """What found the hits: words and meaning together, words alone, or the words of names alone."""

    HYBRID = "hybrid"
    LEXICAL = "lexical"
    NAMES = "names"


class FilterKind(StrEnum):
    """What datasets are kept by; the values name the filters of SearchFilters."""

    PLATFORM = "platforms"
    TAG = "tags"
    TERM = "terms"
    OWNER = "owners"
    DOMAIN = "domains"
    CONSUMER = "consumers"


@dataclass(frozen=True, slots=True)
class ReadFilter:
    """A filter that a question asks for: one of ``urns``. ``words`` is how the question says it.

    ``name`` is what the catalogue calls it.
    """

    kind: FilterKind
    urns: tuple[str, ...]
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Interpretation:
    """A question as it was understood: what is kept, and the text that is left to search for.

    Where ``text`` is empty, what passes the filters is listed, the most trusted first.
    """

    filters: tuple[ReadFilter, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Signals:
    """What was last judged of one dataset; None is what nobody knows, or the caller may not.

    ``health`` is 0 to 100, ``freshness`` the worst verdict of its checks, ``queries`` is the
    newest number of queries in a day. ``alerts`` has the check and severity of each that is
    active, and is None where the dataset was never scanned.
    """

    deprecated: bool = False
    health: float | None = None
    freshness: Status | None = None
    queries: float | None = None
    alerts: tuple[tuple[Check, Severity], ...] | None = None


@dataclass(frozen=True, slots=True)
class TrustPart:
    """One reason to trust a dataset or not: ``value`` is 0 to 1, None where it is not known.

    ``weight`` is its share of the whole; ``note`` says what is behind it.
    """

    name: str
    value: float | None
    weight: float
    note: str


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a dataset can be relied on, 0 to 1, and why."""

    value: float
    parts: tuple[TrustPart, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of metadata that holds a word of the question; ``label`` is what people call it.

    The label is None for what stems from other datasets or from queries.
    """

    kind: PartKind
    label: str | None


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. ``score`` is 0 to 1 within one answer; ``why`` names what matched.

    ``trust`` is None, and ``matches`` empty, for a dataset that is close to another one.
    """

    urn: str
    score: float
    why: tuple[str, ...]
    trust: Trust | None = None
    matches: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True)
class FacetCount:
    """In how many of the datasets found something is; ``name`` is what people call it."""

    urn: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """What the datasets found have in common, the most frequent first."""

    platforms: tuple[FacetCount, ...]
    tags: tuple[FacetCount, ...]
    terms: tuple[FacetCount, ...]
    domains: tuple[FacetCount, ...]
    owners: tuple[FacetCount, ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Hits in order, with one opaque cursor each; ``has_next`` tells that more follow.

    ``notice`` says why the answer is less than it could be, None where nothing is amiss.
    ``facets`` is None where they were not asked for.
    """

    hits: tuple[Hit, ...]
    cursors: tuple[str, ...]
    has_next: bool
    mode: SearchMode
    notice: str | None
    interpretation: Interpretation
    facets: Facets | None = None


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Direct neighbours of a dataset that the caller may see, ordered by urn.

    ``complete`` is false where there are more than were looked at.
    """

    upstream: tuple[str, ...]
    downstream: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class TypeChange:
    """A column that two datasets have with different types, as their sources call them."""

    column: str
    here: str | None
    there: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How another dataset differs from one. Columns are called what people call them, in order.

    ``healthier`` is the urn of the one that is trusted more, None where both are alike;
    platform, domain and owners say whether those are the same.
    """

    shared: tuple[str, ...]
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    types: tuple[TypeChange, ...]
    same_platform: bool
    same_domain: bool
    same_owners: bool
    healthier: str | None
