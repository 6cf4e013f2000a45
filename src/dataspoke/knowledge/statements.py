"""What a statement says: the tables that it reads, what it sets equal, its conditions. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from dataspoke.knowledge.dialects import dialect_of

# A longer statement was written by a program, and takes long to read.
_MAX_CHARACTERS = 20_000
_MAX_DEPTH = 20

# Stands for the column in the texts of conditions.
PLACEHOLDER = "dataspoke_column"
# A value that tells nothing of a person: a code, a word or two, a date.
_HARMLESS = re.compile(r"(?=.{1,32}$)[\w:/%+.-]+(?: [\w:/%+.-]+)?")
_DATE = re.compile(r"\d{4}-\d\d(-\d\d([ T][\d:.+Z-]+)?)?")
_LONG_NUMBER = re.compile(r"\d{6}")
_PERSON = re.compile(r"[^\W\d_a-z][\w.'-]*(?: [^\W\d_a-z][\w.'-]*)+")
_WRAPPERS = (exp.Paren, exp.Cast, exp.TryCast, exp.Lower, exp.Upper, exp.Trim)
_COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Is, exp.Like,
    exp.ILike, exp.Not, exp.Or, exp.Paren, exp.RegexpLike, exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name, of one of these tables of the statement."""

    name: str
    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a column, which both texts have a placeholder for; ``shape`` has no values."""

    column: Column
    shape: str
    text: str
    values: tuple[str, ...]
    harmless: bool
    compares_order: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement says. Each table counts as often as it is named; equalities have the scope
    that they stand in."""

    tables: tuple[tuple[str, ...], ...] = ()
    equalities: tuple[tuple[int, Column, Column], ...] = ()
    conditions: tuple[Condition, ...] = ()


@lru_cache(maxsize=4096)
def read_statement(statement: str, platform: str) -> Statement:
    """Return what a text says in the SQL of a platform; nothing where it cannot be read."""
    dialect = dialect_of(platform)
    if len(statement) > _MAX_CHARACTERS:
        return Statement()
    try:
        parsed = sqlglot.parse(statement, dialect=dialect)
        reading = _Reading(dialect)
        for each in parsed:
            if each is not None:
                reading.read(each)
    except (SqlglotError, RecursionError, ValueError):
        # ValueError is what its tokenizer raises for some numbers.
        return Statement()
    return Statement(tuple(reading.tables), tuple(reading.equalities), tuple(reading.conditions))


class _Reading:
    def __init__(self, dialect: str | None) -> None:
        self.tables: list[tuple[str, ...]] = []
        self.equalities: list[tuple[int, Column, Column]] = []
        self.conditions: list[Condition] = []
        self._dialect = dialect
        self._selects = 0
        self._places: dict[int, int] = {}
        self._scopes: dict[int, Scope] = {}

    def read(self, statement: exp.Expr) -> None:
        query = statement if isinstance(statement, exp.Query) else statement.args.get("expression")
        if not isinstance(query, exp.Query):
            return
        scopes = traverse_scope(query)
        for scope in scopes:
            self._scopes[id(scope.expression)] = scope
            for _, source in scope.selected_sources.values():
                if isinstance(source, exp.Table) and id(source) not in self._places:
                    parts = tuple(part.name for part in source.parts)
                    if parts and all(parts):
                        self._places[id(source)] = len(self.tables)
                        self.tables.append(parts)
        for scope in scopes:
            self._selects += 1
            if isinstance(scope.expression, exp.Select):
                self._select(self._selects, scope, scope.expression)

    def _select(self, number: int, scope: Scope, select: exp.Select) -> None:
        for join in select.args.get("joins") or ():
            for name in join.args.get("using") or ():
                self._using(number, scope, join, name.name)
            self._conjuncts(number, scope, join.args.get("on"))
        where = select.args.get("where")
        self._conjuncts(number, scope, where.this if where else None)

    def _using(self, number: int, scope: Scope, join: exp.Join, name: str) -> None:
        joined = join.this.alias_or_name.casefold()
        sources = _sources(scope)
        before = list(sources)[: list(sources).index(joined)] if joined in sources else []
        rights = self._bases(name, {joined: sources[joined]}, 0) if joined in sources else []
        lefts = self._bases(name, {alias: sources[alias] for alias in before}, 0)
        self._equal(number, lefts, rights)

    def _conjuncts(self, number: int, scope: Scope, condition: exp.Expr | None) -> None:
        for part in _parts(condition):
            if isinstance(part, exp.EQ | exp.NullSafeEQ):
                left, right = _bare(part.left), _bare(part.right)
                if isinstance(left, exp.Column) and isinstance(right, exp.Column):
                    self._equal(number, self._column(left, scope), self._column(right, scope))
                    continue
            # What must not be in the other table is compared with it all the same.
            member = part.this if isinstance(part, exp.Not) else part
            if isinstance(member, exp.In) and (query := member.args.get("query")) is not None:
                self._member(number, scope, member.this, query)
                continue
            self._condition(scope, part)

    def _member(self, number: int, scope: Scope, value: exp.Expr, query: exp.Expr) -> None:
        column, inner = _bare(value), self._scopes.get(id(query.unnest()))
        if not isinstance(column, exp.Column) or inner is None:
            return
        if isinstance(inner.expression, exp.Select) and len(inner.expression.selects) == 1:
            right = self._projected(inner.expression.selects[0], inner, 0)
            self._equal(number, self._column(column, scope), right)

    def _equal(self, number: int, lefts: Sequence[Column], rights: Sequence[Column]) -> None:
        for left in lefts:
            for right in rights:
                self.equalities.append((number, left, right))

    def _condition(self, scope: Scope, part: exp.Expr) -> None:
        if not isinstance(part, _COMPARISONS) or part.find(exp.Query) is not None:
            return
        columns = list(part.find_all(exp.Column))
        if not columns or len({(c.table.casefold(), c.name.casefold()) for c in columns}) > 1:
            return
        bases = self._column(columns[0], scope)
        if len(bases) != 1:
            return
        text, literals, values = self._rendered(part), _literals(part), _values(part)
        shape = self._rendered(part, with_values=False)
        self.conditions.append(
            Condition(
                bases[0],
                shape,
                text,
                tuple(value.sql(dialect=self._dialect) for value in values),
                harmless=len(text) <= 200 and all(_is_harmless(each) for each in literals),
                compares_order=not part.find(exp.EQ, exp.NEQ, exp.In, exp.Like, exp.ILike),
            )
        )

    def _rendered(self, part: exp.Expr, *, with_values: bool = True) -> str:
        text = part.copy().transform(_with_placeholder)
        if not with_values:
            text = text.transform(_without_values)
        return text.sql(dialect=self._dialect, comments=False)

    def _column(self, column: exp.Column, scope: Scope) -> Sequence[Column]:
        """Return the columns of tables that a column stands for; several for a union."""
        here: Scope | None = scope
        depth = 0
        while here is not None and depth < _MAX_DEPTH:
            sources = _sources(here)
            qualifier = column.table.casefold()
            if not qualifier:
                found = self._bases(column.name, sources, 0)
                if found:
                    return found
            elif qualifier in sources:
                return self._bases(column.name, {qualifier: sources[qualifier]}, 0)
            here, depth = here.parent, depth + 1
        return ()

    def _bases(
        self, name: str, sources: Mapping[str, exp.Expr | Scope], depth: int
    ) -> Sequence[Column]:
        if depth > _MAX_DEPTH:
            return ()
        tables: list[int] = []
        for source in sources.values():
            if isinstance(source, Scope):
                found = self._of_scope(name, source, depth + 1)
                if found:
                    return found
            elif id(source) in self._places:
                tables.append(self._places[id(source)])
        return (Column(name, tuple(tables)),) if tables else ()

    def _of_scope(self, name: str, scope: Scope, depth: int) -> Sequence[Column]:
        if scope.set_operation_scopes:
            return [
                c
                for each in scope.set_operation_scopes
                for c in self._of_scope(name, each, depth + 1)
            ]
        if not isinstance(scope.expression, exp.Select) or depth > _MAX_DEPTH:
            return ()
        starred = False
        for selected in scope.expression.selects:
            if selected.alias_or_name.casefold() == name.casefold():
                return self._projected(selected, scope, depth)
            starred = starred or selected.is_star
        return self._bases(name, _sources(scope), depth) if starred else ()

    def _projected(self, selected: exp.Expr, scope: Scope, depth: int) -> Sequence[Column]:
        column = _bare(selected.unalias())
        if not isinstance(column, exp.Column) or isinstance(column.this, exp.Star):
            return ()
        sources = _sources(scope)
        qualifier = column.table.casefold()
        if qualifier and qualifier not in sources:
            return ()
        chosen = {qualifier: sources[qualifier]} if qualifier else sources
        return self._bases(column.name, chosen, depth + 1)


def _sources(scope: Scope) -> Mapping[str, exp.Expr | Scope]:
    """Return what stands in FROM and JOIN, in order, by alias in lower case."""
    return {name.casefold(): source for name, (_, source) in scope.selected_sources.items()}


def _parts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield what must hold each for itself."""
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, exp.And):
        yield from _parts(condition.left)
        yield from _parts(condition.right)
    elif condition is not None:
        yield condition


def _bare(value: exp.Expr) -> exp.Expr:
    """Return what is compared, without changes of its type, case or margins."""
    while isinstance(value, _WRAPPERS):
        value = value.this
    return value


def _with_placeholder(node: exp.Expr) -> exp.Expr:
    return exp.column(PLACEHOLDER) if isinstance(node, exp.Column) else node


def _without_values(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.In) and node.expressions:
        # However many values there are, it is the same question.
        return exp.EQ(this=node.this, expression=exp.var("?"))
    negative = isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal)
    return exp.var("?") if negative or isinstance(node, exp.Literal) else node


def _literals(part: exp.Expr) -> Sequence[exp.Literal]:
    return list(part.find_all(exp.Literal))


def _values(part: exp.Expr) -> Sequence[exp.Literal]:
    """Return the texts that a column is compared with for equality; none for another condition."""
    compared: Sequence[exp.Expr] = ()
    if isinstance(part, exp.EQ) and isinstance(part.left, exp.Column):
        compared = [part.right]
    elif isinstance(part, exp.In) and isinstance(part.this, exp.Column):
        compared = part.expressions
    texts = [each for each in compared if isinstance(each, exp.Literal) and each.is_string]
    return texts if len(texts) == len(compared) else ()


def _is_harmless(literal: exp.Literal) -> bool:
    text = literal.name
    if _DATE.fullmatch(text):
        return True
    if _LONG_NUMBER.search(text) or _PERSON.fullmatch(text):
        return False
    return not literal.is_string or not text or _HARMLESS.fullmatch(text) is not None
