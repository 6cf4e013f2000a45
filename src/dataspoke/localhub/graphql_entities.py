"""What a GraphQL request at the stand-in reads: entities, each loaded at most once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from graphql import GraphQLEnumType, GraphQLObjectType

from dataspoke.localhub.access import User
from dataspoke.localhub.interface import build_schema
from dataspoke.localhub.models import entity_models, entity_of, key_of
from dataspoke.localhub.records import StoredAspect
from dataspoke.localhub.storage import Storage

# Entity types whose GraphQL names do not follow from the name that urns spell.
_TYPENAMES = {
    "corpuser": "CorpUser",
    "dataHubAccessToken": "AccessTokenMetadata",
    "dataHubExecutionRequest": "ExecutionRequest",
    "dataType": "DataTypeEntity",
    "entityType": "EntityTypeEntity",
    "erModelRelationship": "ERModelRelationship",
    "ownershipType": "OwnershipTypeEntity",
    "query": "QueryEntity",
    "schemaField": "SchemaFieldEntity",
    "structuredProperty": "StructuredPropertyEntity",
}
_ENTITY_TYPES = {
    "corpuser": "CORP_USER",
    "dataHubAccessToken": "ACCESS_TOKEN",
    "dataHubExecutionRequest": "EXECUTION_REQUEST",
    "ownershipType": "CUSTOM_OWNERSHIP_TYPE",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """An entity type in the three spellings: of urns, of GraphQL objects, of ``EntityType``."""

    name: str
    typename: str
    entity_type: str


@cache
def kinds() -> Mapping[str, Kind]:
    """Return the entity types that GraphQL knows, by their name in urns."""
    schema = build_schema()
    enum = schema.type_map["EntityType"]
    assert isinstance(enum, GraphQLEnumType)  # noqa: S101  the table says so
    entity_types = {value.replace("_", ""): value for value in enum.values}
    found: dict[str, Kind] = {}
    for name in entity_models():
        typename = _TYPENAMES.get(name) or _typename(name)
        entity_type = _ENTITY_TYPES.get(name) or entity_types.get(name.upper())
        if entity_type and isinstance(schema.type_map.get(typename), GraphQLObjectType):
            found[name] = Kind(name, typename, entity_type)
    return found


@cache
def names_by_entity_type() -> Mapping[str, str]:
    """Return the names in urns by the values of ``EntityType``."""
    return {kind.entity_type: kind.name for kind in kinds().values()}


def _typename(name: str) -> str:
    spelled = re.sub("^ml", "ML", re.sub("^dataHub", "DataHub", name))
    return spelled[0].upper() + spelled[1:]


@dataclass(frozen=True, slots=True)
class Node:
    """A reference to an entity; its fields are read when they are asked for."""

    urn: str
    kind: Kind

    @property
    def type(self) -> str:
        return self.kind.entity_type

    @property
    def key(self) -> Mapping[str, Any]:
        return key_of(self.urn)


class Reader:
    """What one request may see, read once. Lives in one thread, for one request."""

    def __init__(self, storage: Storage, user: User) -> None:
        self.storage = storage
        self.user = user
        self._aspects: dict[str, dict[str, StoredAspect]] = {}

    def node(self, urn: str | None) -> Node | None:
        """Return the entity of a urn, existing or not.

        None where there is no urn, where the user may not see it, or where GraphQL does not know
        its type; raises InvalidInput where the urn is malformed.
        """
        if urn is None or not self.user.may_see(urn):
            return None
        kind = kinds().get(entity_of(urn).name)
        return None if kind is None else Node(urn, kind)

    def nodes(self, urns: Iterable[str]) -> list[Node]:
        """Return the entities that ``node`` has for these urns, loaded together."""
        wanted = list(urns)
        self.load(wanted)
        return [node for node in map(self.node, wanted) if node is not None]

    def load(self, urns: Iterable[str]) -> None:
        """Read all aspects of these urns in one go, for what asks next."""
        missing = [urn for urn in urns if urn not in self._aspects]
        found = self.storage.aspects(missing)
        for urn in missing:
            self._aspects[urn] = found.get(urn, {})

    def stored(self, urn: str) -> Mapping[str, StoredAspect]:
        """Return the latest aspects of a urn by name."""
        self.load([urn])
        return self._aspects[urn]

    def aspect(self, urn: str, name: str) -> dict[str, Any] | None:
        """Return an aspect's latest value, None where there is none."""
        found = self.stored(urn).get(name)
        return None if found is None else found.value

    def is_removed(self, urn: str) -> bool:
        return bool((self.aspect(urn, "status") or {}).get("removed"))

    def sources(self, urn: str, relationship: str, entity_type: str) -> list[str]:
        """Return in order the urns of one type that state a relationship to this one."""
        edges = self.storage.incoming([urn], [relationship])
        found = {edge.source for edge in edges if entity_of(edge.source).name == entity_type}
        return sorted(found)


Arguments = Mapping[str, Any]
Resolve = Callable[[Any, Reader, Arguments], Any]

# (type or interface, field) to its resolver; the files beside this one fill it by ``field``.
RESOLVERS: dict[tuple[str, str], Resolve] = {}


def field(typename: str, *names: str) -> Callable[[Resolve], Resolve]:
    """Register a function as the resolver of a type's fields; ``Entity`` stands for every entity.

    The function is given what the parent's resolver returned, the reader, and the arguments.
    """

    def register(resolve: Resolve) -> Resolve:
        for name in names:
            RESOLVERS[typename, name] = resolve
        return resolve

    return register
