"""Families of types: what may be compared with what."""

from enum import StrEnum
from functools import lru_cache

from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataspoke.catalogue import Field

_Type = exp.DType


class Family(StrEnum):
    NUMBER = "a number"
    TEXT = "a text"
    TIME = "a time"
    BOOLEAN = "a truth value"
    BYTES = "bytes"
    UUID = "a UUID"
    NESTED = "a nested value"


_MEMBERS: tuple[tuple[Family, frozenset[exp.DType]], ...] = (
    (Family.NUMBER, frozenset(exp.DataType.NUMERIC_TYPES) | {_Type.MONEY, _Type.SMALLMONEY}),
    (Family.TEXT, frozenset(exp.DataType.TEXT_TYPES)),
    (Family.TIME, frozenset(exp.DataType.TEMPORAL_TYPES)),
    (Family.BOOLEAN, frozenset({_Type.BOOLEAN})),
    (Family.BYTES, frozenset({_Type.BINARY, _Type.VARBINARY, _Type.BLOB})),
    (Family.UUID, frozenset({_Type.UUID})),
    (Family.NESTED, frozenset({_Type.STRUCT, _Type.ARRAY, _Type.LIST, _Type.MAP})),
)
# DataHub's own words, where the native type says nothing.
_HUB_WORDS = {
    "NUMBER": Family.NUMBER,
    "STRING": Family.TEXT,
    "DATE": Family.TIME,
    "TIME": Family.TIME,
    "BOOLEAN": Family.BOOLEAN,
    "BYTES": Family.BYTES,
    "STRUCT": Family.NESTED,
    "ARRAY": Family.NESTED,
    "MAP": Family.NESTED,
}

# Where either side is turned into the other's type without a word.
_TOLERANT_DIALECTS = frozenset({"sqlite", "mysql", "doris", "starrocks", "singlestore"})
# Values of these are written as texts, or read from them, everywhere.
_SPELLED = frozenset({Family.TIME, Family.BOOLEAN, Family.UUID, Family.BYTES})


def family_of(field: Field, dialect: str | None) -> Family | None:
    """Return the family of a column's type; None where the catalogue does not tell."""
    if field.native_type is not None:
        found = family_of_native(field.native_type, dialect)
        if found is not None:
            return found
    return _HUB_WORDS.get((field.type or "").upper())


@lru_cache(maxsize=4096)
def family_of_native(native: str, dialect: str | None) -> Family | None:
    """Return the family of a type in a dialect's own words; None where it is not known."""
    words = native.strip()
    if not words or words.casefold() in ("number", "others", "null", "unknown"):
        return Family.NUMBER if words.casefold() == "number" else None
    # What follows the type in a definition, as in `int NOT NULL AUTO_INCREMENT`.
    head = words.split(" ")[0]
    for text in dict.fromkeys((words, head)):
        try:
            kind = exp.DataType.build(text, dialect=dialect)
        except (SqlglotError, ValueError):
            continue
        return family_of_type(kind)
    return None


def family_of_type(kind: exp.DataType) -> Family | None:
    """Return the family of a parsed type; None where it has none, as JSON and variants."""
    for family, members in _MEMBERS:
        if kind.this in members:
            return family
    return None


def comparable(one: Family | None, other: Family | None, dialect: str | None) -> bool:
    """Tell whether values of both families can be compared; unknown ones always can."""
    if one is None or other is None or one is other:
        return True
    pair = {one, other}
    if Family.NESTED in pair:
        return False
    if pair == {Family.NUMBER, Family.TEXT}:
        return dialect in _TOLERANT_DIALECTS
    if Family.TEXT in pair and pair & _SPELLED:
        return True
    return pair == {Family.NUMBER, Family.BOOLEAN}
