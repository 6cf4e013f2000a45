"""What differs between two datasets. Pure."""

from dataspoke.catalogue import Dataset, Field
from dataspoke.knowledge.model import Difference, TypeChange

# Trust that differs by less is alike: it stems from the finer parts alone.
_ALIKE = 0.02


def difference(here: Dataset, there: Dataset, trust_here: float, trust_there: float) -> Difference:
    """Return how ``there`` differs from ``here``; columns are compared by name, in any case.

    Types are compared where both sources name one, in any case. Trust is 0 to 1.
    """
    ours, theirs = _columns(here), _columns(there)
    shared = [key for key in ours if key in theirs]
    return Difference(
        shared=tuple(ours[key].name for key in shared),
        only_here=tuple(field.name for key, field in ours.items() if key not in theirs),
        only_there=tuple(field.name for key, field in theirs.items() if key not in ours),
        types=tuple(
            TypeChange(ours[key].name, ours[key].native_type, theirs[key].native_type)
            for key in shared
            if _differ(ours[key], theirs[key])
        ),
        same_platform=here.platform == there.platform,
        same_domain=here.domain == there.domain,
        same_owners=set(here.owners) == set(there.owners),
        healthier=_healthier(here.urn, there.urn, trust_there - trust_here),
    )


def _columns(dataset: Dataset) -> dict[str, Field]:
    return {field.name.casefold(): field for field in dataset.fields}


def _differ(here: Field, there: Field) -> bool:
    if here.native_type is None or there.native_type is None:
        return False
    return here.native_type.casefold() != there.native_type.casefold()


def _healthier(here: str, there: str, gain: float) -> str | None:
    if abs(gain) < _ALIKE:
        return None
    return there if gain > 0 else here
