"""Which columns hold personal data, as people have said it by tags and terms. Pure."""

from collections.abc import Iterable, Mapping

from dataspoke.catalogue import Dataset, Field
from dataspoke.knowledge.lexical import split_words

# Words in the name of a tag or term that say so.
_WORDS = frozenset({"gdpr", "hipaa", "personal", "phi", "pii", "sensitive"})


def personal_columns(dataset: Dataset) -> frozenset[str]:
    """Return the paths of the columns that hold personal data.

    They are those that are labelled; all of them, where the dataset is labelled and none of its
    columns is.
    """
    labelled = {field.path for field in dataset.fields if is_labelled(field, dataset.names)}
    if not labelled and says_personal((*dataset.tags, *dataset.terms), dataset.names):
        labelled = {field.path for field in dataset.fields}
    return frozenset(labelled)


def is_labelled(field: Field, names: Mapping[str, str]) -> bool:
    """Tell whether a column's own tags and terms call it personal."""
    return says_personal((*field.tags, *field.terms), names)


def says_personal(labels: Iterable[str], names: Mapping[str, str]) -> bool:
    """Tell whether one of these tags and terms, by urn, is for personal data."""
    return any(
        not _WORDS.isdisjoint(split_words(f"{urn.split(':', 3)[-1]} {names.get(urn, '')}").split())
        for urn in labels
    )
