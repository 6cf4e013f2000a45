"""Checks of aspect values against DataHub's own schemas, in the JSON that its REST API speaks.

That JSON is Rest.li's: an optional field is the value or absent, a union of several types is an
object with one key naming the type (``com.linkedin.…``, ``string``), bytes are a string.
"""

from collections.abc import Callable, Mapping
from typing import Any

from avro import schema as avro

from dataspoke.errors import InvalidInput

Check = Callable[[Any, str], Any]

# Rest.li marks which member of a union with aliases is set; only its Avro rendering has the field.
_DISCRIMINATOR = "fieldDiscriminator"


def restli_name(fullname: str) -> str:
    """Return the name a type goes by in Rest.li JSON, for its name in the Avro schemas."""
    return fullname.replace("com.linkedin.pegasus2avro.", "com.linkedin.", 1)


def compile_check(record: avro.RecordSchema) -> Check:
    """Return a function ``(value, where)`` that returns the value trimmed to what the schema knows.

    Unknown fields and nulls are dropped, as DataHub drops them; fields with a default may be
    absent and stay so. It raises InvalidInput naming the place, which starts with ``where``.
    """
    return _Compiler().check(record)


class _Compiler:
    def __init__(self) -> None:
        self._records: dict[str, Check] = {}

    def check(self, schema: avro.Schema) -> Check:
        match schema:
            case avro.RecordSchema():
                return self._record(schema)
            case avro.ArraySchema():
                return _array(self.check(schema.items))
            case avro.MapSchema():
                return _map(self.check(schema.values))
            case avro.UnionSchema():
                return self._union(schema)
            case avro.EnumSchema():
                return _enum(schema.name, frozenset(schema.symbols))
            case _:
                return _PRIMITIVES[schema.type]

    def _record(self, schema: avro.RecordSchema) -> Check:
        if known := self._records.get(schema.fullname):
            return known
        fields: dict[str, Check] = {}
        required: list[str] = []

        def check(value: Any, where: str) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise _mismatch(where, f"a {schema.name} object", value)
            for name in required:
                if value.get(name) is None:
                    raise InvalidInput(f"{where} lacks the required field {name!r}.")
            return {
                name: fields[name](item, f"{where}.{name}")
                for name, item in value.items()
                if item is not None and name in fields
            }

        # Registered before its fields are compiled: schemas may contain themselves.
        self._records[schema.fullname] = check
        for field in schema.fields:
            if field.name == _DISCRIMINATOR:
                continue
            fields[field.name] = self.check(field.type)
            if not field.has_default and not _nullable(field.type):
                required.append(field.name)
        return check

    def _union(self, schema: avro.UnionSchema) -> Check:
        members = [member for member in schema.schemas if member.type != "null"]
        if len(members) < len(schema.schemas) and len(members) == 1:
            return self.check(members[0])
        checks = {_tag(member): self.check(member) for member in members}

        def check(value: Any, where: str) -> Any:
            if isinstance(value, dict) and len(value) == 1:
                ((tag, inner),) = value.items()
                if tag in checks:
                    return {tag: checks[tag](inner, f"{where}.{tag}")}
            if len(checks) == 1:
                # Outside of lists the SDK leaves out the tag of a union of one type.
                (only,) = checks.values()
                return only(value, where)
            choices = ", ".join(checks)
            raise _mismatch(where, f"an object with one key out of {choices}", value)

        return check


def _nullable(schema: avro.Schema) -> bool:
    return isinstance(schema, avro.UnionSchema) and any(
        member.type == "null" for member in schema.schemas
    )


def _tag(schema: avro.Schema) -> str:
    fullname = getattr(schema, "fullname", None)
    return restli_name(fullname) if fullname else schema.type


def _array(item_check: Check) -> Check:
    def check(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise _mismatch(where, "a list", value)
        return [item_check(item, f"{where}[{index}]") for index, item in enumerate(value)]

    return check


def _map(value_check: Check) -> Check:
    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _mismatch(where, "an object", value)
        return {key: value_check(item, f"{where}.{key}") for key, item in value.items()}

    return check


def _enum(name: str, symbols: frozenset[str]) -> Check:
    def check(value: Any, where: str) -> str:
        if isinstance(value, str) and value in symbols:
            return value
        raise _mismatch(where, f"one of {name}'s {', '.join(sorted(symbols))}", value)

    return check


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _mismatch(where, "a string", value)
    return value


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _mismatch(where, "true or false", value)
    return value


def _integer(value: Any, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _mismatch(where, "a whole number", value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch(where, "a number", value)
    return value


_PRIMITIVES: Mapping[str, Check] = {
    "string": _string,
    "bytes": _string,
    "fixed": _string,
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "float": _number,
    "double": _number,
}


def _mismatch(where: str, expected: str, value: Any) -> InvalidInput:
    shown = repr(value)
    return InvalidInput(f"{where} must be {expected}, not {shown[:80]}.")
