"""Which columns hold personal data, as people have said it by tags and terms. Pure."""

from collections.abc import Iterable, Mapping

from dataspoke.catalogue import Dataset
from dataspoke.knowledge.lexical import split_words

# Words in the name of a tag or term that say so.
PERSONAL_WORDS = frozenset({"gdpr", "hipaa", "personal", "phi", "pii", "sensitive"})


def words_in(texts: Iterable[str]) -> frozenset[str]:
    """Return what labels are known by, for words as people write them."""
    return frozenset(word for text in texts for word in split_words(text).split())


def personal_columns(dataset: Dataset, words: frozenset[str] = PERSONAL_WORDS) -> frozenset[str]:
    """Return the paths of the columns that hold personal data, as ``personal_marks`` tells."""
    return frozenset(personal_marks(dataset, words))


def personal_marks(dataset: Dataset, words: frozenset[str] = PERSONAL_WORDS) -> Mapping[str, str]:
    """Return the paths of the columns that hold personal data, each with what says so: a name.

    They are those that are labelled; all of them, where the dataset is labelled and none of its
    columns is. ``words`` are what labels are known by, in lower case.
    """
    found = {
        field.path: mark
        for field in dataset.fields
        if (mark := _mark((*field.tags, *field.terms), dataset.names, words))
    }
    whole = _mark((*dataset.tags, *dataset.terms), dataset.names, words)
    if whole and not found:
        return {field.path: whole for field in dataset.fields}
    return found


def _mark(labels: Iterable[str], names: Mapping[str, str], words: frozenset[str]) -> str | None:
    for urn in labels:
        own = urn.split(":", 3)[-1]
        if not words.isdisjoint(split_words(f"{own} {names.get(urn, '')}").split()):
            return names.get(urn, own)
    return None
