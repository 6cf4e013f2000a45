"""DataHub's metadata model: its entity types, their aspects, keys and relationships.

All of it is read from the schemas that DataHub's SDK ships, so that the stand-in accepts what a
DataHub of that release accepts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

from avro import schema as avro
from datahub.metadata.schema_classes import ASPECT_NAME_MAP, KEY_ASPECTS
from datahub.metadata.urns import Urn
from datahub.utilities.urns.error import InvalidUrnError

from dataspoke.errors import InvalidInput
from dataspoke.localhub.shapes import Check, compile_check, restli_name


@dataclass(frozen=True)
class AspectModel:
    """One kind of aspect. ``restli_name`` is the name of its type in REST answers."""

    name: str
    timeseries: bool
    schema: avro.RecordSchema

    @property
    def restli_name(self) -> str:
        return restli_name(self.schema.fullname)

    @cached_property
    def _check(self) -> Check:
        return compile_check(self.schema)

    @cached_property
    def _relationships(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return tuple(_relationships(self.schema, (), frozenset()))

    def validate(self, value: object) -> dict[str, Any]:
        """Return the value without what the model does not know; raises InvalidInput."""
        checked: dict[str, Any] = self._check(value, self.name)
        return checked

    def edges(self, value: Mapping[str, Any]) -> set[tuple[str, str]]:
        """Return the relationships that a value states, as (name, destination urn)."""
        return {
            (name, destination)
            for name, path in self._relationships
            for destination in _values_at(value, path)
            if isinstance(destination, str)
        }

    def without(self, value: Mapping[str, Any], urn: str) -> dict[str, Any]:
        """Return the value with no relationship to a urn: list items and fields are left out."""
        left = dict(value)
        for _, path in self._relationships:
            left = _removed(left, path, urn)
        return left


@dataclass(frozen=True, slots=True)
class EntityModel:
    """One type of entity: the aspect that holds its key, and every aspect that it may have."""

    name: str
    key_aspect: str
    aspects: frozenset[str]


@cache
def entity_models() -> Mapping[str, EntityModel]:
    """Return every entity type by name, spelled as in urns."""
    return {
        name: EntityModel(
            name, key.ASPECT_NAME, frozenset({*key.ASPECT_INFO["entityAspects"], key.ASPECT_NAME})
        )
        for name, key in KEY_ASPECTS.items()
    }


@cache
def aspect_models() -> Mapping[str, AspectModel]:
    """Return every aspect by name."""
    return {
        name: AspectModel(name, aspect.ASPECT_TYPE == "timeseries", aspect.RECORD_SCHEMA)
        for name, aspect in ASPECT_NAME_MAP.items()
    }


@cache
def _aspects_by_type() -> Mapping[str, str]:
    return {model.restli_name: name for name, model in aspect_models().items()}


def aspect_of_type(type_name: str) -> str:
    """Return the aspect whose type has this Rest.li name; raises InvalidInput."""
    name = _aspects_by_type().get(type_name)
    if name is None:
        raise InvalidInput(f"DataHub has no aspect of type {type_name!r}.")
    return name


def entity_model(entity_type: str) -> EntityModel:
    """Return an entity type; raises InvalidInput where DataHub has none of that name."""
    model = entity_models().get(entity_type)
    if model is None:
        raise InvalidInput(f"DataHub has no entity type {entity_type!r}.")
    return model


def aspect_model(entity: EntityModel, aspect: str) -> AspectModel:
    """Return an aspect of an entity type; raises InvalidInput where the type has none such."""
    model = aspect_models().get(aspect) if aspect in entity.aspects else None
    if model is None:
        raise InvalidInput(f"Unknown aspect {aspect!r} for entity type {entity.name!r}.")
    return model


@lru_cache(maxsize=65_536)
def entity_of(urn: str) -> EntityModel:
    """Return the entity type of a well-formed urn; raises InvalidInput for any other."""
    parts = _parts(urn)
    model = entity_model(urn.split(":", 3)[2])
    expected = aspect_models()[model.key_aspect].schema.fields
    if len(parts) != len(expected):
        shape = ",".join(field.name for field in expected)
        raise InvalidInput(f"{urn!r} is malformed: a {model.name} urn ends with ({shape}).")
    return model


def key_of(urn: str) -> dict[str, Any]:
    """Return the value of the key aspect that a urn spells; raises InvalidInput."""
    key = aspect_models()[entity_of(urn).key_aspect]
    names = (field.name for field in key.schema.fields)
    return key.validate(dict(zip(names, _parts(urn), strict=True)))


def _parts(urn: str) -> list[str]:
    try:
        return Urn.from_string(urn).entity_ids
    except (InvalidUrnError, ValueError, AssertionError) as error:
        raise InvalidInput(f"{urn!r} is no urn that DataHub accepts: {error}") from error


def _relationships(
    schema: avro.Schema, path: tuple[str, ...], within: frozenset[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (name, path) for each annotated field; ``*`` stands for every item."""
    match schema:
        case avro.RecordSchema() if schema.fullname not in within:
            for field in schema.fields:
                here = (*path, field.name)
                annotation = field.props.get("Relationship") or field.other_props.get(
                    "Relationship"
                )
                if annotation is None:
                    yield from _relationships(field.type, here, within | {schema.fullname})
                elif "name" in annotation:
                    yield annotation["name"], here
                else:
                    # Keyed by where inside the field the urn stands. An annotation further in is
                    # overridden by this one, as in DataHub.
                    for pointer, inner in annotation.items():
                        yield inner["name"], (*here, *pointer.strip("/").split("/"))
        case avro.ArraySchema():
            yield from _relationships(schema.items, (*path, "*"), within)
        case avro.MapSchema():
            yield from _relationships(schema.values, (*path, "*"), within)
        case avro.UnionSchema():
            members = [member for member in schema.schemas if member.type != "null"]
            if len(members) == 1:
                yield from _relationships(members[0], path, within)


def _values_at(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield value
        return
    step, *rest = path
    if step == "*" and isinstance(value, list):
        for item in value:
            yield from _values_at(item, tuple(rest))
    elif step == "*" and isinstance(value, dict):
        for item in value.values():
            yield from _values_at(item, tuple(rest))
    elif isinstance(value, dict) and step in value:
        yield from _values_at(value[step], tuple(rest))


def _removed(value: Any, path: tuple[str, ...], urn: str) -> Any:
    step, *rest = path
    if step == "*" and isinstance(value, list):
        if "*" in rest:
            return [_removed(item, tuple(rest), urn) for item in value]
        return [item for item in value if urn not in _values_at(item, tuple(rest))]
    if not isinstance(value, dict) or step not in value:
        return value
    if rest:
        return {**value, step: _removed(value[step], tuple(rest), urn)}
    return {key: item for key, item in value.items() if (key, item) != (step, urn)}
