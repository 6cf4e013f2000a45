"""Search by words: how text becomes terms, and BM25F over a document's parts. Pure."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

import snowballstemmer

from dataspoke.knowledge.model import Document, PartKind

# Saturation and length normalisation of BM25 (Robertson and Zaragoza 2009), the usual values.
K1 = 1.2
B = 0.75
# What one occurrence counts for (the field weights of BM25F). Measured on Spider and BEAVER: a
# name counting 3 to 4 times gains .005 nDCG@10 over equal weights, more than that loses.
_NAME_WEIGHT = 3.0

_WORD = re.compile(r"[^\W\d_]+|\d+")
# A run of capitals ends before its last one if a small letter follows: HTTPServer -> HTTP Server.
_CASE_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Words of a question that say nothing about tables, but would weigh much as descriptions that
# hold them are few.
STOP_WORDS = frozenset(
    """
    a an the this that these those it its they them their there here i me my we our us you your
    he she his her who whom whose which what when where why how is are was were be been being am
    do does did done have has had having can could will would shall should may might must
    and or but nor not no if then than as at by for from in into of off on onto out over to up
    with without within about between during per via all any both each every few more most much
    many some such only own same so too very just also please
    """.split()  # noqa: SIM905
)


def split_words(text: str) -> str:
    """Return the words of a name or a sentence in lower case, one space between them.

    Camel case, snake case, digits and punctuation separate words: ``custOrders_2024`` becomes
    ``cust orders 2024``. Accents are dropped. Splitting the result again changes nothing.
    """
    runs = (run for piece in _WORD.findall(_plain(text)) for run in _CASE_BOUNDARY.split(piece))
    return " ".join(_WORD.findall(_plain(" ".join(runs).casefold())))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def terms(text: str) -> tuple[str, ...]:
    """Return the stems of a text's words in order, with repetitions and without stop words.

    A text of stop words only keeps them, so that a table named ``who`` can be found.
    """
    words = split_words(text).split()
    telling = [word for word in words if word not in STOP_WORDS] or words
    return tuple(_stem(word) for word in telling)


def holds(words: Iterable[str], asked: Collection[str]) -> bool:
    """Tell whether words, already split, hold one of the stems; for many texts and one question."""
    return any(_stem(word) in asked for word in words if word not in STOP_WORDS)


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    # A stemmer keeps state while it works: one for all would not be safe to use from two threads.
    return str(snowballstemmer.stemmer("english").stemWord(word))


def frequencies(document: Document) -> Mapping[str, float]:
    """Return for each term of a document its occurrences, weighted by the parts they are in."""
    counts: Counter[str] = Counter()
    found: dict[str, float] = {}
    for part in document.parts:
        weight = _NAME_WEIGHT if part.kind is PartKind.NAME else 1.0
        counts.clear()
        counts.update(terms(part.words))
        for term, count in counts.items():
            found[term] = found.get(term, 0.0) + weight * count
    return found


def ranks(documents: Iterable[Document], text: str) -> Mapping[str, float]:
    """Return the BM25F rank by urn of those of these documents that hold a term of the text."""
    indexed = {document.urn: frequencies(document) for document in documents}
    lengths = {urn: sum(counts.values()) for urn, counts in indexed.items()}
    mean_length = sum(lengths.values()) / max(1, len(lengths))
    with_term = Counter(term for counts in indexed.values() for term in counts)
    found: dict[str, float] = {}
    for term in set(terms(text)):
        for urn, counts in indexed.items():
            if term in counts:
                found[urn] = found.get(urn, 0.0) + bm25(
                    counts[term], lengths[urn], mean_length, with_term[term], len(indexed)
                )
    return found


def bm25(
    frequency: float, length: float, mean_length: float, documents_with: int, documents: int
) -> float:
    """Return what one term of a question adds to a document's rank; above 0.

    ``frequency`` and ``length`` (the sum of a document's frequencies) are weighted as in
    ``frequencies``.
    """
    saturated = frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / mean_length))
    return rarity(documents_with, documents) * saturated


def rarity(documents_with: int, documents: int) -> float:
    """Return a term's inverse document frequency, Lucene's, which is above 0 for every term."""
    return math.log(1 + (documents - documents_with + 0.5) / (documents_with + 0.5))
