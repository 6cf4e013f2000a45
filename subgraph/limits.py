"""What a query may cost, refused before anything is loaded. Each refusal names its limit.

The cost of a query is how many values its answer may hold: a field counts one, and what is
selected below a list counts as often as the list is long. A list is as long as its ``first`` says
(``edges`` as the ``first`` of their connection), ``_entities`` as its representations, and any
other list is taken for five.

The limits that Strawberry ships follow every spread of a fragment, so that a query of a thousand
tokens can take them 2^100 steps; here a fragment is looked into once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
    parse,
)
from strawberry.extensions import SchemaExtension

from dataspoke.resolvers.arguments import MAX_PAGE
from dataspoke.settings import SubgraphSettings
from dataspoke.subgraph.errors import BAD_REQUEST, LIMIT_EXCEEDED, TIMEOUT

MAX_DIRECTIVES = 5
UNSIZED_LIST = 5

_CACHED_DOCUMENTS = 256


def limits(
    settings: SubgraphSettings, *, introspection: bool, sdl: bool
) -> Callable[[], SchemaExtension]:
    """Return the maker of the extension that holds operations to the limits.

    It belongs behind the one that validates. ``sdl`` allows ``_service``, which tells the schema
    as introspection does. Documents are parsed once; the maker keeps the latest.
    """
    rules = [_document_rule(settings)]
    if not introspection:
        rules.append(NoSchemaIntrospectionCustomRule)
    if not sdl:
        rules.append(_NoSdlRule)

    @lru_cache(maxsize=_CACHED_DOCUMENTS)
    def parsed(query: str) -> DocumentNode:
        return parse(query, max_tokens=settings.max_tokens)

    return lambda: _Limits(settings, tuple(rules), parsed)


class _Limits(SchemaExtension):
    """Strawberry's ParserCache is not used: over a stream, its syntax errors reach nobody."""

    def __init__(
        self,
        settings: SubgraphSettings,
        rules: tuple[type[ValidationRule], ...],
        parsed: Callable[[str], DocumentNode],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._parsed = parsed

    def on_operation(self) -> Iterator[None]:
        context = self.execution_context
        context.parse_options["max_tokens"] = self._settings.max_tokens
        context.validation_rules += self._rules
        yield

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        # What cannot be parsed is left to be parsed, and reported, after this hook.
        with suppress(GraphQLError):
            if context.query:
                context.graphql_document = self._parsed(context.query)
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if not context.pre_execution_errors and context.graphql_document is not None:
            refusal = self._refusal(context.graphql_document, context.operation_name)
            if refusal is not None:
                context.pre_execution_errors = [refusal]
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        timeout_s = self._settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except TimeoutError:
            raise GraphQLError(
                f"The query ran longer than {timeout_s:g} s and was stopped; ask for less.",
                extensions={"code": TIMEOUT},
            ) from None

    def _refusal(self, document: DocumentNode, name: str | None) -> GraphQLError | None:
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        if len(operations) > 1 and self.execution_context._provided_operation_name is None:
            return GraphQLError(
                f"The document holds {len(operations)} operations; name one in operationName.",
                extensions={"code": BAD_REQUEST},
            )
        operation = next(o for o in operations if (o.name.value if o.name else None) == name)
        schema = self.execution_context.schema._schema
        cost = _Cost(schema, document, operation, self.execution_context.variables or {}).total()
        if cost > self._settings.max_cost:
            return _exceeded(
                f"The answer may hold {cost:,} values, and {self._settings.max_cost:,} are "
                "allowed: ask for shorter lists, fewer representations or fewer fields."
            )
        return None


def _exceeded(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": LIMIT_EXCEEDED})


class _NoSdlRule(ValidationRule):
    def enter_field(self, node: FieldNode, *_args: Any) -> None:
        if node.name.value == "_service":
            self.report_error(
                GraphQLError(
                    "The schema is told to the gateway alone, by the secret that both are set up "
                    "with; there is none. Take it from schema/subgraph.graphql.",
                    node,
                )
            )


def _document_rule(settings: SubgraphSettings) -> type[ValidationRule]:
    """Return a rule that holds a document to its depth, aliases and directives."""

    class DocumentLimits(ValidationRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            shape = _Shape(context.document, settings.max_depth)
            if shape.depth > settings.max_depth:
                context.report_error(
                    _exceeded(
                        f"The query is nested more than {settings.max_depth} fields deep; ask for "
                        "what lies deeper in a query of its own."
                    )
                )
            if shape.aliases > settings.max_aliases:
                context.report_error(
                    _exceeded(
                        f"The query has more than {settings.max_aliases} aliases, counted at every "
                        "spread of a fragment; ask in parts, or for a list."
                    )
                )
            if shape.directives > MAX_DIRECTIVES:
                context.report_error(
                    _exceeded(
                        f"The query has more than {MAX_DIRECTIVES} directives in one place; remove "
                        "some."
                    )
                )

    return DocumentLimits


class _Shape:
    """How deep a document is, and how many aliases and directives it has.

    Looks no deeper than one field below ``max_depth``, and into each fragment once.
    """

    def __init__(self, document: DocumentNode, max_depth: int) -> None:
        self.depth = 0
        self.aliases = 0
        self.directives = 0
        self._max_depth = max_depth
        self._fragments = _fragments(document)
        self._seen: dict[str, tuple[int, int]] = {}
        for definition in document.definitions:
            self._count_directives(definition)
            if isinstance(definition, OperationDefinitionNode):
                depth, aliases = self._measure(definition.selection_set, 1)
                self.depth = max(self.depth, depth)
                self.aliases += aliases

    def _measure(self, selections: SelectionSetNode, level: int) -> tuple[int, int]:
        """Return the depth below here and the aliases in it."""
        deepest = aliases = 0
        for node in selections.selections:
            self._count_directives(node)
            depth, inner = 0, 0
            if isinstance(node, FragmentSpreadNode):
                depth, inner = self._measure_fragment(node.name.value)
            elif isinstance(node, InlineFragmentNode):
                depth, inner = self._measure(node.selection_set, level)
            elif isinstance(node, FieldNode) and not node.name.value.startswith("__"):
                aliases += node.alias is not None
                if node.selection_set is not None and level <= self._max_depth:
                    depth, inner = self._measure(node.selection_set, level + 1)
                depth += 1
            deepest = max(deepest, depth)
            aliases += inner
        return deepest, aliases

    def _measure_fragment(self, name: str) -> tuple[int, int]:
        if name not in self._seen:
            # Stands for a fragment that is unknown, or spread inside itself: both are refused by
            # other rules.
            self._seen[name] = 0, 0
            if name in self._fragments:
                self._seen[name] = self._measure(self._fragments[name].selection_set, 1)
        return self._seen[name]

    def _count_directives(self, node: object) -> None:
        self.directives = max(self.directives, len(getattr(node, "directives", None) or ()))


class _Cost:
    """How many values the answer to a valid operation may hold."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._fragments = _fragments(document)
        self._defaults = {
            definition.variable.name.value: definition.default_value
            for definition in operation.variable_definitions or ()
        }
        self._variables = variables
        self._seen: dict[tuple[str, int | None], int] = {}

    def total(self) -> int:
        root = self._schema.get_root_type(self._operation.operation)
        return self._of(self._operation.selection_set, root, None)

    def _of(
        self, selections: SelectionSetNode, parent: GraphQLNamedType | None, edges: int | None
    ) -> int:
        """Return the cost of selections; ``edges`` is the size that a connection gives its list."""
        total = 0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                total += self._of_field(node, parent, edges)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                on = parent if condition is None else self._schema.get_type(condition.name.value)
                total += self._of(node.selection_set, on, edges)
            elif isinstance(node, FragmentSpreadNode):
                total += self._of_fragment(node.name.value, edges)
        return total

    def _of_fragment(self, name: str, edges: int | None) -> int:
        if (name, edges) not in self._seen:
            fragment = self._fragments[name]
            on = self._schema.get_type(fragment.type_condition.name.value)
            self._seen[name, edges] = self._of(fragment.selection_set, on, edges)
        return self._seen[name, edges]

    def _of_field(self, node: FieldNode, parent: GraphQLNamedType | None, edges: int | None) -> int:
        if node.selection_set is None or node.name.value.startswith("__"):
            return 1
        if not isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)):
            return 1
        field = parent.fields[node.name.value]
        size = None
        if "first" in field.args:
            size = self._first(node, field.args["first"].default_value)
        elif node.name.value == "_entities":
            size = self._representations(node)
        inner = get_named_type(field.type)
        if not is_list_type(get_nullable_type(field.type)):
            return 1 + self._of(node.selection_set, inner, size)
        if size is None:
            size = UNSIZED_LIST if edges is None else edges
        return 1 + size * self._of(node.selection_set, inner, None)

    def _first(self, node: FieldNode, default: object) -> int:
        value: object = default
        for argument in node.arguments or ():
            if argument.name.value == "first":
                value = self._value(argument.value)
        if isinstance(value, IntValueNode):
            value = int(value.value)
        # More than a page is refused by the resolver, which says so better.
        return max(0, min(value, MAX_PAGE)) if isinstance(value, int) else MAX_PAGE

    def _representations(self, node: FieldNode) -> int:
        for argument in node.arguments or ():
            value = self._value(argument.value)
            if isinstance(value, ListValueNode):
                return len(value.values)
            if isinstance(value, list):
                return len(value)
        return 1

    def _value(self, node: object) -> object:
        """Return a variable's value, or the node of its default; a literal's node as it is."""
        if not isinstance(node, VariableNode):
            return node
        name = node.name.value
        return self._variables.get(name, self._defaults.get(name))


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
