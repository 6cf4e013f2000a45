"""What the words of a catalogue stand for, learned from the catalogue itself. Pure."""

from collections.abc import Iterable, Mapping

from dataspoke.catalogue import Dataset
from dataspoke.knowledge.model import Vocabulary


def learn(datasets: Iterable[Dataset], glossary: Mapping[str, str]) -> Vocabulary:
    """Return the abbreviations that the names of these datasets use, and synonyms of terms.

    ``glossary`` maps each term's name to its definition. The order of datasets does not matter.
    """
    return Vocabulary()
