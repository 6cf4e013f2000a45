"""Resolution of federation references: what the gateway asks `_entities` for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dataspoke.errors import InvalidInput
from dataspoke.schema.dataset import Dataset
from dataspoke.urns import require_dataset


@dataclass(frozen=True, slots=True)
class Reference:
    """How a reference of one type becomes a stub; ``build`` raises InvalidInput for a bad key."""

    key: str
    build: Callable[[str], object]


# The only types that may be referenced, and the only field of each that is taken from the caller.
REFERENCES: Mapping[str, Reference] = {
    "Dataset": Reference(key="urn", build=lambda urn: Dataset(urn=require_dataset(urn))),
}


def resolve(representations: Sequence[object], limit: int) -> list[object]:
    """Return for each representation a stub, or the error that is this item's alone.

    Stubs hold their key and nothing else of what the caller sent; their fields are loaded in one
    batch for all. Raises InvalidInput, for the whole list, above ``limit`` representations.
    """
    if len(representations) > limit:
        raise InvalidInput(
            f"_entities takes {limit} representations; {len(representations)} were sent. "
            "Ask in parts."
        )
    return [_stub(representation) for representation in representations]


def _stub(representation: object) -> object:
    try:
        if not isinstance(representation, Mapping):
            raise InvalidInput("A representation must be an object with __typename and a key.")
        type_name = representation.get("__typename")
        reference = REFERENCES.get(type_name) if isinstance(type_name, str) else None
        if reference is None:
            raise InvalidInput(
                f"__typename {type_name!r} is not an entity of this subgraph; "
                f"it has {', '.join(REFERENCES)}."
            )
        key = representation.get(reference.key)
        if not isinstance(key, str):
            raise InvalidInput(f"{type_name} is referenced by {reference.key}, a string.")
        return reference.build(key)
    except InvalidInput as error:
        return error
