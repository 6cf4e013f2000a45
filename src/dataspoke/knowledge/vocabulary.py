"""What the words of a catalogue stand for, learned from the catalogue itself. Pure."""

from collections.abc import Iterable, Mapping

from dataspoke.catalogue import Dataset
from dataspoke.knowledge.model import Vocabulary


def learn(datasets: Iterable[Dataset], glossary: Mapping[str, str]) -> Vocabulary:
    """Return the abbreviations that the names of these datasets use, and synonyms of terms.

    ``glossary`` maps each term's name to its definition. The order of datasets does not matter.
    """
    return Vocabulary()


def expanded(words: str, vocabulary: Vocabulary) -> str:
    """Return words with every abbreviation replaced by what it stands for; empty where none is."""
    found = vocabulary.expansions
    split = words.split()
    if found.keys().isdisjoint(split):
        return ""
    return " ".join(" ".join(found.get(word, (word,))) for word in split)
