"""Filters that a question asks for in so many words: tags, terms, owners, domains, platforms. Pure.

Only explicit phrases are read ("tagged gold", "owned by jane", "used by marketing", "in
snowflake"), only with names that the catalogue has, and only where the name ends the phrase: in
"used by marketing campaigns" marketing is no domain. Everything else is content and searched for.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from dataspoke.knowledge.lexical import STOP_WORDS, split_words
from dataspoke.knowledge.model import FilterKind, Interpretation, ReadFilter, SearchFilters

_PREFIXES = {
    "urn:li:dataPlatform:": (FilterKind.PLATFORM,),
    "urn:li:tag:": (FilterKind.TAG,),
    "urn:li:glossaryTerm:": (FilterKind.TERM,),
    "urn:li:corpuser:": (FilterKind.OWNER,),
    "urn:li:corpGroup:": (FilterKind.OWNER,),
    "urn:li:domain:": (FilterKind.DOMAIN, FilterKind.CONSUMER),
}
# What people write where DataHub's id of a platform is another word.
_PLATFORM_NAMES = {
    "postgres": "PostgreSQL",
    "mssql": "SQL Server",
    "adlsGen2": "Data Lake",
    "kusto": "Data Explorer",
}


@dataclass(frozen=True, slots=True)
class _Phrase:
    """Words that announce a name, and those that may, or have to, follow it."""

    kind: FilterKind
    lead: tuple[str, ...]
    closing: tuple[str, ...] = ()
    must_close: bool = False


def _phrases(
    kind: FilterKind, leads: Sequence[str], closing: str = "", *, must_close: bool = False
) -> list[_Phrase]:
    return [
        _Phrase(kind, tuple(lead.split()), tuple(closing.split()), must_close) for lead in leads
    ]


# The longest lead first, so that "tagged with" is not taken for "tagged".
_PHRASES = sorted(
    [
        *_phrases(
            FilterKind.TAG,
            ["tagged", "tagged as", "tagged with", "with tag", "with tags", "with the tag"],
        ),
        *_phrases(FilterKind.TAG, ["having tag", "having the tag", "tag:"]),
        *_phrases(
            FilterKind.TERM,
            [
                *(f"{word} {the}term" for word in ("with", "having") for the in ("", "the ")),
                *(f"with {the}glossary term" for the in ("", "the ")),
                *(f"with {the}business term" for the in ("", "the ")),
                "term:",
            ],
        ),
        *_phrases(
            FilterKind.OWNER,
            ["owned by", "with owner", "whose owner is", "owner:"],
            "team group",
        ),
        *_phrases(FilterKind.DOMAIN, ["in", "of", "from", "within"], "domain", must_close=True),
        *_phrases(FilterKind.DOMAIN, ["in domain", "in the domain", "domain:"]),
        *_phrases(FilterKind.CONSUMER, ["used by", "consumed by"], "domain team department people"),
        *_phrases(FilterKind.PLATFORM, ["in", "on", "from", "stored in", "platform:"]),
        *_phrases(
            FilterKind.PLATFORM,
            ["in the", "on the", "from the", "in", "on", "from"],
            "platform warehouse",
            must_close=True,
        ),
    ],
    key=lambda phrase: -len(phrase.lead),
)
# After one of these a phrase is at its end.
_FOLLOWERS = frozenset(
    """
    about and are by consumed for from having in is of on or owned stored tagged that to used where
    which who whose with within
    """.split()  # noqa: SIM905
)
_ARTICLES = frozenset({"the", "a", "an"})
_NEGATIONS = frozenset({"not", "never", "no", "nor", "except", "without", "isn't", "aren't"})
# "PII tables": these words say how data is to be handled, not what it is about.
_CLASSES = frozenset(
    "certified confidential gdpr hipaa pci phi pii restricted sensitive sox".split()  # noqa: SIM905
)
_NOUNS = frozenset("table tables dataset datasets view views column columns field fields".split())  # noqa: SIM905
# What remains of a question that asks for nothing but its filters.
_EMPTY = (
    STOP_WORDS
    | _NOUNS
    | frozenset("data find get give list search show there belonging existing".split())  # noqa: SIM905
)
_MOST_WORDS = 8
_KEYED = re.compile(r"(?<!\S)(tag|term|domain|owner|platform):(?=[^\s:])", re.IGNORECASE)
_EDGES = " \t\r\n\"'“”‘’`,.;?!()[]{}"


class Names:
    """What the catalogue calls its tags, terms, owners, domains and platforms.

    ``labels`` maps urns to names. People are also found by their login, the part of it before an
    @, and their first name; all of those with it count.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._urns: defaultdict[tuple[FilterKind, str], set[str]] = defaultdict(set)
        for urn, name in labels.items():
            for prefix, kinds in _PREFIXES.items():
                if urn.startswith(prefix):
                    for alias in _aliases(urn, urn.removeprefix(prefix), name):
                        for kind in kinds:
                            if key := _key(alias):
                                self._urns[kind, key].add(urn)

    def named(self, kind: FilterKind, key: str) -> tuple[str, ...]:
        """Return the urns that are called so; ``key`` is the name in lower case without blanks."""
        return tuple(sorted(self._urns.get((kind, key), ())))

    def label(self, urn: str) -> str:
        """Return what people call it."""
        return self._labels.get(urn) or urn.rsplit(":", 1)[-1]


def _aliases(urn: str, key: str, name: str) -> set[str]:
    found = {key, name, key.rsplit(".", 1)[-1] if "glossaryTerm" in urn else key}
    if urn.startswith("urn:li:corpuser:"):
        found |= {key.partition("@")[0], name.split()[0] if name.split() else name}
    if urn.startswith("urn:li:dataPlatform:"):
        found.add(_PLATFORM_NAMES.get(key, key))
    return found


def _key(text: str) -> str:
    return split_words(text).replace(" ", "")


def read(question: str, names: Names, given: Collection[FilterKind] = ()) -> Interpretation:
    """Return the filters that the question asks for, and what is left of it.

    Each kind is read once, the first time, and never where it is among the ``given``: two tags
    would mean both, and a filter means either. The text is empty where all that is left are words
    such as "all tables that are".
    """
    return _Reader(question, names, given).interpretation()


def may_hold_filters(question: str) -> bool:
    """Tell whether there is any phrase in it that ``read`` knows; quick, and names no catalogue."""
    words = {word.strip(_EDGES).casefold() for word in _KEYED.sub(r"\1: ", question).split()}
    return not words.isdisjoint(_TELLTALES)


_BY_FIRST_WORD = {
    first: [phrase for phrase in _PHRASES if phrase.lead[0] == first]
    for first in {phrase.lead[0] for phrase in _PHRASES}
}
_TELLTALES = _BY_FIRST_WORD.keys() | _CLASSES


def with_read(filters: SearchFilters, interpretation: Interpretation) -> SearchFilters:
    """Return the filters with those that were read added."""
    return replace(filters, **{read.kind.value: read.urns for read in interpretation.filters})


class _Reader:
    def __init__(self, question: str, names: Names, given: Collection[FilterKind]) -> None:
        self._names = names
        self._question = question
        self._words = _KEYED.sub(r"\1: ", question).split()
        self._plain = [word.strip(_EDGES).casefold() for word in self._words]
        self._keys = [_key(word) for word in self._words]
        self._done = set(given)
        self._used: set[int] = set()
        self._found: list[ReadFilter] = []

    def interpretation(self) -> Interpretation:
        at = 0
        while at < len(self._words):
            at = self._phrase_at(at) or self._class_at(at) or at + 1
        if not self._found:
            return Interpretation((), self._question)
        return Interpretation(tuple(self._found), self._rest())

    def _phrase_at(self, at: int) -> int | None:
        """Read a phrase that begins here; returns where it ends, None where there is none."""
        if at and self._plain[at - 1] in _NEGATIONS:
            return None
        for phrase in _BY_FIRST_WORD.get(self._plain[at], ()):
            start = at + len(phrase.lead)
            if phrase.kind in self._done or tuple(self._plain[at:start]) != phrase.lead:
                continue
            names: list[str] = []
            end: int | None = start
            while end is not None:
                urns, end = self._name_at(end, phrase)
                names += urns
                if end is None or not names or self._plain[end : end + 1] != ["or"]:
                    break
                end += 1  # the other name has to be one, too: else the phrase says something else
            if end is not None:
                self._take(phrase.kind, names, at, end)
                return end
        return None

    def _name_at(self, start: int, phrase: _Phrase) -> tuple[Sequence[str], int | None]:
        """Return the urns of the longest name that ends a phrase, and where it ends."""
        if phrase.kind is not FilterKind.PLATFORM and self._plain[start : start + 1]:
            start += self._plain[start] in _ARTICLES
        for end in range(min(start + _MOST_WORDS, len(self._words)), start, -1):
            urns = self._names.named(phrase.kind, "".join(self._keys[start:end]))
            if not urns:
                continue
            closes = end < len(self._plain) and self._plain[end] in phrase.closing
            if closes and self._ends(end + 1):
                return urns, end + 1
            keyed = phrase.lead[-1].endswith(":")
            if keyed or (not phrase.must_close and self._ends(end)):
                return urns, end
        return (), None

    def _ends(self, at: int) -> bool:
        """Tell whether a phrase can end before this word."""
        if at >= len(self._words):
            return True
        return self._plain[at] in _FOLLOWERS or self._words[at - 1][-1] in ",.;?!)"

    def _class_at(self, at: int) -> int | None:
        """Read "PII tables", where there is such a tag; the noun is left."""
        if FilterKind.TAG in self._done or self._plain[at] not in _CLASSES:
            return None
        if self._plain[at + 1 : at + 2] and self._plain[at + 1] in _NOUNS:
            if at and self._plain[at - 1] in _NEGATIONS | {"non"}:
                return None
            if urns := self._names.named(FilterKind.TAG, self._keys[at]):
                self._take(FilterKind.TAG, urns, at, at + 1)
                return at + 1
        return None

    def _take(self, kind: FilterKind, urns: Sequence[str], start: int, end: int) -> None:
        unique = tuple(dict.fromkeys(urns))
        called = dict.fromkeys(self._names.label(urn) for urn in unique)
        words = " ".join(self._words[start:end]).strip(_EDGES)
        self._found.append(ReadFilter(kind, unique, " or ".join(called), words))
        self._done.add(kind)
        self._used.update(range(start, end))

    def _rest(self) -> str:
        """Return what was not read, without the small words that led to what was."""
        left = [at for at in range(len(self._words)) if at not in self._used]
        while left:
            loose = {
                at
                for at in left
                if self._plain[at] in STOP_WORDS
                and any(near in self._used for near in (at - 1, at + 1))
            }
            if not loose:
                break
            self._used |= loose
            left = [at for at in left if at not in loose]
        if all(word in _EMPTY for at in left for word in split_words(self._words[at]).split()):
            return ""
        return " ".join(self._words[at] for at in left)
