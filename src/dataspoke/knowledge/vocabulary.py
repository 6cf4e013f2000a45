"""What the words of a catalogue stand for, learned from the catalogue itself. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from dataspoke.catalogue import Dataset
from dataspoke.knowledge.lexical import STOP_WORDS, split_words, stems
from dataspoke.knowledge.model import Vocabulary
from dataspoke.urns import dataset_name, is_dataset

# An abbreviation and a word have to be seen together in so many places; a place is a schema and
# what is seen there.
_MIN_PLACES = 2
# Where both are in so many different names, one place is enough.
_COMMON = 3
# What a second reading may have at most, as a share of the places of the first.
_RIVAL = 0.5
_MAX_ABBREVIATION = 6
# Only words as short as this are cut off ("desc", "org"); a longer beginning is a word by itself.
_MAX_CUT = 4
# Beginnings that go on like this are words of their own: "state" is no "statement".
_SUFFIX = re.compile(r"(s|es|d|ed|er|ers|or|ors|ing|ings|ment|ments|al|able|ly|y|ship|hood|ness)")

# How a definition names other words for a term, up to the end of the clause.
_SYNONYMS = re.compile(
    r"\b(?:also (?:known|called|referred to)(?: as)?|a\.?k\.?a\.?|synonyms?(?: of)?|short for"
    r"|abbreviated(?: as| to)?)\s*:?\s+(?:an? |the )?([^.;()\n]+)",
    re.IGNORECASE,
)
_ALTERNATIVES = re.compile(r",|\bor\b|\band\b")
_IN_BRACKETS = re.compile(r"\(([A-Z][A-Za-z&]{1,9})\)")
# A synonym is a name, no half of a sentence.
_MAX_SYNONYM_WORDS = 4

_Place = tuple[str, ...]
_Seen = defaultdict[str, defaultdict[str, set[_Place]]]
# In how many names each word stands.
_Known = Mapping[str, int]


def learn(datasets: Iterable[Dataset], glossary: Mapping[str, str]) -> Vocabulary:
    """Return the abbreviations that the names of these datasets use, and synonyms of terms.

    A short word abbreviates a long one that has its letters in order where the two are seen
    together: the one in the name of a column or table and the other in its description, both in
    the same place of two names of a schema (``dept_code`` and ``department_code``), or one in a
    column and the other in the table that it refers to. ``glossary`` maps each term's name to its
    definition; the initials of a term stand for it, and so do words that its definition calls
    synonyms. The order of datasets makes no difference.
    """
    seen: _Seen = defaultdict(lambda: defaultdict(set))
    prose: Counter[str] = Counter()
    names: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for dataset in datasets:
        schema = _schema(dataset.urn)
        table = tuple(split_words(_table(dataset.urn)).split())
        told = [(table, dataset.description)]
        names[schema].add(table)
        for column in dataset.fields:
            name = tuple(split_words(column.name).split())
            names[schema].add(name)
            told.append((name, column.description))
        _read_descriptions(told, schema, seen, prose)
        for key in dataset.foreign_keys:
            referred = split_words(_table(key.dataset)).split()
            for path in key.columns:
                _note(split_words(path).split(), referred, (schema, path), seen)
    for schema, found in names.items():
        _compare(found, schema, seen)
    known = Counter(word for name in set().union(*names.values()) for word in set(name))
    expansions: dict[str, list[str]] = defaultdict(list)
    for short, long in sorted(_chosen(seen, prose, known)):
        expansions[short].append(long)
    for word, meaning in _of_glossary(glossary, known):
        if meaning not in expansions[word]:
            expansions[word].append(meaning)
    return Vocabulary({word: tuple(found) for word, found in sorted(expansions.items())})


def expanded(words: str, vocabulary: Vocabulary) -> str:
    """Return words with every abbreviation replaced by what it stands for; empty where none is."""
    found = vocabulary.expansions
    split = words.split()
    if found.keys().isdisjoint(split):
        return ""
    return " ".join(" ".join(found.get(word, (word,))) for word in split)


# --- abbreviations ---


def _read_descriptions(
    told: Iterable[tuple[tuple[str, ...], str | None]],
    schema: str,
    seen: _Seen,
    prose: Counter[str],
) -> None:
    spoken: set[str] = set()
    for name, description in told:
        said = split_words(description or "").split()
        if said and tuple(said) != name:
            _note(name, said, (schema, *name), seen)
            for short in name:
                for long in _spelled_out(short, said):
                    seen[short][long].add((schema, *name))
            spoken.update(said)
    # A word that people write in sentences is no abbreviation.
    prose.update(spoken)


def _note(name: Iterable[str], said: Iterable[str], place: _Place, seen: _Seen) -> None:
    here, there = set(name), set(said)
    for short in here - there:
        for long in there - here:
            if abbreviates(short, long):
                seen[short][long].add(place)


def _compare(names: Iterable[tuple[str, ...]], schema: str, seen: _Seen) -> None:
    """Note names of a schema that differ in one word only, of at least two."""
    alike: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name in names:
        if len(name) > 1:
            for at, word in enumerate(name):
                alike[(*name[:at], "", *name[at + 1 :])].add(word)
    for frame, words in alike.items():
        for one, other in combinations(sorted(words, key=len), 2):
            if abbreviates(one, other):
                seen[one][other].add((schema, *frame))


def abbreviates(short: str, long: str) -> bool:
    """Tell whether a word may stand for another by its letters: the first one and more, in order.

    Inflected and derived forms are no abbreviations of each other.
    """
    if not 2 <= len(short) <= _MAX_ABBREVIATION or len(long) < len(short) + 2:
        return False
    if short[0] != long[0] or not (short.isalpha() and long.isalpha()):
        return False
    if stems(short) == stems(long):
        return False
    if long.startswith(short):
        rest = long[len(short) :]
        return len(short) <= _MAX_CUT and _SUFFIX.fullmatch(rest) is None
    letters = iter(long)
    return all(letter in letters for letter in short)


def _spelled_out(short: str, said: list[str]) -> Iterator[str]:
    """Return the words in a row whose initials are the short one: ``dob``, date of birth."""
    if 3 <= len(short) <= _MAX_ABBREVIATION:
        for first in range(len(said) - len(short) + 1):
            words = said[first : first + len(short)]
            if "".join(word[0] for word in words) == short:
                yield " ".join(words)


def _chosen(seen: _Seen, prose: Counter[str], known: _Known) -> Iterator[tuple[str, str]]:
    for short, readings in seen.items():
        if short in STOP_WORDS or short == "id":
            continue
        merged: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for long, places in readings.items():
            # "datetime" is no "date" spelled out where "time" is a word of its own.
            if not (long.startswith(short) and long[len(short) :] in known):
                common = min(known.get(short, 0), known.get(long, 0)) >= _COMMON
                merged[stems(long)][long] += len(places) + common
        ranked = sorted(
            ((sum(c.values()), min(c, key=lambda w: (-c[w], len(w), w))) for c in merged.values()),
            key=lambda entry: (-entry[0], entry[1]),
        )
        if not ranked or ranked[0][0] < max(_MIN_PLACES, prose[short] + 1):
            continue
        if len(ranked) == 1 or ranked[1][0] <= _RIVAL * ranked[0][0]:
            yield short, ranked[0][1]


# --- glossary ---


def _of_glossary(glossary: Mapping[str, str], known: _Known) -> Iterator[tuple[str, str]]:
    """Return (word, what else it is called) pairs of terms, in order of their names."""
    for name, definition in sorted(glossary.items()):
        called = split_words(_IN_BRACKETS.sub(" ", name))
        words = called.split()
        if not words:
            continue
        initials = {"".join(word[0] for word in words)}
        initials.add("".join(word[0] for word in words if word not in STOP_WORDS))
        written = {match.casefold() for match in _IN_BRACKETS.findall(f"{name} {definition}")}
        for short in sorted(initials):
            # "dt" might be anything; what the catalogue or the glossary writes is meant.
            if short in written or (len(short) > 2 and short in known):
                yield short, called
        for synonym in _synonyms(definition):
            if len(words) == 1:
                yield called, synonym
            if " " not in synonym:
                yield synonym, called


def _synonyms(definition: str) -> Iterator[str]:
    for clause in _SYNONYMS.findall(definition):
        for each in _ALTERNATIVES.split(clause):
            synonym = split_words(each)
            if 1 <= len(synonym.split()) <= _MAX_SYNONYM_WORDS and synonym not in STOP_WORDS:
                yield synonym


def _table(urn: str) -> str:
    name = dataset_name(urn) if is_dataset(urn) else ""
    return name.rpartition("/" if "/" in name else ".")[2]


def _schema(urn: str) -> str:
    """Return what the urns of the tables of one schema begin with."""
    table = _table(urn)
    return urn[: urn.rfind(table)] if table else urn
