"""Which datasets a rule is about."""

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

from dataspoke.catalogue import Dataset
from dataspoke.quality.rules.model import Selector
from dataspoke.urns import dataset_name


def matcher(selector: Selector) -> Callable[[Dataset], bool]:
    """Return what tells whether all that the selector gives holds of a dataset.

    Of a list one is enough.
    """
    urns = frozenset(selector.urns)
    platforms = _urns("urn:li:dataPlatform:", selector.platforms)
    domains = _urns("urn:li:domain:", selector.domains)
    tags = _urns("urn:li:tag:", selector.tags)
    owners = _urns("urn:li:corpuser:", selector.owners)
    names = re.compile("|".join(map(translate, selector.names))) if selector.names else None

    def selects(dataset: Dataset) -> bool:
        return (
            (not urns or dataset.urn in urns)
            and (not platforms or dataset.platform in platforms)
            and (not domains or dataset.domain in domains)
            and (not tags or not tags.isdisjoint(dataset.tags))
            and (not owners or not owners.isdisjoint(dataset.owners))
            and (names is None or names.match(dataset_name(dataset.urn)) is not None)
        )

    return selects


def matches(selector: Selector, dataset: Dataset) -> bool:
    """Tell whether the selector selects the dataset; for many of them, see ``matcher``."""
    return matcher(selector)(dataset)


def _urns(prefix: str, names: Sequence[str]) -> frozenset[str]:
    return frozenset(name if name.startswith("urn:") else prefix + name for name in names)
