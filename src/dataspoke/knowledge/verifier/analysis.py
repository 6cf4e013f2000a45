"""What a script does: its statements in order, with what they write and leave behind."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.verifier.families import family_of_type
from dataspoke.knowledge.verifier.model import Code
from dataspoke.knowledge.verifier.names import Names, is_named, is_system, is_temporary
from dataspoke.knowledge.verifier.queries import Queries, outermost
from dataspoke.knowledge.verifier.relations import (
    OPEN,
    Analysis,
    Output,
    OutputColumn,
    Relation,
    Scope,
    Value,
)
from dataspoke.knowledge.verifier.resolution import Surroundings, TableName, folded
from dataspoke.knowledge.verifier.statements import Script

# What is made by a statement that nobody has read.
_MADE = re.compile(
    r"\s*create\b[\w\s]*?\b(?:table|view)\s+(?:if\s+not\s+exists\s+)?"
    r"(?:[\w\"`\[\]]+\.)*(?P<name>[\w#\"`\[\]]+)",
    re.IGNORECASE,
)


def table_names(script: Script) -> list[TableName]:
    """Return the names of all tables in a script, each once; some may be no datasets."""
    found: dict[TableName, None] = {}
    for statement in script.statements:
        for table in statement.find_all(exp.Table):
            if is_named(table):
                found[TableName.of(table)] = None
    return list(found)


def analyse(
    script: Script,
    candidates: Mapping[str, Sequence[str]],
    snapshots: Mapping[str, Snapshot],
    around: Surroundings,
) -> Analysis:
    """Return what a script does.

    ``candidates`` maps the last component of names, casefolded, to the urns that have it;
    ``snapshots`` holds at least those that the names can mean.
    """
    names = Names(script, candidates, snapshots, around)
    statements = _Statements(names)
    for unread in script.unread:
        statements.expect(unread.text)
    for statement in script.statements:
        try:
            statements.statement(statement)
        except RecursionError:
            names.find(
                Code.NOT_CHECKED, "This is nested too deeply to be followed.", node=statement
            )
    return names.analysis


class _Statements:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._queries = Queries(names, self.statement)

    def statement(self, node: exp.Expr) -> None:
        ctes: Mapping[str, Relation] = {}
        match node:
            case exp.Insert():
                self._insert(node)
            case exp.Create():
                self._create(node)
            case exp.Update():
                self._update(node)
            case exp.Delete():
                self._delete(node)
            case exp.Merge():
                self._merge(node)
            case exp.Drop():
                self._drop(node)
            case exp.Alter():
                self._alter(node)
            case exp.Use():
                self._use(node)
            case exp.Query() | exp.Values() | exp.Table():
                scope = Scope(ctes)
                relation = self._queries.query(node, scope)
                into = node.args.get("into") if isinstance(node, exp.Select) else None
                if into is not None and isinstance(into.this, exp.Table):
                    self._write(into.this, "SELECT INTO", relation, scope, makes=True,
                                temporary=bool(into.args.get("temporary")))  # fmt: skip
                else:
                    self._names.analysis.results.extend(relation.columns)
            case exp.Command():
                self.expect(f"{node.this} {node.expression}")
                self._names.find(
                    Code.NOT_CHECKED,
                    f"A statement {str(node.this).upper()} is not looked into.",
                    node=node,
                )
            case exp.Declare():
                for item in node.find_all(exp.DeclareItem):
                    names = item.this if isinstance(item.this, list) else [item.this]
                    self._names.variables |= {name.name.casefold() for name in names}
            case exp.IfBlock():
                self._queries.part(node, "this", Scope(ctes))
                for part in (node.args.get("true"), node.args.get("false")):
                    if isinstance(part, exp.Expr):
                        self.statement(part)
                # Whether a table is dropped under a condition is not known.
                for name in [name for name, made in self._names.made.items() if made is None]:
                    del self._names.made[name]
            case exp.Block():
                for inner in node.expressions:
                    self.statement(inner)
            case _:
                for query in outermost(node, exp.Query):
                    self._queries.query(query, Scope(ctes))

    def expect(self, text: str) -> None:
        """Take it that there is what a statement makes that is not looked into."""
        if found := _MADE.match(text):
            name = found["name"].strip('"`[]').lstrip("#")
            self._names.made[name.casefold()] = OPEN

    def _use(self, node: exp.Use) -> None:
        if not isinstance(node.this, exp.Table):
            return
        parts = TableName.of(node.this).parts
        if len(parts) > 1:
            self._names.around = replace(
                self._names.around, default_database=parts[-2], default_schema=parts[-1]
            )
        elif str(node.args.get("kind") or "").upper() in ("DATABASE", "CATALOG"):
            self._names.around = replace(self._names.around, default_database=parts[-1])
        else:
            self._names.around = replace(self._names.around, default_schema=parts[-1])

    def _insert(self, node: exp.Insert) -> None:
        scope = self._queries.with_ctes(node, Scope({}))
        target = node.this
        names: list[exp.Expr] = []
        if isinstance(target, exp.Schema):
            names, target = target.expressions, target.this
        source = node.expression
        relation = self._queries.query(source, scope) if isinstance(source, exp.Expr) else None
        if not isinstance(target, exp.Table):
            return
        known = self._target(target)
        columns: list[str] = []
        for name in names:
            if isinstance(name, exp.Identifier | exp.Column):
                self._target_column(name, known)
                columns.append(name.name)
        self._write(target, "INSERT", relation, scope, columns=columns)
        if relation is not None and not relation.open and known is not None:
            wanted = len(columns) or (None if known.open else len(known.columns))
            given = len(relation.columns)
            if wanted is not None and (given != wanted if columns else given > wanted):
                self._names.find(
                    Code.COLUMN_COUNT,
                    f"{given} values are inserted into {wanted} columns.",
                    node=source,
                    urn=known.urn,
                )
        inner = Scope({}, sources=[(target.alias_or_name, known or OPEN)])
        inner.sources.append(("excluded", known or OPEN))
        for part in ("conflict", "returning"):
            if node.args.get(part) is not None:
                qualified = Scope({}, sources=[(target.alias_or_name, known or OPEN)])
                qualified.outer = inner
                self._queries.expression(node.args[part], qualified)

    def _create(self, node: exp.Create) -> None:
        scope = self._queries.with_ctes(node, Scope({}))
        target = node.this
        defined: list[OutputColumn] = []
        names: list[str] = []
        if isinstance(target, exp.Schema):
            for part in target.expressions:
                if isinstance(part, exp.ColumnDef):
                    defined.append(self._defined(part))
                elif isinstance(part, exp.Identifier | exp.Column):
                    names.append(part.name)
            target = target.this
        query = node.expression
        relation: Relation | None = None
        kind = str(node.args.get("kind") or "").upper()
        if kind not in ("TABLE", "VIEW"):
            if isinstance(query, exp.Query):
                self._queries.query(query, scope)
            elif kind not in ("INDEX", "SCHEMA", "DATABASE", "SEQUENCE", "TYPE"):
                self._names.find(Code.NOT_CHECKED, f"CREATE {kind} is not looked into.", node=node)
            return
        if isinstance(query, exp.Query | exp.Table | exp.Values):
            relation = self._queries.query(query, scope)
            names = names or [column.name for column in defined]
            relation = relation.renamed(names) if names else relation
        elif defined:
            relation = Relation(tuple(defined))
        if isinstance(target, exp.Table):
            properties = node.args.get("properties")
            temporary = properties is not None and any(properties.find_all(exp.TemporaryProperty))
            self._write(target, f"CREATE {kind}", relation, scope, makes=True,
                        temporary=temporary or target.name.startswith("#"))  # fmt: skip

    def _defined(self, part: exp.ColumnDef) -> OutputColumn:
        kind = part.args.get("kind")
        if not isinstance(kind, exp.DataType):
            return OutputColumn(part.name)
        text = kind.sql(dialect=self._names.dialect or None)
        return OutputColumn(part.name, Value(family=family_of_type(kind)), text)

    def _update(self, node: exp.Update) -> None:
        scope = self._queries.with_ctes(node, Scope({}))
        target = node.this
        if not isinstance(target, exp.Table):
            return
        # In T-SQL the target may be the alias of a table in FROM.
        from_ = node.args.get("from_")
        known = self._aliased_target(target, from_)
        if known is None:
            known = self._target(target)
            scope.sources.append((target.alias_or_name, known or OPEN))
        for join in target.args.get("joins") or ():
            self._queries.join(join, scope)
        if from_ is not None:
            self._queries.source(from_.this, scope)
        for setting in node.expressions:
            if isinstance(setting, exp.EQ):
                for name in outermost(setting.this, exp.Column):
                    self._set_column(name, known, scope)
                self._queries.expression(setting.expression, scope)
        for part in ("where", "order", "limit", "returning"):
            self._queries.part(node, part, scope)
        self._write(target, "UPDATE", None, scope, urn=known.urn if known else None)

    def _set_column(self, name: exp.Column, known: Relation | None, scope: Scope) -> None:
        if name.table:
            self._names.column(name, scope)
        else:
            self._target_column(name, known)

    def _aliased_target(self, target: exp.Table, from_: exp.Expr | None) -> Relation | None:
        if from_ is None or target.args.get("db") is not None:
            return None
        for table in from_.find_all(exp.Table):
            if table.alias.casefold() == target.name.casefold() and table.alias:
                return self._target(table)
        return None

    def _delete(self, node: exp.Delete) -> None:
        scope = self._queries.with_ctes(node, Scope({}))
        target = node.this
        known: Relation | None = None
        if isinstance(target, exp.Table):
            known = self._target(target)
            scope.sources.append((target.alias_or_name, known or OPEN))
            for join in target.args.get("joins") or ():
                self._queries.join(join, scope)
        using = node.args.get("using")
        for source in using if isinstance(using, list) else [using] if using else []:
            self._queries.source(source, scope)
        for part in ("where", "order", "limit", "returning"):
            self._queries.part(node, part, scope)
        if isinstance(target, exp.Table):
            self._write(target, "DELETE", None, scope, urn=known.urn if known else None)

    def _merge(self, node: exp.Merge) -> None:
        scope = self._queries.with_ctes(node, Scope({}))
        target = node.this
        if not isinstance(target, exp.Table):
            return
        known = self._target(target)
        scope.sources.append((target.alias_or_name, known or OPEN))
        self._queries.source(node.args["using"], scope)
        self._queries.part(node, "on", scope)
        whens = node.args["whens"]
        for when in whens.expressions:
            self._queries.part(when, "condition", scope)
            then = when.args.get("then")
            if isinstance(then, exp.Update):
                for setting in then.expressions:
                    if isinstance(setting, exp.EQ):
                        for name in outermost(setting.this, exp.Column):
                            self._set_column(name, known, scope)
                        self._queries.expression(setting.expression, scope)
            elif isinstance(then, exp.Insert):
                if isinstance(then.this, exp.Tuple):
                    for name in then.this.expressions:
                        self._target_column(name, known)
                if isinstance(then.expression, exp.Expr):
                    self._queries.expression(then.expression, scope)
        self._write(target, "MERGE", None, scope, urn=known.urn if known else None)

    def _drop(self, node: exp.Drop) -> None:
        if str(node.args.get("kind") or "").upper() not in ("TABLE", "VIEW"):
            return
        for table in node.args.get("tables") or ():
            if not isinstance(table, exp.Table) or not is_named(table):
                continue
            key = table.name.casefold()
            if key in self._names.made:
                del self._names.made[key]
                continue
            name = TableName.of(table)
            urn, _ = self._names.lookup(name, table)
            if urn is None:
                if not node.args.get("exists") and not is_temporary(table):
                    self._names.unknown_table(table, name)
                continue
            self._names.analysis.outputs.append(
                Output(
                    name,
                    table.name,
                    urn,
                    self._names.place(*table.parts),
                    "DROP",
                    gone=True,
                )
            )
            self._names.made[key] = None

    def _alter(self, node: exp.Alter) -> None:
        table = node.this
        if not isinstance(table, exp.Table) or not is_named(table):
            return
        if str(node.args.get("kind") or "").upper() not in ("TABLE", "VIEW"):
            return
        known = self._target(table)
        if known is None or known.urn is None or known.open:
            return
        columns = {column.name.casefold(): column for column in known.columns}
        lost: list[str] = []
        for action in node.args.get("actions") or ():
            match action:
                case exp.Drop():
                    for column in action.args.get("tables") or ():
                        if isinstance(column, exp.Column) and not action.args.get("exists"):
                            self._target_column(column, known)
                        if gone := columns.pop(column.name.casefold(), None):
                            lost.append(gone.name)
                case exp.RenameColumn():
                    self._target_column(action.this, known)
                    new = action.args["to"].name
                    if old := columns.pop(action.this.name.casefold(), None):
                        lost.append(old.name)
                        columns[new.casefold()] = replace(old, name=new)
                case exp.AlterColumn():
                    self._target_column(action.this, known)
                    key, kind = action.this.name.casefold(), action.args.get("dtype")
                    if key in columns and isinstance(kind, exp.DataType):
                        columns[key] = replace(
                            columns[key],
                            type=kind.sql(dialect=self._names.dialect or None),
                            value=Value(family=family_of_type(kind)),
                        )
                case exp.ColumnDef():
                    columns[action.name.casefold()] = self._defined(action)
                case _:
                    pass
        self._names.made[table.name.casefold()] = Relation(tuple(columns.values()))
        self._names.analysis.outputs.append(
            Output(
                TableName.of(table),
                table.name,
                known.urn,
                self._names.place(*table.parts),
                "ALTER",
                columns=tuple(columns.values()),
                dropped=tuple(lost),
            )
        )

    def _write(
        self,
        table: exp.Table,
        kind: str,
        relation: Relation | None,
        scope: Scope,
        *,
        columns: Sequence[str] = (),
        makes: bool = False,
        temporary: bool = False,
        urn: str | None = None,
    ) -> None:
        if not is_named(table):
            return
        name = TableName.of(table)
        if urn is None and not temporary:
            urn, _ = self._names.lookup(name, table)
        filled = relation.columns if relation is not None else ()
        if columns and len(columns) == len(filled):
            filled = tuple(
                replace(column, name=new) for column, new in zip(filled, columns, strict=True)
            )
        key = table.name.casefold()
        if self._names.made.get(key) is not None and not makes and urn is None:
            # A table of the script itself: what is in it shows where it is read.
            self._names.made_from[key] = self._names.made_from.get(key, frozenset()) | scope.reads
            return
        whole = None if relation is None or relation.open or not makes else relation.columns
        self._names.analysis.outputs.append(
            Output(
                name,
                folded(table.this, self._names.dialect),
                urn,
                self._names.place(*table.parts),
                kind,
                columns=whole,
                filled=tuple(filled),
                reads=frozenset(scope.reads),
                temporary=temporary,
            )
        )
        if makes:
            self._names.made[key] = OPEN if relation is None else replace(relation, urn=None)
            self._names.made_from[key] = frozenset(scope.reads)

    def _target(self, table: exp.Table) -> Relation | None:
        """Return a table that is written to; None, and told, where it is not known."""
        if not is_named(table):
            return None
        key = table.name.casefold()
        if key in self._names.made:
            return self._names.made[key] or OPEN
        name = TableName.of(table)
        if is_system(name) or is_temporary(table):
            return OPEN
        urn, several = self._names.lookup(name, table)
        if urn is None:
            if not several:
                self._names.unknown_table(table, name)
            return None
        return self._names.relation(urn)

    def _target_column(self, name: exp.Expr, known: Relation | None) -> None:
        if known is None:
            return
        identifier = name.this if isinstance(name, exp.Column) else name
        if not isinstance(identifier, exp.Identifier):
            return
        found = self._names.among(identifier, known)
        if found is None and not known.open and not self._names.is_templated(identifier.name):
            self._names.unknown_column(identifier, [("", known)], of=known)
        elif found is not None and found.value.column is not None:
            self._names.analysis.used.setdefault(found.value.column, self._names.place(identifier))
