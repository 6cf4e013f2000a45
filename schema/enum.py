"""Domain enumerations as GraphQL enums, with a description for each value."""

from collections.abc import Mapping
from enum import EnumMeta

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition


def describe(enum: EnumMeta, *, name: str, description: str, values: Mapping[str, str]) -> None:
    """Make ``enum`` known to the schema as ``name``; ``values`` says what each member means.

    The domain cannot describe its members to GraphQL: it does not know of GraphQL. Raises KeyError
    where a member has no description.
    """
    described = strawberry.enum(enum, name=name, description=description)
    definition: StrawberryEnumDefinition = described.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values[value.name]
