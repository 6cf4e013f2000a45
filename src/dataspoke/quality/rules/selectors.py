"""Which datasets a rule is about."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from dataspoke.catalogue import Dataset
from dataspoke.quality.rules.model import Selector
from dataspoke.urns import dataset_name


def matches(selector: Selector, dataset: Dataset) -> bool:
    """Tell whether all that the selector gives holds of the dataset; of a list one is enough."""
    name = dataset_name(dataset.urn)
    owners = _urns("urn:li:corpuser:", selector.owners)
    return (
        _one(selector.urns, [dataset.urn])
        and _one(_urns("urn:li:dataPlatform:", selector.platforms), [dataset.platform])
        and _one(_urns("urn:li:domain:", selector.domains), [dataset.domain])
        and _one(_urns("urn:li:tag:", selector.tags), dataset.tags)
        and _one(owners, dataset.owners)
        and (not selector.names or any(fnmatchcase(name, pattern) for pattern in selector.names))
    )


def _one(wanted: Sequence[str], there: Iterable[str | None]) -> bool:
    return not wanted or not set(wanted).isdisjoint(there)


def _urns(prefix: str, names: Sequence[str]) -> Sequence[str]:
    return [name if name.startswith("urn:") else prefix + name for name in names]
