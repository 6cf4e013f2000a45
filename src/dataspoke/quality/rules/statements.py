"""SQL of rules: what may be asked of a connection, and the questions about columns.

All is built and read as a syntax tree in the dialect of the connection; no name or value of a
rule is ever pasted into a text.
"""

import logging
from collections.abc import Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataspoke.errors import InvalidInput
from dataspoke.quality.rules.model import Column, Statistic

# What it cannot read is refused below; its log would repeat people's queries.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_SELECTS = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
# What writes, locks or steers the session, wherever in a statement it stands.
_REFUSED: tuple[tuple[type[exp.Expr], str], ...] = (
    (exp.Into, "SELECT … INTO"),
    (exp.Lock, "FOR UPDATE or FOR SHARE"),
    (exp.DML, "a statement that writes"),
    (exp.DDL, "a statement that writes"),
    (exp.Copy, "COPY"),
    (exp.Command, "a command"),
)
_TEXT = exp.DataType.Type.TEXT
_NUMBER = exp.DataType.Type.DOUBLE
_ALIAS = "t"
# SQLite brings no regular expressions.
_WITHOUT_REGEX = frozenset({"sqlite"})


def require_select(sql: str, dialect: str) -> None:
    """Raise InvalidInput unless the text is one statement that only reads, in this dialect.

    Functions are not judged: the read-only transaction that it runs in holds what they may do.
    """
    try:
        statements = [found for found in sqlglot.parse(sql, dialect=dialect) if found is not None]
    except (SqlglotError, RecursionError) as error:
        raise InvalidInput(f"The query cannot be read as {dialect}: {_reason(error)}.") from None
    if len(statements) != 1:
        raise InvalidInput(
            f"The query has {len(statements)} statements; a rule takes exactly one SELECT."
        )
    (statement,) = statements
    for kind, name in _REFUSED:
        for found in statement.find_all(kind):
            # A SELECT is of neither kind, yet some of what reads is derived from them.
            if isinstance(found, _SELECTS):
                continue
            raise InvalidInput(f"The query holds {name}; a rule takes a SELECT that only reads.")
    if not isinstance(statement, _SELECTS):
        raise InvalidInput(
            f"The query is {statement.key.upper()}; a rule takes a SELECT that only reads."
        )


def statistic_query(column: Column, table: Sequence[str], dialect: str) -> str:
    """Return a SELECT of one row for a statistic: two counts for a share, else one number.

    A share is the first number by the second.
    """
    statistic = column.statistic
    if statistic is None:
        raise ValueError("the rule is about values, not about a statistic")
    subject = _column(column.name)
    rows, values = exp.Count(this=exp.Star()), exp.Count(this=subject.copy())
    asked: list[exp.Expression]
    match statistic[0]:
        case Statistic.NULL_SHARE:
            asked = [exp.Sub(this=rows, expression=values), rows.copy()]
        case Statistic.UNIQUE_SHARE:
            asked = [exp.Count(this=exp.Distinct(expressions=[subject.copy()])), values]
        case Statistic.MIN:
            asked = [exp.cast(exp.Min(this=subject), _NUMBER)]
        case Statistic.MAX:
            asked = [exp.cast(exp.Max(this=subject), _NUMBER)]
        case Statistic.MEAN:
            asked = [exp.cast(exp.Avg(this=subject), _NUMBER)]
    return exp.select(*asked).from_(_table(table)).sql(dialect=dialect)


def matching_query(column: Column, table: Sequence[str], dialect: str) -> str:
    """Return a SELECT of one row: how many values are as the rule wants them, and how many are.

    Values are compared as text. Raises InvalidInput where the database has no regular expressions.
    """
    subject = exp.cast(_column(column.name), _TEXT)
    condition: exp.Expression
    if column.pattern is None:
        accepted = [exp.Literal.string(value) for value in column.accepted_values]
        condition = exp.In(this=subject, expressions=accepted)
    elif dialect in _WITHOUT_REGEX:
        raise InvalidInput(
            f"A {dialect} connection has no regular expressions; "
            "write the rule as sql, with LIKE or GLOB."
        )
    else:
        regex = exp.Literal.string(column.pattern.regex)
        condition = exp.RegexpLike(this=subject, expression=regex)
    found = exp.Count(this=exp.Case().when(condition, exp.Literal.number(1)))
    values = exp.Count(this=_column(column.name))
    return exp.select(found, values).from_(_table(table)).sql(dialect=dialect)


def table_of(name: str, instance: str, dialect: str) -> tuple[str, ...]:
    """Return the parts of a table's name, from what DataHub calls the dataset.

    DataHub puts the platform instance before the name of the database; the connection knows
    neither. SQLite knows tables alone.
    """
    if instance:
        name = name.removeprefix(f"{instance}.")
    parts = tuple(name.split("."))
    return parts[-1:] if dialect == "sqlite" else parts[-3:]


def _table(parts: Sequence[str]) -> exp.Table:
    *above, table = parts
    db = above[-1] if above else None
    catalog = above[-2] if len(above) > 1 else None
    return exp.table_(table, db=db, catalog=catalog, quoted=True, alias=_ALIAS)


def _column(name: str) -> exp.Column:
    # Without the table SQLite would take a column that is not there for a text.
    return exp.column(name, table=_ALIAS, quoted=True)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    details = getattr(error, "errors", None)
    if details:
        return f"{details[0]['description'].rstrip('.')} at line {details[0]['line']}"
    return str(error).splitlines()[0].rstrip(".")
