"""DataHub's GraphQL interface, built from a table of its names and types.

The table (``datahub_interface_v1.6.json.gz``) holds facts only: for each type its kind, fields
with their types and arguments, interfaces, values or members. It carries no description and no
default value, as neither changes what validates or composes.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from graphql import GraphQLScalarType, GraphQLSchema, build_ast_schema, parse
from graphql.error import GraphQLError

_TABLE = "datahub_interface_v1.6.json.gz"
_BUILT_IN = frozenset({"Boolean", "Float", "ID", "Int", "String"})
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1


def build_schema() -> GraphQLSchema:
    """Return DataHub's whole interface as a schema, without resolvers.

    Each call returns a schema of its own, so that resolvers attached to one do not show in
    another.
    """
    schema = build_ast_schema(parse(interface_sdl(), no_location=True))
    long = schema.type_map["Long"]
    assert isinstance(long, GraphQLScalarType)  # noqa: S101  the table says so
    # Literals reach the same function, by graphql-core's default for scalars.
    long.coerce_input_value = long.coerce_output_value = _long
    return schema


@cache
def interface_sdl() -> str:
    """Return the interface in the schema definition language, types in the table's order."""
    packed = resources.files("dataspoke.localhub").joinpath(_TABLE).read_bytes()
    table: Mapping[str, Any] = json.loads(gzip.decompress(packed))
    return "\n".join(
        line for name, facts in table.items() if name not in _BUILT_IN for line in _sdl(name, facts)
    )


def _sdl(name: str, facts: Mapping[str, Any]) -> Iterator[str]:
    match facts["kind"]:
        case "Scalar":
            yield f"scalar {name}"
        case "Union":
            yield f"union {name} = {' | '.join(facts['types'])}"
        case "Enum":
            yield f"enum {name} {{ {' '.join(facts['values'])} }}"
        case kind:
            keyword = {"Object": "type", "Interface": "interface", "InputObject": "input"}[kind]
            interfaces = " & ".join(facts.get("interfaces", ()))
            yield f"{keyword} {name}" + (f" implements {interfaces}" if interfaces else "") + " {"
            for field, shape in facts["fields"].items():
                yield f"  {_field(field, shape)}"
            yield "}"


def _field(name: str, shape: str | Mapping[str, Any]) -> str:
    if isinstance(shape, str):
        return f"{name}: {shape}"
    arguments = ", ".join(f"{key}: {kind}" for key, kind in shape["args"].items())
    return f"{name}({arguments}): {shape['type']}" if arguments else f"{name}: {shape['type']}"


def _long(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise GraphQLError(f"Long cannot represent {value!r}.") from None
    if isinstance(value, bool) or number != float(value) or not _LONG_MIN <= number <= _LONG_MAX:
        raise GraphQLError(f"Long cannot represent {value!r}.")
    return number
