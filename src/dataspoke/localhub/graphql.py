"""The stand-in's GraphQL API: DataHub's whole interface over the stand-in's storage.

What DataSpoke, its users' clients and DataHub's SDK read is answered; every other field is null,
and no mutation is carried out.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLFieldResolver,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    execute_sync,
    get_named_type,
    get_nullable_type,
    get_operation_ast,
    is_list_type,
    is_non_null_type,
    is_object_type,
    parse,
    validate,
)
from graphql.language import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, SelectionSetNode
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dataspoke.errors import DataSpokeError, InvalidInput
from dataspoke.localhub import graphql_quality, graphql_queries, graphql_search
from dataspoke.localhub.access import Access
from dataspoke.localhub.answers import answer, read_json
from dataspoke.localhub.graphql_entities import RESOLVERS, Arguments, Node, Reader, Resolve, field
from dataspoke.localhub.interface import build_schema
from dataspoke.localhub.storage import Storage

# Imported for the resolvers that they register.
_REGISTERED = (graphql_quality, graphql_queries, graphql_search)

_JSON = "application/json"
_RESPONSE_JSON = "application/graphql-response+json"


def create_graphql_routes(storage: Storage, access: Access) -> list[Route]:
    """Return ``POST /api/graphql`` and ``GET /stand-in/requests``, which counts its requests."""
    counts = _Counts()

    async def serve(request: Request) -> Response:
        user = access.user(request)
        body = await read_json(request)
        query, variables = body.get("query"), body.get("variables") or {}
        if not isinstance(query, str) or not isinstance(variables, dict):
            raise InvalidInput('Send {"query": text, "variables": object}.')
        reader = Reader(storage, user)
        document, errors = _checked(query)
        if document is None or errors:
            result = ExecutionResult(data=None, errors=list(errors))
        else:
            operation = body.get("operationName")
            counts.add(document, operation)
            result = await run_in_threadpool(
                execute_sync,
                _schema(),
                document,
                context_value=reader,
                variable_values=variables,
                operation_name=operation,
            )
        return _respond(request, result)

    async def requests(_: Request) -> Response:
        return answer({"requests": counts.requests, "root_fields": dict(counts.root_fields)})

    return [
        Route("/api/graphql", serve, methods=["POST"]),
        Route("/stand-in/requests", requests, methods=["GET"]),
    ]


class _Counts:
    """How many operations were executed, and how often each root field was asked for."""

    def __init__(self) -> None:
        self.requests = 0
        self.root_fields: Counter[str] = Counter()

    def add(self, document: DocumentNode, operation_name: str | None) -> None:
        self.requests += 1
        operation = get_operation_ast(document, operation_name)
        if operation is not None:
            self.root_fields.update(_root_fields(document, operation.selection_set))


def _root_fields(document: DocumentNode, selected: SelectionSetNode) -> Iterator[str]:
    for selection in selected.selections:
        if isinstance(selection, FieldNode):
            yield selection.name.value
        elif isinstance(selection, FragmentSpreadNode):
            for definition in document.definitions:
                if (
                    isinstance(definition, FragmentDefinitionNode)
                    and definition.name.value == selection.name.value
                ):
                    yield from _root_fields(document, definition.selection_set)
        else:
            inner = getattr(selection, "selection_set", None)
            if inner is not None:
                yield from _root_fields(document, inner)


@lru_cache(maxsize=1024)
def _checked(query: str) -> tuple[DocumentNode | None, tuple[GraphQLError, ...]]:
    """Return a document with what is wrong about it; the same text is looked at once."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, (error,)
    return document, tuple(validate(_schema(), document))


def _respond(request: Request, result: ExecutionResult) -> Response:
    content: dict[str, Any] = {}
    if result.errors:
        content["errors"] = [error.formatted for error in result.errors]
    executed = result.data is not None or any(error.path for error in result.errors or ())
    if executed:
        content["data"] = result.data
    modern = _RESPONSE_JSON in request.headers.get("accept", "")
    response = answer(content, 400 if modern and not executed else 200)
    response.headers["content-type"] = _RESPONSE_JSON if modern else _JSON
    return response


# --- the schema with its resolvers ---


@cache
def _schema() -> GraphQLSchema:
    schema = build_schema()
    entity = schema.type_map["Entity"]
    assert isinstance(entity, GraphQLInterfaceType)  # noqa: S101  the table says so
    for named in schema.type_map.values():
        if isinstance(named, GraphQLInterfaceType | GraphQLUnionType):
            named.resolve_type = _typename
        elif isinstance(named, GraphQLObjectType):
            is_entity = entity in named.interfaces
            for name, definition in named.fields.items():
                resolve = RESOLVERS.get((named.name, name))
                if resolve is None and is_entity:
                    resolve = RESOLVERS.get(("Entity", name), _of_key(name))
                if resolve is not None:
                    definition.resolve = _adapted(resolve)
    _resolve_roots(schema, entity)
    return schema


def _resolve_roots(schema: GraphQLSchema, entity: GraphQLInterfaceType) -> None:
    assert schema.query_type is not None  # noqa: S101
    assert schema.mutation_type is not None  # noqa: S101
    for definition in schema.query_type.fields.values():
        returned = get_named_type(definition.type)
        by_urn = isinstance(returned, GraphQLObjectType) and entity in returned.interfaces
        if definition.resolve is None and by_urn and definition.args.keys() == {"urn"}:
            definition.resolve = _adapted(_one(returned.name))
    app_config = schema.query_type.fields["appConfig"]
    app_config.resolve = lambda *_: _least(app_config.type)
    for name, definition in schema.mutation_type.fields.items():
        definition.resolve = _refusal(name)


def _adapted(resolve: Resolve) -> GraphQLFieldResolver:
    def adapted(source: Any, info: GraphQLResolveInfo[Reader], **arguments: Any) -> Any:
        try:
            return resolve(source, info.context, arguments)
        except DataSpokeError as error:
            raise GraphQLError(error.public_message) from error

    return adapted


def _of_key(name: str) -> Resolve:
    """Return a resolver that reads a part of an entity's key, such as a data job's ``jobId``."""
    return lambda node, _, __: getattr(node, name) if name in _OWN else node.key.get(name)


_OWN = frozenset({"urn", "type"})


def _one(typename: str) -> Resolve:
    def resolve(_: Any, reader: Reader, arguments: Arguments) -> Node | None:
        node = reader.node(arguments["urn"])
        return node if node is not None and node.kind.typename == typename else None

    return resolve


def _refusal(name: str) -> GraphQLFieldResolver:
    def refuse(*_: Any, **__: Any) -> None:
        raise GraphQLError(f"The stand-in hub does not carry out {name}; write aspects instead.")

    return refuse


def _typename(value: Any, _: GraphQLResolveInfo[Reader], __: Any) -> str:
    return value.kind.typename if isinstance(value, Node) else value["__typename"]


def _least(kind: GraphQLOutputType) -> Any:
    """Return the smallest value of a type: nulls where it may, else no, none or nothing."""
    if is_list_type(get_nullable_type(kind)):
        return []
    named = get_named_type(kind)
    if is_object_type(named):
        return {
            name: _least(definition.type)
            for name, definition in named.fields.items()
            if is_non_null_type(definition.type)
        }
    if named.name == "Boolean":
        return False
    if named.name == "String":
        return ""
    values = getattr(named, "values", None)
    return next(iter(values)) if values else 0


# --- root fields ---


@field("Query", "entity")
def _entity(_: Any, reader: Reader, arguments: Arguments) -> Node | None:
    return reader.node(arguments["urn"])


@field("Query", "entities")
def _entities(_: Any, reader: Reader, arguments: Arguments) -> list[Node | None]:
    """In the order asked for; only with ``checkForExistence`` are those that do not exist null."""
    urns = arguments["urns"]
    reader.load(urns)
    nodes = [reader.node(urn) for urn in urns]
    if arguments.get("checkForExistence"):
        return [node if node and reader.stored(node.urn) else None for node in nodes]
    return nodes


@field("Query", "me")
def _me(_: Any, reader: Reader, __: Arguments) -> dict[str, Any]:
    privileges = _schema().type_map["PlatformPrivileges"]
    assert isinstance(privileges, GraphQLObjectType)  # noqa: S101  the table says so
    return {
        "corpUser": reader.node(reader.user.urn),
        "platformPrivileges": dict.fromkeys(privileges.fields, reader.user.can_manage),
    }
