"""SQL as syntax trees: dialects, templates, places, and what cannot be read."""

import bisect
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from dataspoke.errors import InvalidInput
from dataspoke.knowledge.dialects import dialect_of
from dataspoke.knowledge.verifier.model import Place

_TEMPLATE_MARK = "__t_"

# Asked in this order whether a text that its own dialect cannot read is SQL at all.
_OTHER_DIALECTS = (
    "postgres",
    "mysql",
    "snowflake",
    "sqlite",
    "bigquery",
    "duckdb",
    "tsql",
    "oracle",
    "databricks",
    "clickhouse",
    "trino",
    "redshift",
    "teradata",
)
# Dialects whose queries are read as a whole, so that what is not read is wrong.
_WELL_READ = frozenset(
    {"bigquery", "duckdb", "mysql", "postgres", "redshift", "snowflake", "spark", "sqlite", "trino"}
)
_FIRST_WORDS = ("select", "with", "insert", "update", "delete", "create", "merge", "drop", "alter")
_TEMPLATE = re.compile(
    r"\{\{-?\s*(?P<inner>.*?)\s*-?\}\}|\{%-?.*?-?%\}|\{#.*?#\}|\$\{[^{}]*\}", re.DOTALL
)
_REF = re.compile(r"""ref\(\s*(?:['"][^'"]*['"]\s*,\s*)?['"](?P<name>[^'"]+)['"]""")
_SOURCE = re.compile(r"""source\(\s*['"](?P<schema>[^'"]+)['"]\s*,\s*['"](?P<name>[^'"]+)['"]""")


class Doubt(StrEnum):
    """How sure it is that what cannot be read is wrong."""

    NONE = "none"  # it is
    READER = "reader"  # the reader may not know all of the dialect
    TEMPLATE = "template"  # templates stand for what is not known


@dataclass(frozen=True, slots=True)
class Unread:
    """A statement that cannot be read: its text, what hinders it, and where."""

    text: str
    message: str
    place: Place
    doubt: Doubt


@dataclass(slots=True)
class Script:
    """The statements of a text in order.

    ``dialect`` is the one that they were read in; ``wanted`` is the one they were said to be in,
    and differs where only the other can read them. ``templates`` are the places of templates whose
    value is not known here.
    """

    text: str
    dialect: str
    wanted: str
    statements: list[exp.Expr] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    templates: list[Place] = field(default_factory=list)
    _lines: list[int] = field(default_factory=list)

    def is_templated(self, name: str) -> bool:
        """Tell whether a template makes a name, or a part of it."""
        return bool(self.templates) and _TEMPLATE_MARK in name

    def place(self, start: int, end: int) -> Place:
        """Return the place of the characters from ``start`` up to, and without, ``end``."""
        if not self._lines:
            self._lines.append(0)
            self._lines.extend(match.end() for match in re.finditer("\n", self.text))
        line = bisect.bisect_right(self._lines, start)
        return Place(start, end, line, start - self._lines[line - 1] + 1)

    def place_of(self, *nodes: exp.Expr) -> Place | None:
        """Return the place of what nodes were read from; None where they do not come of text."""
        spans = [
            (part.meta["start"], part.meta["end"] + 1)
            for node in nodes
            for part in ([node] if "start" in node.meta else node.walk())
            if "start" in part.meta
        ]
        if not spans:
            return None
        return self.place(min(start for start, _ in spans), max(end for _, end in spans))


def require_dialect(name: str) -> str:
    """Return sqlglot's name of a dialect, which platforms may be named by as well.

    Raises InvalidInput for what is none.
    """
    known = name.strip().lower()
    known = {"postgresql": "postgres"}.get(known, known)
    if known not in Dialect.classes:
        known = dialect_of(known) or ""
    if not known:
        names = ", ".join(sorted(filter(None, Dialect.classes)))
        raise InvalidInput(f"dialect {name!r} is not known; give one of {names}.")
    return known


def read(text: str, dialect: str) -> Script:
    """Return the statements of a text. Never raises for what it holds.

    Where its dialect cannot read it and another can, it is read in the other one.
    """
    script = Script(text, dialect, dialect)
    plain, known = _without_templates(text)
    script.templates = [script.place(start, end) for start, end in known]
    templated = plain != text
    statements, unread = _parse(script, plain, dialect)
    if unread and not templated:
        for other in _OTHER_DIALECTS:
            if other == dialect:
                continue
            found, rest = _parse(script, plain, other)
            if not rest:
                script.dialect, script.statements = other, found
                return script
    script.statements = statements
    script.unread = [replace(each, doubt=Doubt.TEMPLATE) if templated else each for each in unread]
    return script


def _without_templates(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text with templates replaced by as many characters, and where the value of one
    is not known."""
    unknown: list[tuple[int, int]] = []
    if "{" not in text:
        return text, unknown

    def plain(match: re.Match[str]) -> str:
        name = _named_by(match)
        if name is None:
            unknown.append(match.span())
            name = "" if match[0].startswith("{%") else _TEMPLATE_MARK
        whole = match[0]
        if name == _TEMPLATE_MARK:
            return (name + "_" * len(whole))[: len(whole)]
        # Lines stay where they are.
        return name + "".join("\n" if c == "\n" else " " for c in whole[len(name) :])

    return _TEMPLATE.sub(plain, text), unknown


def _named_by(match: re.Match[str]) -> str | None:
    """Return what a template surely puts in; None where that is not known."""
    if match[0].startswith("{#"):
        return ""
    inner = match["inner"] or ""
    if found := _REF.match(inner):
        return str(found["name"])
    if found := _SOURCE.match(inner):
        return f"{found['schema']}.{found['name']}"
    return "" if inner.startswith("config(") else None


def _parse(script: Script, plain: str, dialect: str) -> tuple[list[exp.Expr], list[Unread]]:
    reader = Dialect.get_or_raise(dialect or None)
    try:
        tokens = reader.tokenize(plain)
    except SqlglotError as error:
        # A quote or a comment that nothing closes.
        place = script.place(0, len(plain))
        return [], [Unread(plain, _first_line(error), place, Doubt.NONE)]
    try:
        return [found for found in reader.parser().parse(tokens, plain) if found is not None], []
    except (SqlglotError, RecursionError):
        pass
    statements: list[exp.Expr] = []
    unread: list[Unread] = []
    for chunk in _chunks(tokens):
        try:
            statements += [e for e in reader.parser().parse(list(chunk), plain) if e is not None]
        except (SqlglotError, RecursionError) as error:
            message, place = _failure(script, error, chunk)
            text = plain[chunk[0].start : chunk[-1].end + 1]
            unread.append(Unread(text, message, place, _doubt(chunk, dialect)))
    return statements, unread


def _doubt(chunk: Sequence[Token], dialect: str) -> Doubt:
    """Return how sure it is that a statement is wrong which nothing reads.

    Sure are brackets that do not match, first words that are almost one that there is, and queries
    in dialects whose queries are read as a whole.
    """
    depth = 0
    for token in chunk:
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        if depth < 0:
            break
    first = chunk[0].text.casefold()
    if depth or (first in ("select", "with", "values") and dialect in _WELL_READ):
        return Doubt.NONE
    known = difflib.get_close_matches(first, _FIRST_WORDS, 1, 0.75)
    return Doubt.NONE if known and known[0] != first else Doubt.READER


def _chunks(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    start = 0
    for index, token in enumerate(tokens):
        if token.token_type is TokenType.SEMICOLON:
            if index > start:
                yield tokens[start:index]
            start = index + 1
    if start < len(tokens):
        yield tokens[start:]


def _failure(script: Script, error: Exception, chunk: Sequence[Token]) -> tuple[str, Place]:
    whole = script.place(chunk[0].start, chunk[-1].end + 1)
    if not isinstance(error, ParseError) or not error.errors:
        return _first_line(error), whole
    first = error.errors[0]
    message = str(first.get("description") or "It cannot be read").rstrip(".")
    if "<class" in message:
        message = "Something is missing here"
    for token in chunk:
        if (token.line, token.col) == (first.get("line"), first.get("col")):
            return message, script.place(token.start, token.end + 1)
    return message, whole


def _first_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "It is nested too deeply"
    return (str(error).splitlines() or ["It cannot be read"])[0].rstrip(".")
