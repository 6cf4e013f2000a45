"""The schema as a whole."""

from collections.abc import Callable, Iterable, Sequence

import strawberry
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.federation.schema import FederationAny
from strawberry.types import ExecutionContext

from dataspoke.schema import entities
from dataspoke.schema.dataset import Dataset
from dataspoke.schema.failure import HANDLERS
from dataspoke.schema.info import Info
from dataspoke.schema.mutation import Mutation
from dataspoke.schema.query import Query
from dataspoke.schema.subscription import Subscription

Extension = type[SchemaExtension] | Callable[[], SchemaExtension]


class SubgraphSchema(strawberry.federation.Schema):
    """Strawberry's federation schema with an `_entities` that trusts no caller.

    The library's own takes any field from the caller where a type has no `resolve_reference`,
    loses the whole batch to one unknown type, changes the caller's variables, and has no limit.

    ``on_errors`` is given the errors of every result before anybody sees them, and may change
    them in place; the library's own way is to log them with all the values they hold.
    """

    max_representations: int
    on_errors: Callable[[Sequence[GraphQLError]], None]

    def entities_resolver(
        self, info: Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        return entities.resolve(representations, self.max_representations)  # type: ignore[return-value]

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        self.on_errors(errors)


def build_schema(
    *,
    max_representations: int = 1000,
    extensions: Iterable[Extension] = (),
    on_errors: Callable[[Sequence[GraphQLError]], None] = lambda errors: None,
) -> SubgraphSchema:
    """Return the schema; ``extensions`` run around every operation, in order."""
    schema = SubgraphSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        # Named here, as every mention of it elsewhere is lazy.
        types=[Dataset],
        extensions=extensions,
        exception_handlers=HANDLERS,
        # Composers refuse what is newer than they know.
        federation_version="2.9",
    )
    schema.max_representations = max_representations
    schema.on_errors = on_errors
    return schema


def print_sdl() -> str:
    """Return the schema as the gateway composes it, as checked in under subgraph.graphql."""
    return build_schema().as_str() + "\n"
