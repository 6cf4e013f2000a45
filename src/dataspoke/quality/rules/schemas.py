"""What of a schema differs from what was expected or was there before."""

from collections.abc import Mapping, Sequence

from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataspoke.quality.rules.model import ExpectedColumn, SchemaVersion

_Type = exp.DataType.Type
# From narrow to wide: whatever a type holds, those to the right of it hold as well.
_WIDENINGS = (
    (_Type.TINYINT, _Type.SMALLINT, _Type.INT, _Type.BIGINT, _Type.INT128, _Type.DECIMAL),
    (_Type.FLOAT, _Type.DOUBLE),
    (_Type.SMALLINT, _Type.INT, _Type.DOUBLE),
    (_Type.CHAR, _Type.VARCHAR, _Type.TEXT),
    (_Type.NCHAR, _Type.NVARCHAR, _Type.TEXT),
    (_Type.DATE, _Type.TIMESTAMP, _Type.TIMESTAMPTZ),
)

Columns = Mapping[str, str | None]


def deviations(
    actual: Columns, expected: Sequence[ExpectedColumn], *, exact: bool, dialect: str | None
) -> list[str]:
    """Return what is missing, of another type, or, where ``exact``, too much: a phrase for each."""
    found = []
    for column in expected:
        if column.name not in actual:
            found.append(f"column {column.name} is missing")
            continue
        kind = actual[column.name]
        if column.type is not None and not same_type(kind, column.type, dialect):
            found.append(f"column {column.name} is {kind or 'of no type'}, not {column.type}")
    if exact:
        names = {column.name for column in expected}
        found += [f"column {name} is not expected" for name in actual if name not in names]
    return found


def changes(
    before: Sequence[SchemaVersion],
    actual: Columns,
    *,
    any_type: bool,
    breaking: bool,
    dialect: str | None,
) -> list[str]:
    """Return how the schema differs from each before it: a phrase for each change, once.

    With ``breaking`` those are columns that are gone and types that no longer hold all they held;
    with ``any_type`` every other type.
    """
    found: dict[str, None] = {}
    for version in before:
        for name, kind in version.columns:
            if name not in actual:
                if breaking:
                    found[f"column {name} is gone"] = None
                continue
            now = actual[name]
            if same_type(now, kind, dialect):
                continue
            if any_type or (breaking and not widens(kind, now, dialect)):
                found[f"column {name} was {kind} and is {now}"] = None
    return list(found)


def same_type(one: str | None, other: str | None, dialect: str | None) -> bool:
    """Tell whether two native types mean the same, as ``int4`` and ``integer`` do."""
    if one is None or other is None:
        return one == other
    if one.strip().lower() == other.strip().lower():
        return True
    first, second = _parse(one, dialect), _parse(other, dialect)
    return first is not None and first == second


def widens(old: str | None, new: str | None, dialect: str | None) -> bool:
    """Tell whether every value of the old type has a place in the new one.

    False where either type is unknown: nobody can promise it then.
    """
    before = None if old is None else _parse(old, dialect)
    after = None if new is None else _parse(new, dialect)
    if before is None or after is None:
        return False
    if before.this == after.this:
        return _sizes_grow(_sizes(before), _sizes(after))
    for order in _WIDENINGS:
        if before.this in order and after.this in order:
            wider = order.index(after.this) > order.index(before.this)
            # A size where there was none, as VARCHAR(10) after CHAR, may cut something off.
            return wider and (not _sizes(after) or _sizes_grow(_sizes(before), _sizes(after)))
    return False


def _parse(text: str, dialect: str | None) -> exp.DataType | None:
    try:
        return exp.DataType.build(text, dialect=dialect, udt=False)
    except (SqlglotError, ValueError):
        return None


def _sizes(kind: exp.DataType) -> list[int]:
    sizes = [parameter.name for parameter in kind.expressions]
    return [int(size) for size in sizes if size.isdigit()]


def _sizes_grow(before: Sequence[int], after: Sequence[int]) -> bool:
    if not after:
        return True
    if len(before) != len(after):
        return False
    if len(after) == 2:
        # Digits before the point and behind it: neither may become fewer.
        (precision, scale), (new_precision, new_scale) = before, after
        return new_scale >= scale and new_precision - new_scale >= precision - scale
    return all(new >= old for old, new in zip(before, after, strict=True))
