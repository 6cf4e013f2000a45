"""Search by words: how text becomes terms, and BM25F over a document's parts. Pure."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from itertools import pairwise

import snowballstemmer

from dataspoke.knowledge.model import Document, PartKind

# Saturation and length normalisation of BM25 (Robertson and Zaragoza 2009), the usual values.
K1 = 1.2
B = 0.75
# What one occurrence counts for (the field weights of BM25F). Measured on Spider and BEAVER: a
# name counting 3 to 4 times gains .005 nDCG@10 over equal weights, more than that loses.
_NAME_WEIGHT = 3.0
# Names of other datasets, and of what queries ask for: what is said of it by the way.
_ASIDE_WEIGHT = 0.5
_ASIDE = frozenset({PartKind.JOIN, PartKind.FILTER, PartKind.UPSTREAM})
# Two words side by side, as in "building key", tell more than each alone. Where names are long, as
# in BEAVER, pairs gain .017 nDCG@10; on Spider they change nothing.
_PAIR_WEIGHT = 0.5
# Names are searched by pairs, prose is not: pairs are taken from so many words of a part.
_PAIRED_WORDS = 12
_PAIRED = frozenset({PartKind.NAME, PartKind.COLUMN, PartKind.TERM, PartKind.TAG})

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
    """Return what a text is searched by: the stems of its words, then pairs of neighbouring ones.

    Without stop words, in order, with repetitions; ``building keys`` gives ``build``, ``key`` and
    ``build_key``. A text of stop words only keeps them, so that a table named ``who`` can be found.
    """
    stems = _stems(split_words(text).split())
    return (*stems, *_pairs(stems))


def stems(text: str) -> tuple[str, ...]:
    """Return the stems of a text's words as ``terms`` does, without pairs."""
    return tuple(_stems(split_words(text).split()))


def _stems(words: Sequence[str]) -> Sequence[str]:
    telling = [word for word in words if word not in STOP_WORDS] or words
    return [_stem(word) for word in telling]


def _pairs(stems: Sequence[str]) -> Iterator[str]:
    # An underscore is no part of any word, so a pair is never taken for one.
    return (f"{first}_{second}" for first, second in pairwise(stems))


def holds(words: Iterable[str], asked: Set[str]) -> bool:
    """Tell whether words, already split, hold one of the stems; for many texts and one question."""
    return not asked.isdisjoint(map(_stem, words))


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    # A stemmer keeps state while it works: one for all would not be safe to use from two threads.
    return str(snowballstemmer.stemmer("english").stemWord(word))


def frequencies(document: Document) -> Mapping[str, float]:
    """Return for each term of a document its occurrences, weighted by the parts they are in."""
    found: dict[str, float] = {}
    for part in document.parts:
        words = part.words.split()
        weight = 1.0
        if part.kind is PartKind.NAME:
            weight = _NAME_WEIGHT
        elif part.kind in _ASIDE:
            weight = _ASIDE_WEIGHT
        for term in _stems(words):
            found[term] = found.get(term, 0.0) + weight
        if part.kind in _PAIRED:
            for pair in _pairs(_stems(words[:_PAIRED_WORDS])):
                found[pair] = found.get(pair, 0.0) + _PAIR_WEIGHT
    return found


def ranks(indexed: Mapping[str, Mapping[str, float]], text: str) -> Mapping[str, float]:
    """Return the BM25F rank of each document that holds a term of the text.

    ``indexed`` has the ``frequencies`` of all documents, the answer has ranks, by the same keys.
    """
    lengths = {key: sum(counts.values()) for key, counts in indexed.items()}
    mean_length = sum(lengths.values()) / max(1, len(lengths))
    found: dict[str, float] = {}
    for term in set(terms(text)):
        holding = {key: counts[term] for key, counts in indexed.items() if term in counts}
        for key, frequency in holding.items():
            found[key] = found.get(key, 0.0) + bm25(
                frequency, lengths[key], mean_length, len(holding), len(indexed)
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
