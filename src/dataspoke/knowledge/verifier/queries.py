"""What queries read, use and join, from the inside out.

Each query becomes a relation of columns, and each column knows the columns of datasets that its
values come from. Where the columns of a relation cannot be known it is open, and nothing is said of
names that may stand in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlglot import exp

from dataspoke.knowledge.verifier.families import Family, comparable, family_of_type
from dataspoke.knowledge.verifier.model import Code, Fix
from dataspoke.knowledge.verifier.names import Names, is_named
from dataspoke.knowledge.verifier.relations import (
    NOTHING,
    OPEN,
    JoinUse,
    OutputColumn,
    Relation,
    Scope,
    Value,
    either,
)
from dataspoke.knowledge.verifier.resolution import TableName, simple_path
from dataspoke.urns import dataset_name

# Where a database lets the names of the select list be used anywhere in the query.
_ALIAS_ANYWHERE = frozenset(
    {
        "",
        "clickhouse",
        "databricks",
        "doris",
        "dremio",
        "duckdb",
        "exasol",
        "redshift",
        "snowflake",
        "spark",
        "sqlite",
        "teradata",
    }
)
# What is looked at once the select list is known, and who sees no name of it there.
_AFTER_THE_LIST = (
    "group",
    "windows",
    "having",
    "qualify",
    "order",
    "sort",
    "cluster",
    "distribute",
    "limit",
    "offset",
)
# Where a subquery in FROM sees what stands before it.
_LATERAL_UNSAID = frozenset({"duckdb"})
# Where a CTE may read itself without being called recursive.
_RECURSIVE_UNSAID = frozenset({"", "tsql", "fabric", "oracle", "teradata"})
_CLAUSES = {"group": "GROUP BY", "having": "HAVING"}
_BLIND_TO_ALIASES: Mapping[str, frozenset[str]] = {
    "group": frozenset({"tsql", "fabric"}),
    "having": frozenset({"postgres", "tsql", "fabric", "oracle", "trino", "presto", "athena"}),
}
_UNITS = frozenset(
    """
    year years yyyy yy quarter quarters qq month months mon mm week weeks isoweek wk ww day days
    dd dayofyear dayofweek doy dow weekday hour hours hh minute minutes mi second seconds ss
    millisecond milliseconds ms microsecond microseconds us nanosecond ns epoch date time timestamp
    isoyear decade century sql_tsi_day sql_tsi_month sql_tsi_year sql_tsi_hour sql_tsi_minute
    sql_tsi_second sql_tsi_week
    """.split()  # noqa: SIM905
)
_PREDICATES = (exp.Predicate, exp.Connector, exp.Not)
_COUNTS = (exp.Count, exp.CountIf, exp.ApproxDistinct)
_NUMBERS = (
    exp.Count, exp.CountIf, exp.ApproxDistinct, exp.Sum, exp.Avg, exp.Length, exp.RowNumber,
    exp.Rank, exp.Extract, exp.Year, exp.Month, exp.Day, exp.DateDiff, exp.TimestampDiff,
    exp.Stddev, exp.Variance,
)  # fmt: skip
_TEXTS = (exp.Upper, exp.Lower, exp.Concat, exp.Substring, exp.Trim, exp.DPipe)
_PASSING = (exp.Max, exp.Min, exp.Paren, exp.Distinct, exp.AnyValue, exp.First, exp.Last)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_Kind = TypeVar("_Kind", bound=exp.Expr)


class Queries:
    """Follows queries and expressions; ``run`` is given the statements that stand in a query."""

    def __init__(self, names: Names, run: Callable[[exp.Expr], None]) -> None:
        self._names = names
        self._run = run

    def query(self, node: exp.Expr, around: Scope) -> Relation:
        """Return the relation of a query; ``around`` has the CTEs, and what it may refer to."""
        match node:
            case exp.Select():
                return self._select(node, around)
            case exp.SetOperation():
                return self._set_operation(node, around)
            case exp.Subquery():
                scope = self.with_ctes(node, Scope(around.ctes, around.outer))
                if isinstance(node.this, exp.Table):
                    self.source(node.this, scope)
                    relation = self._star(scope)
                else:
                    relation = self.query(node.this, scope)
                for part in ("order", "limit", "offset"):
                    if node.args.get(part) is not None:
                        scope.sources = [("", relation)]
                        self.expression(node.args[part], scope)
                around.reads |= scope.reads
                return OPEN if node.args.get("pivots") else relation
            case exp.Values():
                return self._values(node, around)
            case exp.Table():
                scope = Scope(around.ctes, around.outer)
                self.source(node, scope)
                around.reads |= scope.reads
                return self._star(scope)
            case exp.Paren():
                return self.query(node.this, around)
            case _:
                scope = Scope(around.ctes, around.outer)
                self._children(node, scope)
                around.reads |= scope.reads
                return OPEN

    def with_ctes(self, node: exp.Expr, scope: Scope) -> Scope:
        with_ = node.args.get("with_")
        if with_ is None:
            return scope
        ctes = dict(scope.ctes)
        for cte in with_.expressions:
            if not isinstance(cte, exp.CTE):
                continue
            if cte.args.get("scalar") or not isinstance(cte.this, exp.Query):
                # A value with a name, or a statement that yields rows.
                if isinstance(cte.this, exp.DML | exp.DDL):
                    self._run(cte.this)
                else:
                    self.expression(cte.this, Scope(ctes, scope.outer))
                self._names.variables.add(cte.alias.casefold())
                ctes[cte.alias.casefold()] = OPEN
                continue
            names = [column.name for column in cte.args["alias"].args.get("columns") or ()]
            body, key = cte.this, cte.alias.casefold()
            inner = Scope(ctes, scope.outer)
            spoken = with_.args.get("recursive") or self._names.dialect in _RECURSIVE_UNSAID
            if spoken and _reads_itself(body, key):
                anchor = body
                while isinstance(anchor, exp.SetOperation):
                    anchor = anchor.this
                first = self.query(anchor, Scope(ctes, scope.outer)).renamed(names)
                inner = Scope({**ctes, key: first}, scope.outer)
            relation = self.query(body, inner).renamed(names)
            scope.reads |= inner.reads
            if with_.args.get("search") or with_.args.get("cycle"):
                relation = replace(relation, open=True)
            ctes[key] = relation
        scope.ctes = ctes
        return scope

    def _select(self, node: exp.Select, around: Scope) -> Relation:
        scope = self.with_ctes(node, Scope(around.ctes, around.outer))
        from_ = node.args.get("from_")
        if from_ is not None:
            self.source(from_.this, scope)
        for lateral in node.args.get("laterals") or ():
            self.source(lateral, scope)
        for join in node.args.get("joins") or ():
            self.join(join, scope)
        if node.args.get("pivots") or node.args.get("match"):
            scope.sources.append(("", OPEN))
        anywhere = self._names.dialect in _ALIAS_ANYWHERE
        scope.aliases = {
            item.alias.casefold(): NOTHING
            for item in node.expressions
            if isinstance(item, exp.Alias) and item.alias
        }
        for part in ("connect", "prewhere", "where"):
            scope.blind = None if anywhere else part.upper()
            self.part(node, part, scope)
        columns: list[OutputColumn] = []
        is_open = False
        scope.aliases, scope.blind = {}, None if anywhere else "the select list"
        for item in node.expressions:
            if item.is_star:
                star = self._expand(item, scope)
                columns += star.columns
                is_open = is_open or star.open
                continue
            value = self.expression(item, scope)
            aliases = item.expressions if isinstance(item, exp.Aliases) else None
            if aliases is not None:
                columns += [OutputColumn(alias.name) for alias in aliases]
                continue
            name = item.alias_or_name if not isinstance(item, exp.Dot) else item.name
            columns.append(OutputColumn(name, value))
            if name:
                scope.aliases.setdefault(name.casefold(), value)
        self.part(node, "distinct", scope)
        for part in _AFTER_THE_LIST:
            unseen = self._names.dialect in _BLIND_TO_ALIASES.get(part, ())
            scope.blind = _CLAUSES.get(part) if unseen else None
            self.part(node, part, scope, prefer_alias=part == "order")
        around.reads |= scope.reads
        return Relation(tuple(columns), open=is_open)

    def part(self, node: exp.Expr, name: str, scope: Scope, prefer_alias: bool = False) -> None:
        """Look at a clause of a statement, where it has it."""
        part = node.args.get(name)
        for each in part if isinstance(part, list) else [part]:
            if isinstance(each, exp.Expr):
                self.expression(each, scope, prefer_alias)

    def _set_operation(self, node: exp.SetOperation, around: Scope) -> Relation:
        scope = self.with_ctes(node, Scope(around.ctes, around.outer))
        # A chain leans to the left and may be long.
        arms: list[exp.Expr] = [node.expression]
        left = node.this
        while isinstance(left, exp.SetOperation) and left.args.get("with_") is None:
            if any(left.args.get(part) is not None for part in ("order", "limit")):
                break
            arms.append(left.expression)
            left = left.this
        arms.append(left)
        first, *others = [self.query(arm, scope) for arm in reversed(arms)]
        relation = first
        for other, arm in zip(others, reversed(arms[:-1]), strict=True):
            if relation.open or other.open or node.args.get("by_name"):
                relation = replace(relation, open=True, urn=None)
                continue
            if len(relation.columns) != len(other.columns):
                self._names.find(
                    Code.COLUMN_COUNT,
                    f"The queries have {len(relation.columns)} and {len(other.columns)} columns.",
                    node=arm,
                )
                continue
            relation = Relation(
                tuple(
                    replace(mine, value=either(mine.value, theirs.value))
                    for mine, theirs in zip(relation.columns, other.columns, strict=True)
                )
            )
        scope.sources = [("", relation)]
        order = node.args.get("order")
        if order is not None and any(column.table for column in order.find_all(exp.Column)):
            # Some databases let the tables of the first query be named here.
            scope.sources.append(("", OPEN))
        for part in ("order", "limit", "offset"):
            self.part(node, part, scope)
        around.reads |= scope.reads
        return relation

    def _values(self, node: exp.Values, around: Scope) -> Relation:
        scope = Scope(around.ctes, around.outer)
        widest: list[Value] = []
        for row in node.expressions:
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            values = [self.expression(cell, scope) for cell in cells]
            widest = widest if len(widest) >= len(values) else values
        around.reads |= scope.reads
        columns = tuple(
            OutputColumn(f"column{position}", value) for position, value in enumerate(widest, 1)
        )
        alias = node.args.get("alias")
        names = [c.name for c in alias.args.get("columns") or ()] if alias is not None else []
        return Relation(columns).renamed(names)

    def source(self, node: exp.Expr | None, scope: Scope) -> None:
        """Add what FROM or JOIN names to a scope."""
        match node:
            case None:
                return
            case exp.Table():
                self._table(node, scope)
                for lateral in node.args.get("laterals") or ():
                    self.source(lateral, scope)
                for join in node.args.get("joins") or ():
                    self.join(join, scope)
            case exp.Subquery():
                if isinstance(node.this, exp.Table) and not node.alias:
                    self.source(node.this, scope)
                else:
                    # Only a lateral one sees its neighbours; others see what is around.
                    lateral = self._names.dialect in _LATERAL_UNSAID
                    inner = Scope(scope.ctes, scope if lateral else scope.outer)
                    relation = self.query(node, inner)
                    scope.reads |= inner.reads
                    scope.sources.append((node.alias, relation.renamed(_alias_columns(node))))
                for join in node.args.get("joins") or ():
                    self.join(join, scope)
                for lateral in node.args.get("laterals") or ():
                    self.source(lateral, scope)
            case exp.Lateral():
                self._lateral(node, scope)
            case exp.Unnest():
                self._children(node, scope)
                names = _alias_columns(node)
                offset = node.args.get("offset")
                if isinstance(offset, exp.Identifier):
                    names.append(offset.name)
                self._opened(node.alias, names, scope)
                if self._names.dialect == "bigquery":
                    # The fields of structs stand beside it.
                    scope.sources.append(("", OPEN))
            case exp.Values():
                scope.sources.append((node.alias, self._values(node, scope)))
            case exp.Select() | exp.SetOperation():
                inner = Scope(scope.ctes, scope.outer)
                scope.sources.append(("", self.query(node, inner)))
                scope.reads |= inner.reads
            case _:
                self._children(node, scope)
                self._opened(node.alias_or_name, _alias_columns(node), scope)

    def _table(self, node: exp.Table, scope: Scope) -> None:
        names = _alias_columns(node)
        if not is_named(node):
            self._children(node, scope)
            if not names and isinstance(node.this, exp.ExplodingGenerateSeries) and node.alias:
                names = [node.alias]
            if names:
                self._opened(node.alias, names, scope)
                return
            if node.this is not None:
                self._names.find(
                    Code.UNKNOWN_SHAPE,
                    "What columns this yields is not known here; they are not checked.",
                    node=node,
                )
            scope.sources.append((node.alias, OPEN))
            return
        name = TableName.of(node)
        relation = self._names.named_table(node, name, scope)
        if node.args.get("pivots"):
            alias = node.args["pivots"][-1].alias or node.alias_or_name
            for pivot in node.args["pivots"]:
                self.expression(pivot, Scope(scope.ctes, None, sources=[("", OPEN)]))
            scope.sources.append((alias, OPEN))
            return
        alias = node.alias or name.last
        scope.sources.append((alias, relation.renamed(names) if names else relation))

    def _lateral(self, node: exp.Lateral, scope: Scope) -> None:
        if isinstance(node.this, exp.Subquery):
            inner = Scope(scope.ctes, scope)
            relation = self.query(node.this, inner)
            scope.reads |= inner.reads
            names = _alias_columns(node) or _alias_columns(node.this)
            scope.sources.append((node.alias or node.this.alias, relation.renamed(names)))
            return
        self.expression(node.this, scope)
        self._opened(node.alias, _alias_columns(node), scope)

    def _opened(self, alias: str, names: Sequence[str], scope: Scope) -> None:
        """Add what a function yields: the columns that its alias names, or no one knows which."""
        if names:
            columns = [OutputColumn(name) for name in names]
            # The alias by itself is the row, or the one value in it.
            if alias and alias not in names:
                columns.append(OutputColumn(alias))
            scope.sources.append((alias, Relation(tuple(columns))))
        else:
            scope.sources.append((alias, OPEN))

    def join(self, join: exp.Join, scope: Scope) -> None:
        before = list(scope.sources)
        self.source(join.this, scope)
        added = scope.sources[len(before) :]
        using = [part for part in join.args.get("using") or () if isinstance(part, exp.Expr)]
        for part in using:
            identifier = part.this if isinstance(part, exp.Column) else part
            if isinstance(identifier, exp.Identifier):
                self._using(identifier, before, added, scope)
        if str(join.args.get("method") or "").upper() == "NATURAL":
            self._natural(join, before, added, scope)
        self.part(join, "on", scope)
        self.part(join, "match_condition", scope)
        if str(join.args.get("kind") or "").upper() in ("SEMI", "ANTI"):
            # The right side is seen in the condition only.
            scope.sources = before

    def _using(
        self,
        identifier: exp.Identifier,
        left: Sequence[tuple[str, Relation]],
        right: Sequence[tuple[str, Relation]],
        scope: Scope,
    ) -> None:
        sides = []
        for side in (left, right):
            found = [f for _, relation in side if (f := self._names.among(identifier, relation))]
            if not found:
                merged = scope.merged.get(identifier.name.casefold())
                if merged is not None and side is left:
                    sides.append(merged)
                    continue
                if any(relation.open for _, relation in side) or self._names.is_templated(
                    identifier.name
                ):
                    return
                self._names.unknown_column(identifier, list(side))
                return
            self._names.use_column(found[0].value, identifier)
            sides.append(found[0].value)
        first, second = sides
        self._compared(first, second, identifier)
        scope.merged[identifier.name.casefold()] = either(first, second)

    def _natural(
        self,
        join: exp.Join,
        left: Sequence[tuple[str, Relation]],
        right: Sequence[tuple[str, Relation]],
        scope: Scope,
    ) -> None:
        mine: dict[str, Value] = {}
        for _, relation in left:
            for key, columns in relation.index.items():
                mine.setdefault(key, columns[0].value)
        shared = False
        for _, relation in right:
            for key, columns in relation.index.items():
                if key in mine:
                    shared = True
                    scope.merged[key] = either(mine[key], columns[0].value)
                    self._names.use_column(mine[key], join.this)
                    self._names.use_column(columns[0].value, join.this)
        if not shared and not any(relation.open for _, relation in (*left, *right)):
            self._names.find(
                Code.UNKNOWN_COLUMN,
                "The natural join has no column in common, so that every row meets every other.",
                node=join.this,
                fix=Fix("Name the columns: JOIN … ON …."),
            )

    def _expand(self, item: exp.Expr, scope: Scope) -> Relation:
        """Return what a star stands for."""
        star = item
        sources = scope.sources
        if isinstance(item, exp.Column) and item.table:
            found = scope.named(item.table)
            if not found:
                outer = scope.outer
                while outer is not None and not found:
                    found, outer = outer.named(item.table), outer.outer
            if not found:
                if not scope.open:
                    self._names.unknown_alias(item, scope)
                return OPEN
            sources, star = [("", found[0])], item.this
        elif isinstance(item, exp.Alias):
            star = item.this
        relation = self._star(replace(scope, sources=list(sources)))
        if not isinstance(star, exp.Star):
            return relation
        gone = {
            part.name.casefold()
            for part in star.args.get("except_") or ()
            if isinstance(part, exp.Expr)
        }
        changed = {
            part.alias.casefold(): self.expression(part.this, scope)
            for part in star.args.get("replace") or ()
            if isinstance(part, exp.Alias)
        }
        renamed = {
            part.this.name.casefold(): part.alias
            for part in star.args.get("rename") or ()
            if isinstance(part, exp.Alias)
        }
        columns = []
        for column in relation.columns:
            key = column.name.casefold()
            if key in gone:
                continue
            if key in changed:
                column = replace(column, value=changed[key])
            columns.append(replace(column, name=renamed.get(key, column.name)))
        is_open = relation.open or star.args.get("ilike") is not None
        return Relation(tuple(columns), open=is_open)

    def _star(self, scope: Scope) -> Relation:
        columns: list[OutputColumn] = []
        seen: set[str] = set()
        for _, relation in scope.sources:
            for column in relation.columns:
                key = column.name.casefold()
                if key in scope.merged:
                    if key in seen:
                        continue
                    seen.add(key)
                # Parts of a struct, and structs made up for them, are no columns of a star.
                if column.value.column is None and relation.urn is not None:
                    columns.append(column)
                    continue
                if relation.urn is not None and "." in column.name:
                    head = column.name.partition(".")[0].casefold()
                    if head in relation.index:
                        continue
                columns.append(column)
        return Relation(tuple(columns), open=scope.open)

    def expression(self, node: exp.Expr, scope: Scope, prefer_alias: bool = False) -> Value:
        """Return what an expression yields, having looked at every name in it."""
        match node:
            case exp.Column():
                return self._names.column(node, scope, prefer_alias)
            case exp.Dot():
                return self._dot(node, scope)
            case exp.Query():
                inner = Scope(scope.ctes, scope)
                relation = self.query(node, inner)
                scope.reads |= inner.reads
                if len(relation.columns) == 1 and not relation.open:
                    self._silent_outer(node, inner)
                    return relation.columns[0].value
                return Value(frozenset().union(*(c.value.origins for c in relation.columns)))
            case exp.Literal():
                return Value(family=Family.TEXT if node.is_string else Family.NUMBER)
            case exp.Alias():
                return self.expression(node.this, scope, prefer_alias)
            case exp.Cast():
                inner_value = self.expression(node.this, scope)
                kind = node.args.get("to")
                family = family_of_type(kind) if isinstance(kind, exp.DataType) else None
                return Value(inner_value.origins, family)
            case exp.Anonymous() | exp.AnonymousAggFunc():
                values = [
                    self.expression(part, scope)
                    for part in node.iter_expressions()
                    if not _is_unit(part)
                ]
                return Value(frozenset().union(*(value.origins for value in values)))
            case exp.In():
                return self._in(node, scope)
            case exp.Lambda():
                return self._lambda(node, scope)
            case exp.Comprehension():
                names = Relation((OutputColumn(node.expression.name),))
                inner = Scope(scope.ctes, scope, sources=[("", names)])
                self.expression(node.args["iterator"], scope)
                self.part(node, "condition", inner)
                return Value(self.expression(node.this, inner).origins)
            case exp.Kwarg() | exp.PropertyEQ():
                return self.expression(node.expression, scope)
            case exp.Case() | exp.If():
                return self._case(node, scope)
            case exp.Star():
                return NOTHING
            case exp.Between():
                value = self.expression(node.this, scope)
                for end in ("low", "high"):
                    bound = node.args[end]
                    self._compared(value, self.expression(bound, scope), node, bound)
                return Value(family=Family.BOOLEAN)
        if isinstance(node, _COMPARISONS):
            left = self.expression(node.this, scope)
            right = self.expression(node.expression, scope)
            self._compared(left, right, node, node.this, node.expression)
            return Value(family=Family.BOOLEAN)
        if isinstance(node, exp.And | exp.Or):
            # Chains may be longer than the stack is deep.
            for part in node.flatten():
                self.expression(part, scope)
            return Value(family=Family.BOOLEAN)
        values = self._children(node, scope, prefer_alias)
        if isinstance(node, _PREDICATES):
            return Value(family=Family.BOOLEAN)
        if isinstance(node, _COUNTS):
            return Value(family=Family.NUMBER)
        if isinstance(node, exp.Paren) and values:
            return values[0]
        origins = frozenset().union(*(value.origins for value in values))
        if isinstance(node, _NUMBERS):
            return Value(origins, Family.NUMBER)
        if isinstance(node, _TEXTS):
            return Value(origins, Family.TEXT)
        if isinstance(node, _PASSING) and values:
            return Value(origins, values[0].family)
        return Value(origins)

    def _children(self, node: exp.Expr, scope: Scope, prefer_alias: bool = False) -> list[Value]:
        return [
            self.expression(child, scope, prefer_alias)
            for child in node.iter_expressions()
            if not isinstance(child, exp.TableAlias)
        ]

    def _case(self, node: exp.Case | exp.If, scope: Scope) -> Value:
        """Return what the branches yield; conditions decide, and pass no values on."""
        if isinstance(node.this, exp.Expr):
            self.expression(node.this, scope)
        parts = [node.args.get(name) for name in ("true", "false", "default")]
        values = [
            self.expression(part, scope)
            for part in (*(node.args.get("ifs") or ()), *parts)
            if isinstance(part, exp.Expr)
        ]
        families = {value.family for value in values if value.family is not None}
        return Value(
            frozenset().union(*(value.origins for value in values)),
            families.pop() if len(families) == 1 else None,
        )

    def _in(self, node: exp.In, scope: Scope) -> Value:
        value = self.expression(node.this, scope)
        for item in node.expressions:
            self._compared(value, self.expression(item, scope), node, item)
        query = node.args.get("query")
        if isinstance(query, exp.Expr):
            self._compared(value, self.expression(query, scope), node)
        for part in ("unnest", "field"):
            if isinstance(node.args.get(part), exp.Expr):
                self.expression(node.args[part], scope)
        return Value(family=Family.BOOLEAN)

    def _lambda(self, node: exp.Lambda, scope: Scope) -> Value:
        if isinstance(node.this, exp.Identifier):
            return NOTHING
        names = [OutputColumn(part.name) for part in node.expressions]
        inner = Scope(scope.ctes, scope, sources=[("", Relation(tuple(names)))])
        return self.expression(node.this, inner)

    def _dot(self, node: exp.Dot, scope: Scope) -> Value:
        """Return the value of a field access; only what stands before the first dot is a name."""
        if isinstance(node.expression, exp.Func):
            # The qualified name of a function, with its arguments.
            return Value(
                frozenset().union(*(v.origins for v in self._children(node.expression, scope)))
            )
        head = node.this
        while isinstance(head, exp.Dot):
            head = head.this
        if isinstance(head, exp.Identifier):
            return NOTHING
        return Value(self.expression(head, scope).origins)

    def _compared(
        self,
        left: Value,
        right: Value,
        node: exp.Expr,
        *sides: exp.Expr,
    ) -> None:
        if left.column is not None and right.column is not None:
            equal = isinstance(node, exp.EQ | exp.Identifier | exp.In)
            if equal and left.column != right.column:
                self._names.analysis.joins.append(
                    JoinUse(left.column, right.column, self._names.place(node))
                )
        literals = [side for side in sides if isinstance(side, exp.Literal)]
        if literals and not self._literal_differs(left, right, literals[0]):
            return
        if comparable(left.family, right.family, self._names.dialect or None):
            return
        origin = left.column or right.column
        self._names.find(
            Code.TYPE_MISMATCH,
            f"{self._described(left)} is compared with {self._described(right)}.",
            evidence=self._types(left, right),
            node=node,
            fix=Fix("Cast one side to the type of the other."),
            urn=origin.urn if origin else None,
            column=origin.path if origin else None,
        )

    def _literal_differs(self, left: Value, right: Value, literal: exp.Literal) -> bool:
        """Tell whether a literal cannot be read as what it is compared with."""
        families = {left.family, right.family}
        if not literal.is_string:
            return Family.TIME in families
        if Family.NUMBER not in families:
            return False
        try:
            float(literal.this)
        except ValueError:
            return True
        return False

    def _described(self, value: Value) -> str:
        if value.column is not None:
            return f"{simple_path(value.column.path)} of {dataset_name(value.column.urn)}"
        return str(value.family or "a value")

    def _types(self, *values: Value) -> str | None:
        told = []
        for value in values:
            if value.column is None:
                continue
            for field_ in self._names.snapshots[value.column.urn].dataset.fields:
                if field_.path == value.column.path:
                    kind = field_.native_type or field_.type
                    told.append(f"{simple_path(field_.path)} is {kind}")
        return f"{'; '.join(told)}." if told else None

    def _silent_outer(self, node: exp.Expr, inner: Scope) -> None:
        """Find a subquery whose only column is that of the query around it, by mistake."""
        query = node
        while isinstance(query, exp.Subquery):
            query = query.this
        if not isinstance(query, exp.Select) or query.args.get("from_") is None:
            return
        (item,) = query.expressions[:1] or [None]
        item = item.unalias() if isinstance(item, exp.Expr) else item
        while isinstance(item, exp.Max | exp.Min | exp.Avg | exp.Sum | exp.Distinct | exp.Paren):
            item = item.this
        if not isinstance(item, exp.Column) or item.table or item.is_star:
            return
        if id(item) in self._names.from_outside:
            identifier = item.this
            self._names.find(
                Code.OUTER_COLUMN,
                f"The tables of this subquery have no column {identifier.name}; "
                "the one of the query around it would be taken.",
                node=identifier,
                fix=Fix("Name a column of the subquery's own tables, qualified by its table."),
                column=identifier.name,
            )


def _is_unit(node: exp.Expr) -> bool:
    return (
        isinstance(node, exp.Column)
        and not node.table
        and node.name.casefold() in _UNITS
        and not node.this.args.get("quoted")
    )


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return []
    return [column.name for column in alias.args.get("columns") or ()]


def outermost(node: exp.Expr, kind: type[_Kind]) -> Iterator[_Kind]:
    """Yield nodes of a kind that lie in no other one of it."""
    for found in node.walk(prune=lambda each: isinstance(each, kind)):
        if isinstance(found, kind):
            yield found


def _reads_itself(body: exp.Expr, name: str) -> bool:
    return isinstance(body, exp.SetOperation) and any(
        table.name.casefold() == name and table.args.get("db") is None
        for table in body.find_all(exp.Table)
    )
