"""What a name in SQL means where it stands, and what is said of one that means nothing."""

import re
from collections.abc import Iterable, Mapping, Sequence

from sqlglot import exp

from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.verifier.families import Family, family_of
from dataspoke.knowledge.verifier.model import Code, Fix, Place
from dataspoke.knowledge.verifier.relations import (
    NOTHING,
    OPEN,
    Analysis,
    Finding,
    Origin,
    OutputColumn,
    Relation,
    Scope,
    Value,
)
from dataspoke.knowledge.verifier.resolution import (
    Surroundings,
    TableName,
    folded,
    narrow,
    nearest,
    outside_defaults,
    written,
)
from dataspoke.knowledge.verifier.statements import Script
from dataspoke.urns import dataset_name

# Names that are no columns of a table and yet stand where one could: in any database, and in some.
_PSEUDO_COLUMNS = frozenset(
    """
    rowid current_date current_time current_timestamp current_user session_user sysdate
    """.split()  # noqa: SIM905
)
_PSEUDO_COLUMNS_OF: Mapping[str, frozenset[str]] = {
    dialect: frozenset(names.split())
    for dialects, names in (
        ("sqlite", "_rowid_ oid"),
        (
            "postgres redshift materialize risingwave",
            "oid ctid xmin xmax cmin cmax tableoid localtime localtimestamp user current_role "
            "current_schema current_catalog",
        ),
        (
            "oracle",
            "rownum level connect_by_isleaf connect_by_iscycle ora_rowscn object_value "
            "column_value nextval currval systimestamp user uid",
        ),
        (
            "bigquery",
            "_partitiontime _partitiondate _table_suffix _file_name _change_type "
            "_change_timestamp _change_sequence_number",
        ),
        (
            "snowflake",
            "metadata$filename metadata$file_row_number metadata$action metadata$isupdate "
            "metadata$row_id metadata$file_content_key metadata$file_last_modified "
            "metadata$start_scan_time value level",
        ),
        (
            "hive spark spark2 databricks",
            "input__file__name block__offset__inside__file grouping__id _metadata _change_type "
            "_commit_version _commit_timestamp",
        ),
        (
            "clickhouse",
            "_part _partition_id _part_index _part_uuid _table _database _sample_factor",
        ),
        ("presto trino athena", "$path $file_size $file_modified_time $partition $bucket"),
        ("duckdb", "filename hive_partitioning file_row_number"),
        ("teradata", "date time user partition"),
    )
    for dialect in dialects.split()
}
# Where a name that several tables have means the first of them.
_LEFTMOST_WINS = frozenset({"clickhouse"})
# Where the name of a table stands for its rows.
_WHOLE_ROWS = frozenset({"", "postgres", "redshift", "bigquery", "duckdb", "materialize"})
_PSEUDO_TABLES = frozenset(
    {"excluded", "new", "old", "inserted", "deleted", "new_table", "old_table"}
)
_SYSTEM_SCHEMAS = frozenset(
    """
    information_schema pg_catalog sys mysql performance_schema system pg_toast account_usage
    snowflake svv_ stl_ syscat sysibm dbc
    """.split()  # noqa: SIM905
)
_SYSTEM_TABLES = ("sqlite_", "pg_", "svv_", "stl_", "stv_", "v$", "dba_", "all_tab", "user_tab")
_NO_TABLES = frozenset({"dual"})
_FILE = re.compile(
    r"/|\.(csv|tsv|json|jsonl|ndjson|parquet|avro|orc|xlsx|db|gz|zst)$", re.IGNORECASE
)


class Names:
    """The names of one script, resolved in a catalogue; ``analysis`` collects what is found."""

    def __init__(
        self,
        script: Script,
        candidates: Mapping[str, Sequence[str]],
        snapshots: Mapping[str, Snapshot],
        around: Surroundings,
    ) -> None:
        self.analysis = Analysis()
        self.script = script
        self.dialect = script.dialect
        self.candidates = candidates
        self.snapshots = snapshots
        self.around = around
        self._relations: dict[str, Relation] = {}
        # What the script itself has made, by the last component of its name.
        self.made: dict[str, Relation | None] = {}
        # The datasets that it was made from.
        self.made_from: dict[str, frozenset[str]] = {}
        # What the script names and is no column, casefolded.
        self.variables: set[str] = set()
        # Columns, by identity, that were found in a query around their own.
        self.from_outside: set[int] = set()

    def place(self, *nodes: exp.Expr) -> Place | None:
        """Return where nodes stand in the SQL."""
        return self.script.place_of(*nodes)

    def is_templated(self, name: str) -> bool:
        return self.script.is_templated(name)

    def find(
        self,
        code: Code,
        message: str,
        *,
        node: exp.Expr | Sequence[exp.Expr] = (),
        evidence: str | None = None,
        fix: Fix | None = None,
        urn: str | None = None,
        column: str | None = None,
    ) -> None:
        place = self.place(*([node] if isinstance(node, exp.Expr) else node))
        self.analysis.findings[Finding(code, message, evidence, place, fix, urn, column)] = None

    def named_table(self, node: exp.Table, name: TableName, scope: Scope) -> Relation:
        key = name.last.casefold()
        if len(name.parts) == 1 and key in scope.ctes:
            return scope.ctes[key]
        if len(name.parts) == 1 and key in _NO_TABLES:
            return Relation()
        if len(name.parts) == 1 and key in _PSEUDO_TABLES and key not in self.candidates:
            return OPEN
        made = self.made.get(key, OPEN)
        if key in self.made:
            if made is None:
                self.unknown_table(node, name, dropped=True)
                return OPEN
            scope.reads |= self.made_from.get(key, frozenset())
            return made
        if any(self.is_templated(part) for part in name.parts) or is_system(name):
            return OPEN
        if is_temporary(node):
            return OPEN
        # An array of a table that stands before it.
        if len(name.parts) > 1 and scope.named(name.parts[0]) and key not in self.candidates:
            return OPEN
        if key not in self.candidates and _FILE.search(name.last):
            return OPEN
        if "*" in name.last:
            self.find(Code.UNKNOWN_SHAPE, "Which tables this means is not known here.", node=node)
            return OPEN
        urn, several = self.lookup(name, node)
        if urn is None:
            if several:
                columns: dict[str, OutputColumn] = {}
                for one in several:
                    for column in self.relation(one).columns:
                        columns.setdefault(column.name.casefold(), OutputColumn(column.name))
                return Relation(tuple(columns.values()), open=True)
            self.unknown_table(node, name)
            return OPEN
        scope.reads.add(urn)
        self.analysis.inputs.setdefault(urn, self.place(*node.parts))
        return self.relation(urn)

    def lookup(self, name: TableName, node: exp.Table) -> tuple[str | None, Sequence[str]]:
        """Return the dataset of a name, else those that it may be, told once."""
        urns = self.candidates.get(name.last.casefold(), ())
        found = [u for u in narrow(name, urns, self.around) if u in self.snapshots]
        if len(found) > 1:
            asked = _asked_of(node)
            fitting = [urn for urn in found if asked and asked <= self.relation(urn).index.keys()]
            found = fitting if len(fitting) == 1 else found
        if len(found) == 1:
            if outside_defaults(name, found[0], self.around):
                default = self.around.default_schema or self.around.default_database
                self.find(
                    Code.AMBIGUOUS_TABLE,
                    f"{name.text} is not in {default}; {dataset_name(found[0])} is taken for it.",
                    node=node.parts,
                    urn=found[0],
                    fix=Fix(
                        f"Write {dataset_name(found[0])}.",
                        self.place(*node.parts),
                        dataset_name(found[0]),
                    ),
                )
            return found[0], ()
        if found:
            names = ", ".join(dataset_name(urn) for urn in found[:5])
            self.find(
                Code.AMBIGUOUS_TABLE,
                f"{name.text} may be any of {len(found)} datasets.",
                evidence=f"The catalogue has {names}{', …' if len(found) > 5 else ''}.",
                node=node.parts,
                fix=Fix("Qualify the name, or give the default database and schema."),
            )
        return None, found

    def relation(self, urn: str) -> Relation:
        if urn in self._relations:
            return self._relations[urn]
        dataset = self.snapshots[urn].dataset
        columns: dict[str, OutputColumn] = {}
        nested: dict[str, OutputColumn] = {}
        for entry in dataset.fields:
            name = entry.name
            origin = Origin(urn, entry.path)
            value = Value(frozenset({origin}), family_of(entry, self.dialect or None), origin)
            columns.setdefault(name, OutputColumn(name, value, entry.native_type))
            head, dot, _ = name.partition(".")
            if dot and head:
                nested.setdefault(head, OutputColumn(head, Value(frozenset({origin}))))
        for head, column in nested.items():
            columns.setdefault(head, column)
        relation = Relation(tuple(columns.values()), open=not columns, urn=urn)
        if not columns:
            self.find(
                Code.UNKNOWN_SHAPE,
                f"The catalogue has no columns of {dataset_name(urn)}; they are not checked.",
                urn=urn,
            )
        self._relations[urn] = relation
        return relation

    def unknown_table(self, node: exp.Table, name: TableName, dropped: bool = False) -> None:
        place = self.place(*node.parts)
        self.analysis.unknown.setdefault(name, place)
        elsewhere = [
            urn for urn in self.candidates.get(name.last.casefold(), ()) if urn in self.snapshots
        ]
        fix = evidence = None
        if elsewhere and not dropped:
            other = dataset_name(elsewhere[0])
            evidence = f"The catalogue has {', '.join(map(dataset_name, elsewhere[:5]))}."
            fix = Fix(f"Write {other}, if that is meant.", place, other)
        self.analysis.findings[
            Finding(
                Code.UNKNOWN_TABLE,
                f"{name.text} is dropped before."
                if dropped
                else f"There is no dataset {name.text}.",
                evidence,
                place,
                fix,
            )
        ] = None

    def column(self, node: exp.Column, scope: Scope, prefer_alias: bool = False) -> Value:
        identifier = node.this
        if not isinstance(identifier, exp.Identifier):
            return NOTHING
        if any(self.is_templated(part.name) for part in node.parts):
            return NOTHING
        if node.table:
            return self._qualified(node, scope)
        return self._unqualified(node, identifier, scope, prefer_alias)

    def _qualified(self, node: exp.Column, scope: Scope) -> Value:
        parts = node.parts
        table, identifier = parts[-2], parts[-1]
        level: Scope | None = scope
        while level is not None:
            found = level.named(table.name)
            if found:
                return self._of(identifier, table.name, found, level)
            level = level.outer
        # Fields of a struct: source.column.field… or column.field….
        level = scope
        while level is not None:
            for position in range(len(parts) - 1):
                relations = (
                    level.named(parts[position - 1].name)
                    if position
                    else [relation for _, relation in level.sources]
                )
                for relation in relations:
                    column = self.among(parts[position], relation)
                    if column is not None:
                        return self._field(parts, position, column, relation)
                    if position and relation.open:
                        return NOTHING
            if parts[0].name.casefold() in level.aliases:
                return NOTHING
            level = level.outer
        if self._is_open(scope) or parts[0].name.casefold() in _PSEUDO_TABLES:
            return NOTHING
        if table.name.casefold() in ("sequence", "seq") or identifier.name.casefold() in (
            "nextval",
            "currval",
        ):
            return NOTHING
        self.unknown_alias(node, scope)
        return NOTHING

    def _of(
        self,
        identifier: exp.Expr,
        alias: str,
        relations: Sequence[Relation],
        scope: Scope,
    ) -> Value:
        for relation in relations:
            found = self.among(identifier, relation)
            if found is not None:
                return self.use_column(found.value, identifier)
        if any(relation.open for relation in relations):
            return NOTHING
        if self._is_pseudo(identifier.name.casefold()):
            return NOTHING
        self.unknown_column(identifier, [(alias, relations[0])], scope=scope, of=relations[0])
        return NOTHING

    def _field(
        self,
        parts: Sequence[exp.Expr],
        position: int,
        column: OutputColumn,
        relation: Relation,
    ) -> Value:
        """Return a field of a struct, as the catalogue has it where it does."""
        path = ".".join(part.name for part in parts[position:])
        exact = relation.index.get(path.casefold())
        if exact:
            return self.use_column(exact[0].value, parts[-1])
        self.use_column(column.value, parts[position])
        return Value(column.value.origins)

    def _unqualified(
        self, node: exp.Column, identifier: exp.Identifier, scope: Scope, prefer_alias: bool
    ) -> Value:
        key = identifier.name.casefold()
        level: Scope | None = scope
        while level is not None:
            if prefer_alias and key in level.aliases:
                return level.aliases[key]
            if key in level.merged:
                return level.merged[key]
            found = [
                (alias, column)
                for alias, relation in level.sources
                if (column := self.among(identifier, relation)) is not None
            ]
            if found:
                if level is not scope:
                    self.from_outside.add(id(node))
                if len(found) > 1 and not (prefer_alias or key in level.aliases):
                    self._ambiguous(identifier, found, level)
                return self.use_column(found[0][1].value, identifier)
            if level.open:
                return NOTHING
            if key in level.aliases:
                if level.blind:
                    self._blind_to(identifier, level.blind)
                return level.aliases[key]
            # A whole row, or the value of a function, by the name of its source.
            rows = level.named(identifier.name)
            if rows and (self.dialect in _WHOLE_ROWS or any(row.open for row in rows)):
                return NOTHING
            level = level.outer
        if self._is_pseudo(key) or key.startswith(("@", "$", ":", "#")) or key in self.variables:
            return NOTHING
        if self._is_text(identifier):
            close = nearest(identifier.name, self._names_in(scope)) if self._looks_alike(
                identifier, scope) else []  # fmt: skip
            if close:
                self.find(
                    Code.QUOTED_AS_TEXT,
                    f"There is no column {identifier.name}; {self.dialect} takes it for a text.",
                    node=identifier,
                    fix=Fix(
                        f"Write {close[0]}, or put the text in single quotes.",
                        self.place(identifier),
                        written(close[0], True, self.dialect),
                    ),
                )
            return Value(family=Family.TEXT)
        if not scope.sources and scope.outer is None and not scope.aliases:
            # SELECT without FROM: a variable, a constant of the session, an option.
            return NOTHING
        self.unknown_column(identifier, self._sources(scope), scope=scope)
        return NOTHING

    def among(self, identifier: exp.Expr, relation: Relation) -> OutputColumn | None:
        """Return the column of a relation that a name means; None where it has none."""
        found = relation.index.get(identifier.name.casefold())
        if not found:
            return None
        if len(found) == 1:
            self._look_at_case(identifier, found[0], relation)
            return found[0]
        for column in found:
            if column.name == identifier.name:
                return column
        name = folded(identifier, self.dialect) if isinstance(identifier, exp.Identifier) else ""
        for column in found:
            if column.name == name:
                return column
        return found[0] if relation.urn is None else None

    def use_column(self, value: Value, node: exp.Expr) -> Value:
        if value.column is not None and value.column not in self.analysis.used:
            self.analysis.used[value.column] = self.place(node)
        return value

    def unknown_column(
        self,
        identifier: exp.Expr,
        sources: Sequence[tuple[str, Relation]],
        *,
        scope: Scope | None = None,
        of: Relation | None = None,
    ) -> None:
        place = self.place(identifier)
        name = identifier.name
        quoted = bool(identifier.args.get("quoted"))
        fix: Fix | None = None
        elsewhere = []
        if of is not None and scope is not None:
            elsewhere = [
                alias
                for alias, relation in self._sources(scope)
                if alias and relation is not of and name.casefold() in relation.index
            ]
        close = nearest(name, self._names_of(sources))
        if elsewhere:
            fix = Fix(f"Take it from {elsewhere[0]}: {elsewhere[0]}.{name}.")
        elif close:
            text = written(close[0], quoted, self.dialect)
            fix = Fix(f"Write {text}.", place, text)
        urn = of.urn if of is not None else None
        if urn is None and len(sources) == 1:
            urn = sources[0][1].urn
        labels = [_label(alias, relation) for alias, relation in sources]
        columns = list(dict.fromkeys(self._names_of(sources)))
        shown = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
        self.find(
            Code.UNKNOWN_COLUMN,
            f"There is no column {name} in {_listed(labels)}.",
            evidence=f"It has {shown}." if len(sources) == 1 else f"They have {shown}.",
            node=identifier,
            fix=fix,
            urn=urn,
            column=name,
        )

    def unknown_alias(self, node: exp.Column, scope: Scope) -> None:
        table = node.parts[-2]
        names = [alias for alias, _ in self._sources(scope) if alias]
        close = nearest(table.name, names)
        fix = None
        if close:
            fix = Fix(f"Write {close[0]}.", self.place(table), close[0])
        self.find(
            Code.UNKNOWN_ALIAS,
            f"{table.name} is no table of this query.",
            evidence=f"It has {_listed(names)}." if names else None,
            node=table,
            fix=fix,
        )

    def _ambiguous(
        self,
        identifier: exp.Identifier,
        found: Sequence[tuple[str, OutputColumn]],
        scope: Scope,
    ) -> None:
        if self.dialect in _LEFTMOST_WINS:
            return
        columns = {column.value.column or id(column) for _, column in found}
        if len(columns) == 1 and len({alias for alias, _ in found}) == 1:
            return
        first = found[0][0]
        text = f"{first}.{identifier.sql(dialect=self.dialect or None)}" if first else None
        self.find(
            Code.AMBIGUOUS_COLUMN,
            f"{identifier.name} is a column of {_listed(alias for alias, _ in found)}.",
            node=identifier,
            fix=Fix(
                f"Say which: {text}." if text else "Say which one.",
                self.place(identifier) if text else None,
                text,
            ),
        )

    def _blind_to(self, identifier: exp.Identifier, clause: str) -> None:
        self.find(
            Code.ALIAS_NOT_VISIBLE,
            f"{identifier.name} is a name of the select list, which {self.dialect} does not know "
            f"in {clause}.",
            node=identifier,
            fix=Fix("Repeat the expression, or name it in a subquery."),
        )

    def _look_at_case(self, identifier: exp.Expr, column: OutputColumn, relation: Relation) -> None:
        if (
            relation.urn is None
            or not identifier.args.get("quoted")
            or identifier.name == column.name
            or not isinstance(identifier, exp.Identifier)
            or folded(identifier, self.dialect) != identifier.name
        ):
            return
        probe = exp.to_identifier(identifier.name.swapcase(), quoted=True)
        if folded(probe, self.dialect) != probe.name:
            return
        self.find(
            Code.CASE_DIFFERS,
            f"{identifier.name} is quoted, and the catalogue writes {column.name}.",
            node=identifier,
            urn=relation.urn,
            column=column.name,
            fix=Fix(
                f"Write {column.name} if the database has it so.",
                self.place(identifier),
                written(column.name, True, self.dialect),
            ),
        )

    def _is_pseudo(self, key: str) -> bool:
        return key in _PSEUDO_COLUMNS or key in _PSEUDO_COLUMNS_OF.get(self.dialect, ())

    def _is_text(self, identifier: exp.Identifier) -> bool:
        """Tell whether SQLite reads a name in double quotes as a text where no column has it."""
        start = identifier.meta.get("start")
        return (
            self.dialect == "sqlite"
            and bool(identifier.args.get("quoted"))
            and start is not None
            and self.script.text[start : start + 1] == '"'
        )

    def _looks_alike(self, identifier: exp.Identifier, scope: Scope) -> bool:
        # Texts with blanks, and values in other letters than names have, are meant as texts.
        return identifier.name.isidentifier() and any(mark in identifier.name for mark in "_")

    def _is_open(self, scope: Scope | None) -> bool:
        while scope is not None:
            if scope.open:
                return True
            scope = scope.outer
        return False

    def _sources(self, scope: Scope | None) -> list[tuple[str, Relation]]:
        found: list[tuple[str, Relation]] = []
        while scope is not None:
            found += scope.sources
            scope = scope.outer
        return found

    def _names_in(self, scope: Scope) -> list[str]:
        return self._names_of(self._sources(scope))

    def _names_of(self, sources: Iterable[tuple[str, Relation]]) -> list[str]:
        return [column.name for _, relation in sources for column in relation.columns]


def is_named(table: exp.Table) -> bool:
    return all(isinstance(part, exp.Identifier) for part in table.parts) and bool(table.name)


def is_temporary(table: exp.Table) -> bool:
    """Tell whether it is named as a temporary table, which whoever runs the SQL may have made."""
    name = table.this
    return bool(name.args.get("temporary") or name.args.get("global_"))


def is_system(name: TableName) -> bool:
    above = {part.casefold() for part in name.parts[:-1]}
    return bool(above & _SYSTEM_SCHEMAS) or (
        name.last.casefold().startswith(_SYSTEM_TABLES) or name.last.startswith("@")
    )


def _asked_of(table: exp.Table) -> set[str]:
    """Return the columns, casefolded, that the query around a table surely asks of it."""
    query = table.find_ancestor(exp.Select)
    if query is None:
        return set()
    alias = (table.alias or table.name).casefold()
    alone = not query.args.get("joins") and not query.args.get("laterals")
    return {
        column.name.casefold()
        for column in query.find_all(exp.Column)
        if (column.table.casefold() == alias or (alone and not column.table))
        and not column.is_star
        and column.find_ancestor(exp.Select) is query
    }


def _label(alias: str, relation: Relation) -> str:
    if relation.urn is None:
        return alias or "the subquery"
    name = dataset_name(relation.urn)
    return name if not alias or name.casefold().endswith(alias.casefold()) else f"{name} ({alias})"


def _listed(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(name for name in names if name))
    if not every:
        return "the query"
    if len(every) > 6:
        return f"{', '.join(every[:6])} or {len(every) - 6} others"
    *most, last = every
    return f"{', '.join(most)} or {last}" if most else last
