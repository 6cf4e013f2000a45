"""The schema as a gateway and its users see it."""

from collections.abc import Iterator
from importlib.resources import files

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_introspection_type,
    is_non_null_type,
    is_specified_scalar_type,
)

from dataspoke.schema.build import print_sdl

# Federation's own; they are no part of what is composed.
FEDERATION = {"_Any", "_Entity", "_Service", "_entities", "_service"}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(print_sdl(), assume_valid=True)


def own_types(schema: GraphQLSchema) -> Iterator[GraphQLNamedType]:
    for name, type_ in schema.type_map.items():
        predefined = is_introspection_type(type_) or is_specified_scalar_type(type_)
        if not predefined and name not in FEDERATION:
            yield type_


def test_the_printed_schema_is_the_one_checked_in() -> None:
    kept = files("dataspoke.schema").joinpath("subgraph.graphql").read_text(encoding="utf-8")
    assert kept == print_sdl(), "run `make schema`"


def test_everything_is_described(schema: GraphQLSchema) -> None:
    undescribed = []
    for type_ in own_types(schema):
        described = [(type_.name, type_.description)]
        if isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                if name in FEDERATION:
                    continue
                described.append((f"{type_.name}.{name}", field.description))
                described += [
                    (f"{type_.name}.{name}({argument}:)", definition.description)
                    for argument, definition in field.args.items()
                ]
        elif isinstance(type_, GraphQLInputObjectType):
            described += [(f"{type_.name}.{n}", f.description) for n, f in type_.fields.items()]
        elif isinstance(type_, GraphQLEnumType):
            described += [(f"{type_.name}.{n}", v.description) for n, v in type_.values.items()]
        undescribed += [name for name, description in described if not description]
    assert undescribed == []


def test_what_fails_takes_nothing_else_along(schema: GraphQLSchema) -> None:
    union = schema.type_map["_Entity"]
    assert isinstance(union, GraphQLUnionType)
    required = [
        f"{type_.name}.{name}"
        for type_ in (
            schema.query_type,
            schema.mutation_type,
            schema.subscription_type,
            *union.types,
        )
        if type_ is not None
        for name, field in type_.fields.items()
        # The key is what the caller sent.
        if is_non_null_type(field.type) and name not in FEDERATION | {"urn"}
    ]
    assert required == []


def test_entities_are_referenced_by_their_urn_as_in_datahub() -> None:
    sdl = print_sdl()
    assert 'type Dataset @key(fields: "urn")' in sdl
    assert "union _Entity = Dataset" in sdl
    assert "https://specs.apollo.dev/federation/v2.9" in sdl
